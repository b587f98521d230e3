//! Texts without a type beside values that have one: they take the type of the others, as in PostgreSQL.
//!
//! `rewrite/unknown.rs` writes `unknown_as('1', a, b)` in the place of `'1'`: until types are settled it has the type of
//! `a` and `b` together, then it is the text cast to that type (`rules/literals.rs`).

use super::typed::Typed;
use super::zones::is_moment;
use crate::array_text::{items, list};
use crate::error::Error;
use crate::time::{Zone, parse};
use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::type_coercion::binary::type_union_resolution;
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF, cast as cast_to};
use std::sync::{Arc, LazyLock};

/// Its name.
pub(crate) const UNKNOWN: &str = "unknown_as";

/// The function.
pub(super) static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let takes = |given: &[DataType]| (given.len() > 1).then(|| given.to_vec());
    let gives = |given: &[DataType]| together(&given[1..]);
    Typed { name: UNKNOWN, aliases: &[], takes, gives, body: run }.udf()
});

/// What a call gives where it is computed before types are settled, as arguments of table functions are.
fn run(args: &[ArrayRef], zone: Zone) -> Result<ArrayRef> {
    let kinds: Vec<DataType> = args[1..].iter().map(|arg| arg.data_type().clone()).collect();
    let (texts, kind) = (cast(&args[0], &DataType::Utf8)?, together(&kinds));
    if is_moment(&kind) {
        let times = texts.as_string::<i32>().iter().map(|text| text.map(|text| parse(text, zone)).transpose());
        let times: TimestampMicrosecondArray = times.collect::<std::result::Result<_, Error>>()?;
        return Ok(cast(&times.with_timezone("UTC"), &kind)?);
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(&texts, &kind, &strict)?)
}

/// The type that values of these types have together; text where there is none.
pub(crate) fn together(kinds: &[DataType]) -> DataType {
    let known: Vec<DataType> = kinds.iter().filter(|kind| !kind.is_null()).cloned().collect();
    let Some(first) = known.first() else { return DataType::Utf8 };
    let all = if known.iter().all(|kind| kind == first) { Some(first.clone()) } else { type_union_resolution(&known) };
    match all {
        Some(kind) if !is_text(&kind) => kind,
        _ => DataType::Utf8,
    }
}

/// Whether a type is text, in whatever layout.
pub(crate) fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn typed(text: Expr, kind: DataType) -> Result<Expr> {
    match &text {
        Expr::Literal(value, _) if matches!(kind, DataType::List(_)) && !value.is_null() => {
            let items = items(value.try_as_str().flatten().unwrap_or_default())?;
            let list = list(&items, &kind, &mut |kind, text| Ok(ScalarValue::try_from_string(text.to_owned(), kind)?))?;
            Ok(Expr::Literal(list, None))
        }
        _ => Ok(cast_to(text, kind)),
    }
}

/// What such a call stands for; other expressions as they are.
pub(crate) fn settled(expr: Expr, schema: &dyn datafusion::common::ExprSchema) -> Result<(Expr, bool)> {
    match expr {
        Expr::ScalarFunction(mut call) if call.func.name() == UNKNOWN && !call.args.is_empty() => {
            let kinds = call.args[1..].iter().map(|arg| arg.get_type(schema)).collect::<Result<Vec<_>>>()?;
            let (text, kind) = (call.args.swap_remove(0), together(&kinds));
            Ok((if kind == DataType::Utf8 { text } else { typed(text, kind)? }, true))
        }
        expr => Ok((expr, false)),
    }
}
