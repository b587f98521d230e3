//! A second try, by a plan that needs less memory.
//!
//! A hash join holds its smaller side in memory and can't spill it. Where that does not fit, and no row has been
//! handed on yet, the statement is planned anew with merge joins, whose sorts spill, and run from the start.
//!
//! Promises: both tries see the same snapshot and moment; rows of only one of them are handed on.

use crate::context::task_context;
use crate::error::{Error, from_datafusion};
use crate::planning::Planning;
use arrow::array::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;

/// Starts a plan; the rows as they come.
pub(crate) async fn run(
    planning: Planning,
    state: SessionState,
    plan: &LogicalPlan,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let (state, physical) = planning.physical(state, plan.clone()).await?;
    let can_spill = state.runtime_env().disk_manager.tmp_files_enabled();
    if !can_spill || !has_hash_join(&physical)? {
        return Ok(execute_stream(physical, task_context(&state))?.boxed());
    }
    let plan = plan.clone();
    Ok(stream::once(first_or_second(planning, state, plan, physical)).try_flatten().boxed())
}

fn has_hash_join(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        found |= node.downcast_ref::<HashJoinExec>().is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

async fn first_or_second(
    planning: Planning,
    mut state: SessionState,
    plan: LogicalPlan,
    physical: Arc<dyn ExecutionPlan>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let mut rows: SendableRecordBatchStream = execute_stream(physical, task_context(&state))?;
    match rows.next().await {
        None => Ok(stream::empty().boxed()),
        Some(Err(error)) if is_short_of_memory(&error) => {
            drop(rows);
            state.config_mut().options_mut().optimizer.prefer_hash_join = false;
            let (state, physical) = planning.physical(state, plan).await?;
            Ok(execute_stream(physical, task_context(&state))?.boxed())
        }
        Some(first) => Ok(stream::iter([first]).chain(rows).boxed()),
    }
}

fn is_short_of_memory(error: &DataFusionError) -> bool {
    matches!(from_datafusion(error, ""), Error::OutOfMemory(_))
}
