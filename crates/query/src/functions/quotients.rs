//! `/` and `%` of numerics, and their mean, as exact as PostgreSQL has them.
//!
//! DataFusion's quotient has four more digits than its dividend, and cuts off what follows. Here it has at least
//! `DIGITS` behind the point (more where an operand has more) and is rounded, halves away from zero. PostgreSQL
//! chooses the digits of each quotient by its size, so that there are 16 significant ones; a column of one type can't.
//!
//! Promises: NULL where an operand is NULL; division by zero is 22012, what no numeric of 76 digits holds 22003.

use super::typed::{Typed, call};
use crate::error::{Error, raise};
use crate::time::Zone;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array};
use arrow::compute::cast;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal256Type, i256};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, Operator, ScalarUDF};
use std::sync::{Arc, LazyLock};

/// How many digits stand behind a quotient's point at least: 16 significant ones down to 0.0001.
const DIGITS: i8 = 20;
/// The integers that a mean is divided by.
const COUNT: DataType = DataType::Decimal128(20, 0);

static OVER: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let gives = |given: &[DataType]| quotient_type(&given[0], &given[1]);
    Typed { name: "numeric_over", aliases: &[], takes, gives, body: |args, _: Zone| divide(args, Part::Quotient) }.udf()
});

static REST: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let gives = |given: &[DataType]| rest_type(&given[0], &given[1]);
    Typed { name: "numeric_rest", aliases: &[], takes, gives, body: |args, _: Zone| divide(args, Part::Rest) }.udf()
});

/// Those that rules put into plans.
pub(super) fn of_rules() -> [Arc<ScalarUDF>; 2] {
    [&OVER, &REST].map(|function| Arc::clone(function))
}

/// `a / b` or `a % b`; None for other operators.
pub(crate) fn divided(op: Operator, a: Expr, b: Expr) -> Option<Expr> {
    match op {
        Operator::Divide => Some(call(&OVER, vec![a, b])),
        Operator::Modulo => Some(call(&REST, vec![a, b])),
        _ => None,
    }
}

/// Whether a type is a numeric.
pub(crate) fn is_decimal(kind: &DataType) -> bool {
    kind.is_decimal()
}

/// An operand as a numeric.
fn numeric(kind: &DataType) -> Option<DataType> {
    Some(match kind {
        DataType::Int8 | DataType::UInt8 => DataType::Decimal128(3, 0),
        DataType::Int16 | DataType::UInt16 => DataType::Decimal128(5, 0),
        DataType::Int32 | DataType::UInt32 => DataType::Decimal128(10, 0),
        DataType::Int64 | DataType::UInt64 => COUNT,
        DataType::Null => DataType::Decimal128(1, 0),
        kind if is_decimal(kind) => kind.clone(),
        _ => return None,
    })
}

fn takes(given: &[DataType]) -> Option<Vec<DataType>> {
    let fits = given.len() == 2 && given.iter().any(is_decimal);
    if fits { given.iter().map(numeric).collect() } else { None }
}

/// Digits in all, and behind the point.
fn digits(kind: &DataType) -> (i32, i32) {
    match kind {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (i32::from(*precision), i32::from(*scale)),
        _ => (20, 0),
    }
}

/// The numeric with so many digits before and behind the point, as far as there can be.
fn of_digits(before: i32, behind: i32) -> DataType {
    let most = i32::from(DECIMAL256_MAX_PRECISION);
    let (behind, all) = (behind.min(most), (before.max(1) + behind).min(most));
    if all <= i32::from(DECIMAL128_MAX_PRECISION) {
        DataType::Decimal128(all as u8, behind as i8)
    } else {
        DataType::Decimal256(all as u8, behind as i8)
    }
}

/// The type of a quotient.
pub(super) fn quotient_type(a: &DataType, b: &DataType) -> DataType {
    let ((precision, scale), (_, other)) = (digits(a), digits(b));
    of_digits(precision - scale + other, scale.max(other).max(i32::from(DIGITS)))
}

fn rest_type(a: &DataType, b: &DataType) -> DataType {
    let ((precision, scale), (other_precision, other_scale)) = (digits(a), digits(b));
    of_digits((precision - scale).min(other_precision - other_scale), scale.max(other_scale))
}

/// The type of a mean.
pub(super) fn mean_type(of: &DataType) -> DataType {
    let (precision, scale) = digits(of);
    of_digits(precision - scale, scale.max(i32::from(DIGITS)))
}

fn too_large() -> Error {
    raise(Error::OutOfRange, "value overflows numeric format").with_detail("a numeric has at most 76 digits")
}

fn ten_to(power: i32) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::try_from(power).ok()?)
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Quotient,
    Rest,
}

/// `a * 10^power / b`, rounded; `b` is not 0.
fn quotient(a: i256, b: i256, power: i32) -> Option<i256> {
    // Most fit into 128 bits, whose division is many times faster.
    if let (Some(a), Some(b)) = (a.to_i128(), b.to_i128())
        && let Some(scaled) =
            u32::try_from(power).ok().and_then(|power| 10_i128.checked_pow(power)).and_then(|by| a.checked_mul(by))
        && let (Some(whole), Some(rest)) = (scaled.checked_div(b), scaled.checked_rem(b))
    {
        let up = rest.unsigned_abs() >= b.unsigned_abs() - rest.unsigned_abs();
        let away = if (a < 0) == (b < 0) { 1 } else { -1 };
        return whole.checked_add(if up { away } else { 0 }).map(i256::from_i128);
    }
    let (ten, zero) = (i256::from_i128(10), i256::ZERO);
    let negative = (a < zero) != (b < zero);
    let (a, b) = (a.checked_abs()?, b.checked_abs()?);
    let (mut whole, mut rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    match ten_to(power).and_then(|by| rest.checked_mul(by).map(|scaled| (by, scaled))) {
        Some((by, scaled)) => {
            whole = whole.checked_mul(by)?.checked_add(scaled.checked_div(b)?)?;
            rest = scaled.checked_rem(b)?;
        }
        None => {
            for _ in 0..power {
                let next = rest.checked_mul(ten)?;
                whole = whole.checked_mul(ten)?.checked_add(next.checked_div(b)?)?;
                rest = next.checked_rem(b)?;
            }
        }
    }
    if rest >= b.checked_sub(rest)? {
        whole = whole.checked_add(i256::ONE)?;
    }
    if negative { whole.checked_neg() } else { Some(whole) }
}

fn rest(a: i256, b: i256, a_power: i32, b_power: i32) -> Option<i256> {
    a.checked_mul(ten_to(a_power)?)?.checked_rem(b.checked_mul(ten_to(b_power)?)?)
}

/// A value of a type, where the type can hold it.
fn held(value: Option<i256>, precision: i32) -> std::result::Result<i256, Error> {
    let bound = ten_to(precision).unwrap_or(i256::MAX);
    value.filter(|value| value.checked_abs().is_some_and(|size| size < bound)).ok_or_else(too_large)
}

fn divide(args: &[ArrayRef], part: Part) -> Result<ArrayRef> {
    let (kinds, types) = ([digits(args[0].data_type()), digits(args[1].data_type())], [args[0].data_type(), args[1].data_type()]);
    let gives = if part == Part::Quotient { quotient_type(types[0], types[1]) } else { rest_type(types[0], types[1]) };
    let (precision, scale) = digits(&gives);
    let wide = |at: usize| cast(&args[at], &DataType::Decimal256(DECIMAL256_MAX_PRECISION, kinds[at].1 as i8));
    let (a, b) = (wide(0)?, wide(1)?);
    let (a, b) = (a.as_primitive::<Decimal256Type>(), b.as_primitive::<Decimal256Type>());
    let one = |(a, b): (Option<i256>, Option<i256>)| {
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        if b == i256::ZERO {
            return Err(raise(Error::DivisionByZero, "division by zero"));
        }
        let found = match part {
            Part::Quotient => quotient(a, b, scale + kinds[1].1 - kinds[0].1),
            Part::Rest => rest(a, b, scale - kinds[0].1, scale - kinds[1].1),
        };
        held(found, precision).map(Some)
    };
    let values = a.iter().zip(b.iter()).map(one).collect::<std::result::Result<Vec<_>, Error>>()?;
    of_values(values, &gives)
}

fn of_values(values: Vec<Option<i256>>, kind: &DataType) -> Result<ArrayRef> {
    Ok(match kind {
        DataType::Decimal128(precision, scale) => {
            let short = values.into_iter().map(|value| value.and_then(|value| value.to_i128()));
            Arc::new(short.collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Decimal256(precision, scale) => {
            Arc::new(values.into_iter().collect::<Decimal256Array>().with_precision_and_scale(*precision, *scale)?)
        }
        other => return Err(DataFusionError::Internal(format!("a quotient of type {other}"))),
    })
}

/// A mean of a sum with so many digits behind the point.
pub(super) fn mean(sum: i256, count: u64, scale: i8, kind: &DataType) -> Result<ScalarValue> {
    let (precision, wanted) = digits(kind);
    let value = if count == 0 {
        None
    } else {
        Some(held(quotient(sum, i256::from_i128(i128::from(count)), wanted - i32::from(scale)), precision)?)
    };
    ScalarValue::try_from_array(&of_values(vec![value], kind)?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::util::display::array_value_to_string;

    fn decimal(text: &str, kind: &DataType) -> ArrayRef {
        cast(&(Arc::new(arrow::array::StringArray::from(vec![text])) as ArrayRef), kind).unwrap()
    }

    fn shown(part: Part, a: (&str, DataType), b: (&str, DataType)) -> String {
        let out = divide(&[decimal(a.0, &a.1), decimal(b.0, &b.1)], part);
        out.map_or_else(|error| error.to_string(), |out| array_value_to_string(&out, 0).unwrap())
    }

    /// Digits of PostgreSQL 15, as far as this type has them.
    #[test]
    fn quotients_are_rounded() {
        let whole = DataType::Decimal128(30, 0);
        let over = |a: &str, b: &str| shown(Part::Quotient, (a, whole.clone()), (b, COUNT));
        assert_eq!(over("10", "3"), "3.33333333333333333333");
        assert_eq!(over("20", "3"), "6.66666666666666666667");
        assert_eq!(over("-20", "3"), "-6.66666666666666666667");
        assert_eq!(over("20", "-3"), "-6.66666666666666666667");
        assert_eq!(over("1", "7000"), "0.00014285714285714286");
        assert_eq!(over("999999999999999999999999999999", "7"), "142857142857142857142857142857.00000000000000000000");
        assert!(over("1", "0").contains("division by zero"));
        let long = DataType::Decimal256(76, 20);
        let most = "9".repeat(56);
        assert_eq!(shown(Part::Quotient, (&most, long.clone()), (&most, long.clone())), "1.00000000000000000000");
        assert!(shown(Part::Quotient, (&most, long.clone()), ("0.1", long)).contains("overflows numeric"));
    }

    #[test]
    fn rests_have_the_sign_of_what_is_divided() {
        let kind = DataType::Decimal128(38, 10);
        let rest = |a: &str, b: &str| shown(Part::Rest, (a, kind.clone()), (b, DataType::Decimal128(20, 0)));
        assert_eq!((rest("10.5", "3").as_str(), rest("-10.5", "3").as_str()), ("1.5000000000", "-1.5000000000"));
        assert!(rest("1", "0").contains("division by zero"));
        let other = shown(Part::Rest, ("7.25", DataType::Decimal128(10, 2)), ("0.5", DataType::Decimal128(5, 3)));
        assert_eq!(other, "0.250");
    }
}
