//! Statistics as the index holds them: integers of one form, from which the bits of a kind follow.
//!
//! Forms: integers as they are; decimals as their integers at a scale, so that sums are exact and
//! small to store; other floats as their order-preserving integers with a sum of doubles.
//! Promises: converting to a `Summary` gives the very bits that were written.

use super::decimals::{self, Exceptions};
use super::entry::{Statistics, Summary};
use types::{Kind, Quality, Timestamp};

/// How the integers of a summary stand for values. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Decimals of a float kind at this scale (0..=18).
    Decimal(u8),
    /// Integer kinds.
    Integer,
    /// Floats, in order of their bits; sums are the bits of a double.
    Float,
    /// No statistics.
    None,
}

impl Form {
    /// Its number on disk.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Form::Decimal(scale) => scale,
            Form::Integer => 100,
            Form::Float => 101,
            Form::None => 255,
        }
    }

    /// The form with that number, if it fits the kind.
    #[must_use]
    pub fn from_code(code: u8, kind: Kind) -> Option<Form> {
        let float = matches!(kind, Kind::F32 | Kind::F64);
        match code {
            0..=decimals::SCALE_MAX if float => Some(Form::Decimal(code)),
            100 if kind.is_integer() => Some(Form::Integer),
            101 if float => Some(Form::Float),
            255 => Some(Form::None),
            _ => None,
        }
    }
}

/// A summary in its form. Times are those of the first and last row that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSummary {
    /// Rows.
    pub count: u64,
    /// Smallest.
    pub min: i64,
    /// Largest.
    pub max: i64,
    /// Sum of the integers; for floats the bits of the sum.
    pub sum: i128,
    /// Time of the first.
    pub first_time: i64,
    /// First.
    pub first: i64,
    /// Time of the last.
    pub last_time: i64,
    /// Last.
    pub last: i64,
}

/// Statistics in their form. `good`: None = the same as all; Some(None) = no row is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawStatistics {
    /// The form.
    pub form: Form,
    /// Of all rows.
    pub all: RawSummary,
    /// Of good rows, where they differ.
    pub good: Option<Option<RawSummary>>,
}

/// Order-preserving integers of floats: their total order (-0.0 below 0.0).
#[must_use]
#[inline]
pub fn ordered(kind: Kind, bits: u64) -> i64 {
    if kind == Kind::F32 {
        let bits = bits as u32 as i32;
        i64::from(bits ^ (((bits >> 31) as u32) >> 1) as i32)
    } else {
        let bits = bits as i64;
        bits ^ (((bits >> 63) as u64) >> 1) as i64
    }
}

/// The inverse of `ordered`.
#[must_use]
pub fn unordered(kind: Kind, integer: i64) -> u64 {
    if kind == Kind::F32 {
        let bits = integer as i32;
        u64::from((bits ^ (((bits >> 31) as u32) >> 1) as i32) as u32)
    } else {
        (integer ^ (((integer >> 63) as u64) >> 1) as i64) as u64
    }
}

/// Values whose statistics are wanted.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    /// Integers of an integer kind, or of decimals without exceptions.
    Integers(Form, &'a [i64]),
    /// Floats, as bits.
    Floats(Kind, &'a [u64]),
}

/// Statistics of rows; None where a NaN is among them. `not_good` are the rows whose quality is not
/// good, in order. `time` tells the time of a row. There is at least one row.
#[must_use]
pub fn summarise(values: Wanted<'_>, time: &dyn Fn(usize) -> i64, not_good: &[usize]) -> Option<RawStatistics> {
    match values {
        Wanted::Integers(form, integers) => {
            let all = of_integers(integers, time);
            let good = (!not_good.is_empty()).then(|| good_integers(&all, integers, time, not_good));
            Some(RawStatistics { form, all, good })
        }
        Wanted::Floats(kind, bits) => {
            if bits.iter().any(|bits| is_nan(kind, *bits)) {
                return None;
            }
            let all = of_floats(kind, bits, time, 0..bits.len())?;
            let good = (!not_good.is_empty()).then(|| {
                let mut rest = not_good;
                let good = (0..bits.len()).filter(|row| match rest.split_first() {
                    Some((bad, later)) if bad == row => {
                        rest = later;
                        false
                    }
                    _ => true,
                });
                of_floats(kind, bits, time, good)
            });
            Some(RawStatistics { form: Form::Float, all, good })
        }
    }
}

fn is_nan(kind: Kind, bits: u64) -> bool {
    if kind == Kind::F32 { f32::from_bits(bits as u32).is_nan() } else { f64::from_bits(bits).is_nan() }
}

fn of_integers(integers: &[i64], time: &dyn Fn(usize) -> i64) -> RawSummary {
    let (mut min, mut max, mut sum) = (i64::MAX, i64::MIN, 0_i128);
    for block in integers.chunks(1024) {
        let (low, high) = block.iter().fold((i64::MAX, i64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
        (min, max) = (min.min(low), max.max(high));
        if low > -(1 << 52) && high < 1 << 52 {
            sum += i128::from(block.iter().sum::<i64>());
        } else {
            sum += block.iter().map(|value| i128::from(*value)).sum::<i128>();
        }
    }
    let last = integers.len() - 1;
    RawSummary {
        count: integers.len() as u64,
        min,
        max,
        sum,
        first_time: time(0),
        first: integers[0],
        last_time: time(last),
        last: integers[last],
    }
}

/// What is left of `all` without the rows that are not good, which are few.
fn good_integers(all: &RawSummary, integers: &[i64], time: &dyn Fn(usize) -> i64, not_good: &[usize]) -> Option<RawSummary> {
    let mut good = *all;
    good.count -= not_good.len() as u64;
    if good.count == 0 {
        return None;
    }
    let is_good = |row: &usize| not_good.binary_search(row).is_err();
    good.sum -= not_good.iter().map(|row| i128::from(integers[*row])).sum::<i128>();
    if not_good.iter().any(|row| integers[*row] == all.min || integers[*row] == all.max) {
        let mut rest = not_good.iter().copied().peekable();
        (good.min, good.max) = (i64::MAX, i64::MIN);
        for (row, value) in integers.iter().enumerate() {
            if rest.next_if_eq(&row).is_none() {
                (good.min, good.max) = (good.min.min(*value), good.max.max(*value));
            }
        }
    }
    let first = (0..integers.len()).find(is_good)?;
    let last = (0..integers.len()).rev().find(is_good)?;
    (good.first_time, good.first) = (time(first), integers[first]);
    (good.last_time, good.last) = (time(last), integers[last]);
    Some(good)
}

fn of_floats(kind: Kind, bits: &[u64], time: &dyn Fn(usize) -> i64, rows: impl Iterator<Item = usize>) -> Option<RawSummary> {
    let mut found: Option<RawSummary> = None;
    let mut sum = 0.0;
    for row in rows {
        let value = ordered(kind, bits[row]);
        sum += kind.bits_to_f64(bits[row]);
        let so_far = found.get_or_insert(RawSummary {
            count: 0,
            min: value,
            max: value,
            sum: 0,
            first_time: time(row),
            first: value,
            last_time: 0,
            last: 0,
        });
        so_far.count += 1;
        (so_far.min, so_far.max) = (so_far.min.min(value), so_far.max.max(value));
        (so_far.last_time, so_far.last) = (time(row), value);
    }
    found.map(|found| RawSummary { sum: i128::from(sum.to_bits()), ..found })
}

/// The rows whose quality is not good, among the unusual ones of a tag (whose rows begin at `first_row`).
#[must_use]
pub fn not_good(unusual: &[(u32, u8)], first_row: u32) -> Vec<usize> {
    let bad = unusual.iter().filter(|(_, quality)| !Quality(*quality).is_good());
    bad.map(|(row, _)| (row - first_row) as usize).collect()
}

/// The form in which a tag's decimals are summarised: as integers, or as floats where some are
/// exceptions. Singles are summed as the doubles that they are, which the decimals are not.
#[must_use]
pub fn decimal_values<'a>(kind: Kind, scale: u8, integers: &'a [i64], exceptions: &Exceptions, bits: &'a [u64]) -> Wanted<'a> {
    let exact = exceptions.is_empty() && kind == Kind::F64;
    if exact { Wanted::Integers(Form::Decimal(scale), integers) } else { Wanted::Floats(kind, bits) }
}

impl RawStatistics {
    /// As readers see them.
    #[must_use]
    pub fn statistics(&self, kind: Kind) -> Statistics {
        let all = summary(kind, self.form, &self.all);
        let good = match &self.good {
            None => Some(all),
            Some(good) => good.as_ref().map(|good| summary(kind, self.form, good)),
        };
        Statistics { all, good }
    }
}

fn summary(kind: Kind, form: Form, raw: &RawSummary) -> Summary {
    let bits = |integer: i64| match form {
        Form::Decimal(scale) => decimals::bits_of(kind, integer, decimals::power(scale)),
        Form::Float => unordered(kind, integer),
        Form::Integer | Form::None => integer as u64,
    };
    let (sum, integer_sum) = match form {
        Form::Decimal(scale) => (raw.sum as f64 / decimals::power(scale), 0),
        Form::Float => (f64::from_bits(raw.sum as u64), 0),
        Form::Integer | Form::None => (raw.sum as f64, raw.sum),
    };
    Summary {
        count: raw.count,
        min: bits(raw.min),
        max: bits(raw.max),
        sum,
        integer_sum,
        first_time: Timestamp(raw.first_time),
        first: bits(raw.first),
        last_time: Timestamp(raw.last_time),
        last: bits(raw.last),
    }
}
