//! When leases end, by the monotonic clock; in memory alone, since each begins anew when the meta is
//! opened.
//!
//! Promises: a lease is told of as ended once, and is not renewed afterwards. May not know which keys
//! hang on it.

use crate::LeaseId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Deadlines {
    leases: BTreeMap<LeaseId, Deadline>,
    /// The same, by when they end.
    order: BTreeSet<(u64, LeaseId)>,
    /// For when the clock is set to wake; at most one waking is under way for each moment.
    wakes: BTreeSet<u64>,
}

struct Deadline {
    lasts_ms: u64,
    due_us: u64,
}

impl Deadlines {
    /// All leases begin now.
    pub fn new(leases: impl IntoIterator<Item = (LeaseId, u64)>, now_us: u64) -> Deadlines {
        let mut deadlines = Deadlines::default();
        leases.into_iter().for_each(|(lease, ms)| deadlines.begin(lease, ms, now_us));
        deadlines
    }

    pub fn begin(&mut self, lease: LeaseId, lasts_ms: u64, now_us: u64) {
        let due_us = now_us.saturating_add(lasts_ms.saturating_mul(1_000));
        if let Some(before) = self.leases.insert(lease, Deadline { lasts_ms, due_us }) {
            self.order.remove(&(before.due_us, lease));
        }
        self.order.insert((due_us, lease));
    }

    /// Lets it begin anew, if it has not ended.
    pub fn renew(&mut self, lease: LeaseId, now_us: u64) -> Option<Duration> {
        let deadline = self.leases.get(&lease).filter(|deadline| deadline.due_us > now_us)?;
        let lasts_ms = deadline.lasts_ms;
        self.begin(lease, lasts_ms, now_us);
        Some(Duration::from_millis(lasts_ms))
    }

    pub fn count(&self) -> usize {
        self.leases.len()
    }

    /// Forgets a lease. Whether it was there.
    pub fn end(&mut self, lease: LeaseId) -> bool {
        self.leases.remove(&lease).is_some_and(|deadline| self.order.remove(&(deadline.due_us, lease)))
    }

    /// Takes out those that have ended by now.
    pub fn take_ended(&mut self, now_us: u64) -> Vec<LeaseId> {
        let mut ended = Vec::new();
        while let Some((due, lease)) = self.order.first().copied().filter(|(due, _)| *due <= now_us) {
            self.order.remove(&(due, lease));
            self.leases.remove(&lease);
            ended.push(lease);
        }
        ended
    }

    /// The moment for which a waking is to be ordered, if one is needed.
    pub fn wake(&mut self) -> Option<u64> {
        let (due, _) = *self.order.first()?;
        // A waking that comes before is enough: it looks again.
        if self.wakes.first().is_some_and(|wake| *wake <= due) {
            return None;
        }
        self.wakes.insert(due);
        Some(due)
    }

    /// The waking for that moment has come.
    pub fn woke(&mut self, wake: u64) {
        self.wakes.remove(&wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_once_and_is_not_renewed_afterwards() {
        let (a, b) = (LeaseId(1), LeaseId(2));
        let mut deadlines = Deadlines::new([(a, 10), (b, 20)], 0);
        assert_eq!((deadlines.wake(), deadlines.wake()), (Some(10_000), None));
        assert_eq!(deadlines.renew(a, 9_999), Some(Duration::from_millis(10)));
        assert_eq!(deadlines.take_ended(10_000), []);
        deadlines.woke(10_000);
        assert_eq!(deadlines.wake(), Some(19_999));
        // Due, though nobody has looked yet.
        assert_eq!(deadlines.renew(b, 20_000), None);
        assert_eq!(deadlines.take_ended(20_000), [a, b]);
        assert!(!deadlines.end(a) && deadlines.count() == 0 && deadlines.renew(a, 1).is_none());
    }
}
