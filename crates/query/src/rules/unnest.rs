//! Correlated subqueries that DataFusion leaves as they are, and can't run: LATERAL with LIMIT, windows or sorts,
//! scalar subqueries with LIMIT, and aggregates whose correlation is no equality.
//!
//! The subquery is run once for all different outer values: these (`__outer`) are joined beneath it, go up through
//! every node (groups, windows and limits are kept apart by them) and are joined with the outer rows at last
//! (Neumann and Kemper, Unnesting Arbitrary Queries).
//!
//! Promises: what it can't take up stays as it was, for DataFusion to run or to refuse.

mod push;

use crate::planning;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, NullEquality, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Subquery};
use datafusion::optimizer::AnalyzerRule;
use push::Outer;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The rule. It stands behind those that settle types.
#[derive(Debug, Default)]
pub(super) struct Unnest {
    /// Numbers what it names, so that nothing has a name twice.
    named: AtomicUsize,
}

impl AnalyzerRule for Unnest {
    fn name(&self) -> &'static str {
        "unnest_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            planning::check()?;
            match node {
                LogicalPlan::Join(join) => self.lateral(join),
                LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => self.scalars(node),
                node => Ok(Transformed::no(node)),
            }
        })?;
        Ok(rewritten.data)
    }
}

impl Unnest {
    fn outer(&self, rows: &LogicalPlan, subquery: &LogicalPlan) -> Result<Option<Outer>> {
        let name = format!("__outer{}", self.named.fetch_add(1, Ordering::Relaxed));
        Outer::of(rows, &references(subquery)?, TableReference::bare(name))
    }

    /// `rows, LATERAL (..)`.
    fn lateral(&self, join: Join) -> Result<Transformed<LogicalPlan>> {
        let (subquery, alias) = match join.right.as_ref() {
            LogicalPlan::Subquery(subquery) => (subquery, None),
            LogicalPlan::SubqueryAlias(named) => match named.input.as_ref() {
                LogicalPlan::Subquery(subquery) => (subquery, Some(&named.alias)),
                _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
            },
            _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
        };
        let taken = matches!(join.join_type, JoinType::Inner | JoinType::Left) && join.on.is_empty();
        if !taken || !is_beyond_datafusion(&subquery.subquery)? {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        let Some(outer) = self.outer(&join.left, &subquery.subquery)? else {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        };
        let Some(mut inner) = outer.push(&subquery.subquery)? else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
        if let Some(alias) = alias {
            inner = outer.named(inner, subquery.subquery.schema(), alias)?;
        }
        let wanted: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
        let joined = joined(join.left.as_ref().clone(), inner, join.join_type, &outer, join.filter.clone())?;
        Ok(Transformed::yes(LogicalPlanBuilder::from(joined).project(wanted)?.build()?))
    }

    /// `(SELECT ..)` in a list or a condition.
    fn scalars(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let [input] = node.inputs()[..] else { return Ok(Transformed::no(node)) };
        let mut input = input.clone();
        let columns = input.schema().columns();
        let names = NamePreserver::new(&node);
        let mut replaced = false;
        let rewritten = node.clone().map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| {
                let Expr::ScalarSubquery(subquery) = &expr else { return Ok(Transformed::no(expr)) };
                let Some((joined, column)) = self.scalar(&input, subquery)? else { return Ok(Transformed::no(expr)) };
                input = joined;
                replaced = true;
                Ok(Transformed::yes(Expr::Column(column)))
            })?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        if !replaced {
            return Ok(Transformed::no(node));
        }
        let plan = match rewritten.data {
            LogicalPlan::Projection(list) => LogicalPlanBuilder::from(input).project(list.expr)?.build()?,
            LogicalPlan::Filter(filter) => {
                let filter = LogicalPlan::Filter(Filter::try_new(filter.predicate, Arc::new(input))?);
                LogicalPlanBuilder::from(filter).project(columns.into_iter().map(Expr::Column))?.build()?
            }
            _ => return Ok(Transformed::no(node)),
        };
        Ok(Transformed::yes(plan))
    }

    /// The rows with a subquery's value beside them, in a column.
    fn scalar(&self, rows: &LogicalPlan, subquery: &Subquery) -> Result<Option<(LogicalPlan, Column)>> {
        let plan = subquery.subquery.as_ref();
        let one_row = plan.max_rows().is_some_and(|rows| rows <= 1);
        if subquery.outer_ref_columns.is_empty() || !one_row || !is_beyond_datafusion(plan)? {
            return Ok(None);
        }
        let Some(outer) = self.outer(rows, plan)? else { return Ok(None) };
        let Some(inner) = outer.push(plan)? else { return Ok(None) };
        let value = Column::new(Some(outer.name.clone()), "value");
        let shown = Expr::Column(plan.schema().columns().swap_remove(0)).alias_qualified(Some(outer.name.clone()), "value");
        let inner = LogicalPlanBuilder::from(inner).project([vec![shown], outer.columns()].concat())?.build()?;
        Ok(Some((joined(rows.clone(), inner, JoinType::Left, &outer, None)?, value)))
    }
}

/// Rows with what belongs to their outer values.
fn joined(rows: LogicalPlan, inner: LogicalPlan, how: JoinType, outer: &Outer, filter: Option<Expr>) -> Result<LogicalPlan> {
    let (left, right): (Vec<Column>, Vec<Column>) = outer.pairs.iter().cloned().unzip();
    LogicalPlanBuilder::from(rows).join_detailed(inner, how, (left, right), filter, NullEquality::NullEqualsNull)?.build()
}

/// The outer columns that a subquery names.
fn references(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let mut out: Vec<Column> = Vec::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr
                    && !out.contains(column)
                {
                    out.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(out)
}

/// Whether any of a plan's nodes names an outer column.
fn is_correlated(plan: &LogicalPlan) -> Result<bool> {
    Ok(!references(plan)?.is_empty())
}

/// Whether DataFusion's own rules can't take a subquery up.
fn is_beyond_datafusion(plan: &LogicalPlan) -> Result<bool> {
    let (mut beyond, mut grouped, mut unequal) = (false, false, false);
    plan.apply(|node| {
        match node {
            // A table of its own name shows but its columns: what is correlated by others is lost to who pulls it up.
            LogicalPlan::Limit(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_) | LogicalPlan::SubqueryAlias(_) => {
                beyond |= is_correlated(node)?;
            }
            LogicalPlan::Aggregate(_) => grouped |= is_correlated(node)?,
            LogicalPlan::Filter(filter) => {
                let is_equality = |expr: &Expr| matches!(expr, Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. }));
                unequal |=
                    split_conjunction(&filter.predicate).into_iter().any(|part| part.contains_outer() && !is_equality(part));
            }
            _ => {}
        }
        let names_outer = node.expressions().iter().any(Expr::contains_outer);
        beyond |= names_outer && !matches!(node, LogicalPlan::Filter(_));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(beyond || (grouped && unequal))
}
