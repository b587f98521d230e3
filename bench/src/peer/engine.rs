//! A peer that runs within a Python process: DuckDB, or ClickHouse as `chdb`. Statements go in and rows come out as JSON lines
//! (`engine.py`), which tells how long the engine itself took.

use crate::failed;
use meridian::Error;
use meridian::interrupt::Leash;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = include_str!("engine.py");

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DuckDB.
    Duck,
    /// ClickHouse.
    Click,
}

impl Kind {
    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Duck => "duckdb",
            Kind::Click => "chdb",
        }
    }

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Duck => "DuckDB",
            Kind::Click => "ClickHouse",
        }
    }
}

/// A running engine.
pub struct Engine {
    /// Which.
    pub kind: Kind,
    /// Its release.
    pub version: String,
    /// Where its data lie.
    pub dir: PathBuf,
    child: Child,
    leash: Option<Leash>,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// An answer.
pub struct Answer {
    /// From the statement's text to all of its rows.
    pub took: Duration,
    /// The rows, if they were asked for.
    pub rows: Vec<Vec<Value>>,
}

impl Engine {
    /// Starts it over a directory, with the Python of `MERIDIAN_TEST_PYTHON` (xtask makes one) or `python3`.
    ///
    /// # Errors
    /// `Error::Node`, `Error::File`.
    pub fn start(kind: Kind, dir: &Path) -> Result<Engine, Error> {
        std::fs::create_dir_all(dir).map_err(|cause| Error::File { path: dir.to_path_buf(), cause })?;
        let python = std::env::var_os("MERIDIAN_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let mut command = Command::new(python);
        command.args(["-c", PROGRAM, kind.word()]).arg(dir);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| failed("starting Python", error))?;
        let leash = Some(Leash::new(child.id(), libc::SIGKILL));
        let (Some(asks), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("starting Python", "it has no pipes"));
        };
        let (version, dir) = (String::new(), dir.to_path_buf());
        let mut engine = Engine { kind, version, dir, child, leash, asks, answers: BufReader::new(answers) };
        let told = engine.hear()?;
        engine.version = told["version"].as_str().unwrap_or_default().to_owned();
        Ok(engine)
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// `Error::Node`, with what it said.
    pub fn run(&mut self, sql: &str, rows: bool) -> Result<Answer, Error> {
        let asked = json!({"sql": sql, "rows": rows});
        writeln!(self.asks, "{asked}").and_then(|()| self.asks.flush()).map_err(|error| failed("asking an engine", error))?;
        let told = self.hear()?;
        if let Some(error) = told["error"].as_str() {
            return Err(failed("asking an engine", format!("{}: {sql}: {error}", self.kind.name())));
        }
        let rows = told["rows"].as_array().map(|rows| rows.iter().filter_map(|row| row.as_array().cloned()).collect());
        Ok(Answer { took: Duration::from_secs_f64(told["seconds"].as_f64().unwrap_or(0.0)), rows: rows.unwrap_or_default() })
    }

    fn hear(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        let heard = self.answers.read_line(&mut line).map_err(|error| failed("hearing an engine", error))?;
        if heard == 0 {
            return Err(failed("hearing an engine", format!("{} ended", self.kind.name())));
        }
        serde_json::from_str(&line).map_err(|error| failed("hearing an engine", format!("{error}: {line}")))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Its data are of this run alone: it may end at once.
        let _ = self.child.kill();
        self.leash = None;
        let _ = self.child.wait();
    }
}
