//! What executing a statement gives: rows, a finished command, or a COPY in either direction.

use crate::copy_in::CopyIn;
use crate::copy_out::CopyOut;
use crate::error::Error;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::BoxStream;
use std::fmt;

/// A note to the client beside an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// "WARNING" or "NOTICE".
    pub severity: &'static str,
    /// Five letters.
    pub sqlstate: &'static str,
    /// What is to be known.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What kind of statement it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementClass {
    /// Nothing but blanks and comments.
    Empty,
    /// Gives rows and changes nothing.
    Read,
    /// Changes samples, events or tags.
    Write,
    /// COPY FROM STDIN.
    CopyIn,
    /// COPY TO STDOUT.
    CopyOut,
    /// Concerns only the session: SET, SHOW, BEGIN and the like.
    Session,
}

/// What executing a statement gave.
pub enum Outcome {
    /// Rows, as they come.
    Rows(Rows),
    /// It is done.
    Command(Completion),
    /// The client is to send data now.
    CopyIn(Box<CopyIn>),
    /// Data for the client.
    CopyOut(Box<CopyOut>),
}

/// The end of a statement that gives no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// PostgreSQL's command tag, whole: "INSERT 0 3", "SET".
    pub tag: String,
    /// Rows written or deleted, where the statement counts them.
    pub rows: Option<u64>,
}

impl Completion {
    /// A command that counts nothing.
    #[must_use]
    pub fn plain(tag: impl Into<String>) -> Self {
        Completion { tag: tag.into(), rows: None }
    }

    /// A command and how many rows it concerned.
    #[must_use]
    pub fn counted(command: &str, rows: u64) -> Self {
        let tag = if command == "INSERT" { format!("INSERT 0 {rows}") } else { format!("{command} {rows}") };
        Completion { tag, rows: Some(rows) }
    }
}

/// Rows as they come. Dropping it cancels the query.
pub struct Rows {
    /// Names and types of the columns. Names may repeat.
    pub schema: SchemaRef,
    /// The batches; each has the schema's columns. Ends after the first error.
    pub batches: BoxStream<'static, Result<RecordBatch, Error>>,
    /// The command tag without its number: "SELECT", "FETCH", "SHOW", "EXPLAIN".
    pub command: &'static str,
}

impl Rows {
    /// The whole command tag once all rows were sent.
    #[must_use]
    pub fn tag(&self, rows: u64) -> String {
        if ["SELECT", "FETCH"].contains(&self.command) { format!("{} {rows}", self.command) } else { self.command.to_owned() }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Rows(rows) => write!(out, "Rows({:?})", rows.schema),
            Outcome::Command(completion) => write!(out, "{completion:?}"),
            Outcome::CopyIn(_) => out.write_str("CopyIn"),
            Outcome::CopyOut(_) => out.write_str("CopyOut"),
        }
    }
}
