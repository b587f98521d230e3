//! `min` and `max` of floats by whole numbers that have their order as PostgreSQL sees it.

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use std::sync::Arc;

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
pub(super) struct Keyed {
    pub single: bool,
    pub inner: Box<dyn Accumulator>,
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
pub(super) struct KeyedGroups {
    pub single: bool,
    pub inner: Box<dyn GroupsAccumulator>,
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
