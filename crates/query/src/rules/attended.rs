//! Rules that end where nobody waits for the plan any longer: a check before each, and at each node that it visits.

use crate::planning;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{AnalyzerRule, ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// Stands between two rules.
#[derive(Debug)]
struct Check;

impl AnalyzerRule for Check {
    fn name(&self) -> &'static str {
        "check"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        planning::check()?;
        Ok(plan)
    }
}

impl PhysicalOptimizerRule for Check {
    fn name(&self) -> &'static str {
        "check"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        planning::check()?;
        Ok(plan)
    }
}

/// Analyser's rules with a check before each.
pub(super) fn analyzers(rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>>) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let checked = |rule| [Arc::new(Check) as Arc<dyn AnalyzerRule + Send + Sync>, rule];
    rules.into_iter().flat_map(checked).collect()
}

/// Physical rules with a check before each. They are not wrapped: some are looked for by their type.
pub(super) fn physical(
    rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let checked = |rule| [Arc::new(Check) as Arc<dyn PhysicalOptimizerRule + Send + Sync>, rule];
    rules.into_iter().flat_map(checked).collect()
}

/// Logical rules that check at each node.
pub(super) fn optimizers(rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    rules.into_iter().map(|rule| Arc::new(Attended(rule)) as Arc<dyn OptimizerRule + Send + Sync>).collect()
}

/// A rule that checks before it is applied.
#[derive(Debug)]
struct Attended(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for Attended {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        planning::check()?;
        self.0.rewrite(plan, config)
    }
}
