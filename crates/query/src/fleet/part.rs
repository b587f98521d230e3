//! One node's share of a leaf, and what a data node gives to read it.
//!
//! Promises: all leaves of one try of a statement that read the same slices on a node see one snapshot.
//!
//! Shared state: a node's register of snapshots (see `Opened`) has one mutex around a map by statement, held for the
//! length of a look-up; an entry lives as long as a leaf of its statement.

use super::away::Dropped;
use super::opening::brought;
use crate::error::{Error, raise};
use crate::store::Consistency;
use futures::future::BoxFuture;
use kernel::Snapshot;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::sync::OnceCell;
use types::{Epoch, Revision, SliceId, Version};

/// What a statement wants to read on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The same for all leaves of one try of a statement.
    pub statement: u128,
    /// Whose statement it is.
    pub principal: String,
    /// How fresh the slices must be.
    pub consistency: Consistency,
    /// The slice map's revision that the statement was planned with.
    pub revision: Revision,
    /// The slices of all its leaves on this node, rising, each with the epoch that it was planned with.
    pub slices: Vec<(SliceId, Epoch)>,
    /// Versions that the session has seen of these slices.
    pub seen: Vec<(SliceId, Version)>,
}

/// A data node, as statements of other nodes read it.
pub trait SliceReader: Send + Sync {
    /// A snapshot in which these slices may be read with that consistency: for `primary` it is taken first and the lease
    /// checked afterwards; for `session` the versions seen are waited for, for a bounded time; for `bounded` the replica
    /// knows that it misses nothing older. Slices that are not wanted need not be right in it.
    ///
    /// `Error::Stale` where the node knows a slice by another epoch, does not have it, or nobody leads it: the statement
    /// is planned again, for as long as patience lasts. `Error::Unavailable` where it can't promise the consistency now:
    /// another replica is asked.
    fn readable(&self, wanted: &Wanted) -> BoxFuture<'static, Result<Snapshot, Error>>;
}

type Taken = OnceCell<Result<Snapshot, Error>>;
/// A try of a statement, and its slices.
type Key = (u128, Vec<(SliceId, Epoch)>);

/// A node's snapshots of the statements that read it now.
pub(crate) struct Opened {
    reader: Arc<dyn SliceReader>,
    taken: Mutex<HashMap<Key, Weak<Taken>>>,
}

impl Opened {
    pub(crate) fn new(reader: Arc<dyn SliceReader>) -> Arc<Opened> {
        Arc::new(Opened { reader, taken: Mutex::default() })
    }

    /// The place of a statement's snapshot.
    fn of(&self, wanted: &Wanted) -> Arc<Taken> {
        let mut taken = self.taken.lock();
        taken.retain(|_, taken| taken.strong_count() > 0);
        let entry = taken.entry((wanted.statement, wanted.slices.clone())).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let fresh = Arc::new(Taken::new());
            *entry = Arc::downgrade(&fresh);
            fresh
        })
    }
}

/// A share of a leaf.
#[derive(Clone)]
pub(crate) struct Part {
    /// The node's name.
    pub node: Arc<str>,
    /// Where its worker is reached.
    pub url: Arc<str>,
    /// What the statement wants of the node.
    pub wanted: Arc<Wanted>,
    /// The slices of this leaf, rising.
    pub slices: Arc<[SliceId]>,
    /// Tags whose rows are left out.
    pub dropped: Dropped,
    /// Where it is read: on the node itself.
    here: Option<(Arc<Opened>, Arc<Taken>)>,
}

impl Part {
    /// A share that is to be sent.
    pub(crate) fn away(node: &str, url: &str, wanted: Arc<Wanted>, slices: Vec<SliceId>, dropped: Dropped) -> Part {
        Part { node: node.into(), url: url.into(), wanted, slices: slices.into(), dropped, here: None }
    }

    /// The share where it is read.
    pub(crate) fn opened(mut self, opened: &Arc<Opened>) -> Part {
        self.here = Some((Arc::clone(opened), opened.of(&self.wanted)));
        brought(&self);
        self
    }

    /// What the leaf reads.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Error> {
        let Some((opened, taken)) = &self.here else {
            return Err(raise(Error::Internal, "internal error: a node's part of a scan was run elsewhere"));
        };
        let whole = taken.get_or_init(|| opened.reader.readable(&self.wanted)).await.clone();
        let whole = whole.map_err(|error| error.at_node(&self.url))?;
        Ok(whole.only(self.slices.to_vec()))
    }
}
