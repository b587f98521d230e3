//! Which nodes of a try of a statement have opened what they are to read.
//!
//! A node that refuses (a slice has just left it) is answered by another plan, and that only as long as no row was handed on.
//! Nodes are asked side by side, and the one that is handing a slice over takes its time to say so, while the others' rows come:
//! so the first row waits for all of them. From then on each reads the snapshot that it holds, whoever leads its slices.
//!
//! Shared state: one watch channel a try, written by whoever sends a node its part.

use super::cut::leaf_of;
use super::part::Part;
use crate::context::StatementContext;
use crate::error::Error;
use crate::scan::Place;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::DistributedLeafExec;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// The openings of a try.
#[derive(Default)]
pub(crate) struct Openings(watch::Sender<State>);

#[derive(Default)]
struct State {
    /// The number of the plan that is run (`Wanted::statement`): where memory was short there is a second one.
    plan: u128,
    /// Nodes that have not said yet, by where their workers are reached.
    awaited: BTreeSet<Arc<str>>,
    refused: Option<Error>,
}

impl Openings {
    /// Those of the statement that a task runs.
    pub(crate) fn of(context: &TaskContext) -> Option<Arc<Openings>> {
        let statement = context.session_config().get_extension::<StatementContext>()?;
        Some(Arc::clone(&statement.openings))
    }

    /// A plan that was cut is run from now on.
    ///
    /// # Errors
    /// Those of looking at its nodes.
    pub(crate) fn expect(&self, plan: &Arc<dyn ExecutionPlan>, number: u128) -> Result<()> {
        let mut awaited = BTreeSet::new();
        plan.apply(|node| {
            if let Some(leaf) = node.downcast_ref::<DistributedLeafExec>() {
                awaited.extend(leaf.variants().iter().filter_map(part_of).map(|part| Arc::clone(&part.url)));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        self.0.send_replace(State { plan: number, awaited, refused: None });
        Ok(())
    }

    /// What a node said of its part.
    pub(crate) fn said(&self, part: &Part, refused: Option<Error>) {
        self.0.send_modify(|state| {
            if state.plan == part.wanted.statement {
                state.awaited.remove(&part.url);
                state.refused = state.refused.take().or(refused);
            }
        });
    }

    /// Waits until all nodes have opened what they are to read.
    ///
    /// # Errors
    /// What the first node says that refuses, or how it was lost.
    pub(crate) async fn all(&self) -> Result<(), Error> {
        let mut states = self.0.subscribe();
        let settled = states.wait_for(|state| state.refused.is_some() || state.awaited.is_empty()).await;
        // The sender lives as long as this does.
        settled.map_or(Ok(()), |state| state.refused.clone().map_or(Ok(()), Err))
    }
}

/// The part that a leaf reads.
fn part_of(node: &Arc<dyn ExecutionPlan>) -> Option<&Arc<Part>> {
    match &leaf_of(node.as_ref())?.place {
        Place::Node(part) => Some(part),
        _ => None,
    }
}

/// The part that a node's plan reads: all its leaves want the same of the node.
pub(crate) fn part_within(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<Part>>> {
    let mut found = None;
    plan.apply(|node| {
        found = part_of(node).map(Arc::clone);
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
