//! `ORDER BY time DESC LIMIT n` (and ASC) over a scan: the scan walks time from that end and stops
//! once it has n rows. The sort above stays, and orders what was read.

use crate::fleet::Names;
use crate::scan::node::{Edge, SeriesScan, TIME};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::sorts::sort::SortExec;
use std::sync::Arc;

/// More rows than this are not worth a walk.
const ROWS_MAX: usize = 100_000;

/// The rule.
#[derive(Debug)]
pub(super) struct ReadFromTheEdge;

impl PhysicalOptimizerRule for ReadFromTheEdge {
    fn name(&self) -> &'static str {
        "read_from_the_edge"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let changed = plan.transform_up(|node| {
            let Some(scan) = edge_scan(node.as_ref()) else { return Ok(Transformed::no(node)) };
            let sort = node.replace_children(vec![scan], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))?;
            Ok(Transformed::yes(sort))
        })?;
        Ok(changed.data)
    }
}

fn edge_scan(node: &dyn ExecutionPlan) -> Option<Arc<dyn ExecutionPlan>> {
    let sort = node.downcast_ref::<SortExec>()?;
    let rows = sort.fetch().filter(|rows| *rows <= ROWS_MAX)?;
    // A fleet's scan gives ordinals, and names stand above.
    let names = sort.input().downcast_ref::<Names>();
    let scan = names.map_or(sort.input(), Names::input).downcast_ref::<SeriesScan>()?;
    let first = sort.expr().first().clone();
    let column = first.expr.downcast_ref::<Column>()?;
    if scan.column(column.index()) != Some(TIME) || scan.fetch().is_some() {
        return None;
    }
    let edge = Edge { rows, newest: first.options.descending, ties: sort.expr().len() > 1 };
    let scan: Arc<dyn ExecutionPlan> = Arc::new(scan.at_edge(edge));
    Some(match names {
        Some(names) => Arc::new(names.with_input(scan)),
        None => scan,
    })
}
