//! What clients write of PostgreSQL's own catalogue, in terms of the little of it that is here.
//!
//! - names may carry `pg_catalog.` before them, or, for its tables, leave it out;
//! - its types are named by ours: `oid` is a bigint, `name` is text;
//! - objects are numbers or names (`regs.rs`), arrays are taken apart (`vectors.rs`);
//! - its tables have `tableoid` (`system.rs`);
//! - no type is an enum, a domain, a range or a row, so that what is asked of those only is not planned;
//! - a SELECT from one of its tables that never has rows has none, whatever it asks, so that nothing
//!   of it is planned: alone it becomes an empty SELECT of as many columns, as a value NULL, as an
//!   array an empty one, under EXISTS false.
//!
//! It doesn't know what the tables hold; only which never hold anything.

mod regs;
mod system;
mod vectors;

use super::selects;
use crate::catalogue as pg_catalog;
use crate::error::Error;
use crate::names::{self, Shown};
use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, FunctionArg, FunctionArgExpr,
    FunctionArguments, GroupByExpr, Ident, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr,
    TableAlias, TableFactor, TableWithJoins, TimezoneInfo, Value, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::ops::ControlFlow;

const SCHEMA: &str = "pg_catalog";

/// How many bytes a number of an object has in PostgreSQL.
pub(super) const OID_BYTES: u64 = 4;

/// Functions whose answer over no rows is a row.
const AGGREGATES: [&str; 12] = [
    "first_value",
    "last_value",
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "string_agg",
    "array_agg",
    "bool_and",
    "bool_or",
    "json_agg",
];

/// Arrays that are NULL in every row of the catalogue.
const NO_ARRAYS: [&str; 3] = ["reloptions", "attoptions", "attacl"];

/// Arrays that are not taken apart: those, and what was granted.
const WHOLE_ARRAYS: [&str; 4] = ["reloptions", "relacl", "attoptions", "attacl"];

/// Sorts of types that there are none of: rows, domains, enums, ranges and multiranges.
const NO_TYPES: [&str; 5] = ["c", "d", "e", "r", "m"];

fn lower(part: &ObjectNamePart) -> String {
    part.as_ident().map(|ident| ident.value.to_ascii_lowercase()).unwrap_or_default()
}

/// The name without `pg_catalog.`; None where it has another schema.
fn catalogue_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [only] => Some(lower(only)),
        [schema, own] if lower(schema) == SCHEMA => Some(lower(own)),
        _ => None,
    }
}

/// What a function of PostgreSQL's is called here, where that is another name.
pub(super) fn own_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "variance" => "var_samp",
        "every" => "bool_and",
        "ceiling" => "ceil",
        "gen_random_uuid" => "uuid",
        // PostgreSQL's take all there are, DataFusion's the first.
        "array_remove" => "array_remove_all",
        "array_replace" => "array_replace_all",
        "stddev" => "stddev_samp",
        _ => return None,
    })
}

/// Takes `pg_catalog.` off a function's name.
pub(super) fn function_name(name: &mut ObjectName) {
    if name.0.len() == 2 && lower(&name.0[0]) == SCHEMA {
        name.0.remove(0);
    }
    let [part] = name.0.as_slice() else { return };
    let Some(own) = own_name(&lower(part)) else { return };
    *name = ObjectName::from(vec![Ident::new(own)]);
}

/// Functions that are tables.
const TABLES: [&str; 5] = ["generate_series", "range", "unnest", "values_at", "pg_get_keywords"];

/// A function of one value in FROM, `string_to_array(..) AS s`, as what it is: a row of that value.
fn one_row(factor: &mut TableFactor) -> Result<(), Error> {
    let TableFactor::Table { name, args: Some(args), alias, with_ordinality: false, .. } = factor else { return Ok(()) };
    let Some(own) = catalogue_name(name).filter(|own| !TABLES.contains(&own.as_str()) && !own.starts_with("meridian_")) else {
        return Ok(());
    };
    let plain = args.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => Some(arg.clone()),
        _ => None,
    });
    let Some(args) = plain.collect::<Option<Vec<_>>>() else { return Ok(()) };
    let mut shown =
        alias.take().unwrap_or(TableAlias { explicit: true, name: Ident::new(own.as_str()), columns: Vec::new(), at: None });
    let column = if shown.columns.is_empty() { shown.name.clone() } else { shown.columns.remove(0).name };
    let Expr::Subquery(mut row) = selects::subquery(selects::call(&own, args), Vec::new())? else { return Ok(()) };
    if let SetExpr::Select(select) = row.body.as_mut()
        && let Some(SelectItem::UnnamedExpr(value)) = select.projection.first().cloned()
    {
        select.projection = vec![SelectItem::ExprWithAlias { expr: value, alias: column }];
    }
    *factor = TableFactor::Derived { lateral: false, subquery: row, alias: Some(shown), sample: None };
    Ok(())
}

/// A table of the catalogue gets its schema, a function in FROM loses it.
pub(super) fn table(factor: &mut TableFactor) -> Result<(), Error> {
    one_row(factor)?;
    match factor {
        TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => function_name(name),
        TableFactor::Table { name, args: None, .. } if name.0.len() == 1 && pg_catalog::is_table(&lower(&name.0[0])) => {
            name.0.insert(0, ObjectNamePart::Identifier(Ident::new(SCHEMA)));
        }
        _ => {}
    }
    Ok(())
}

/// A type's name becomes that of ours.
pub(super) fn kind(kind: &mut DataType) {
    match kind {
        DataType::Custom(name, _) => {
            let Some(own) = catalogue_name(name) else { return };
            *kind = match own.as_str() {
                "text" | "name" | "varchar" | "bpchar" | "char" | "cstring" => DataType::Text,
                // Known again where it is the type of a parameter's items (`arrays.rs`).
                "oid" => DataType::Int8(Some(OID_BYTES)),
                "int8" | "xid" => DataType::BigInt(None),
                "int4" => DataType::Integer(None),
                "int2" => DataType::SmallInt(None),
                "bool" => DataType::Boolean,
                "float8" => DataType::DoublePrecision,
                "float4" => DataType::Real,
                "numeric" => DataType::Numeric(ExactNumberInfo::None),
                "bytea" => DataType::Bytea,
                "date" => DataType::Date,
                "time" => DataType::Time(None, TimezoneInfo::None),
                "timestamp" => DataType::Timestamp(None, TimezoneInfo::None),
                "timestamptz" => DataType::Timestamp(None, TimezoneInfo::Tz),
                "interval" => DataType::Interval { fields: None, precision: None },
                _ => return,
            };
        }
        DataType::Array(ArrayElemTypeDef::SquareBracket(inner, _)) => self::kind(inner),
        _ => {}
    }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

fn null() -> Expr {
    cast(Expr::value(Value::Null), DataType::Text)
}

fn no_elements() -> Expr {
    let array = Expr::Array(Array { elem: Vec::new(), named: true });
    cast(array, DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(DataType::Text), None)))
}

/// A subquery that never has rows becomes what it says.
pub(super) fn expr(expr: &mut Expr) {
    regs::expr(expr);
    vectors::expr(expr);
    if let Expr::Case { operand: None, conditions, else_result, .. } = expr {
        let arrays = conditions.iter().filter(|when| never_true(&when.condition)).find_map(|when| array_of(&when.result));
        if let (Some(kind), Some(other)) = (arrays, else_result)
            && matches!(other.as_ref(), Expr::Value(value) if matches!(value.value, Value::Null))
        {
            **other = cast(other.as_ref().clone(), kind);
        }
        conditions.retain(|when| !never_true(&when.condition));
    }
    let instead = match expr {
        // A CASE without a condition is what its ELSE says.
        Expr::Case { operand: None, conditions, else_result, .. } if conditions.is_empty() => {
            else_result.as_ref().map_or_else(|| Expr::value(Value::Null), |instead| instead.as_ref().clone())
        }
        Expr::Subquery(query) if never(query) => null(),
        Expr::Subquery(query) => return only_row(query),
        Expr::Exists { subquery, negated } if never(subquery) => Expr::value(Value::Boolean(*negated)),
        Expr::Function(function) if catalogue_name(&function.name).as_deref() == Some("array") => match &function.args {
            FunctionArguments::Subquery(query) if never(query) => no_elements(),
            _ => return,
        },
        _ => return,
    };
    *expr = instead;
}

/// DataFusion plans a correlated value only where an aggregate says that it is one; a value asked of
/// the catalogue is found by a number, so it is.
fn only_row(query: &mut Query) {
    let plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let ungrouped = matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !plain || !ungrouped || select.projection.len() != 1 || !select.from.iter().all(of_catalogue) || select.from.is_empty() {
        return;
    }
    let [item @ (SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })] = select.projection.as_mut_slice() else {
        return;
    };
    if !one_value(item) {
        return;
    }
    let (SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }) = item else { return };
    if let Ok(call) =
        Parser::new(&PostgreSqlDialect {}).try_with_sql(&format!("first_value({value})")).and_then(|mut p| p.parse_expr())
    {
        *value = call;
    }
}

fn of_catalogue(source: &TableWithJoins) -> bool {
    let table = |factor: &TableFactor| match factor {
        TableFactor::Table { name, args: None, .. } => catalogue_name(name).is_some_and(|name| pg_catalog::is_table(&name)),
        _ => false,
    };
    table(&source.relation) && source.joins.iter().all(|join| table(&join.relation))
}

fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(column) => Some(column.value.to_ascii_lowercase()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|column| column.value.to_ascii_lowercase()),
        _ => None,
    }
}

/// The type of `(SELECT array_agg(..) ..)` that is not planned: an array, of texts, which every client can read.
fn array_of(expr: &Expr) -> Option<DataType> {
    let Expr::Subquery(query) = expr else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [SelectItem::UnnamedExpr(Expr::Function(function)) | SelectItem::ExprWithAlias { expr: Expr::Function(function), .. }] =
        select.projection.as_slice()
    else {
        return None;
    };
    let gathers = catalogue_name(&function.name).as_deref() == Some("array_agg");
    gathers.then(|| DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(DataType::Text), None)))
}

/// Whether a condition on the catalogue's columns asks for what is NULL in every row.
fn never_true(condition: &Expr) -> bool {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => never_true(left) || never_true(right),
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let kind = matches!(right.as_ref(), Expr::Value(value)
                if matches!(&value.value, Value::SingleQuotedString(kind) if NO_TYPES.contains(&kind.as_str())));
            kind && column_name(left).is_some_and(|name| name == "typtype")
        }
        Expr::IsNotNull(column) => column_name(column).is_some_and(|name| NO_ARRAYS.contains(&name.as_str())),
        _ => false,
    }
}

fn never(query: &Query) -> bool {
    matches!(query.body.as_ref(), SetExpr::Select(select) if has_no_rows(select))
}

/// Every SELECT of the query that never has rows becomes an empty one; the outermost list shows objects by their names.
pub(super) fn query(query: &mut Query, outermost: bool) {
    system::query(query);
    if let SetExpr::Select(select) = query.body.as_mut()
        && outermost
    {
        regs::shown(&mut select.projection);
    }
    if body(&mut query.body) {
        query.order_by = None;
    }
}

/// Whether all of it is empty now.
fn body(set: &mut SetExpr) -> bool {
    match set {
        SetExpr::Select(select) if has_no_rows(select) => {
            clear(select);
            true
        }
        // No table is a part of another, so that none has ancestors. What is asked for are numbers of tables.
        SetExpr::Select(select) if asks_ancestors(select) => {
            clear(select);
            if let [SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_mut_slice() {
                *expr = cast(Expr::value(Value::Null), DataType::BigInt(None));
            }
            false
        }
        SetExpr::SetOperation { left, right, .. } => {
            let left = body(left);
            body(right) && left
        }
        _ => false,
    }
}

fn asks_ancestors(select: &Select) -> bool {
    let [SelectItem::UnnamedExpr(Expr::Function(function))] = select.projection.as_slice() else { return false };
    let name = catalogue_name(&function.name);
    select.from.is_empty() && name.is_some_and(|name| ["pg_partition_ancestors", "pg_partition_tree"].contains(&name.as_str()))
}

fn clear(select: &mut Select) {
    select.distinct = None;
    select.from.clear();
    select.named_window.clear();
    select.selection = Some(Expr::value(Value::Boolean(false)));
    let mut taken: Vec<String> = Vec::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        let own = match names::item(item) {
            Shown::Name(name) if !taken.contains(&name) => name,
            _ => format!("?column{}?", at + 1),
        };
        taken.push(own.clone());
        *item = SelectItem::ExprWithAlias { expr: null(), alias: Ident::with_quote('"', own) };
    }
}

fn has_no_rows(select: &Select) -> bool {
    let plain = matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty()) && select.having.is_none();
    let nothing = select.from.iter().any(no_source)
        || (select.from.iter().any(of_catalogue) && select.selection.as_ref().is_some_and(never_true));
    plain && nothing && select.projection.iter().all(one_value)
}

/// Whether an item is one column whose rows are the source's.
fn one_value(item: &SelectItem) -> bool {
    /// Looks for an aggregate of this SELECT; those of queries within are theirs.
    struct Aggregate {
        depth: usize,
    }
    impl Visitor for Aggregate {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
            let aggregate = catalogue_name(&function.name).is_some_and(|name| AGGREGATES.contains(&name.as_str()));
            if aggregate && self.depth == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            expr.visit(&mut Aggregate { depth: 0 }).is_continue()
        }
        _ => false,
    }
}

fn no_source(source: &TableWithJoins) -> bool {
    use JoinOperator::{CrossJoin, Inner, Join, Left, LeftOuter};
    let known = |join: &JoinOperator| matches!(join, Join(_) | Inner(_) | CrossJoin(_) | Left(_) | LeftOuter(_));
    let inner = |join: &JoinOperator| matches!(join, Join(_) | Inner(_) | CrossJoin(_));
    source.joins.iter().all(|join| known(&join.join_operator))
        && (no_table(&source.relation) || source.joins.iter().any(|join| inner(&join.join_operator) && no_table(&join.relation)))
}

fn no_table(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } => catalogue_name(name).is_some_and(|name| pg_catalog::is_empty(&name)),
        TableFactor::Table { name, args: Some(args), .. } => {
            name.0.len() == 2
                && catalogue_name(name).as_deref() == Some("unnest")
                && args.args.len() == 1
                && WHOLE_ARRAYS
                    .iter()
                    .any(|column| args.args[0].to_string().to_ascii_lowercase().ends_with(&format!(".{column}")))
        }
        TableFactor::NestedJoin { table_with_joins, .. } => no_source(table_with_joins),
        _ => false,
    }
}
