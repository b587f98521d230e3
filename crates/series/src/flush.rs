//! From a write buffer to files, and from files to fewer files: the parts that both share.
//!
//! What it is: `flush` (a sealed view of a buffer becomes the current period's file and one mixed
//! file), `merge` (a piece of work of the plan becomes one mixed file or one file a period).
//! What it promises: each (tag, time) comes out once, of several the latest written; rows that a later
//! deletion hides don't come out; files are synced; where it fails, what it wrote is removed.
//! What it may not know: manifests, the log, who runs it.

mod buffer;
mod merge;
mod outputs;
#[cfg(test)]
mod tests;

pub use buffer::flush;
pub use merge::{extract, merge};

use crate::ViewFile;
use crate::file::BlockCache;
use std::sync::Arc;
use storage::{SliceDirectory, StoreId};
use types::Kinds;
use world::Disk;

/// Where files go, and whose they are.
pub struct FlushPlan<'a> {
    /// Where they are written.
    pub disk: &'a Arc<dyn Disk>,
    /// The slice's directory, which numbers them.
    pub directory: &'a SliceDirectory,
    /// Of which store.
    pub store: StoreId,
    /// Length of a period in microseconds.
    pub period_us: i64,
    /// Tells the kinds of tags.
    pub kinds: &'a dyn Kinds,
    /// Through which the new files will be read.
    pub cache: Arc<dyn BlockCache>,
}
