//! Text compared with a time becomes a time, read in the session's zone; text without a type beside values that have
//! one becomes of their type (`functions/unknowns.rs`), in the inputs of a union too.
//!
//! DataFusion reads such text in UTC and in forms of its own, or makes texts of the others; here it is read as
//! PostgreSQL reads it. So this rule stands before DataFusion's own coercion of types.

use crate::context::PlanOptions;
use crate::functions::{is_text, settled, together};
use crate::planning;
use crate::time::{Zone, parse};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Projection, Union, cast};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// The rule.
#[derive(Debug)]
pub(super) struct ZonedLiterals;

impl AnalyzerRule for ZonedLiterals {
    fn name(&self) -> &'static str {
        "zoned_literals"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let options = config.extensions.get::<PlanOptions>();
        let zone = options.and_then(|options| Zone::parse(&options.zone).ok()).unwrap_or(Zone::Utc);
        let mut changed = false;
        let rewritten = plan.transform_up_with_subqueries(|node| {
            planning::check()?;
            let node = united(node)?;
            let schema = merge_schema(&node.inputs());
            let names = NamePreserver::new(&node);
            let read = node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|expr| read(expr, &schema, zone))?.update_data(|expr| name.restore(expr)))
            })?;
            // Nodes above may have other types then.
            changed |= read.transformed;
            read.map_data(|node| if changed { node.recompute_schema() } else { Ok(node) })
        })?;
        Ok(rewritten.data)
    }
}

/// A union whose texts without a type have that of the other inputs' columns.
fn united(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Union(Union { mut inputs, schema }) = node else { return Ok(node) };
    for column in 0..schema.fields().len() {
        let texts: Vec<bool> = inputs.iter().map(|input| is_text_without_type(input, column)).collect();
        let kind_of = |input: &Arc<LogicalPlan>| input.schema().fields().get(column).map(|field| field.data_type().clone());
        let others: Vec<DataType> =
            inputs.iter().zip(&texts).filter(|(_, text)| !**text).filter_map(|(input, _)| kind_of(input)).collect();
        let kind = together(&others);
        if others.is_empty() || is_text(&kind) {
            continue;
        }
        for (input, _) in inputs.iter_mut().zip(texts).filter(|(_, text)| *text) {
            *input = Arc::new(cast_column(input, column, &kind)?);
        }
    }
    Ok(LogicalPlan::Union(Union { inputs, schema }))
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => bare(&alias.expr),
        expr => expr,
    }
}

fn is_text_without_type(input: &LogicalPlan, column: usize) -> bool {
    let literal = |expr: &Expr| matches!(bare(expr), Expr::Literal(ScalarValue::Utf8(Some(_)), _));
    match input {
        LogicalPlan::Projection(projection) => projection.expr.get(column).is_some_and(literal),
        LogicalPlan::Values(values) => values.values.iter().all(|row| row.get(column).is_some_and(literal)),
        _ => false,
    }
}

fn cast_column(input: &LogicalPlan, column: usize, kind: &DataType) -> Result<LogicalPlan> {
    let cast_at = |at: usize, expr: Expr| if at == column { expr.cast_to(kind, input.schema()) } else { Ok(expr) };
    let exprs = input.schema().columns().into_iter().map(Expr::Column).enumerate();
    if let LogicalPlan::Projection(projection) = input {
        let exprs = projection.expr.iter().cloned().enumerate().map(|(at, expr)| {
            let name = expr.schema_name().to_string();
            let expr = if at == column { cast(expr.unalias(), kind.clone()).alias(name) } else { expr };
            Ok(expr)
        });
        let inner = Projection::try_new(exprs.collect::<Result<_>>()?, Arc::clone(&projection.input))?;
        return Ok(LogicalPlan::Projection(inner));
    }
    let exprs = exprs.map(|(at, expr)| {
        let name = expr.schema_name().to_string();
        Ok(if at == column { cast_at(at, expr)?.alias(name) } else { expr })
    });
    Ok(LogicalPlan::Projection(Projection::try_new(exprs.collect::<Result<_>>()?, Arc::new(input.clone()))?))
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_time(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Timestamp(_, Some(_))))
}

/// The time that a literal text names; other expressions as they are.
fn literal(expr: Expr, zone: Zone) -> Result<Expr> {
    let Expr::Literal(value, _) = &expr else { return Ok(expr) };
    match value.try_as_str() {
        Some(Some(text)) => {
            Ok(Expr::Literal(ScalarValue::TimestampMicrosecond(Some(parse(text, zone)?), Some("UTC".into())), None))
        }
        _ => Ok(expr),
    }
}

fn read(expr: Expr, schema: &DFSchema, zone: Zone) -> Result<Transformed<Expr>> {
    let (expr, known) = settled(expr, schema)?;
    if known && !matches!(expr, Expr::Cast(_)) {
        return Ok(Transformed::yes(expr));
    }
    Ok(match expr {
        Expr::Cast(Cast { expr: inner, field })
            if matches!(field.data_type(), DataType::Timestamp(TimeUnit::Microsecond, Some(_)))
                && matches!(*inner, Expr::Literal(..)) =>
        {
            match literal(*inner, zone)? {
                time @ Expr::Literal(ScalarValue::TimestampMicrosecond(..), _) => Transformed::yes(time),
                inner => Transformed::no(Expr::Cast(Cast { expr: Box::new(inner), field })),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) && is_time(&left, schema) => {
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right: Box::new(literal(*right, zone)?) }))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) && is_time(&right, schema) => {
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: Box::new(literal(*left, zone)?), op, right }))
        }
        Expr::Between(Between { expr, negated, low, high }) if is_time(&expr, schema) => {
            let (low, high) = (Box::new(literal(*low, zone)?), Box::new(literal(*high, zone)?));
            Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
        }
        Expr::InList(InList { expr, list, negated }) if is_time(&expr, schema) => {
            let list = list.into_iter().map(|item| literal(item, zone)).collect::<Result<Vec<_>>>()?;
            Transformed::yes(Expr::InList(InList { expr, list, negated }))
        }
        expr if known => Transformed::yes(expr),
        expr => Transformed::no(expr),
    })
}
