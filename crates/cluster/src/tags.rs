//! A scheduler's tag table: the shell that gives `protocol::tags::Scheduler` a catalog, a network, a clock and a meta.
//!
//! ```text
//!   create, change, delete ──> `table`: an origin, and whoever leads ──┐
//!   other schedulers ──> `service` ────────────────────────────────────┼──> `actor` (owns the machine) ──> LedCatalog
//!   other schedulers <── links (a stream to each) <────────────────────┤
//!   meta ── tags (watched) ────────────────────────────────────────────┘
//! ```
//! Promises: a change that was answered is in the table of every Normal scheduler, for ever; it is asked for with the same
//! origin until it is answered, so that it happens once, whoever dies meanwhile; what the shell owes
//! (docs/decisions/0008-replication.md, "What the shell owes"). Every queue is bounded, in number and bytes.
//! May not know: SQL, samples, how the table lies on disk.

mod actor;
mod asking;
mod entry;
mod messages;
mod refused;
mod registering;
mod service;
mod shared;
mod table;

pub use entry::{entry_key, entry_value, tag_entry};
pub use refused::{Error, Refused};
pub use registering::deregister;
pub(crate) use registering::{deregister_stores, registered_of};
pub use service::TagService;
pub use shared::{Settings, Standing};
pub use table::TagTable;
