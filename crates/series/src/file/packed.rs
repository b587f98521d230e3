//! Short arrays of numbers: offsets from the smallest, in as many bits as the largest needs.
//!
//! ```text
//!   unsigned   base varint | width u8 (0..=64) | n * width bits, little-endian, padded to a byte
//!   signed     base zigzag | unit varint (>= 1) | width u8 | bits; value = base + unit * offset
//! ```
//! Promises: n is known to the reader beforehand (and bounded by it); reading never panics, wraps
//! where the sums don't fit, and takes exactly the bytes that were written.

use storage::wire::{Reader, put_signed as put_zigzag, put_varint};

/// Appends unsigned numbers.
pub fn put(out: &mut Vec<u8>, values: &[u64]) {
    let base = values.iter().copied().min().unwrap_or(0);
    put_varint(out, base);
    put_bits(out, values.iter().map(|value| value - base));
}

/// Appends signed numbers; a unit that all differences share is divided out.
pub fn put_signed(out: &mut Vec<u8>, values: &[i64]) {
    let base = values.iter().copied().min().unwrap_or(0);
    let offset = |value: &i64| value.wrapping_sub(base) as u64;
    let unit = values.iter().map(offset).fold(0, gcd).max(1);
    put_zigzag(out, base);
    put_varint(out, unit);
    put_bits(out, values.iter().map(|value| offset(value) / unit));
}

/// The greatest common divisor; 0 and x give x.
pub fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    if a == 1 {
        return 1;
    }
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn put_bits(out: &mut Vec<u8>, offsets: impl Iterator<Item = u64> + Clone) {
    let width = 64 - offsets.clone().fold(0, |all, offset| all | offset).leading_zeros();
    out.push(width as u8);
    if width == 0 {
        return;
    }
    let (mut pending, mut filled) = (0_u128, 0);
    for offset in offsets {
        pending |= u128::from(offset) << filled;
        filled += width;
        while filled >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(pending as u8);
    }
}

/// An array as it lies in a block: numbers are taken out one by one. Empty by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packed<'a> {
    base: u64,
    unit: u64,
    width: usize,
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// Takes an array of `count` unsigned numbers from the front of what is read.
    pub fn read(reader: &mut Reader<'a>, count: usize) -> Option<Packed<'a>> {
        let base = reader.varint()?;
        Self::read_bits(reader, count, base, 1)
    }

    /// Takes an array of `count` signed numbers; take them out with `signed`.
    pub fn read_signed(reader: &mut Reader<'a>, count: usize) -> Option<Packed<'a>> {
        let base = reader.signed()? as u64;
        let unit = reader.varint().filter(|unit| *unit > 0)?;
        Self::read_bits(reader, count, base, unit)
    }

    fn read_bits(reader: &mut Reader<'a>, count: usize, base: u64, unit: u64) -> Option<Packed<'a>> {
        let width = usize::from(reader.u8().filter(|width| *width <= 64)?);
        let bytes = reader.bytes(count.checked_mul(width)?.div_ceil(8))?;
        Some(Packed { base, unit, width, count, bytes })
    }

    /// How many numbers it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Number `index`; 0 beyond the end.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        if index >= self.count {
            return 0;
        }
        if self.width == 0 {
            return self.base;
        }
        let bit = index * self.width;
        let (byte, shift) = (bit / 8, bit % 8);
        let offset = match self.bytes.get(byte..byte + 8).and_then(|eight| eight.first_chunk::<8>()) {
            Some(eight) if self.width <= 56 => u64::from_le_bytes(*eight) >> shift,
            _ => self.get_at_end(byte, shift),
        };
        let offset = offset & (u64::MAX >> (64 - self.width));
        self.base.wrapping_add(self.unit.wrapping_mul(offset))
    }

    fn get_at_end(&self, byte: usize, shift: usize) -> u64 {
        let end = self.bytes.len().min(byte + 16);
        let mut sixteen = [0; 16];
        sixteen[..end - byte].copy_from_slice(&self.bytes[byte..end]);
        (u128::from_le_bytes(sixteen) >> shift) as u64
    }

    /// Number `index` of an array of signed numbers.
    #[inline]
    #[must_use]
    pub fn signed(&self, index: usize) -> i64 {
        self.get(index) as i64
    }

    /// All numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.count).map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_at_every_width() {
        for width in 0..=64_u32 {
            let top = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            for count in [0_usize, 1, 2, 7, 8, 9, 129] {
                let values: Vec<u64> = (0..count as u64).map(|i| top.wrapping_sub(i.wrapping_mul(0x9E37_79B9)) & top).collect();
                let signed: Vec<i64> = values.iter().map(|value| (*value as i64).wrapping_sub(77)).collect();
                let mut out = Vec::new();
                put(&mut out, &values);
                put_signed(&mut out, &signed);
                let mut reader = Reader::new(&out);
                assert!(Packed::read(&mut reader, count).unwrap().iter().eq(values.iter().copied()));
                assert!(Packed::read_signed(&mut reader, count).unwrap().iter().eq(signed.iter().map(|value| *value as u64)));
                assert!(reader.is_empty());
                for len in 0..out.len() {
                    let mut short = Reader::new(&out[..len]);
                    assert!(Packed::read(&mut short, count).and_then(|_| Packed::read_signed(&mut short, count)).is_none());
                }
            }
        }
    }

    #[test]
    fn a_shared_unit_costs_no_bits() {
        let times: Vec<i64> = (0..100).map(|i| -5_000_000_000_000 + i * 3_600_000_000).collect();
        let mut out = Vec::new();
        put_signed(&mut out, &times);
        assert!(out.len() < 105, "{}", out.len());
        let back = Packed::read_signed(&mut Reader::new(&out), 100).unwrap();
        assert!((0..100).all(|row| back.signed(row) == times[row]));
    }
}
