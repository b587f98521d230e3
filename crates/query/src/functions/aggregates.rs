//! Aggregates where DataFusion's own give another answer than PostgreSQL's.
//!
//! - `sum` of bigint is numeric, so that it can't overflow, and that of smaller integers bigint (`dressed.rs`);
//! - `min` and `max` of floats know infinity, and NaN as the largest of all (`keyed.rs`);
//! - `sum`, `avg`, `variance` and `stddev` of floats over a moving frame forget a NaN, an infinity or a
//!   large number once the frame has left it (`moving.rs`);
//! - `sum` and `avg` know intervals (`span_totals.rs`);
//! - `avg` of numerics has the digits of a quotient (`decimal_mean.rs`).
//!
//! Everything else is handed on to DataFusion's.

use super::decimal_mean::{self, DecimalMean};
use super::dressed::{Dressed, DressedGroups};
use super::keyed::{Keyed, KeyedGroups};
use super::moving::{Measure, Moving};
use super::quotients::{is_decimal, mean_type};
use super::span_totals::{self, SpanTotal};
use arrow::datatypes::{DataType, Field, FieldRef};
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
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature, Volatility,
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
    let own = matches!(ours, Ours::Sum | Ours::Moving(Measure::Mean));
    let signature = if own { Signature::user_defined(Volatility::Immutable) } else { inner.signature().clone() };
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
    all.iter().map(|function| function.as_ref().clone()).chain(super::ordered_set::all()).collect()
}

/// The mean of an interval, if it is one; None where it is not of intervals.
fn of_spans(ours: Ours, kind: &DataType) -> Option<SpanTotal> {
    let mean = match ours {
        Ours::Sum => false,
        Ours::Moving(Measure::Mean) => true,
        _ => return None,
    };
    matches!(kind, DataType::Interval(_)).then(|| SpanTotal::of(mean))
}

fn mean_takes(given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [DataType::Interval(_)] => Ok(vec![crate::schema::span_type()]),
        [kind] if is_decimal(kind) || matches!(kind, DataType::Duration(_)) => Ok(given.to_vec()),
        [kind] if kind.is_numeric() || kind.is_null() => Ok(vec![DataType::Float64]),
        _ => {
            let types: Vec<String> = given.iter().map(ToString::to_string).collect();
            Err(DataFusionError::Plan(format!("No function matches avg({})", types.join(", "))))
        }
    }
}

/// The mean of numerics, if it is one.
fn of_decimals(ours: Ours, args: &AccumulatorArgs<'_>) -> Option<DecimalMean> {
    let kind = args.expr_fields.first()?.data_type();
    (ours == Ours::Moving(Measure::Mean) && is_decimal(kind)).then(|| DecimalMean::of(kind, args.is_distinct))
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
        match self.ours {
            Ours::Sum => {}
            Ours::Moving(Measure::Mean) => return mean_takes(given),
            _ => return self.inner.coerce_types(given),
        }
        use DataType::{
            Decimal32, Decimal64, Decimal128, Decimal256, Duration, Float16, Float32, Float64, Int8, Int16, Int32, Int64,
            Interval, UInt8, UInt16, UInt32, UInt64,
        };
        match given {
            // Not bigint, though they add up as such: types may be settled twice, and bigint would be numeric then.
            [Int8 | Int16 | Int32 | UInt8 | UInt16] => Ok(vec![Int32]),
            [UInt32] => Ok(vec![WIDE]),
            [Int64 | UInt64 | DataType::Null] => Ok(vec![WIDE]),
            [Float16 | Float32 | Float64] => Ok(vec![Float64]),
            [Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) | Interval(_) | Duration(_)] => Ok(given.to_vec()),
            _ => Err(DataFusionError::Plan(format!(
                "No function matches sum({})",
                given.first().map_or("".to_owned(), DataType::to_string)
            ))),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        if self.ours == Ours::Sum && given == [DataType::Int32] {
            return Ok(DataType::Int64);
        }
        if given.first().is_some_and(|kind| of_spans(self.ours, kind).is_some()) {
            return Ok(crate::schema::span_type());
        }
        if let (Ours::Moving(Measure::Mean), [kind]) = (self.ours, given)
            && is_decimal(kind)
        {
            return Ok(mean_type(kind));
        }
        self.inner.return_type(given)
    }

    fn return_field(&self, given: &[FieldRef]) -> Result<FieldRef> {
        if matches!(self.ours, Ours::Sum | Ours::Moving(Measure::Mean)) {
            let types: Vec<DataType> = given.iter().map(|field| field.data_type().clone()).collect();
            return Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, true)));
        }
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
        if let Some(total) = of_spans(self.ours, args.return_type()) {
            return Ok(Box::new(total));
        }
        if let Some(mean) = of_decimals(self.ours, &args) {
            return Ok(Box::new(mean));
        }
        let inner = self.inner.accumulator(args)?;
        Ok(if self.ours == Ours::Extreme { inner } else { Box::new(Dressed { inner }) })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if let Some(total) = of_spans(self.ours, args.return_type()) {
            return Ok(Box::new(total));
        }
        if let Some(mean) = of_decimals(self.ours, &args) {
            return Ok(Box::new(mean));
        }
        let float = is_float(args.return_type()) && args.expr_fields.first().is_some_and(|field| is_float(field.data_type()));
        match self.ours {
            Ours::Extreme if is_float(args.return_type()) => {
                let single = *args.return_type() == DataType::Float32;
                Ok(Box::new(Keyed { single, inner: self.inner.create_sliding_accumulator(of_keys(args))? }))
            }
            Ours::Extreme => self.inner.create_sliding_accumulator(args),
            Ours::Sum if float && !args.is_distinct => Ok(Box::new(Dressed { inner: Box::new(Moving::new(Measure::Sum)) })),
            Ours::Moving(measure) if float && !args.is_distinct => {
                Ok(Box::new(Dressed { inner: Box::new(Moving::new(measure)) }))
            }
            _ => Ok(Box::new(Dressed { inner: self.inner.create_sliding_accumulator(args)? })),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        of_spans(self.ours, args.return_type()).is_none()
            && of_decimals(self.ours, &args).is_none()
            && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if self.ours == Ours::Extreme && is_float(args.return_type()) {
            let single = *args.return_type() == DataType::Float32;
            return Ok(Box::new(KeyedGroups { single, inner: self.inner.create_groups_accumulator(of_keys(args))? }));
        }
        let inner = self.inner.create_groups_accumulator(args)?;
        Ok(if self.ours == Ours::Extreme { inner } else { Box::new(DressedGroups { inner }) })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if let (Ours::Moving(Measure::Mean), Some(field)) = (self.ours, args.input_fields.first())
            && is_decimal(field.data_type())
        {
            return Ok(decimal_mean::state_fields(args.name, field.data_type(), args.is_distinct));
        }
        match of_spans(self.ours, args.return_field.data_type()) {
            Some(_) => Ok(span_totals::state_fields(args.name)),
            None => self.inner.state_fields(args),
        }
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
