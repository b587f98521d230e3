//! Retention by group of tags: how long the samples of which tags are kept.
//!
//! ```text
//!   CREATE RETENTION POLICY .. ──> statement (over a draft of the roster) ──> whoever keeps roles: a file, or the fleet's meta
//!                                                                               │ learn
//!   a minute later, and again ──> run: due (which tags, up to when) <── policies ┘
//!                                  └─> what is held of them? ──> the policy's record takes note ──> a range is deleted
//! ```
//!
//! Promises: nothing that a policy keeps goes; of policies that mean the same tag the longest counts. What goes is logged as any other
//! deletion, by whole file groups, so that files are rewritten once each time one falls off. A policy that was made, changed or
//! dropped before a deletion begins is heeded by it, at whichever scheduler of a fleet that was (`run`).
//! May not know where policies are kept, or how deleted rows leave files.

mod due;
mod keep;
mod policy;
mod run;
mod shown;
mod statement;

pub(crate) use keep::Keep;
pub(crate) use policy::{HEAD, Head, PREFIX, Policy};
pub(crate) use run::{Runner, preview, run_one};
pub use run::{keep_retention, run_retention};
pub(crate) use shown::columns;
pub(crate) use statement::{Statement, Wanted, apply, parse};
