//! The functions of whoever operates a fleet: each waits without keeping a thread.

use crate::engine::Engine;
use crate::operator::{Operator, OperatorFunction};
use arrow::array::{Array, StringArray};
use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

struct Operating {
    function: OperatorFunction,
    operator: Arc<dyn Operator>,
    signature: Signature,
}

impl fmt::Debug for Operating {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.function.name)
    }
}

impl PartialEq for Operating {
    fn eq(&self, other: &Operating) -> bool {
        self.signature == other.signature && self.function.name == other.function.name
    }
}

impl Eq for Operating {}

impl Hash for Operating {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Operating {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal(format!("{} waits, and so is not called", self.function.name)))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Operating {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args.args.iter().map(|column| column.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let mut said = Vec::with_capacity(rows);
        for row in 0..rows {
            let arguments = columns.iter().map(|column| ScalarValue::try_from_array(column, row)).collect::<Result<Vec<_>>>()?;
            // As a strict function of PostgreSQL's.
            if columns.iter().any(|column| column.is_null(row)) {
                said.push(None);
                continue;
            }
            said.push(Some(self.operator.call(self.function.name, arguments).await?));
        }
        Ok(ColumnarValue::Array(Arc::new(StringArray::from(said))))
    }
}

pub(super) fn all(engine: &Arc<Engine>) -> Vec<ScalarUDF> {
    let Some(operator) = &engine.settings.operator else { return Vec::new() };
    let made = |function: OperatorFunction| {
        let exact = match function.arguments.is_empty() {
            true => TypeSignature::Nullary,
            false => TypeSignature::Exact(function.arguments.clone()),
        };
        let signature = Signature::new(exact, Volatility::Volatile);
        let operator = Arc::clone(operator);
        AsyncScalarUDF::new(Arc::new(Operating { function, operator, signature })).into_scalar_udf()
    };
    operator.functions().into_iter().map(made).collect()
}
