//! Floor 8: wire protocols: PostgreSQL, Arrow Flight and HTTP; sessions, users, TLS.
//!
//! What it is: the three doors of a node, and who may come in.
//! What it promises: no bytes of a client harm anybody but their own connection; what is answered is
//! as durable as the kernel says; memory a client can take is bounded; a stop loses nothing.
//! What it may not know: plans, slices, files; it knows statements through `query` and samples
//! through `kernel`.
//!
//! ```text
//!   PostgreSQL clients -> pg (its threads) -> point statements inline | jobs on the query runtime -> query
//!   Flight clients -> flight (its runtime) -> columns to samples -> kernel | tags -> catalog
//!   HTTP clients -> http (its runtime) -> SQL: jobs on the query runtime | lines to columns -> a session -> kernel
//! ```

mod attempts;
mod audit;
mod auth;
mod counters;
mod error;
pub mod flight;
mod http;
mod metrics;
mod pg;
mod server;
mod settings;
mod shared;
mod tls;
mod users;

pub use counters::Counts;
pub use error::Error;
pub use server::Server;
pub use settings::Settings;
pub use tls::TlsPaths;
pub use users::{Keeper, Users, Verifier};
