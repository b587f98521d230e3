//! `x IN (SELECT ..)` where DataFusion has no join for it: in a SELECT list or a key to sort by it looks into the array of
//! what is selected.

use super::selects::call;
use crate::functions::vectors::AMONG;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, Ident, ObjectName, OrderByKind, Query, SelectItem, SetExpr, UnaryOperator, VisitMut,
    VisitorMut,
};
use std::ops::ControlFlow;

/// Those of a query's own list and order.
pub(super) fn in_lists(query: &mut Query) {
    let mut waiting = vec![query.body.as_mut()];
    let mut all: Vec<&mut Expr> = Vec::new();
    while let Some(body) = waiting.pop() {
        match body {
            SetExpr::SetOperation { left, right, .. } => waiting.extend([left.as_mut(), right.as_mut()]),
            SetExpr::Select(select) => {
                for item in &mut select.projection {
                    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                        all.push(expr);
                    }
                }
            }
            _ => {}
        }
    }
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(keys) = &mut order.kind
    {
        all.extend(keys.iter_mut().map(|key| &mut key.expr));
    }
    for expr in all {
        let _ = expr.visit(&mut Gathered { depth: 0 });
    }
}

/// Changes those of this query; of queries within it those are told when they are visited themselves.
struct Gathered {
    depth: usize,
}

impl VisitorMut for Gathered {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::InSubquery { expr: value, subquery, negated } = expr else { return ControlFlow::Continue(()) };
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let array = Expr::Function(Function {
            name: ObjectName::from(vec![Ident::new("array")]),
            uses_odbc_syntax: false,
            parameters: FunctionArguments::None,
            args: FunctionArguments::Subquery(subquery.clone()),
            filter: None,
            null_treatment: None,
            over: None,
            within_group: Vec::new(),
        });
        let found = call(AMONG, vec![value.as_ref().clone(), array]);
        *expr = if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(found) } } else { found };
        ControlFlow::Continue(())
    }
}
