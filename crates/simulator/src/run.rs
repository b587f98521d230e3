//! A run of a plan, panics included: a broken invariant of a machine is a broken promise.

use crate::scenario::{Outcome, Play, Scenario};
use protocol::{Mutation, Planted};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

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
pub fn run<S: Scenario>(plan: &S, mutation: Option<Mutation>) -> Outcome<S::Counts> {
    run_with(plan, mutation, false)
}

/// Runs a plan and keeps the end of its trace.
#[must_use]
pub fn run_traced<S: Scenario>(plan: &S, mutation: Option<Mutation>) -> Outcome<S::Counts> {
    run_with(plan, mutation, true)
}

fn run_with<S: Scenario>(plan: &S, mutation: Option<Mutation>, trace: bool) -> Outcome<S::Counts> {
    note_panics();
    LAST_PANIC.set(Some(String::new()));
    let mut play = plan.begin(Planted::with(mutation), trace);
    let ended = catch_unwind(AssertUnwindSafe(|| play.run()));
    let panic = LAST_PANIC.take();
    if ended.is_err() {
        play.complain(panic.unwrap_or_default());
    }
    play.end()
}
