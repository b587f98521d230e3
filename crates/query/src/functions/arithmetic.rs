//! What PostgreSQL means by arithmetic where Arrow means something else: integers that overflow are an
//! error, a float becomes an integer by rounding (halves to even), and there is one NaN, whatever
//! bits a computation left in it, so that all of them are equal and come last.

use super::typed::{Typed, call};
use crate::time::Zone;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Operator, ScalarUDF};
use std::sync::{Arc, LazyLock};

type Checked = fn(&dyn arrow::array::Datum, &dyn arrow::array::Datum) -> std::result::Result<ArrayRef, ArrowError>;

fn of_two(name: &'static str, body: fn(&[ArrayRef], Zone) -> Result<ArrayRef>) -> Arc<ScalarUDF> {
    let takes = |given: &[DataType]| (given.len() == 2 && given[0] == given[1]).then(|| given.to_vec());
    Typed { name, aliases: &[], takes, gives: |given| given[0].clone(), body }.udf()
}

fn of_one(name: &'static str, body: fn(&[ArrayRef], Zone) -> Result<ArrayRef>) -> Arc<ScalarUDF> {
    let takes = |given: &[DataType]| (given.len() == 1).then(|| given.to_vec());
    Typed { name, aliases: &[], takes, gives: |given| given[0].clone(), body }.udf()
}

fn apply(kernel: Checked, args: &[ArrayRef]) -> Result<ArrayRef> {
    Ok(kernel(&args[0], &args[1])?)
}

static ADD: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| of_two("integer_add", |args, _| apply(numeric::add, args)));
static SUB: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| of_two("integer_sub", |args, _| apply(numeric::sub, args)));
static MUL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| of_two("integer_mul", |args, _| apply(numeric::mul, args)));
static NEG: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| of_one("integer_neg", |args, _| Ok(numeric::neg(&args[0])?)));
static ROUND: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| of_one("round_to_even", |args, _| Ok(map(&args[0], f64::round_ties_even, f32::round_ties_even))));
static ONE_NAN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| of_one("one_nan", |args, _| Ok(one_nan_of(&args[0]))));

static ONE_ZERO: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    // Adding 0 makes 0 of -0 and nothing else of anything else.
    of_one("one_zero", |args, _| Ok(map(&one_nan_of(&args[0]), |value| value + 0.0, |value| value + 0.0)))
});

fn map(array: &ArrayRef, double: impl Fn(f64) -> f64, single: impl Fn(f32) -> f32) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(double)) as ArrayRef,
        DataType::Float32 => Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(single)),
        _ => Arc::clone(array),
    }
}

/// The array with the one NaN in place of all; most have none, and stay what they are.
pub(crate) fn one_nan_of(array: &ArrayRef) -> ArrayRef {
    let has = match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().values().iter().any(|value| value.is_nan()),
        DataType::Float32 => array.as_primitive::<Float32Type>().values().iter().any(|value| value.is_nan()),
        _ => false,
    };
    if !has {
        return Arc::clone(array);
    }
    map(array, |value| if value.is_nan() { f64::NAN } else { value }, |value| if value.is_nan() { f32::NAN } else { value })
}

/// `a op b` of integers, as an error where it overflows; None for other operators.
pub(crate) fn checked(op: Operator, a: Expr, b: Expr) -> Option<Expr> {
    let function = match op {
        Operator::Plus => &ADD,
        Operator::Minus => &SUB,
        Operator::Multiply => &MUL,
        _ => return None,
    };
    Some(call(function, vec![a, b]))
}

/// `-a` of an integer.
pub(crate) fn negated(a: Expr) -> Expr {
    call(&NEG, vec![a])
}

/// A float without a fraction.
pub(crate) fn rounded(a: Expr) -> Expr {
    call(&ROUND, vec![a])
}

/// A float that is computed.
pub(crate) fn one_nan(a: Expr) -> Expr {
    call(&ONE_NAN, vec![a])
}

/// A float of which there is one for all that are equal; itself where it is one already.
pub(crate) fn one_zero(a: Expr) -> Expr {
    if matches!(&a, Expr::ScalarFunction(call) if call.func.name() == ONE_ZERO.name()) { a } else { call(&ONE_ZERO, vec![a]) }
}

/// Whether an expression is already one of ours.
pub(crate) fn is_one_nan(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == ONE_NAN.name())
}

fn sign_all(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    // Rust's signum says that zero is positive; to PostgreSQL what is neither above nor below it, NaN too, has none.
    let sign = |value: f64| if value == 0.0 || value.is_nan() { 0.0 } else { value.signum() };
    Ok(map(&args[0], sign, |value| value))
}

/// Those that rules put into plans.
pub(super) fn of_rules() -> [Arc<ScalarUDF>; 7] {
    [&ADD, &SUB, &MUL, &NEG, &ROUND, &ONE_NAN, &ONE_ZERO].map(|function| Arc::clone(function))
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let takes = |given: &[DataType]| (given.len() == 1 && given[0].is_numeric()).then(|| vec![DataType::Float64]);
    let sign = Typed { name: "sign", aliases: &[], takes, gives: |_| DataType::Float64, body: sign_all };
    vec![sign.udf().as_ref().clone()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Float64Array};

    /// Answers of PostgreSQL 15.
    #[test]
    fn signs() {
        let values: ArrayRef = Arc::new(Float64Array::from(vec![2.5, -0.1, -0.0, f64::NAN, f64::NEG_INFINITY]));
        let signs = sign_all(&[values], Zone::Utc).unwrap();
        assert_eq!(signs.as_primitive::<Float64Type>().values(), &[1.0, -1.0, 0.0, 0.0, -1.0]);
    }

    #[test]
    fn there_is_one_nan() {
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![Some(-f64::NAN), None, Some(-0.0), Some(1.5)]));
        let out = one_nan_of(&doubles);
        let bits: Vec<Option<u64>> = out.as_primitive::<Float64Type>().iter().map(|value| value.map(f64::to_bits)).collect();
        assert_eq!(bits, [Some(f64::NAN.to_bits()), None, Some((-0.0_f64).to_bits()), Some(1.5_f64.to_bits())]);
        let plain: ArrayRef = Arc::new(Float32Array::from(vec![1.0, -2.0]));
        assert!(Arc::ptr_eq(&plain, &one_nan_of(&plain)));
    }
}
