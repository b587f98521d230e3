//! Floor 2: the log layer. Durable, ordered append with group commit; one log a node.
//!
//! What it is: an endless sequence of records in segment files, written by one lane, read back whole
//! at opening.
//! What it promises: the order of `append` calls is the order in the log and the order of answers; a
//! record that was answered survives kill -9 and power loss (at `Durability::Commit`); what is read
//! back is a prefix of what was appended, bit for bit; damage below what was synced is an error that
//! names file and offset, never data, never a silent end.
//! What it may not know: what records mean, slices, samples.
//!
//! ```text
//!  append(kind, head, body)   any thread: checksums, then a place in the queue (never waits)
//!         │
//!       queue ── everything that came while the last sync ran ──┐
//!                                                               ▼
//!  Lane::Log:            one gather write, one fdatasync, then the answers, in order
//!         │
//!  segment 0 ......END   segment 1 ......END   segment 2 ....|  reserved, zeros    |
//!         └── cut(before) removes whole segments, oldest first
//! ```
//!
//! The bytes are specified in `docs/formats/log.md` and drawn in `format.rs`.

mod check;
mod error;
mod format;
mod group;
mod log;
mod options;
mod recovery;
mod replay;
mod scan;
mod segment;
mod writer;

pub use check::{Damage, LogCheck, SegmentCheck, check, repair};
pub use error::Error;
pub use format::{FORMAT, KIND_DECIDE, KIND_MAX, KIND_PREPARE, Position};
pub use group::{Answer, Body};
pub use log::Log;
pub use options::{Durability, Options};
pub use replay::{Record, Replay};
