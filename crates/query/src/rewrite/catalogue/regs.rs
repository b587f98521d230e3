//! Objects by number and by name: casts to `regclass`, `regtype` and their like.
//!
//! In PostgreSQL such a value is a number that shows as a name. Here it is one of both, as where it stands asks for:
//! a number where it is compared, cast to one, or given to a function that takes numbers of objects; a name where it is
//! shown, cast to text, or made into text. A name that is written (`'samples'::regclass`) is looked up in either case, so
//! that one that is none is an error.

use super::catalogue_name;
use crate::functions::clients::SORTS;
use crate::rewrite::selects::call;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, SelectItem, Value,
};

/// The sort of objects that a type is of, as a place in `SORTS`.
fn sort(kind: &DataType) -> Option<usize> {
    let name = match kind {
        DataType::Regclass => "regclass".to_owned(),
        DataType::Custom(name, _) => catalogue_name(name)?,
        _ => return None,
    };
    let own = match name.strip_prefix("reg")? {
        "procedure" => "proc",
        own => own,
    };
    SORTS.iter().position(|(sort, ..)| *sort == own)
}

/// A cast to such a type: its sort and what is cast.
fn reg(expr: &Expr) -> Option<(usize, &Expr)> {
    match expr {
        Expr::Cast { expr: inner, data_type, .. } => Some((sort(data_type)?, inner)),
        Expr::Nested(inner) => reg(inner),
        _ => None,
    }
}

fn number((sort, of): (usize, &Expr)) -> Expr {
    call(SORTS[sort].2, vec![of.clone()])
}

fn name((sort, of): (usize, &Expr)) -> Expr {
    call(SORTS[sort].3, vec![of.clone()])
}

fn as_number(expr: &mut Expr) {
    if let Some(found) = reg(expr).map(number) {
        *expr = found;
    }
}

fn is_written(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::SingleQuotedString(_) | Value::Placeholder(_)),
        Expr::Cast { expr: inner, .. } | Expr::Nested(inner) => is_written(inner),
        _ => false,
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Text
        | DataType::Varchar(_)
        | DataType::CharVarying(_)
        | DataType::CharacterVarying(_)
        | DataType::String(_) => true,
        DataType::Custom(name, _) => {
            catalogue_name(name).is_some_and(|name| ["text", "name", "varchar"].contains(&name.as_str()))
        }
        _ => false,
    }
}

fn compares(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// Whether a function takes numbers of objects.
fn takes_numbers(function: &str) -> bool {
    function.starts_with("pg_")
        || function.starts_with("has_")
        || ["obj_description", "col_description", "format_type"].contains(&function)
}

/// An expression, before what is in it.
pub(super) fn expr(expr: &mut Expr) {
    match expr {
        Expr::BinaryOp { left, op, right } if compares(op) => {
            as_number(left);
            as_number(right);
        }
        Expr::InList { expr: left, list, .. } => {
            as_number(left);
            list.iter_mut().for_each(as_number);
        }
        Expr::InSubquery { expr: left, .. } | Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } => as_number(left),
        Expr::Function(function) => {
            let takes = catalogue_name(&function.name).is_some_and(|name| takes_numbers(&name));
            if let FunctionArguments::List(list) = &mut function.args
                && takes
            {
                for arg in &mut list.args {
                    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg {
                        as_number(arg);
                    }
                }
            }
        }
        Expr::Cast { expr: inner, data_type, .. } => {
            if let Some(found) = reg(inner) {
                let instead = if is_text(data_type) { name(found) } else { number(found) };
                **inner = instead;
            } else if let Some(kind) = sort(data_type) {
                let of = (kind, inner.as_ref());
                *expr = if is_written(inner) { number(of) } else { name(of) };
            }
        }
        _ => {}
    }
}

/// What a list shows: names, at the outermost; within, written ones are asked for their numbers.
pub(super) fn shown(items: &mut [SelectItem]) {
    for item in items {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
            && let Some(found) = reg(expr).map(name)
        {
            *expr = found;
        }
    }
}
