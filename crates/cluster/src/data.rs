//! A data node's replicas: the shell that gives `protocol::Replica` a kernel, a network, a clock and a meta.
//!
//! ```text
//!   meta ── slice/N, node/N (watched) ──> roster ──┐                 one task a slice: `replica`
//!   peers <── links (a stream to each) <───────────┼── replica ──> LedSlice (kernel)
//!   peers, clients ──> door ───────────────────────┘
//! ```
//! Promises: what the shell owes (docs/decisions/0008-replication.md, "What the shell owes"): messages for another store are
//! dropped; a swap's answer goes to the process that sent the swap; a run is drawn at random at each start; the clock is
//! monotonic; what was asked of a store takes effect in the order of asking. Every queue is bounded: what finds
//! no room in one between nodes is lost, as on any network.
//! May not know: SQL, names of tags, who schedules.
//!
//! Not yet: files for a replica that the log no longer reaches (it is told so, and the primary asks again).

mod door;
mod entries;
mod links;
mod messages;
mod node;
mod replica;
mod rows;

pub use door::serve;
pub use entries::{node_key, slice_entry, slice_key, slice_value};
pub use node::{Asked, DataNode, Settings};
pub use rows::{Client, Refused, Rows};
