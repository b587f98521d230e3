//! What every benchmark is told: where its store lies, what its node is given, where its report goes.
//!
//! Promises: a build that is none to measure says so; Ctrl-C is heard from here on; the store is removed at the
//! end unless its place was given.

use super::report::Report;
use crate::node::Scratch;
use crate::terminal::Terminal;
use crate::{Error, interrupt};
use std::path::PathBuf;

/// Arguments of every benchmark.
#[derive(Clone, Debug, clap::Args)]
pub struct Setup {
    /// Where the store is made (kept then); a temporary directory where not given
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A flag handed on to the node, such as --buffer-bytes-max=512MiB; may be repeated
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    pub serve: Vec<String>,
}

impl Setup {
    /// Begins a run: its directory, or a part of it where it has several.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn begin(&self, part: &str) -> Result<Scratch, Error> {
        if cfg!(debug_assertions) {
            eprintln!("meridian: this is not a release build: the figures measure the compiler");
        }
        interrupt::listen();
        Scratch::new("bench", self.dir.as_ref().map(|dir| dir.join(part)).as_deref())
    }

    /// Shows the report, and writes it where it was asked for.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn end(&self, report: &Report) -> Result<(), Error> {
        println!("\n{}", report.show(&Terminal::stdout()));
        self.json.as_ref().map_or(Ok(()), |path| report.write_json(path))
    }
}
