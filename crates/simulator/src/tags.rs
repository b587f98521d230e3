//! Fleets of schedulers that agree on the changes of a small tag table, with faults, held against a model.
//!
//! ```text
//!   queue ──> happening ──> node: machine.step ──> actions ──> store, network, clients (`node`)
//!                     ├───> meta (one entry)                        └──> checker (`check`)
//!                     └───> client, operator, fault
//! ```
//! Promises: those of `Scenario`. It may not know how slices are replicated: these fleets have schedulers only.

mod check;
mod clients;
mod faults;
mod fleet;
mod node;
mod plan;
mod store;
mod table;

pub use check::TagCounts;
pub(crate) use fleet::{Fleet, Standing};
pub use plan::{TagFault, TagPlan, TimedTagFault, Whom};
