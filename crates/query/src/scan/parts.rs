//! Parts of a scan, dealt out to the partitions of a plan.
//!
//! Shared state: under one mutex, the parts not yet taken and which partitions have had theirs. The
//! first partition that is executed cuts the scan; a partition executed again (a plan that is run
//! anew, as in a recursive query) has it cut again.

use parking_lot::Mutex;
use std::collections::BTreeSet;

struct Dealt<P> {
    parts: Vec<Option<P>>,
    had: BTreeSet<usize>,
}

/// The parts of one plan node.
pub(crate) struct Deal<P> {
    state: Mutex<Option<Dealt<P>>>,
}

impl<P> Default for Deal<P> {
    fn default() -> Self {
        Deal { state: Mutex::new(None) }
    }
}

impl<P> Deal<P> {
    /// The parts of a partition; `cut` makes them all.
    pub(crate) fn take(&self, partition: usize, partitions: usize, cut: impl FnOnce() -> Vec<P>) -> Vec<P> {
        let mut state = self.state.lock();
        if state.as_ref().is_none_or(|dealt| dealt.had.contains(&partition)) {
            *state = Some(Dealt { parts: cut().into_iter().map(Some).collect(), had: BTreeSet::new() });
        }
        let Some(dealt) = state.as_mut() else { return Vec::new() };
        dealt.had.insert(partition);
        dealt.parts.iter_mut().skip(partition).step_by(partitions.max(1)).filter_map(Option::take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_dealt_once_and_again_when_run_again() {
        let deal = Deal::default();
        for _ in 0..2 {
            let mut all: Vec<i32> = (0..3).flat_map(|partition| deal.take(partition, 3, || (0..7).collect())).collect();
            all.sort_unstable();
            assert_eq!(all, (0..7).collect::<Vec<_>>());
        }
    }
}
