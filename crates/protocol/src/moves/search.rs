//! Exact search for small fleets: what was found step by step is replaced where a better layout exists.
//!
//! Promises: what it leaves is even where anything that it looked at is, and moves no more bytes than before; it looks at
//! `STEPS_MAX` choices at most, and only where slices and sets of hosts are few. It may not know how the first
//! layout was found.

use super::layout::{Layout, N};
use std::cmp::Reverse;

/// The most slices that it tries its hand at.
const SLICES_MAX: usize = 48;

/// The most sets of hosts that a slice may lie on.
const SETS_MAX: usize = 256;

/// The most choices that it looks at: some tens of milliseconds.
const STEPS_MAX: u64 = 400_000;

struct Search<'a> {
    layout: &'a mut Layout,
    /// Slices, the largest first.
    order: Vec<usize>,
    /// For each of them in that order: sets of hosts and what they cost, the cheapest first.
    choices: Vec<Vec<(u64, usize)>>,
    sets: Vec<Vec<N>>,
    /// The cheapest way for all slices from the nth on.
    rest: Vec<u64>,
    chosen: Vec<usize>,
    best: Option<(u64, Vec<usize>)>,
    bound: u64,
    steps: u64,
}

/// Replaces the layout by a better one, where one is found.
pub(super) fn improve(layout: &mut Layout, bytes_least: u64) {
    let (uneven, moved) = (layout.unevenness() > 0, layout.moved());
    if (!uneven && moved <= bytes_least) || layout.bytes.len() > SLICES_MAX {
        return;
    }
    let Some(sets) = sets(layout) else { return };
    let found = layout.now.clone();
    let mut order: Vec<usize> = (0..layout.bytes.len()).collect();
    order.sort_by_key(|s| (Reverse(layout.bytes[*s]), *s));
    let choices: Vec<Vec<(u64, usize)>> = order
        .iter()
        .map(|s| {
            let new = |set: &Vec<N>| set.iter().filter(|n| !layout.was[*s].contains(n)).count() as u64;
            let mut choices: Vec<(u64, usize)> = sets.iter().map(new).map(|new| new * layout.bytes[*s]).zip(0..).collect();
            choices.sort_unstable();
            choices
        })
        .collect();
    let mut rest = vec![0; order.len() + 1];
    for i in (0..order.len()).rev() {
        rest[i] = rest[i + 1] + choices[i][0].0;
    }
    // Hosts begin with what they had: a slice that is not decided yet counts as lying where it was.
    for s in 0..layout.bytes.len() {
        let was = layout.was[s].clone();
        layout.set(s, &was);
    }
    let bound = if uneven { u64::MAX } else { moved };
    let mut search = Search { layout, order, choices, sets, rest, chosen: Vec::new(), best: None, bound, steps: 0 };
    search.deepen(0);
    let (best, order, sets) = (search.best.take(), std::mem::take(&mut search.order), std::mem::take(&mut search.sets));
    match best {
        Some((_, chosen)) => order.iter().zip(chosen).for_each(|(s, set)| layout.set(*s, &sets[set])),
        None => found.iter().enumerate().for_each(|(s, holders)| layout.set(s, holders)),
    }
}

/// All sets of hosts that may hold a slice; none where they are too many.
fn sets(layout: &Layout) -> Option<Vec<Vec<N>>> {
    let mut sets: Vec<Vec<N>> = vec![Vec::new()];
    for n in layout.stay() {
        let larger: Vec<Vec<N>> =
            sets.iter().filter(|set| set.len() < layout.copies).map(|set| set.iter().copied().chain([n]).collect()).collect();
        sets.extend(larger);
        if sets.len() > SETS_MAX * 8 {
            return None;
        }
    }
    sets.retain(|set| set.len() == layout.copies && layout.may(set));
    (sets.len() <= SETS_MAX).then_some(sets)
}

impl Search<'_> {
    fn deepen(&mut self, depth: usize) {
        if depth == self.order.len() {
            if self.layout.unevenness() == 0 {
                self.bound = self.cost();
                self.best = Some((self.bound, self.chosen.clone()));
            }
            return;
        }
        let s = self.order[depth];
        let before = self.layout.now[s].clone();
        for i in 0..self.choices[depth].len() {
            let (_, set) = self.choices[depth][i];
            self.steps += 1;
            if self.steps > STEPS_MAX {
                break;
            }
            self.chosen.push(set);
            let hosts = self.sets[set].clone();
            self.layout.set(s, &hosts);
            let cost = self.cost();
            if cost + self.rest[depth + 1] >= self.bound {
                // The next choices cost no less.
                self.chosen.pop();
                break;
            }
            if cost + self.to_come(depth + 1) < self.bound {
                self.deepen(depth + 1);
            }
            self.chosen.pop();
        }
        self.layout.set(s, &before);
    }

    /// What the choices so far move.
    fn cost(&self) -> u64 {
        let price = |(depth, set): (usize, &usize)| {
            let s = self.order[depth];
            self.sets[*set].iter().filter(|n| !self.layout.was[s].contains(n)).count() as u64 * self.layout.bytes[s]
        };
        self.chosen.iter().enumerate().map(price).sum()
    }

    /// What the slices that are not decided must yet move at the least; more than any bound where they can't make it even.
    fn to_come(&self, decided: usize) -> u64 {
        let undecided: u64 = self.order[decided..].iter().map(|s| self.layout.bytes[*s]).sum();
        let (mut out, mut in_) = (0, 0);
        for n in self.layout.stay() {
            let (excess, lack) = (self.layout.excess(n), self.layout.lack(n));
            if excess.max(lack) > undecided {
                return u64::MAX / 2;
            }
            out += excess;
            in_ += lack;
        }
        // Where copies are missing or must go, what goes need not be what comes: only what comes costs.
        if self.order[decided..].iter().all(|s| self.layout.was[*s].len() == self.layout.copies) { out.max(in_) } else { in_ }
    }
}
