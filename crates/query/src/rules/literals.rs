//! Text compared with a time becomes a time, read in the session's zone.
//!
//! DataFusion reads such text in UTC and in forms of its own; here it is read as PostgreSQL reads
//! it. So this rule stands before DataFusion's own coercion of types.

use crate::context::PlanOptions;
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
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

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
        let rewritten = plan.transform_up_with_subqueries(|node| {
            planning::check()?;
            let schema = merge_schema(&node.inputs());
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|expr| read(expr, &schema, zone))?.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(rewritten.data)
    }
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
        expr => Transformed::no(expr),
    })
}
