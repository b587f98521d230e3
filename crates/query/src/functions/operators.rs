//! Operators and forms that become functions of ours while a statement is planned: `->>`, the difference of
//! two times, intervals times and over numbers, dates and intervals, booleans and texts, EXTRACT.

use super::calendar::DATE_PART;
use super::chain;
use super::labels::JSON_TEXT_FUNCTION;
use super::quotients::{divided, is_decimal};
use super::scaled;
use super::spans::between;
use super::typed::{Typed, call};
use crate::planning;
use crate::schema::local_type;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, Operator, ScalarUDF, binary_expr, cast, lit, when};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::sync::{Arc, LazyLock};

/// `as_type(x, 'type')`: x. It keeps apart what DataFusion names alike, a value and a cast of it, until the types are
/// settled (`rules/meaning.rs` takes it away).
pub(crate) static AS_TYPE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let takes = |given: &[DataType]| (given.len() == 2).then(|| given.to_vec());
    Typed { name: "as_type", aliases: &[], takes, gives: |given| given[0].clone(), body: |args, _| Ok(Arc::clone(&args[0])) }
        .udf()
});

/// The operands of a division of numerics.
fn exact(expr: &RawBinaryExpr, schema: &DFSchema) -> Option<(Operator, Expr, Expr)> {
    let op = match expr.op {
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        _ => return None,
    };
    let (left, right) = (chain::type_of(&expr.left, schema), chain::type_of(&expr.right, schema));
    let fits = |kind: &DataType| is_decimal(kind) || kind.is_integer();
    // A text without a type, or NULL, is what the other side is.
    let as_other = |expr: &Expr, kind: &DataType, other: &DataType| match expr {
        expr if fits(kind) => Some(expr.clone()),
        Expr::Literal(..) if is_decimal(other) => Some(cast(expr.clone(), DataType::Decimal128(38, 10))),
        _ => None,
    };
    if !is_decimal(&left) && !is_decimal(&right) {
        return None;
    }
    let plain = |kind: &DataType| fits(kind) || matches!(kind, DataType::Null | DataType::Utf8);
    let (a, b) = (as_other(&expr.left, &left, &right)?, as_other(&expr.right, &right, &left)?);
    (plain(&left) && plain(&right)).then_some((op, a, b))
}

/// `indisprimary = 't'`, `age > '1 minute'`: a text without a type beside a boolean or an interval is one. DataFusion finds no type
/// that they have together.
fn of_other_side(mut expr: RawBinaryExpr, schema: &DFSchema) -> RawBinaryExpr {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    let kind = |expr: &Expr| {
        let kind = expr.get_type(schema).ok();
        kind.filter(|kind| matches!(kind, DataType::Boolean | DataType::Interval(_)))
    };
    let is_text = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)), _));
    if matches!(expr.op, Eq | NotEq | Lt | LtEq | Gt | GtEq) {
        if is_text(&expr.right)
            && let Some(kind) = kind(&expr.left)
        {
            expr.right = cast(expr.right, kind);
        } else if is_text(&expr.left)
            && let Some(kind) = kind(&expr.right)
        {
            expr.left = cast(expr.left, kind);
        }
    }
    expr
}

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
        if let Some((op, left, right)) = exact(&expr, schema)
            && let Some(exact) = divided(op, left, right)
        {
            return Ok(PlannerResult::Planned(exact));
        }
        if !matches!(expr.op, BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Divide) {
            return Ok(PlannerResult::Original(of_other_side(expr, schema)));
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

    // To DataFusion a place below 1 counts from the end.
    fn plan_field_access(&self, mut expr: RawFieldAccessExpr, _: &DFSchema) -> Result<PlannerResult<RawFieldAccessExpr>> {
        if let GetFieldAccess::ListIndex { key } = &mut expr.field_access {
            let place = std::mem::take(key.as_mut());
            **key = match place {
                Expr::Literal(ScalarValue::Int64(Some(place)), metadata) => {
                    Expr::Literal(ScalarValue::Int64((place > 0).then_some(place)), metadata)
                }
                place => when(place.clone().gt(lit(0_i64)), place).end()?,
            };
        }
        Ok(PlannerResult::Original(expr))
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call(&DATE_PART, args)))
    }
}
