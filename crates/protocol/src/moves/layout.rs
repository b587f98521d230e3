//! Where the copies lie while a plan is made: hosts and slices by place in the question.
//!
//! Promises: a host holds a slice once; `held` is what its copies take. `may` says which hosts may hold a slice
//! together: as far apart as there are regions and racks, or still able to become so with the copies that are missing.

use super::shares::{self, Spread};
use super::{Host, Placed, Wish};
use std::collections::{BTreeMap, BTreeSet};
use types::NodeId;

/// A host by its place.
pub(super) type N = u32;

/// The copies, and what is even.
pub(super) struct Layout {
    /// Copies that each slice is to have.
    pub(super) copies: usize,
    /// What a copy of each slice takes, at least 1.
    pub(super) bytes: Vec<u64>,
    /// Who held it first, of those that stay.
    pub(super) was: Vec<Vec<N>>,
    /// Who is to hold it.
    pub(super) now: Vec<Vec<N>>,
    /// Who is its primary, where that is a host which stays.
    pub(super) primary: Vec<Option<N>>,
    /// What each host holds. At first those that leave are counted too.
    pub(super) held: Vec<u64>,
    /// What it should.
    pub(super) share: Vec<u64>,
    /// Its share in copies a slice.
    pub(super) part: Vec<f64>,
    low: Vec<u64>,
    high: Vec<u64>,
    leaves: Vec<bool>,
    /// Region and rack of each host, as numbers; racks of two regions have two numbers.
    region: Vec<u32>,
    rack: Vec<u32>,
    spread: Spread,
}

impl Layout {
    pub(super) fn new(hosts: &[Host], slices: &[Placed], wish: Wish) -> Layout {
        let copies = (wish.copies as usize).min(hosts.iter().filter(|host| !host.leaves).count());
        let (part, spread) = shares::of(hosts, copies);
        let bytes: Vec<u64> = slices.iter().map(|placed| placed.bytes.max(1)).collect();
        let (all, largest) = (bytes.iter().sum::<u64>(), bytes.iter().copied().max().unwrap_or(0));
        let share: Vec<u64> = part.iter().map(|part| (part * all as f64).round() as u64).collect();
        let slack = |share: u64| largest.max((u128::from(share) * u128::from(wish.tolerance_permille) / 1_000) as u64);
        let places: BTreeMap<NodeId, N> = hosts.iter().enumerate().map(|(n, host)| (host.id, n as N)).collect();
        let regions: BTreeSet<&str> = hosts.iter().map(|host| host.region.as_str()).collect();
        let racks: BTreeSet<(&str, &str)> = hosts.iter().map(|host| (host.region.as_str(), host.rack.as_str())).collect();
        let regions: BTreeMap<&str, u32> = regions.into_iter().zip(0..).collect();
        let racks: BTreeMap<(&str, &str), u32> = racks.into_iter().zip(0..).collect();
        let mut layout = Layout {
            copies,
            was: Vec::with_capacity(slices.len()),
            now: Vec::new(),
            primary: Vec::with_capacity(slices.len()),
            held: vec![0; hosts.len()],
            low: share.iter().map(|share| share.saturating_sub(slack(*share))).collect(),
            high: share.iter().map(|share| share + slack(*share)).collect(),
            leaves: hosts.iter().map(|host| host.leaves).collect(),
            region: hosts.iter().map(|host| regions[host.region.as_str()]).collect(),
            rack: hosts.iter().map(|host| racks[&(host.region.as_str(), host.rack.as_str())]).collect(),
            spread,
            share,
            part,
            bytes,
        };
        for (s, placed) in slices.iter().enumerate() {
            let known = placed.holders.iter().filter_map(|id| places.get(id).copied());
            let mut was: Vec<N> = Vec::with_capacity(copies);
            for n in known.clone() {
                if !was.contains(&n) {
                    was.push(n);
                    layout.held[n as usize] += layout.bytes[s];
                }
            }
            let primary = placed.holders.first().and_then(|id| places.get(id).copied());
            layout.primary.push(primary.filter(|n| !layout.leaves[*n as usize]));
            was.retain(|n| !layout.leaves[*n as usize]);
            layout.was.push(was);
        }
        layout.now = layout.was.clone();
        layout
    }

    /// Hosts that stay.
    pub(super) fn stay(&self) -> impl Iterator<Item = N> + Clone + '_ {
        (0..self.leaves.len() as N).filter(|n| !self.leaves[*n as usize])
    }

    pub(super) fn leaves(&self, n: N) -> bool {
        self.leaves[n as usize]
    }

    /// Whether a host holds what it should, within the tolerance.
    pub(super) fn is_even(&self, n: usize) -> bool {
        self.excess(n as N) == 0 && self.lack(n as N) == 0
    }

    /// What a host holds beyond the tolerance.
    pub(super) fn excess(&self, n: N) -> u64 {
        self.excess_of(n, self.held[n as usize])
    }

    pub(super) fn excess_of(&self, n: N, held: u64) -> u64 {
        held.saturating_sub(self.high[n as usize])
    }

    /// What a host lacks to be within the tolerance.
    pub(super) fn lack(&self, n: N) -> u64 {
        self.lack_of(n, self.held[n as usize])
    }

    pub(super) fn lack_of(&self, n: N, held: u64) -> u64 {
        self.low[n as usize].saturating_sub(held)
    }

    /// What a host can get and be within the tolerance.
    pub(super) fn takes(&self, n: N) -> u64 {
        self.high[n as usize].saturating_sub(self.held[n as usize])
    }

    /// What a host can give and be within the tolerance.
    pub(super) fn gives(&self, n: N) -> u64 {
        self.held[n as usize].saturating_sub(self.low[n as usize])
    }

    /// How far a host is below its share.
    pub(super) fn room(&self, n: N) -> i128 {
        i128::from(self.share[n as usize]) - i128::from(self.held[n as usize])
    }

    /// What all hosts that stay are beyond the tolerance, together: 0 = even.
    pub(super) fn unevenness(&self) -> u64 {
        self.stay().map(|n| self.excess(n) + self.lack(n)).sum()
    }

    /// What is moved so far.
    pub(super) fn moved(&self) -> u64 {
        let new = |s: usize| self.now[s].iter().filter(|n| !self.was[s].contains(n)).count() as u64;
        (0..self.bytes.len()).map(|s| new(s) * self.bytes[s]).sum()
    }

    /// Whether these hosts may hold a slice together, or could with the copies that are missing. None stands twice.
    pub(super) fn may(&self, set: &[N]) -> bool {
        self.may_all(set.len(), || set.iter().copied())
    }

    fn may_all<I: Iterator<Item = N>>(&self, count: usize, set: impl Fn() -> I) -> bool {
        if count > self.copies {
            return false;
        }
        let distinct = |of: &[u32]| {
            let known = |i: usize, n: N| set().take(i).any(|other| of[other as usize] == of[n as usize]);
            set().enumerate().filter(|(i, n)| !known(*i, *n)).count()
        };
        let missing = self.copies - count;
        missing + distinct(&self.region) >= self.copies.min(self.spread.regions)
            && missing + distinct(&self.rack) >= self.copies.min(self.spread.racks)
    }

    /// Whether a host may get a copy of a slice, in the place of another one's.
    pub(super) fn may_get(&self, s: usize, to: N, from: Option<N>) -> bool {
        let now = &self.now[s];
        if self.leaves(to) || now.contains(&to) {
            return false;
        }
        let others = || now.iter().copied().filter(|n| Some(*n) != from);
        if self.spread.racks == 1 {
            return true;
        }
        if self.copies <= self.spread.regions {
            // Each copy has a region of its own.
            return others().all(|n| self.region[n as usize] != self.region[to as usize]);
        }
        self.may_all(now.len() + 1 - usize::from(from.is_some()), || others().chain([to]))
    }

    pub(super) fn put(&mut self, s: usize, n: N) {
        self.now[s].push(n);
        self.held[n as usize] += self.bytes[s];
    }

    pub(super) fn remove(&mut self, s: usize, n: N) {
        self.now[s].retain(|other| *other != n);
        self.held[n as usize] -= self.bytes[s];
    }

    /// Replaces all holders of a slice.
    pub(super) fn set(&mut self, s: usize, holders: &[N]) {
        for n in std::mem::take(&mut self.now[s]) {
            self.held[n as usize] -= self.bytes[s];
        }
        holders.iter().for_each(|n| self.put(s, *n));
    }
}
