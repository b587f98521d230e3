//! Work that an operator may ask for: writing the buffers to files, and merging files.
//!
//! Promises: the answer comes when the work is done (true), or says why it failed. The statement
//! keeps one thread of the query runtime waiting meanwhile; it can't be cancelled, since the work
//! is the kernel's own and useful either way.

use super::simple::Simple;
use crate::engine::Engine;
use crate::error::Error;
use crate::store::Store;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ScalarUDF, Volatility};
use std::sync::Arc;
use world::Ticket;

type Work = fn(&dyn Store) -> Ticket<std::result::Result<(), Error>>;

fn function(engine: &Arc<Engine>, name: &'static str, work: Work) -> ScalarUDF {
    let engine = Arc::clone(engine);
    Simple::make(name, Vec::new(), DataType::Boolean, Volatility::Volatile, move |_, rows| -> Result<ArrayRef> {
        let done = work(&*engine.store).wait().unwrap_or_else(|abandoned| Err(abandoned.into()));
        done.map_err(|error| DataFusionError::from(error))?;
        Ok(Arc::new(BooleanArray::from(vec![true; rows])))
    })
}

pub(super) fn all(engine: &Arc<Engine>) -> Vec<ScalarUDF> {
    vec![function(engine, "meridian_flush", |store| store.flush()), function(engine, "meridian_merge", |store| store.merge())]
}
