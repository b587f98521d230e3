//! What sides did in turns, and how they stand beside each other.

use crate::measure::Spent;
use crate::side::Turn;
use meridian::bench::latencies::Latencies;
use std::time::Duration;

/// One side of a contest.
#[derive(Default)]
pub struct Side {
    /// Who.
    pub name: String,
    /// What it did in all turns: points, answers.
    pub done: u64,
    /// How long that took.
    pub elapsed: Duration,
    /// Rate of each turn.
    pub rates: Vec<f64>,
    /// What its server took.
    pub spent: Spent,
    /// Of each body or question.
    pub latencies: Latencies,
}

impl Side {
    /// Nothing done yet.
    pub fn new(name: &str) -> Side {
        Side { name: name.to_owned(), ..Side::default() }
    }

    /// Adds a turn.
    pub fn add(&mut self, turn: Turn) {
        self.done += turn.points;
        self.elapsed += turn.elapsed;
        self.rates.push(turn.points as f64 / turn.elapsed.as_secs_f64().max(1e-9));
        self.spent += turn.spent;
        self.latencies.join(turn.latencies);
    }

    /// Done a second, over all turns.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// How many times another's rate, turn by turn.
    pub fn ratios(&self, other: &Side) -> Vec<f64> {
        self.rates.iter().zip(&other.rates).map(|(ours, theirs)| ours / theirs).collect()
    }
}
