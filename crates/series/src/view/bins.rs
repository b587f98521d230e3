//! Bins: adding samples up, a bin at a time, in order of time.
//!
//! Promises: bin borders are exact near both ends of `i64`; floats compare as DataFusion compares
//! them (total order), integers as integers; integer sums are exact.

use crate::file::Summary;
use crate::{AggregateBatch, Bins};
use types::{Kind, Quality, TagId, TimeRange, Timestamp};

/// The bin of a moment, clipped to what can be written.
pub(super) fn bin(bins: Option<Bins>, time: Timestamp) -> TimeRange {
    let Some(bins) = bins else { return TimeRange::ALL };
    let (origin, width) = (i128::from(bins.origin.0), i128::from(bins.width_us.max(1)));
    let first = origin + (i128::from(time.0) - origin).div_euclid(width) * width;
    let clip = |value: i128| Timestamp(value.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
    TimeRange { first: clip(first), last: clip(first + width - 1) }
}

/// Whether bits of a kind are a NaN.
#[inline]
pub(super) fn is_nan(kind: Kind, bits: u64) -> bool {
    match kind {
        Kind::F64 => bits & (u64::MAX >> 1) > f64::INFINITY.to_bits(),
        Kind::F32 => bits as u32 & (u32::MAX >> 1) > f32::INFINITY.to_bits(),
        Kind::Bool | Kind::I32 | Kind::I64 | Kind::State | Kind::Text => false,
    }
}

/// The bin of one tag that is being added up.
pub(super) struct Sum {
    pub tag: TagId,
    pub kind: Kind,
    pub range: TimeRange,
    held: Summary,
}

/// A key by which bits of a kind compare as its values do; every NaN, whatever its sign, has the highest of all.
#[inline]
pub(super) fn key(kind: Kind, bits: u64) -> i64 {
    match kind {
        Kind::F64 if is_nan(kind, bits) => i64::MAX,
        Kind::F64 => {
            let bits = bits as i64;
            bits ^ (((bits >> 63) as u64) >> 1) as i64
        }
        Kind::F32 if is_nan(kind, bits) => i32::MAX.into(),
        Kind::F32 => {
            let bits = bits as u32 as i32;
            i64::from(bits ^ (((bits >> 31) as u32) >> 1) as i32)
        }
        Kind::Bool | Kind::I32 | Kind::I64 | Kind::State | Kind::Text => bits as i64,
    }
}

impl Sum {
    pub fn new(tag: TagId, kind: Kind, range: TimeRange) -> Self {
        let nothing = Summary {
            count: 0,
            min: 0,
            max: 0,
            sum: 0.0,
            integer_sum: 0,
            first_time: Timestamp::MAX,
            first: 0,
            last_time: Timestamp::MIN,
            last: 0,
        };
        Sum { tag, kind, range, held: nothing }
    }

    /// Adds what is known of rows that follow those added before.
    pub fn add(&mut self, other: &Summary) {
        let (kind, held) = (self.kind, &mut self.held);
        if other.count == 0 {
            return;
        }
        if held.count == 0 {
            *held = *other;
            return;
        }
        held.count += other.count;
        held.sum += other.sum;
        held.integer_sum += other.integer_sum;
        if key(kind, other.min) < key(kind, held.min) {
            held.min = other.min;
        }
        if key(kind, other.max) > key(kind, held.max) {
            held.max = other.max;
        }
        (held.last_time, held.last) = (other.last_time, other.last);
    }

    /// Adds rows that follow those added before.
    pub fn add_rows(&mut self, times: &[Timestamp], bits: &[u64], qualities: Option<&[u8]>, good_only: bool) {
        let qualities = qualities.filter(|column| good_only && column.iter().any(|byte| !Quality(*byte).is_good()));
        let Some(qualities) = qualities else {
            if let Some(summary) = summary(self.kind, times, bits) {
                self.add(&summary);
            }
            return;
        };
        let good = |row: &usize| Quality(qualities[*row]).is_good();
        let rows: Vec<usize> = (0..times.len()).filter(good).collect();
        let times: Vec<Timestamp> = rows.iter().map(|row| times[*row]).collect();
        let bits: Vec<u64> = rows.iter().map(|row| bits[*row]).collect();
        if let Some(summary) = summary(self.kind, &times, &bits) {
            self.add(&summary);
        }
    }

    /// Adds the bin to a batch, if any sample counted.
    pub fn write(&self, binned: bool, out: &mut AggregateBatch) {
        let held = &self.held;
        if held.count == 0 {
            return;
        }
        out.tags.push(self.tag);
        out.kinds.push(self.kind);
        out.bins.push(if binned { self.range.first } else { Timestamp::MIN });
        out.counts.push(held.count);
        out.sums.push(held.sum);
        out.integer_sums.push(held.integer_sum);
        out.mins.push(held.min);
        out.maxs.push(held.max);
        out.first_times.push(held.first_time);
        out.firsts.push(held.first);
        out.last_times.push(held.last_time);
        out.lasts.push(held.last);
    }
}

/// Of rows in order of time; None of none.
fn summary(kind: Kind, times: &[Timestamp], bits: &[u64]) -> Option<Summary> {
    let (first_time, last_time) = (*times.first()?, *times.last()?);
    let (first, last) = (*bits.first()?, *bits.last()?);
    // One tight loop a kind.
    let (least, most, sum, integer_sum) = match kind {
        Kind::F64 => {
            let (least, most) = span(bits, |bits| key(Kind::F64, bits));
            (unkey(kind, least), unkey(kind, most), bits.iter().map(|bits| f64::from_bits(*bits)).sum(), 0)
        }
        Kind::F32 => {
            let (least, most) = span(bits, |bits| key(Kind::F32, bits));
            (unkey(kind, least), unkey(kind, most), bits.iter().map(|bits| kind.bits_to_f64(*bits)).sum(), 0)
        }
        Kind::Bool | Kind::I32 | Kind::I64 | Kind::State | Kind::Text => {
            let (least, most) = span(bits, |bits| bits as i64);
            let narrow = least > -(1 << 40) && most < 1 << 40 && bits.len() < 1 << 22;
            let exact: i128 = if narrow {
                bits.iter().map(|bits| *bits as i64).sum::<i64>().into()
            } else {
                bits.iter().map(|bits| i128::from(*bits as i64)).sum()
            };
            (least as u64, most as u64, exact as f64, exact)
        }
    };
    let count = times.len() as u64;
    Some(Summary { count, min: least, max: most, sum, integer_sum, first_time, first, last_time, last })
}

fn span(bits: &[u64], key: impl Fn(u64) -> i64) -> (i64, i64) {
    bits.iter().fold((i64::MAX, i64::MIN), |(least, most), bits| {
        let key = key(*bits);
        (least.min(key), most.max(key))
    })
}

/// The inverse of `key` for floats.
fn unkey(kind: Kind, key: i64) -> u64 {
    if kind == Kind::F32 {
        let bits = key as i32;
        u64::from((bits ^ (((bits >> 31) as u32) >> 1) as i32) as u32)
    } else {
        (key ^ (((key >> 63) as u64) >> 1) as i64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_exact_at_both_ends_of_time() {
        let check = |origin: i64, width_us: i64, time: i64| {
            let bins = Bins { origin: Timestamp(origin), width_us };
            let range = bin(Some(bins), Timestamp(time));
            assert!(range.contains(Timestamp(time)), "{time} in {range:?}");
            let exact =
                i128::from(origin) + (i128::from(time) - i128::from(origin)).div_euclid(width_us.into()) * i128::from(width_us);
            assert_eq!(i128::from(range.first.0), exact.max(i64::MIN.into()));
            assert!(range.last == Timestamp::MAX || i128::from(range.last.0) == exact + i128::from(width_us) - 1);
        };
        for time in [i64::MIN, i64::MIN + 1, -7, 0, 6, i64::MAX - 1, i64::MAX] {
            for width in [1, 7, 1 << 40, i64::MAX] {
                for origin in [i64::MIN, -3, 0, 5, i64::MAX] {
                    check(origin, width, time);
                }
            }
        }
    }
}
