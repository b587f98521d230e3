//! Which times can still be among the newest (or oldest) n of all rows read so far.

use super::node::Edge;
use std::collections::BinaryHeap;
use types::{TimeRange, Timestamp};

/// The n times nearest to the edge, of those seen.
pub(super) struct Newest {
    edge: Edge,
    /// How far each lies from the edge (older is further, where the newest are wanted): the furthest on top.
    times: BinaryHeap<i64>,
}

impl Newest {
    pub(super) fn new(edge: Edge) -> Self {
        Newest { edge, times: BinaryHeap::new() }
    }

    fn distance(&self, time: i64) -> i64 {
        // Both ends of time have a distance: !t = -t - 1 turns the order round without overflow.
        if self.edge.newest { !time } else { time }
    }

    /// Rows were read.
    pub(super) fn add(&mut self, times: &[i64]) {
        for time in times {
            let distance = self.distance(*time);
            if self.times.len() < self.edge.rows {
                self.times.push(distance);
            } else if self.times.peek().is_some_and(|furthest| distance < *furthest) {
                self.times.pop();
                self.times.push(distance);
            }
        }
    }

    /// In which range a row must lie to be wanted beside those.
    pub(super) fn range(&self) -> TimeRange {
        let full = self.times.len() >= self.edge.rows;
        let Some(furthest) = self.times.peek().filter(|_| full) else { return TimeRange::ALL };
        let nothing = TimeRange { first: Timestamp::MAX, last: Timestamp::MIN };
        let within = if self.edge.ties { Some(*furthest) } else { furthest.checked_sub(1) };
        let Some(within) = within else { return nothing };
        if self.edge.newest {
            TimeRange { first: Timestamp(!within), last: Timestamp::MAX }
        } else {
            TimeRange { first: Timestamp::MIN, last: Timestamp(within) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_narrows_to_the_nth() {
        let mut newest = Newest::new(Edge { rows: 2, newest: true, ties: true });
        newest.add(&[5]);
        assert_eq!(newest.range(), TimeRange::ALL);
        newest.add(&[9, 1, 7, 7]);
        assert_eq!(newest.range().first, Timestamp(7));
        let mut alone = Newest::new(Edge { rows: 1, newest: true, ties: false });
        alone.add(&[i64::MAX]);
        assert!(alone.range().is_empty());
        let mut oldest = Newest::new(Edge { rows: 2, newest: false, ties: false });
        oldest.add(&[5, i64::MIN, 8]);
        assert_eq!(oldest.range().last, Timestamp(4));
    }
}
