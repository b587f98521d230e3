//! Floor 3: samples. The layout for time series.
//!
//! What it is: the section (a slice's part of a commit, as it lies in the log), the write buffer of
//! sections and sorted runs, the chunk file (chunks, packed pages, statistics, index), merging,
//! scanning, aggregating, and the snapshot values.
//! What it promises: of two writes to one (tag, time) the later stands; what was written comes
//! back bit for bit; a damaged block is an error that names file and place, never data.
//! What it may not know: commits across slices, tags' names, SQL, threads.

#[cfg(test)]
extern crate self as series;

mod buffer;
mod columns;
#[cfg(test)]
mod dice;
mod error;
pub mod file;
mod flush;
mod latest;
mod placement;
mod plan;
mod request;
mod rows;
mod section;
mod tombstone;
mod view;

pub use buffer::{Buffer, BufferView, Held, SortDone, SortWork, SortedRun};
pub use columns::SeriesColumns;
pub use error::Error;
pub use flush::{FlushPlan, extract, flush, merge};
pub use latest::{LATEST_FORMAT, Latest};
pub use placement::Placement;
pub use plan::{MergeGoal, MergeOptions, MergeTarget, MergeWork, next_merge};
pub use request::{
    AggregateBatch, AggregateRequest, Bins, Datum, Deletion, Direction, Projection, Reading, ReadingColumns, Run, ScanBatch,
    ScanRequest, ScanStatistics, TagSelection,
};
pub use section::{Section, gather};
pub use tombstone::Tombstone;
pub use view::{Aggregation, Scan, SliceFiles, SliceView, Totals, ViewFile};
