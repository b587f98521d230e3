//! Conditions on one label that the catalog answers: of `label(tag, 'key')`, and of `labels ->> 'key'` on `tags`.
//!
//! Promises: the condition names exactly the tags for which the expression is true (a tag without the label
//! makes a comparison NULL, which is not true). What is not recognised is computed tag by tag.

use super::condition::{column_name, text};
use crate::functions::JSON_TEXT;
use arrow::datatypes::DataType;
use catalog::LabelCondition;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// The condition that an expression is, if it is one.
pub(crate) fn label_condition(expr: &Expr) -> Option<LabelCondition> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (key, value) = match key_of(left) {
                Some(key) => (key, text(right)?),
                None => (key_of(right)?, text(left)?),
            };
            match op {
                Operator::Eq => Some(LabelCondition::OneOf(key, vec![value])),
                Operator::NotEq => Some(LabelCondition::NotOneOf(key, vec![value])),
                _ => None,
            }
        }
        Expr::InList(list) => {
            let (key, values) = (key_of(&list.expr)?, list.list.iter().map(text).collect::<Option<Vec<_>>>()?);
            Some(if list.negated { LabelCondition::NotOneOf(key, values) } else { LabelCondition::OneOf(key, values) })
        }
        Expr::IsNotNull(of) => key_of(of).map(LabelCondition::Present),
        Expr::IsNull(of) => key_of(of).map(LabelCondition::Absent),
        _ => None,
    }
}

/// The key of the label that an expression is.
fn key_of(expr: &Expr) -> Option<String> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let [of, key] = call.args.as_slice() else { return None };
    let fits = matches!((call.func.name(), bare(of)), ("label", Some("tag")) | (JSON_TEXT, Some("labels")));
    fits.then(|| text(key)).flatten()
}

/// The column, also where the planner cast it from one form of text to the one that the function takes.
fn bare(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Utf8 => column_name(&cast.expr),
        expr => column_name(expr),
    }
}
