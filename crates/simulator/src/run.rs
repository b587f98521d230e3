//! A run of a plan, panics included: a broken invariant of a machine is a broken promise.

use crate::check::Counts;
use crate::fleet::Fleet;
use crate::plan::Plan;
use protocol::{Mutation, Planted};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first broken promise, if any.
    pub complaint: Option<String>,
    /// What happened.
    pub counts: Counts,
    /// The last lines of the trace, where one was asked for.
    pub trace: Vec<String>,
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes panics of this crate's runs instead of printing them.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let inside = LAST_PANIC
                .with_borrow_mut(|last| last.as_mut().map(|last| *last = format!("{panic}").replace('\n', " ")).is_some());
            if !inside {
                usual(panic);
            }
        }));
    });
}

/// Runs a plan.
#[must_use]
pub fn run(plan: &Plan, mutation: Option<Mutation>) -> Outcome {
    run_with(plan, mutation, false)
}

/// Runs a plan and keeps the end of its trace.
#[must_use]
pub fn run_traced(plan: &Plan, mutation: Option<Mutation>) -> Outcome {
    run_with(plan, mutation, true)
}

fn run_with(plan: &Plan, mutation: Option<Mutation>, trace: bool) -> Outcome {
    note_panics();
    LAST_PANIC.set(Some(String::new()));
    let mut fleet = Fleet::new(plan, Planted::with(mutation), trace);
    let ended = catch_unwind(AssertUnwindSafe(|| fleet.run()));
    let panic = LAST_PANIC.take();
    if ended.is_err() {
        fleet.checker.complain(panic.unwrap_or_default());
    }
    Outcome {
        complaint: fleet.checker.complaint.clone(),
        counts: fleet.counts(),
        trace: fleet.trace.take().map(Vec::from).unwrap_or_default(),
    }
}
