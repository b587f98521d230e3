//! Floor 7: the shells that give the fleet's protocols a network, disks, clocks and a meta.
//!
//! What it is, so far: the `door` of a process, the metas of a fleet behind the trait of crate `meta` (`etcd`, and a `lone`
//! manager's), the `certificates` by which its processes know each other, what they know of each other (`fleet`), a `data`
//! node's replicas and its book of `kinds`, the `manager`s that tend the fleet, a scheduler's way to the slices (`router`)
//! and its tag table (`tags`), backups of all of it (`backups`).
//! What it promises: every call is bounded in time and number; what was not answered is told apart from
//! what was not made.
//! What it may not know: SQL, clients, how data lie.
//!
//! ```text
//!   Door <── services: lone::MetaService, data::DataService, kinds::KindsService, and those of higher floors
//!   Meta (floor 3) <── etcd::Etcd    ──┬─> calls ──> whichever endpoint answers
//!                  <── lone::Remote  ──┘             (etcd, or a lone manager's MetaService)
//!   Replica (floor 2) <── data::DataNode ──> LedSlice (floor 4), other nodes' DataService
//!   tags::Scheduler (floor 2) <── tags::TagTable ──> LedCatalog (floor 5), other schedulers' `tags::TagService`
//!   Manager (floor 2) <── manager::ManagerNode <── manager::Reporter of every process; operators: manager::Admin
//!   Router ── data::Client ──> primaries and copies
//!   backups::Backups ──> every primary's backups::BackupService ──> crate `backup` (floor 6)
//!   Kinds (floor 1) <── kinds::Book <── kinds::Keeper <── whoever's table or book is longer
//! ```

pub mod backups;
mod calls;
pub mod certificates;
mod connecting;
mod cutting;
pub mod data;
pub mod door;
pub mod etcd;
pub mod fleet;
mod identity;
pub mod kinds;
mod links;
pub mod lone;
pub mod manager;
pub mod router;
pub mod tags;
mod tickets;
mod tls;
mod watching;

pub use calls::{Limits, Tls};
pub use identity::Identity;
