//! COPY TO STDOUT: a table or a query as text or CSV, as it comes; in binary the wire makes bytes of the batches.

use crate::copy::options::Options;
use crate::copy::print;
use crate::error::{Error, raise};
use crate::limits::paced;
use crate::outcome::Completion;
use crate::query::QueryPlan;
use crate::session::Session;
use crate::write::tag_columns;
use arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast::{CopySource, CopyTarget, Statement as Tree};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a COPY TO STDOUT asks for.
pub(crate) struct Request {
    query: QueryPlan,
    options: Options,
}

impl Request {
    pub(crate) async fn of(session: &Arc<Session>, tree: &Tree, sql: &str) -> Result<Self, Error> {
        let Tree::Copy { source, target, options, legacy_options, .. } = tree else {
            return Err(raise(Error::Internal, "only COPY is copied"));
        };
        if !matches!(target, CopyTarget::Stdout) {
            return Err(raise(Error::Unsupported, "COPY to a file of the server is not supported")
                .with_hint("use \\copy of psql, or COPY TO STDOUT"));
        }
        let options = Options::of(options, legacy_options)?;
        let query = match source {
            CopySource::Query(query) => Tree::Query(query.clone()),
            CopySource::Table { table_name, columns } => {
                let mut columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
                let bare = table_name.to_string().to_lowercase();
                if columns.is_empty() && (bare == "tags" || bare == "public.tags") {
                    // What can be written: so that the data can be copied back in.
                    columns = tag_columns();
                }
                let list = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
                let text = format!("SELECT {list} FROM {table_name}");
                crate::statements::parse(&text)?.ok_or_else(|| raise(Error::Internal, "a query of our own is empty"))?
            }
        };
        let (query, parameters) = QueryPlan::of(session, query, &[], sql).await?;
        if !parameters.is_empty() {
            return Err(raise(Error::Unsupported, "COPY can't have parameters"));
        }
        Ok(Request { query, options })
    }

    pub(crate) async fn begin(&self, session: &Arc<Session>, sql: &str) -> Result<CopyOut, Error> {
        let rows = self.query.run(session, Vec::new(), &[], sql).await?;
        let names: Vec<String> = rows.schema.fields().iter().map(|field| field.name().clone()).collect();
        let counted = Arc::new(AtomicU64::new(0));
        let mut head = CopyLines::default();
        if self.options.header {
            print::header(&self.options, &names, &mut head.bytes);
            head.ends.push(head.bytes.len());
        }
        let (options, zone, count) = (self.options.clone(), session.time_zone(), Arc::clone(&counted));
        let binary = options.binary;
        let body = paced(session, rows.batches).map(move |batch| {
            let batch = batch?;
            if binary {
                count.fetch_add(batch.num_rows() as u64, Ordering::AcqRel);
                return Ok(CopyPiece::Batch(batch));
            }
            let mut out = CopyLines::default();
            print::rows(&options, &batch, zone, &mut out)?;
            count.fetch_add(batch.num_rows() as u64, Ordering::AcqRel);
            Ok(CopyPiece::Lines(out))
        });
        let head = futures::stream::iter((!head.ends.is_empty()).then_some(Ok(CopyPiece::Lines(head))));
        Ok(CopyOut { columns: names.len(), binary, chunks: head.chain(body).boxed(), rows: counted })
    }
}

/// Rows of a COPY TO STDOUT as they are printed. Clients count on one message a row, as PostgreSQL
/// sends them: a row of CSV may hold line ends, so they are told where each row ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyLines {
    /// The rows, end to end.
    pub bytes: Vec<u8>,
    /// Where each row ends in `bytes`, rising.
    pub ends: Vec<usize>,
}

impl CopyLines {
    /// Each row, its line end included.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// Some data of a COPY TO STDOUT.
#[derive(Clone, Debug)]
pub enum CopyPiece {
    /// Rows as they are printed.
    Lines(CopyLines),
    /// Rows of a binary COPY, not encoded yet.
    Batch(RecordBatch),
}

/// Data of a COPY TO STDOUT. Dropping it cancels the query.
pub struct CopyOut {
    /// How many columns a row has.
    pub columns: usize,
    /// Whether it is in binary: then all pieces are batches, else none is.
    pub binary: bool,
    /// The data, in pieces of whole rows.
    pub chunks: BoxStream<'static, Result<CopyPiece, Error>>,
    pub(crate) rows: Arc<AtomicU64>,
}

impl CopyOut {
    /// The end of it, once all of `chunks` was taken.
    #[must_use]
    pub fn completion(&self) -> Completion {
        Completion::counted("COPY", self.rows.load(Ordering::Acquire))
    }
}
