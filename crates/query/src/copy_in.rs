//! COPY FROM STDIN: bytes in, samples, events or tags out.

use crate::error::{Error, raise};
use crate::outcome::Completion;
use crate::running::Ongoing;
use crate::session::Session;
use datafusion::sql::sqlparser::ast::Statement as Tree;
use std::sync::Arc;

/// What a COPY FROM STDIN asks for.
pub(crate) struct Request {}

impl Request {
    pub(crate) fn of(_tree: &Tree) -> Result<Self, Error> {
        Err(raise(Error::Unsupported, "COPY FROM STDIN is not supported"))
    }

    pub(crate) fn begin(&self, session: &Arc<Session>) -> Result<CopyIn, Error> {
        Ok(CopyIn { session: Arc::clone(session), ongoing: None, columns: 0 })
    }
}

/// A COPY FROM STDIN that waits for data. Dropping it gives it up, and nothing of it is kept.
pub struct CopyIn {
    #[expect(dead_code, reason = "used by the parser to come")]
    session: Arc<Session>,
    pub(crate) ongoing: Option<Ongoing>,
    columns: usize,
}

impl CopyIn {
    /// How many columns a row has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Takes some data, cut anywhere.
    ///
    /// # Errors
    /// The first bad row, with its line number; the COPY has then failed and takes nothing more.
    pub async fn push(&mut self, _data: &[u8]) -> Result<(), Error> {
        Err(raise(Error::Unsupported, "COPY FROM STDIN is not supported"))
    }

    /// The data is complete: commits it.
    ///
    /// # Errors
    /// A last row that is not whole, or a commit that failed.
    pub async fn finish(self) -> Result<Completion, Error> {
        Err(raise(Error::Unsupported, "COPY FROM STDIN is not supported"))
    }
}
