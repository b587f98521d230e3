//! DataFusion's sums, averages and variances as PostgreSQL has them: integers of four bytes are added up as ones of
//! eight, and a NaN that comes out is the one NaN.

use super::arithmetic::one_nan_of;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

fn taken(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let wide = |values: &ArrayRef| match values.data_type() {
        DataType::Int32 => Ok(cast(values, &DataType::Int64)?),
        _ => Ok(ArrayRef::clone(values)),
    };
    values.iter().map(wide).collect()
}

fn given(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float64(Some(value)) if value.is_nan() => ScalarValue::Float64(Some(f64::NAN)),
        value => value,
    }
}

/// Of one group.
#[derive(Debug)]
pub(super) struct Dressed {
    pub inner: Box<dyn Accumulator>,
}

impl Accumulator for Dressed {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&taken(values)?)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(given(self.inner.evaluate()?))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn size(&self) -> usize {
        std::mem::size_of::<Self>() + self.inner.size()
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&taken(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

/// Of many groups.
pub(super) struct DressedGroups {
    pub inner: Box<dyn GroupsAccumulator>,
}

impl GroupsAccumulator for DressedGroups {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.inner.update_batch(&taken(values)?, groups, filter, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(one_nan_of(&self.inner.evaluate(emit)?))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(values, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&taken(values)?, filter)
    }

    fn size(&self) -> usize {
        std::mem::size_of::<Self>() + self.inner.size()
    }
}
