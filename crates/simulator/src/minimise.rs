//! A failing plan made smaller: faults taken out, the fleet and its time cut down, while it still fails.
//!
//! Promises: what it gives fails too; it tries at most `RUNS_MAX` runs.

use crate::run::run;
use crate::scenario::Scenario;
use protocol::Mutation;

/// The most runs that are spent on one plan.
const RUNS_MAX: usize = 400;

/// The smallest failing plan found, and its complaint. The plan given must fail.
#[must_use]
pub fn minimise<S: Scenario>(plan: &S, mutation: Option<Mutation>) -> (S, String) {
    let mut best = plan.clone();
    let mut complaint = run(&best, mutation).complaint.unwrap_or_default();
    let mut runs = 1;
    let mut attempt = |candidate: S, best: &mut S| {
        runs += 1;
        if runs > RUNS_MAX || candidate == *best {
            return false;
        }
        let Some(text) = run(&candidate, mutation).complaint else { return false };
        complaint = text;
        *best = candidate;
        true
    };
    loop {
        let before = best.clone();
        // Halves, quarters, .. of the faults, as delta debugging does.
        let mut size = best.faults().max(1);
        while size > 0 {
            let mut from = 0;
            while from < best.faults() {
                let mut candidate = best.clone();
                candidate.leave_out(from..(from + size).min(candidate.faults()));
                if !attempt(candidate, &mut best) {
                    from += size;
                }
            }
            size /= 2;
        }
        for change in S::CHANGES {
            let mut candidate = best.clone();
            change(&mut candidate);
            attempt(candidate, &mut best);
        }
        if best == before {
            return (best, complaint);
        }
    }
}
