//! Operators and forms that become functions of ours while a statement is planned: `->>`, the difference of
//! two times, intervals times and over numbers, dates and intervals, booleans and texts, EXTRACT.

use super::calendar::DATE_PART;
use super::labels::JSON_TEXT_FUNCTION;
use super::scaled;
use super::spans::between;
use super::typed::{Typed, call};
use crate::schema::local_type;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, ScalarUDF, binary_expr, cast};
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
        let is_time = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Timestamp(..)));
        let is_span = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Interval(_)));
        let is_date = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Date32));
        let is_flag = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Boolean));
        let is_literal = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)), _));
        let compared = |op: &BinaryOperator| if *op == BinaryOperator::Eq { Operator::Eq } else { Operator::NotEq };
        let is_number = |expr: &Expr| expr.get_type(schema).is_ok_and(|kind| kind.is_numeric());
        Ok(match expr.op {
            BinaryOperator::LongArrow => PlannerResult::Planned(call(&JSON_TEXT_FUNCTION, vec![expr.left, expr.right])),
            BinaryOperator::Minus if is_time(&expr.left) && is_time(&expr.right) => {
                PlannerResult::Planned(between(expr.left, expr.right))
            }
            BinaryOperator::Multiply if is_span(&expr.left) && is_number(&expr.right) => {
                PlannerResult::Planned(scaled::times(expr.left, expr.right))
            }
            BinaryOperator::Multiply if is_number(&expr.left) && is_span(&expr.right) => {
                PlannerResult::Planned(scaled::times(expr.right, expr.left))
            }
            BinaryOperator::Divide if is_span(&expr.left) && is_number(&expr.right) => {
                PlannerResult::Planned(scaled::over(expr.left, expr.right))
            }
            // A text without a type beside a boolean is one: `indisprimary = 't'`.
            BinaryOperator::Eq | BinaryOperator::NotEq if is_flag(&expr.left) && is_literal(&expr.right) => {
                PlannerResult::Planned(binary_expr(expr.left, compared(&expr.op), cast(expr.right, DataType::Boolean)))
            }
            BinaryOperator::Eq | BinaryOperator::NotEq if is_literal(&expr.left) && is_flag(&expr.right) => {
                PlannerResult::Planned(binary_expr(cast(expr.left, DataType::Boolean), compared(&expr.op), expr.right))
            }
            // DataFusion would keep the date and lose the time.
            BinaryOperator::Plus | BinaryOperator::Minus if is_date(&expr.left) && is_span(&expr.right) => {
                let op = if expr.op == BinaryOperator::Plus { Operator::Plus } else { Operator::Minus };
                PlannerResult::Planned(binary_expr(cast(expr.left, local_type()), op, expr.right))
            }
            BinaryOperator::Plus if is_span(&expr.left) && is_date(&expr.right) => {
                PlannerResult::Planned(binary_expr(cast(expr.right, local_type()), Operator::Plus, expr.left))
            }
            _ => PlannerResult::Original(expr),
        })
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call(&DATE_PART, args)))
    }
}
