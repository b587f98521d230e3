//! An exact solver for small fleets: it tries every set of hosts for every slice.
//!
//! It shares nothing with the planner but the words: what is even, it takes from the plan's own shares, which are
//! checked by themselves.

use super::fleets::Fleet;
use protocol::moves::plan;
use std::collections::BTreeSet;

/// A host that stays: its bit, and how little and how much it may hold.
struct Bounds {
    bit: u32,
    low: u64,
    high: u64,
}

/// The question.
pub struct Solver {
    bounds: Vec<Bounds>,
    /// For each slice: its bytes, and the hosts that hold it now.
    slices: Vec<(u64, u32)>,
    /// Sets of hosts that are as far apart as can be.
    sets: Vec<u32>,
    held: Vec<u64>,
    best: Option<u64>,
}

impl Solver {
    pub fn new(fleet: &Fleet) -> Solver {
        let stay: Vec<usize> = (0..fleet.hosts.len()).filter(|n| !fleet.hosts[*n].leaves).collect();
        let copies = (fleet.wish.copies as usize).min(stay.len());
        let apart = |nodes: &[usize]| {
            let regions: BTreeSet<&String> = nodes.iter().map(|n| &fleet.hosts[*n].region).collect();
            let racks: BTreeSet<(&String, &String)> =
                nodes.iter().map(|n| (&fleet.hosts[*n].region, &fleet.hosts[*n].rack)).collect();
            (regions.len().min(copies), racks.len().min(copies))
        };
        let chosen = |set: u32| stay.iter().copied().filter(|n| set >> n & 1 == 1).collect::<Vec<_>>();
        let all = stay.iter().fold(0, |all, n| all | 1 << n);
        let fits = |set: &u32| set & !all == 0 && set.count_ones() as usize == copies && apart(&chosen(*set)) == apart(&stay);
        let sets = (0..1 << fleet.hosts.len()).filter(fits).collect();
        let slices = fleet.slices.iter().map(|placed| {
            let hosts = fleet.hosts.iter().enumerate().filter(|(_, host)| placed.holders.contains(&host.id));
            (placed.bytes, hosts.fold(0, |set, (n, _)| set | 1 << n))
        });
        let slices: Vec<(u64, u32)> = slices.collect();
        let largest = slices.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0);
        let shares = plan(&fleet.hosts, &fleet.slices, fleet.wish).expect("the question makes sense").loads;
        let bound = |n: &usize| {
            let share = shares[*n].bytes_share;
            let slack = largest.max(share * u64::from(fleet.wish.tolerance_permille) / 1_000);
            Bounds { bit: *n as u32, low: share.saturating_sub(slack), high: share + slack }
        };
        Solver { bounds: stay.iter().map(bound).collect(), held: vec![0; stay.len()], slices, sets, best: None }
    }

    /// The fewest bytes that make it even; none where nothing does.
    pub fn least_bytes(mut self) -> Option<u64> {
        self.go_on(0, 0);
        self.best
    }

    fn go_on(&mut self, slice: usize, moved: u64) {
        if self.best.is_some_and(|best| moved >= best) || self.bounds.iter().zip(&self.held).any(|(b, held)| *held > b.high) {
            return;
        }
        let Some((bytes, here)) = self.slices.get(slice).copied() else {
            if self.bounds.iter().zip(&self.held).all(|(b, held)| *held >= b.low) {
                self.best = Some(moved);
            }
            return;
        };
        for set in self.sets.clone() {
            let change = |held: &mut u64, bit: u32, add: bool| {
                if set >> bit & 1 == 1 {
                    *held = if add { *held + bytes } else { *held - bytes };
                }
            };
            self.bounds.iter().zip(&mut self.held).for_each(|(b, held)| change(held, b.bit, true));
            self.go_on(slice + 1, moved + bytes * u64::from((set & !here).count_ones()));
            self.bounds.iter().zip(&mut self.held).for_each(|(b, held)| change(held, b.bit, false));
        }
    }
}
