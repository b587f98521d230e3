//! Floor 3: what must be agreed.
//!
//! What it is: a small store of keys that all processes of a fleet believe, behind one trait: get,
//! range get, several-key compare-and-swap, watch, lease; and the embedded one, a local file, for a
//! process alone. (etcd and a lone manager's store stand behind the same trait on floor 7.)
//! What it promises: linearizable reads and swaps, numbered by revisions as etcd numbers them; a swap
//! happens whole or not at all, once, and one that was not answered is *in doubt*, never "failed".
//! What it may not know: what the keys mean to managers, schedulers and data nodes; the network.
//!
//! ```text
//!   get, range ─────────────────────────────> what is committed, at a revision
//!   swap, grant, revoke ──> queue ──> group ──> one transaction, one sync ──> answers, then hints
//!   keep_alive ──> the lease's deadline (in memory) ──> ends: its keys are deleted, one revision
//!   watch <── hints: keys that may have changed, merged while nobody looks, bounded
//! ```
//!
//! Every call answers through a `Ticket` and none waits, so that the simulator runs a fleet's
//! managers with their meta in one thread.
//!
//! ```
//! use meta::{Key, Is, Meta, Swap, Swapped, embedded::Embedded};
//! use std::path::Path;
//! let simulation = world::Simulation::new(1);
//! let meta = Embedded::open(&simulation.world(), Path::new("/meta"), None).unwrap();
//! let key = Key::new("slice/7").unwrap();
//! let mut ticket = meta.swap(Swap::new().when(&key, Is::Absent).put(&key, "epoch 1"));
//! simulation.runner.run_until_idle();
//! assert!(matches!(ticket.try_take(), Some(Ok(Ok(Swapped::Done { .. })))));
//! ```

pub mod embedded;
mod error;
mod key;
mod meta;
mod swap;
mod watch;
mod witness;

pub use error::Error;
pub use key::{Entry, KEY_BYTES_MAX, Key, LeaseId, Range, VALUE_BYTES_MAX};
pub use meta::{Answer, Found, LEASE_MS_MAX, Lease, Meta, PAGE_ENTRIES_MAX, Page};
pub use swap::{Is, SWAP_BYTES_MAX, SWAP_KEYS_MAX, Swap, Swapped, Write};
pub use types::Revision;
pub use watch::{Changed, HINT_KEYS_MAX, Hint, Hints, Watch};
pub use witness::{MetaId, Witness};
