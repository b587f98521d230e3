//! Floor 7: the shells that give the fleet's protocols a network, disks, clocks and a meta.
//!
//! What it is, so far: the metas of a fleet behind the trait of crate `meta` (`etcd`, and a `lone` manager's),
//! the `certificates` by which its processes know each other, and a `data` node's replicas.
//! What it promises: every call is bounded in time and number; what was not answered is told apart from
//! what was not made.
//! What it may not know: SQL, clients, how data lie.
//!
//! ```text
//!   Meta (floor 3) <── etcd::Etcd    ──┬─> calls ──> whichever endpoint answers
//!                  <── lone::Remote  ──┘             (etcd, or lone::serve over an embedded meta)
//!   Replica (floor 2) <── data::DataNode ──> LedSlice (floor 4), other nodes' `data::serve`
//! ```

mod calls;
pub mod certificates;
pub mod data;
pub mod etcd;
pub mod lone;
mod tickets;
mod watching;

pub use calls::{Limits, Tls};
