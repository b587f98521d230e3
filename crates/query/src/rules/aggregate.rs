//! Aggregates of samples by tag and bin become aggregates of the kernel's partial ones.
//!
//! `Aggregate(scan)` becomes `Projection(Aggregate(partial scan))`, where the partial scan gives a
//! row of (count, sum, min, max, first, last) for each tag and bin. It is sound where every filter
//! of the scan is one that the kernel answers exactly, and where samples meet another table only
//! through their tag: then all samples of a tag meet the same rows, and sums of sums are sums.

use super::merge::{Merged, merged};
use crate::scan::Sort;
use crate::scan::condition::{asked, literal_us};
use crate::tables::partial::PartialTable;
use crate::tables::series::SeriesTable;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, TableScan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use kernel::Bins;
use std::sync::Arc;
use types::Timestamp;

/// What the partial scan is called in a plan.
pub(super) const PARTIAL: &str = "__partial";

/// The rule.
#[derive(Debug)]
pub(super) struct PushAggregates;

impl OptimizerRule for PushAggregates {
    fn name(&self) -> &'static str {
        "push_aggregates"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        match pushed(aggregate)? {
            Some(new) => Ok(Transformed::yes(new)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// The way from an aggregate down to the scan of samples.
struct Path<'a> {
    scan: &'a TableScan,
    table: SeriesTable,
    join: Option<(&'a Join, bool)>,
}

fn path(plan: &LogicalPlan) -> Option<Path<'_>> {
    match plan {
        LogicalPlan::Projection(projection) => path(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => path(&alias.input),
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            let provider = source_as_provider(&scan.source).ok()?;
            let table = provider.downcast_ref::<SeriesTable>()?.clone();
            let exact = scan.filters.iter().all(|filter| asked(filter).is_some_and(|asked| asked.exact));
            (exact && table.sort != Sort::Texts).then_some(Path { scan, table, join: None })
        }
        LogicalPlan::Join(join) => {
            let left = matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi | JoinType::LeftAnti);
            let right = matches!(join.join_type, JoinType::Inner | JoinType::RightSemi | JoinType::RightAnti);
            if left && let Some(found) = path(&join.left).filter(|found| found.join.is_none()) {
                return Some(Path { join: Some((join, true)), ..found });
            }
            let found = path(&join.right).filter(|found| right && found.join.is_none())?;
            Some(Path { join: Some((join, false)), ..found })
        }
        _ => None,
    }
}

/// A column of the aggregate's input, traced down to the scan or to the other side of the join.
fn traced(plan: &LogicalPlan, column: &Column, path: &Path<'_>) -> Option<Expr> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let index = plan.schema().maybe_index_of_column(column)?;
            traced_expr(&projection.input, projection.expr[index].clone().unalias(), path)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let index = plan.schema().maybe_index_of_column(column)?;
            traced(&alias.input, &Column::from(alias.input.schema().qualified_field(index)), path)
        }
        LogicalPlan::Join(join) => {
            let (_, is_left) = path.join?;
            let (series, other) = if is_left { (&join.left, &join.right) } else { (&join.right, &join.left) };
            if series.schema().maybe_index_of_column(column).is_some() {
                return traced(series, column, path);
            }
            other.schema().maybe_index_of_column(column).map(|_| Expr::Column(column.clone()))
        }
        LogicalPlan::TableScan(_) => Some(Expr::Column(Column::new(Some(PARTIAL), column.name.clone()))),
        _ => None,
    }
}

/// An expression whose columns are traced down; columns of the scan are then those of `PARTIAL`.
fn traced_expr(plan: &LogicalPlan, expr: Expr, path: &Path<'_>) -> Option<Expr> {
    let mut lost = false;
    let out = expr.transform(|node| {
        Ok(match node {
            Expr::Column(column) => match traced(plan, &column, path) {
                // What it was traced to is not traced again.
                Some(found) => Transformed::new(found, true, TreeNodeRecursion::Jump),
                None => {
                    lost = true;
                    Transformed::no(Expr::Column(column))
                }
            },
            node => Transformed::no(node),
        })
    });
    out.ok().filter(|_| !lost).map(|out| out.data)
}

/// Whether an expression names no column of samples but the tag.
pub(super) fn tag_at_most(expr: &Expr) -> bool {
    names_at_most(expr, &["tag"])
}

fn names_at_most(expr: &Expr, names: &[&str]) -> bool {
    let of_other = |column: &Column| column.relation.as_ref().is_none_or(|relation| relation.table() != PARTIAL);
    expr.column_refs().into_iter().all(|column| of_other(column) || names.contains(&column.name.as_str()))
}

/// A group by the tag, bins and what samples were joined with, with the partial scan's column for the bins; None where it needs more.
/// `bins` are those found so far: there is one kind of them.
fn grouped(expr: Expr, bins: &mut Option<Bins>) -> Option<Expr> {
    let mut others = false;
    let out = expr.transform_down(|node| {
        let Some(found) = bins_of(&node) else { return Ok(Transformed::no(node)) };
        others |= bins.is_some_and(|bins| bins != found);
        *bins = Some(found);
        Ok(Transformed::new(Expr::Column(Column::new(Some(PARTIAL), "bin")), true, TreeNodeRecursion::Jump))
    });
    let expr = out.ok()?.data;
    let fits = !others && names_at_most(&expr, &["tag", "bin"]) && !matches!(expr, Expr::GroupingSet(_)) && !expr.is_volatile();
    fits.then_some(expr)
}

/// The bins of `date_bin(width, time)` and `date_bin(width, time, origin)`.
fn bins_of(expr: &Expr) -> Option<Bins> {
    let Expr::ScalarFunction(call) = expr else { return None };
    if call.func.name() != "date_bin" || !is_partial(call.args.get(1)?, "time") {
        return None;
    }
    let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(width)), _) = &call.args[0] else { return None };
    if width.months != 0 || width.nanoseconds % 1000 != 0 {
        return None;
    }
    let width_us = i64::from(width.days).checked_mul(86_400_000_000)?.checked_add(width.nanoseconds / 1000)?;
    let origin = match call.args.get(2) {
        None => 0,
        Some(origin) => literal_us(origin)?,
    };
    (width_us > 0).then_some(Bins { origin: Timestamp(origin), width_us })
}

pub(super) fn is_partial(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name && column.relation.as_ref().is_some_and(|relation| relation.table() == PARTIAL))
}

fn pushed(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let Some(path) = path(&aggregate.input) else { return Ok(None) };
    let mut bins = None;
    let mut groups = Vec::new();
    for expr in &aggregate.group_expr {
        let Some(traced) = traced_expr(&aggregate.input, expr.clone().unalias(), &path) else { return Ok(None) };
        let Some(group) = grouped(traced, &mut bins) else { return Ok(None) };
        groups.push(group);
    }
    let mut parts: Vec<Merged> = Vec::new();
    for expr in &aggregate.aggr_expr {
        let Some(traced) = traced_expr(&aggregate.input, expr.clone().unalias(), &path) else { return Ok(None) };
        let Some(part) = merged(&traced, path.table.sort) else { return Ok(None) };
        parts.push(part);
    }
    let Some(input) = input(&aggregate.input, &path, bins)? else { return Ok(None) };
    assemble(aggregate, input, groups, parts)
}

/// The partial scan, joined with what samples were joined with.
fn input(plan: &LogicalPlan, path: &Path<'_>, bins: Option<Bins>) -> Result<Option<LogicalPlan>> {
    let table = PartialTable::new(path.table.clone(), path.scan.filters.clone(), bins);
    let partial = LogicalPlanBuilder::scan(PARTIAL, provider_as_source(Arc::new(table)), None)?;
    let Some((join, is_left)) = path.join else { return partial.build().map(Some) };
    let node = LogicalPlan::Join(join.clone());
    let trace = |expr: &Expr| traced_expr(&node, expr.clone(), path).filter(tag_at_most);
    let mut keys = (Vec::new(), Vec::new());
    for (left, right) in &join.on {
        let (Some(left), Some(right)) = (trace(left), trace(right)) else { return Ok(None) };
        keys.0.push(left);
        keys.1.push(right);
    }
    let filter = match &join.filter {
        None => None,
        Some(filter) => match trace(filter) {
            None => return Ok(None),
            traced => traced,
        },
    };
    let _ = plan;
    let joined = if is_left {
        partial.join_with_expr_keys(join.right.as_ref().clone(), join.join_type, keys, filter)?
    } else {
        LogicalPlanBuilder::from(join.left.as_ref().clone()).join_with_expr_keys(
            partial.build()?,
            join.join_type,
            keys,
            filter,
        )?
    };
    joined.build().map(Some)
}

/// The aggregate of partial ones, under the names and types of the one it stands for.
fn assemble(aggregate: &Aggregate, input: LogicalPlan, groups: Vec<Expr>, parts: Vec<Merged>) -> Result<Option<LogicalPlan>> {
    let named = |prefix: &str, index: usize| format!("__{prefix}{index}");
    let group_names: Vec<String> = (0..groups.len()).map(|index| named("group", index)).collect();
    let groups: Vec<Expr> = groups.into_iter().zip(&group_names).map(|(expr, name)| expr.alias(name)).collect();
    let mut aggregates = Vec::new();
    let mut outputs: Vec<Expr> = group_names.iter().map(|name| Expr::Column(Column::from_name(name))).collect();
    for part in parts {
        let first = aggregates.len();
        let columns: Vec<Expr> =
            (0..part.aggregates.len()).map(|index| Expr::Column(Column::from_name(named("part", first + index)))).collect();
        for (index, expr) in part.aggregates.into_iter().enumerate() {
            aggregates.push(expr.alias(named("part", first + index)));
        }
        outputs.push((part.finish)(columns));
    }
    let merged = LogicalPlanBuilder::from(input).aggregate(groups, aggregates)?;
    let shown = outputs.into_iter().enumerate().map(|(index, expr)| {
        let (qualifier, field) = aggregate.schema.qualified_field(index);
        expr.alias_qualified(qualifier.cloned(), field.name())
    });
    let plan = merged.project(shown.collect::<Vec<_>>())?.build()?;
    let same = plan.schema().fields().iter().zip(aggregate.schema.fields()).all(|(new, old)| new.data_type() == old.data_type());
    Ok((same && plan.schema().fields().len() == aggregate.schema.fields().len()).then_some(plan))
}
