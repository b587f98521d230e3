//! The trait: what everybody who must agree asks of meta.
//!
//! Promises of every implementation:
//! - `get`, `range` and `swap` are linearizable: what was answered before a call began is seen by it;
//! - a failure other than `Error::InDoubt` means that nothing was changed (in the meta that this process
//!   belongs to: `Error::Foreign` and `Error::Older` speak of another one);
//! - a call is answered or given up within the implementation's own limit of time; none waits;
//! - a watch hints: hints may come late, twice, or for keys that did not change, but as long as the
//!   watch lives a change is hinted at some time, also after a lost connection or a compaction;
//! - a lease lasts at least as long as was granted, counted from the moment that the call for it
//!   (or for its renewal) was *sent*, whatever clocks of the wall do.

use crate::{Entry, Error, Key, LeaseId, Range, Revision, Swap, Swapped, Watch, Witness};
use std::time::Duration;
use world::Ticket;

/// Most entries of one page of `range`.
pub const PAGE_ENTRIES_MAX: usize = 1_000;

/// Longest lease that can be asked for, in milliseconds: an hour.
pub const LEASE_MS_MAX: u64 = 3_600_000;

/// What a call answers.
pub type Answer<T> = Ticket<Result<T, Error>>;

/// What stands under some keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The store's revision when it was read.
    pub revision: Revision,
    /// An entry, or none, for each key that was asked for, in the same order.
    pub entries: Vec<Option<Entry>>,
}

/// A page of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The store's revision when it was read. Pages of one range are each true at their own: who
    /// needs to see every change begins the watch at the first page's.
    pub revision: Revision,
    /// Entries in order of key.
    pub entries: Vec<Entry>,
    /// Whether there are more behind the last one (`Range::after`).
    pub more: bool,
}

/// A lease, and how long it lasts: at least as long as was asked for (etcd: whole seconds, 2 at least).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which one.
    pub id: LeaseId,
    /// How long it lasts, from the moment the call was sent.
    pub lasts: Duration,
}

/// What must be agreed lies behind this.
pub trait Meta: Send + Sync {
    /// Which meta this is, and the highest revision that was seen of it: to be kept, and handed in when it
    /// is opened or connected to again.
    fn witness(&self) -> Witness;

    /// What stands under up to `SWAP_KEYS_MAX` keys, all at one revision.
    fn get(&self, keys: &[Key]) -> Answer<Found>;

    /// The first up to `limit` (1 to `PAGE_ENTRIES_MAX`) entries of a range.
    fn range(&self, range: &Range, limit: usize) -> Answer<Page>;

    /// Swaps, if all conditions hold.
    fn swap(&self, swap: Swap) -> Answer<Swapped>;

    /// Watches a range: hints of changes behind revision `after`.
    ///
    /// # Errors
    /// `Error::Unavailable` where there are too many watches already.
    fn watch(&self, range: &Range, after: Revision) -> Result<Watch, Error>;

    /// Begins a lease of at least so long.
    fn grant(&self, lasts: Duration) -> Answer<Lease>;

    /// Lets a lease begin anew; answers how long it lasts from the moment the call was sent.
    /// `Error::LeaseGone` where it ended.
    fn keep_alive(&self, lease: LeaseId) -> Answer<Duration>;

    /// Ends a lease; its keys are deleted. `Error::LeaseGone` where it ended before.
    fn revoke(&self, lease: LeaseId) -> Answer<()>;
}
