//! The clocks of a simulated machine: a monotonic one that drifts, a wall clock that jumps.
//!
//! They promise to tell when a moment comes, in true time. They may not know who asks.

use crate::dice::Dice;

/// A machine's clocks.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// The true time at which the process started, and what its monotonic clock said then.
    started: u64,
    base: u64,
    /// How much faster than the truth it runs, in millionths.
    drift: i64,
    /// Wall time minus true time, in microseconds.
    pub(crate) wall_offset: i64,
}

impl Clock {
    /// The clocks of a machine that was not started yet.
    pub(crate) fn new(dice: &mut Dice) -> Clock {
        // A tenth of drift either way is far more than real clocks have, and within what the settings stand.
        let drift = dice.between(0, 160_000) as i64 - 80_000;
        let wall_offset = 1_795_000_000_000_000 + dice.below(3_000_000) as i64;
        Clock { started: 0, base: 0, drift, wall_offset }
    }

    /// A process starts: its moments say nothing about earlier ones.
    pub(crate) fn start(&mut self, now: u64, dice: &mut Dice) {
        (self.started, self.base) = (now, dice.below(5_000_000));
    }

    pub(crate) fn monotonic(&self, now: u64) -> u64 {
        let passed = (now - self.started) as i64;
        self.base + (passed + passed * self.drift / 1_000_000) as u64
    }

    /// The first true time at which the monotonic clock has come to a moment.
    pub(crate) fn true_time(&self, moment: u64) -> u64 {
        let ahead = moment.saturating_sub(self.base) as i64;
        self.started + (ahead * 1_000_000 / (1_000_000 + self.drift)) as u64 + 1
    }

    pub(crate) fn wall(&self, now: u64) -> i64 {
        now as i64 + self.wall_offset
    }
}
