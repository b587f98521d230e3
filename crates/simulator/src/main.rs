//! `simulator`: runs the fleets of many seeds, and shows what fails, made as small as it gets.
//!
//! `simulator --seeds N [--first-seed S] [--kernels] [--trace] [--plant BUG]`; `cargo xtask simulate` runs it. It promises that a
//! seed that it prints fails again.

use protocol::Mutation;
use simulator::{Counts, Plan, minimise, run, run_traced};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str, default: u64| after(name).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (first, seeds) = (number("--first-seed", 1), number("--seeds", 1));
    let planted = after("--plant").and_then(|name| Mutation::ALL.into_iter().find(|bug| format!("{bug:?}") == **name));
    let kernels = words.iter().any(|word| word == "--kernels");
    let trace = words.iter().any(|word| word == "--trace");
    let mut counts = Counts::default();
    for seed in first..first.saturating_add(seeds) {
        let plan = if kernels { Plan::of_kernels(seed) } else { Plan::of(seed) };
        let outcome = run(&plan, planted);
        counts.add(&outcome.counts);
        if let Some(complaint) = outcome.complaint {
            println!("seed {seed} fails: {complaint}\n{plan}");
            let (small, complaint) = minimise(&plan, planted);
            println!("made smaller: {complaint}\n{small}");
            if trace {
                run_traced(&small, planted).trace.iter().for_each(|line| println!("{line}"));
            }
            let kernels = if kernels { " --kernels" } else { "" };
            println!("replay with: cargo xtask simulate --first-seed {seed} --seeds 1{kernels}");
            return ExitCode::FAILURE;
        }
    }
    println!("{seeds} seeds from {first} hold: {counts:?}");
    ExitCode::SUCCESS
}
