//! Floor 2: the fleet's protocols, as state machines without I/O.
//!
//! What it is: what the nodes of a fleet must agree on and how: (state, now, event) in, actions out. Today the
//! replication of one slice, the changes of the tag table (`tags`), what managers do (`membership`), shares of a limit (`quotas`), and plans of where
//! slices lie (`moves`). The shells in `cluster` give these machines a network, disks, clocks and etcd; the simulator gives
//! them faulty ones.
//! What it promises: a machine asks nothing of the world and keeps no thread; the same events give the same
//! actions; what each protocol promises stands at the head of its file.
//! What it may not know: networks, disks, clocks, meta's ways, what a record means.
//!
//! ```text
//!   meta (one key a slice)     SliceEntry: epoch, primary, backups, members
//!        ▲ swap   │ entry
//!        │        ▼
//!   replica  <── messages ──>  replica        one machine a slice and store: `Replica`
//!        │ log, set aside, publish ..  ▲ logged ..
//!        ▼                             │
//!   the kernel's store: what it owes is written in docs/decisions/0008-replication.md
//!
//!   meta (one key)             TagEntry: epoch, leader, what is committed, the Normal set
//!        ▲ swap   │ entry
//!        │        ▼
//!   scheduler <── messages ──> scheduler      one machine a scheduler: `tags::Scheduler`
//!
//!   meta (nodes, slices, targets) <── swaps wanted ── `membership::Manager` <── reports of nodes
//!   servers of clients ── what they need of a limit ──> `quotas::Ledger`, at the manager that tends
//! ```

mod entry;
mod event;
mod files;
mod history;
pub mod membership;
mod message;
mod meta_view;
pub mod moves;
mod mutation;
mod producers;
pub mod quotas;
mod replica;
mod settings;
pub mod tags;
mod words;

pub use entry::{EntryError, Mode, Policy, SliceEntry};
pub use event::{Action, Answer, Consistency, Event, Reader, Recovered, Refusal, Swapped};
pub use files::{Difference, Offer};
pub use history::History;
pub use message::{Fresh, Head, Message, Report};
pub use mutation::{Mutation, Planted};
pub use producers::Producers;
pub use replica::Replica;
pub use settings::{Settings, SettingsError};
pub use words::{Moment, ProducerRow, Record, ReplicaId, RequestId, Run};
