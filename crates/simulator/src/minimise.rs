//! A failing plan made smaller: faults taken out, the fleet and its time cut down, while it still fails.
//!
//! Promises: what it gives fails too; it tries at most `RUNS_MAX` runs.

use crate::plan::Plan;
use crate::run::run;
use protocol::Mutation;

/// The most runs that are spent on one plan.
const RUNS_MAX: usize = 400;

/// The smallest failing plan found, and its complaint. The plan given must fail.
#[must_use]
pub fn minimise(plan: &Plan, mutation: Option<Mutation>) -> (Plan, String) {
    let mut best = plan.clone();
    let mut complaint = run(&best, mutation).complaint.unwrap_or_default();
    let mut runs = 1;
    let mut attempt = |candidate: Plan, best: &mut Plan| {
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
        let mut size = best.faults.len().max(1);
        while size > 0 {
            let mut from = 0;
            while from < best.faults.len() {
                let mut candidate = best.clone();
                candidate.faults.drain(from..(from + size).min(candidate.faults.len()));
                if !attempt(candidate, &mut best) {
                    from += size;
                }
            }
            size /= 2;
        }
        for change in CHANGES {
            let mut candidate = best.clone();
            change(&mut candidate);
            attempt(candidate, &mut best);
        }
        if best == before {
            return (best, complaint);
        }
    }
}

/// Ways of making a plan smaller.
const CHANGES: &[fn(&mut Plan)] = &[
    |plan| plan.clients = plan.clients.saturating_sub(1).max(1),
    |plan| plan.slices.truncate(1),
    |plan| plan.think_us = (plan.think_us * 3).min(200_000),
    |plan| plan.busy_us = (plan.busy_us * 3 / 4).max(400_000),
    |plan| plan.busy_us = plan.busy_us.saturating_sub(100_000).max(400_000),
];
