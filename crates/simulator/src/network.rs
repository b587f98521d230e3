//! The simulated network: who hears whom, how late, how often.
//!
//! Promises: a packet is delivered no earlier than it was sent; the dice decide the rest. May not know
//! what a packet says.

use crate::dice::Dice;

/// The weather: of a thousand packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) late: u64,
}

/// The network.
pub(crate) struct Network {
    places: usize,
    /// How many cuts lie on the way from one place to another.
    cuts: Vec<u32>,
    pub(crate) weather: Weather,
    dice: Dice,
}

impl Network {
    pub(crate) fn new(places: usize, dice: Dice) -> Network {
        Network { places, cuts: vec![0; places * places], weather: Weather::default(), dice }
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cuts[from * self.places + to] += 1;
    }

    pub(crate) fn mend(&mut self, from: usize, to: usize) {
        let cut = &mut self.cuts[from * self.places + to];
        *cut = cut.saturating_sub(1);
    }

    pub(crate) fn mend_all(&mut self) {
        self.cuts.fill(0);
        self.weather = Weather::default();
    }

    /// When a packet sent now arrives: not at all, once, or twice.
    pub(crate) fn arrivals(&mut self, now: u64, from: usize, to: usize) -> impl Iterator<Item = u64> + use<> {
        let cut = self.cuts[from * self.places + to] > 0;
        let lost = cut || self.dice.permille(self.weather.lost);
        let first = (!lost).then(|| now + self.delay());
        let second = (!lost && self.dice.permille(self.weather.doubled)).then(|| now + 3 * self.delay());
        first.into_iter().chain(second)
    }

    fn delay(&mut self) -> u64 {
        let usual = self.dice.between(80, 600);
        if self.dice.permille(self.weather.late) { usual + self.dice.below(250_000) } else { usual }
    }
}
