//! Names of columns that have none, where a statement itself speaks of them: `SELECT tag, count(*) .. ORDER BY count`,
//! `WITH w AS (SELECT tag, avg(value) ..) SELECT avg FROM w`.
//!
//! What is shown outermost is named by `names`; a plan's own name of a call is its text, which nobody would write. Promises: a name
//! that a list has twice is given to neither; columns of one name within a subquery are kept apart, as the outermost are. What has
//! no name at all is `?column?` there: a plan's own name of it would be that of the same outside.

use super::selects;
use crate::names::{self, Shown};
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias,
    TableAliasColumnDef, TableFactor,
};
use std::collections::HashMap;

/// Names the calls in the lists of a query's own SELECTs: all of them within another query, and outermost those that it speaks of.
pub(super) fn query(query: &mut Query, outermost: bool) {
    let ordered: Vec<String> = match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(keys)) => keys.iter().filter_map(|key| alone(&key.expr)).collect(),
        _ => Vec::new(),
    };
    let mut waiting = vec![query.body.as_mut()];
    while let Some(body) = waiting.pop() {
        match body {
            SetExpr::SetOperation { left, right, .. } => waiting.extend([left.as_mut(), right.as_mut()]),
            SetExpr::Select(select) => {
                let grouped = match &select.group_by {
                    GroupByExpr::Expressions(keys, _) => keys.iter().filter_map(alone).collect(),
                    GroupByExpr::All(_) => Vec::new(),
                };
                let spoken = |name: &String| ordered.contains(name) || grouped.contains(name);
                list(select, |name| !outermost || spoken(name));
                if !outermost {
                    // Whoever asks for one of two columns of a name gets the first.
                    selects::apart(select, false);
                }
            }
            _ => {}
        }
    }
    sorted_by_columns(query);
}

/// A key by which DISTINCT rows are sorted means the column that is the same: it may have just been given a name.
fn sorted_by_columns(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order| &mut order.kind) else { return };
    if !matches!(select.distinct, Some(Distinct::Distinct)) {
        return;
    }
    // A name or a number alone is looked for among the columns already.
    let computed = |key: &&mut OrderByExpr| !matches!(key.expr, Expr::Identifier(_) | Expr::Value(_));
    for key in keys.iter_mut().filter(computed) {
        let same = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if *expr == key.expr => Some(alias.clone()),
            _ => None,
        });
        if let Some(alias) = same {
            key.expr = Expr::Identifier(alias);
        }
    }
}

/// An array that is taken apart in FROM has a column of its alias's name, as what any function of one value gives there.
pub(super) fn taken_apart(factor: &mut TableFactor) {
    let TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_ordinality: false, .. } = factor else { return };
    if array_exprs.len() != 1 {
        return;
    }
    let unnamed = || TableAlias { explicit: true, name: Ident::new("unnest"), columns: Vec::new(), at: None };
    let shown = alias.get_or_insert_with(unnamed);
    if shown.columns.is_empty() {
        shown.columns.push(TableAliasColumnDef { name: shown.name.clone(), data_type: None });
    }
}

fn alone(expr: &Expr) -> Option<String> {
    let Expr::Identifier(name) = expr else { return None };
    Some(names::ident(name))
}

fn counts(select: &Select) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for item in &select.projection {
        if let Shown::Name(name) = names::item(item) {
            *counts.entry(name).or_insert(0) += 1;
        }
    }
    counts
}

fn list(select: &mut Select, wanted: impl Fn(&String) -> bool) {
    let counts = counts(select);
    let mut unnamed = false;
    for item in &mut select.projection {
        let Shown::Name(name) = names::item(item) else { continue };
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let first = match expr {
            Expr::Function(_) => counts.get(&name) == Some(&1),
            _ => name == names::UNNAMED && !std::mem::replace(&mut unnamed, true),
        };
        if first && wanted(&name) {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
    }
}
