//! The planner of a fleet: plans as on a lone node, asks the store who reads the slices, and cuts the plan. What it
//! hands on has its network boundaries, which datafusion-distributed makes stages of.

use super::cut::{Cutter, leaf_of, slices_of_plan};
use super::part::Wanted;
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::scan::Place;
use crate::store::Owner;
use crate::tables::statement;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::display::PlanType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::analyze::AnalyzeExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::explain::ExplainExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion_distributed::{DistributedLeafExec, RouteTasksEvent, RouteTasksEventResponse, WorkerResolver};
use std::fmt;
use std::sync::Arc;
use types::SliceId;
use url::Url;

/// The planner.
pub(crate) struct FleetPlanner {
    pub engine: Arc<Engine>,
}

impl fmt::Debug for FleetPlanner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("FleetPlanner")
    }
}

#[async_trait]
impl QueryPlanner for FleetPlanner {
    async fn create_physical_plan(&self, logical: &LogicalPlan, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let plain = DefaultPhysicalPlanner::default();
        let plan = plain.create_physical_plan(logical, state).await?;
        if let (Some(explain), LogicalPlan::Explain(asked)) = (plan.downcast_ref::<ExplainExec>(), logical) {
            let inner = plain.create_physical_plan(&asked.plan, state).await?;
            let cut = self.cut(&inner, state).await?;
            return Ok(Arc::new(explained(explain, cut.as_ref())));
        }
        if let Some(analyze) = plan.downcast_ref::<AnalyzeExec>() {
            let cut = self.cut(analyze.input(), state).await?;
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            return Arc::clone(&plan).replace_children(vec![cut], options);
        }
        self.cut(&plan, state).await
    }
}

impl FleetPlanner {
    async fn cut(&self, plan: &Arc<dyn ExecutionPlan>, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(slices) = slices_of_plan(plan)? else { return Ok(Arc::clone(plan)) };
        let statement = statement(state)?;
        let asker = &statement.asker;
        let route = self.engine.store.route(&slices, asker, &statement.avoided).await?;
        let number = self.engine.number_statement();
        let seen = asker.seen.all();
        let wanted_of = |owner: &Owner| {
            let owned = |slice: &SliceId| owner.slices.binary_search_by_key(slice, |(slice, _)| *slice).is_ok();
            Arc::new(Wanted {
                statement: number,
                principal: asker.principal.to_string(),
                consistency: asker.consistency,
                revision: route.revision,
                slices: owner.slices.clone(),
                seen: seen.iter().copied().filter(|(slice, _)| owned(slice)).collect(),
            })
        };
        let wanted: Vec<Arc<Wanted>> = route.owners.iter().map(wanted_of).collect();
        let cut = Cutter { route: Arc::new(route), wanted, catalog: &self.engine.catalog }.cut(plan)?;
        statement.openings.expect(&cut, number)?;
        Ok(cut)
    }
}

/// EXPLAIN with the plan as it was cut.
fn explained(explain: &ExplainExec, cut: &dyn ExecutionPlan) -> ExplainExec {
    let mut shown = explain.stringified_plans().to_vec();
    for plan in &mut shown {
        if matches!(plan.plan_type, PlanType::FinalPhysicalPlan) {
            plan.plan = Arc::new(displayable(cut).indent(explain.verbose()).to_string());
        }
    }
    ExplainExec::new(explain.schema(), shown, explain.verbose())
}

/// Nodes that compute anything but their own slices: none.
pub(crate) struct NoOthers;

impl WorkerResolver for NoOthers {
    fn get_urls(&self) -> Result<Vec<Url>> {
        Ok(Vec::new())
    }
}

/// Sends each part to the node that it was cut for.
pub(crate) fn to_owners(event: RouteTasksEvent<'_>) -> Option<Result<RouteTasksEventResponse>> {
    let mut urls: Option<Result<Vec<Url>>> = None;
    let walked = event.plan.apply(|node| {
        let Some(leaf) = node.downcast_ref::<DistributedLeafExec>() else { return Ok(TreeNodeRecursion::Continue) };
        urls = Some(leaf.variants().iter().map(|variant| url_of(variant.as_ref())).collect());
        Ok(TreeNodeRecursion::Stop)
    });
    match (walked, urls) {
        (Err(fault), _) => Some(Err(fault)),
        (Ok(_), urls) => urls.map(|urls| urls.map(RouteTasksEventResponse::new)),
    }
}

fn url_of(variant: &dyn ExecutionPlan) -> Result<Url> {
    let lost = || DataFusionError::from(raise(Error::Internal, "internal error: a part of a plan is for no node"));
    let target = leaf_of(variant).ok_or_else(lost)?;
    let Place::Node(part) = &target.place else { return Err(lost()) };
    Url::parse(&part.url).map_err(|cause| {
        raise(Error::Unreachable, format!("node {} has the address \"{}\", which is none: {cause}", part.node, part.url)).into()
    })
}
