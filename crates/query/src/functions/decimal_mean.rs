//! `avg` of numerics: the exact sum of all, divided as `/` divides (`quotients.rs`).

use super::quotients::{mean, mean_type};
use crate::error::{Error, raise};
use arrow::array::{Array, ArrayRef, AsArray, Decimal256Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DECIMAL256_MAX_PRECISION, DataType, Decimal256Type, Field, FieldRef, Int64Type, i256};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::Accumulator;
use std::collections::HashSet;
use std::sync::Arc;

/// The sum of some numerics and how many they are; of DISTINCT ones, which.
#[derive(Debug)]
pub(super) struct DecimalMean {
    sum: i256,
    count: i64,
    seen: Option<HashSet<i256>>,
    scale: i8,
    gives: DataType,
}

fn scale_of(kind: &DataType) -> i8 {
    match kind {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

fn wide(scale: i8) -> DataType {
    DataType::Decimal256(DECIMAL256_MAX_PRECISION, scale)
}

/// What lies between stages.
pub(super) fn state_fields(name: &str, of: &DataType, distinct: bool) -> Vec<FieldRef> {
    let kind = wide(scale_of(of));
    if distinct {
        return vec![Arc::new(Field::new(format!("{name}[values]"), DataType::new_list(kind, true), true))];
    }
    let sum = Field::new(format!("{name}[sum]"), kind, true);
    vec![Arc::new(sum), Arc::new(Field::new(format!("{name}[count]"), DataType::Int64, true))]
}

impl DecimalMean {
    pub(super) fn of(kind: &DataType, distinct: bool) -> DecimalMean {
        let seen = distinct.then(HashSet::new);
        DecimalMean { sum: i256::ZERO, count: 0, seen, scale: scale_of(kind), gives: mean_type(kind) }
    }

    fn add(&mut self, value: i256, count: i64) -> Result<()> {
        if let Some(seen) = &mut self.seen
            && !seen.insert(value)
        {
            return Ok(());
        }
        let sum = if count < 0 { self.sum.checked_sub(value) } else { self.sum.checked_add(value) };
        self.sum = sum.ok_or_else(|| raise(Error::OutOfRange, "value overflows numeric format"))?;
        self.count += count;
        Ok(())
    }

    fn take(&mut self, values: &ArrayRef, count: i64) -> Result<()> {
        let values = cast(values, &wide(self.scale))?;
        values.as_primitive::<Decimal256Type>().iter().flatten().try_for_each(|value| self.add(value, count))
    }
}

impl Accumulator for DecimalMean {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0], -1)
    }

    fn supports_retract_batch(&self) -> bool {
        self.seen.is_none()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if self.seen.is_some() {
            return states[0].as_list::<i32>().iter().flatten().try_for_each(|values| self.take(&values, 1));
        }
        let (sums, counts) = (states[0].as_primitive::<Decimal256Type>(), states[1].as_primitive::<Int64Type>());
        for row in 0..sums.len() {
            if sums.is_valid(row) {
                self.add(sums.value(row), counts.value(row))?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        mean(self.sum, self.count.unsigned_abs(), self.scale, &self.gives)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let precision = DECIMAL256_MAX_PRECISION;
        let Some(seen) = &self.seen else {
            let sum = ScalarValue::Decimal256(Some(self.sum), precision, self.scale);
            return Ok(vec![sum, ScalarValue::Int64(Some(self.count))]);
        };
        let values: Decimal256Array = seen.iter().copied().map(Some).collect();
        let values: ArrayRef = Arc::new(values.with_precision_and_scale(precision, self.scale)?);
        let field = Arc::new(Field::new_list_field(wide(self.scale), true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Ok(vec![ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, values, None)?))])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.seen.as_ref().map_or(0, |seen| seen.capacity() * 2 * size_of::<i256>())
    }
}
