//! Which samples of one tag are left out: deadband and swinging door, without I/O, clock or commits.
//!
//! The newest sample is always there ("held"). When a newer one comes, it is kept or left out:
//! Deadband: it is left out if it differed from the newest one kept before it (the "anchor") by the deviation
//! or less, had its quality, and was less than the longest gap newer.
//! Swinging door: it is left out if every sample that was left out since the one kept before (the
//! "anchor") lies, as it does itself, within the deviation of the line from the anchor to the newer one, which is
//! at most the longest gap newer and has their quality. Each sample
//! allows the line slopes from (value - deviation - anchor) / time to (value + deviation - anchor) / time; what
//! all of them allow is kept as the lowest and the highest slope, so a sample costs the same however many were
//! left out.
//!
//! Promises, for samples that come in order of time: of a deadband a sample left out is within the deviation of
//! the one kept before it; of a swinging door within the deviation (and the rounding of doubles) of the line
//! between the ones kept before and after it. A sample older than the newest is left out where the line that
//! is open allows it, and kept else; one at the newest one's time is always kept;
//! so are the first, and the first of each quality; a NaN or an infinity is kept (a deadband leaves out its
//! repetitions), and integers whose difference from the anchor doubles can't hold (2^53).
//! May not know: where samples lie, what is durable, other tags.

use types::{Compression, Kind, Quality, Timestamp};

/// Integers up to this one are doubles.
const EXACT_MAX: u64 = 1 << 53;

/// A sample of a numeric kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) time: Timestamp,
    pub(crate) bits: u64,
    pub(crate) quality: Quality,
}

/// Stretches of time that are thinned apart from each other: where the distribution rule looks at time,
/// neighbours of a slice's samples may lie in other slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) day_us: i64,
    pub(crate) days: u64,
}

/// What holds for a tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) kind: Kind,
    pub(crate) compression: Compression,
    pub(crate) stretch: Option<Stretch>,
}

/// Microseconds from one time to a later one.
fn micros(from: Timestamp, to: Timestamp) -> u64 {
    to.0.wrapping_sub(from.0) as u64
}

impl Rule {
    /// Whether a longest gap allows two samples to be this far apart.
    fn is_near(span_us: i64, apart_us: u64) -> bool {
        span_us == 0 || apart_us <= span_us.unsigned_abs()
    }

    /// Whether nothing but values can part them: same quality, same stretch of time.
    fn belong_together(&self, a: Sample, b: Sample) -> bool {
        let stretch = |time: Timestamp| {
            self.stretch.map(|part| i128::from(time.0.div_euclid(part.day_us)).div_euclid(i128::from(part.days)))
        };
        a.quality == b.quality && stretch(a.time) == stretch(b.time)
    }

    /// How much higher the second is, where a double can tell.
    fn rise(&self, from: Sample, to: Sample) -> Option<f64> {
        if self.kind.is_integer() {
            let (from, to) = (from.bits as i64, to.bits as i64);
            let apart = to.abs_diff(from);
            return (apart <= EXACT_MAX).then(|| if to < from { -(apart as f64) } else { apart as f64 });
        }
        let rise = self.kind.bits_to_f64(to.bits) - self.kind.bits_to_f64(from.bits);
        rise.is_finite().then_some(rise)
    }

    /// Whether a deadband may leave out `next` behind `anchor`, the newest one kept.
    fn repeats(&self, deviation: f64, span_us: i64, anchor: Sample, next: Sample) -> bool {
        self.belong_together(anchor, next)
            && Rule::is_near(span_us, micros(anchor.time, next.time).saturating_add(1))
            && (anchor.bits == next.bits || self.is_close(deviation, anchor, next))
    }

    fn is_close(&self, deviation: f64, anchor: Sample, next: Sample) -> bool {
        match self.kind {
            Kind::Bool | Kind::State | Kind::Text => false,
            // Whole numbers compare as such; the conversion stops at the largest u64.
            Kind::I32 | Kind::I64 => (next.bits as i64).abs_diff(anchor.bits as i64) <= deviation.floor() as u64,
            Kind::F32 | Kind::F64 => self.rise(anchor, next).is_some_and(|rise| rise.abs() <= deviation),
        }
    }
}

/// The line from an anchor, and what the samples left out since then allow of it. Of a deadband it is level.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    anchor: Sample,
    low: f64,
    high: f64,
}

impl Line {
    fn from(anchor: Sample) -> Line {
        Line { anchor, low: f64::NEG_INFINITY, high: f64::INFINITY }
    }

    /// Whether the line may end at `next`, so that all before it can be left out.
    fn reaches(&self, rule: &Rule, next: Sample) -> bool {
        let Compression::SwingingDoor { span_us, .. } = rule.compression else { return true };
        let apart = micros(self.anchor.time, next.time);
        let slope = rule.rise(self.anchor, next).map(|rise| rise / apart as f64);
        rule.belong_together(self.anchor, next)
            && Rule::is_near(span_us, apart)
            && slope.is_some_and(|slope| self.low <= slope && slope <= self.high)
    }

    /// The line that `next` may be left out of, later.
    fn through(self, rule: &Rule, next: Sample) -> Option<Line> {
        match rule.compression {
            Compression::Lossless => None,
            Compression::Deadband { deviation, span_us } => rule.repeats(deviation, span_us, self.anchor, next).then_some(self),
            Compression::SwingingDoor { deviation, .. } => {
                let (rise, apart) = (rule.rise(self.anchor, next)?, micros(self.anchor.time, next.time) as f64);
                let (low, high) = (self.low.max((rise - deviation) / apart), self.high.min((rise + deviation) / apart));
                rule.belong_together(self.anchor, next).then_some(Line { low, high, ..self })
            }
        }
    }
}

/// Where a tag stands in the order of writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Door {
    /// The newest sample that is there.
    newest: Sample,
    /// Whether it is held.
    held: bool,
    /// What the newest sample may be left out of: None where it is to be kept, once a newer one comes.
    line: Option<Line>,
}

/// What is decided when a sample comes: of itself, or of the one that was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// This one is kept for good.
    Kept(Sample),
    /// One is left out.
    LeftOut,
    /// Nothing: no sample was held.
    Open,
}

impl Door {
    /// A tag whose newest sample is known and stands for good.
    pub(crate) fn standing(newest: Sample) -> Door {
        Door { newest, held: false, line: None }
    }

    /// A tag whose first sample is held.
    pub(crate) fn first(newest: Sample) -> Door {
        Door { newest, held: true, line: None }
    }

    /// The newest sample that is there.
    pub(crate) fn newest(&self) -> Sample {
        self.newest
    }

    /// The sample that is held.
    pub(crate) fn held(&self) -> Option<Sample> {
        self.held.then_some(self.newest)
    }

    /// The earliest time at which a change of what is there would touch what was decided.
    pub(crate) fn since(&self) -> Timestamp {
        self.line.map_or(self.newest.time, |line| line.anchor.time)
    }

    /// Takes the next sample in the order of writes.
    pub(crate) fn take(&mut self, rule: &Rule, next: Sample) -> Fate {
        if next.time < self.newest.time {
            return self.take_late(rule, next);
        }
        if next.time == self.newest.time {
            *self = Door::standing(next);
            return Fate::Kept(next);
        }
        let before = self.newest;
        let reached = self.line.filter(|line| self.held && line.reaches(rule, next));
        let fate = match (self.held, reached) {
            (true, Some(_)) => Fate::LeftOut,
            (true, None) => Fate::Kept(before),
            (false, _) => Fate::Open,
        };
        let line = reached.unwrap_or(Line::from(before)).through(rule, next);
        *self = Door { newest: next, held: true, line };
        fate
    }

    /// A sample that is older than the newest. Between that and the anchor it is left out where the line allows it, as
    /// if it had come in its turn; else the line ends, for what was left out is not to be told by one that is parted.
    fn take_late(&mut self, rule: &Rule, late: Sample) -> Fate {
        let Some(line) = self.line.filter(|line| line.anchor.time <= late.time) else { return Fate::Kept(late) };
        let apart = line.anchor.time < late.time;
        self.line = line.through(rule, late).filter(|line| apart && line.reaches(rule, self.newest));
        if self.line.is_some() { Fate::LeftOut } else { Fate::Kept(late) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use world::SeededRandom;

    const EXTREMES: [f64; 6] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -f64::MAX, -0.0];

    fn value(dice: &SeededRandom, kind: Kind, walk: &mut i64) -> u64 {
        if !dice.one_in(3) {
            *walk += dice.between(0, 2) as i64 - 1;
        }
        match kind {
            Kind::F64 if dice.one_in(30) => EXTREMES[dice.between(0, 5) as usize].to_bits(),
            Kind::F64 => (*walk as f64 + dice.between(0, 9) as f64 / 10.0).to_bits(),
            Kind::F32 => u64::from((*walk as f32 / 3.0).to_bits()),
            Kind::I64 if dice.one_in(30) => dice.next(),
            Kind::I64 => ((1_i64 << 61) + *walk) as u64,
            _ => *walk as u64,
        }
    }

    /// What is kept of samples that come in order, and those left out.
    fn run(rule: &Rule, samples: &[Sample]) -> (Vec<Sample>, u64) {
        let (mut kept, mut left_out) = (Vec::new(), 0);
        let mut door = Door::first(samples[0]);
        for sample in &samples[1..] {
            match door.take(rule, *sample) {
                Fate::Kept(sample) => kept.push(sample),
                Fate::LeftOut => left_out += 1,
                Fate::Open => panic!("something is held from the first sample on"),
            }
        }
        kept.extend(door.held());
        (kept, left_out)
    }

    fn check(rule: &Rule, samples: &[Sample], kept: &[Sample]) {
        assert!(kept.is_sorted_by(|a, b| a.time < b.time));
        for sample in samples {
            let after = kept.partition_point(|other| other.time < sample.time);
            if kept.get(after) == Some(sample) {
                continue;
            }
            let before = kept[after - 1];
            let here = rule.rise(before, *sample);
            let (deviation, off, last) = match rule.compression {
                Compression::SwingingDoor { deviation, .. } => {
                    let next = kept[after];
                    assert_eq!(next.quality, sample.quality);
                    let (here, there) = (here.expect("apart by what doubles hold"), rule.rise(before, next).expect("as above"));
                    let part = micros(before.time, sample.time) as f64 / micros(before.time, next.time) as f64;
                    let rounding = 1e-12 * (here.abs() + there.abs());
                    (deviation, (here - there * part).abs() - rounding, next.time)
                }
                Compression::Deadband { deviation, .. } => {
                    let off = match here {
                        _ if before.bits == sample.bits => 0.0,
                        Some(here) => here.abs(),
                        None => (before.bits as i64).abs_diff(sample.bits as i64) as f64,
                    };
                    (deviation, off, Timestamp(sample.time.0 + 1))
                }
                Compression::Lossless => panic!("nothing is left out"),
            };
            let (Compression::SwingingDoor { span_us, .. } | Compression::Deadband { span_us, .. }) = rule.compression else {
                continue;
            };
            assert!(off <= deviation, "{sample:?} is off by {off}: {rule:?}");
            assert!(span_us == 0 || micros(before.time, last) <= span_us as u64, "{sample:?}: {rule:?}");
            assert_eq!(before.quality, sample.quality);
        }
    }

    #[test]
    fn what_is_left_out_is_told_by_what_is_kept() {
        let mut left_out = 0;
        for seed in 0..3_000 {
            let dice = &SeededRandom::new(seed);
            let kind = [Kind::F64, Kind::F32, Kind::I64, Kind::I32][dice.between(0, 3) as usize];
            let deviation = [0.0, 0.4, 2.0, 1e300][dice.between(0, 3) as usize];
            let span_us = [0, 1, 20, 1_000][dice.between(0, 3) as usize];
            let compression = if dice.one_in(3) {
                Compression::Deadband { deviation, span_us }
            } else {
                Compression::SwingingDoor { deviation, span_us }
            };
            let stretch = dice.one_in(4).then_some(Stretch { day_us: 30, days: 2 });
            let rule = Rule { kind, compression, stretch };
            let (mut walk, mut time) = (50, if dice.one_in(5) { i64::MIN } else { 0 });
            let samples: Vec<Sample> = (0..dice.between(1, 200))
                .map(|row| {
                    time += if row == 0 {
                        0
                    } else if dice.one_in(50) {
                        i64::MAX / 200
                    } else {
                        dice.between(1, 4) as i64
                    };
                    let quality = if dice.one_in(30) { Quality::BAD } else { Quality::GOOD };
                    Sample { time: Timestamp(time), bits: value(dice, kind, &mut walk), quality }
                })
                .collect();
            let (kept, out) = run(&rule, &samples);
            assert_eq!(kept.len() as u64 + out, samples.len() as u64);
            check(&rule, &samples, &kept);
            left_out += out;
        }
        assert!(left_out > 50_000, "{left_out}");
    }

    #[test]
    fn a_line_and_a_level_keep_their_ends_only() {
        let sample = |time: i64, value: f64| Sample { time: Timestamp(time), bits: value.to_bits(), quality: Quality::GOOD };
        let rule = |compression| Rule { kind: Kind::F64, compression, stretch: None };
        let line: Vec<Sample> = (0..1_000).map(|at| sample(at, at as f64 * 0.5)).collect();
        let (kept, _) = run(&rule(Compression::SwingingDoor { deviation: 0.01, span_us: 0 }), &line);
        assert_eq!(kept, [line[0], line[999]]);
        let (kept, _) = run(&rule(Compression::SwingingDoor { deviation: 0.01, span_us: 100 }), &line);
        assert_eq!(kept.len(), 11, "one each hundred microseconds and the newest");
        // In disorder: what fits is left out as if it had come in its turn, and what does not is kept.
        let mut strewn = line.clone();
        strewn[1..].chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        strewn[502] = sample(501, 9.0);
        for (compression, wanted) in [
            (Compression::SwingingDoor { deviation: 0.01, span_us: 0 }, vec![line[0], strewn[502], line[502], line[999]]),
            (Compression::Deadband { deviation: 1_000.0, span_us: 0 }, vec![line[0], line[999]]),
        ] {
            let (mut kept, _) = run(&rule(compression), &strewn);
            kept.sort_by_key(|sample| sample.time);
            assert_eq!(kept, wanted);
        }
        let level: Vec<Sample> = (0..1_000).map(|at| sample(at, f64::NAN)).collect();
        let (kept, _) = run(&rule(Compression::Deadband { deviation: 0.0, span_us: 0 }), &level);
        assert_eq!(kept, [level[0], level[999]], "the newest is always there");
        let (kept, _) = run(&rule(Compression::SwingingDoor { deviation: 1.0, span_us: 0 }), &level);
        assert_eq!(kept, level, "there is no line between NaNs");
    }
}
