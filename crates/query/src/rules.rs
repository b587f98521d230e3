//! Our planning rules: times written as text are read in the session's zone; expressions mean what they
//! mean in PostgreSQL; correlated subqueries that DataFusion can't run become joins; joins with `tags`
//! narrow the tags that are scanned; aggregates become aggregates of the kernel's partial ones; the
//! newest rows are read from the newest end; long constants are repeated within bounds; what windows hold is counted; what joins may run again can be.

mod aggregate;
mod attended;
mod constants;
mod edge;
mod literals;
mod meaning;
mod merge;
mod narrow;
mod unnest;

use crate::access::Access;
use crate::again::RunAgain;
use crate::engine::Engine;
use crate::functions::Operators;
use crate::held::CountWindows;
use datafusion::execution::SessionStateBuilder;
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use std::sync::Arc;

/// Adds them to a state that is being built.
pub(crate) fn install(builder: SessionStateBuilder, engine: &Arc<Engine>, access: &Arc<Access>) -> SessionStateBuilder {
    let mut builder = builder;
    let mut analyzers: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(literals::ZonedLiterals)];
    analyzers.extend(Analyzer::new().rules);
    analyzers.push(Arc::new(meaning::Meaning));
    analyzers.push(Arc::new(unnest::Unnest::default()));
    builder.expr_planners().get_or_insert_with(Vec::new).insert(0, Arc::new(Operators));
    let mut optimizers = Optimizer::new().rules;
    optimizers.push(Arc::new(narrow::NarrowByTags::new(engine, access)));
    optimizers.push(Arc::new(aggregate::PushAggregates));
    optimizers.push(Arc::new(constants::SpreadConstants));
    let mut physical = PhysicalOptimizer::new().rules;
    physical.push(Arc::new(edge::ReadFromTheEdge));
    physical.push(Arc::new(CountWindows));
    physical.push(Arc::new(RunAgain));
    builder
        .with_analyzer_rules(attended::analyzers(analyzers))
        .with_optimizer_rules(attended::optimizers(optimizers))
        .with_physical_optimizer_rules(attended::physical(physical))
}
