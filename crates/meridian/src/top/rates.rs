//! What lies between two samples: rates, times of statements, and what they were before.
//!
//! Promises: a counter that went back (the node was started again) is a rate of zero, not a negative one; as much of the past is kept
//! as fits a line.

use super::sample::Sample;
use std::collections::VecDeque;

/// How many rates of the past are kept.
const HISTORY: usize = 120;

/// Two samples, and rates of the past.
#[derive(Debug, Default)]
pub struct Rates {
    before: Option<Sample>,
    now: Option<Sample>,
    /// Rows a second that were written, the newest last.
    pub written: VecDeque<f64>,
    /// Statements a second, the newest last.
    pub statements: VecDeque<f64>,
}

impl Rates {
    /// Takes a sample in.
    pub fn take(&mut self, sample: Sample) {
        self.before = self.now.replace(sample);
        if self.before.is_none() {
            return;
        }
        let rates = [self.rate("meridian_rows_written_total"), self.rate("meridian_statements_total")];
        for (history, rate) in [&mut self.written, &mut self.statements].into_iter().zip(rates) {
            history.push_back(rate);
            while history.len() > HISTORY {
                history.pop_front();
            }
        }
    }

    /// The newest sample.
    pub fn now(&self) -> Option<&Sample> {
        self.now.as_ref()
    }

    /// How much a counter grew a second; of several of a name, all together.
    pub fn rate(&self, name: &str) -> f64 {
        let (Some(before), Some(now)) = (&self.before, &self.now) else { return 0.0 };
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        if seconds <= 0.0 || !before.has(name) {
            return 0.0;
        }
        ((now.sum(name) - before.sum(name)) / seconds).max(0.0)
    }

    /// The time within which that part (0 to 1) of what a histogram counted in between lay, in seconds; None where it counted nothing.
    pub fn quantile(&self, histogram: &str, part: f64) -> Option<f64> {
        let (before, now) = (self.before.as_ref()?, self.now.as_ref()?);
        let name = format!("{histogram}_bucket");
        let bounds = |sample: &Sample| {
            let one = |(labels, count): (&str, f64)| {
                let bound = labels.split('"').nth(3)?;
                Some((if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? }, count))
            };
            let mut all: Vec<(f64, f64)> = sample.parts(&name).filter_map(one).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            all
        };
        let (old, new) = (bounds(before), bounds(now));
        let grown: Vec<(f64, f64)> =
            new.iter().enumerate().map(|(at, (bound, count))| (*bound, count - old.get(at).map_or(0.0, |old| old.1))).collect();
        let all = grown.last()?.1;
        if all <= 0.0 {
            return None;
        }
        let wanted = all * part;
        let (mut low, mut beneath) = (0.0, 0.0);
        for (bound, sum) in grown {
            if sum >= wanted {
                // Within a bucket they are taken to lie evenly, as Prometheus takes them; the last has no end.
                let width = if bound.is_finite() { bound - low } else { 0.0 };
                let share = if sum > beneath { (wanted - beneath) / (sum - beneath) } else { 1.0 };
                return Some(low + width * share);
            }
            (low, beneath) = (bound, sum);
        }
        None
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    pub fn sample(after: Duration, figures: &[(&str, f64)]) -> Sample {
        let figures: BTreeMap<String, f64> = figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Sample {
            at: crate::progress::now() + after,
            now: 1_767_225_600.0,
            figures,
            connections: Vec::new(),
            operations: Vec::new(),
            nodes: None,
            replicas: None,
        }
    }

    #[test]
    fn rates_are_of_all_of_a_name_and_never_negative() {
        let mut rates = Rates::default();
        let (first, second) = (Duration::ZERO, Duration::from_secs(2));
        rates.take(sample(first, &[("a{\"n\":\"1\"}", 10.0), ("a{\"n\":\"2\"}", 5.0), ("ab{}", 7.0), ("c{}", 9.0)]));
        assert_eq!((rates.rate("a"), rates.written.len()), (0.0, 0));
        rates.take(sample(second, &[("a{\"n\":\"1\"}", 30.0), ("a{\"n\":\"2\"}", 25.0), ("ab{}", 8.0), ("c{}", 1.0)]));
        assert!((rates.rate("a") - 20.0).abs() < 0.1, "{}", rates.rate("a"));
        assert_eq!((rates.rate("c"), rates.rate("nothing"), rates.written.len()), (0.0, 0.0, 1));
    }

    #[test]
    fn a_quantile_is_of_what_came_in_between() {
        let bucket = |bound: &str| format!("t_bucket{{\"le\":\"{bound}\"}}");
        let take = |counts: [f64; 3], after| {
            let names = [bucket("0.1"), bucket("1"), bucket("+Inf")];
            sample(after, &[(&names[0], counts[0]), (&names[1], counts[1]), (&names[2], counts[2])])
        };
        let mut rates = Rates::default();
        rates.take(take([100.0, 100.0, 100.0], Duration::ZERO));
        rates.take(take([100.0, 110.0, 110.0], Duration::from_secs(1)));
        let median = rates.quantile("t", 0.5).unwrap();
        assert!((median - 0.55).abs() < 1e-9, "{median}");
        rates.take(take([100.0, 110.0, 111.0], Duration::from_secs(2)));
        assert_eq!(rates.quantile("t", 0.99), Some(1.0), "no more is known than that it was longer");
        rates.take(take([100.0, 110.0, 111.0], Duration::from_secs(3)));
        assert_eq!(rates.quantile("t", 0.5), None);
    }
}
