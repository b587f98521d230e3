//! The whole system under test: a real server in its own process, real clients, real faults.
//!
//! What it is: the harness that the files under `tests/tests` share: starting, killing and stopping a
//! server in a temporary directory, and running clients' scripts against it.
//! What it promises: every server listens on ports of the system's choice on loopback, lies in a
//! directory of its own, and is ended by its own process id, also when a test fails.
//! What it may not know: anything of the server but its command line and its protocols.
#![expect(clippy::disallowed_methods, reason = "tests drive the outside world: processes, files, clocks")]

mod clients;
mod dice;
mod directory;
mod disk;
mod etcd;
mod fleet;
pub mod history;
pub mod nemesis;
mod network;
mod server;
mod wire;
pub mod workload;

pub use clients::{in_package, java, node, psql, python, start_psql, start_python};
pub use dice::Dice;
pub use directory::Directory;
pub use disk::SmallDisk;
pub use etcd::Etcd;
pub use fleet::{Fleet, make_certificates};
pub use network::{Network, Place};
pub use server::{Server, connect, meridian, meridian_with};
pub use wire::RawClient;
