//! How each aggregate of samples is made of the kernel's partial ones.

use super::aggregate::{PARTIAL, is_partial, tag_at_most};
use crate::functions::{MAX, MIN, one_nan};
use crate::scan::Sort;
use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::functions_aggregate::sum::sum;
use datafusion::logical_expr::expr::{AggregateFunction, Sort as SortKey};
use datafusion::logical_expr::{Expr, cast, lit};
use std::sync::Arc;

/// An aggregate over partial rows, and what is made of its columns.
pub(super) struct Merged {
    pub aggregates: Vec<Expr>,
    pub finish: Box<dyn FnOnce(Vec<Expr>) -> Expr>,
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::new(Some(PARTIAL), name))
}

fn alone(aggregate: Expr) -> Option<Merged> {
    Some(Merged { aggregates: vec![aggregate], finish: Box::new(|mut columns| columns.swap_remove(0)) })
}

/// `expr` is an aggregate whose columns are traced to the partial table's names. What it is FILTERed by says which tags count, so it
/// says which partial rows do.
pub(super) fn merged(expr: &Expr, sort: Sort) -> Option<Merged> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return None };
    let Some(filter) = &params.filter else { return unfiltered(expr, sort) };
    if !tag_at_most(filter) || filter.is_volatile() {
        return None;
    }
    let mut params = params.clone();
    params.filter = None;
    let plain = unfiltered(&Expr::AggregateFunction(AggregateFunction { func: Arc::clone(func), params }), sort)?;
    let aggregates = plain.aggregates.into_iter().map(|aggregate| match aggregate {
        Expr::AggregateFunction(mut aggregate) => {
            aggregate.params.filter = Some(filter.clone());
            Some(Expr::AggregateFunction(aggregate))
        }
        _ => None,
    });
    Some(Merged { aggregates: aggregates.collect::<Option<_>>()?, finish: plain.finish })
}

fn unfiltered(expr: &Expr, sort: Sort) -> Option<Merged> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return None };
    if params.null_treatment.is_some() {
        return None;
    }
    let name = func.name();
    let harmless = matches!(name, "min" | "max");
    if params.distinct && !harmless {
        return None;
    }
    if matches!(name, "first_value" | "last_value") {
        return edge(name, &params.args, &params.order_by);
    }
    let [arg] = params.args.as_slice() else { return None };
    if !params.order_by.is_empty() {
        return None;
    }
    let is_value = is_partial(uncast(arg), "value");
    match name {
        "count" if counts_rows(arg) => Some(Merged {
            aggregates: vec![sum(column("count"))],
            finish: Box::new(|mut columns| coalesce(vec![columns.swap_remove(0), lit(0_i64)])),
        }),
        "sum" if sort == Sort::Doubles && is_partial(arg, "value") => {
            Some(Merged { aggregates: vec![sum(column("sum"))], finish: Box::new(|mut columns| one_nan(columns.swap_remove(0))) })
        }
        "sum" if is_partial(uncast(arg), "value") => {
            let wide = aggregate_type(expr)?;
            Some(Merged {
                aggregates: vec![sum(column("integer_sum"))],
                finish: Box::new(move |mut columns| cast(columns.swap_remove(0), wide)),
            })
        }
        "avg" if is_value => Some(Merged {
            aggregates: vec![sum(column("sum")), sum(column("count"))],
            finish: Box::new(|mut columns| {
                let count = columns.swap_remove(1);
                one_nan(columns.swap_remove(0) / cast(count, DataType::Float64))
            }),
        }),
        "min" if is_partial(arg, "value") => alone(MIN.call(vec![column("min")])),
        "max" if is_partial(arg, "value") => alone(MAX.call(vec![column("max")])),
        "min" if is_partial(arg, "time") => alone(MIN.call(vec![column("first_time")])),
        "max" if is_partial(arg, "time") => alone(MAX.call(vec![column("last_time")])),
        _ => None,
    }
}

/// The average and the sum of integers cast them first.
fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if matches!(cast.field.data_type(), DataType::Float64 | DataType::Decimal128(20, 0)) => &cast.expr,
        expr => expr,
    }
}

/// What a sum of integers gives; None where it adds them up as anything but numeric.
fn aggregate_type(expr: &Expr) -> Option<DataType> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return None };
    let Some(Expr::Cast(wide)) = params.args.first() else { return None };
    func.return_type(&[wide.field.data_type().clone()]).ok()
}

/// No column of samples is ever NULL, so counting any of them counts rows.
fn counts_rows(arg: &Expr) -> bool {
    match arg {
        Expr::Literal(value, _) => !matches!(value, ScalarValue::Null) && !value.is_null(),
        arg => ["tag", "time", "value", "quality"].iter().any(|name| is_partial(arg, name)),
    }
}

/// `first_value(value ORDER BY time)` and its three sisters.
fn edge(name: &str, args: &[Expr], order: &[SortKey]) -> Option<Merged> {
    let ([value], [key]) = (args, order) else { return None };
    if !is_partial(value, "value") || !is_partial(&key.expr, "time") {
        return None;
    }
    let earliest = (name == "first_value") == key.asc;
    let (value, time) = if earliest { ("first", "first_time") } else { ("last", "last_time") };
    let function = if earliest { first_value_udaf() } else { last_value_udaf() };
    let key = SortKey { expr: column(time), asc: true, nulls_first: false };
    let call = AggregateFunction::new_udf(Arc::clone(&function), vec![column(value)], false, None, vec![key], None);
    alone(Expr::AggregateFunction(call))
}
