//! Our planning rules: times written as text are read in the session's zone; expressions mean what they
//! mean in PostgreSQL; correlated subqueries that DataFusion can't run become joins; joins with `tags`
//! narrow the tags that are scanned; aggregates become aggregates of the kernel's partial ones; the
//! newest rows are read from the newest end; what windows hold is counted; what joins may run again can be.

mod aggregate;
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
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use std::sync::Arc;

/// Adds them to a state that is being built.
pub(crate) fn install(builder: SessionStateBuilder, engine: &Arc<Engine>, access: &Arc<Access>) -> SessionStateBuilder {
    let mut builder = builder;
    let mut analyzers: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(literals::ZonedLiterals)];
    analyzers.extend(Analyzer::new().rules);
    analyzers.push(Arc::new(meaning::Meaning));
    analyzers.push(Arc::new(unnest::Unnest::default()));
    builder.expr_planners().get_or_insert_with(Vec::new).insert(0, Arc::new(Operators));
    builder
        .with_analyzer_rules(analyzers)
        .with_optimizer_rule(Arc::new(narrow::NarrowByTags::new(engine, access)))
        .with_optimizer_rule(Arc::new(aggregate::PushAggregates))
        .with_physical_optimizer_rule(Arc::new(edge::ReadFromTheEdge))
        .with_physical_optimizer_rule(Arc::new(CountWindows))
        .with_physical_optimizer_rule(Arc::new(RunAgain))
}
