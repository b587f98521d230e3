//! Aggregates where DataFusion's own give another answer than PostgreSQL's.
//!
//! - `sum` of bigint is numeric, so that it can't overflow;
//! - `min` and `max` of floats know infinity, and NaN as the largest of all;
//! - `sum`, `avg`, `variance` and `stddev` of floats over a moving frame forget a NaN, an infinity or a
//!   large number once the frame has left it (`moving.rs`).
//!
//! Everything else is handed on to DataFusion's.

use super::moving::{Measure, Moving};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature, Volatility,
};
use std::sync::{Arc, LazyLock};

/// What a sum of bigint adds up as.
const WIDE: DataType = DataType::Decimal128(20, 0);

/// What is not DataFusion's of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ours {
    Sum,
    Extreme,
    Moving(Measure),
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Amended {
    ours: Ours,
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

fn amended(ours: Ours, inner: Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    let signature = if ours == Ours::Sum { Signature::user_defined(Volatility::Immutable) } else { inner.signature().clone() };
    Arc::new(AggregateUDF::new_from_impl(Amended { ours, inner, signature }))
}

/// `min`.
pub(crate) static MIN: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| amended(Ours::Extreme, min_udaf()));
/// `max`.
pub(crate) static MAX: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| amended(Ours::Extreme, max_udaf()));

pub(super) fn all() -> Vec<AggregateUDF> {
    let moving = |measure, inner| amended(Ours::Moving(measure), inner);
    let all = [
        amended(Ours::Sum, sum_udaf()),
        Arc::clone(&MIN),
        Arc::clone(&MAX),
        moving(Measure::Mean, avg_udaf()),
        moving(Measure::SampleVariance, var_samp_udaf()),
        moving(Measure::Variance, var_pop_udaf()),
        moving(Measure::SampleDeviation, stddev_udaf()),
        moving(Measure::Deviation, stddev_pop_udaf()),
    ];
    all.iter().map(|function| function.as_ref().clone()).collect()
}

fn is_float(kind: &DataType) -> bool {
    matches!(kind, DataType::Float64 | DataType::Float32)
}

/// The arguments as `min` and `max` of integers want them.
fn of_keys(args: AccumulatorArgs<'_>) -> AccumulatorArgs<'_> {
    let field = Field::new(args.return_field.name(), DataType::Int64, true);
    AccumulatorArgs { return_field: Arc::new(field), ..args }
}

impl AggregateUDFImpl for Amended {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if self.ours != Ours::Sum {
            return self.inner.coerce_types(given);
        }
        use DataType::{
            Decimal128, Duration, Float16, Float32, Float64, Int8, Int16, Int32, Int64, Interval, UInt8, UInt16, UInt32, UInt64,
        };
        match given {
            [Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32] => Ok(vec![Int64]),
            [Int64 | UInt64 | DataType::Null] => Ok(vec![WIDE]),
            [Float16 | Float32 | Float64] => Ok(vec![Float64]),
            [Decimal128(..) | Interval(_) | Duration(_)] => Ok(given.to_vec()),
            _ => Err(DataFusionError::Plan(format!(
                "No function matches sum({})",
                given.first().map_or("".to_owned(), DataType::to_string)
            ))),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.inner.return_type(given)
    }

    fn return_field(&self, given: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(given)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if self.ours == Ours::Extreme && is_float(args.return_type()) {
            let single = *args.return_type() == DataType::Float32;
            return Ok(Box::new(Keyed { single, inner: self.inner.accumulator(of_keys(args))? }));
        }
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let float = is_float(args.return_type()) && args.expr_fields.first().is_some_and(|field| is_float(field.data_type()));
        match self.ours {
            Ours::Extreme if is_float(args.return_type()) => {
                let single = *args.return_type() == DataType::Float32;
                Ok(Box::new(Keyed { single, inner: self.inner.create_sliding_accumulator(of_keys(args))? }))
            }
            Ours::Sum if float && !args.is_distinct => Ok(Box::new(Moving::new(Measure::Sum))),
            Ours::Moving(measure) if float && !args.is_distinct => Ok(Box::new(Moving::new(measure))),
            _ => self.inner.create_sliding_accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if self.ours == Ours::Extreme && is_float(args.return_type()) {
            let single = *args.return_type() == DataType::Float32;
            return Ok(Box::new(KeyedGroups { single, inner: self.inner.create_groups_accumulator(of_keys(args))? }));
        }
        self.inner.create_groups_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_udf() {
            ReversedUDAF::Reversed(_) => ReversedUDAF::NotSupported,
            same => same,
        }
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn default_value(&self, kind: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(kind)
    }

    fn set_monotonicity(&self, kind: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(kind)
    }
}

/// A whole number by which floats compare as PostgreSQL compares them.
fn key(value: f64) -> i64 {
    // The one NaN has the highest key of all; -0 comes right before 0.
    let bits = if value.is_nan() { f64::NAN } else { value }.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn value_of(key: i64) -> f64 {
    f64::from_bits((key ^ (((key >> 63) as u64) >> 1) as i64) as u64)
}

fn keys(values: &ArrayRef) -> ArrayRef {
    match values.data_type() {
        // A float of four bytes has the same place among doubles.
        DataType::Float32 => Arc::new(values.as_primitive::<Float32Type>().unary::<_, Int64Type>(|value| key(value.into()))),
        DataType::Float64 => Arc::new(values.as_primitive::<Float64Type>().unary::<_, Int64Type>(key)),
        _ => Arc::clone(values),
    }
}

fn keys_of(values: &[ArrayRef]) -> Vec<ArrayRef> {
    values.iter().map(keys).collect()
}

fn values_of(keys: &ArrayRef, single: bool) -> ArrayRef {
    let keys: &Int64Array = keys.as_primitive::<Int64Type>();
    if single {
        let values: Float32Array = keys.unary::<_, Float32Type>(|key| value_of(key) as f32);
        return Arc::new(values);
    }
    let values: Float64Array = keys.unary::<_, Float64Type>(value_of);
    Arc::new(values)
}

fn value_scalar(key: &ScalarValue, single: bool) -> ScalarValue {
    let value = if let ScalarValue::Int64(Some(key)) = key { Some(value_of(*key)) } else { None };
    if single { ScalarValue::Float32(value.map(|value| value as f32)) } else { ScalarValue::Float64(value) }
}

/// `min` or `max` of floats by that of their keys.
#[derive(Debug)]
struct Keyed {
    single: bool,
    inner: Box<dyn Accumulator>,
}

impl Accumulator for Keyed {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&keys_of(values))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(&keys_of(states))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(value_scalar(&self.inner.evaluate()?, self.single))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.inner.state()?.iter().map(|key| value_scalar(key, self.single)).collect())
    }

    fn size(&self) -> usize {
        std::mem::size_of::<Self>() + self.inner.size()
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&keys_of(values))
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

/// The same for many groups.
struct KeyedGroups {
    single: bool,
    inner: Box<dyn GroupsAccumulator>,
}

impl GroupsAccumulator for KeyedGroups {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.inner.update_batch(&keys_of(values), groups, filter, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(values_of(&self.inner.evaluate(emit)?, self.single))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.inner.state(emit)?.iter().map(|keys| values_of(keys, self.single)).collect())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(&keys_of(values), groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let states = self.inner.convert_to_state(&keys_of(values), filter)?;
        Ok(states.iter().map(|keys| values_of(keys, self.single)).collect())
    }

    fn size(&self) -> usize {
        std::mem::size_of::<Self>() + self.inner.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_order_of_floats() {
        let rising =
            [f64::NEG_INFINITY, f64::MIN, -1.0, -f64::MIN_POSITIVE, -0.0, 0.0, 1e-300, 1.0, f64::MAX, f64::INFINITY, f64::NAN];
        for pair in rising.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{pair:?}");
        }
        for value in rising {
            assert_eq!(value_of(key(value)).to_bits(), value.to_bits());
        }
        assert_eq!(key(-f64::NAN), key(f64::NAN));
        assert_eq!(value_of(key(f64::from(0.1_f32))) as f32, 0.1_f32);
    }
}
