//! Where samples lie, as SQL asks of it: in a kernel of this process, or on the data nodes of a fleet.
//!
//! What it promises to SQL: a write is copied before its call returns, and its ticket resolves once it is durable by
//! the store's own rule; a read sees what the asker's consistency promises, or fails with an error that may be
//! retried; a route names one node for every slice, or fails.
//! What it may not know: names of tags, SQL.
//!
//! A lone node's store is its kernel ([`Store::local`]): then everything is asked of the kernel itself, without
//! these calls. `docs/decisions/0014-distributed-sql.md` says why they are cut as they are.

mod asker;
mod lone;

pub use asker::{Asker, Consistency, Seen};
pub(crate) use lone::Lone;

use crate::error::Error;
use futures::future::BoxFuture;
use kernel::{Committed, Deletion, FileGroupStatus, FileStatus, Kernel, NodeStatus, ReadingColumns, SliceStatus, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use types::{DistributionRule, Epoch, Revision, SliceId, TagDefinition, TagId, Timestamp};
use world::Ticket;

/// Where samples lie.
///
/// Futures may be dropped at any time (a cancelled statement): what they asked for is then not wanted any more.
pub trait Store: Send + Sync {
    /// The kernel that holds all samples, where it is in this process: then reads go straight to it, and writes too.
    fn local(&self) -> Option<&Arc<Kernel>>;

    /// The distribution rule in force.
    fn rule(&self) -> DistributionRule;

    /// Sets the distribution rule, which only a store without tags lets happen. A lone node's asker vouches for that.
    fn set_rule(&self, rule: DistributionRule) -> BoxFuture<'static, Result<(), Error>>;

    /// Commits samples. The batches are copied before this returns. `Asker::seen` has noted the versions that the
    /// slices reached when the ticket resolves.
    fn write(&self, write: Write<'_>, asker: &Asker) -> Ticket<Result<Committed, Error>>;

    /// Deletes samples, with the same promise.
    fn delete(&self, deletion: Deletion, asker: &Asker) -> Ticket<Result<Committed, Error>>;

    /// The snapshot values of tags, one row each, in the order asked.
    fn latest_many(&self, tags: Vec<TagId>, asker: &Asker) -> BoxFuture<'static, Result<ReadingColumns, Error>>;

    /// For each (tag, time): the newest sample at or before that time, one row each, in the order asked.
    fn values_at(&self, questions: Vec<(TagId, Timestamp)>, asker: &Asker) -> BoxFuture<'static, Result<ReadingColumns, Error>>;

    /// Which nodes a statement shall read these slices from: every slice at exactly one of them. `avoided` are the
    /// `Owner::url`s that failed in this statement; where a slice has nobody else, the error says so
    /// (`Error::Unavailable`).
    fn route(&self, slices: &[SliceId], asker: &Asker, avoided: &[String]) -> BoxFuture<'static, Result<Route, Error>>;

    /// Asked after a node refused a statement as stale: resolves when the slice map here is as new as the meta's, but
    /// within a bounded time.
    fn refresh(&self) -> BoxFuture<'static, Result<(), Error>>;

    /// How long a statement that reads is tried again while its slices change hands.
    fn patience(&self) -> Duration;

    /// What the nodes say of themselves, for the tables of schema `meridian`. Nodes that don't answer in time are left
    /// out.
    fn reports(&self) -> BoxFuture<'static, Result<Vec<NodeReport>, Error>>;

    /// Writes all buffers to files.
    fn flush(&self) -> Ticket<Result<(), Error>>;

    /// Merges until nothing is left that merging would make smaller or faster to read.
    fn merge(&self) -> Ticket<Result<(), Error>>;

    /// Stops taking writes; answers when what was taken is durable.
    fn close(&self) -> Ticket<Result<(), Error>>;
}

/// Which node reads which slices, and by which state of the slice map that was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The slice map's revision.
    pub revision: Revision,
    /// The nodes, each once.
    pub owners: Vec<Owner>,
}

/// A node and what it is to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name, for EXPLAIN and errors.
    pub node: String,
    /// Where its worker is reached: `https://host:port`.
    pub url: String,
    /// Slices, rising, each with the epoch that the map shows. The node refuses another epoch (`Error::Stale`).
    pub slices: Vec<(SliceId, Epoch)>,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// Length of its file groups' period in microseconds.
    pub period_us: i64,
    /// Samples of tags that no retention policy means are dropped when they are older than this; None = none are.
    pub retention: Option<Duration>,
    /// Counters.
    pub status: NodeStatus,
    /// Its slices.
    pub slices: Vec<SliceStatus>,
    /// Its file groups.
    pub file_groups: Vec<FileGroupStatus>,
    /// Its files.
    pub files: Vec<FileStatus>,
}

/// Changes of the tag table. A lone node's is its `Catalog`; a fleet's goes through the leading scheduler, and is
/// answered when each scheduler of the Normal set has applied it.
pub trait Tags: Send + Sync {
    /// Makes tags; all or none. The answer is the range of their ordinals, in order.
    fn create(&self, definitions: Vec<TagDefinition>) -> Ticket<Result<Range<u64>, Error>>;

    /// Changes tags (renaming among them); all or none.
    fn change(&self, changes: Vec<(TagId, TagDefinition)>) -> Ticket<Result<(), Error>>;

    /// Deletes tags; all or none. They hide their samples at once; whoever asks deletes those afterwards.
    fn delete(&self, tags: Vec<TagId>) -> Ticket<Result<(), Error>>;

    /// Resolves when this process's tag table may be read: a scheduler of a fleet may do so while it holds a lease of
    /// the leader's, or after asking it. Not asked where the store is local.
    fn readable(&self) -> BoxFuture<'static, Result<(), Error>>;

    /// Whether this process does what one process of a fleet does for all: the one that leads the tag table.
    fn leads(&self) -> bool {
        true
    }

    /// Stops taking changes; answers when what was taken is durable.
    fn close(&self) -> Ticket<Result<(), Error>>;
}
