//! What an operator asks of a fleet and tells it, by SQL: tables of schema `meridian`, and functions.
//!
//! Promises: a table is read when a query reads it; a function is called once a row, and a cancelled statement waits for it no
//! longer. May not know what a fleet is: whoever makes the engine hands it in.

use crate::error::Error;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use futures::future::BoxFuture;

/// A table of schema `meridian`.
#[derive(Clone, Debug)]
pub struct OperatorTable {
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub schema: SchemaRef,
}

/// A function; it answers a text that says what was done.
#[derive(Clone, Debug)]
pub struct OperatorFunction {
    /// Its name.
    pub name: &'static str,
    /// The types of its arguments.
    pub arguments: Vec<DataType>,
    /// How many of the last ones may be left out.
    pub optional: usize,
    /// Whether it answers null where an argument is null, and is not called.
    pub strict: bool,
}

/// A number for those who watch the process, as Prometheus names and kinds them.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// gauge or counter.
    pub kind: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// What it is now.
    pub value: f64,
}

/// Whoever can be asked.
pub trait Operator: Send + Sync {
    /// The tables.
    fn tables(&self) -> Vec<OperatorTable>;

    /// The rows of a table as they are now, with its schema.
    fn rows(&self, table: &'static str) -> BoxFuture<'static, Result<RecordBatch, Error>>;

    /// The functions.
    fn functions(&self) -> Vec<OperatorFunction>;

    /// Calls a function; of a strict one no argument is null.
    fn call(&self, function: &'static str, arguments: Vec<ScalarValue>) -> BoxFuture<'static, Result<String, Error>>;

    /// What it counts of its own work.
    fn figures(&self) -> Vec<Figure> {
        Vec::new()
    }
}
