//! Floats that are short decimals, as integers: value = integer / 10^scale, rounded once, exactly.
//!
//! Promises: a row is taken as a decimal only where the division gives its very bits back (so -0.0,
//! NaN, infinities and long fractions are exceptions); nothing is rounded that was not rounded before.
//!
//! The rounding to an integer adds and subtracts 1.5 * 2^52: for magnitudes below 2^51 the sum's
//! lowest bits are the integer, without a branch or a call.

use types::Kind;

/// The largest scale tried: 10^18 is exact as a double.
pub const SCALE_MAX: u8 = 18;

const MAGIC: f64 = 6_755_399_441_055_744.0;
/// Integers of decimals stay below this magnitude.
const INTEGER_MAX: f64 = 2_251_799_813_685_248.0;
/// At most one row in so many may be an exception.
const ROWS_PER_EXCEPTION: usize = 24;

/// 10^scale. Scale is at most `SCALE_MAX`.
#[must_use]
pub fn power(scale: u8) -> f64 {
    const POWERS: [f64; SCALE_MAX as usize + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
    POWERS[usize::from(scale.min(SCALE_MAX))]
}

/// The bits of integer / 10^scale.
#[inline]
#[must_use]
pub fn bits_of(kind: Kind, integer: i64, power: f64) -> u64 {
    // The integer as a double without a conversion call: exact below 2^51, which is all that is written.
    let double = f64::from_bits((MAGIC.to_bits() as i64).wrapping_add(integer) as u64) - MAGIC;
    match kind {
        Kind::F32 => u64::from(((double / power) as f32).to_bits()),
        _ => (double / power).to_bits(),
    }
}

/// Rows that are no decimals of the chosen scale: (row, bits), in order of row.
pub type Exceptions = Vec<(u32, u64)>;

/// The integers of these floats at the smallest scale that fits nearly all of them, and the rows
/// that it does not fit (whose integer is that of the row before). None where they are no decimals.
/// `hint` is a scale that is likely.
#[must_use]
pub fn split(kind: Kind, bits: &[u64], hint: u8) -> Option<(u8, Vec<i64>, Exceptions)> {
    let scale = choose_scale(kind, bits, hint)?;
    let found = split_at(kind, bits, scale);
    if found.is_some() {
        return found.map(|(integers, exceptions)| (scale, integers, exceptions));
    }
    // The sample was too short-sighted: the digits of a row that did not fit show a larger scale.
    let power = power(scale);
    let longer = bits.iter().filter(|bits| integer_of(kind, **bits, power).is_none());
    let longer: Vec<u64> = longer.copied().take(32).collect();
    let larger = choose_scale(kind, &longer, scale)?.max(scale);
    split_at(kind, bits, larger).map(|(integers, exceptions)| (larger, integers, exceptions))
}

fn as_f64(kind: Kind, bits: u64) -> f64 {
    if kind == Kind::F32 { f64::from(f32::from_bits(bits as u32)) } else { f64::from_bits(bits) }
}

#[inline]
fn integer_of(kind: Kind, bits: u64, power: f64) -> Option<i64> {
    let sum = as_f64(kind, bits) * power + MAGIC;
    let rounded = sum - MAGIC;
    let back = if kind == Kind::F32 { u64::from(((rounded / power) as f32).to_bits()) } else { (rounded / power).to_bits() };
    (back == bits && rounded.abs() < INTEGER_MAX).then(|| (sum.to_bits() as i64).wrapping_sub(MAGIC.to_bits() as i64))
}

fn choose_scale(kind: Kind, bits: &[u64], hint: u8) -> Option<u8> {
    const SAMPLE: usize = 12;
    let step = (bits.len() / SAMPLE).max(1);
    let sample: Vec<u64> = bits.iter().step_by(step).take(SAMPLE + 1).copied().collect();
    let fits = |scale: u8| {
        let power = power(scale);
        sample.iter().filter(|bits| integer_of(kind, **bits, power).is_some()).count()
    };
    let enough = sample.len() - sample.len() / 8;
    let largest = if kind == Kind::F32 { 9 } else { SCALE_MAX };
    // The hint saves the search upwards where the scale below it does not fit.
    if hint > 0 && hint <= largest && fits(hint) >= enough && fits(hint - 1) < enough {
        return Some(hint);
    }
    (0..=largest).find(|scale| fits(*scale) >= enough)
}

fn split_at(kind: Kind, bits: &[u64], scale: u8) -> Option<(Vec<i64>, Exceptions)> {
    let power = power(scale);
    let mut integers = Vec::with_capacity(bits.len());
    let mut exceptions = Exceptions::new();
    let limit = bits.len() / ROWS_PER_EXCEPTION;
    let mut before = 0;
    for (block_index, block) in bits.chunks(64).enumerate() {
        let mut all = true;
        let start = integers.len();
        if kind == Kind::F64 {
            // The plain case, without branches: one multiplication, one division.
            integers.extend(block.iter().map(|bits| {
                let sum = f64::from_bits(*bits) * power + MAGIC;
                let rounded = sum - MAGIC;
                all &= (rounded / power).to_bits() == *bits && rounded.abs() < INTEGER_MAX;
                (sum.to_bits() as i64).wrapping_sub(MAGIC.to_bits() as i64)
            }));
        } else {
            integers.extend(block.iter().map(|bits| {
                let integer = integer_of(kind, *bits, power);
                all &= integer.is_some();
                integer.unwrap_or_default()
            }));
        }
        if !all {
            for (index, bits) in block.iter().enumerate() {
                match integer_of(kind, *bits, power) {
                    Some(integer) => before = integer,
                    None => {
                        exceptions.push(((block_index * 64 + index) as u32, *bits));
                        integers[start + index] = before;
                    }
                }
            }
            if exceptions.len() > limit {
                return None;
            }
        }
        before = *integers.last().expect("a block is not empty");
    }
    Some((integers, exceptions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, bits: &[u64], scale: Option<u8>) {
        let found = split(kind, bits, 3);
        assert_eq!(found.as_ref().map(|(scale, _, _)| *scale), scale);
        let Some((scale, integers, exceptions)) = found else { return };
        let mut back: Vec<u64> = integers.iter().map(|integer| bits_of(kind, *integer, power(scale))).collect();
        exceptions.iter().for_each(|(row, bits)| back[*row as usize] = *bits);
        assert_eq!(back, bits);
    }

    fn doubles(values: impl Iterator<Item = f64>) -> Vec<u64> {
        values.map(f64::to_bits).collect()
    }

    #[test]
    fn decimals_are_found_and_come_back() {
        check(Kind::F64, &doubles((0..1000).map(|i| (22_000 + i * 7 % 300) as f64 / 100.0)), Some(2));
        check(Kind::F64, &doubles((0..1000).map(|i| -(i as f64) / 1000.0 - 0.001)), Some(3));
        check(Kind::F64, &doubles((0..1000).map(|i| i as f64 * 1e6)), Some(0));
        check(Kind::F64, &doubles((0..1000).map(|i| (i as f64 + 0.3).sqrt())), None);
        check(Kind::F32, &(0..1000).map(|i| u64::from((i as f32 / 10.0).to_bits())).collect::<Vec<_>>(), Some(1));
        check(Kind::F32, &(1..1000).map(|i| u64::from((1.0 / i as f32).to_bits())).collect::<Vec<_>>(), None);
        check(Kind::F64, &doubles((0..1000).map(|i| (25 * i + 1) as f64 / 1e18)), Some(18));
    }

    #[test]
    fn odd_floats_are_exceptions() {
        let mut bits = doubles((0..1000).map(|i| f64::from(i) / 10.0));
        bits[500] = (-0.0_f64).to_bits();
        bits[501] = 0x7FF8_0000_DEAD_BEEF;
        bits[502] = 0xFFF0_0000_0000_0001;
        bits[503] = f64::INFINITY.to_bits();
        bits[504] = 1e300_f64.to_bits();
        bits[505] = (0.1_f64 + 0.2).to_bits();
        bits[999] = f64::MIN_POSITIVE.to_bits();
        check(Kind::F64, &bits, Some(1));
        check(Kind::F64, &vec![f64::NAN.to_bits(); 100], None);
    }
}
