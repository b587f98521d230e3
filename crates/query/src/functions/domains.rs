//! What functions of floats are not defined for: an error, as in PostgreSQL, in place of NaN and infinities.

use crate::error::{Error, raise};
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

type Checked = std::result::Result<(), Error>;

fn logarithm(x: f64) -> Checked {
    if x == 0.0 {
        return Err(raise(Error::Logarithm, "cannot take logarithm of zero"));
    }
    if x < 0.0 {
        return Err(raise(Error::Logarithm, "cannot take logarithm of a negative number"));
    }
    Ok(())
}

fn root(x: f64) -> Checked {
    if x < 0.0 { Err(raise(Error::Power, "cannot take square root of a negative number")) } else { Ok(()) }
}

fn within(fits: bool) -> Checked {
    if fits { Ok(()) } else { Err(raise(Error::OutOfRange, "input is out of range")) }
}

fn overflow(inputs_finite: bool, out: f64) -> Checked {
    let overflows = inputs_finite && out.is_infinite();
    if overflows { Err(raise(Error::OutOfRange, "value out of range: overflow")) } else { Ok(()) }
}

/// What a function of one float takes.
fn of_one(name: &str) -> Option<fn(f64) -> Checked> {
    Some(match name {
        "ln" | "log" | "log10" | "log2" => logarithm,
        "sqrt" => root,
        "acos" | "asin" => |x| within(x.is_nan() || x.abs() <= 1.0),
        "acosh" => |x| within(x.is_nan() || x >= 1.0),
        "atanh" => |x| within(x.is_nan() || x.abs() <= 1.0),
        "exp" => |x| overflow(x.is_finite(), x.exp()),
        _ => return None,
    })
}

fn power(base: f64, exponent: f64) -> Checked {
    if base == 0.0 && exponent < 0.0 {
        return Err(raise(Error::Power, "zero raised to a negative power is undefined"));
    }
    if base < 0.0 && base.is_finite() && exponent.is_finite() && exponent.fract() != 0.0 {
        return Err(raise(Error::Power, "a negative number raised to a non-integer power yields a complex result"));
    }
    overflow(base.is_finite() && exponent.is_finite(), base.powf(exponent))
}

fn log_of_base(base: f64, x: f64) -> Checked {
    logarithm(base)?;
    logarithm(x)?;
    if base == 1.0 { Err(raise(Error::DivisionByZero, "division by zero")) } else { Ok(()) }
}

fn each(value: &ColumnarValue, check: fn(f64) -> Checked) -> Result<()> {
    let values = cast(&value.to_array(1)?, &DataType::Float64)?;
    values.as_primitive::<Float64Type>().iter().flatten().try_for_each(check)?;
    Ok(())
}

/// Checks the arguments of a function.
///
/// # Errors
/// `Error::Logarithm`, `Error::Power`, `Error::OutOfRange`, `Error::DivisionByZero`.
pub(super) fn check(name: &str, args: &[ColumnarValue], rows: usize) -> Result<()> {
    let numbers = args.iter().all(|arg| arg.data_type().is_numeric());
    match args {
        [one] if numbers => of_one(name).map_or(Ok(()), |check| each(one, check)),
        [a, b] if numbers && matches!(name, "log" | "power") => {
            let check = if name == "log" { log_of_base } else { power };
            let double = |value: &ColumnarValue| {
                Ok::<_, datafusion::error::DataFusionError>(cast(&value.to_array(rows)?, &DataType::Float64)?)
            };
            let (a, b) = (double(a)?, double(b)?);
            let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
            let pairs = a.iter().zip(b.iter());
            pairs.filter_map(|(a, b)| Some((a?, b?))).try_for_each(|(a, b)| check(a, b))?;
            Ok(())
        }
        _ => Ok(()),
    }
}
