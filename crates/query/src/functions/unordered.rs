//! DataFusion's functions of numbers without what they say of order, and with PostgreSQL's domains (`domains.rs`).
//!
//! They look at the range of their argument for it, and fail where its type or range is not known or not theirs
//! (`abs(a % b)`, any `acos`): then a plan that sorts by one is refused although it is right.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use datafusion::prelude::SessionContext;
use std::sync::Arc;

const NAMES: &[&str] = &[
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "ceil", "cos", "cosh", "degrees", "exp", "floor", "ln",
    "log", "log10", "log2", "power", "radians", "round", "signum", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
];

/// Puts them in the place of DataFusion's.
pub(super) fn register(context: &SessionContext) {
    for name in NAMES {
        if let Ok(inner) = context.udf(name) {
            context.register_udf(ScalarUDF::new_from_impl(Unordered { inner }));
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Unordered {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Unordered {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(given)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.inner.return_type(given)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        super::domains::check(self.inner.name(), &args.args, args.number_rows)?;
        self.inner.invoke_with_args(args)
    }
}
