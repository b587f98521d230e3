//! What can go wrong in the program: a variant a failed step.

use crate::config::ConfigError;
use std::path::PathBuf;
use thiserror::Error;

/// A failure of a command.
#[derive(Debug, Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The command line is wrong in a way that clap does not see.
    #[error("{0}")]
    Usage(String),
    /// The store is in use by another process.
    #[error("the store in {dir} is in use by {holder}; stop that one first, or give another directory")]
    Locked {
        /// The store's directory.
        dir: PathBuf,
        /// Who has it, as far as that can be told.
        holder: String,
    },
    /// The store can't be opened.
    #[error("the store in {dir} can't be opened: {problem}{advice}")]
    Open {
        /// The store's directory.
        dir: PathBuf,
        /// What the floor below said.
        problem: String,
        /// What can be done, or empty.
        advice: &'static str,
    },
    /// The server can't start or run.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// A file of the user's can't be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A file of the user's does not hold what was asked for.
    #[error("{path}: {problem}")]
    Input {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what can be done.
        problem: String,
    },
    /// An import that had begun was ended by a failure.
    #[error("{cause}; {standing}")]
    Import {
        /// What ended it.
        cause: Box<Error>,
        /// How many rows are committed, and how to go on.
        standing: String,
    },
    /// A node can't be reached, or refused something.
    #[error("{doing}: {problem}")]
    Node {
        /// What was being done.
        doing: &'static str,
        /// What the node or the network said.
        problem: String,
    },
    /// Our own node (a child process) did not do what it should.
    #[error("the node that was started ended or gave no answer: {0}")]
    Child(String),
    /// A system call of the program's own failed.
    #[error("{doing}: {cause}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        cause: std::io::Error,
    },
    /// A process could not become one of its fleet, or not stay it.
    #[error("the fleet: {0}")]
    Fleet(String),
    /// A repository, or what lies in it.
    #[error("{doing}: {fault}")]
    Backup {
        /// What was being done.
        doing: &'static str,
        /// What failed.
        #[source]
        fault: backup::Error,
    },
    /// A benchmark or the demo read something else than was written.
    #[error("WRONG ANSWER: {0}")]
    Wrong(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The exit status that tells of it.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Config(_) | Error::Usage(_) => 2,
            // Doors that are refused as they are set: a start anew would be refused again.
            Error::Server(server::Error::NoPassword(_) | server::Error::Plaintext(_) | server::Error::Tls { .. }) => 2,
            Error::Interrupted => 130,
            Error::Import { cause, .. } => cause.exit_status(),
            _ => 1,
        }
    }

    /// A failure of a PostgreSQL client, with the server's own words.
    pub fn postgres(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
        move |error| Error::Node { doing, problem: told(&error) }
    }

    /// A failed system call.
    pub fn system(doing: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| Error::System { doing, cause }
    }
}

/// What a PostgreSQL client says of a failure: the server's own words where it has any.
pub fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let detail = db.detail().map_or_else(String::new, |detail| format!(" ({detail})"));
            let hint = db.hint().map_or_else(String::new, |hint| format!("; hint: {hint}"));
            format!("{} [{}]{detail}{hint}", db.message(), db.code().code())
        }
        None => {
            let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
            format!("{error}{cause}")
        }
    }
}
