//! The kernel's face: what higher floors may ask of a data node's database.
//!
//! It promises what the crate's head says; how is the matter of the modules beside it.

use crate::core::Core;
use crate::node::Neighbour;
use crate::{
    Deletion, Error, FileGroupStatus, FileStatus, Metrics, NodeStatus, Reading, ReadingColumns, Settings, SliceStatus, Snapshot,
};
use memory::Budget;
use std::path::Path;
use std::sync::Arc;
use types::{CommitNumber, DistributionRule, Kinds, Origin, Samples, StoreId, TagId, TextSamples, Timestamp};
use world::{Ticket, World};

/// One commit: numeric and text samples, and where they come from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Write<'a> {
    /// Batches of numeric samples, in order.
    pub samples: &'a [Samples<'a>],
    /// Batches of text samples, in order.
    pub texts: &'a [TextSamples<'a>],
    /// The producer and its number; a number seen before is answered and not applied again.
    pub origin: Option<Origin>,
}

/// The answer to a commit that is durable and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub commit: CommitNumber,
    /// Rows taken, those that thinning left out included.
    pub rows: u64,
    /// Whether the producer's number had been seen, so that nothing was applied.
    pub duplicate: bool,
}

/// A data node's database.
pub struct Kernel {
    pub(crate) core: Arc<Core>,
}

impl Kernel {
    /// Opens the store in a directory, making it where there is none.
    ///
    /// # Errors
    /// `Error::Open`, `Error::Damaged`, `Error::Rule`.
    pub fn open(world: World, dir: &Path, settings: Settings, kinds: Arc<dyn Kinds>) -> Result<Arc<Kernel>, Error> {
        Ok(Arc::new(Kernel { core: Core::open(world, dir, settings, kinds, false)? }))
    }

    /// Stops taking writes, makes what was taken durable, and answers when no job runs any more.
    pub fn close(&self) -> Ticket<Result<(), Error>> {
        self.core.close()
    }

    /// The store's identity: a wiped disk is another one.
    #[must_use]
    pub fn store(&self) -> StoreId {
        self.core.store
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.core.settings
    }

    /// The memory budget of the process: whoever else holds much memory (queries) takes a share of it.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.core.shares.budget
    }

    /// The distribution rule in force.
    #[must_use]
    pub fn rule(&self) -> DistributionRule {
        self.core.ground().rule
    }

    /// Length of a file group's period in microseconds, as the store was made with.
    #[must_use]
    pub fn period_us(&self) -> i64 {
        self.core.ground().period_us
    }

    /// Sets the distribution rule. The caller vouches that there is no tag yet. Slices that are led here, and in which nothing
    /// was written, go on.
    ///
    /// # Errors
    /// `Error::Rule`, `Error::RuleIsSet` when anything was ever written, or the rule has no room for a slice that is led here.
    pub fn set_rule(&self, rule: DistributionRule) -> Result<(), Error> {
        self.core.set_rule(rule)
    }

    /// Notes durably that from now on this lies beside the kernel's data: `identify` tells it to whoever opens or checks
    /// the store, which is damaged without it.
    ///
    /// # Errors
    /// `Error::Poisoned` where the disk failed: what counts now is known after opening again.
    pub fn note_neighbour(&self, neighbour: Neighbour) -> Result<(), Error> {
        self.core.note_neighbour(neighbour)
    }

    /// Commits samples. The batches are copied before this returns; the ticket resolves when the
    /// commit is durable and visible. Checked before anything is kept: tags exist, kinds fit.
    pub fn write(&self, write: Write<'_>) -> Ticket<Result<Committed, Error>> {
        self.core.write(write)
    }

    /// Deletes samples: one commit. `rows` of the answer is 0 (what was there is not counted).
    pub fn delete(&self, deletion: Deletion) -> Ticket<Result<Committed, Error>> {
        self.core.delete(deletion)
    }

    /// The snapshot value of a tag: from memory; but where a deletion took it and its successor could not be
    /// read at once, from the files.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`, naming tag and file: an older value would pass for the newest.
    pub fn latest(&self, tag: TagId) -> Result<Option<Reading>, Error> {
        self.core.latest(tag)
    }

    /// The snapshot values of many tags, one row each.
    ///
    /// # Errors
    /// As `latest`, for the first tag that can't be answered.
    pub fn latest_many(&self, tags: &[TagId]) -> Result<ReadingColumns, Error> {
        self.core.latest_many(tags)
    }

    /// For each (tag, time): the newest sample at or before that time. Reads the newest commit.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn values_at(&self, questions: &[(TagId, Timestamp)]) -> Result<ReadingColumns, Error> {
        self.core.values_at(questions)
    }

    /// The newest sample of a tag at or before a time. Reads the newest commit.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn value_at(&self, tag: TagId, time: Timestamp) -> Result<Option<Reading>, Error> {
        self.core.value_at(tag, time)
    }

    /// A view of the newest commit that later commits and merges don't change.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.core.snapshot()
    }

    /// Writes all buffers to files; answers when what was committed before lies in files.
    pub fn flush(&self) -> Ticket<Result<(), Error>> {
        self.core.flush_all()
    }

    /// Merges until nothing is left that merging would make smaller or faster to read.
    pub fn merge(&self) -> Ticket<Result<(), Error>> {
        self.core.merge_all()
    }

    /// The slices of this node.
    #[must_use]
    pub fn slices(&self) -> Vec<SliceStatus> {
        self.core.slice_statuses()
    }

    /// The file groups of this node.
    #[must_use]
    pub fn file_groups(&self) -> Vec<FileGroupStatus> {
        self.core.file_group_statuses()
    }

    /// The files of this node.
    #[must_use]
    pub fn files(&self) -> Vec<FileStatus> {
        self.core.file_statuses()
    }

    /// How long things took since opening, and how full memory is.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.core.metrics()
    }

    /// Counters of the node.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.core.node_status()
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // Jobs that wait hold the heart of the kernel; they end soon once told.
        self.core.stop();
    }
}
