//! Memory of window functions, which DataFusion does not count: a node under each that holds back the whole
//! of its input, and reserves what passes through for as long as the window lives.
//!
//! Promises: a query whose windows would need more than queries' share ends with 53200; rows and their
//! order pass unchanged.

use crate::passing::{passing, shown_by_name};
use arrow::array::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use std::sync::Arc;

/// A window copies its input together, and adds its columns.
const COPIES: usize = 2;

/// Puts the node under window functions that gather their input.
#[derive(Debug)]
pub(crate) struct CountWindows;

impl PhysicalOptimizerRule for CountWindows {
    fn name(&self) -> &'static str {
        "count_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let changed = plan.transform_up(|node| {
            let Some(window) = node.downcast_ref::<WindowAggExec>() else { return Ok(Transformed::no(node)) };
            let input = Held::over(Arc::clone(window.input()));
            let window = node.replace_children(vec![input], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))?;
            Ok(Transformed::yes(window))
        })?;
        Ok(changed.data)
    }
}

/// The node.
#[derive(Debug)]
struct Held {
    input: Arc<dyn ExecutionPlan>,
}

impl Held {
    fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Held { input })
    }
}

shown_by_name!(Held);

impl ExecutionPlan for Held {
    passing!("Held", Held::over);

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let room = MemoryConsumer::new(format!("window[{partition}]")).register(context.memory_pool());
        let counted = self.input.execute(partition, context)?.map(move |batch| {
            let batch: RecordBatch = batch?;
            room.try_grow(COPIES * batch.get_array_memory_size())?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counted)))
    }
}
