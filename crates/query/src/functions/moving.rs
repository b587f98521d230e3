//! Sums, means and variances over a frame that moves along.
//!
//! Nothing is ever taken away from a sum, since NaN and infinities can't be taken away, and a large number takes small
//! ones with it: values lie in two stacks. New ones go onto the back; the front holds, for each value, what it and
//! all later ones of the front come to. Where the front is empty the back is turned over. So every value is
//! added twice, and what a frame comes to is the sum of two.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Accumulator;

/// What is asked of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Measure {
    Sum,
    Mean,
    Variance,
    SampleVariance,
    Deviation,
    SampleDeviation,
}

/// What some values come to.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: u64,
    sum: f64,
    mean: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

impl Moments {
    fn of(value: f64) -> Self {
        let squares = if value.is_finite() { 0.0 } else { f64::NAN };
        Moments { count: 1, sum: value, mean: value, squares }
    }

    fn and(self, other: Self) -> Self {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        let count = self.count + other.count;
        let (a, b, all) = (self.count as f64, other.count as f64, count as f64);
        let away = other.mean - self.mean;
        Moments {
            count,
            sum: self.sum + other.sum,
            mean: self.mean + away * (b / all),
            squares: self.squares + other.squares + away * away * (a * b / all),
        }
    }
}

/// A frame of floats.
#[derive(Debug)]
pub(super) struct Moving {
    measure: Measure,
    front: Vec<Moments>,
    back: Vec<f64>,
    back_moments: Moments,
}

impl Moving {
    pub(super) fn new(measure: Measure) -> Self {
        Moving { measure, front: Vec::new(), back: Vec::new(), back_moments: Moments::default() }
    }

    fn pop(&mut self) {
        if self.front.is_empty() {
            let mut behind = Moments::default();
            for value in self.back.drain(..).rev() {
                behind = Moments::of(value).and(behind);
                self.front.push(behind);
            }
            self.back_moments = Moments::default();
        }
        self.front.pop();
    }

    fn measured(&self) -> Option<f64> {
        let all = self.front.last().copied().unwrap_or_default().and(self.back_moments);
        let count = all.count as f64;
        let spread = |all: &Moments, divisor: f64| all.squares / divisor;
        let found = match (self.measure, all.count) {
            (_, 0) => return None,
            (Measure::Sum, _) => all.sum,
            (Measure::Mean, _) => all.sum / count,
            (Measure::Variance, _) => spread(&all, count),
            (Measure::Deviation, _) => spread(&all, count).sqrt(),
            (Measure::SampleVariance | Measure::SampleDeviation, 1) => return None,
            (Measure::SampleVariance, _) => spread(&all, count - 1.0),
            (Measure::SampleDeviation, _) => spread(&all, count - 1.0).sqrt(),
        };
        Some(if found.is_nan() { f64::NAN } else { found })
    }

    fn unmergeable() -> DataFusionError {
        DataFusionError::Internal("a moving frame is never computed in parts".to_owned())
    }
}

impl Accumulator for Moving {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = cast(&values[0], &DataType::Float64)?;
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            self.back.push(value);
            self.back_moments = self.back_moments.and(Moments::of(value));
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        (0..values[0].len() - values[0].logical_null_count()).for_each(|_| self.pop());
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.measured()))
    }

    fn size(&self) -> usize {
        std::mem::size_of::<Self>() + self.front.capacity() * std::mem::size_of::<Moments>() + self.back.capacity() * 8
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(Self::unmergeable())
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(Self::unmergeable())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Float64Array;
    use std::sync::Arc;

    #[test]
    fn a_frame_forgets_what_it_left() {
        let values =
            [Some(1.0), Some(f64::NAN), Some(2.0), None, Some(f64::INFINITY), Some(1e300), Some(3.0), Some(4.0), Some(5.0)];
        let column = |some: &[Option<f64>]| vec![Arc::new(Float64Array::from(some.to_vec())) as ArrayRef];
        for (measure, expect) in
            [(Measure::Sum, 12.0), (Measure::Mean, 4.0), (Measure::SampleVariance, 1.0), (Measure::Variance, 2.0 / 3.0)]
        {
            let mut moving = Moving::new(measure);
            for end in 0..values.len() {
                moving.update_batch(&column(&values[end..=end])).unwrap();
                if end >= 3 {
                    moving.retract_batch(&column(&values[end - 3..end - 2])).unwrap();
                }
            }
            assert_eq!(moving.evaluate().unwrap(), ScalarValue::Float64(Some(expect)), "{measure:?}");
            moving.retract_batch(&column(&values[6..])).unwrap();
            assert_eq!(moving.evaluate().unwrap(), ScalarValue::Float64(None));
        }
    }
}
