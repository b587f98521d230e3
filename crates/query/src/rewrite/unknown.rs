//! Texts without a type in VALUES, CASE, COALESCE and its sisters, and arrays: where a value with a type stands beside
//! them, `'1'` becomes `unknown_as('1', value)`, which is a 1 of the value's type (`functions/unknowns.rs`).
//!
//! Which type that is can't be told here, so texts that stand beside other texts with a type are rewritten too, to no effect.

use super::selects::call;
use crate::functions::UNKNOWN;
use datafusion::sql::sqlparser::ast::{
    Array, CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, SelectItem, SetExpr, Value, Values,
    visit_expressions,
};
use std::ops::ControlFlow;

/// So many different values beside a text are looked at.
const WITNESSES_MAX: usize = 8;
/// A longer expression is not looked at.
const WITNESS_BYTES_MAX: usize = 1000;

fn plain(expr: &Expr) -> &Expr {
    if let Expr::Nested(inner) = expr { plain(inner) } else { expr }
}

/// A text without a type.
fn is_unknown(expr: &Expr) -> bool {
    let Expr::Value(value) = plain(expr) else { return false };
    matches!(
        value.value,
        Value::SingleQuotedString(_)
            | Value::EscapedStringLiteral(_)
            | Value::DollarQuotedString(_)
            | Value::UnicodeStringLiteral(_)
    )
}

fn is_null(expr: &Expr) -> bool {
    matches!(plain(expr), Expr::Value(value) if matches!(value.value, Value::Null))
}

/// Puts what says the type of an expression into a list: of one that has the type of its parts, those parts, so that
/// nothing is copied that holds copies. NULL says none, and a parameter takes that of the others.
fn find_witnesses<'a>(expr: &'a Expr, found: &mut Vec<(String, &'a Expr)>) {
    if found.len() >= WITNESSES_MAX || is_unknown(expr) {
        return;
    }
    let key = match plain(expr) {
        Expr::Value(value) => match &value.value {
            Value::Null | Value::Placeholder(_) => return,
            // One integer and one number with a point are as good as many.
            Value::Number(text, _) if text.bytes().all(|byte| byte.is_ascii_digit()) => "an integer".to_owned(),
            Value::Number(..) => "a number".to_owned(),
            Value::Boolean(_) => "a boolean".to_owned(),
            other => other.to_string(),
        },
        Expr::Identifier(name) if name.value.eq_ignore_ascii_case("default") => return,
        Expr::Subquery(_) => return,
        Expr::Case { conditions, else_result, .. } => {
            conditions.iter().for_each(|when| find_witnesses(&when.result, found));
            else_result.iter().for_each(|other| find_witnesses(other, found));
            return;
        }
        Expr::Function(function) if takes_one_type(function) => {
            arguments(function).for_each(|arg| find_witnesses(arg, found));
            return;
        }
        Expr::Function(function) if function.name.to_string() == UNKNOWN => {
            arguments(function).skip(1).for_each(|arg| find_witnesses(arg, found));
            return;
        }
        other => other.to_string(),
    };
    if key.len() <= WITNESS_BYTES_MAX && !found.iter().any(|(known, _)| *known == key) {
        found.push((key, expr));
    }
}

fn arguments(function: &Function) -> impl Iterator<Item = &Expr> {
    let list = match &function.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    })
}

fn take_type(expr: &mut Expr, witnesses: &[Expr]) {
    if !witnesses.is_empty() {
        let mut args = vec![plain(expr).clone()];
        args.extend(witnesses.iter().cloned());
        *expr = call(UNKNOWN, args);
    }
}

fn settle(exprs: Vec<&mut Expr>) {
    settle_those(exprs, is_unknown);
}

/// Gives those of the expressions a type that have none.
fn settle_those(mut exprs: Vec<&mut Expr>, untyped: fn(&Expr) -> bool) {
    if exprs.iter().any(|expr| untyped(expr)) {
        let mut found = Vec::new();
        exprs.iter().for_each(|expr| find_witnesses(expr, &mut found));
        let witnesses: Vec<Expr> = found.into_iter().map(|(_, expr)| expr.clone()).collect();
        exprs.iter_mut().filter(|expr| untyped(expr)).for_each(|expr| take_type(expr, &witnesses));
    }
}

/// The lists of all SELECTs of a set operation, column by column: only what needs no table tells a type to others.
pub(super) fn set_operation(body: &mut SetExpr) {
    if !matches!(body, SetExpr::SetOperation { .. }) {
        return;
    }
    let (mut lists, mut waiting) = (Vec::new(), vec![body]);
    while let Some(body) = waiting.pop() {
        match body {
            SetExpr::SetOperation { left, right, .. } => waiting.extend([left.as_mut(), right.as_mut()]),
            SetExpr::Select(select) => lists.push(&mut select.projection),
            _ => {}
        }
    }
    // A star hides which columns stand where.
    let plain = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if !lists.iter().all(|list: &&mut Vec<SelectItem>| list.iter().all(plain)) {
        return;
    }
    let columns = lists.iter().map(|list| list.len()).min().unwrap_or(0);
    for column in 0..columns {
        let exprs = lists.iter_mut().filter_map(|list| match &mut list[column] {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
            _ => None,
        });
        settle(exprs.filter(|expr| is_unknown(expr) || is_closed(expr)).collect());
    }
}

/// Whether an expression needs no table.
fn is_closed(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |part| match part {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_continue()
}

/// The rows of VALUES, column by column.
pub(super) fn values(values: &mut Values) {
    let columns = values.rows.first().map_or(0, |row| row.content.len());
    for column in 0..columns {
        settle(values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)).collect());
    }
}

fn takes_one_type(function: &Function) -> bool {
    let name = function.name.to_string().to_ascii_lowercase();
    ["coalesce", "greatest", "least", "nullif", "ifnull", "nvl"].contains(&name.as_str())
}

/// An expression whose parts have one type.
pub(super) fn expr(expr: &mut Expr) {
    match expr {
        Expr::Case { conditions, else_result, .. } => {
            let results = conditions.iter_mut().map(|CaseWhen { result, .. }| result);
            settle(results.chain(else_result.iter_mut().map(AsMut::as_mut)).collect());
        }
        // DataFusion has no array of bytes and NULL.
        Expr::Array(Array { elem, .. }) => settle_those(elem.iter_mut().collect(), |expr| is_unknown(expr) || is_null(expr)),
        Expr::Function(function) if takes_one_type(function) => {
            let FunctionArguments::List(list) = &mut function.args else { return };
            let args = list.args.iter_mut().filter_map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            });
            settle(args.collect());
        }
        _ => {}
    }
}
