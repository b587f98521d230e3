//! Who of its holders is each slice's primary: evenly, with few switch-overs, which move no bytes.
//!
//! Each host is to be primary of as many slices as its share of the data asks, rounded down or up. Whoever is primary
//! stays so unless evenness asks otherwise; then a chain of switch-overs leads from who has too many to who has too few.
//! Promises: a primary holds its slice; no chain remains that would make primaries evener. May not know sizes.

use super::layout::{Layout, N};
use std::collections::VecDeque;

/// Which way primaries are handed on along a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From who is asked first.
    Gives,
    /// To who is asked first.
    Takes,
}

struct Primaries<'a> {
    layout: &'a Layout,
    of: Vec<N>,
    /// Slices of each primary, and where each slice stands in its list.
    led: Vec<Vec<u32>>,
    /// Slices that each host holds.
    on: Vec<Vec<u32>>,
    place: Vec<u32>,
    least: Vec<usize>,
    most: Vec<usize>,
}

/// The primary of each slice.
pub(super) fn choose(layout: &Layout) -> Vec<N> {
    let slices = layout.bytes.len();
    let share = |n: usize| layout.part[n] * slices as f64 / layout.copies as f64;
    // A share that is a whole number but for the last bits is that number.
    let hosts = layout.held.len();
    let mut primaries = Primaries {
        layout,
        of: vec![N::MAX; slices],
        led: vec![Vec::new(); hosts],
        on: vec![Vec::new(); hosts],
        place: vec![0; slices],
        least: (0..hosts).map(|n| (share(n) + 1e-6).floor() as usize).collect(),
        most: (0..hosts).map(|n| (share(n) - 1e-6).ceil().max(0.0) as usize).collect(),
    };
    for s in 0..slices {
        layout.now[s].iter().for_each(|n| primaries.on[*n as usize].push(s as u32));
        if let Some(n) = layout.primary[s].filter(|n| layout.now[s].contains(n)) {
            primaries.lead(s, n);
        }
    }
    for s in 0..slices {
        if primaries.of[s] == N::MAX {
            let fewest = |n: &&N| (primaries.led[**n as usize].len() as i64 - primaries.most[**n as usize] as i64, **n);
            let n = *layout.now[s].iter().min_by_key(fewest).expect("a slice has a copy");
            primaries.lead(s, n);
        }
    }
    primaries.favour();
    primaries.relieve();
    primaries.of
}

impl Primaries<'_> {
    fn lead(&mut self, s: usize, n: N) {
        let before = self.of[s];
        if before != N::MAX {
            let (list, at) = (&mut self.led[before as usize], self.place[s] as usize);
            list.swap_remove(at);
            if let Some(moved) = list.get(at) {
                self.place[*moved as usize] = at as u32;
            }
        }
        self.of[s] = n;
        self.place[s] = self.led[n as usize].len() as u32;
        self.led[n as usize].push(s as u32);
    }

    fn count(&self, n: N) -> usize {
        self.led[n as usize].len()
    }

    /// Who has too few gets some from who has more than the least.
    fn favour(&mut self) {
        let mut closed = vec![false; self.led.len()];
        for n in self.layout.stay() {
            while self.count(n) < self.least[n as usize] && !closed[n as usize] {
                let chain = self.chain(n, Way::Takes, &mut closed, |this, other| this.count(other) > this.least[other as usize]);
                chain.into_iter().flatten().for_each(|(s, taker, _)| self.lead(s, taker));
            }
        }
    }

    /// Who has too many hands some over to who has fewer than the most.
    fn relieve(&mut self) {
        let mut closed = vec![false; self.led.len()];
        for n in self.layout.stay() {
            while self.count(n) > self.most[n as usize] && !closed[n as usize] {
                let chain = self.chain(n, Way::Gives, &mut closed, |this, other| this.count(other) < this.most[other as usize]);
                chain.into_iter().flatten().for_each(|(s, _, taker)| self.lead(s, taker));
            }
        }
    }

    /// The shortest chain of switch-overs between a host and one that is wanted, as (slice, host, next host). Where there
    /// is none, nobody whom it reached needs to be asked again: they are closed.
    fn chain(&self, from: N, way: Way, closed: &mut [bool], wanted: impl Fn(&Self, N) -> bool) -> Option<Vec<(usize, N, N)>> {
        let mut came: Vec<Option<(usize, N)>> = vec![None; self.led.len()];
        let mut queue = VecDeque::from([from]);
        let mut reached = vec![from];
        while let Some(n) = queue.pop_front() {
            let slices = if way == Way::Gives { &self.led[n as usize] } else { &self.on[n as usize] };
            for s in slices.iter().map(|s| *s as usize) {
                let others = if way == Way::Gives { &self.layout.now[s][..] } else { &self.of[s..=s] };
                for other in others {
                    if *other == from || came[*other as usize].is_some() || closed[*other as usize] {
                        continue;
                    }
                    came[*other as usize] = Some((s, n));
                    if wanted(self, *other) {
                        return Some(steps(&came, from, *other));
                    }
                    reached.push(*other);
                    queue.push_back(*other);
                }
            }
        }
        reached.into_iter().for_each(|n| closed[n as usize] = true);
        None
    }
}

fn steps(came: &[Option<(usize, N)>], from: N, to: N) -> Vec<(usize, N, N)> {
    let (mut steps, mut at) = (Vec::new(), to);
    while at != from {
        let (s, before) = came[at as usize].expect("every host of a chain was come to");
        steps.push((s, before, at));
        at = before;
    }
    steps
}
