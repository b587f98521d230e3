//! Whether a slice is led here, and until when it may be read without asking its task.
//!
//! Shared state: written by the replica's task alone, after each step of its machine and before the step's actions are carried
//! out; read by whoever reads. `until` is written before `epoch` where a reign begins, and after it where one ends.
//! Promises: a snapshot that was taken between `begun` and a `holds` that says true shows all that was acknowledged before
//! `begun`. May not know what is read.

use protocol::Moment;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use types::Epoch;

/// No epoch.
const NONE: u64 = 0;

/// How a replica stands, for others to see.
#[derive(Debug, Default)]
pub(super) struct Reign {
    leads: AtomicBool,
    epoch: AtomicU64,
    until: AtomicU64,
    turns: AtomicU64,
}

impl Reign {
    /// How it stands from now on.
    pub(super) fn tell(&self, leads: bool, reads: Option<(Epoch, Moment)>) {
        self.leads.store(leads, Ordering::Relaxed);
        match reads {
            Some((epoch, until)) => {
                self.until.store(until.0, Ordering::SeqCst);
                self.epoch.store(epoch.0, Ordering::SeqCst);
            }
            None => {
                self.epoch.store(NONE, Ordering::SeqCst);
                self.until.store(0, Ordering::SeqCst);
            }
        }
    }

    /// The copy may go back from now on: records are set aside, or files taken.
    pub(super) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    /// How often the copy went back: between two looks that say the same it only went on.
    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }

    /// Whether the slice is led here.
    pub(super) fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// The epoch under which a snapshot that is taken from now on may be read, if `holds` says so afterwards.
    pub(super) fn begun(&self) -> Option<Epoch> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        (epoch != NONE).then_some(Epoch(epoch))
    }

    /// Whether a snapshot that was taken under an epoch may be read.
    pub(super) fn holds(&self, epoch: Epoch, now: impl FnOnce() -> Moment) -> bool {
        // The end of the reign, then the clock, then the epoch: each is looked at no earlier than the snapshot was taken.
        let until = self.until.load(Ordering::SeqCst);
        now().0 < until && self.epoch.load(Ordering::SeqCst) == epoch.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_holds_within_one_reign_only() {
        let reign = Reign::default();
        assert_eq!(reign.begun(), None);
        reign.tell(true, Some((Epoch(3), Moment(100))));
        let begun = reign.begun().expect("it leads");
        assert!(reign.holds(begun, || Moment(99)) && !reign.holds(begun, || Moment(100)));
        reign.tell(true, None);
        assert!(!reign.holds(begun, || Moment(50)) && reign.leads());
        reign.tell(true, Some((Epoch(5), Moment(200))));
        assert!(!reign.holds(begun, || Moment(150)), "what another primary answered between may be missing");
    }
}
