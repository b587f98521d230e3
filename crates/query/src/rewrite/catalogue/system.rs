//! Columns that every table of PostgreSQL's has and no list shows: `tableoid`, which psql asks the catalogue's tables for.

use super::{catalogue_name, lower};
use crate::catalogue::number_of;
use datafusion::sql::sqlparser::ast::{Expr, Query, Select, SetExpr, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// Tables of the catalogue by the names that columns are asked of here.
struct Sources(Vec<(String, i64)>);

impl VisitorMut for Sources {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = &*expr
            && let [table, column] = parts.as_slice()
            && column.value.eq_ignore_ascii_case("tableoid")
            && let Some((_, oid)) = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(&table.value))
        {
            *expr = Expr::value(Value::Number(oid.to_string(), false));
        }
        ControlFlow::Continue(())
    }
}

fn source(factor: &TableFactor) -> Option<(String, i64)> {
    let TableFactor::Table { name, alias, args: None, .. } = factor else { return None };
    let own = catalogue_name(name)?;
    let shown = alias.as_ref().map_or_else(|| name.0.last().map(lower), |alias| Some(alias.name.value.clone()));
    Some((shown?, number_of(&own)?))
}

fn of_select(select: &mut Select) {
    let all = |from: &TableWithJoins| -> Vec<(String, i64)> {
        std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)).filter_map(source).collect()
    };
    let mut sources = Sources(select.from.iter().flat_map(all).collect());
    if !sources.0.is_empty() {
        let _ = select.visit(&mut sources);
    }
}

/// Gives them to every SELECT of a query.
pub(super) fn query(query: &mut Query) {
    let mut waiting = vec![query.body.as_mut()];
    while let Some(body) = waiting.pop() {
        match body {
            SetExpr::SetOperation { left, right, .. } => waiting.extend([left.as_mut(), right.as_mut()]),
            SetExpr::Select(select) => of_select(select),
            _ => {}
        }
    }
}
