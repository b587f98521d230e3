//! `width_bucket`, `num_nulls` and `num_nonnulls`.

use super::typed::{Typed, as_given};
use crate::error::{Error, raise};
use crate::time::Zone;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// In which of `count` equal buckets from low to high a value lies: 0 below, count + 1 from high on; bounds may fall.
fn bucket(value: f64, low: f64, high: f64, count: i64) -> std::result::Result<i32, Error> {
    let refuse = |why: &str| Err(raise(Error::Buckets, why));
    let Some(last) = i32::try_from(count).ok().filter(|count| *count > 0 && *count < i32::MAX) else {
        return refuse("count must be greater than zero");
    };
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return refuse("operand, lower bound, and upper bound cannot be NaN");
    }
    if !low.is_finite() || !high.is_finite() {
        return refuse("lower and upper bounds must be finite");
    }
    let (below, beyond, part) = match low.partial_cmp(&high) {
        Some(std::cmp::Ordering::Less) => (value < low, value >= high, (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)),
        Some(std::cmp::Ordering::Greater) => (value > low, value <= high, (low / 2.0 - value / 2.0) / (low / 2.0 - high / 2.0)),
        _ => return refuse("lower bound cannot equal upper bound"),
    };
    Ok(if below {
        0
    } else if beyond {
        last + 1
    } else {
        ((part * f64::from(last)) as i32 + 1).min(last)
    })
}

fn buckets(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let number = |at: usize, row: usize| args[at].as_primitive::<Float64Type>().value(row);
    let one = |row: usize| {
        let null = args.iter().any(|arg| arg.is_null(row));
        let count = args[3].as_primitive::<Int64Type>();
        let found = || bucket(number(0, row), number(1, row), number(2, row), count.value(row));
        if null { Ok(None) } else { found().map(Some) }
    };
    Ok(Arc::new((0..args[0].len()).map(one).collect::<std::result::Result<Int32Array, Error>>()?))
}

fn counted(args: &[ArrayRef], null: bool) -> Result<ArrayRef> {
    let rows = args.first().map_or(1, |arg| arg.len());
    let of = |row: usize| args.iter().filter(|arg| arg.is_null(row) == null).count() as i32;
    Ok(Arc::new((0..rows).map(|row| Some(of(row))).collect::<Int32Array>()))
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let bounds = |given: &[DataType]| {
        let numbers = given.len() == 4 && given.iter().all(|kind| kind.is_numeric() || kind.is_null());
        numbers.then(|| vec![DataType::Float64, DataType::Float64, DataType::Float64, DataType::Int64])
    };
    let any = |given: &[DataType]| (!given.is_empty()).then(|| as_given(given));
    let whole = |name, takes, body| Typed { name, aliases: &[], takes, gives: |_| DataType::Int32, body };
    let all = [
        whole("width_bucket", bounds, buckets),
        whole("num_nulls", any, |args, _| counted(args, true)),
        whole("num_nonnulls", any, |args, _| counted(args, false)),
    ];
    all.into_iter().map(|function| function.udf().as_ref().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of PostgreSQL 15.
    #[test]
    fn values_lie_in_buckets() {
        let rows = [
            (5.35, 0.024, 10.06, 5, 3),
            (-1.0, 0.0, 10.0, 5, 0),
            (10.0, 0.0, 10.0, 5, 6),
            (3.0, 10.0, 0.0, 5, 4),
            (11.0, 10.0, 0.0, 5, 0),
        ];
        for (value, low, high, count, expect) in rows {
            assert_eq!(bucket(value, low, high, count).unwrap(), expect, "{value}");
        }
        assert_eq!(bucket(f64::MAX, -f64::MAX, f64::MAX, 4).unwrap(), 5);
        assert!(bucket(1.0, 1.0, 1.0, 3).is_err() && bucket(1.0, 0.0, 1.0, 0).is_err());
    }
}
