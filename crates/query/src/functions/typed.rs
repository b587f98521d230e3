//! A scalar function whose types depend on those of its arguments, made of plain functions.
//!
//! Promises: what it gives is NULL only where its body says so; the body sees arrays of one length,
//! and the session's time zone.

use crate::context::PlanOptions;
use crate::time::Zone;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The function. Two are equal when their names are.
#[derive(Debug)]
pub(crate) struct Typed {
    /// Its name.
    pub name: &'static str,
    /// Its other names.
    pub aliases: &'static [&'static str],
    /// The types that it takes where it is given these; None where it can't.
    pub takes: fn(&[DataType]) -> Option<Vec<DataType>>,
    /// What it gives for the types that it takes.
    pub gives: fn(&[DataType]) -> DataType,
    /// Computes it.
    pub body: fn(&[ArrayRef], Zone) -> Result<ArrayRef>,
}

#[derive(Debug)]
struct Made {
    of: Typed,
    aliases: Vec<String>,
    signature: Signature,
}

impl Typed {
    /// The function, ready to be registered or called.
    pub(crate) fn udf(self) -> Arc<ScalarUDF> {
        // What depends on the session's zone is the same all through a statement.
        self.made(Volatility::Immutable)
    }

    /// The same, never computed while a statement is planned: the session's zone is known when it runs.
    pub(crate) fn udf_at_run(self) -> Arc<ScalarUDF> {
        self.made(Volatility::Volatile)
    }

    fn made(self, volatility: Volatility) -> Arc<ScalarUDF> {
        let aliases = self.aliases.iter().map(|alias| (*alias).to_owned()).collect();
        let signature = Signature::user_defined(volatility);
        Arc::new(ScalarUDF::new_from_impl(Made { of: self, aliases, signature }))
    }
}

/// A call of a function.
pub(crate) fn call(function: &Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(datafusion::logical_expr::expr::ScalarFunction::new_udf(Arc::clone(function), args))
}

/// Types as they were given, with NULL alone as a text: an array of the null type says of no row that it is NULL.
pub(crate) fn as_given(given: &[DataType]) -> Vec<DataType> {
    given.iter().map(|kind| if kind.is_null() { DataType::Utf8 } else { kind.clone() }).collect()
}

/// The session's zone, as its configuration has it.
pub(crate) fn zone_of(config: &ConfigOptions) -> Zone {
    let options = config.extensions.get::<PlanOptions>();
    options.and_then(|options| Zone::parse(&options.zone).ok()).unwrap_or(Zone::Utc)
}

impl PartialEq for Made {
    fn eq(&self, other: &Self) -> bool {
        self.of.name == other.of.name
    }
}

impl Eq for Made {}

impl Hash for Made {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.of.name.hash(state);
    }
}

impl ScalarUDFImpl for Made {
    fn name(&self) -> &str {
        self.of.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        (self.of.takes)(given).ok_or_else(|| {
            let types: Vec<String> = given.iter().map(ToString::to_string).collect();
            DataFusionError::Plan(format!("No function matches {}({})", self.of.name, types.join(", ")))
        })
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok((self.of.gives)(given))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.of.name, (self.of.gives)(&types), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let out = (self.of.body)(&arrays, zone_of(&args.config_options))?;
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}
