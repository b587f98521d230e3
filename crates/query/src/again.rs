//! A node beneath nested-loop joins that lets its input be run a second time.
//!
//! Where the left side of such a join does not fit, DataFusion runs it again from the start and spills it; but
//! nodes that repartition or that deal out parts of a scan run once, and panic or give nothing the second time.
//!
//! Promises: the first run of a partition is the input's own; every later one is of a fresh copy.
//!
//! Shared state: which partitions have been run, under a mutex that is held for the length of a look-up.

use crate::passing::{passing, shown_by_name};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions, reset_plan_states};
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Puts the node under nested-loop joins.
#[derive(Debug)]
pub(crate) struct RunAgain;

impl PhysicalOptimizerRule for RunAgain {
    fn name(&self) -> &'static str {
        "run_again"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let changed = plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() else { return Ok(Transformed::no(node)) };
            let children = vec![Again::over(Arc::clone(join.left())), Arc::clone(join.right())];
            let join = node.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))?;
            Ok(Transformed::yes(join))
        })?;
        Ok(changed.data)
    }
}

/// The node.
#[derive(Debug)]
struct Again {
    input: Arc<dyn ExecutionPlan>,
    ran: Mutex<BTreeSet<usize>>,
}

impl Again {
    fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Again { input, ran: Mutex::default() })
    }
}

shown_by_name!(Again);

impl ExecutionPlan for Again {
    passing!("Again", Again::over);

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if self.ran.lock().insert(partition) {
            return self.input.execute(partition, context);
        }
        reset_plan_states(Arc::clone(&self.input))?.execute(partition, context)
    }
}
