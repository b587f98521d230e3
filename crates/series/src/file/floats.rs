//! A column of floats that are no decimals: pco on their own type, page by page.
//!
//! ```text
//!   meta  type u8: 0 = f64; 1 = f32 (also for doubles that are all exact singles) | pco chunk meta
//!   page  a pco page
//! ```
//! Where every value is finite, pco looks for a common factor (readings are often counts times a
//! factor) or unused bits; else classic mode, which keeps every bit, NaN payloads included.

use super::integers::{EncodedColumn, PCO_HEADER, PCO_LEVEL, pco_page};
use pco::data_types::Number;
use pco::wrapped::{ChunkDecompressor, FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};
use std::cell::RefCell;
use types::Kind;

const DOUBLES: u8 = 0;
const SINGLES: u8 = 1;

/// Fewer rows don't pay for looking for a mode.
const ROWS_FOR_AUTO_MODE: usize = 64;

/// Encodes the bits of floats of `kind`, cut in pages.
#[must_use]
pub fn encode(kind: Kind, bits: &[u64], page_rows: &[usize]) -> EncodedColumn {
    let mut column = EncodedColumn::default();
    if kind == Kind::F32 {
        column.meta.push(SINGLES);
        let singles: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits as u32)).collect();
        let finite = singles.iter().all(|single| single.is_finite());
        encode_pco(&singles, finite, page_rows, &mut column);
        return column;
    }
    let doubles: Vec<f64> = bits.iter().map(|bits| f64::from_bits(*bits)).collect();
    // A NaN may lose payload bits on its way to a single and back; its bits then differ, which is seen here.
    let single = |double: &f64| !double.is_nan() && f64::from(*double as f32).to_bits() == double.to_bits();
    if doubles.iter().all(single) {
        column.meta.push(SINGLES);
        let singles: Vec<f32> = doubles.iter().map(|double| *double as f32).collect();
        let finite = singles.iter().all(|single| single.is_finite());
        encode_pco(&singles, finite, page_rows, &mut column);
        return column;
    }
    column.meta.push(DOUBLES);
    let finite = doubles.iter().all(|double| double.is_finite());
    encode_pco(&doubles, finite, page_rows, &mut column);
    column
}

fn encode_pco<T: Number>(numbers: &[T], finite: bool, page_rows: &[usize], column: &mut EncodedColumn) {
    let mode = if finite && numbers.len() >= ROWS_FOR_AUTO_MODE { ModeSpec::Auto } else { ModeSpec::Classic };
    let smallest = [0, 1].into_iter().map(|order| encode_as(numbers, mode.clone(), order, page_rows));
    let smallest = smallest.min_by_key(|(meta, bytes, _)| meta.len() + bytes.len());
    let (meta, bytes, ends) = smallest.expect("two orders were tried");
    column.meta.extend_from_slice(&meta);
    column.bytes = bytes;
    column.ends = ends;
}

fn encode_as<T: Number>(numbers: &[T], mode: ModeSpec, order: usize, page_rows: &[usize]) -> (Vec<u8>, Vec<u8>, Vec<usize>) {
    let delta = if order == 0 { DeltaSpec::NoOp } else { DeltaSpec::TryConsecutive(order) };
    let config = ChunkConfig::default()
        .with_compression_level(PCO_LEVEL)
        .with_mode_spec(mode)
        .with_delta_spec(delta)
        .with_paging_spec(PagingSpec::Exact(page_rows.to_vec()));
    let mut compressor = FileCompressor::default()
        .chunk_compressor(numbers, &config)
        .expect("pages are not empty and sum to the rows, far below pco's most, and the order is below 8");
    let (mut meta, mut bytes, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    compressor.write_meta(&mut meta).expect("a Vec takes every write");
    for page in 0..page_rows.len() {
        compressor.write_page(page, &mut bytes).expect("a Vec takes every write");
        ends.push(bytes.len());
    }
    (meta, bytes, ends)
}

/// What is needed to decode the pages of a column.
pub enum FloatColumn {
    /// pco of doubles.
    Doubles(ChunkDecompressor<f64>),
    /// pco of singles.
    Singles(ChunkDecompressor<f32>),
}

#[derive(Default)]
struct Scratch {
    pco: pco::DecompressorScratch,
    doubles: Vec<f64>,
    singles: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl FloatColumn {
    /// Reads a column's meta, all of `meta`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(meta: &[u8]) -> Result<FloatColumn, &'static str> {
        let (of, meta) = meta.split_first().ok_or("no float meta")?;
        match *of {
            DOUBLES => Ok(FloatColumn::Doubles(chunk(meta, 64)?)),
            SINGLES => Ok(FloatColumn::Singles(chunk(meta, 32)?)),
            _ => Err("unknown type of floats"),
        }
    }

    /// Decodes a page of `rows` rows and appends the bits of the wanted ones, as `kind` has them.
    ///
    /// # Errors
    /// What is wrong with the page; `out` is as it was.
    pub fn page(
        &self,
        kind: Kind,
        page: &[u8],
        rows: usize,
        wanted: std::ops::Range<usize>,
        out: &mut Vec<u64>,
    ) -> Result<(), &'static str> {
        SCRATCH.with_borrow_mut(|scratch| {
            match self {
                FloatColumn::Doubles(chunk) => {
                    pco_page(chunk, page, rows, &mut scratch.pco, &mut scratch.doubles)?;
                    out.extend(scratch.doubles[wanted].iter().map(|double| double.to_bits()));
                }
                FloatColumn::Singles(chunk) => {
                    pco_page(chunk, page, rows, &mut scratch.pco, &mut scratch.singles)?;
                    let singles = &scratch.singles[wanted];
                    if kind == Kind::F32 {
                        out.extend(singles.iter().map(|single| u64::from(single.to_bits())));
                    } else {
                        out.extend(singles.iter().map(|single| f64::from(*single).to_bits()));
                    }
                }
            }
            Ok(())
        })
    }
}

/// Makes a decompressor, after looking at what decides its memory: the mode (classic, a factor,
/// unused bits) and, behind the mode's own bits, the delta encoding (none or consecutive).
fn chunk<T: Number>(meta: &[u8], bits: usize) -> Result<ChunkDecompressor<T>, &'static str> {
    let nibble = |bit: usize| meta.get(bit / 8).map(|byte| (byte >> (bit % 8)) & 0x0F);
    let delta_at = match nibble(0) {
        Some(0) => 4,
        Some(2) => 4 + bits,
        Some(3) => 4 + 8,
        _ => return Err("pco meta of a mode that is never written"),
    };
    if nibble(delta_at).is_none_or(|delta| delta > 1) {
        return Err("pco meta of deltas that are never written");
    }
    let (file, _) = FileDecompressor::new(&PCO_HEADER[..]).map_err(|_| "pco header")?;
    let (chunk, rest) = file.chunk_decompressor::<T, _>(meta).map_err(|_| "pco meta")?;
    if rest.is_empty() { Ok(chunk) } else { Err("bytes behind the pco meta") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, bits: &[u64]) -> usize {
        let rows: Vec<usize> = bits.chunks(512).map(<[u64]>::len).collect();
        let column = encode(kind, bits, &rows);
        let open = FloatColumn::open(&column.meta).unwrap();
        let mut out = Vec::new();
        for (index, rows) in rows.iter().enumerate() {
            open.page(kind, column.page(index), *rows, 0..*rows, &mut out).unwrap();
        }
        assert_eq!(out, bits);
        column.meta.len() + column.bytes.len()
    }

    #[test]
    fn every_bit_of_a_float_comes_back() {
        let odd = [0, 1, 1 << 63, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000, 0x7FF0_0000_0000_0001];
        let odd: Vec<u64> = odd.into_iter().chain([u64::MAX, 0x7FF8_DEAD_BEEF_0001]).collect();
        check(Kind::F64, &odd);
        check(Kind::F64, &odd.iter().cycle().take(2000).copied().collect::<Vec<_>>());
        let singles: Vec<u64> = odd.iter().map(|bits| bits >> 32).chain([0x7F80_0001, 0xFFFF_FFFF, 0x8000_0000]).collect();
        check(Kind::F32, &singles.iter().cycle().take(2000).copied().collect::<Vec<_>>());
        let mixed: Vec<u64> =
            (0..1500_u64).map(|i| if i % 97 == 0 { odd[i as usize % 9] } else { (i as f64).ln().to_bits() }).collect();
        check(Kind::F64, &mixed);
    }

    #[test]
    fn counts_times_a_factor_are_small() {
        let readings: Vec<u64> = (0..4000_u64).map(|i| ((i * i % 4096) as f64 * 0.003_051_757_8).to_bits()).collect();
        assert!(check(Kind::F64, &readings) < 4000 * 2);
        let widened: Vec<u64> = (1..4000_u64).map(|i| f64::from(1.0 / i as f32).to_bits()).collect();
        assert!(check(Kind::F64, &widened) < 4000 * 5);
    }
}
