//! Names of columns that have none, where a statement itself speaks of them: `SELECT tag, count(*) .. ORDER BY count`,
//! `WITH w AS (SELECT tag, avg(value) ..) SELECT avg FROM w`.
//!
//! What is shown outermost is named by `names`; a plan's own name of a call is its text, which nobody would write. Promises: a name
//! that a list has twice is given to neither; columns of one name within a subquery are kept apart, as the outermost are.

use super::selects;
use crate::names::{self, Shown};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor,
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
    for item in &mut select.projection {
        let Shown::Name(name) = names::item(item) else { continue };
        if let SelectItem::UnnamedExpr(expr @ Expr::Function(_)) = item
            && counts.get(&name) == Some(&1)
            && wanted(&name)
        {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
    }
}
