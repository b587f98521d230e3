//! `now()`, what `to_timestamp(seconds)` gives, and `date_bin` with `time_bucket` as its alias, in microseconds.
//!
//! DataFusion's own work in nanoseconds, and turn a `time` column into nanoseconds too: those
//! overflow in the year 2262.

use crate::error::{Error, raise};
use crate::schema::time_type;
use crate::time::Zone;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, TimestampMicrosecondType};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    signature: Signature,
    aliases: Vec<String>,
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &'static str {
        "now"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(time_type())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("now", time_type(), false)))
    }

    fn simplify(&self, _: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let us = context.query_execution_start_time().map(|start| start.timestamp_micros());
        let value = ScalarValue::TimestampMicrosecond(us, Some("UTC".into()));
        Ok(ExprSimplifyResult::Simplified(Expr::Literal(value, None)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal("now() is replaced before it is run".to_owned()))
    }
}

/// The moment so many seconds after 1970-01-01 UTC.
pub(super) fn from_seconds(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let one = |seconds: f64| {
        let us = (seconds * 1e6).round_ties_even();
        if us.is_infinite() || us.abs() < i64::MAX as f64 {
            return Ok(us as i64);
        }
        Err(DataFusionError::from(raise(Error::TimeOverflow, format!("timestamp out of range: \"{seconds}\""))))
    };
    let seconds = args[0].as_primitive::<Float64Type>();
    Ok(Arc::new(seconds.try_unary::<_, TimestampMicrosecondType, _>(one)?.with_timezone("UTC")))
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let aliases = ["current_timestamp", "transaction_timestamp", "statement_timestamp"];
    let aliases = aliases.into_iter().map(str::to_owned).collect();
    let now = ScalarUDF::new_from_impl(Now { signature: Signature::nullary(Volatility::Stable), aliases });
    vec![now, ScalarUDF::new_from_impl(super::bins::DateBin::new())]
}
