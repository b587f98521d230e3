//! A column of integers in a chunk, page by page: what times, decimals and integers become.
//!
//! ```text
//!   meta   method u8 | base zigzag | unit varint | pco chunk meta (methods 2..=4)
//!   value  = base + unit * latent, wrapping in 64 bits
//!   page   0 constant: nothing. 1 runs: latent varint, then (rows since the last change varint,
//!          latent varint)*. 2, 3, 4: a pco page of u16, u32, u64 latents
//! ```
//! pco is always in classic mode with consecutive deltas of order 0..=7: what decides its memory is
//! checked before it is called.
//!
//! Promises: exact for all of i64; a page decodes alone, given the meta; hostile bytes are errors.

use super::packed::gcd;
use pco::data_types::Number;
use pco::wrapped::{ChunkDecompressor, FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};
use std::cell::RefCell;
use storage::wire::{Reader, put_signed, put_varint};

/// What pco writes before its chunks: the format of pco that our format 1 is made of.
pub const PCO_HEADER: [u8; 2] = [4, 1];

/// How hard pco tries. Higher levels gain under 2 % and cost a third of the speed.
pub const PCO_LEVEL: usize = 4;

/// A column cut in pages, encoded.
#[derive(Debug, Default)]
pub struct EncodedColumn {
    /// What all pages share.
    pub meta: Vec<u8>,
    /// The pages, end to end.
    pub bytes: Vec<u8>,
    /// Where each page ends in `bytes`.
    pub ends: Vec<usize>,
}

impl EncodedColumn {
    /// A page's bytes.
    #[must_use]
    pub fn page(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }
}

const CONSTANT: u8 = 0;
const RUNS: u8 = 1;
const PCO_U16: u8 = 2;
const PCO_U32: u8 = 3;
const PCO_U64: u8 = 4;

/// Encodes values, whose pages have so many rows each (their sum is the number of values).
#[must_use]
pub fn encode(values: &[i64], page_rows: &[usize]) -> EncodedColumn {
    let (min, max) = range(values);
    let width = max.wrapping_sub(min) as u64;
    let mut column = EncodedColumn::default();
    if width == 0 {
        put_head(&mut column.meta, CONSTANT, min, 1);
        column.ends = vec![0; page_rows.len()];
        return column;
    }
    if changes_at_most(values, values.len() / 24) {
        put_head(&mut column.meta, RUNS, min, 1);
        encode_runs(values, min, page_rows, &mut column);
        return column;
    }
    let unit = shared_unit(values, min, width);
    let order = delta_order(values);
    let latents = width / unit;
    if latents <= u64::from(u16::MAX) {
        put_head(&mut column.meta, PCO_U16, min, unit);
        encode_pco(&to_latents(values, min, unit, |latent| latent as u16), page_rows, order, &mut column);
    } else if latents <= u64::from(u32::MAX) {
        put_head(&mut column.meta, PCO_U32, min, unit);
        encode_pco(&to_latents(values, min, unit, |latent| latent as u32), page_rows, order, &mut column);
    } else {
        put_head(&mut column.meta, PCO_U64, min, unit);
        encode_pco(&to_latents(values, min, unit, |latent| latent), page_rows, order, &mut column);
    }
    column
}

fn put_head(meta: &mut Vec<u8>, method: u8, base: i64, unit: u64) {
    meta.push(method);
    put_signed(meta, base);
    put_varint(meta, unit);
}

fn range(values: &[i64]) -> (i64, i64) {
    values.iter().fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(*value), max.max(*value)))
}

fn changes_at_most(values: &[i64], limit: usize) -> bool {
    let mut changes = 0;
    for block in values.chunks(256) {
        changes += block.windows(2).filter(|pair| pair[0] != pair[1]).count();
        if changes > limit {
            return false;
        }
    }
    // Changes from block to block were not counted: at most one each, and pages begin anew anyway.
    true
}

fn encode_runs(values: &[i64], base: i64, page_rows: &[usize], column: &mut EncodedColumn) {
    let mut rest = values;
    for rows in page_rows {
        let (page, later) = rest.split_at(*rows);
        rest = later;
        let mut before = page[0];
        put_varint(&mut column.bytes, before.wrapping_sub(base) as u64);
        let mut last_change = 0;
        for (row, value) in page.iter().enumerate().skip(1) {
            if *value != before {
                put_varint(&mut column.bytes, (row - last_change) as u64);
                put_varint(&mut column.bytes, value.wrapping_sub(base) as u64);
                (before, last_change) = (*value, row);
            }
        }
        column.ends.push(column.bytes.len());
    }
}

/// What all differences share. Tried on a few first, since most columns share nothing.
fn shared_unit(values: &[i64], base: i64, width: u64) -> u64 {
    let offset = |value: &i64| value.wrapping_sub(base) as u64;
    let mut unit = values.iter().take(12).map(offset).fold(0, gcd);
    if unit == 1 {
        return 1;
    }
    if width <= u64::from(u32::MAX) {
        for value in values {
            let latent = offset(value) as u32;
            if !latent.is_multiple_of(unit as u32) {
                unit = gcd(unit, u64::from(latent));
                if unit == 1 {
                    return 1;
                }
            }
        }
    } else {
        for value in values {
            unit = gcd(unit, offset(value));
            if unit == 1 {
                return 1;
            }
        }
    }
    unit.max(1)
}

fn to_latents<T>(values: &[i64], base: i64, unit: u64, narrow: impl Fn(u64) -> T) -> Vec<T> {
    if unit == 1 {
        return values.iter().map(|value| narrow(value.wrapping_sub(base) as u64)).collect();
    }
    values.iter().map(|value| narrow(value.wrapping_sub(base) as u64 / unit)).collect()
}

/// Which order of deltas leaves the fewest bits, by a sample from the middle.
fn delta_order(values: &[i64]) -> usize {
    const SAMPLE: usize = 258;
    let start = values.len().saturating_sub(SAMPLE) / 2;
    let sample = &values[start..values.len().min(start + SAMPLE)];
    if sample.len() < 4 {
        return usize::from(values.len() >= 2);
    }
    let centre = sample[sample.len() / 2];
    let plain = bits_estimate(sample.iter().map(|value| value.wrapping_sub(centre)));
    let first = bits_estimate(sample.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
    let step = |a: i64, b: i64, c: i64| c.wrapping_sub(b).wrapping_sub(b.wrapping_sub(a));
    let second = bits_estimate(sample.windows(3).map(|three| step(three[0], three[1], three[2])));
    // A higher order costs each page another number, so it must be worth it.
    if second + 0.15 < first && second + 0.3 < plain {
        2
    } else if first + 0.1 < plain {
        1
    } else {
        0
    }
}

/// About how many bits a number takes: where few different ones come, by how often two are equal;
/// else by their lengths.
fn bits_estimate(numbers: impl Iterator<Item = i64>) -> f64 {
    /// With so many bits, equal pairs are too rare in a sample to tell more.
    const FEW_BITS: f64 = 5.5;
    /// What a bell curve takes beyond the mean length of its numbers.
    const BEYOND_LENGTH: f64 = 1.6;
    let mut counts = [0_u16; 256];
    let (mut count, mut lengths) = (0_u32, 0);
    for number in numbers {
        lengths += 64 - number.unsigned_abs().leading_zeros();
        counts[((number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize] += 1;
        count += 1;
    }
    let pairs: u64 = counts.iter().map(|count| u64::from(*count) * u64::from(*count)).sum();
    let total = f64::from(count.max(1));
    let by_pairs = (total * total / (pairs.max(1) as f64)).log2();
    if by_pairs < FEW_BITS { by_pairs } else { by_pairs.max(f64::from(lengths) / total + BEYOND_LENGTH) }
}

/// Encodes latents with pco: its chunk meta goes to the column's meta, its pages to the bytes.
pub fn encode_pco<T: Number>(latents: &[T], page_rows: &[usize], order: usize, column: &mut EncodedColumn) {
    let delta = if order == 0 { DeltaSpec::NoOp } else { DeltaSpec::TryConsecutive(order) };
    let config = ChunkConfig::default()
        .with_compression_level(PCO_LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(delta)
        .with_paging_spec(PagingSpec::Exact(page_rows.to_vec()));
    let mut compressor = FileCompressor::default()
        .chunk_compressor(latents, &config)
        .expect("pages are not empty and sum to the rows, far below pco's most, and the order is below 8");
    compressor.write_meta(&mut column.meta).expect("a Vec takes every write");
    for page in 0..page_rows.len() {
        compressor.write_page(page, &mut column.bytes).expect("a Vec takes every write");
        column.ends.push(column.bytes.len());
    }
}

/// What is needed to decode the pages of a column.
pub struct IntegerColumn {
    base: i64,
    unit: u64,
    method: Method,
}

enum Method {
    Constant,
    Runs,
    U16(ChunkDecompressor<u16>),
    U32(ChunkDecompressor<u32>),
    U64(ChunkDecompressor<u64>),
}

/// What decoding of pco leaves lying between calls, one a thread.
#[derive(Default)]
struct Scratch {
    pco: pco::DecompressorScratch,
    u16s: Vec<u16>,
    u32s: Vec<u32>,
    u64s: Vec<u64>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Makes a decompressor from pco's chunk meta, after looking at what decides its memory.
pub fn pco_chunk<T: Number>(meta: &[u8]) -> Result<ChunkDecompressor<T>, &'static str> {
    let first = *meta.first().ok_or("no pco meta")?;
    let (mode, delta) = (first & 0x0F, first >> 4);
    if mode != 0 || delta > 1 {
        return Err("pco meta of a mode that is never written");
    }
    let (file, _) = FileDecompressor::new(&PCO_HEADER[..]).map_err(|_| "pco header")?;
    let (chunk, rest) = file.chunk_decompressor::<T, _>(meta).map_err(|_| "pco meta")?;
    if rest.is_empty() { Ok(chunk) } else { Err("bytes behind the pco meta") }
}

/// Decodes a pco page of `rows` numbers into `out`.
pub fn pco_page<T: Number>(
    chunk: &ChunkDecompressor<T>,
    page: &[u8],
    rows: usize,
    scratch: &mut pco::DecompressorScratch,
    out: &mut Vec<T>,
) -> Result<(), &'static str> {
    out.resize(rows, T::default());
    let mut pages = chunk.page_decompressor_with_scratch(page, rows, scratch).map_err(|_| "pco page")?;
    let progress = pages.read(&mut out[..rows]).map_err(|_| "pco page")?;
    if progress.n_processed == rows && progress.finished { Ok(()) } else { Err("pco page is too short") }
}

impl IntegerColumn {
    /// Reads a column's meta, all of `meta`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(meta: &[u8]) -> Result<IntegerColumn, &'static str> {
        let mut reader = Reader::new(meta);
        let head = (|| Some((reader.u8()?, reader.signed()?, reader.varint().filter(|unit| *unit > 0)?)))();
        let (method, base, unit) = head.ok_or("column meta is cut short")?;
        let rest = reader.rest();
        let method = match method {
            CONSTANT if rest.is_empty() => Method::Constant,
            RUNS if rest.is_empty() => Method::Runs,
            PCO_U16 => Method::U16(pco_chunk(rest)?),
            PCO_U32 => Method::U32(pco_chunk(rest)?),
            PCO_U64 => Method::U64(pco_chunk(rest)?),
            _ => return Err("unknown column method"),
        };
        Ok(IntegerColumn { base, unit, method })
    }

    /// Decodes a page of `rows` rows and appends `map(value)` of the wanted ones to `out`.
    ///
    /// # Errors
    /// What is wrong with the page; `out` is as it was.
    #[inline]
    pub fn page<T: Clone>(
        &self,
        page: &[u8],
        rows: usize,
        wanted: std::ops::Range<usize>,
        out: &mut Vec<T>,
        map: impl Fn(i64) -> T,
    ) -> Result<(), &'static str> {
        let (base, unit) = (self.base, self.unit);
        let value = |latent: u64| map(base.wrapping_add(unit.wrapping_mul(latent) as i64));
        SCRATCH.with_borrow_mut(|scratch| {
            match &self.method {
                Method::Constant => out.resize(out.len() + wanted.len(), map(base)),
                Method::Runs => return runs(page, rows, wanted, out, value),
                Method::U16(chunk) => {
                    pco_page(chunk, page, rows, &mut scratch.pco, &mut scratch.u16s)?;
                    out.extend(scratch.u16s[wanted].iter().map(|latent| value(u64::from(*latent))));
                }
                Method::U32(chunk) => {
                    pco_page(chunk, page, rows, &mut scratch.pco, &mut scratch.u32s)?;
                    out.extend(scratch.u32s[wanted].iter().map(|latent| value(u64::from(*latent))));
                }
                Method::U64(chunk) => {
                    pco_page(chunk, page, rows, &mut scratch.pco, &mut scratch.u64s)?;
                    out.extend(scratch.u64s[wanted].iter().map(|latent| value(*latent)));
                }
            }
            Ok(())
        })
    }
}

fn runs<T: Clone>(
    page: &[u8],
    rows: usize,
    wanted: std::ops::Range<usize>,
    out: &mut Vec<T>,
    value: impl Fn(u64) -> T,
) -> Result<(), &'static str> {
    let kept = out.len();
    let mut reader = Reader::new(page);
    let mut fill = || {
        let mut current = value(reader.varint()?);
        let mut row = 0;
        loop {
            let next = if reader.is_empty() { rows } else { row + reader.count(rows - row).filter(|gap| *gap > 0)? };
            let part = row.max(wanted.start)..next.min(wanted.end);
            out.resize(out.len() + part.len(), current);
            if next == rows {
                return reader.is_empty().then_some(());
            }
            current = value(reader.varint()?);
            row = next;
        }
    };
    fill().ok_or_else(|| {
        out.truncate(kept);
        "runs of a page are out of order"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(values: &[i64], page: usize) -> usize {
        let rows: Vec<usize> = values.chunks(page).map(<[i64]>::len).collect();
        let column = encode(values, &rows);
        let open = IntegerColumn::open(&column.meta).unwrap();
        let mut out = Vec::new();
        for (index, rows) in rows.iter().enumerate() {
            open.page(column.page(index), *rows, 0..*rows, &mut out, |value| value).unwrap();
        }
        assert_eq!(out, values);
        out.clear();
        let last = rows.len() - 1;
        open.page(column.page(last), rows[last], rows[last] / 2..rows[last], &mut out, |value| value).unwrap();
        assert_eq!(out, values[values.len() - (rows[last] - rows[last] / 2)..]);
        column.meta.len() + column.bytes.len()
    }

    #[test]
    fn all_of_i64_comes_back() {
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) ^ state
        };
        for count in [1_usize, 2, 3, 511, 512, 513, 1500] {
            for shift in [0, 1, 8, 15, 16, 17, 31, 32, 40, 63] {
                let values: Vec<i64> = (0..count).map(|_| (random() >> shift) as i64).collect();
                round_trip(&values, 512);
                let scaled: Vec<i64> = values.iter().map(|value| value.wrapping_mul(1000)).collect();
                round_trip(&scaled, 512);
            }
            round_trip(&vec![i64::MIN; count], 512);
            let ends: Vec<i64> = (0..count).map(|i| if i % 100 < 50 { i64::MIN } else { i64::MAX }).collect();
            round_trip(&ends, 512);
            let ramp: Vec<i64> = (0..count as i64).map(|i| i * i * 31).collect();
            round_trip(&ramp, 512);
        }
    }

    #[test]
    fn states_cost_almost_nothing() {
        let states: Vec<i64> = (0..5000).map(|row| i64::from(row / 700 % 2 == 1)).collect();
        assert!(round_trip(&states, 512) < 60);
    }

    #[test]
    fn the_header_of_pco_is_the_one_of_format_1() {
        let mut header = Vec::new();
        FileCompressor::default().write_header(&mut header).unwrap();
        assert_eq!(header, PCO_HEADER);
    }
}
