//! `simulator`: runs the fleets of many seeds, and shows what fails, made as small as it gets.
//!
//! `simulator --seeds N [--first-seed S] [--kernels] [--only slices|tags|members|whole] [--trace] [--plant BUG]`; `cargo xtask
//! simulate` runs it. A seed is four fleets: one of data nodes with a few slices, one of schedulers with a tag table, one under
//! managers, and a whole one; with `--kernels` it is those that have slices, in kernels. It promises that a seed that it
//! prints fails again.

use protocol::Mutation;
use simulator::{MemberPlan, Plan, Scenario, TagPlan, WholePlan, minimise, run, run_traced};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str, default: u64| after(name).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (first, seeds) = (number("--first-seed", 1), number("--seeds", 1));
    let planted = after("--plant").and_then(|name| Mutation::ALL.into_iter().find(|bug| format!("{bug:?}") == **name));
    let kernels = words.iter().any(|word| word == "--kernels");
    let trace = words.iter().any(|word| word == "--trace");
    let runs = |name: &str| after("--only").is_none_or(|only| only == name);
    let (mut slices, mut whole) = (<Plan as Scenario>::Counts::default(), <WholePlan as Scenario>::Counts::default());
    let (mut tags, mut members) = (<TagPlan as Scenario>::Counts::default(), <MemberPlan as Scenario>::Counts::default());
    for seed in first..first.saturating_add(seeds) {
        let of_slices = if kernels { Plan::of_kernels } else { Plan::of };
        let of_whole = if kernels { WholePlan::of_kernels } else { WholePlan::of_seed };
        let held = (!runs("slices") || holds(&of_slices(seed), planted, trace, &mut slices))
            && (!runs("whole") || holds(&of_whole(seed), planted, trace, &mut whole))
            && (kernels || !runs("tags") || holds(&TagPlan::of_seed(seed), planted, trace, &mut tags))
            && (kernels || !runs("members") || holds(&MemberPlan::of_seed(seed), planted, trace, &mut members));
        if !held {
            let kernels = if kernels { " --kernels" } else { "" };
            println!("replay with: cargo xtask simulate --first-seed {seed} --seeds 1{kernels}");
            return ExitCode::FAILURE;
        }
    }
    println!("{seeds} seeds from {first} hold: {slices:?}, {tags:?}, {members:?}, {whole:?}");
    ExitCode::SUCCESS
}

fn holds<S: Scenario>(plan: &S, planted: Option<Mutation>, trace: bool, counts: &mut S::Counts) -> bool {
    let outcome = run(plan, planted);
    S::add(counts, &outcome.counts);
    let Some(complaint) = outcome.complaint else { return true };
    println!("it fails: {complaint}\n{plan}");
    let (small, complaint) = minimise(plan, planted);
    println!("made smaller: {complaint}\n{small}");
    if trace {
        run_traced(&small, planted).trace.iter().for_each(|line| println!("{line}"));
    }
    false
}
