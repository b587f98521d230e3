//! `pg_sleep(seconds)`: waits without keeping a thread, and ends at once when its statement is cancelled.

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    signature: Signature,
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &'static str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal("pg_sleep waits, and so is not called".to_owned()))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let seconds = args.args[0].to_array(rows)?;
        for seconds in seconds.as_primitive::<Float64Type>().iter().flatten() {
            // Longer than that nobody waits.
            let wait = Duration::try_from_secs_f64(seconds.clamp(0.0, 1e9)).unwrap_or_default();
            tokio::time::sleep(wait).await;
        }
        let none = |row: usize| seconds.is_valid(row).then_some("");
        Ok(ColumnarValue::Array(Arc::new((0..rows).map(none).collect::<StringArray>())))
    }
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let signature = Signature::new(TypeSignature::Exact(vec![DataType::Float64]), Volatility::Volatile);
    vec![AsyncScalarUDF::new(Arc::new(Sleep { signature })).into_scalar_udf()]
}
