//! A long constant as a column: `spread(constant)` is the constant in each row, refused (54000) where that is too much.
//!
//! DataFusion repeats a constant for each row of a batch wherever it needs a column, and panics at 2 GiB. The rule
//! `rules/constants.rs` puts this around those that are long.

use super::sizes::{Arg, bounded_total};
use super::typed::call;
use arrow::array::Array;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::{Arc, LazyLock};

/// A constant that is shorter takes no more than `BYTES_MAX` in a batch of 8,192 rows.
const LONG_BYTES: usize = 8 << 10;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Spread {
    signature: Signature,
}

static SPREAD: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    // Whatever is not volatile is computed while the statement is planned, and would be the bare constant again.
    Arc::new(ScalarUDF::new_from_impl(Spread { signature: Signature::any(1, Volatility::Volatile) }))
});

impl ScalarUDFImpl for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        given.first().cloned().ok_or_else(|| DataFusionError::Plan("spread takes one constant".to_owned()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sizes = args.args.iter().map(Arg::of).collect::<Result<Vec<_>>>()?;
        bounded_total("a constant", &sizes, args.number_rows)?;
        let rows = args.number_rows;
        let mut values = args.args.into_iter();
        let value = values.next().ok_or_else(|| DataFusionError::Plan("spread takes one constant".to_owned()))?;
        Ok(ColumnarValue::Array(value.into_array(rows)?))
    }
}

/// Whether a constant is long.
pub(crate) fn is_long(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Binary(Some(bytes)) | ScalarValue::LargeBinary(Some(bytes)) => bytes.len() > LONG_BYTES,
        ScalarValue::List(list) => list.values().len() > LONG_BYTES / size_of::<i64>() || value.size() > LONG_BYTES,
        value => value.try_as_str().flatten().is_some_and(|text| text.len() > LONG_BYTES),
    }
}

/// The constant in each row.
pub(crate) fn spread(constant: Expr) -> Expr {
    call(&SPREAD, vec![constant])
}
