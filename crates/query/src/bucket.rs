//! A token bucket: so many rows a second, and what one second brings at once.
//!
//! Promises: whoever takes rows is told how long to wait before they count; over any time from its first use on, what counts is at most
//! one second's rows more than the rate gives; nobody waits longer than that asks for, and who came first waits least. What is
//! taken and then given up can be given back. A rate that changes holds at once, also for whoever waits and asks again.
//! It may not know: whose rows they are, nor how somebody waits. Time is handed in.
//!
//! Shared state: the credit and when it was worked out, under one mutex.

use parking_lot::Mutex;

/// What a rate of a thousandth of a row a second brings in a microsecond.
const ROW: i128 = 1_000_000_000;
/// Of a rate.
const SECOND: i128 = 1_000_000;

#[derive(Clone, Copy, Debug)]
struct State {
    /// What may be taken at once, in billionths of a row; below zero: what others wait for.
    credit: i128,
    at_us: u64,
}

/// The bucket. Full at first.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    state: Mutex<Option<State>>,
    /// Whose turn it is: who waits for rows lets others wait behind, in order.
    pub turn: tokio::sync::Mutex<()>,
}

impl Bucket {
    /// Takes rows; the answer is for how many microseconds to wait before they count. `rate`: thousandths of a row a second that are
    /// in force, above 0.
    pub(crate) fn take(&self, rows: u64, rate: u64, now_us: u64) -> u64 {
        let (rate, full) = (i128::from(rate.max(1)), i128::from(rate.max(1)) * SECOND);
        let mut state = self.state.lock();
        let before = state.map_or(full, |state| {
            let grown = i128::from(now_us.saturating_sub(state.at_us)) * rate;
            (state.credit + grown).min(full)
        });
        let at_us = state.map_or(now_us, |state| state.at_us.max(now_us));
        let credit = before - i128::from(rows) * ROW;
        *state = Some(State { credit, at_us });
        if credit >= 0 {
            return 0;
        }
        let wait_us = (-credit + rate - 1) / rate;
        u64::try_from(wait_us).unwrap_or(u64::MAX)
    }

    /// Gives back rows that were taken and are not wanted any longer.
    pub(crate) fn give_back(&self, rows: u64) {
        if let Some(state) = self.state.lock().as_mut() {
            state.credit += i128::from(rows) * ROW;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that depend on a seed alone (SplitMix64).
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (mixed ^ (mixed >> 31)) % limit
        }
    }

    #[test]
    fn a_second_is_free_and_the_rest_takes_its_time() {
        let bucket = Bucket::default();
        assert_eq!(bucket.take(3_000, 1_000_000, 0), 2_000_000);
        assert_eq!(bucket.take(1, 1_000_000, 2_000_000), 1_000);
        // What an idle time brings is one second's at most.
        assert_eq!(bucket.take(1_000, 1_000_000, 3_600_000_000), 0);
        assert_eq!(bucket.take(1, 1_000_000, 3_600_000_000), 1_000);
        bucket.give_back(1);
        assert_eq!(bucket.take(1, 1_000_000, 3_600_000_000), 1_000);
        // A rate that has changed holds from the next on.
        assert_eq!(bucket.take(9, 10_000, 3_600_000_000), 1_000_000);
        // Nothing more is taken: how long it is still to be waited for, at the rate that is in force by then.
        assert_eq!(bucket.take(0, 10_000, 3_600_500_000), 500_000);
        assert_eq!(bucket.take(0, 1_000_000, 3_600_500_000), 5_000);
        assert_eq!(Bucket::default().take(u64::MAX, 1, 0), u64::MAX);
    }

    /// Whatever comes when: no more counts by any moment than the rate allows, no wait is longer than that needs, and what is given
    /// back is as if it had never been taken.
    #[test]
    fn no_more_counts_than_the_rate_allows_and_none_waits_in_vain() {
        for seed in 0..500 {
            let mut dice = Dice(seed);
            let rate = [1, 7, 1_000, 50_000, 10_000_000][dice.below(5) as usize];
            let (bucket, mut now_us, mut sum, mut last_us) = (Bucket::default(), dice.below(1 << 40), 0_u64, 0);
            let (began_us, most) = (now_us, 1 + dice.below(3 * rate));
            // When a bucket without takers would be full again; and what may not be waited for longer than.
            let mut due_us = now_us as f64 - 1e6;
            for _ in 0..200 {
                now_us += if dice.below(4) == 0 { dice.below(3_000_000) } else { dice.below(20_000) };
                let rows = 1 + dice.below(most);
                if dice.below(5) == 0 {
                    bucket.take(rows, rate * 1_000, now_us);
                    bucket.give_back(rows);
                    continue;
                }
                let counts_us = now_us + bucket.take(rows, rate * 1_000, now_us);
                sum += rows;
                let allowed = rate as f64 * (1.0 + (counts_us - began_us) as f64 / 1e6);
                assert!(sum as f64 <= allowed + 1.0, "seed {seed}: {sum} rows, {allowed} allowed");
                assert!(counts_us >= last_us, "seed {seed}: one that came later waits less");
                due_us = due_us.max(now_us as f64 - 1e6) + rows as f64 * 1e6 / rate as f64;
                assert!(counts_us as f64 <= due_us.max(now_us as f64) + 2.0, "seed {seed}: {counts_us}, due {due_us}");
                last_us = counts_us;
            }
        }
    }
}
