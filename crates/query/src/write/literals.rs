//! VALUES lists of plain literals and parameters, which need no plan.

use crate::error::Error;
use crate::query::converted;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{Expr, Query, SetExpr, UnaryOperator, Value};
use std::collections::BTreeMap;
use types::Kind;

/// One value as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Default,
    Now,
    Number(String),
    Text(String),
    Bool(bool),
    /// A parameter, from 0.
    Parameter(usize),
}

/// The rows of a VALUES list; None where something in it needs to be computed.
pub(crate) fn rows_of(query: &Query) -> Option<Vec<Vec<Literal>>> {
    let plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let SetExpr::Values(values) = query.body.as_ref() else { return None };
    if !plain {
        return None;
    }
    values.rows.iter().map(|row| row.content.iter().map(literal).collect()).collect()
}

pub(crate) fn literal(expr: &Expr) -> Option<Literal> {
    match expr {
        Expr::Value(value) => of_value(&value.value),
        Expr::Nested(inner) => literal(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal(expr)? {
            Literal::Number(number) if !number.starts_with('-') => Some(Literal::Number(format!("-{number}"))),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => match literal(expr)? {
            number @ Literal::Number(_) => Some(number),
            _ => None,
        },
        Expr::TypedString(typed) if is_time(&typed.data_type.to_string()) => of_value(&typed.value.value),
        Expr::Cast { expr, data_type, .. } => {
            let name = data_type.to_string().to_lowercase();
            let inner = literal(expr)?;
            let same = match &inner {
                Literal::Text(_) => is_time(&name) || name == "text" || name == "varchar",
                // Whoever casts an integer so wants it rounded, which is computed.
                Literal::Number(number) => ["float8", "double precision"].contains(&name.as_str()) && !Kind::F64.rounds(number),
                Literal::Null => true,
                _ => false,
            };
            same.then_some(inner)
        }
        Expr::Function(function) => {
            let name = function.to_string().to_lowercase();
            ["now()", "current_timestamp", "current_timestamp()"].contains(&name.as_str()).then_some(Literal::Now)
        }
        Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") => {
            Some(Literal::Default)
        }
        _ => None,
    }
}

fn is_time(name: &str) -> bool {
    ["timestamptz", "timestamp with time zone"].contains(&name.to_lowercase().as_str())
}

fn of_value(value: &Value) -> Option<Literal> {
    Some(match value {
        Value::Number(number, _) => Literal::Number(number.clone()),
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Literal::Text(text.clone()),
        Value::DollarQuotedString(text) => Literal::Text(text.value.clone()),
        Value::Boolean(value) => Literal::Bool(*value),
        Value::Null => Literal::Null,
        Value::Placeholder(name) => Literal::Parameter(name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)?),
        _ => return None,
    })
}

/// The types of the parameters in such rows: those given, else those of their columns. None where
/// one would need two types, or is missing.
pub(crate) fn parameter_types(rows: &[Vec<Literal>], columns: &[DataType], given: &[Option<DataType>]) -> Option<Vec<DataType>> {
    let mut found: BTreeMap<usize, DataType> = BTreeMap::new();
    for (literal, wanted) in rows.iter().flat_map(|row| row.iter().zip(columns)) {
        if let Literal::Parameter(number) = literal {
            let wanted = given.get(*number).cloned().flatten().unwrap_or_else(|| wanted.clone());
            if *found.entry(*number).or_insert_with(|| wanted.clone()) != wanted {
                return None;
            }
        }
    }
    let highest = found.keys().next_back().map_or(0, |number| number + 1);
    (found.len() == highest).then(|| found.into_values().collect())
}

/// Parameters as their types.
pub(crate) fn bound(params: Vec<ScalarValue>, types: &[DataType]) -> Result<Vec<ScalarValue>, Error> {
    converted(params, types)
}
