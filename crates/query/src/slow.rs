//! The plan of a statement that took long, with what each of its nodes did, for whoever logs it.
//!
//! Promises: a plan is held no longer than its statement runs, and written out only where that took long; what is written is one
//! line. May not know how it is logged.

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use parking_lot::Mutex;
use std::sync::Arc;

/// How much of a plan is told, in bytes.
const PLAN_BYTES_MAX: usize = 8 << 10;

tokio::task_local! {
    static RAN: Ran;
}

/// The plan of a statement: of several tries the last one's.
#[derive(Clone, Default)]
pub(crate) struct Ran(Arc<Mutex<Option<Arc<dyn ExecutionPlan>>>>);

/// Does work whose plan is noted.
pub(crate) async fn noting<T>(ran: &Ran, work: impl Future<Output = T>) -> T {
    RAN.scope(ran.clone(), work).await
}

/// A plan is about to run.
pub(crate) fn note(plan: &Arc<dyn ExecutionPlan>) {
    // What runs outside of statements is nobody's.
    let _ = RAN.try_with(|ran| *ran.0.lock() = Some(Arc::clone(plan)));
}

impl Ran {
    /// The plan in one line, a node after the other, each beneath the one it is indented more than.
    pub(crate) fn told(&self) -> Option<String> {
        let plan = self.0.lock().take()?;
        let shown = DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(true).to_string();
        let mut line = String::new();
        for node in shown.lines() {
            if !line.is_empty() {
                line.push_str(" / ");
            }
            line.extend(node.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
        line.truncate(line.floor_char_boundary(PLAN_BYTES_MAX));
        Some(line)
    }
}
