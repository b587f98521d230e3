//! COPY TO STDOUT: a table or a query as text or CSV.

use crate::error::{Error, raise};
use crate::outcome::Completion;
use crate::session::Session;
use datafusion::sql::sqlparser::ast::Statement as Tree;
use futures::stream::BoxStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a COPY TO STDOUT asks for.
pub(crate) struct Request {}

impl Request {
    pub(crate) async fn of(_session: &Arc<Session>, _tree: &Tree, _sql: &str) -> Result<Self, Error> {
        Err(raise(Error::Unsupported, "COPY TO STDOUT is not supported"))
    }

    pub(crate) async fn begin(&self, _session: &Arc<Session>, _sql: &str) -> Result<CopyOut, Error> {
        Err(raise(Error::Unsupported, "COPY TO STDOUT is not supported"))
    }
}

/// Data of a COPY TO STDOUT. Dropping it cancels the query.
pub struct CopyOut {
    /// How many columns a row has.
    pub columns: usize,
    /// The data, in pieces of whole rows.
    pub chunks: BoxStream<'static, Result<Vec<u8>, Error>>,
    pub(crate) rows: Arc<AtomicU64>,
}

impl CopyOut {
    /// The end of it, once all of `chunks` was taken.
    #[must_use]
    pub fn completion(&self) -> Completion {
        Completion::counted("COPY", self.rows.load(Ordering::Acquire))
    }
}
