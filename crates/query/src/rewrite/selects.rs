//! SELECT lists and subqueries in a form that DataFusion takes.
//!
//! - two columns of the outermost list may have one name: a plan's may not, so the later one gets a name
//!   of its own, whose end is cut off again where it is shown;
//! - `EXISTS` in a list counts, `mod(a, b)` is `a % b`, `FETCH FIRST` is LIMIT;
//! - `ARRAY(SELECT x .. ORDER BY k)` is `(SELECT array_agg(x ORDER BY k) ..)`, and empty where there is no row.

use super::catalogue;
use crate::error::{Error, raise};
use crate::names::{self, APART, Shown};
use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, OrderByExpr, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Gives later columns of one name names of their own.
pub(super) fn keep_apart(query: &mut Query) {
    let before = names_of(query);
    keep_all_apart(query);
    // A key that is the name of a column means that column still.
    let after = names_of(query);
    let changed = before.into_iter().zip(&after).filter(|(old, _)| !after.contains(old));
    let renamed: Vec<(String, Ident)> = changed.map(|(old, new)| (old, Ident::with_quote('"', new))).collect();
    if let Some(order) = &mut query.order_by
        && let ast::OrderByKind::Expressions(keys) = &mut order.kind
    {
        for key in keys {
            if let Expr::Identifier(name) = &key.expr
                && let Some((_, new)) = renamed.iter().find(|(old, _)| *old == names::ident(name))
            {
                key.expr = Expr::Identifier(new.clone());
            }
        }
    }
}

/// The names that the outermost list gives by AS.
fn names_of(query: &Query) -> Vec<String> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Vec::new() };
    let alias = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => names::ident(alias),
        _ => String::new(),
    };
    select.projection.iter().map(alias).collect()
}

fn keep_all_apart(query: &mut Query) {
    let mut waiting = vec![query.body.as_mut()];
    while let Some(body) = waiting.pop() {
        match body {
            SetExpr::SetOperation { left, right, .. } => waiting.extend([left.as_mut(), right.as_mut()]),
            SetExpr::Query(inner) => waiting.push(inner.body.as_mut()),
            SetExpr::Select(select) => apart(select, true),
            _ => {}
        }
    }
}

/// Gives later columns of one name in a list names of their own; where a star stands there that may bring the same name, all that
/// are named, if `beside_star`.
pub(super) fn apart(select: &mut Select, beside_star: bool) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let star = beside_star && select.projection.iter().any(|item| names::item(item) == Shown::Star);
    for item in &mut select.projection {
        let Shown::Name(name) = names::item(item) else { continue };
        // Two names of one function are one column to a plan.
        let own = if is_typed(item) { "a typed literal" } else { planned_name(catalogue::own_name(&name).unwrap_or(&name)) };
        let count = seen.entry(own.to_owned()).or_default();
        *count += 1;
        // Whether a star brings the same name can't be told here.
        if *count > 1 || star {
            set_apart(item, &name, *count);
        }
    }
}

/// Whether it is a literal with its type before it: a plan has the literal's name for it, whatever the type.
fn is_typed(item: &SelectItem) -> bool {
    matches!(item, SelectItem::UnnamedExpr(Expr::TypedString(_)))
}

/// What two spellings that a plan has one name for have in common.
fn planned_name(name: &str) -> &str {
    match name {
        "substring" => "substr",
        "position" => "strpos",
        // As `%`, which has no name.
        "mod" => names::UNNAMED,
        name => name,
    }
}

fn set_apart(item: &mut SelectItem, name: &str, number: usize) {
    let alias = Ident::with_quote('"', format!("{name}{APART}{number}"));
    match item {
        SelectItem::UnnamedExpr(expr) => *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias },
        SelectItem::ExprWithAlias { alias: old, .. } => *old = alias,
        _ => {}
    }
}

/// A call of a function.
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, args, Vec::new()))
}

fn function(name: &str, args: Vec<Expr>, clauses: Vec<FunctionArgumentClause>) -> Function {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

fn two_args(function: &Function) -> Option<[&Expr; 2]> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(a)), FunctionArg::Unnamed(FunctionArgExpr::Expr(b))] => Some([a, b]),
        _ => None,
    }
}

/// Whether it is `mod(a, b)`.
pub(super) fn is_modulo(function: &Function) -> bool {
    function.name.to_string().eq_ignore_ascii_case("mod") && two_args(function).is_some()
}

/// `mod(a, b)` as `a % b`.
pub(super) fn modulo(function: &Function) -> Expr {
    let nested = |expr: &Expr| Box::new(Expr::Nested(Box::new(expr.clone())));
    match two_args(function) {
        Some([a, b]) => Expr::BinaryOp { left: nested(a), op: ast::BinaryOperator::Modulo, right: nested(b) },
        None => Expr::Function(function.clone()),
    }
}

/// `FETCH FIRST n ROWS ONLY` as LIMIT.
pub(super) fn fetch_first(query: &mut Query) {
    let plain = query.fetch.as_ref().is_some_and(|fetch| !fetch.with_ties && !fetch.percent);
    let offset = match &query.limit_clause {
        None => None,
        Some(ast::LimitClause::LimitOffset { limit: None, offset, .. }) => offset.clone(),
        Some(_) => return,
    };
    if plain && let Some(fetch) = query.fetch.take() {
        let limit = Some(fetch.quantity.unwrap_or_else(|| Expr::value(ast::Value::Number("1".to_owned(), false))));
        query.limit_clause = Some(ast::LimitClause::LimitOffset { limit, offset, limit_by: Vec::new() });
    }
}

/// `EXISTS (..)` in a SELECT list, which DataFusion knows in conditions only: whether one row can be counted.
pub(super) fn exists_in_lists(query: &mut Query) -> Result<(), Error> {
    let mut waiting = vec![query.body.as_mut()];
    while let Some(body) = waiting.pop() {
        match body {
            SetExpr::SetOperation { left, right, .. } => waiting.extend([left.as_mut(), right.as_mut()]),
            SetExpr::Select(select) => {
                for item in &mut select.projection {
                    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                        && let ControlFlow::Break(error) = expr.visit(&mut Counted)
                    {
                        return Err(error);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

struct Counted;

impl VisitorMut for Counted {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Exists { subquery, negated } = expr else { return ControlFlow::Continue(()) };
        let (mut inner, negated) = (subquery.as_ref().clone(), *negated);
        let number = |text: &str| Expr::value(ast::Value::Number(text.to_owned(), false));
        if inner.limit_clause.is_none() && inner.fetch.is_none() {
            inner.limit_clause =
                Some(ast::LimitClause::LimitOffset { limit: Some(number("1")), offset: None, limit_by: Vec::new() });
        }
        let op = if negated { ast::BinaryOperator::Eq } else { ast::BinaryOperator::Gt };
        let count = Box::new(call("count", vec![number("1")]));
        match around(inner, Expr::BinaryOp { left: count, op, right: Box::new(number("0")) }) {
            Ok(counted) => {
                *expr = counted;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Whether it is `ARRAY(SELECT ..)`.
pub(super) fn is_array(function: &Function) -> bool {
    function.name.to_string().eq_ignore_ascii_case("array") && matches!(function.args, FunctionArguments::Subquery(_))
}

/// `ARRAY(SELECT ..)` as an aggregate over a subquery that also shows what it is ordered by.
pub(super) fn gathered(array: &Function) -> Result<Expr, Error> {
    let FunctionArguments::Subquery(query) = &array.args else {
        return Err(raise(Error::Internal, "internal error: ARRAY without a subquery"));
    };
    let mut inner = query.as_ref().clone();
    let refuse = |what: &str| Err(raise(Error::Unsupported, format!("ARRAY over {what} is not supported")));
    let Some(keys) = super::order_keys(inner.order_by.as_ref()).map(<[OrderByExpr]>::to_vec) else {
        return refuse("a subquery ordered in this way");
    };
    let SetExpr::Select(select) = inner.body.as_mut() else { return refuse("anything but a plain SELECT") };
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] = select.projection.as_slice() else {
        return refuse("a subquery of more than one column");
    };
    let (value, shown) = (value.clone(), names::item(&select.projection[0]));
    if select.distinct.is_some() && keys.iter().any(|key| !means(&key.expr, &value, &shown)) {
        return refuse("a DISTINCT subquery that is ordered by something else");
    }
    let named = |expr: Expr, alias: String| SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', alias) };
    let column = |name: &str| Expr::Identifier(Ident::with_quote('"', name));
    select.projection = vec![named(value.clone(), "__item".to_owned())];
    let mut order = Vec::new();
    for (number, key) in keys.into_iter().enumerate() {
        let name = if means(&key.expr, &value, &shown) {
            "__item".to_owned()
        } else {
            let name = format!("__key{number}");
            select.projection.push(named(key.expr.clone(), name.clone()));
            name
        };
        order.push(OrderByExpr { expr: column(&name), ..key });
    }
    inner.order_by = inner.order_by.map(|kept| ast::OrderBy { kind: ast::OrderByKind::Expressions(order.clone()), ..kept });
    let clauses = if order.is_empty() { Vec::new() } else { vec![FunctionArgumentClause::OrderBy(order)] };
    let gathered = Expr::Function(function("array_agg", vec![column("__item")], clauses));
    around(inner, call("coalesce", vec![gathered, call("make_array", Vec::new())]))
}

/// Whether an ORDER BY key is the selected value: by its expression, name or number.
fn means(key: &Expr, value: &Expr, shown: &Shown) -> bool {
    let number = matches!(key, Expr::Value(literal) if literal.value.to_string() == "1");
    let name = matches!((key, shown), (Expr::Identifier(key), Shown::Name(name)) if key.value == *name);
    number || name || key == value
}

/// `(SELECT value FROM (inner) AS __array)`.
fn around(inner: Query, value: Expr) -> Result<Expr, Error> {
    let alias = TableAlias { explicit: true, name: Ident::new("__array"), columns: Vec::new(), at: None };
    let derived = TableFactor::Derived { lateral: false, subquery: Box::new(inner), alias: Some(alias), sample: None };
    subquery(value, vec![TableWithJoins { relation: derived, joins: Vec::new() }])
}

/// `(SELECT value FROM ..)`.
pub(super) fn subquery(value: Expr, from: Vec<TableWithJoins>) -> Result<Expr, Error> {
    let broken = || raise(Error::Internal, "internal error: a frame of our own does not parse");
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql("SELECT 1").and_then(|mut parser| parser.parse_query());
    let mut outer = *parsed.map_err(|_| broken())?;
    let SetExpr::Select(select) = outer.body.as_mut() else { return Err(broken()) };
    select.projection = vec![SelectItem::UnnamedExpr(value)];
    select.from = from;
    Ok(Expr::Subquery(Box::new(outer)))
}

/// The arguments of `make_interval`, in their places.
const MAKE_INTERVAL: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];

/// Whether it is `make_interval(days => 10)`.
pub(super) fn has_named(function: &Function) -> bool {
    let named = |list: &FunctionArgumentList| {
        list.args.iter().any(|arg| matches!(arg, FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. }))
    };
    function.name.to_string().eq_ignore_ascii_case("make_interval")
        && matches!(&function.args, FunctionArguments::List(list) if named(list))
}

/// The call with each argument in its place, 0 where none was named.
pub(super) fn in_place(function: &Function) -> Result<Expr, Error> {
    let FunctionArguments::List(list) = &function.args else { return Ok(Expr::Function(function.clone())) };
    let mut args: Vec<Expr> = MAKE_INTERVAL.iter().map(|_| Expr::value(ast::Value::Number("0".to_owned(), false))).collect();
    let named = |name: &str| MAKE_INTERVAL.iter().position(|known| name.eq_ignore_ascii_case(known));
    for (at, arg) in list.args.iter().enumerate() {
        let (place, expr) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => (Some(at), expr),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => (named(&name.value), expr),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(expr), .. } => {
                (named(&name.value), expr)
            }
            _ => return Ok(Expr::Function(function.clone())),
        };
        let place = place.and_then(|place| args.get_mut(place)).ok_or_else(|| {
            raise(Error::UnknownFunction, format!("make_interval has no argument {arg}")).with_hint(MAKE_INTERVAL.join(", "))
        })?;
        *place = expr.clone();
    }
    Ok(call("make_interval", args))
}

fn args_of(function: &Function) -> Option<Vec<&Expr>> {
    let list = match &function.args {
        FunctionArguments::None => return Some(Vec::new()),
        FunctionArguments::List(list) => list,
        FunctionArguments::Subquery(_) => return None,
    };
    let args = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    args.collect()
}

/// A call that is short for another one: `age(x)` for `age(current_date, x)`, `localtimestamp` for `now()::timestamp`,
/// `percentile_cont(ARRAY[a, b])` for an array of both, `encode(x, 'base64')` with the `=` that PostgreSQL ends it with.
pub(super) fn shorthand(function: &Function) -> Option<Expr> {
    let name = function.name.0.last()?.as_ident()?.value.to_ascii_lowercase();
    let args = args_of(function)?;
    let cast = |expr: Expr, data_type: ast::DataType| Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    };
    let timestamp = |zone| ast::DataType::Timestamp(Some(6), zone);
    match (name.as_str(), args.as_slice()) {
        ("age", [since]) => {
            let today = cast(call("current_date", Vec::new()), timestamp(ast::TimezoneInfo::WithTimeZone));
            Some(call("age", vec![today, (*since).clone()]))
        }
        ("localtimestamp", []) => Some(cast(call("now", Vec::new()), timestamp(ast::TimezoneInfo::None))),
        ("encode", [bytes, Expr::Value(word)]) if word.value.to_string().eq_ignore_ascii_case("'base64'") => {
            let padded = Expr::value(ast::Value::SingleQuotedString("base64pad".to_owned()));
            Some(call("encode", vec![(*bytes).clone(), padded]))
        }
        ("percentile_cont" | "percentile_disc", [Expr::Array(shares)]) if !function.within_group.is_empty() => {
            let one = |share: &Expr| {
                let arg = FunctionArg::Unnamed(FunctionArgExpr::Expr(share.clone()));
                let args = FunctionArgumentList { duplicate_treatment: None, args: vec![arg], clauses: Vec::new() };
                Expr::Function(Function { args: FunctionArguments::List(args), ..function.clone() })
            };
            Some(call("make_array", shares.elem.iter().map(one).collect()))
        }
        _ => None,
    }
}
