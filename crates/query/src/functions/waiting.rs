//! A function whose answer is waited for: it is called once a row, and keeps no thread meanwhile.
//!
//! Promises: a cancelled statement waits no longer; what it asked for may go on. A strict function answers null where an argument
//! is null, and is not called. May not know what is asked.

use crate::error::Error;
use arrow::array::Array;
use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use futures::future::BoxFuture;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

type Answer = BoxFuture<'static, std::result::Result<ScalarValue, Error>>;
type Body = Arc<dyn Fn(Vec<ScalarValue>) -> Answer + Send + Sync>;

/// The function. Two are equal when their names are: each name is registered once a session.
struct Waiting {
    name: &'static str,
    signature: Signature,
    gives: DataType,
    strict: bool,
    body: Body,
}

/// What it takes: lists of types, one of which fits; and whether it is asked about nulls.
pub(super) struct Takes {
    pub lists: Vec<Vec<DataType>>,
    pub strict: bool,
}

impl Takes {
    /// These, of which the last `optional` ones may be left out.
    pub(super) fn with_optional(types: &[DataType], optional: usize, strict: bool) -> Takes {
        let least = types.len().saturating_sub(optional);
        Takes { lists: (least..=types.len()).map(|count| types[..count].to_vec()).collect(), strict }
    }
}

/// Makes one.
pub(super) fn make(
    name: &'static str,
    takes: Takes,
    gives: DataType,
    body: impl Fn(Vec<ScalarValue>) -> Answer + Send + Sync + 'static,
) -> ScalarUDF {
    let one = |types: Vec<DataType>| if types.is_empty() { TypeSignature::Nullary } else { TypeSignature::Exact(types) };
    let mut all: Vec<TypeSignature> = takes.lists.into_iter().map(one).collect();
    let takes_one = if all.len() == 1 { all.remove(0) } else { TypeSignature::OneOf(all) };
    let signature = Signature::new(takes_one, Volatility::Volatile);
    let made = Waiting { name, signature, gives, strict: takes.strict, body: Arc::new(body) };
    AsyncScalarUDF::new(Arc::new(made)).into_scalar_udf()
}

impl fmt::Debug for Waiting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.name == other.name
    }
}

impl Eq for Waiting {}

impl Hash for Waiting {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Waiting {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.gives.clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal(format!("{} waits, and so is not called", self.name)))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Waiting {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args.args.iter().map(|column| column.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let mut answers = Vec::with_capacity(rows);
        for row in 0..rows {
            let arguments = columns.iter().map(|column| ScalarValue::try_from_array(column, row)).collect::<Result<Vec<_>>>()?;
            // As a strict function of PostgreSQL's.
            answers.push(if self.strict && columns.iter().any(|column| column.is_null(row)) {
                ScalarValue::try_from(&self.gives)?
            } else {
                (self.body)(arguments).await?
            });
        }
        let none = || arrow::array::new_empty_array(&self.gives);
        Ok(ColumnarValue::Array(if answers.is_empty() { none() } else { ScalarValue::iter_to_array(answers)? }))
    }
}
