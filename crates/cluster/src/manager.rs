//! Managers: the shell of `protocol::membership::Manager`, what nodes tell them, and what operators ask of the fleet.
//!
//! ```text
//!   every process ── `reporting` (twice a second) ──> Manager1/Report ──> `service` ──> the machine, what was heard
//!   schedulers ── `quotas` (twice a second) ──> Manager1/Share ──> what each may use of limits that they share
//!   meta: fleet, node/, slice/, target/ (watched) ──> `standing` ──> View ──┐
//!   `lease` in meta: one manager tends ─────────────────────────────────────┴─> `tending` ──> swaps, orders to primaries
//!   operators ──> `Admin` ──> meta: fleet, drains, targets, forced epochs
//! ```
//! Promises: nothing is kept in the memory of one manager that is not told again or read again; any manager may act, and
//! usually one does. Whatever an operator asks stands in meta, can be asked twice, and outlives who was asked.
//! May not know: SQL, names of tags, what lies in slices.

mod admin;
mod busyness;
mod checking;
mod forcing;
mod node;
mod placing;
mod quotas;
mod replication;
mod reporting;
mod ruling;
mod service;
mod standing;
mod words;

pub use admin::Admin;
pub use checking::{Checked, CopyState};
pub use forcing::ForceLoss;
pub use node::{ManagerNode, Settings};
pub use placing::Placement;
pub use quotas::{Quotas, Seat};
pub use replication::Replication;
pub use reporting::{Capacity, Reporter};
pub use service::ManagerService;
pub use standing::Standing;
pub use words::{AdminError, NodeStatus, Operation, Progress, Step};
