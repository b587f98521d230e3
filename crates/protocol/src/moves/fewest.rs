//! The fewest bytes that any plan can move which keeps the promises and is even.
//!
//! Promises: a lower bound, never above the truth: copies that nobody can keep must be made anew; what hosts have too
//! much must go, what they lack must come: a slice at least, and a multiple of what all slices' sizes are multiples of.
//! It may not know how plans are made.

use super::layout::{Layout, N};

/// The bound, for a layout from which nothing was moved yet.
pub(super) fn of(layout: &Layout) -> u64 {
    let unit = layout.bytes.iter().copied().fold(0, gcd).max(1);
    let smallest = layout.bytes.iter().copied().min().unwrap_or(0);
    let up = |bytes: u64| if bytes == 0 { 0 } else { bytes.max(smallest).div_ceil(unit) * unit };
    let mut forced = 0;
    // What a host holds at the least, and at the most, before anything is moved to it.
    let mut least = vec![0; layout.held.len()];
    let mut most = vec![0; layout.held.len()];
    for (s, was) in layout.was.iter().enumerate() {
        let bytes = layout.bytes[s];
        // Sets that may stand together are a matroid's, so any order finds a largest one.
        let kept = was.iter().fold(Vec::new(), |set, n| larger(layout, set, *n));
        forced += bytes * (layout.copies - kept.len()) as u64;
        for n in was {
            most[*n as usize] += bytes;
            if kept.len() == was.len() {
                least[*n as usize] += bytes;
            }
        }
    }
    let out: u64 = layout.stay().map(|n| up(layout.excess_of(n, least[n as usize]))).sum();
    let in_: u64 = layout.stay().map(|n| up(layout.lack_of(n, most[n as usize]))).sum();
    (forced + out).max(in_)
}

/// The set with a host more, where they may stand together.
pub(super) fn larger(layout: &Layout, mut set: Vec<N>, n: N) -> Vec<N> {
    set.push(n);
    if !layout.may(&set) {
        set.pop();
    }
    set
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
