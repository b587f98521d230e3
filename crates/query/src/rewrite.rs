//! Changes to the syntax tree before planning: what our tables and PostgreSQL mean by a form that
//! DataFusion reads otherwise or not at all.
//!
//! - times have microseconds, so that far years don't overflow nanoseconds;
//! - `first(value, time)` and `last(value, time)` are ordered aggregates, over a window its edges;
//! - `time AT TIME ZONE zone` is `timezone(zone, time)`; `varchar(n)` cuts;
//! - `ARRAY(SELECT ..)` gathers rows; columns of one name are kept apart (`selects.rs`, `apart.rs`);
//! - a column without a name has PostgreSQL's within the statement too (`named.rs`);
//! - what USING merges is one column, whatever the join (`using.rs`);
//! - rows are compared column by column (`compared.rs`), `'{1,2}'::int[]` and `= ANY ('{1,2}')` are arrays (`arrays.rs`);
//! - times in the arrays of `values_at` are read when the statement runs (`moments.rs`);
//! - texts without a type take that of the values beside them (`unknown.rs`);
//! - a number that no double holds is refused;
//! - quality is compared with its names: `quality = 'good'`;
//! - VALUES stands in UNION and behind IN as a SELECT (`values.rs`);
//! - `LIKE p ESCAPE '!'` has its pattern written with backslashes;
//! - `x IN (SELECT ..)` in a list or a key to sort by looks into an array (`among.rs`);
//! - PostgreSQL's own catalogue is asked in terms of what is here of it.

mod among;
mod apart;
mod arrays;
mod catalogue;
mod compared;
mod moments;
mod named;
mod selects;
mod unknown;
mod using;
mod values;

pub(crate) use arrays::placed_parameters;

use crate::error::{Error, raise};
use crate::functions::vectors::ESCAPED;
use crate::functions::{SERIES, SUBSTRING_BY};
use crate::value::parse_double;
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    OrderBy, OrderByExpr, OrderByKind, Statement as Tree, Value, VisitMut, VisitorMut, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowType,
};
use datafusion::sql::sqlparser::ast::{Visit, Visitor};
use std::ops::ControlFlow;
use types::Quality;

/// Rewrites a statement.
///
/// # Errors
/// `Error::InvalidText` for a quality that is none.
pub(crate) fn tree(tree: &mut Tree) -> Result<(), Error> {
    let outermost = match &mut *tree {
        Tree::Explain { statement, .. } => statement.as_mut(),
        tree => tree,
    };
    if let Tree::Query(query) = outermost {
        selects::keep_apart(query);
    }
    match tree.visit(&mut Rewriter { depth: 0 }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter {
    /// Queries around the one that is visited.
    depth: usize,
}

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<Error> {
        catalogue::query(query, self.depth == 0);
        named::query(query, self.depth == 0);
        self.depth += 1;
        if let ast::SetExpr::Values(values) = query.body.as_mut() {
            unknown::values(values);
        }
        unknown::set_operation(query.body.as_mut());
        selects::fetch_first(query);
        among::in_lists(query);
        if let Err(error) = values::query(query).and_then(|()| selects::exists_in_lists(query)) {
            return ControlFlow::Break(error);
        }
        match apart::query(query).and_then(|()| using::query(query)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<Error> {
        named::taken_apart(factor);
        match catalogue::table(factor).and_then(|()| series(factor)).and_then(|()| moments::of_values_at(factor)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        catalogue::expr(expr);
        match values::expr(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match rewritten(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn rewritten(expr: &mut Expr) -> Result<(), Error> {
    compared::expr(expr)?;
    unknown::expr(expr);
    match expr {
        Expr::Value(value) => number(&value.value)?,
        Expr::Cast { expr: inner, data_type, .. } => {
            catalogue::kind(data_type);
            arrays::literal(inner, data_type)?;
            microseconds(data_type)?;
            if matches!(data_type, DataType::Interval { .. }) {
                clocks(inner);
            }
            if let Some(length) = cut_length(data_type)? {
                cut(expr, length);
            }
        }
        Expr::TypedString(typed) => microseconds(&mut typed.data_type)?,
        Expr::AtTimeZone { timestamp, time_zone } => {
            let (time, zone) = (timestamp.as_ref().clone(), time_zone.as_ref().clone());
            *expr = selects::call("timezone", vec![zone, time]);
        }
        Expr::IsDistinctFrom(left, right) if is_logic(right) => *expr = regrouped(left, right, Expr::IsDistinctFrom),
        Expr::IsNotDistinctFrom(left, right) if is_logic(right) => *expr = regrouped(left, right, Expr::IsNotDistinctFrom),
        // To DataFusion the sign would be the text's first one: that of the first field alone.
        Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr: span } if matches!(span.as_ref(), Expr::Interval(_)) => {
            let minus = Box::new(Expr::value(Value::Number("-1".to_owned(), false)));
            *expr = Expr::BinaryOp { left: span.clone(), op: BinaryOperator::Multiply, right: minus };
        }
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
        Expr::AnyOp { left, right, .. } | Expr::AllOp { left, right, .. } => arrays::operand(left, right)?,
        Expr::Interval(span) => clocks(&mut span.value),
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            if let Some(escape) =
                escape_char.take_if(|escape| !matches!(&escape.value, Value::SingleQuotedString(c) if c == "\\"))
            {
                **pattern = selects::call(ESCAPED, vec![pattern.as_ref().clone(), Expr::Value(escape)]);
            }
        }
        Expr::Function(function) if selects::is_modulo(function) => *expr = selects::modulo(function),
        Expr::Substring { expr: text, substring_from: Some(pattern), substring_for: None, .. } if is_text(pattern) => {
            *expr = selects::call(SUBSTRING_BY, vec![text.as_ref().clone(), pattern.as_ref().clone()]);
        }
        Expr::Function(function) if selects::shorthand(function).is_some() => {
            if let Some(instead) = selects::shorthand(function) {
                *expr = instead;
            }
        }
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("regexp_replace") => replacement(function),
        Expr::Function(function) if selects::has_named(function) => *expr = selects::in_place(function)?,
        Expr::Function(function) if selects::is_array(function) => *expr = selects::gathered(function)?,
        Expr::Function(function) => aggregate(function)?,
        _ => {}
    }
    Ok(())
}

/// A number that is written with a point or an exponent is a double.
fn number(value: &Value) -> Result<(), Error> {
    let Value::Number(text, _) = value else { return Ok(()) };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    match parse_double(text) {
        Err(error @ Error::OutOfRange(_)) => Err(error),
        _ => Ok(()),
    }
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)))
}

fn is_logic(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// `a IS DISTINCT FROM b AND c`, which was read as `a IS DISTINCT FROM (b AND c)`, as what it is.
fn regrouped(left: &Expr, right: &Expr, make: fn(Box<Expr>, Box<Expr>) -> Expr) -> Expr {
    match right {
        Expr::BinaryOp { left: first, op: op @ (BinaryOperator::And | BinaryOperator::Or), right: rest } => {
            Expr::BinaryOp { left: Box::new(regrouped(left, first, make)), op: op.clone(), right: rest.clone() }
        }
        right => make(Box::new(left.clone()), Box::new(right.clone())),
    }
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

/// What `regexp_replace` puts in: `\&` is the whole match, and a dollar is one; to DataFusion they are not.
fn replacement(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else { return };
    if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) = list.args.get_mut(2)
        && let Value::SingleQuotedString(text) = &mut value.value
    {
        *text = text.replace('$', "$$").replace("\\&", "\\0");
    }
}

/// Times have microseconds, as in PostgreSQL; fewer would have to be rounded to.
fn microseconds(kind: &mut DataType) -> Result<(), Error> {
    match kind {
        DataType::Timestamp(precision, _) => match precision {
            None => *precision = Some(6),
            Some(6) => {}
            Some(_) => return Err(raise(Error::Unsupported, "timestamps of a precision other than 6 are not supported")),
        },
        DataType::TimestampNtz(precision @ None) => *precision = Some(6),
        _ => {}
    }
    Ok(())
}

/// To how many characters a cast to this type cuts; None where it does not.
fn cut_length(kind: &DataType) -> Result<Option<u64>, Error> {
    use ast::CharacterLength;
    let padded = || Err(raise(Error::Unsupported, "char(n) is not supported").with_hint("use text or varchar(n)"));
    Ok(match kind {
        DataType::Char(length) | DataType::Character(length) => match length {
            // As PostgreSQL: char alone is char(1), which pads nothing that has a character.
            Some(CharacterLength::IntegerLength { length: 1, .. }) | None => Some(1),
            Some(_) => return padded(),
        },
        DataType::Varchar(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::CharVarying(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::CharacterVarying(Some(CharacterLength::IntegerLength { length, .. })) => Some(*length),
        _ => None,
    })
}

/// `CAST(x AS varchar(n))` is the first n characters of the text.
fn cut(cast: &mut Expr, length: u64) {
    if let Expr::Cast { data_type, .. } = cast {
        *data_type = DataType::Text;
    }
    let whole = std::mem::replace(cast, Expr::value(Value::Null));
    *cast = selects::call("left", vec![whole, Expr::value(Value::Number(length.to_string(), false))]);
}

/// `last(value, time)` becomes `last_value(value ORDER BY time)`. A NULL time is neither first nor last.
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
    let options = ast::OrderByOptions { asc: None, nulls_first: Some(ordered == "last_value") };
    let key = OrderByExpr { expr: time, options, with_fill: None };
    match &mut function.over {
        None => list.clauses.push(FunctionArgumentClause::OrderBy(vec![key])),
        Some(WindowType::WindowSpec(spec))
            if spec.order_by.is_empty() && spec.window_frame.is_none() && spec.window_name.is_none() =>
        {
            spec.order_by = vec![key];
            spec.window_frame = Some(WindowFrame {
                units: WindowFrameUnits::Rows,
                start_bound: WindowFrameBound::Preceding(None),
                end_bound: Some(WindowFrameBound::Following(None)),
            });
        }
        Some(_) => {
            return Err(raise(Error::Unsupported, format!("{name}(value, time) over a window with ORDER BY is not supported"))
                .with_hint(format!("order the window by the time and use {ordered}(value)")));
        }
    }
    function.name = ast::ObjectName::from(vec![ast::Ident::new(ordered)]);
    Ok(())
}

/// An interval's text with its time of day in words: `1 day 02:30` as `1 day 2 hours 30 minutes`.
fn clocks(text: &mut Expr) {
    let Expr::Value(value) = text else { return };
    let Value::SingleQuotedString(text) = &mut value.value else { return };
    if text.contains(':') {
        *text = clocks_in_words(text);
    }
}

/// The text of an interval as PostgreSQL shows it, `1 day 02:30:00`, as one that Arrow reads.
pub(crate) fn clocks_in_words(text: &str) -> String {
    text.split_whitespace().map(clock).collect::<Vec<_>>().join(" ")
}

/// `-02:30:01.5` as `-2 hours -30 minutes -1.5 seconds`; other words as they are.
fn clock(word: &str) -> String {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let parts: Vec<&str> = digits.split(':').collect();
    let is_number = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit() || c == '.');
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(is_number) {
        return word.to_owned();
    }
    let units = ["hours", "minutes", "seconds"];
    parts.iter().zip(units).map(|(part, unit)| format!("{sign}{part} {unit}")).collect::<Vec<_>>().join(" ")
}

/// The one column of `generate_series(..) AS t` is `t`, and without an alias it has the function's name. Its arguments
/// become subqueries: those are computed when the statement runs, and other arguments while it is planned.
fn series(factor: &mut ast::TableFactor) -> Result<(), Error> {
    let ast::TableFactor::Table { name, alias, args: Some(args), .. } = factor else { return Ok(()) };
    if !name.to_string().eq_ignore_ascii_case(SERIES) {
        return Ok(());
    }
    for arg in &mut args.args {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg
            && !matches!(arg, Expr::Subquery(_))
        {
            *arg = selects::subquery(arg.clone(), Vec::new())?;
        }
    }
    let shown = || ast::TableAlias { explicit: true, name: ast::Ident::new(SERIES), columns: Vec::new(), at: None };
    let alias = alias.get_or_insert_with(shown);
    if alias.columns.is_empty() {
        alias.columns.push(ast::TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
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

/// The number of a parameter, perhaps with a cast around it.
fn parameter(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => parameter(expr),
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => name.trim_start_matches('$').parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Whether ORDER BY names expressions (and not ALL).
pub(crate) fn order_keys(order: Option<&OrderBy>) -> Option<&[OrderByExpr]> {
    match order {
        None => Some(&[]),
        Some(OrderBy { kind: OrderByKind::Expressions(keys), interpolate: None }) => Some(keys),
        Some(_) => None,
    }
}
