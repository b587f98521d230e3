//! What a plan of a run must offer to be run, and to be made smaller.
//!
//! Promises of a plan: the same plan gives the same run, event by event; it prints as what it is. It may not know who
//! runs it.

use protocol::Planted;
use std::fmt::{Debug, Display};
use std::ops::Range;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome<C> {
    /// The first broken promise, if any.
    pub complaint: Option<String>,
    /// What happened.
    pub counts: C,
    /// The last lines of the trace, where one was asked for.
    pub trace: Vec<String>,
}

/// The whole of a run.
pub trait Scenario: Clone + PartialEq + Display + 'static {
    /// What is counted in a run.
    type Counts: Copy + Debug + Default + PartialEq;

    /// The run itself.
    type Play: Play<Self::Counts>;

    /// Ways of making a plan smaller, beside leaving out faults.
    const CHANGES: &'static [fn(&mut Self)];

    /// The plan of a seed.
    fn of_seed(seed: u64) -> Self;

    /// How many faults there are.
    fn faults(&self) -> usize;

    /// Leaves faults out.
    fn leave_out(&mut self, faults: Range<usize>);

    /// Adds one run's counts to another's.
    fn add(sum: &mut Self::Counts, counts: &Self::Counts);

    /// The run, before anything happens.
    fn begin(&self, planted: Planted, trace: bool) -> Self::Play;
}

/// A run.
pub trait Play<C> {
    /// Runs to the end, or to the first broken promise. A broken invariant of a machine panics.
    fn run(&mut self);

    /// Notes a broken promise.
    fn complain(&mut self, text: String);

    /// How it ended.
    fn end(&mut self) -> Outcome<C>;
}
