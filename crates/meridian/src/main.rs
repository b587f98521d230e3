//! Floor 9: the program `meridian`.
//!
//! What it is: the command line over everything below: configuration, `serve`, `sql`, `demo`, `import`, `export`,
//! `inspect`, `check`, `cert`, `top`, `bench`.
//! What it promises: settings are declared once; what takes more than a second shows progress;
//! Ctrl-C leaves nothing half-done; the exit status tells how it went (see `cli`).
//! What it may not know: formats on disk and the planning of queries; the client commands
//! (`sql`, `import`, `export`, `top`, `demo`, `bench`) reach a node only through its doors, like any other client.

mod backup;
mod bench;
mod cert;
mod check;
mod cli;
mod client;
mod config;
mod demo;
mod error;
mod export;
mod fleet;
mod flight;
mod grid;
mod holder;
mod import;
mod inspect;
mod interrupt;
mod logs;
mod manual;
mod node;
mod otlp;
mod plot;
mod progress;
mod readiness;
mod serve;
mod sql;
mod table;
mod terminal;
mod top;

pub use error::Error;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
