//! A data node's replicas: the shell that gives `protocol::Replica` a kernel, a network, a clock and a meta.
//!
//! ```text
//!   meta ── slice/N (watched) ──> node ──┐                           one task a slice: `replica`
//!   peers <── links (a stream to each) <─┼── replica ──> LedSlice (kernel)
//!   schedulers ──> framed ──> serving ───┤
//!   peers, managers ──> service ─────────┘      └──> `copying`: files, where the log does not reach
//!                                                 kinds of tags that are not known yet <── `kinds::Keeper`
//! ```
//! Promises: what the shell owes (docs/decisions/0008-replication.md, "What the shell owes"): messages for another store are
//! dropped; a swap's answer goes to the process that sent the swap; a run is drawn at random at each start; the clock is
//! monotonic; what was asked of a store takes effect in the order of asking. Every queue is bounded: what finds
//! no room in one between nodes is lost, as on any network.
//! May not know: SQL, names of tags, who schedules.

mod asking;
mod client;
mod copying;
mod framed;
mod gate;
pub(crate) mod looking;
pub(crate) mod messages;
mod node;
mod placed;
mod refused;
mod reign;
mod replica;
mod retention;
mod rows;
mod service;
mod serving;
mod status;

pub(crate) use asking::HandingOver;
pub use client::{Answer, Client};
pub use framed::{Answers, Askers};
pub use looking::{NodeLook, ReplicaLook};
pub use node::{Asked, DataNode, Looked, ReplicaSize, Settings};
pub use refused::Refused;
pub use rows::Batch;
pub use service::DataService;
pub(crate) use service::HAND_OVER;
pub use serving::Readable;
pub use status::Status;
