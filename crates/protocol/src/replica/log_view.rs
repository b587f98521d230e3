//! What the machine knows of its log: no record, only versions.
//!
//! ```text
//!   flushed <= published          log_after <= flushed
//!   published <= durable <= history.last     stable: as known here, of an aligned log
//! ```
//! Promises: a version moves only as its event says. May not know the store.

use crate::event::Recovered;
use crate::{History, Moment};
use types::{Sequence, Version};

/// A step of what is published bit by bit takes this part of it.
const STEPS: u64 = 64;

/// A log by its versions.
#[derive(Debug)]
pub(crate) struct LogView {
    /// All that the store was told to log.
    pub(crate) history: History,
    /// The log holds what comes after this.
    pub(crate) log_after: Sequence,
    /// The last write in files.
    pub(crate) flushed: Version,
    /// The last record that is synced.
    pub(crate) durable: Version,
    /// What every member has, as far as is known here.
    pub(crate) stable: Version,
    /// What the store was told that it may flush.
    pub(crate) announced: Version,
    /// The newest write that readers see.
    pub(crate) published: Version,
    /// When the next step is due of what is published bit by bit.
    pub(crate) publishes_at: Option<Moment>,
}

impl LogView {
    pub(crate) fn new(recovered: Recovered) -> LogView {
        let flushed = recovered.flushed;
        assert!(recovered.history.contains(flushed), "files end with {flushed}, which is not in the log's history");
        LogView {
            durable: recovered.history.last(),
            history: recovered.history,
            log_after: recovered.log_after,
            flushed,
            stable: flushed,
            announced: flushed,
            published: flushed,
            publishes_at: None,
        }
    }

    pub(crate) fn last(&self) -> Version {
        self.history.last()
    }

    /// Records up to this one are synced; old news, and news of what was set aside since, say nothing.
    pub(crate) fn synced(&mut self, version: Version) {
        if self.history.contains(version) && version.sequence > self.durable.sequence {
            self.durable = version;
        }
    }

    pub(crate) fn flush(&mut self, flushed: Version, log_after: Sequence) {
        if self.history.contains(flushed) && flushed.sequence > self.flushed.sequence {
            self.flushed = flushed;
        }
        self.log_after = self.log_after.max(log_after);
    }

    /// The log ends here now, durably.
    pub(crate) fn cut(&mut self, at: Version) {
        self.history.cut(at);
        self.durable = at;
        self.stable = self.earlier(self.stable, at);
        self.announced = self.earlier(self.announced, at);
        self.published = self.earlier(self.published, at);
    }

    /// Files took the place of the log.
    pub(crate) fn replace(&mut self, history: History) {
        let at = history.last();
        let (log_after, publishes_at) = (at.sequence, None);
        *self = LogView { history, log_after, flushed: at, durable: at, stable: at, announced: at, published: at, publishes_at };
    }

    /// Publishes up to a version that the log holds: at once where that is no more than a step, else a step now and the next
    /// one after the pace. A step is a part of what there is, so that however much comes, it is kept up with. What the store is
    /// to show then; none where that is no news, or not due.
    pub(crate) fn publish(&mut self, up_to: Version, now: Moment, least: u64, pace_us: u64) -> Option<Version> {
        let from = self.published.sequence;
        let behind = up_to.sequence.0.saturating_sub(from.0);
        let step = least.max(behind / STEPS).max(1);
        let is_whole = behind <= step;
        if !is_whole && self.publishes_at.is_some_and(|due| now < due) {
            return None;
        }
        self.publishes_at = (!is_whole).then(|| now.after(pace_us));
        if behind == 0 {
            return None;
        }
        self.published = if is_whole { up_to } else { self.version(Sequence(from.0 + step)) };
        Some(self.published)
    }

    /// The write with the lower number.
    pub(crate) fn earlier(&self, a: Version, b: Version) -> Version {
        if a.sequence <= b.sequence { a } else { b }
    }

    /// The version of a number that the log holds.
    pub(crate) fn version(&self, sequence: Sequence) -> Version {
        self.history.version_at(sequence).expect("the number is not beyond the log's end")
    }

    /// As if all before a version were there: what the planted bug `AcceptGap` believes.
    pub(crate) fn pretend_before(&mut self, version: Version) {
        while self.last().sequence.0 + 1 < version.sequence.0 {
            self.history.push(Version { epoch: version.epoch, sequence: Sequence(self.last().sequence.0 + 1) });
        }
    }
}
