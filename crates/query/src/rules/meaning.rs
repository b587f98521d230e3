//! Expressions whose meaning is PostgreSQL's and not DataFusion's, once types are settled.
//!
//! - `timestamptz` meets `timestamp`, dates and intervals of days and months by the session's clocks;
//! - text of times, floats and intervals is what PostgreSQL writes;
//! - integers that overflow are an error; a float that becomes an integer is rounded;
//! - computed floats have one NaN; intervals compare by their length.

use crate::functions::{
    checked, interval_key, is_moment, is_one_nan, local, moment, moved, negated, one_nan, read_time, rounded, shown,
};
use crate::schema::{local_type, time_type};
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, cast};
use datafusion::optimizer::AnalyzerRule;

/// The rule. It stands behind DataFusion's coercion of types.
#[derive(Debug)]
pub(super) struct Meaning;

impl AnalyzerRule for Meaning {
    fn name(&self) -> &'static str {
        "postgresql_meaning"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            // A scan's own conditions come later, from filters that this rule has seen.
            if matches!(node, LogicalPlan::TableScan(_)) {
                return Ok(Transformed::no(node));
            }
            let mut schema = merge_schema(&node.inputs());
            schema.merge(node.schema());
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|expr| meant(expr, &schema))?.update_data(|expr| name.restore(expr)))
            })?
            .map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(rewritten.data)
    }
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn is_float(kind: &DataType) -> bool {
    matches!(kind, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

fn is_local(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_))
}

fn is_interval(kind: &DataType) -> bool {
    matches!(kind, DataType::Interval(_))
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// The type of an expression; none where it has none here.
fn type_of(expr: &Expr, schema: &DFSchema) -> DataType {
    expr.get_type(schema).unwrap_or(DataType::Null)
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(..))
}

fn meant(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Cast(Cast { expr: inner, field }) => match converted(*inner, schema, field.data_type()) {
            Ok(meant) => Transformed::yes(meant),
            Err(inner) => Transformed::no(Expr::Cast(Cast { expr: Box::new(inner), field })),
        },
        Expr::BinaryExpr(binary) => operated(binary, schema),
        Expr::Between(Between { expr, negated, low, high }) if is_interval(&type_of(&expr, schema)) => {
            let key = |expr: Box<Expr>| Box::new(interval_key(*expr));
            Transformed::yes(Expr::Between(Between { expr: key(expr), negated, low: key(low), high: key(high) }))
        }
        Expr::InList(InList { expr, list, negated }) if is_interval(&type_of(&expr, schema)) => {
            let list = list.into_iter().map(interval_key).collect();
            Transformed::yes(Expr::InList(InList { expr: Box::new(interval_key(*expr)), list, negated }))
        }
        Expr::Negative(inner) if !is_literal(&inner) => match type_of(&inner, schema) {
            kind if kind.is_signed_integer() => Transformed::yes(negated(*inner)),
            kind if is_float(&kind) => Transformed::yes(one_nan(Expr::Negative(inner))),
            _ => Transformed::no(Expr::Negative(inner)),
        },
        Expr::ScalarFunction(call) if computes(call.func.name()) => {
            let expr = Expr::ScalarFunction(call);
            if is_float(&type_of(&expr, schema)) { Transformed::yes(one_nan(expr)) } else { Transformed::no(expr) }
        }
        expr => Transformed::no(expr),
    })
}

/// Functions that may leave a NaN of their own.
fn computes(name: &str) -> bool {
    ["acos", "acosh", "asin", "atanh", "cos", "cot", "exp", "ln", "log", "log10", "log2", "power", "sin", "sqrt", "tan"]
        .contains(&name)
}

/// A cast as PostgreSQL means it; the expression itself where DataFusion means the same.
fn converted(inner: Expr, schema: &DFSchema, to: &DataType) -> std::result::Result<Expr, Expr> {
    let from = &type_of(&inner, schema);
    let shows = is_moment(from) || matches!(from, DataType::Timestamp(_, None)) || is_float(from) || is_interval(from);
    Ok(if is_text(to) && shows {
        let exact = match from {
            DataType::Timestamp(_, Some(_)) => cast(inner, time_type()),
            DataType::Timestamp(_, None) => cast(inner, local_type()),
            _ => inner,
        };
        cast(shown(exact), to.clone())
    } else if is_moment(to) && is_text(from) {
        cast(read_time(inner), to.clone())
    } else if is_moment(to) && is_local(from) {
        cast(moment(cast(inner, local_type())), to.clone())
    } else if is_moment(from) && is_local(to) {
        cast(local(cast(inner, time_type())), to.clone())
    } else if to.is_integer() && is_float(from) {
        cast(rounded(inner), to.clone())
    } else if let (true, DataType::Decimal128(precision, scale)) = (to.is_integer(), from)
        && *scale > 0
    {
        cast(cast(inner, DataType::Decimal128(*precision, 0)), to.clone())
    } else {
        return Err(inner);
    })
}

fn operated(binary: BinaryExpr, schema: &DFSchema) -> Transformed<Expr> {
    let BinaryExpr { left, op, right } = binary;
    let (a, b) = (type_of(&left, schema), type_of(&right, schema));
    let again = |left, right| Expr::BinaryExpr(BinaryExpr { left, op, right });
    if is_interval(&a) && is_interval(&b) && compares(op) {
        return Transformed::yes(again(Box::new(interval_key(*left)), Box::new(interval_key(*right))));
    }
    if is_time(&a) && is_interval(&b) && matches!(op, Operator::Plus | Operator::Minus) && !is_short(&right) {
        return Transformed::yes(moved(*left, *right, op == Operator::Minus));
    }
    if is_interval(&a) && is_time(&b) && op == Operator::Plus && !is_short(&left) {
        return Transformed::yes(moved(*right, *left, false));
    }
    if a.is_integer() && a == b && matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply) {
        let (left, right) = (*left, *right);
        return checked(op, left.clone(), right.clone())
            .map_or_else(|| Transformed::no(again(Box::new(left), Box::new(right))), Transformed::yes);
    }
    let arithmetic = matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo);
    let expr = again(left, right);
    if arithmetic && is_float(&a) && is_float(&b) && !is_one_nan(&expr) {
        return Transformed::yes(one_nan(expr));
    }
    Transformed::no(expr)
}

fn is_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..))
}

/// An interval written in the statement that has neither months nor days: it means the same by any clock.
fn is_short(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(span)), _) if span.months == 0 && span.days == 0)
}
