//! What the machine knows of its log: no record, only versions.
//!
//! ```text
//!   flushed <= published          log_after <= flushed
//!   published <= durable <= history.last     stable: as known here, of an aligned log
//! ```
//! Promises: a version moves only as its event says. May not know the store.

use crate::History;
use crate::event::Recovered;
use types::{Sequence, Version};

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
        *self = LogView { history, log_after: at.sequence, flushed: at, durable: at, stable: at, announced: at, published: at };
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
