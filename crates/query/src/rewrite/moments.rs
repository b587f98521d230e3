//! Times in the arrays of `values_at`: DataFusion computes a table function's arguments while it plans, by a parser of its
//! own and without the session's zone. So texts that name moments become calls that are computed when the statement runs.
//!
//! Promises: parameters, and whatever is no text, stay as they are.

use super::{arrays, selects};
use crate::error::Error;
use crate::functions::TIME_AT_RUN;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, FunctionArg, FunctionArgExpr, TableFactor, TimezoneInfo, Value,
};

/// Rewrites the times of `values_at`; any other table stays.
///
/// # Errors
/// `Error::InvalidText` where a text that is cast to an array is none.
pub(super) fn of_values_at(factor: &mut TableFactor) -> Result<(), Error> {
    let TableFactor::Table { name, args: Some(args), .. } = factor else { return Ok(()) };
    if !name.to_string().eq_ignore_ascii_case("values_at") {
        return Ok(());
    }
    if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(times))) = args.args.get_mut(1) {
        times_in(times)?;
    }
    Ok(())
}

fn times_in(times: &mut Expr) -> Result<(), Error> {
    match times {
        Expr::Nested(inner) => times_in(inner),
        Expr::Cast { expr, data_type, .. } if are_moments(data_type) => {
            arrays::literal(expr, data_type)?;
            times_in(expr)
        }
        Expr::Array(array) => {
            array.elem.iter_mut().for_each(read_at_run);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A text, or a text that is cast to a moment, becomes a call.
fn read_at_run(item: &mut Expr) {
    let text = match &*item {
        Expr::Cast { expr, data_type, .. } if is_moment(data_type) => text_of(expr),
        Expr::TypedString(typed) if is_moment(&typed.data_type) => text_in(&typed.value.value),
        item => text_of(item),
    };
    if let Some(text) = text {
        *item = selects::call(TIME_AT_RUN, vec![Expr::value(Value::SingleQuotedString(text))]);
    }
}

fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => text_in(&value.value),
        Expr::Nested(inner) => text_of(inner),
        _ => None,
    }
}

fn text_in(value: &Value) -> Option<String> {
    if let Value::SingleQuotedString(text) = value { Some(text.clone()) } else { None }
}

fn is_moment(kind: &DataType) -> bool {
    // Another precision is refused, as anywhere else.
    matches!(kind, DataType::Timestamp(None | Some(6), TimezoneInfo::Tz | TimezoneInfo::WithTimeZone))
}

fn are_moments(kind: &DataType) -> bool {
    matches!(kind, DataType::Array(ArrayElemTypeDef::SquareBracket(item, _)) if is_moment(item))
}
