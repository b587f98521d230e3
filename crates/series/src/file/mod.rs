//! The series file: chunks of samples by tag, an index from tag to chunk, a checksum on every block.
//!
//! What it is: the writer and the reader of the files in which a slice's samples lie, as
//! `docs/formats/series-file.md` draws them, byte by byte.
//! What it promises: what was appended comes back bit for bit; a damaged block is an error that
//! names file, place, and where it can be told tag and time range, never rows; hostile bytes never
//! make a reader panic, loop or allocate more than the file could hold.
//! What it may not know: sections, buffers, versions of rows, tombstones, who reads.
//!
//! ```text
//!   append(tag, kind, rows) -> few rows: into the open chunk of its class; many: chunks of their own
//!                           -> chunk: header | page | page | ..   (pages of 256 rows)
//!   finish()                -> index blocks (128 tags) | top | footer
//!
//!   find(tag) -> top (cached) -> index block (cached) -> Entry -> chunk header + the pages in range
//! ```

mod cache;
mod check;
mod chunk;
mod chunk_read;
mod columns;
mod decimals;
mod entry;
mod error;
mod floats;
mod footer;
#[cfg(test)]
mod fuzz;
mod index;
mod index_good;
mod index_statistics;
mod inspect;
mod integers;
mod packed;
mod pending;
mod prepare;
mod qualities;
mod reader;
mod recent;
mod rows;
mod summary;
mod texts;
mod times;
mod walk;
mod writer;

pub use cache::{Block, BlockCache, NoCache};
pub use check::{FileCheck, check, repair};
pub use columns::{SeriesRows, Values};
pub use entry::{Entry, Place, ReadCost, Statistics, Summary};
pub use error::Error;
pub use footer::FileSummary;
pub use inspect::inspect;
pub use reader::{Entries, SeriesFile};
pub use writer::{FORMAT, FileOrigin, SeriesFileWriter};
