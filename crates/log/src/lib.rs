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
//!
//! ```
//! use bytes::Bytes;
//! use log::{Body, Log, Options};
//! use std::path::Path;
//!
//! let simulation = world::Simulation::new(1);
//! let (log, _) = Log::open(&simulation.world(), Path::new("/log"), Options::default()).unwrap();
//! let body = Body::new(vec![Bytes::from_static(b"any "), Bytes::from_static(b"parts")]);
//! log.append(7, Bytes::from_static(b"head"), body, |answer| {
//!     answer.expect("it is on disk now");
//! });
//! simulation.runner.run_until_idle();
//! simulation.crash();
//!
//! let (_log, replay) = Log::open(&simulation.world(), Path::new("/log"), Options::default()).unwrap();
//! let records: Vec<_> = replay.map(|record| record.expect("nothing is damaged")).collect();
//! assert_eq!((records[0].kind, &records[0].head[..], &records[0].body[..]), (7, &b"head"[..], &b"any parts"[..]));
//! ```
//!
//! The bytes are specified in `docs/formats/log.md` and drawn in `format.rs`.

mod check;
mod copying;
mod ending;
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
pub use copying::{Hold, Layer, Stretch};
pub use ending::end_at;
pub use error::Error;
pub use format::{FORMAT, KIND_DECIDE, KIND_MAX, KIND_PREPARE, Position};
pub use group::{Answer, Body};
pub use log::{Known, Log, Refusals};
pub use options::{Durability, Options};
pub use replay::{Record, Replay, read};
