//! How the times of a tag's rows are stored: not at all, as deviations from a line, or as they are.
//!
//! Promises: exact for all of i64, wrapping where differences don't fit; rising times come back.

use types::Timestamp;

/// How times are stored. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TimeMethod {
    /// first + row * step: nothing is stored a row.
    Regular = 0,
    /// first + row * step + deviation.
    Line = 1,
    /// The times themselves.
    Plain = 2,
}

impl TimeMethod {
    /// The method with that number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<TimeMethod> {
        [TimeMethod::Regular, TimeMethod::Line, TimeMethod::Plain].get(usize::from(number)).copied()
    }
}

/// The shape of a tag's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeShape {
    /// How they are stored.
    pub method: TimeMethod,
    /// The first.
    pub first: i64,
    /// Microseconds from row to row; 0 for `Plain`.
    pub step: i64,
}

/// A point of a line. Wraps, as does what is stored.
#[inline]
#[must_use]
pub fn at(first: i64, step: i64, row: usize) -> i64 {
    first.wrapping_add(step.wrapping_mul(row as i64))
}

/// Looks at rising times, at least one.
#[must_use]
pub fn shape(times: &[Timestamp]) -> TimeShape {
    let first = times[0].0;
    // A step that i64 can't hold is none.
    let step = if times.len() < 2 { Some(0) } else { times[1].0.checked_sub(first) };
    if let Some(step) = step
        && is_line(times, first, step)
    {
        return TimeShape { method: TimeMethod::Regular, first, step };
    }
    line(times).unwrap_or(TimeShape { method: TimeMethod::Plain, first, step: 0 })
}

fn is_line(times: &[Timestamp], first: i64, step: i64) -> bool {
    let mut expected = first;
    for block in times.chunks(64) {
        let mut all = true;
        for time in block {
            all &= time.0 == expected;
            expected = expected.wrapping_add(step);
        }
        if !all {
            return false;
        }
    }
    true
}

/// A line that the times keep to better than to one another, if there is one.
fn line(times: &[Timestamp]) -> Option<TimeShape> {
    const ROWS_MIN: usize = 8;
    if times.len() < ROWS_MIN {
        return None;
    }
    let (first, last) = (times[0].0, times[times.len() - 1].0);
    let rows = i128::from(times.len() as i64 - 1);
    let span = i128::from(last) - i128::from(first);
    let (mut least, mut most) = (i64::MAX, 0);
    for pair in times.windows(2) {
        let gap = pair[1].0.checked_sub(pair[0].0)?;
        (least, most) = (least.min(gap), most.max(gap));
    }
    let slack = i128::from(most - least);
    let step = i64::try_from(roundest((span - slack).div_euclid(rows), (span + slack).div_euclid(rows) + 1)?).ok()?;
    if step <= 0 {
        return None;
    }
    // Deviations from the line must scatter less than the gaps do.
    let shape = TimeShape { method: TimeMethod::Line, first, step };
    let mut off = Vec::with_capacity(times.len());
    deviations(times, &shape, &mut off);
    let gaps: Vec<i64> = times.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    (scatter(&off) <= scatter(&gaps)).then_some(shape)
}

/// The mean distance from the mean.
fn scatter(values: &[i64]) -> i128 {
    let count = values.len() as i128;
    let mean = (values.iter().map(|value| i128::from(*value)).sum::<i128>() / count) as i64;
    values.iter().map(|value| i128::from(value.abs_diff(mean))).sum::<i128>() / count
}

/// The number between the two with the most zeros at its end.
fn roundest(low: i128, high: i128) -> Option<i128> {
    let (low, high) = (low.max(1), high);
    if low > high {
        return None;
    }
    let mut power = 1_i128;
    while high / (power * 10) * (power * 10) >= low {
        power *= 10;
    }
    Some(high / power * power)
}

/// How fine times are: 2 = whole seconds, 1 = whole milliseconds, 0 = microseconds. Tags whose times
/// are alike share a unit, which a single finer one would spoil.
#[must_use]
pub fn fineness(times: &[Timestamp]) -> u8 {
    if times.iter().all(|time| time.0 % 1_000_000 == 0) { 2 } else { u8::from(times.iter().all(|time| time.0 % 1_000 == 0)) }
}

/// The deviations of times from their line.
pub fn deviations(times: &[Timestamp], shape: &TimeShape, out: &mut Vec<i64>) {
    out.extend(times.iter().enumerate().map(|(row, time)| time.0.wrapping_sub(at(shape.first, shape.step, row))));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[i64], method: TimeMethod, step: i64) {
        let times: Vec<Timestamp> = times.iter().copied().map(Timestamp).collect();
        let found = shape(&times);
        assert_eq!((found.method, found.step, found.first), (method, step, times[0].0));
    }

    #[test]
    fn cadences_are_seen() {
        check(&[5], TimeMethod::Regular, 0);
        check(&[5, 9], TimeMethod::Regular, 4);
        check(&[i64::MIN, 17], TimeMethod::Plain, 0);
        check(&(0..100).map(|i| -50 + i * 7).collect::<Vec<_>>(), TimeMethod::Regular, 7);
        let jitter: Vec<i64> = (0..500).map(|i| 1_700_000_000_000_000 + i * 1_000_000 + (i * 7919 % 101 - 50) * 1000).collect();
        check(&jitter, TimeMethod::Line, 1_000_000);
        check(&[0, 1, 5, 6, 100, 101, 1000, 5000, 5001, 9000], TimeMethod::Plain, 0);
        check(&[i64::MIN, 0, 1, 2, 3, 4, 5, 6, 7, i64::MAX], TimeMethod::Plain, 0);
        let gap: Vec<i64> = (0..1000).map(|i| (if i < 500 { i } else { i + 4000 }) * 1_000_000).collect();
        check(&gap, TimeMethod::Plain, 0);
    }
}
