//! `percentile_disc(share) WITHIN GROUP (ORDER BY x)` and `mode() WITHIN GROUP (ORDER BY x)`: one of the values that are
//! there, of any type that can be sorted.
//!
//! All values of a group are held until its end, counted in the query's memory.

use crate::error::{Error, raise};
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, new_empty_array};
use arrow::compute::{SortOptions, cast, concat, partition, sort_to_indices, take};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_plan::expressions::Literal;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pick {
    /// The first value that a share of all is not beyond.
    Share,
    /// The one that is there most often; of several the first.
    Most,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OrderedSet {
    pick: Pick,
    signature: Signature,
}

pub(super) fn all() -> Vec<AggregateUDF> {
    let of = |pick| OrderedSet { pick, signature: Signature::user_defined(Volatility::Immutable) };
    [Pick::Share, Pick::Most].map(|pick| AggregateUDF::new_from_impl(of(pick))).into()
}

fn share_of(args: &AccumulatorArgs<'_>) -> Result<f64> {
    let invalid = |why: &str| DataFusionError::from(raise(Error::InvalidParameter, why));
    let literal = args.exprs.get(1).and_then(|expr| expr.downcast_ref::<Literal>());
    let value = literal.ok_or_else(|| invalid("the share of percentile_disc must be a constant"))?.value();
    let array = cast(&value.to_array()?, &DataType::Float64)?;
    let share = array.as_primitive::<Float64Type>().iter().next().flatten();
    match share.filter(|share| (0.0..=1.0).contains(share)) {
        Some(share) => Ok(share),
        None => Err(raise(Error::OutOfRange, format!("percentile value {value} is not between 0 and 1")).into()),
    }
}

impl AggregateUDFImpl for OrderedSet {
    fn name(&self) -> &'static str {
        match self.pick {
            Pick::Share => "percentile_disc",
            Pick::Most => "mode",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let wanted = if self.pick == Pick::Share { 2 } else { 1 };
        if given.len() != wanted {
            return Err(DataFusionError::Plan(format!(
                "No function matches {}: it needs WITHIN GROUP (ORDER BY ..)",
                self.name()
            )));
        }
        Ok(given.to_vec())
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(given[0].clone())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = DataType::new_list(args.input_fields[0].data_type().clone(), true);
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, self.name()), list, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(DataFusionError::NotImplemented(format!("DISTINCT in {}", self.name())));
        }
        let share = if self.pick == Pick::Share { Some(share_of(&args)?) } else { None };
        let descending = args.order_bys.first().is_some_and(|key| key.options.descending);
        Ok(Box::new(Values { kind: args.expr_fields[0].data_type().clone(), arrays: Vec::new(), share, descending }))
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

/// The values of a group.
#[derive(Debug)]
struct Values {
    kind: DataType,
    arrays: Vec<ArrayRef>,
    share: Option<f64>,
    descending: bool,
}

impl Values {
    fn all(&self) -> Result<ArrayRef> {
        let arrays: Vec<&dyn Array> = self.arrays.iter().map(AsRef::as_ref).collect();
        Ok(if arrays.is_empty() { new_empty_array(&self.kind) } else { concat(&arrays)? })
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows: UInt32Array = (0..values[0].len() as u32).filter(|row| values[0].is_valid(*row as usize)).collect();
        // Copied even where all are taken: a slice would keep the whole batch.
        if !rows.is_empty() {
            self.arrays.push(take(&values[0], &rows, None)?);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[list])?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let all = self.all()?;
        if all.is_empty() {
            return ScalarValue::try_from(&self.kind);
        }
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let order = sort_to_indices(&all, Some(options), None)?;
        let place = match self.share {
            Some(share) => ((share * all.len() as f64).ceil() as usize).clamp(1, all.len()) - 1,
            None => {
                let sorted = take(&all, &order, None)?;
                let runs = partition(&[sorted])?.ranges();
                let longest = runs.into_iter().reduce(|best, run| if run.len() > best.len() { run } else { best });
                longest.map_or(0, |run| run.start)
            }
        };
        ScalarValue::try_from_array(&all, order.value(place) as usize)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = datafusion::common::utils::SingleRowListArrayBuilder::new(self.all()?).build_list_scalar();
        Ok(vec![list])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.arrays.iter().map(|array| array.get_array_memory_size()).sum::<usize>()
    }
}
