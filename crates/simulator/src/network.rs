//! The simulated network: who hears whom, how late, how often.
//!
//! A fleet that is a part of a larger one sees its own places of the one network. Promises: a packet is delivered no
//! earlier than it was sent; the dice decide the rest. May not know what a packet says.

use crate::dice::Dice;
use std::cell::RefCell;
use std::rc::Rc;

/// The weather: of a thousand packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) late: u64,
}

struct Wires {
    places: usize,
    /// How many cuts lie on the way from one place to another.
    cuts: Vec<u32>,
    weather: Weather,
    dice: Dice,
}

/// The network, as one fleet sees it.
pub(crate) struct Network {
    wires: Rc<RefCell<Wires>>,
    /// Where each of its places is.
    places: Vec<usize>,
}

impl Network {
    pub(crate) fn new(places: usize, dice: Dice) -> Network {
        let wires = Wires { places, cuts: vec![0; places * places], weather: Weather::default(), dice };
        Network { wires: Rc::new(RefCell::new(wires)), places: (0..places).collect() }
    }

    /// The same network, for a fleet whose places are these.
    pub(crate) fn part(&self, places: Vec<usize>) -> Network {
        Network { wires: Rc::clone(&self.wires), places }
    }

    fn way(&self, from: usize, to: usize) -> usize {
        self.places[from] * self.wires.borrow().places + self.places[to]
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        let way = self.way(from, to);
        self.wires.borrow_mut().cuts[way] += 1;
    }

    pub(crate) fn mend(&mut self, from: usize, to: usize) {
        let way = self.way(from, to);
        let cut = &mut self.wires.borrow_mut().cuts[way];
        *cut = cut.saturating_sub(1);
    }

    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.wires.borrow_mut().weather = weather;
    }

    pub(crate) fn mend_all(&mut self) {
        self.wires.borrow_mut().cuts.fill(0);
        self.set_weather(Weather::default());
    }

    /// When a packet sent now arrives: not at all, once, or twice.
    pub(crate) fn arrivals(&mut self, now: u64, from: usize, to: usize) -> impl Iterator<Item = u64> + use<> {
        let way = self.way(from, to);
        let wires = &mut *self.wires.borrow_mut();
        let lost = wires.cuts[way] > 0 || wires.dice.permille(wires.weather.lost);
        let first = (!lost).then(|| now + wires.delay());
        let second = (!lost && wires.dice.permille(wires.weather.doubled)).then(|| now + 3 * wires.delay());
        first.into_iter().chain(second)
    }
}

impl Wires {
    fn delay(&mut self) -> u64 {
        let usual = self.dice.between(80, 600);
        if self.dice.permille(self.weather.late) { usual + self.dice.below(250_000) } else { usual }
    }
}
