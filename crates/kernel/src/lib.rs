//! Floor 4: a data node's database. Runs alone, or as part of a fleet.
//!
//! What it is: commits, slices, snapshots and background jobs over log, memory and storage.
//! What it promises: an answered commit survives kill -9 and power loss (at durability `commit`);
//! a commit is visible whole or not at all; of two writes to one (tag, time) the later stands;
//! it starts no threads, waits for nothing and reads no clock of its own.
//! What it may not know: tags' names, SQL, the network.

mod apply;
mod commit;
mod core;
mod error;
mod flush;
mod frozen;
mod held;
mod histogram;
mod identity;
mod jobs;
mod kernel;
mod led;
mod logged;
mod merge;
mod moments;
mod node;
mod ordering;
mod origins;
mod owning;
mod points;
mod rebuild;
mod record;
mod recovery;
mod retention;
mod roster;
mod settings;
mod shares;
mod slice;
mod snapshot;
mod state;
mod status;
mod thinning;
mod tombstones;

pub use error::Error;
pub use frozen::{Frozen, FrozenFile, FrozenSlice, rests_on_files};
pub use histogram::{BOUNDS_US, Histogram, HistogramCounts};
pub use identity::{Identity, accept_log, forget_neighbour, identify};
pub use kernel::{Committed, Kernel, Write};
pub use led::{Draft, LedListener, LedNews, LedSlice, Piece, Pinned, SetAside, commit_of, compose, offer_of, read_set_aside};
pub use logged::logged_tags;
pub use memory::{CacheStatus, ShareStatus};
pub use moments::{Closed, Ending, ending};
pub use node::Neighbour;
pub use owning::own;
pub use rebuild::{Rebuilt, rebuild};
pub use series::{
    AggregateBatch, AggregateRequest, Bins, Datum, Deletion, Direction, Projection, Reading, ReadingColumns, Run, ScanBatch,
    ScanRequest, ScanStatistics, TagSelection,
};
pub use settings::{Durability, Settings};
pub use snapshot::{AggregatePart, ScanPart, Snapshot};
pub use status::{FileGroupStatus, FileStatus, Metrics, NodeStatus, SliceStatus};
