//! Reading rows of an entry: its chunk's header and the pages that overlap what is wanted.
//!
//! A chunk that is short is read whole, in one call of the disk; of a longer one the header is read
//! and then the pages in question, which lie side by side. Buffers are kept per thread.
//!
//! Promises: after an error `out` has the rows that it had before; every block that is used was
//! checked; a page's error names the tag and the range of time that it may hold.

use super::chunk_read::{ChunkHeader, Page, PagePlace};
use super::entry::{Entry, ReadCost};
use super::error::Error;
use super::qualities::USUAL;
use super::reader::SeriesFile;
use super::recent::{self, Recent, Seen};
use super::times::TimeMethod;
use crate::{Datum, Projection, Reading, SeriesColumns};
use std::cell::RefCell;
use std::ops::Range;
use storage::block::{self, Seal};
use types::{Quality, TimeRange, Timestamp};

/// Chunks up to this length are read whole.
const READ_WHOLE_BYTES: u32 = 16 * 1024;

/// Entries with at most so many rows may share their chunk with others.
const FEW_ROWS: u32 = 2_048;

#[derive(Default)]
struct Buffers {
    header: Vec<u8>,
    pages: Vec<u8>,
    one: SeriesColumns,
}

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// A chunk in memory: its header, and those of its pages that were read.
struct Loaded<'a> {
    header: ChunkHeader<'a>,
    pages: &'a [u8],
    /// Where `pages` begin in the chunk.
    base: usize,
}

impl SeriesFile {
    /// Appends the entry's rows in `range` to `out`, decoding only pages that overlap it.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Damaged`; `out` is then as it was.
    pub fn read(
        &self,
        entry: &Entry,
        range: TimeRange,
        projection: Projection,
        out: &mut SeriesColumns,
    ) -> Result<ReadCost, Error> {
        if !range.overlaps(&entry.range()) {
            return Ok(ReadCost::default());
        }
        if entry.rows <= FEW_ROWS
            && let Some(cost) = self.read_recent(entry, range, projection, out)
        {
            return Ok(cost);
        }
        let before = (out.times.len(), out.bits.len(), out.texts.len());
        let read = BUFFERS.with_borrow_mut(|buffers| {
            let mut cost = ReadCost::default();
            let Buffers { header, pages, .. } = buffers;
            let rows = |header: &ChunkHeader<'_>| rows_in(header, entry, range);
            let (loaded, wanted) = self.load(entry, header, pages, rows, &mut cost)?;
            for number in pages_of(&loaded.header, &wanted) {
                let place = loaded.header.pages[number];
                let rows = wanted.start.max(place.first_row)..wanted.end.min(place.first_row + place.rows);
                let page = self.page(entry, &loaded, number)?;
                cost.rows += place.rows as u64;
                read_page(&loaded.header, &page, entry, rows, range, projection, out)
                    .map_err(|what| self.page_damage(entry, &loaded.header, number, what))?;
            }
            Ok(cost)
        });
        if read.is_err() {
            out.times.truncate(before.0);
            out.bits.truncate(before.1);
            out.texts.offsets.truncate(before.2 + 1);
            out.texts.bytes.truncate(out.texts.offsets.last().copied().unwrap_or(0) as usize);
            out.qualities.iter_mut().for_each(|qualities| qualities.truncate(before.0));
        }
        read
    }

    /// Reads an entry of a chunk that was decoded whole, or is worth it by now. None where it is not,
    /// or can't be: the pages of this entry may yet be whole.
    fn read_recent(&self, entry: &Entry, range: TimeRange, projection: Projection, out: &mut SeriesColumns) -> Option<ReadCost> {
        let offset = entry.place.offset;
        let often = RECENT.with_borrow_mut(|recent| match recent.look(self.opening, offset) {
            Seen::Rows(all) => Some(recent::copy(all, entry, range, projection, out)),
            Seen::Often => None,
            Seen::Seldom => Some(false),
        });
        match often {
            Some(true) => return Some(ReadCost::default()),
            Some(false) => return None,
            None => {}
        }
        let mut cost = ReadCost::default();
        let all = BUFFERS.with_borrow_mut(|buffers| {
            let Buffers { header, pages, .. } = buffers;
            let all_rows = |header: &ChunkHeader<'_>| Ok(0..header.rows);
            let (loaded, _) = self.load(entry, header, pages, all_rows, &mut cost).ok()?;
            self.whole_chunk(entry, &loaded)
        })?;
        cost.rows += all.times.len() as u64;
        let copied = recent::copy(&all, entry, range, projection, out);
        RECENT.with_borrow_mut(|recent| recent.keep(self.opening, offset, all));
        copied.then_some(cost)
    }

    /// All rows of a chunk; None where anything of it is damaged.
    fn whole_chunk(&self, entry: &Entry, loaded: &Loaded<'_>) -> Option<SeriesColumns> {
        let header = &loaded.header;
        let lines = recent::lines(header)?;
        let mut all = SeriesColumns::default();
        for number in 0..header.pages.len() {
            let place = header.pages[number];
            let rows = place.first_row..place.first_row + place.rows;
            let page = self.page(entry, loaded, number).ok()?;
            page.times(header, rows.clone(), |row| lines[row], &mut all.times).ok()?;
            page.values(header, rows.clone(), &mut all).ok()?;
            if all.qualities.is_some() || !page.is_usual() {
                let qualities = all.qualities.get_or_insert_default();
                qualities.resize(rows.end, USUAL);
                page.qualities(rows.clone(), &mut qualities[rows]).ok()?;
            }
        }
        Some(all)
    }

    /// The entry's newest row at or before `time`; decodes one page.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Damaged`.
    pub fn newest_until(&self, entry: &Entry, time: Timestamp) -> Result<Option<Reading>, Error> {
        if time < entry.first_time {
            return Ok(None);
        }
        BUFFERS.with_borrow_mut(|buffers| {
            let Buffers { header, pages, one } = buffers;
            let until = TimeRange { first: Timestamp::MIN, last: time };
            let rows = |header: &ChunkHeader<'_>| last_rows_in(header, entry, until);
            let (loaded, wanted) = self.load(entry, header, pages, rows, &mut ReadCost::default())?;
            for number in pages_of(&loaded.header, &wanted).rev() {
                let place = loaded.header.pages[number];
                let rows = wanted.start.max(place.first_row)..wanted.end.min(place.first_row + place.rows);
                let page = self.page(entry, &loaded, number)?;
                let found = newest_of_page(&loaded.header, &page, entry, rows, time, one);
                if let Some(reading) = found.map_err(|what| self.page_damage(entry, &loaded.header, number, what))? {
                    return Ok(Some(reading));
                }
            }
            Ok(None)
        })
    }

    /// Reads the entry's chunk: its header and the pages of the rows that `choose` picks.
    fn load<'b>(
        &self,
        entry: &Entry,
        header: &'b mut Vec<u8>,
        pages: &'b mut Vec<u8>,
        choose: impl Fn(&ChunkHeader<'_>) -> Result<Range<usize>, &'static str>,
        cost: &mut ReadCost,
    ) -> Result<(Loaded<'b>, Range<usize>), Error> {
        let place = entry.place;
        let end = place.offset.checked_add(u64::from(place.bytes));
        if end.is_none_or(|end| end > self.index.offset) || place.header_bytes > place.bytes {
            return Err(self.header_damage(entry, "its entry names a place outside of the chunks"));
        }
        let whole = place.bytes <= READ_WHOLE_BYTES;
        let first = if whole { place.bytes } else { place.header_bytes } as usize;
        fill(header, first);
        self.file.read_at(place.offset, &mut header[..first])?;
        cost.bytes += first as u64;
        let framed = &header[..place.header_bytes as usize];
        let seal = Seal { file: self.identity, offset: place.offset };
        let payload = block::open(framed, seal).ok_or_else(|| self.header_damage(entry, "the checksum does not fit"))?;
        let parsed = ChunkHeader::parse(payload, framed.len(), place.bytes as usize);
        let parsed = parsed.map_err(|what| self.header_damage(entry, what))?;
        let last_row = u64::from(place.first_row) + u64::from(entry.rows);
        if last_row > parsed.rows as u64 || place.ordinal as usize >= parsed.tags() || parsed.kind != entry.kind {
            return Err(self.header_damage(entry, "it does not have the rows that its entry names"));
        }
        let wanted = choose(&parsed).map_err(|what| self.header_damage(entry, what))?;
        if whole {
            return Ok((Loaded { header: parsed, pages: &header[..first], base: 0 }, wanted));
        }
        let numbers = pages_of(&parsed, &wanted);
        let base = parsed.pages.get(numbers.start).map_or(0, |page| page.offset);
        let bytes = parsed.pages[numbers].iter().map(|page| page.bytes).sum::<usize>();
        fill(pages, bytes);
        self.file.read_at(place.offset + base as u64, &mut pages[..bytes])?;
        cost.bytes += bytes as u64;
        Ok((Loaded { header: parsed, pages: &pages[..bytes], base }, wanted))
    }

    fn page<'b>(&self, entry: &Entry, loaded: &Loaded<'b>, number: usize) -> Result<Page<'b>, Error> {
        let place = loaded.header.pages[number];
        let start = place.offset - loaded.base;
        let framed = &loaded.pages[start..start + place.bytes];
        let seal = Seal { file: self.identity, offset: entry.place.offset + place.offset as u64 };
        let damaged = |what: &'static str| self.page_damage(entry, &loaded.header, number, what);
        let payload = block::open(framed, seal).ok_or_else(|| damaged("the checksum does not fit"))?;
        Page::parse(payload, &place).map_err(damaged)
    }

    fn header_damage(&self, entry: &Entry, what: &str) -> Error {
        Error::Damaged {
            path: self.path().to_path_buf(),
            offset: entry.place.offset,
            block: "chunk header",
            what: what.to_owned(),
            tag: Some(entry.tag),
            range: Some(entry.range()),
        }
    }

    fn page_damage(&self, entry: &Entry, header: &ChunkHeader<'_>, number: usize, what: &str) -> Error {
        Error::Damaged {
            path: self.path().to_path_buf(),
            offset: entry.place.offset + header.pages[number].offset as u64,
            block: "page",
            what: what.to_owned(),
            tag: Some(entry.tag),
            range: Some(page_range(header, entry, number)),
        }
    }
}

/// Makes a buffer at least so long. What is in it does not matter.
fn fill(buffer: &mut Vec<u8>, bytes: usize) {
    if buffer.len() < bytes {
        buffer.resize(bytes, 0);
    }
}

/// The range of time that a page's rows of an entry may lie in.
pub(super) fn page_range(header: &ChunkHeader<'_>, entry: &Entry, number: usize) -> TimeRange {
    let place = header.pages[number];
    let tag_row = entry.place.first_row as usize;
    let (first, step) = header.line(entry.place.ordinal as usize);
    let all = entry.range();
    if header.time == TimeMethod::Regular {
        let from = place.first_row.saturating_sub(tag_row);
        let to = (place.first_row + place.rows - 1).saturating_sub(tag_row).min(entry.rows as usize - 1);
        let at = |row: usize| Timestamp(super::times::at(first, step, row));
        return TimeRange { first: at(from), last: at(to) };
    }
    let before = |next: i64| Timestamp(next.saturating_sub(1));
    TimeRange {
        first: header.page_time(number).map_or(all.first, Timestamp),
        last: header.page_time(number + 1).filter(|_| number + 1 < header.pages.len()).map_or(all.last, before),
    }
}

/// The numbers of the pages in which rows lie.
fn pages_of(header: &ChunkHeader<'_>, rows: &Range<usize>) -> Range<usize> {
    if rows.is_empty() { 0..0 } else { header.page_of(rows.start)..header.page_of(rows.end - 1) + 1 }
}

fn rows_of(entry: &Entry) -> Range<usize> {
    let first = entry.place.first_row as usize;
    first..first + entry.rows as usize
}

/// The rows of the chunk that can lie in the range, as far as its header tells.
fn rows_in(header: &ChunkHeader<'_>, entry: &Entry, range: TimeRange) -> Result<Range<usize>, &'static str> {
    let all = rows_of(entry);
    if header.time == TimeMethod::Regular {
        let (first, step) = header.line(entry.place.ordinal as usize);
        if step <= 0 && all.len() > 1 {
            return Err("times do not rise");
        }
        let step = i128::from(step.max(1));
        let until = |time: i64| (i128::from(time) - i128::from(first)).div_euclid(step).clamp(-1, all.len() as i128 - 1);
        let from = if range.first == Timestamp::MIN { -1 } else { until(range.first.0 - 1) };
        return Ok(all.start + (from + 1) as usize..all.start + (until(range.last.0) + 1) as usize);
    }
    if header.page_time(0).is_none() {
        return Ok(all);
    }
    let pages = header.pages.len();
    let after_first = partition(pages, |page| header.page_time(page).is_some_and(|time| time <= range.first.0));
    let after_last = partition(pages, |page| header.page_time(page).is_some_and(|time| time <= range.last.0));
    let row = |page: usize| header.pages.get(page).map_or(all.end, |page: &PagePlace| page.first_row);
    Ok(row(after_first.saturating_sub(1)).max(all.start)..row(after_last).min(all.end).max(all.start))
}

/// As `rows_in`, but only the last page's rows where the header tells which that is.
fn last_rows_in(header: &ChunkHeader<'_>, entry: &Entry, until: TimeRange) -> Result<Range<usize>, &'static str> {
    let rows = rows_in(header, entry, until)?;
    if rows.is_empty() || (header.time != TimeMethod::Regular && header.page_time(0).is_none()) {
        return Ok(rows);
    }
    let last_page = header.pages[header.page_of(rows.end - 1)];
    let start = if header.time == TimeMethod::Regular { rows.end - 1 } else { last_page.first_row.max(rows.start) };
    Ok(start..rows.end)
}

fn partition(count: usize, low: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (0, count);
    while from < to {
        let middle = from + (to - from) / 2;
        if low(middle) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}

fn read_page(
    header: &ChunkHeader<'_>,
    page: &Page<'_>,
    entry: &Entry,
    mut rows: Range<usize>,
    range: TimeRange,
    projection: Projection,
    out: &mut SeriesColumns,
) -> Result<(), &'static str> {
    let start = out.times.len();
    let line = header.line_of(entry.place.ordinal as usize, entry.place.first_row as usize);
    page.times(header, rows.clone(), line, &mut out.times)?;
    if header.time != TimeMethod::Regular {
        let times = &out.times[start..];
        let from = times.partition_point(|time| *time < range.first);
        let to = times.partition_point(|time| *time <= range.last).max(from);
        rows = rows.start + from..rows.start + to;
        out.times.truncate(start + to);
        out.times.drain(start..start + from);
    }
    if projection.values {
        page.values(header, rows.clone(), out)?;
    }
    if projection.qualities && (out.qualities.is_some() || !page.is_usual()) {
        let qualities = out.qualities.get_or_insert_default();
        qualities.resize(out.times.len(), USUAL);
        page.qualities(rows, &mut qualities[start..])?;
    }
    Ok(())
}

fn newest_of_page(
    header: &ChunkHeader<'_>,
    page: &Page<'_>,
    entry: &Entry,
    rows: Range<usize>,
    time: Timestamp,
    one: &mut SeriesColumns,
) -> Result<Option<Reading>, &'static str> {
    one.clear();
    let line = header.line_of(entry.place.ordinal as usize, entry.place.first_row as usize);
    page.times(header, rows.clone(), line, &mut one.times)?;
    let until = one.times.partition_point(|at| *at <= time);
    if until == 0 {
        return Ok(None);
    }
    let row = rows.start + until - 1;
    let mut quality = [USUAL];
    page.qualities(row..row + 1, &mut quality)?;
    page.values(header, row..row + 1, one)?;
    let value = if entry.kind.is_text() { Datum::Text(one.texts.get(0).into()) } else { Datum::Bits(one.bits[0]) };
    Ok(Some(Reading { time: one.times[until - 1], value, quality: Quality(quality[0]) }))
}
