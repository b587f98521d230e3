//! Texts as floats, and doubles as floats of four bytes: what a float can't hold is an error (22003), never an infinity
//! or a zero in its place.

use super::typed::{Typed, call};
use crate::error::{Error, raise};
use crate::time::Zone;
use crate::value::{parse_double, parse_real};
use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};
use std::sync::{Arc, LazyLock};

static DOUBLE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| of_text("read_double", DataType::Float64, doubles));
static REAL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| of_text("read_real", DataType::Float32, reals));
static NARROWED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let takes = |given: &[DataType]| (given.len() == 1).then(|| vec![DataType::Float64]);
    Typed { name: "narrowed", aliases: &[], takes, gives: |_| DataType::Float32, body: narrow }.udf()
});

fn of_text(name: &'static str, kind: DataType, body: fn(&[ArrayRef], Zone) -> Result<ArrayRef>) -> Arc<ScalarUDF> {
    let takes = |given: &[DataType]| (given.len() == 1).then(|| vec![DataType::Utf8]);
    let gives = if kind == DataType::Float64 { |_: &[DataType]| DataType::Float64 } else { |_: &[DataType]| DataType::Float32 };
    Typed { name, aliases: &[], takes, gives, body }.udf()
}

fn doubles(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let texts = cast(&args[0], &DataType::Utf8)?;
    let values = texts.as_string::<i32>().iter().map(|text| text.map(parse_double).transpose());
    Ok(Arc::new(values.collect::<std::result::Result<Float64Array, Error>>()?))
}

fn reals(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let texts = cast(&args[0], &DataType::Utf8)?;
    let values = texts.as_string::<i32>().iter().map(|text| text.map(parse_real).transpose());
    Ok(Arc::new(values.collect::<std::result::Result<Float32Array, Error>>()?))
}

fn narrow(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let one = |value: f64| {
        let single = value as f32;
        if single.is_infinite() && value.is_finite() {
            return Err(raise(Error::OutOfRange, "value out of range: overflow"));
        }
        if single == 0.0 && value != 0.0 {
            return Err(raise(Error::OutOfRange, "value out of range: underflow"));
        }
        Ok(single)
    };
    let values = args[0].as_primitive::<Float64Type>().iter().map(|value| value.map(one).transpose());
    Ok(Arc::new(values.collect::<std::result::Result<Float32Array, Error>>()?))
}

/// Those that rules put into plans.
pub(super) fn of_rules() -> [Arc<ScalarUDF>; 3] {
    [&DOUBLE, &REAL, &NARROWED].map(|function| Arc::clone(function))
}

/// A text as a float of this type.
pub(crate) fn read_float(text: Expr, kind: &DataType) -> Expr {
    call(if *kind == DataType::Float32 { &REAL } else { &DOUBLE }, vec![text])
}

/// A double as a float of four bytes.
pub(crate) fn narrowed(double: Expr) -> Expr {
    call(&NARROWED, vec![double])
}
