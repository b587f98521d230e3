//! `values_at(tags, times)` as a table, where a plan needs it; the point path answers it alone.

use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::point::value_rows;
use arrow::array::ArrayRef;
use datafusion::catalog::{MemTable, TableFunctionImpl, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use std::fmt;
use std::sync::Arc;

pub(super) struct ValuesAt {
    engine: Arc<Engine>,
}

impl ValuesAt {
    pub(super) fn new(engine: &Arc<Engine>) -> Self {
        ValuesAt { engine: Arc::clone(engine) }
    }
}

impl fmt::Debug for ValuesAt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("values_at")
    }
}

/// The items of an array that is written in the statement.
fn items(expr: &Expr) -> Result<ArrayRef> {
    let refuse = || {
        DataFusionError::from(raise(
            Error::Unsupported,
            "values_at takes two arrays of literals here, or two parameters as the only table of a query",
        ))
    };
    match expr {
        Expr::Literal(ScalarValue::List(list), _) => Ok(list.value(0)),
        Expr::Cast(cast) => items(&cast.expr),
        Expr::ScalarFunction(call) if call.func.name() == "make_array" => {
            let literal = |expr: &Expr| match expr {
                Expr::Literal(value, _) => Ok(value.clone()),
                Expr::Cast(cast) => match cast.expr.as_ref() {
                    Expr::Literal(value, _) => value.cast_to(cast.field.data_type()),
                    _ => Err(refuse()),
                },
                _ => Err(refuse()),
            };
            let values = call.args.iter().map(literal).collect::<Result<Vec<_>>>()?;
            ScalarValue::iter_to_array(values)
        }
        _ => Err(refuse()),
    }
}

impl TableFunctionImpl for ValuesAt {
    fn call(&self, args: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        let [tags, times] = args else {
            return Err(raise(Error::UnknownFunction, "values_at takes two arrays: values_at(tags, times)").into());
        };
        let batch = value_rows(&self.engine, items(tags)?, items(times)?)?;
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }
}
