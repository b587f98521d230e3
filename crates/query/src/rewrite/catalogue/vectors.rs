//! Arrays as clients of the catalogue take them apart.
//!
//! - `generate_subscripts(a, 1)` and `_pg_expandarray(a)` in a list are `unnest` of a function of the array;
//! - `(row).field` is `get_field(row, 'field')`;
//! - vectors (`indkey` and its like) count from 0, and as text are their items with blanks between.

use super::catalogue_name;
use crate::functions::vectors::{EXPANDED, SUBSCRIPTS};
use crate::rewrite::selects::call;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Subscript, Value,
};

const VECTORS: [&str; 5] = ["indkey", "indclass", "indoption", "indcollation", "proargtypes"];

fn text(word: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(word.to_owned()))
}

/// One place further, or back.
fn moved(place: Expr, op: BinaryOperator) -> Expr {
    let one = Box::new(Expr::value(Value::Number("1".to_owned(), false)));
    Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(Expr::Nested(Box::new(place))), op, right: one }))
}

fn is_vector(expr: &Expr) -> bool {
    let column = match expr {
        Expr::Identifier(column) => Some(column),
        Expr::CompoundIdentifier(parts) => parts.last(),
        Expr::Nested(inner) => return is_vector(inner),
        _ => None,
    };
    column.is_some_and(|column| VECTORS.contains(&column.value.to_ascii_lowercase().as_str()))
}

/// The first arguments, so many.
fn arguments(function: &Function, count: usize) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let plain = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => Some(arg.clone()),
        _ => None,
    };
    let args: Vec<Expr> = list.args.iter().take(count).map(plain).collect::<Option<_>>()?;
    (args.len() == count).then_some(args)
}

fn function_name(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [schema, own] if super::lower(schema) == "information_schema" => Some(super::lower(own)),
        _ => catalogue_name(&function.name),
    }
}

/// An expression, before what is in it.
pub(super) fn expr(expr: &mut Expr) {
    let instead = match expr {
        Expr::Function(function) => {
            let (taken, count) = match function_name(function).as_deref() {
                Some("generate_subscripts") => (SUBSCRIPTS, 2),
                Some("_pg_expandarray") => (EXPANDED, 1),
                _ => return,
            };
            let Some(args) = arguments(function, count) else { return };
            let from_0 = taken == SUBSCRIPTS && is_vector(&args[0]);
            let places = call("unnest", vec![call(taken, args)]);
            if from_0 { moved(places, BinaryOperator::Minus) } else { places }
        }
        Expr::Cast { expr: inner, data_type: DataType::Text | DataType::Varchar(_), .. } if is_vector(inner) => {
            call("array_to_string", vec![inner.as_ref().clone(), text(" ")])
        }
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.as_mut_slice() {
            [AccessExpr::Dot(Expr::Identifier(field))] => {
                call("get_field", vec![root.as_ref().clone(), text(&crate::names::ident(field))])
            }
            [AccessExpr::Subscript(Subscript::Index { index })] if is_vector(root) => {
                *index = moved(index.clone(), BinaryOperator::Plus);
                return;
            }
            // `i.indkey[n]` is read as fields of `i`.
            [.., AccessExpr::Dot(column), AccessExpr::Subscript(Subscript::Index { index })] if is_vector(column) => {
                *index = moved(index.clone(), BinaryOperator::Plus);
                return;
            }
            _ => return,
        },
        _ => return,
    };
    *expr = instead;
}
