//! Qualities of a page: nothing where all are good (192), else what differs from that.
//!
//! ```text
//!   page   empty, or: (gap varint, length - 1 varint, byte)* : runs of one byte other than 192,
//!          gap = rows since the end of the run before; rows not in a run are 192
//! ```
//! Promises: all 256 bytes come back; runs beyond the page or out of order are an error.

use storage::wire::{Reader, put_varint};

/// The usual quality: good, non-specific.
pub const USUAL: u8 = 192;

/// A quality other than the usual one: (row, byte).
pub type Unusual = (u32, u8);

/// The rows whose quality is not the usual one.
pub fn unusual(qualities: Option<&[u8]>, first_row: u32, out: &mut Vec<Unusual>) {
    const EIGHT: u64 = u64::from_ne_bytes([USUAL; 8]);
    let Some(qualities) = qualities else { return };
    for (block, bytes) in qualities.chunks(8).enumerate() {
        if bytes.first_chunk::<8>().is_some_and(|eight| u64::from_ne_bytes(*eight) == EIGHT) {
            continue;
        }
        let row = first_row + block as u32 * 8;
        out.extend((row..).zip(bytes).filter(|(_, byte)| **byte != USUAL).map(|(row, byte)| (row, *byte)));
    }
}

/// Appends the part of a page that begins at `first_row`: `unusual` are its rows, in order.
pub fn put(out: &mut Vec<u8>, first_row: u32, unusual: &[Unusual]) {
    let (mut rest, mut end) = (unusual, first_row);
    while let Some((row, byte)) = rest.first() {
        let length = (0_u32..).zip(rest).take_while(|(offset, (at, same))| *at == row + offset && same == byte).count();
        put_varint(out, u64::from(row - end));
        put_varint(out, length as u64 - 1);
        out.push(*byte);
        end = row + length as u32;
        rest = &rest[length..];
    }
}

/// Decodes the part of a page of `rows` rows: writes into `out` (one byte a wanted row, 192 before).
pub fn get(page: &[u8], rows: usize, wanted: std::ops::Range<usize>, out: &mut [u8]) -> Result<(), &'static str> {
    let mut reader = Reader::new(page);
    let mut end = 0;
    while !reader.is_empty() {
        let mut run = || {
            let start = end + reader.count(rows - end)?;
            let length = reader.count(rows.checked_sub(start)?.checked_sub(1)?)? + 1;
            Some((start, start + length, reader.u8()?))
        };
        let (start, stop, byte) = run().ok_or("runs of qualities go beyond the page")?;
        let from = start.max(wanted.start);
        let to = stop.min(wanted.end);
        if from < to {
            out[from - wanted.start..to - wanted.start].fill(byte);
        }
        end = stop;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(qualities: &[u8]) -> usize {
        let mut found = Vec::new();
        unusual(Some(qualities), 0, &mut found);
        let mut bytes = Vec::new();
        put(&mut bytes, 0, &found);
        let mut out = vec![USUAL; qualities.len()];
        get(&bytes, qualities.len(), 0..qualities.len(), &mut out).unwrap();
        assert_eq!(out, qualities);
        let wanted = qualities.len() / 3..qualities.len() / 2;
        let mut part = vec![USUAL; wanted.len()];
        get(&bytes, qualities.len(), wanted.clone(), &mut part).unwrap();
        assert_eq!(part, qualities[wanted]);
        bytes.len()
    }

    #[test]
    fn qualities_come_back_and_good_ones_are_free() {
        assert_eq!(check(&[192; 512]), 0);
        assert!(check(&[0; 512]) <= 4);
        let mut some = [192; 500];
        some[3] = 0;
        some[4] = 0;
        some[5] = 64;
        some[499] = 255;
        assert!(check(&some) <= 12);
        check(&(0..=255).collect::<Vec<u8>>());
        check(&[]);
        for bad in [&[1, 0][..], &[8, 0, 1], &[0, 8, 1], &[7, 1, 1], &[0x80]] {
            assert!(get(bad, 8, 0..8, &mut [USUAL; 8]).is_err(), "{bad:?}");
        }
    }
}
