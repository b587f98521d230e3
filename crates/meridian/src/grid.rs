//! The grid data set: what an electricity grid's measuring points look like, made from a seed.
//!
//! Its shape (shares can be set by a mix): 40 % voltages (220 plus a mean-reverting walk, factor
//! 0.995, step sd 0.08, two decimals), 40 % powers (a base uniform in 5 to 500 plus a walk of the
//! same kind, step sd 0.4 % of the base, three decimals), 10 % constants (one decimal), 10 % on / off
//! states (flip 0.2 % a step); times of 10 % of the tags jitter by up to 50 ms, in whole
//! milliseconds; 0.1 % of qualities are not good.
//!
//! Promises: the same seed gives the same data, whatever the number of parts it is made in; what
//! was made can be asked for again (`expected`), so that answers are held against it; a sample costs
//! a few nanoseconds (the random numbers are a hash of seed, tag and step; normal deviates are
//! sums of four uniform ones).

use types::Kind;

/// Steps between two states kept for asking again.
const CHECKPOINT_STEPS: usize = 256;
const FACTOR: f64 = 0.995;
/// Deviation of the sum of four uniform numbers of 16 bits.
const FOUR_SD: f64 = 37_837.227_8;

/// What a tag measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A voltage.
    Voltage,
    /// A power.
    Power,
    /// A constant.
    Constant,
    /// An on / off state.
    State,
}

impl Class {
    /// The kind of its tags.
    pub fn kind(self) -> Kind {
        if self == Class::State { Kind::Bool } else { Kind::F64 }
    }

    /// The unit of its tags.
    pub fn unit(self) -> &'static str {
        match self {
            Class::Voltage => "kV",
            Class::Power => "MW",
            Class::Constant => "A",
            Class::State => "",
        }
    }

    /// A word for it in tags' names.
    pub fn word(self) -> &'static str {
        match self {
            Class::Voltage => "voltage",
            Class::Power => "power",
            Class::Constant => "rating",
            Class::State => "breaker",
        }
    }
}

/// What the whole data set is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// From which all randomness comes.
    pub seed: u64,
    /// Percent of voltages, powers, constants and states: together 100.
    pub mix: [u8; 4],
    /// Time of the first step, in microseconds.
    pub start_us: i64,
    /// From one step to the next, in microseconds.
    pub step_us: i64,
}

impl Shape {
    /// The mix of the data set as it is described.
    pub const MIX: [u8; 4] = [40, 40, 10, 10];

    /// What tag number `tag` measures. Classes are interleaved.
    pub fn class(&self, tag: u64) -> Class {
        let place = (tag.wrapping_mul(37) % 100) as u8;
        let [voltages, powers, constants, _] = self.mix;
        match place {
            p if p < voltages => Class::Voltage,
            p if p < voltages + powers => Class::Power,
            p if p < voltages + powers + constants => Class::Constant,
            _ => Class::State,
        }
    }

    /// The name of tag number `tag`.
    pub fn name(&self, prefix: &str, tag: u64) -> String {
        format!("{prefix}{:03}.{:06}.{}", tag / 1000, tag, self.class(tag).word())
    }

    fn jitters(&self, tag: u64) -> bool {
        hash(self.seed ^ 0x6A17, tag, u64::MAX).is_multiple_of(10)
    }

    fn base(&self, tag: u64) -> f64 {
        let part = hash(self.seed ^ 0xBA5E, tag, u64::MAX) as f64 / u64::MAX as f64;
        match self.class(tag) {
            Class::Voltage => 220.0,
            Class::Power => 5.0 + 495.0 * part,
            Class::Constant => ((50.0 + 950.0 * part) * 10.0).round() / 10.0,
            Class::State => f64::from(u8::from(part < 0.5)),
        }
    }
}

/// SplitMix64's last step over three numbers.
#[inline]
pub fn hash(seed: u64, tag: u64, step: u64) -> u64 {
    let mut z = seed.wrapping_add(tag.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(step.wrapping_mul(0xD1B5_4A32_D192_ED03));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Close to normal, mean 0, deviation 1.
#[inline]
fn deviate(bits: u64) -> f64 {
    let sum = (bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF) + (bits >> 48);
    (sum as f64 - 131_070.0) * (1.0 / FOUR_SD)
}

/// Columns of samples, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Numbers of tags.
    pub tags: Vec<u64>,
    /// Microseconds.
    pub times: Vec<i64>,
    /// Values; states as 0 and 1.
    pub values: Vec<f64>,
    /// Quality bytes.
    pub qualities: Vec<u8>,
}

impl Columns {
    /// Empty, with room for so many rows.
    pub fn with_room(rows: usize) -> Columns {
        Columns {
            tags: Vec::with_capacity(rows),
            times: Vec::with_capacity(rows),
            values: Vec::with_capacity(rows),
            qualities: Vec::with_capacity(rows),
        }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Microseconds.
    pub time: i64,
    /// Value.
    pub value: f64,
    /// Quality byte.
    pub quality: u8,
}

/// The data set's tags `first..first + count`, made step by step.
pub struct Part {
    shape: Shape,
    first: u64,
    bases: Vec<f64>,
    classes: Vec<Class>,
    jitters: Vec<bool>,
    walks: Vec<f64>,
    step: u64,
    checkpoints: Vec<Vec<f64>>,
}

impl Part {
    /// The part of these tags, before its first step.
    pub fn new(shape: Shape, first: u64, count: u64) -> Part {
        let tags = first..first + count;
        let classes: Vec<Class> = tags.clone().map(|tag| shape.class(tag)).collect();
        let bases: Vec<f64> = tags.clone().map(|tag| shape.base(tag)).collect();
        let walks = classes.iter().zip(&bases).map(|(class, base)| if *class == Class::State { *base } else { 0.0 }).collect();
        let jitters = tags.map(|tag| shape.jitters(tag)).collect();
        Part { shape, first, bases, classes, jitters, walks, step: 0, checkpoints: Vec::new() }
    }

    /// Steps made so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Its first tag.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// How many tags it has.
    pub fn tags(&self) -> u64 {
        self.bases.len() as u64
    }

    /// Makes the next step: one row a tag, added to the columns.
    pub fn next_step(&mut self, out: &mut Columns) {
        if (self.step as usize).is_multiple_of(CHECKPOINT_STEPS) {
            self.checkpoints.push(self.walks.clone());
        }
        for i in 0..self.bases.len() {
            let tag = self.first + i as u64;
            let mut walk = self.walks[i];
            let sample = self.sample(i, self.step, &mut walk);
            self.walks[i] = walk;
            out.tags.push(tag);
            out.times.push(sample.time);
            out.values.push(sample.value);
            out.qualities.push(sample.quality);
        }
        self.step += 1;
    }

    /// The state of a tag's walk after a step.
    #[inline]
    fn advance(&self, i: usize, step: u64, walk: f64) -> f64 {
        let bits = hash(self.shape.seed, self.first + i as u64, step);
        match self.classes[i] {
            Class::Voltage => walk * FACTOR + 0.08 * deviate(bits),
            Class::Power => walk * FACTOR + 0.004 * self.bases[i] * deviate(bits),
            Class::Constant => walk,
            Class::State if bits & 0xFFFF < 131 => 1.0 - walk,
            Class::State => walk,
        }
    }

    /// The sample of a step, given the walk before it; `walk` becomes the one after it.
    #[inline]
    fn sample(&self, i: usize, step: u64, walk: &mut f64) -> Sample {
        *walk = self.advance(i, step, *walk);
        let bits = hash(self.shape.seed, self.first + i as u64, step).wrapping_mul(0xF135_7AEA_2E62_A9C5);
        let value = match self.classes[i] {
            Class::Voltage => ((220.0 + *walk) * 100.0).round() / 100.0,
            Class::Power => ((self.bases[i] + *walk) * 1000.0).round() / 1000.0,
            Class::Constant => self.bases[i],
            Class::State => *walk,
        };
        let jitter = if self.jitters[i] { (((bits >> 32) * 101) >> 32) as i64 - 50 } else { 0 };
        let time = self.shape.start_us + self.shape.step_us * step as i64 + jitter * 1000;
        // 66 of 65,536 are 0.1 %.
        let quality = if (bits >> 16) & 0xFFFF < 66 { if bits & 1 == 0 { 0 } else { 64 } } else { 192 };
        Sample { time, value, quality }
    }

    /// The newest sample at or before a time, of a tag (by its number in the data set), among the
    /// steps that were made. None before the first.
    pub fn expected(&self, tag: u64, time: i64) -> Option<Sample> {
        let i = usize::try_from(tag - self.first).ok()?;
        // Jitter moves a sample by at most 50 ms, so with steps of a second only the neighbours count.
        let near = (time - self.shape.start_us).div_euclid(self.shape.step_us);
        let from = u64::try_from((near - 1).max(0)).ok()?.min(self.step.saturating_sub(2));
        let to = u64::try_from(near + 1).ok()?.min(self.step.checked_sub(1)?);
        let mut found = None;
        let mut walk = self.walk_before(i, from);
        for step in from..=to {
            let sample = self.sample(i, step, &mut walk);
            if sample.time <= time {
                found = Some(sample);
            }
        }
        found
    }

    fn walk_before(&self, i: usize, step: u64) -> f64 {
        let checkpoint = (step as usize / CHECKPOINT_STEPS).min(self.checkpoints.len() - 1);
        let mut walk = self.checkpoints[checkpoint][i];
        for step in (checkpoint * CHECKPOINT_STEPS) as u64..step {
            walk = self.advance(i, step, walk);
        }
        walk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { seed: 7, mix: Shape::MIX, start_us: 1_000_000_000, step_us: 1_000_000 };

    fn made(first: u64, count: u64, steps: u64) -> (Part, Columns) {
        let mut part = Part::new(SHAPE, first, count);
        let mut columns = Columns::default();
        for _ in 0..steps {
            part.next_step(&mut columns);
        }
        (part, columns)
    }

    #[test]
    fn parts_make_the_same_data_as_the_whole() {
        let (_, whole) = made(0, 50, 4);
        let (_, half) = made(25, 25, 4);
        for step in 0..4 {
            assert_eq!(whole.values[step * 50 + 25..(step + 1) * 50], half.values[step * 25..(step + 1) * 25]);
        }
    }

    #[test]
    fn what_was_made_can_be_asked_for_again() {
        let (part, columns) = made(100, 40, 700);
        for row in (0..columns.len()).step_by(13) {
            let expected = part.expected(columns.tags[row], columns.times[row]).unwrap();
            let sample = Sample { time: columns.times[row], value: columns.values[row], quality: columns.qualities[row] };
            assert_eq!(expected, sample, "row {row}");
        }
        assert_eq!(part.expected(100, SHAPE.start_us - 60_000), None);
        let last = part.expected(139, i64::MAX / 2).unwrap();
        assert_eq!(last.value, *columns.values.last().unwrap());
    }

    #[test]
    fn it_has_the_shape_described() {
        let (_, columns) = made(0, 2000, 100);
        let share = |of: usize| of as f64 / columns.len() as f64;
        let near =
            |value: f64, expected: f64, by: f64| assert!((value - expected).abs() <= by, "{value} is not about {expected}");
        near(share(columns.qualities.iter().filter(|q| **q != 192).count()), 0.001, 0.0005);
        let moved = columns.times.iter().filter(|time| *time % 1_000_000 != 0).count();
        near(share(moved), 0.1, 0.02);
        assert!(columns.times.iter().all(|time| time % 1000 == 0), "jitter is in whole milliseconds");
        let class = |row: usize| SHAPE.class(columns.tags[row]);
        for (wanted, part) in [(Class::Voltage, 0.4), (Class::Power, 0.4), (Class::Constant, 0.1), (Class::State, 0.1)] {
            near(share((0..columns.len()).filter(|row| class(*row) == wanted).count()), part, 1e-9);
        }
        let steps = |wanted: Class| -> Vec<f64> {
            (2000..columns.len())
                .filter(|row| class(*row) == wanted)
                .map(|row| columns.values[row] - columns.values[row - 2000])
                .collect()
        };
        let voltages = steps(Class::Voltage);
        near((voltages.iter().map(|step| step * step).sum::<f64>() / voltages.len() as f64).sqrt(), 0.08, 0.004);
        let flips = steps(Class::State);
        near(flips.iter().filter(|step| **step != 0.0).count() as f64 / flips.len() as f64, 0.002, 0.001);
        assert!(steps(Class::Constant).iter().all(|step| *step == 0.0));
    }
}
