//! Joins and semi-joins of samples with `tags`: the conditions on `tags` are computed while
//! planning, so that only the tags they leave are scanned. The join itself stays as it is.

use crate::access::{Access, Privileges};
use crate::engine::Engine;
use crate::schema;
use crate::tables::series::SeriesTable;
use crate::tables::tags::{TagTable, batch, candidates, pages};
use arrow::array::Array;
use arrow::array::AsArray;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, TableScan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_expr::create_physical_expr;
use std::fmt;
use std::sync::Arc;
use types::TagId;

/// Up to so many tags are looked at one by one where no lookup of the catalog helps.
const TAGS_MAX: u64 = 200_000;

/// The rule.
pub(super) struct NarrowByTags {
    engine: Arc<Engine>,
    access: Arc<Access>,
}

impl NarrowByTags {
    pub(super) fn new(engine: &Arc<Engine>, access: &Arc<Access>) -> Self {
        NarrowByTags { engine: Arc::clone(engine), access: Arc::clone(access) }
    }
}

impl fmt::Debug for NarrowByTags {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("NarrowByTags")
    }
}

impl OptimizerRule for NarrowByTags {
    fn name(&self) -> &'static str {
        "narrow_by_tags"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(join) = plan else { return Ok(Transformed::no(plan)) };
        // An outer join shows every row of the side that it keeps: that side is not narrowed.
        let left_narrows = matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi | JoinType::Right);
        let right_narrows = matches!(join.join_type, JoinType::Inner | JoinType::RightSemi | JoinType::Left);
        for (left, right) in &join.on {
            let (Expr::Column(left), Expr::Column(right)) = (left, right) else { continue };
            if left_narrows && let Some(side) = self.narrowed(&join.left, left, &join.right, right)? {
                return Ok(Transformed::yes(LogicalPlan::Join(Join { left: Arc::new(side), ..join })));
            }
            if right_narrows && let Some(side) = self.narrowed(&join.right, right, &join.left, left)? {
                return Ok(Transformed::yes(LogicalPlan::Join(Join { right: Arc::new(side), ..join })));
            }
        }
        Ok(Transformed::no(LogicalPlan::Join(join)))
    }
}

impl NarrowByTags {
    /// The samples' side with fewer tags; None where it is none, or nothing narrows it.
    fn narrowed(&self, samples: &LogicalPlan, key: &Column, tags: &LogicalPlan, name: &Column) -> Result<Option<LogicalPlan>> {
        let Some((_, samples_column)) = scan_of(samples, key) else { return Ok(None) };
        let Some((tag_scan, tag_column)) = scan_of(tags, name) else { return Ok(None) };
        let is_tags = source_as_provider(&tag_scan.source)?.downcast_ref::<TagTable>().is_some();
        if samples_column != "tag" || tag_column != "name" || !is_tags || tag_scan.filters.is_empty() {
            return Ok(None);
        }
        let mut done = None;
        let replaced = samples.clone().transform_down(|node| {
            let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
            let provider = source_as_provider(&scan.source)?;
            let Some(table) = provider.downcast_ref::<SeriesTable>().filter(|table| table.within.is_none()) else {
                return Ok(Transformed::no(node));
            };
            let Some(tags) = self.kept(&tag_scan.filters)? else { return Ok(Transformed::no(node)) };
            done = Some(());
            let source = provider_as_source(Arc::new(SeriesTable { within: Some(tags.into()), ..table.clone() }));
            Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan.clone() })))
        })?;
        Ok(done.map(|()| replaced.data))
    }

    /// The tags for which all filters hold.
    fn kept(&self, filters: &[Expr]) -> Result<Option<Vec<TagId>>> {
        // Conditions are computed of tags that may be seen, and of no others.
        let reach = self.access.rights().reach(&self.engine.catalog, "public.tags", Privileges::SELECT)?;
        let found = candidates(&self.engine, filters, &reach);
        if found.is_none() && self.engine.catalog.len() > TAGS_MAX {
            return Ok(None);
        }
        let columns: Vec<usize> = (0..schema::TAGS.fields().len()).collect();
        let frame = DFSchema::try_from(Arc::clone(&schema::TAGS))?;
        let properties = ExecutionProps::new();
        let mut checks = Vec::new();
        for filter in filters {
            let bare = filter.clone().transform(|node| {
                Ok(match node {
                    Expr::Column(column) => Transformed::yes(Expr::Column(Column::from_name(column.name))),
                    node => Transformed::no(node),
                })
            })?;
            // A filter that can't be computed here (a subquery, say) is left to the plan.
            checks.extend(create_physical_expr(&bare.data, &frame, &properties, &PhysicalPlanningContext::default()).ok());
        }
        let mut out = Vec::new();
        pages(&self.engine, found.as_deref(), &mut |tags| {
            let batch = batch(&schema::TAGS, &columns, &tags)?;
            let mut keep = vec![true; tags.len()];
            for check in &checks {
                let holds = check.evaluate(&batch).and_then(|holds| holds.into_array(tags.len()))?;
                let holds = holds.as_boolean();
                keep.iter_mut().enumerate().for_each(|(row, keep)| *keep &= holds.is_valid(row) && holds.value(row));
            }
            out.extend(tags.iter().zip(keep).filter(|(_, keep)| *keep).map(|(tag, _)| tag.id));
            Ok(true)
        })?;
        out.sort_unstable();
        Ok(Some(out))
    }
}

/// The scan under a plan of projections, aliases and filters, and which of its columns a column is.
fn scan_of<'a>(plan: &'a LogicalPlan, column: &Column) -> Option<(&'a TableScan, String)> {
    match plan {
        LogicalPlan::TableScan(scan) => Some((scan, column.name.clone())),
        LogicalPlan::Filter(filter) => scan_of(&filter.input, column),
        LogicalPlan::SubqueryAlias(alias) => {
            let index = plan.schema().maybe_index_of_column(column)?;
            scan_of(&alias.input, &Column::from(alias.input.schema().qualified_field(index)))
        }
        LogicalPlan::Projection(projection) => {
            let index = plan.schema().maybe_index_of_column(column)?;
            match projection.expr[index].clone().unalias() {
                Expr::Column(inner) => scan_of(&projection.input, &inner),
                _ => None,
            }
        }
        _ => None,
    }
}
