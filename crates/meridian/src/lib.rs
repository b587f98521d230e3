//! Floor 9: the program `meridian`. `main.rs` calls it; the benchmarks beside peers (`bench/`) use its client side.
//!
//! What it is: the command line over everything below: configuration, `serve`, `sql`, `demo`, `import`, `export`,
//! `inspect`, `check`, `cert`, `top`, `bench`.
//! What it promises: settings are declared once; what takes more than a second shows progress;
//! Ctrl-C leaves nothing half-done; the exit status tells how it went (see `cli`).
//! What it may not know: formats on disk and the planning of queries; the client commands
//! (`sql`, `import`, `export`, `top`, `demo`, `bench`) reach a node only through its doors, like any other client.

mod backup;
pub mod bench;
mod cert;
mod check;
mod cli;
mod client;
mod config;
mod demo;
mod error;
mod export;
mod fleet;
pub mod flight;
pub mod grid;
mod holder;
mod import;
mod inspect;
pub mod interrupt;
mod logs;
mod manual;
pub mod node;
mod otlp;
mod plot;
pub mod progress;
mod readiness;
mod serve;
mod sql;
pub mod table;
pub mod terminal;
mod top;

pub use cli::run;
pub use client::{Answer, Pending, Session};
pub use error::Error;
pub use import::write_time;
