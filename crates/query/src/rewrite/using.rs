//! Joins with USING, as joins with ON: what is merged is one column.
//!
//! ```text
//!   SELECT time, a.value, b.value FROM a FULL JOIN b USING (time) WHERE time > ..
//!   SELECT coalesce(a.time, b.time) AS time, .. FROM a FULL JOIN b ON a.time = b.time WHERE coalesce(a.time, b.time) > ..
//! ```
//! Why: to DataFusion the merged column is the left side's whatever the join, and ambiguous in conditions. PostgreSQL's is the
//! left side's of inner and left joins, the right side's of right ones, whichever there is of full ones; and it comes first in `*`.
//! Promises: what can't be told from the text alone (a side without a name, a column that several tables before may have) is
//! refused where DataFusion would answer wrongly, and left to it elsewhere.

use super::selects::call;
use crate::error::{Error, raise};
use crate::names::{self, Shown, ident as plain};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};
use std::ops::ControlFlow;

/// A merged column.
struct Merged {
    name: Ident,
    /// What it is.
    expr: Expr,
    /// The tables whose columns of that name it takes the place of.
    of: Vec<Ident>,
}

/// Rewrites the joins of a query's own SELECTs; those of its subqueries have their turn.
///
/// # Errors
/// `Error::Unsupported` for what would be answered wrongly.
pub(super) fn query(query: &mut Query) -> Result<(), Error> {
    let alone = matches!(query.body.as_ref(), SetExpr::Select(_));
    let mut waiting = vec![query.body.as_mut()];
    let mut merged = Vec::new();
    while let Some(body) = waiting.pop() {
        match body {
            SetExpr::SetOperation { left, right, .. } => waiting.extend([left.as_mut(), right.as_mut()]),
            SetExpr::Select(select) => merged = self::select(select)?,
            _ => {}
        }
    }
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
    if merged.is_empty() || !alone {
        return Ok(());
    }
    let shown: Vec<Shown> = select.projection.iter().map(names::item).collect();
    let Some(order) = &mut query.order_by else { return Ok(()) };
    let OrderByKind::Expressions(keys) = &mut order.kind else { return Ok(()) };
    for key in keys {
        // A name alone is first of all a column of the answer.
        let is_shown = matches!(&key.expr, Expr::Identifier(name) if shown.contains(&Shown::Name(plain(name))));
        if !is_shown {
            let _ = key.expr.visit(&mut Replace { merged: &merged, depth: 0 });
        }
    }
    Ok(())
}

/// The name by which a table's columns can be told from others'.
fn name_of(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, alias: None, .. } => name.0.last().and_then(|part| part.as_ident()).cloned(),
        _ => None,
    }
}

/// The constraint of a join, and whether the left and the right side's rows all stay.
fn constraint(operator: &mut JoinOperator) -> Option<(&mut JoinConstraint, bool, bool)> {
    match operator {
        JoinOperator::Join(on) | JoinOperator::Inner(on) => Some((on, false, false)),
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => Some((on, true, false)),
        JoinOperator::Right(on) | JoinOperator::RightOuter(on) => Some((on, false, true)),
        JoinOperator::FullOuter(on) => Some((on, true, true)),
        _ => None,
    }
}

fn of_table(table: &Ident, column: &Ident) -> Expr {
    Expr::CompoundIdentifier(vec![table.clone(), column.clone()])
}

fn select(select: &mut Select) -> Result<Vec<Merged>, Error> {
    let mut wrong = None;
    let mut has_using = false;
    for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
        let Some((constraint, _, right)) = constraint(&mut join.join_operator) else { continue };
        has_using |= matches!(constraint, JoinConstraint::Using(_));
        match constraint {
            JoinConstraint::Using(_) if right => wrong = Some("USING"),
            JoinConstraint::Natural if right => wrong = Some("NATURAL"),
            _ => {}
        }
    }
    let refused = |what: &str| {
        raise(Error::Unsupported, format!("{what} is not supported in this RIGHT or FULL JOIN"))
            .with_hint("write it with ON, and coalesce(left.column, right.column) for the column that both have")
    };
    if wrong == Some("NATURAL") {
        return Err(refused("NATURAL"));
    }
    if !has_using {
        return Ok(Vec::new());
    }
    let unclear = |wrong: Option<&str>| wrong.map_or(Ok(Vec::new()), |what| Err(refused(what)));
    let factors = select
        .from
        .iter()
        .flat_map(|table| std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)).map(name_of));
    let Some(tables) = factors.collect::<Option<Vec<Ident>>>() else { return unclear(wrong) };
    let strange = |item: &SelectItem| matches!(item, SelectItem::Wildcard(options) if !is_bare(options));
    let mut merged = Vec::new();
    let knows = select.from.iter().map(known).collect::<Option<Vec<()>>>();
    if knows.is_none() || select.projection.iter().any(strange) {
        return unclear(wrong);
    }
    for table in &mut select.from {
        merge(table, &mut merged);
    }
    list(select, &merged, &tables);
    let _ = select.visit(&mut Replace { merged: &merged, depth: 0 });
    Ok(merged)
}

fn is_bare(options: &WildcardAdditionalOptions) -> bool {
    let WildcardAdditionalOptions { opt_ilike, opt_exclude, opt_except, opt_replace, opt_rename, opt_alias, .. } = options;
    let none = (opt_ilike.is_none(), opt_exclude.is_none(), opt_except.is_none(), opt_replace.is_none(), opt_rename.is_none());
    none == (true, true, true, true, true) && opt_alias.is_none()
}

/// Whether it can be told which table on the left of each join has the column: the only one, or one that was merged before.
fn known(table: &TableWithJoins) -> Option<()> {
    let mut merged: Vec<String> = Vec::new();
    for (before, join) in table.joins.iter().enumerate() {
        let (mut operator, mut columns) = (join.join_operator.clone(), Vec::new());
        if let Some((JoinConstraint::Using(names), ..)) = constraint(&mut operator) {
            for name in names.iter() {
                columns.push(plain(name.0.last()?.as_ident()?));
            }
        }
        if before > 0 && columns.iter().any(|column| !merged.contains(column)) {
            return None;
        }
        merged.extend(columns);
    }
    Some(())
}

/// Writes a table's joins with ON, and adds what they merge.
fn merge(table: &mut TableWithJoins, merged: &mut Vec<Merged>) {
    let Some(first) = name_of(&table.relation) else { return };
    let from = merged.len();
    for join in &mut table.joins {
        let Some(right) = name_of(&join.relation) else { continue };
        let Some((on, left_stays, right_stays)) = constraint(&mut join.join_operator) else { continue };
        let JoinConstraint::Using(columns) = on else { continue };
        let mut equal: Option<Expr> = None;
        for column in columns.iter().filter_map(|name| name.0.last()?.as_ident().cloned()) {
            let known = merged[from..].iter().position(|merged| plain(&merged.name) == plain(&column)).map(|at| at + from);
            let at = known.unwrap_or_else(|| {
                merged.push(Merged { name: column.clone(), expr: of_table(&first, &column), of: vec![first.clone()] });
                merged.len() - 1
            });
            let (one, other) = (merged[at].expr.clone(), of_table(&right, &column));
            let pair = Expr::BinaryOp { left: Box::new(one.clone()), op: BinaryOperator::Eq, right: Box::new(other.clone()) };
            equal = Some(match equal {
                None => pair,
                Some(all) => Expr::BinaryOp { left: Box::new(all), op: BinaryOperator::And, right: Box::new(pair) },
            });
            merged[at].of.push(right.clone());
            merged[at].expr = match (left_stays, right_stays) {
                (true, true) => call("coalesce", vec![one, other]),
                (false, true) => other,
                _ => one,
            };
        }
        if let Some(equal) = equal {
            *on = JoinConstraint::On(equal);
        }
    }
}

/// The SELECT list: merged columns under their own names, and first in `*`.
fn list(select: &mut Select, merged: &[Merged], tables: &[Ident]) {
    let shown = |of: &Merged| SelectItem::ExprWithAlias { expr: of.expr.clone(), alias: of.name.clone() };
    let others = |table: &Ident| {
        let own = |of: &&Merged| of.of.iter().any(|name| plain(name) == plain(table));
        let gone: Vec<ObjectName> = merged.iter().filter(own).map(|of| ObjectName::from(vec![of.name.clone()])).collect();
        let opt_exclude = (!gone.is_empty()).then_some(ExcludeSelectItem::Multiple(gone));
        let options = WildcardAdditionalOptions { opt_exclude, ..WildcardAdditionalOptions::default() };
        let table = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![table.clone()]));
        SelectItem::QualifiedWildcard(table, options)
    };
    let mut items = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(_) => items.extend(merged.iter().map(shown).chain(tables.iter().map(others))),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                let found = merged.iter().find(|merged| plain(&merged.name) == plain(&name));
                items.push(found.map_or_else(|| SelectItem::UnnamedExpr(Expr::Identifier(name)), shown));
            }
            other => items.push(other),
        }
    }
    select.projection = items;
}

/// Puts what a merged column is in the place of its name alone, not within subqueries.
struct Replace<'a> {
    merged: &'a [Merged],
    depth: usize,
}

impl VisitorMut for Replace<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = &*expr
            && self.depth == 0
            && let Some(found) = self.merged.iter().find(|merged| plain(&merged.name) == plain(name))
        {
            *expr = found.expr.clone();
        }
        ControlFlow::Continue(())
    }
}
