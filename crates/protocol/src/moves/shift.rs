//! Moves, found one after the other, for fleets of any size.
//!
//! Promises: `force` leaves every slice with its copies, none on a host that leaves, as far apart as can be; `shed` and
//! `take` keep that, and end where nothing more can be moved from who has too much, or to who has too little, without
//! making another host uneven. What is moved for one host is fitted to what it needs. The order of hosts and slices
//! decides ties, so a question has one answer. It may not know of primaries.

use super::fewest::larger;
use super::layout::{Layout, N};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Bound;

/// Copies that must be dropped are dropped, copies that are missing are given to who has the most room.
pub(super) fn force(layout: &mut Layout) {
    for n in 0..layout.held.len() as N {
        if layout.leaves(n) {
            layout.held[n as usize] = 0;
        }
    }
    let mut missing: Vec<usize> = Vec::new();
    for s in 0..layout.bytes.len() {
        if !layout.may(&layout.now[s]) {
            let mut emptiest = layout.now[s].clone();
            emptiest.sort_by_key(|n| Reverse(layout.room(*n)));
            let kept = emptiest.iter().fold(Vec::new(), |set, n| larger(layout, set, *n));
            let dropped: Vec<N> = emptiest.into_iter().filter(|n| !kept.contains(n)).collect();
            dropped.into_iter().for_each(|n| layout.remove(s, n));
        }
        missing.extend(std::iter::repeat_n(s, layout.copies - layout.now[s].len()));
    }
    missing.sort_by_key(|s| (Reverse(layout.bytes[*s]), *s));
    let mut roomy: BTreeSet<(Reverse<i128>, N)> = layout.stay().map(|n| (Reverse(layout.room(n)), n)).collect();
    for s in missing {
        let to = roomy.iter().map(|(_, n)| *n).find(|n| layout.may_get(s, *n, None));
        let to = to.expect("as many hosts as copies, and what is there may be completed");
        roomy.remove(&(Reverse(layout.room(to)), to));
        layout.put(s, to);
        roomy.insert((Reverse(layout.room(to)), to));
    }
}

/// A move that was made.
#[derive(Clone, Copy, Debug)]
struct Move {
    s: usize,
    from: N,
    to: N,
}

/// Whom the moves of one pass serve.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Who has too much.
    Giver,
    /// Who has too little.
    Taker,
}

/// A layout, and what every host holds, by size.
struct Shift<'a> {
    layout: &'a mut Layout,
    on: Vec<BTreeSet<(u64, usize)>>,
    roomy: BTreeSet<(Reverse<i128>, N)>,
    /// Moves so far.
    made: u64,
}

impl Shift<'_> {
    fn new(layout: &mut Layout) -> Shift<'_> {
        let mut on: Vec<Vec<(u64, usize)>> = vec![Vec::new(); layout.held.len()];
        for (s, holders) in layout.now.iter().enumerate() {
            holders.iter().for_each(|n| on[*n as usize].push((layout.bytes[s], s)));
        }
        let on = on.into_iter().map(BTreeSet::from_iter).collect();
        let roomy = layout.stay().map(|n| (Reverse(layout.room(n)), n)).collect();
        Shift { layout, on, roomy, made: 0 }
    }

    fn carry_out(&mut self, Move { s, from, to }: Move) {
        let size = (self.layout.bytes[s], s);
        for n in [from, to] {
            self.roomy.remove(&(Reverse(self.layout.room(n)), n));
        }
        self.made += 1;
        self.layout.remove(s, from);
        self.layout.put(s, to);
        self.on[from as usize].remove(&size);
        self.on[to as usize].insert(size);
        for n in [from, to] {
            self.roomy.insert((Reverse(self.layout.room(n)), n));
        }
    }

    /// A copy costs its bytes only where it was not before.
    fn costs(&self, s: usize, to: N) -> bool {
        !self.layout.was[s].contains(&to)
    }

    fn may(&self, made: Move, bytes: u64) -> bool {
        let Move { s, from, to } = made;
        bytes <= self.layout.takes(to) && bytes <= self.layout.gives(from) && self.layout.may_get(s, to, Some(from))
    }

    /// The best receiver of a slice: who has the most room; who has too little, where that is asked.
    fn receiver(&self, s: usize, from: N, lacking: bool) -> Option<Move> {
        let bytes = self.layout.bytes[s];
        let has_room = |room: i128, n| if lacking { self.layout.lack(n) > 0 } else { room > 0 || self.layout.takes(n) >= bytes };
        let roomy = self.roomy.iter().take_while(|(room, n)| has_room(room.0, *n));
        roomy.map(|(_, to)| Move { s, from, to: *to }).find(|made| self.may(*made, bytes))
    }

    /// Slices that a host can give, those first that fit best into what is needed: the largest below, then the smallest
    /// above. While much is needed they begin anywhere, so that hosts which come together do not take the same slices.
    fn fitting(&self, n: N, need: u64) -> impl Iterator<Item = usize> + '_ {
        let (on, most) = (&self.on[n as usize], self.layout.gives(n));
        let largest = on.last().map_or(0, |(bytes, _)| *bytes);
        let mut pivot = (need.min(most), usize::MAX);
        if need.min(most) / 4 > largest
            && let Some((smallest, _)) = on.first()
        {
            let mixed = (self.made + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let within = |mixed: u64, span: u64| ((u128::from(mixed) * u128::from(span)) >> 64) as u64;
            pivot.0 = smallest + within(mixed, largest - smallest + 1);
            pivot.1 = within(mixed.rotate_left(32), self.layout.bytes.len() as u64) as usize;
        }
        let above = (pivot, (most.max(pivot.0), usize::MAX));
        on.range(..=pivot).rev().chain(on.range((Bound::Excluded(above.0), Bound::Included(above.1)))).map(|(_, s)| *s)
    }

    /// Whether no copy of a slice was moved yet.
    fn is_untouched(&self, s: usize) -> bool {
        self.layout.now[s].iter().all(|n| self.layout.was[s].contains(n))
    }

    /// Makes the moves of a host smaller, one by one, while they are together larger than they need to be.
    fn fit(&mut self, made: &[Move], whose: For) {
        for before in made {
            let (from, to) = (before.from, before.to);
            let over = match whose {
                For::Giver => self.layout.takes(from),
                For::Taker => self.layout.gives(to),
            };
            let bytes = self.layout.bytes[before.s];
            if over == 0 || !self.costs(before.s, to) {
                continue;
            }
            let undo = Move { s: before.s, from: to, to: from };
            let least = bytes.saturating_sub(over);
            let smaller: Vec<usize> = self.on[from as usize].range((least, 0)..(bytes, 0)).map(|(_, s)| *s).take(8).collect();
            self.carry_out(undo);
            let better = smaller.into_iter().map(|s| Move { s, from, to });
            let better = { better }.find(|made| self.layout.may_get(made.s, to, Some(from)));
            self.carry_out(better.unwrap_or(*before));
        }
    }
}

/// Who has too much gives.
pub(super) fn shed(layout: &mut Layout) {
    let mut shift = Shift::new(layout);
    let mut givers: Vec<N> = shift.layout.stay().filter(|n| shift.layout.excess(*n) > 0).collect();
    givers.sort_by_key(|n| (shift.layout.room(*n), *n));
    for from in givers {
        let mut made = Vec::new();
        while shift.layout.excess(from) > 0 {
            let need = shift.layout.excess(from);
            let any = |lacking| shift.fitting(from, need).find_map(|s| shift.receiver(s, from, lacking));
            let untouched = shift.fitting(from, need).filter(|s| shift.is_untouched(*s));
            let untouched = { untouched }.find_map(|s| shift.receiver(s, from, true));
            let Some(found) = untouched.or_else(|| any(true)).or_else(|| any(false)) else { break };
            shift.carry_out(found);
            made.push(found);
        }
        shift.fit(&made, For::Giver);
    }
}

/// Who has too little takes, from who has the most.
pub(super) fn take(layout: &mut Layout) {
    let mut shift = Shift::new(layout);
    let mut takers: Vec<N> = shift.layout.stay().filter(|n| shift.layout.lack(*n) > 0).collect();
    takers.sort_by_key(|n| (Reverse(shift.layout.room(*n)), *n));
    for to in takers {
        let mut made = Vec::new();
        // Hosts that have nothing for this one (any more).
        let mut barren: BTreeSet<N> = BTreeSet::new();
        while shift.layout.lack(to) > 0 {
            let need = shift.layout.lack(to);
            let fullest = shift.roomy.iter().rev().map(|(_, n)| *n).find(|n| *n != to && !barren.contains(n));
            let Some(from) = fullest else { break };
            let moves = || shift.fitting(from, need).map(|s| Move { s, from, to });
            let may = |made: &Move| shift.may(*made, shift.layout.bytes[made.s]);
            let untouched = moves().filter(|made| shift.is_untouched(made.s)).find(may);
            match untouched.or_else(|| moves().find(may)) {
                Some(found) => {
                    shift.carry_out(found);
                    made.push(found);
                }
                None => drop(barren.insert(from)),
            }
        }
        shift.fit(&made, For::Taker);
    }
}
