//! Changes to the syntax tree before planning: what our tables and PostgreSQL mean by a form that
//! DataFusion reads otherwise or not at all.
//!
//! - times have microseconds, so that far years don't overflow nanoseconds;
//! - `first(value, time)` and `last(value, time)` are ordered aggregates;
//! - quality is compared with its names: `quality = 'good'`;
//! - PostgreSQL's own catalogue is asked in terms of what is here of it.

mod catalogue;

use crate::error::{Error, raise};
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    OrderBy, OrderByExpr, OrderByKind, Statement as Tree, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::ast::{Visit, Visitor};
use std::ops::ControlFlow;
use types::Quality;

/// Rewrites a statement.
///
/// # Errors
/// `Error::InvalidText` for a quality that is none.
pub(crate) fn tree(tree: &mut Tree) -> Result<(), Error> {
    match tree.visit(&mut Rewriter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<Error> {
        catalogue::query(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<Error> {
        catalogue::table(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        catalogue::expr(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match rewritten(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn rewritten(expr: &mut Expr) -> Result<(), Error> {
    match expr {
        Expr::Cast { data_type, .. } => {
            catalogue::kind(data_type);
            microseconds(data_type);
        }
        Expr::TypedString(typed) => microseconds(&mut typed.data_type),
        Expr::BinaryOp { left, op, right } if compares(op) => {
            if is_quality(left) {
                quality_literal(right)?;
            } else if is_quality(right) {
                quality_literal(left)?;
            }
        }
        Expr::InList { expr: column, list, .. } if is_quality(column) => {
            for item in list {
                quality_literal(item)?;
            }
        }
        Expr::Between { expr: column, low, high, .. } if is_quality(column) => {
            quality_literal(low)?;
            quality_literal(high)?;
        }
        Expr::Function(function) => aggregate(function)?,
        _ => {}
    }
    Ok(())
}

fn compares(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

fn is_quality(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(column) => column.value.eq_ignore_ascii_case("quality"),
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|column| column.value.eq_ignore_ascii_case("quality")),
        Expr::Nested(inner) => is_quality(inner),
        _ => false,
    }
}

fn quality_literal(expr: &mut Expr) -> Result<(), Error> {
    let Expr::Value(value) = expr else { return Ok(()) };
    let Value::SingleQuotedString(text) = &value.value else { return Ok(()) };
    let quality = quality_of(text)?;
    value.value = Value::Number(quality.0.to_string(), false);
    Ok(())
}

/// The quality that a text names.
pub(crate) fn quality_of(text: &str) -> Result<Quality, Error> {
    Quality::parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        raise(Error::InvalidText, format!("unknown quality \"{shown}\""))
            .with_hint("a number from 0 to 255, or a name: good, bad, uncertain, bad_comm_failure, ..")
    })
}

/// TIMESTAMP without a precision has microseconds, as in PostgreSQL.
fn microseconds(kind: &mut DataType) {
    match kind {
        DataType::Timestamp(precision @ None, _) => *precision = Some(6),
        DataType::TimestampNtz(precision @ None) => *precision = Some(6),
        _ => {}
    }
}

/// `last(value, time)` becomes `last_value(value ORDER BY time)`.
fn aggregate(function: &mut Function) -> Result<(), Error> {
    catalogue::function_name(&mut function.name);
    let name = function.name.to_string().to_ascii_lowercase();
    let ordered = match name.as_str() {
        "first" => "first_value",
        "last" => "last_value",
        _ => return Ok(()),
    };
    let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
    if list.args.len() != 2 {
        return Err(raise(Error::UnknownFunction, format!("{name} takes two arguments: {name}(value, time)")));
    }
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(time))) = list.args.pop() else {
        return Err(raise(Error::UnknownFunction, format!("{name} takes two expressions: {name}(value, time)")));
    };
    let options = ast::OrderByOptions { asc: None, nulls_first: None };
    list.clauses.push(FunctionArgumentClause::OrderBy(vec![OrderByExpr { expr: time, options, with_fill: None }]));
    function.name = ast::ObjectName::from(vec![ast::Ident::new(ordered)]);
    Ok(())
}

/// The highest parameter that a statement names; 0 = it has none.
pub(crate) fn highest_parameter(tree: &Tree) -> usize {
    struct Highest(usize);
    impl Visitor for Highest {
        type Break = ();
        fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<()> {
            if let Value::Placeholder(name) = &value.value {
                self.0 = self.0.max(name.trim_start_matches('$').parse().unwrap_or(0));
            }
            ControlFlow::Continue(())
        }
    }
    let mut highest = Highest(0);
    let _ = tree.visit(&mut highest);
    highest.0
}

/// Whether ORDER BY names expressions (and not ALL).
pub(crate) fn order_keys(order: Option<&OrderBy>) -> Option<&[OrderByExpr]> {
    match order {
        None => Some(&[]),
        Some(OrderBy { kind: OrderByKind::Expressions(keys), interpolate: None }) => Some(keys),
        Some(_) => None,
    }
}
