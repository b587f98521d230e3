//! What the operands of a point question stand for once its parameters are there.

use super::question::{Bound, Limit, Moment, Operand, Tags};
use super::resolved::texts;
use crate::error::{Error, raise};
use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::common::ScalarValue;
use types::{TimeRange, Timestamp};

#[cold]
pub(super) fn wrong_parameter(number: usize, wanted: &str, found: Option<&ScalarValue>) -> Error {
    let found = found.map_or_else(|| "missing".to_owned(), |value| value.data_type().to_string());
    raise(Error::Type, format!("parameter ${} must be {wanted}, but is {found}", number + 1))
}

/// The elements of an array operand; None for NULL.
pub(super) fn array(operand: &Operand<ScalarValue>, params: &[ScalarValue]) -> Result<Option<ArrayRef>, Error> {
    let (number, value) = match operand {
        Operand::Value(value) => (0, Some(value)),
        Operand::Parameter(number) => (*number, params.get(*number)),
    };
    match value {
        Some(ScalarValue::List(list)) if list.len() == 1 => Ok(list.is_valid(0).then(|| list.value(0))),
        Some(ScalarValue::Null) => Ok(None),
        other => Err(wrong_parameter(number, "an array", other)),
    }
}

/// A text; None for NULL.
pub(super) fn text<'a>(operand: &'a Operand<String>, params: &'a [ScalarValue]) -> Result<Option<&'a str>, Error> {
    let number = match operand {
        Operand::Value(text) => return Ok(Some(text)),
        Operand::Parameter(number) => *number,
    };
    match params.get(number) {
        Some(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text)) => Ok(text.as_deref()),
        Some(ScalarValue::Null) => Ok(None),
        other => Err(wrong_parameter(number, "text", other)),
    }
}

/// The names of tags; None for NULL.
pub(super) fn names(tags: &Tags, params: &[ScalarValue]) -> Result<Option<StringArray>, Error> {
    let listed = match tags {
        Tags::Array(operand) => {
            let Some(names) = array(operand, params)? else { return Ok(None) };
            return Ok(Some(texts(&names)?.as_string::<i32>().clone()));
        }
        Tags::One(operand) => std::slice::from_ref(operand),
        Tags::Listed(operands) => operands,
    };
    let names = listed.iter().map(|operand| text(operand, params)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(StringArray::from(names)))
}

fn moment(operand: &Operand<i64>, params: &[ScalarValue]) -> Result<Option<i64>, Error> {
    let number = match operand {
        Operand::Value(us) => return Ok(Some(*us)),
        Operand::Parameter(number) => *number,
    };
    match params.get(number) {
        Some(ScalarValue::TimestampMicrosecond(us, _)) => Ok(*us),
        Some(ScalarValue::Null) => Ok(None),
        other => Err(wrong_parameter(number, "timestamptz", other)),
    }
}

/// The range that bounds leave, `now_us` being the statement's moment; None where a bound is NULL, or nothing can be in it.
pub(super) fn range(
    lows: &[Bound],
    highs: &[Bound],
    params: &[ScalarValue],
    now_us: impl Fn() -> i64,
) -> Result<Option<TimeRange>, Error> {
    // Asked for once, so that both ends mean the same moment, and only where it is wanted.
    let now = std::cell::OnceCell::new();
    let us = |bound: &Bound| match &bound.moment {
        Moment::Given(operand) => moment(operand, params),
        Moment::FromNow(offset) => Ok(Some(now.get_or_init(&now_us).saturating_add(*offset))),
    };
    let mut out = TimeRange::ALL;
    for low in lows {
        let Some(first) = us(low)?.and_then(|us| us.checked_add(i64::from(low.strict))) else { return Ok(None) };
        out.first = out.first.max(Timestamp(first));
    }
    for high in highs {
        let Some(last) = us(high)?.and_then(|us| us.checked_sub(i64::from(high.strict))) else { return Ok(None) };
        out.last = out.last.min(Timestamp(last));
    }
    Ok((!out.is_empty()).then_some(out))
}

pub(super) fn rows_limit(limit: Option<&Limit>, params: &[ScalarValue]) -> Result<Option<u64>, Error> {
    match limit {
        None => Ok(None),
        Some(Limit::Rows(rows)) => Ok(Some(*rows)),
        Some(Limit::Parameter(number)) => match params.get(*number) {
            Some(ScalarValue::Int64(Some(rows))) => {
                u64::try_from(*rows).map(Some).map_err(|_| raise(Error::InvalidParameter, "LIMIT must not be negative"))
            }
            Some(ScalarValue::Int64(None) | ScalarValue::Null) => Ok(None),
            other => Err(wrong_parameter(*number, "bigint", other)),
        },
    }
}
