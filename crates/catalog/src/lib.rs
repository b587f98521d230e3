//! Floor 5: tags (tables, roles and the slice map come with later work).
//!
//! What it is: the tag table: definitions by ordinal, names to ordinals, labels, durable in its own log.
//! What it promises: each call is atomic and durable when answered; ordinals are dense, given at
//! creation and never reused; ten million tags open in seconds and lie within the memory budget.
//! What it may not know: samples, SQL, the network.
//!
//! ```text
//!   create, change, delete ──> queue ──> checked, staged ──> log record ──> durable: shown, answered
//!                                             │                                │
//!   find, get, names, select <──── blocks of 4,096 ordinals,            checkpoint job: changed
//!   kind (without a lock)           index of names, dictionaries          blocks in files, a manifest,
//!                                                                         then the log is cut
//! ```
//!
//! In a fleet the changes come from outside, agreed on by all schedulers: `LedCatalog`.
//!
//! The bytes are specified in `docs/formats/catalog.md`.

mod blending;
mod block;
mod call;
mod catalog;
mod check;
mod checkpoint;
mod checkpoint_job;
mod core;
mod dictionary;
mod error;
mod files;
mod filter;
mod frozen;
#[cfg(test)]
mod fuzz;
mod hash_index;
mod inspection;
mod joining;
mod kind_table;
mod led;
mod manifest;
mod mending;
mod moments;
mod opening;
mod packed;
mod profile;
mod record;
mod row;
mod rules;
mod select;
mod table;
mod verdict;
mod whole;

pub use blending::as_of;
pub use catalog::{Catalog, Settings};
pub use check::{Check, check};
pub use error::Error;
pub use filter::{LabelCondition, TagFilter};
pub use frozen::Frozen;
pub use inspection::inspect;
pub use led::{Differing, LedCatalog, Outcome, change_body, creation_body, deletion_body, outcome_bytes, outcome_of};
pub use mending::{Repair, Samples, repair};
pub use moments::{Ending, ending};
pub use whole::{WholeTable, lay};
