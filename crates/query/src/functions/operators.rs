//! Operators and forms that become functions of ours while a statement is planned: `->>`, the difference of
//! two times, EXTRACT.

use super::calendar::DATE_PART;
use super::labels::JSON_TEXT_FUNCTION;
use super::spans::between;
use super::typed::call;
use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Plans them.
#[derive(Debug)]
pub(crate) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_time = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Timestamp(..)));
        Ok(match expr.op {
            BinaryOperator::LongArrow => PlannerResult::Planned(call(&JSON_TEXT_FUNCTION, vec![expr.left, expr.right])),
            BinaryOperator::Minus if is_time(&expr.left) && is_time(&expr.right) => {
                PlannerResult::Planned(between(expr.left, expr.right))
            }
            _ => PlannerResult::Original(expr),
        })
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call(&DATE_PART, args)))
    }
}
