//! Names kept apart that DataFusion would confuse, in every SELECT of a statement.
//!
//! - it names a cast like what is cast: where a SELECT holds both `sum(x)` and `sum(x::bigint)`, casts are wrapped
//!   in `as_type`, which planning takes away again;
//! - it pairs the columns of INTERSECT and EXCEPT by name: those of the right side get names of their own;
//! - INTERSECT ALL and EXCEPT ALL count rows: to it one row on the right side stands for all that are like it, so the
//!   rows that are alike are numbered.

use super::selects::call;
use crate::error::{Error, raise};
use crate::names::{self, Shown};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Value, VisitMut,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Keeps them apart in one query.
///
/// # Errors
/// `Error::Unsupported` for EXCEPT ALL and INTERSECT ALL of columns that are not named.
pub(super) fn query(query: &mut Query) -> Result<(), Error> {
    let mut wrapped = false;
    let mut waiting = vec![query.body.as_mut()];
    while let Some(body) = waiting.pop() {
        match body {
            SetExpr::SetOperation { op, set_quantifier: SetQuantifier::All, .. } if *op != SetOperator::Union => {
                // What is made of it is visited as a query of its own.
                *body = numbered(body)?;
            }
            SetExpr::SetOperation { op, left, right, .. } => {
                if *op != SetOperator::Union {
                    name_columns(right);
                }
                waiting.extend([left.as_mut(), right.as_mut()]);
            }
            SetExpr::Select(select) => wrapped |= wrap_confused(select),
            _ => {}
        }
    }
    if wrapped
        && let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(keys) = &mut order.kind
    {
        for key in keys {
            let _ = key.expr.visit(&mut Wrap);
        }
    }
    Ok(())
}

/// `a EXCEPT ALL b` with rows that are alike numbered on both sides.
fn numbered(operation: &SetExpr) -> Result<SetExpr, Error> {
    let broken = || raise(Error::Internal, "internal error: a frame of our own does not parse");
    let SetExpr::SetOperation { op, left, right, .. } = operation else { return Err(broken()) };
    let names = width(left).ok_or_else(|| {
        raise(Error::Unsupported, format!("{op} ALL of columns that are not named is not supported")).with_hint("write them out")
    })?;
    let columns = (0..names.len()).map(|number| format!("__c{number}")).collect::<Vec<_>>().join(", ");
    let side = |side: &SetExpr, name: &str| {
        let number = format!("row_number() OVER (PARTITION BY {columns}) AS __number");
        format!("SELECT {columns}, {number} FROM ({side}) AS {name}({columns})")
    };
    let shown = |(number, name): (usize, &String)| format!("__c{number} AS \"{}\"", name.replace('"', "\"\""));
    let shown = names.iter().enumerate().map(shown).collect::<Vec<_>>().join(", ");
    let text = format!("SELECT {shown} FROM ({} {op} {}) AS __all", side(left, "__left"), side(right, "__right"));
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_query());
    Ok(*parsed.map_err(|_| broken())?.body)
}

/// The names of a side's columns; None where a star stands for some.
fn width(side: &SetExpr) -> Option<Vec<String>> {
    match side {
        SetExpr::SetOperation { left, .. } => width(left),
        SetExpr::Query(inner) => width(&inner.body),
        SetExpr::Select(select) => {
            let name = |item: &SelectItem| match names::item(item) {
                Shown::Name(name) => Some(name),
                Shown::Star => None,
            };
            select.projection.iter().map(name).collect()
        }
        _ => None,
    }
}

/// Names the columns of a set operation's right side.
fn name_columns(side: &mut SetExpr) {
    let select = match side {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { left, .. } => return name_columns(left),
        SetExpr::Query(inner) => return name_columns(inner.body.as_mut()),
        _ => return,
    };
    for (number, item) in select.projection.iter_mut().enumerate() {
        let name = Ident::with_quote('"', format!("__right{number}"));
        match item {
            SelectItem::UnnamedExpr(expr) => *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: name },
            SelectItem::ExprWithAlias { alias, .. } => *alias = name,
            _ => {}
        }
    }
}

fn items(select: &mut Select) -> impl Iterator<Item = &mut Expr> {
    select.projection.iter_mut().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    })
}

/// Whether two items, or two calls in them, differ in nothing but casts.
fn confuses(select: &mut Select) -> bool {
    let mut seen = Seen::default();
    items(select).for_each(|expr| {
        seen.add(expr);
        let _ = expr.visit(&mut seen);
    });
    if let Some(condition) = &mut select.having {
        let _ = condition.visit(&mut seen);
    }
    seen.confused
}

#[derive(Default)]
struct Seen {
    by_bare: HashMap<String, String>,
    confused: bool,
}

impl Seen {
    fn add(&mut self, expr: &Expr) {
        let mut bare = expr.clone();
        let _ = bare.visit(&mut Strip);
        let whole = expr.to_string();
        // Counting rows is counting a 1.
        self.confused |= *self.by_bare.entry(bare.to_string().replace("(*)", "(1)")).or_insert_with(|| whole.clone()) != whole;
    }
}

impl VisitorMut for Seen {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Function(_)) {
            self.add(expr);
        }
        ControlFlow::Continue(())
    }
}

/// Takes casts away.
struct Strip;

impl VisitorMut for Strip {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
            *expr = inner.as_ref().clone();
        }
        ControlFlow::Continue(())
    }
}

/// Wraps the casts of a SELECT that needs it, and tells whether it did.
fn wrap_confused(select: &mut Select) -> bool {
    if !confuses(select) {
        return false;
    }
    for expr in items(select) {
        let _ = expr.visit(&mut Wrap);
    }
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        for key in keys {
            let _ = key.visit(&mut Wrap);
        }
    }
    for condition in [&mut select.having, &mut select.qualify].into_iter().flatten() {
        let _ = condition.visit(&mut Wrap);
    }
    true
}

/// Wraps casts.
struct Wrap;

impl VisitorMut for Wrap {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { data_type, .. } = expr {
            let kind = Expr::value(Value::SingleQuotedString(data_type.to_string()));
            *expr = call("as_type", vec![expr.clone(), kind]);
        }
        ControlFlow::Continue(())
    }
}
