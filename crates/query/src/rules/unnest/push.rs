//! Outer values pushed beneath a subquery, node by node.

use super::is_correlated;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, NullEquality, TableReference};
use datafusion::error::Result;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprFunctionExt, ExprSchemable, FetchType, Filter, Join, JoinType, Limit, LogicalPlan,
    LogicalPlanBuilder, Projection, SkipType, Sort, lit,
};
use std::sync::Arc;

/// The different outer values.
pub(super) struct Outer {
    /// Under what name.
    pub name: TableReference,
    /// Each outer column, and the one here.
    pub pairs: Vec<(Column, Column)>,
    rows: LogicalPlan,
}

/// The name of the column that numbers the rows of a LIMIT.
const ROW: &str = "__row";

impl Outer {
    /// Those of some rows; None where a column is not theirs but of a query around them.
    pub(super) fn of(rows: &LogicalPlan, columns: &[Column], name: TableReference) -> Result<Option<Outer>> {
        if columns.is_empty() || columns.iter().any(|column| !rows.schema().has_column(column)) {
            return Ok(None);
        }
        let pair = |(number, column): (usize, &Column)| (column.clone(), Column::new(Some(name.clone()), format!("c{number}")));
        let pairs: Vec<(Column, Column)> = columns.iter().enumerate().map(pair).collect();
        let shown = pairs.iter().map(|(theirs, ours)| {
            Expr::Column(theirs.clone()).alias_qualified(Some(name.clone()), ours.name.clone()) //
        });
        let rows = LogicalPlanBuilder::from(rows.clone()).project(shown)?.distinct()?.build()?;
        Ok(Some(Outer { name, pairs, rows }))
    }

    /// Its columns.
    pub(super) fn columns(&self) -> Vec<Expr> {
        self.pairs.iter().map(|(_, ours)| Expr::Column(ours.clone())).collect()
    }

    /// An expression over its columns in place of the outer ones.
    fn bound(&self, expr: Expr) -> Result<Expr> {
        let name = NamePreserver::new_for_projection().save(&expr);
        let bound = expr.transform(|expr| {
            let Expr::OuterReferenceColumn(_, column) = &expr else { return Ok(Transformed::no(expr)) };
            let found = self.pairs.iter().find(|(theirs, _)| theirs == column);
            Ok(found.map_or_else(|| Transformed::no(expr.clone()), |(_, ours)| Transformed::yes(Expr::Column(ours.clone()))))
        })?;
        Ok(if bound.transformed { name.restore(bound.data) } else { bound.data })
    }

    fn all_bound(&self, exprs: &[Expr]) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.bound(expr.clone())).collect()
    }

    /// The plan's own columns, and these.
    fn beside(&self, schema: &DFSchema) -> Vec<Expr> {
        schema.columns().into_iter().map(Expr::Column).chain(self.columns()).collect()
    }

    /// What a subquery gives under a name, where it is named from outside.
    pub(super) fn named(&self, plan: LogicalPlan, own: &DFSchema, alias: &TableReference) -> Result<LogicalPlan> {
        let renamed = own.columns().into_iter().map(|column| {
            let name = column.name.clone();
            Expr::Column(column).alias_qualified(Some(alias.clone()), name)
        });
        LogicalPlanBuilder::from(plan).project(renamed.chain(self.columns()))?.build()
    }

    /// A plan that gives what `plan` does for each of the outer values, and these beside it; None where it can't be.
    pub(super) fn push(&self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        if !is_correlated(plan)? {
            return LogicalPlanBuilder::from(plan.clone()).cross_join(self.rows.clone())?.build().map(Some);
        }
        match plan {
            LogicalPlan::Filter(filter) => {
                let Some(input) = self.push(&filter.input)? else { return Ok(None) };
                let predicate = self.bound(filter.predicate.clone())?.unalias();
                Ok(Some(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?)))
            }
            LogicalPlan::Projection(list) => {
                let Some(input) = self.push(&list.input)? else { return Ok(None) };
                self.projected(input, list).map(Some)
            }
            LogicalPlan::SubqueryAlias(named) => {
                let Some(input) = self.push(&named.input)? else { return Ok(None) };
                self.named(input, named.input.schema(), &named.alias).map(Some)
            }
            // What orders rows without cutting them means nothing in a subquery.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.push(&sort.input),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Some(input) = self.push(input)? else { return Ok(None) };
                LogicalPlanBuilder::from(input).distinct()?.build().map(Some)
            }
            LogicalPlan::Limit(limit) => self.limited(limit),
            LogicalPlan::Aggregate(aggregate) => self.aggregated(aggregate),
            LogicalPlan::Window(window) => {
                let Some(input) = self.push(&window.input)? else { return Ok(None) };
                let apart = |expr: Expr| {
                    let name = NamePreserver::new_for_projection().save(&expr);
                    let expr = expr.transform(|expr| {
                        let Expr::WindowFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
                        call.params.partition_by.extend(self.columns());
                        Ok(Transformed::yes(Expr::WindowFunction(call)))
                    })?;
                    Ok(name.restore(expr.data))
                };
                let calls = self.all_bound(&window.window_expr)?.into_iter().map(apart).collect::<Result<Vec<_>>>()?;
                LogicalPlanBuilder::from(input).window(calls)?.build().map(Some)
            }
            LogicalPlan::Join(join) => self.join(join),
            _ => Ok(None),
        }
    }

    fn projected(&self, input: LogicalPlan, list: &Projection) -> Result<LogicalPlan> {
        let shown = [self.all_bound(&list.expr)?, self.columns()].concat();
        LogicalPlanBuilder::from(input).project(shown)?.build()
    }

    /// A join of which one side is correlated.
    fn join(&self, join: &Join) -> Result<Option<LogicalPlan>> {
        let expressions = LogicalPlan::Join(join.clone()).expressions();
        let (left, right) = (is_correlated(&join.left)?, is_correlated(&join.right)?);
        if expressions.iter().any(Expr::contains_outer) || (left && right) {
            return Ok(None);
        }
        let pushed = match join.join_type {
            JoinType::Inner | JoinType::Left if left => {
                self.push(&join.left)?.map(|side| Join { left: Arc::new(side), ..join.clone() })
            }
            JoinType::Inner | JoinType::Right if right => {
                self.push(&join.right)?.map(|side| Join { right: Arc::new(side), ..join.clone() })
            }
            _ => None,
        };
        pushed.map(|join| LogicalPlan::Join(join).recompute_schema()).transpose()
    }

    /// LIMIT: so many rows of each outer value, in the order of the sort beneath.
    fn limited(&self, limit: &Limit) -> Result<Option<LogicalPlan>> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?) else {
            return Ok(None);
        };
        let (lists, sort, base) = peeled(&limit.input);
        let Some(input) = self.push(base)? else { return Ok(None) };
        let mut keys = Vec::new();
        for key in sort.map_or(&[][..], |sort| &sort.expr[..]) {
            keys.push(key.with_expr(self.bound(key.expr.clone())?.unalias()));
        }
        let number = row_number().partition_by(self.columns()).order_by(keys).build()?.alias(ROW);
        let row = || Expr::Column(Column::from_name(ROW));
        let mut kept = row().gt(lit(skip as u64));
        if let Some(fetch) = fetch {
            kept = kept.and(row().lt_eq(lit(skip.saturating_add(fetch) as u64)));
        }
        let shown = self.beside(base.schema());
        let mut plan = LogicalPlanBuilder::from(input).window([number])?.filter(kept)?.project(shown)?.build()?;
        for list in lists.into_iter().rev() {
            plan = self.projected(plan, list)?;
        }
        Ok(Some(plan))
    }

    fn aggregated(&self, aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
        let Some(input) = self.push(&aggregate.input)? else { return Ok(None) };
        let groups = [self.all_bound(&aggregate.group_expr)?, self.columns()].concat();
        if groups.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
            return Ok(None);
        }
        let plan = LogicalPlanBuilder::from(input).aggregate(groups, self.all_bound(&aggregate.aggr_expr)?)?.build()?;
        if aggregate.group_expr.is_empty() { self.with_empty_groups(plan, aggregate).map(Some) } else { Ok(Some(plan)) }
    }

    /// An aggregate of everything gives a row also where there is nothing.
    fn with_empty_groups(&self, plan: LogicalPlan, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let all = TableReference::bare(format!("{}_all", self.name));
        let (mut left, mut right, mut shown, mut kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (_, ours) in &self.pairs {
            let column = Column::new(Some(all.clone()), ours.name.clone());
            shown.push(Expr::Column(ours.clone()).alias_qualified(Some(all.clone()), ours.name.clone()));
            kept.push(Expr::Column(column.clone()).alias_qualified(Some(self.name.clone()), ours.name.clone()));
            left.push(column);
            right.push(ours.clone());
        }
        let mut values = Vec::new();
        for (expr, column) in aggregate.aggr_expr.iter().zip(aggregate.schema.columns()) {
            let value = Expr::Column(column.clone());
            let Expr::AggregateFunction(call) = expr.clone().unalias() else { continue };
            let nothing = call.func.default_value(&expr.get_type(aggregate.input.schema())?)?;
            values.push(if nothing.is_null() {
                value
            } else {
                coalesce(vec![value, Expr::Literal(nothing, None)]).alias_qualified(column.relation, column.name)
            });
        }
        let rows = LogicalPlanBuilder::from(self.rows.clone()).project(shown)?.build()?;
        LogicalPlanBuilder::from(rows)
            .join_detailed(plan, JoinType::Left, (left, right), None, NullEquality::NullEqualsNull)?
            .project([values, kept].concat())?
            .build()
    }
}

/// What lies beneath a LIMIT: the lists on top of its sort, the sort, and what is sorted.
fn peeled(input: &LogicalPlan) -> (Vec<&Projection>, Option<&Sort>, &LogicalPlan) {
    let (mut lists, mut base) = (Vec::new(), input);
    while let LogicalPlan::Projection(list) = base {
        lists.push(list);
        base = &list.input;
    }
    match base {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => (lists, Some(sort), &sort.input),
        _ => (Vec::new(), None, input),
    }
}
