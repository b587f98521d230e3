//! The rows of a case in the order in which they arrive.
//!
//! Promises: one seed gives the same rows, late ones the same delays. A late row comes up to an hour after its moment.

use super::Case;
use meridian::grid::hash;
use std::collections::BTreeMap;

/// Seconds from one row of a series to its next.
pub const STEP_S: u64 = 10;
/// Steps that a row may be late.
const LATE_STEPS_MAX: u64 = 360;

/// A row: one measurement of one series at one moment.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which measurement.
    pub measurement: usize,
    /// Which series.
    pub series: usize,
    /// Its moment, in microseconds since 1970.
    pub time_us: i64,
    /// A value a field.
    pub values: [f64; 10],
}

/// Rows that are made step by step.
pub struct Rows {
    case: Case,
    scale: u64,
    steps: u64,
    late: u64,
    seed: u64,
    step: u64,
    states: Vec<[f64; 10]>,
    waiting: BTreeMap<u64, Vec<Row>>,
}

impl Rows {
    /// Before the first step.
    pub fn new(case: Case, scale: u64, steps: u64, late: u64, seed: u64) -> Rows {
        let part = |series: u64, field: u64| unit(hash(seed ^ 0x57A7E, series, field));
        let states =
            (0..scale).map(|series| std::array::from_fn(|field| first(case, field, part(series, field as u64)))).collect();
        Rows { case, scale, steps, late, seed, step: 0, states, waiting: BTreeMap::new() }
    }

    /// What arrives next, of some steps; nothing at the end.
    pub fn next(&mut self, steps: u64) -> Vec<Row> {
        let mut out = Vec::new();
        let until = self.step.saturating_add(steps).min(self.steps);
        while self.step < until {
            for series in 0..self.scale {
                self.advance(series);
                for measurement in 0..if self.case == Case::Iot { 2 } else { 1 } {
                    let row = self.row(measurement, series);
                    let dice = hash(self.seed ^ 0x001A_7E00, series * 2 + measurement as u64, self.step);
                    if dice % 100 < self.late {
                        self.waiting.entry(self.step + 1 + (dice >> 32) % LATE_STEPS_MAX).or_default().push(row);
                    } else {
                        out.push(row);
                    }
                }
            }
            out.extend(self.waiting.remove(&self.step).unwrap_or_default());
            self.step += 1;
        }
        if out.is_empty() {
            // All steps are over: whoever is still on the way.
            out.extend(std::mem::take(&mut self.waiting).into_values().flatten());
        }
        out
    }

    fn row(&self, measurement: usize, series: u64) -> Row {
        let state = self.states[series as usize];
        let values = match (self.case, measurement) {
            (Case::Devops, _) => state,
            // latitude .. fuel_consumption, then fuel_state, current_load, status.
            (Case::Iot, 0) => state,
            (Case::Iot, _) => [state[7], state[8], state[9], 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        };
        let time_us = crate::grid::START_US + (self.step * STEP_S) as i64 * 1_000_000;
        Row { measurement, series: series as usize, time_us, values }
    }

    fn advance(&mut self, series: u64) {
        let (seed, step, case) = (self.seed, self.step, self.case);
        let state = &mut self.states[series as usize];
        match case {
            // Walks of whole steps between 0 and 100, as the suite's.
            Case::Devops => {
                for (field, value) in state.iter_mut().enumerate() {
                    let bits = hash(seed, series * 16 + field as u64, step);
                    *value = (*value + ((bits % 5) as f64 - 2.0)).clamp(0.0, 100.0);
                }
            }
            Case::Iot => super::iot::drive(state, seed, series, step),
        }
    }
}

fn first(case: Case, field: usize, part: f64) -> f64 {
    match case {
        Case::Devops => (part * 100.0).floor(),
        Case::Iot => super::iot::first(field, part),
    }
}

/// From 0 to below 1.
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
