//! The names under which a query's columns are shown: PostgreSQL's, not those of the plan.
//!
//! A plan needs names that differ; an answer doesn't. So plans keep their own, and only the
//! outermost columns are named anew: a column by its name, a function by its function's,
//! `?column?` otherwise.

use crate::catalogue::PG_TYPE;
use arrow::datatypes::{Field, Schema};
use datafusion::sql::sqlparser::ast::{Expr, Query, SelectItem, SetExpr, Statement as Tree};

/// What stands between a column's name and what keeps it apart from others of that name.
pub(crate) const APART: char = '\u{1}';

/// What a column is called that has no name.
pub(crate) const UNNAMED: &str = "?column?";

/// One item of a SELECT list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A column shown under this name.
    Name(String),
    /// As many columns as are left, under their own names.
    Star,
}

/// What the outermost SELECT list says of names; None where the plan's own are right.
pub(crate) fn of(tree: &Tree) -> Option<Vec<Shown>> {
    let Tree::Query(query) = tree else { return None };
    of_query(query)
}

pub(crate) fn of_query(query: &Query) -> Option<Vec<Shown>> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(inner) => body = inner.body.as_ref(),
            SetExpr::Select(select) => return Some(select.projection.iter().map(item).collect()),
            _ => return None,
        }
    }
}

/// How an item is shown.
pub(crate) fn item(item: &SelectItem) -> Shown {
    match item {
        SelectItem::UnnamedExpr(expr) => Shown::Name(name(expr).unwrap_or_else(|| UNNAMED.to_owned())),
        SelectItem::ExprWithAlias { alias, .. } => Shown::Name(ident(alias)),
        _ => Shown::Star,
    }
}

/// A name as it is meant: in small letters, unless it is quoted.
pub(crate) fn ident(ident: &datafusion::sql::sqlparser::ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn name(expr: &Expr) -> Option<String> {
    let fixed = |name: &str| Some(name.to_owned());
    match expr {
        Expr::Identifier(column) => Some(ident(column)),
        Expr::CompoundIdentifier(parts) => parts.last().map(ident),
        Expr::Function(function) => function.name.0.last().and_then(|part| part.as_ident()).map(ident),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name(inner),
        Expr::Cast { expr: inner, data_type, .. } => {
            name(inner).or_else(|| data_type.to_string().split(['(', ' ', '[']).next().map(str::to_lowercase))
        }
        Expr::Case { else_result, .. } => else_result.as_deref().and_then(name).or_else(|| fixed("case")),
        Expr::Exists { .. } => fixed("exists"),
        Expr::Extract { .. } => fixed("extract"),
        Expr::AtTimeZone { .. } => fixed("timezone"),
        Expr::Substring { shorthand, .. } => fixed(if *shorthand { "substr" } else { "substring" }),
        Expr::Trim { .. } => fixed("btrim"),
        Expr::Ceil { .. } => fixed("ceil"),
        Expr::Floor { .. } => fixed("floor"),
        Expr::Position { .. } => fixed("position"),
        Expr::Overlay { .. } => fixed("overlay"),
        Expr::Array(_) => fixed("array"),
        Expr::TypedString(typed) => typed.data_type.to_string().split(['(', ' ']).next().map(str::to_lowercase),
        Expr::Interval(_) => fixed("interval"),
        Expr::Subquery(query) => match of_query(query)?.into_iter().next()? {
            Shown::Name(name) => Some(name),
            Shown::Star => None,
        },
        _ => None,
    }
}

/// The schema as it is shown: named anew, every column nullable, of its metadata only what names its type in PostgreSQL.
pub(crate) fn shown(schema: &Schema, items: Option<&Vec<Shown>>) -> Schema {
    let own = |index: usize| schema.field(index).name().split(APART).next().unwrap_or_default().to_owned();
    let count = schema.fields().len();
    let mut names: Vec<String> = (0..count).map(own).collect();
    if let Some(items) = items {
        let stars = items.iter().filter(|item| **item == Shown::Star).count();
        let named = items.len() - stars;
        // With several stars it can't be told which column came from which.
        if (stars == 0 && named == count) || (stars == 1 && named <= count) {
            let mut at = 0;
            for item in items {
                match item {
                    Shown::Name(name) => {
                        names[at].clone_from(name);
                        at += 1;
                    }
                    Shown::Star => at += count - named,
                }
            }
        }
    }
    let field = |(field, name): (&arrow::datatypes::FieldRef, String)| {
        let told = field.metadata().get(PG_TYPE).map(|kind| (PG_TYPE.to_owned(), kind.clone()));
        Field::new(name, field.data_type().clone(), true).with_metadata(told.into_iter().collect())
    };
    Schema::new(schema.fields().iter().zip(names).map(field).collect::<Vec<_>>())
}
