//! Operators and forms that become functions of ours while a statement is planned: `->>`, the difference of
//! two times, intervals times and over numbers, dates and intervals, EXTRACT.

use super::calendar::DATE_PART;
use super::chain;
use super::labels::JSON_TEXT_FUNCTION;
use super::scaled;
use super::spans::between;
use super::typed::{Typed, call};
use crate::planning;
use crate::schema::local_type;
use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, Operator, ScalarUDF, binary_expr, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::sync::{Arc, LazyLock};

/// `as_type(x, 'type')`: x. It keeps apart what DataFusion names alike, a value and a cast of it, until the types are
/// settled (`rules/meaning.rs` takes it away).
pub(crate) static AS_TYPE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let takes = |given: &[DataType]| (given.len() == 2).then(|| given.to_vec());
    Typed { name: "as_type", aliases: &[], takes, gives: |given| given[0].clone(), body: |args, _| Ok(Arc::clone(&args[0])) }
        .udf()
});

/// Plans them.
#[derive(Debug)]
pub(crate) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        planning::check()?;
        let expr = match chain::taken(expr.left, &expr.op, expr.right, schema)? {
            Ok(planned) => return Ok(PlannerResult::Planned(planned)),
            Err((left, right)) => RawBinaryExpr { op: expr.op, left, right },
        };
        if expr.op == BinaryOperator::LongArrow {
            return Ok(PlannerResult::Planned(call(&JSON_TEXT_FUNCTION, vec![expr.left, expr.right])));
        }
        if !matches!(expr.op, BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Divide) {
            return Ok(PlannerResult::Original(expr));
        }
        // Found once: a type is derived from those of all that is in an expression.
        let (left, right) = (chain::type_of(&expr.left, schema), chain::type_of(&expr.right, schema));
        let is_time = |kind: &DataType| matches!(kind, DataType::Timestamp(..));
        let is_span = |kind: &DataType| matches!(kind, DataType::Interval(_));
        let is_date = |kind: &DataType| matches!(kind, DataType::Date32);
        Ok(match expr.op {
            BinaryOperator::Minus if is_time(&left) && is_time(&right) => PlannerResult::Planned(between(expr.left, expr.right)),
            BinaryOperator::Multiply if is_span(&left) && right.is_numeric() => {
                PlannerResult::Planned(scaled::times(expr.left, expr.right))
            }
            BinaryOperator::Multiply if left.is_numeric() && is_span(&right) => {
                PlannerResult::Planned(scaled::times(expr.right, expr.left))
            }
            BinaryOperator::Divide if is_span(&left) && right.is_numeric() => {
                PlannerResult::Planned(scaled::over(expr.left, expr.right))
            }
            // DataFusion would keep the date and lose the time.
            BinaryOperator::Plus | BinaryOperator::Minus if is_date(&left) && is_span(&right) => {
                let op = if expr.op == BinaryOperator::Plus { Operator::Plus } else { Operator::Minus };
                PlannerResult::Planned(binary_expr(cast(expr.left, local_type()), op, expr.right))
            }
            BinaryOperator::Plus if is_span(&left) && is_date(&right) => {
                PlannerResult::Planned(binary_expr(cast(expr.right, local_type()), Operator::Plus, expr.left))
            }
            _ => PlannerResult::Original(expr),
        })
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call(&DATE_PART, args)))
    }
}
