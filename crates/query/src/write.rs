//! INSERT, UPDATE and DELETE.

use crate::error::{Error, raise};
use crate::outcome::Completion;
use crate::session::Session;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::Statement as Tree;
use std::sync::Arc;

/// A planned write.
pub(crate) struct WritePlan {}

/// Plans a write; the second part of the answer is its parameters' types.
pub(crate) async fn plan(
    _session: &Arc<Session>,
    _tree: Tree,
    _types: &[Option<DataType>],
    _sql: &str,
) -> Result<(WritePlan, Vec<DataType>), Error> {
    Err(raise(Error::Unsupported, "writing is not supported"))
}

/// Runs a write.
pub(crate) async fn run(
    session: &Arc<Session>,
    _plan: &WritePlan,
    _params: Vec<ScalarValue>,
    _types: &[DataType],
    _sql: &str,
) -> Result<Completion, Error> {
    session.admit_write("INSERT")?;
    Err(raise(Error::Unsupported, "writing is not supported"))
}
