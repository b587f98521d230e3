//! A chunk, reading: what its header says, and the rows of its pages.
//!
//! Promises: a header that parses has lengths and counts that fit one another; decoding a page gives
//! as many rows as were wanted or an error; nothing here reads a file.

use super::chunk::{CHUNK_ROWS_MAX, Section, ValueMethod};
use super::floats::FloatColumn;
use super::integers::IntegerColumn;
use super::packed::Packed;
use super::times::{TimeMethod, at};
use super::{decimals, qualities, texts};
use crate::SeriesColumns;
use std::ops::Range;
use storage::block::BLOCK_OVERHEAD;
use storage::wire::Reader;
use types::{Kind, TagId, Timestamp};

/// A page of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePlace {
    /// Where its block begins, from the beginning of the chunk.
    pub offset: usize,
    /// How long its block is.
    pub bytes: usize,
    /// Its first row in the chunk.
    pub first_row: usize,
    /// Its rows.
    pub rows: usize,
}

enum ValueColumn {
    Integers(IntegerColumn),
    Decimals(IntegerColumn, f64),
    Floats(FloatColumn),
    Texts,
}

/// A chunk's header.
pub struct ChunkHeader<'a> {
    /// Kind of its tags.
    pub kind: Kind,
    /// How its times are stored.
    pub time: TimeMethod,
    /// How its values are stored.
    pub value: ValueMethod,
    /// Scale of its decimals.
    pub scale: u8,
    /// All of its rows.
    pub rows: usize,
    /// Its pages, in order.
    pub pages: Vec<PagePlace>,
    first_tag: u64,
    tag_gaps: Packed<'a>,
    tag_rows: Packed<'a>,
    firsts: Packed<'a>,
    steps: Packed<'a>,
    page_times: Option<Packed<'a>>,
    time_column: Option<IntegerColumn>,
    value_column: ValueColumn,
}

impl<'a> ChunkHeader<'a> {
    /// Reads the payload of a header block; `chunk_bytes` is the length of the whole chunk,
    /// `header_bytes` that of the header block.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(payload: &'a [u8], header_bytes: usize, chunk_bytes: usize) -> Result<ChunkHeader<'a>, &'static str> {
        let (header, taken) = Self::parse_front(payload, chunk_bytes)?;
        if taken != payload.len() {
            return Err("bytes behind the header");
        }
        let last = header.pages[header.pages.len() - 1];
        if taken + BLOCK_OVERHEAD != header_bytes || last.offset + last.bytes != chunk_bytes {
            return Err("pages don't fill their chunk");
        }
        Ok(header)
    }

    /// Reads a header from the front of some bytes, and tells how many it took: so a file is walked
    /// from chunk to chunk without its index. No page is longer than `bytes_max`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_front(payload: &'a [u8], bytes_max: usize) -> Result<(ChunkHeader<'a>, usize), &'static str> {
        let mut reader = Reader::new(payload);
        let (kind, time, value, scale) = read_class(&mut reader).ok_or("class of a chunk")?;
        let tags = reader.count(CHUNK_ROWS_MAX).filter(|tags| *tags > 0).ok_or("number of tags")?;
        let head = (|| {
            let first_tag = reader.varint()?;
            let tag_gaps = Packed::read(&mut reader, tags - 1)?;
            let tag_rows = Packed::read(&mut reader, tags)?;
            let mut lines = (Packed::default(), Packed::default());
            if time != TimeMethod::Plain {
                lines = (Packed::read_signed(&mut reader, tags)?, Packed::read_signed(&mut reader, tags)?);
            }
            Some((first_tag, tag_gaps, tag_rows, lines))
        })();
        let (first_tag, tag_gaps, tag_rows, (firsts, steps)) = head.ok_or("tags of a chunk")?;
        let (mut pages, rows) = read_pages(&mut reader, bytes_max)?;
        let page_times = if time != TimeMethod::Regular && tags == 1 {
            Some(Packed::read_signed(&mut reader, pages.len()).ok_or("times of pages")?)
        } else {
            None
        };
        let time_column = match time {
            TimeMethod::Regular => None,
            _ => Some(IntegerColumn::open(read_meta(&mut reader)?)?),
        };
        let meta = read_meta(&mut reader)?;
        let value_column = match value {
            ValueMethod::Integers => ValueColumn::Integers(IntegerColumn::open(meta)?),
            ValueMethod::Decimals => ValueColumn::Decimals(IntegerColumn::open(meta)?, decimals::power(scale)),
            ValueMethod::Floats => ValueColumn::Floats(FloatColumn::open(meta)?),
            ValueMethod::Texts => ValueColumn::Texts,
        };
        let taken = payload.len() - reader.rest().len();
        pages.iter_mut().for_each(|page| page.offset += taken + BLOCK_OVERHEAD);
        let header = ChunkHeader {
            kind,
            time,
            value,
            scale,
            rows,
            pages,
            first_tag,
            tag_gaps,
            tag_rows,
            firsts,
            steps,
            page_times,
            time_column,
            value_column,
        };
        Ok((header, taken))
    }

    /// How many tags it has.
    #[must_use]
    pub fn tags(&self) -> usize {
        self.tag_rows.len()
    }

    /// Its tags with their rows, in order. The sum of rows and the order of tags are not vouched for.
    pub fn sections(&self) -> impl Iterator<Item = Section> + '_ {
        let mut tag = self.first_tag;
        (0..self.tags()).map(move |index| {
            if index > 0 {
                tag = tag.wrapping_add(self.tag_gaps.get(index - 1));
            }
            let rows = u32::try_from(self.tag_rows.get(index)).unwrap_or(u32::MAX);
            Section { tag: TagId(tag), rows, first: self.firsts.signed(index), step: self.steps.signed(index) }
        })
    }

    /// The line on which the rows of tag number `ordinal` stand, which begin at `tag_row`.
    pub fn line_of(&self, ordinal: usize, tag_row: usize) -> impl Fn(usize) -> i64 + use<> {
        let (first, step) = self.line(ordinal);
        move |row| at(first, step, row.wrapping_sub(tag_row))
    }

    /// First time and step of tag number `ordinal`.
    #[must_use]
    pub fn line(&self, ordinal: usize) -> (i64, i64) {
        (self.firsts.signed(ordinal), self.steps.signed(ordinal))
    }

    /// The time of the first row of a page, where the header tells it.
    #[must_use]
    pub fn page_time(&self, page: usize) -> Option<i64> {
        self.page_times.map(|times| times.signed(page))
    }

    /// The page in which a row lies. The row must be one of the chunk's.
    #[must_use]
    pub fn page_of(&self, row: usize) -> usize {
        self.pages.partition_point(|page| page.first_row + page.rows <= row)
    }
}

fn read_class(reader: &mut Reader<'_>) -> Option<(Kind, TimeMethod, ValueMethod, u8)> {
    let kind = Kind::from_u8(reader.u8()?)?;
    let flags = reader.u8().filter(|flags| flags & 0xF0 == 0)?;
    let value = ValueMethod::from_u8(flags >> 2, kind)?;
    let scale = reader.u8().filter(|scale| *scale <= decimals::SCALE_MAX)?;
    Some((kind, TimeMethod::from_u8(flags & 3)?, value, scale))
}

/// Pages with their offsets from the end of the header.
fn read_pages(reader: &mut Reader<'_>, bytes_max: usize) -> Result<(Vec<PagePlace>, usize), &'static str> {
    let count = reader.count(CHUNK_ROWS_MAX).filter(|pages| *pages > 0).ok_or("number of pages")?;
    let rows = Packed::read(reader, count).ok_or("rows of pages")?;
    let lengths = Packed::read(reader, count).ok_or("lengths of pages")?;
    let mut pages = Vec::with_capacity(count);
    let (mut offset, mut first_row) = (0, 0);
    for (rows, bytes) in rows.iter().zip(lengths.iter()) {
        let place = (|| {
            let rows = usize::try_from(rows).ok().filter(|rows| (1..=CHUNK_ROWS_MAX - first_row).contains(rows))?;
            let bytes = usize::try_from(bytes).ok().filter(|bytes| (BLOCK_OVERHEAD..=bytes_max).contains(bytes))?;
            Some(PagePlace { offset, bytes, first_row, rows })
        })();
        let place = place.ok_or("pages don't fit into their chunk")?;
        offset += place.bytes;
        first_row += place.rows;
        pages.push(place);
    }
    Ok((pages, first_row))
}

fn read_meta<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], &'static str> {
    let length = reader.count(reader.rest().len()).ok_or("length of column meta")?;
    reader.bytes(length).ok_or("column meta")
}

/// The parts of a page's payload.
pub struct Page<'a> {
    rows: usize,
    first_row: usize,
    times: &'a [u8],
    values: &'a [u8],
    qualities: &'a [u8],
}

impl<'a> Page<'a> {
    /// Takes a payload apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(payload: &'a [u8], place: &PagePlace) -> Result<Page<'a>, &'static str> {
        let mut reader = Reader::new(payload);
        let parts = (|| {
            let times = reader.count(payload.len())?;
            let values = reader.count(payload.len())?;
            Some((reader.bytes(times)?, reader.bytes(values)?, reader.rest()))
        })();
        let (times, values, qualities) = parts.ok_or("parts of a page")?;
        Ok(Page { rows: place.rows, first_row: place.first_row, times, values, qualities })
    }

    /// Appends the times of the wanted rows (counted in the chunk; all lie in this page). `line`
    /// tells where each row stands on its tag's line.
    ///
    /// # Errors
    /// What is wrong with the page; `out` is as it was.
    pub fn times(
        &self,
        header: &ChunkHeader<'_>,
        wanted: Range<usize>,
        line: impl Fn(usize) -> i64,
        out: &mut Vec<Timestamp>,
    ) -> Result<(), &'static str> {
        let Some(column) = &header.time_column else {
            out.extend(wanted.map(|row| Timestamp(line(row))));
            return Ok(());
        };
        let start = out.len();
        column.page(self.times, self.rows, self.inside(&wanted), out, Timestamp)?;
        if header.time == TimeMethod::Line {
            for (time, row) in out[start..].iter_mut().zip(wanted) {
                time.0 = time.0.wrapping_add(line(row));
            }
        }
        Ok(())
    }

    fn inside(&self, wanted: &Range<usize>) -> Range<usize> {
        wanted.start - self.first_row..wanted.end - self.first_row
    }

    /// Appends the values of the wanted rows.
    ///
    /// # Errors
    /// What is wrong with the page; `out` is as it was.
    pub fn values(&self, header: &ChunkHeader<'_>, wanted: Range<usize>, out: &mut SeriesColumns) -> Result<(), &'static str> {
        let inside = self.inside(&wanted);
        let kind = header.kind;
        match &header.value_column {
            ValueColumn::Integers(column) => column.page(self.values, self.rows, inside, &mut out.bits, |value| value as u64),
            ValueColumn::Decimals(column, power) => self.decimals(kind, column, *power, inside, &mut out.bits),
            ValueColumn::Floats(column) => column.page(kind, self.values, self.rows, inside, &mut out.bits),
            ValueColumn::Texts => texts::page(self.values, self.rows, inside, &mut out.texts),
        }
    }

    fn decimals(
        &self,
        kind: Kind,
        column: &IntegerColumn,
        power: f64,
        inside: Range<usize>,
        out: &mut Vec<u64>,
    ) -> Result<(), &'static str> {
        let mut reader = Reader::new(self.values);
        let count = reader.count(self.rows).ok_or("number of exceptions")?;
        let mut odd = Vec::new();
        let mut next = 0;
        for _ in 0..count {
            let exception = (|| Some((next + reader.count(self.rows)?, reader.u64()?)))();
            let (row, bits) = exception.filter(|(row, _)| *row < self.rows).ok_or("exceptions of a page")?;
            odd.push((row, bits));
            next = row + 1;
        }
        let start = out.len();
        if kind == Kind::F64 {
            column.page(reader.rest(), self.rows, inside.clone(), out, |value| decimals::bits_of(Kind::F64, value, power))?;
        } else {
            column.page(reader.rest(), self.rows, inside.clone(), out, |value| decimals::bits_of(kind, value, power))?;
        }
        for (row, bits) in odd {
            if inside.contains(&row) {
                out[start + row - inside.start] = bits;
            }
        }
        Ok(())
    }

    /// Writes the qualities of the wanted rows into `out`, which has one byte (192) a wanted row.
    ///
    /// # Errors
    /// What is wrong with the page.
    pub fn qualities(&self, wanted: Range<usize>, out: &mut [u8]) -> Result<(), &'static str> {
        qualities::get(self.qualities, self.rows, self.inside(&wanted), out)
    }

    /// Whether all of its rows have the usual quality.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        self.qualities.is_empty()
    }
}
