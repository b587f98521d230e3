//! Index blocks: entries of up to 128 tags, in columns by group of like entries.
//!
//! ```text
//!   block    groups varint | group *
//!   group    kind u8 | form u8 | exact u8 | entries n varint | chunks c varint
//!            first tag varint | packed gaps to the next entry's tag (n - 1) | packed rows (n)
//!            of chunks (c): packed signed offset - end of the chunk before | packed length
//!                           | packed header length | packed first row | packed ordinal
//!            of entries (n): packed chunk steps (chunk number - the one before, zigzag)
//!                           | packed rows skipped | packed tags skipped (since the entry before of the chunk)
//!            exact 1: packed signed first times (n) | packed last - first (n)
//!            exact 0: earliest first zigzag | latest - earliest varint
//!            form not 255: packed signed min | packed max - min, first - min, last - min
//!                          | packed sum low | packed sum high | good
//!   sum      integers: sum - count * min, 128 bits; floats: bits of the double
//!   good     entries that differ varint | (entry gap varint | good summary) *
//! ```
//! Rows of a chunk's next entry in the group mostly follow those of the one before; first row and
//! ordinal stand once a chunk. Promises: entries come back as they were; wrong bytes are an error, never a panic.

use super::packed::Packed;
use super::summary::{Form, RawStatistics};
use super::{index_statistics, packed};
use storage::wire::{Reader, put_signed, put_varint, unzigzag, zigzag};
use types::{Kind, TagId};

/// Entries of a block, at most.
pub const BLOCK_ENTRIES_MAX: usize = 1024;

/// An entry as the index holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawEntry {
    /// The tag.
    pub tag: TagId,
    /// Its kind.
    pub kind: Kind,
    /// Rows.
    pub rows: u32,
    /// First time, or a bound.
    pub first_time: i64,
    /// Last time, or a bound.
    pub last_time: i64,
    /// Whether the times are exact.
    pub exact: bool,
    /// Statistics.
    pub statistics: Option<RawStatistics>,
    /// Where the chunk begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u32,
    /// How long its header is.
    pub header_bytes: u32,
    /// First row in the chunk.
    pub first_row: u32,
    /// Which tag of the chunk.
    pub ordinal: u32,
}

impl RawEntry {
    fn form(&self) -> Form {
        self.statistics.map_or(Form::None, |statistics| statistics.form)
    }
}

/// The payload of a block of these entries, which are in order of (tag, time).
#[must_use]
pub fn encode(entries: &[RawEntry]) -> Vec<u8> {
    let mut sorted: Vec<&RawEntry> = entries.iter().collect();
    sorted.sort_by_key(|entry| (entry.kind, entry.form(), entry.exact));
    let groups: Vec<&[&RawEntry]> = sorted.chunk_by(|a, b| (a.kind, a.form(), a.exact) == (b.kind, b.form(), b.exact)).collect();
    let mut out = Vec::new();
    put_varint(&mut out, groups.len() as u64);
    groups.iter().for_each(|group| put_group(&mut out, group));
    out
}

fn put_group(out: &mut Vec<u8>, group: &[&RawEntry]) {
    let first = group[0];
    let column = |of: &dyn Fn(&RawEntry) -> u64| group.iter().map(|entry| of(entry)).collect::<Vec<u64>>();
    out.extend_from_slice(&[first.kind as u8, first.form().code(), u8::from(first.exact)]);
    let (chunks, steps, skipped) = chunks_of(group);
    put_varint(out, group.len() as u64);
    put_varint(out, chunks.len() as u64);
    put_varint(out, first.tag.0);
    packed::put(out, &group.windows(2).map(|pair| pair[1].tag.0 - pair[0].tag.0).collect::<Vec<_>>());
    packed::put(out, &column(&|entry| u64::from(entry.rows)));
    let ends = std::iter::once(0).chain(chunks.iter().map(|chunk| chunk.offset + u64::from(chunk.bytes)));
    let jumps = chunks.iter().zip(ends).map(|(chunk, end)| chunk.offset.wrapping_sub(end) as i64);
    packed::put_signed(out, &jumps.collect::<Vec<_>>());
    let columns: [fn(&RawEntry) -> u32; 4] = [|at| at.bytes, |at| at.header_bytes, |at| at.first_row, |at| at.ordinal];
    for of in columns {
        packed::put(out, &chunks.iter().map(|chunk| u64::from(of(chunk))).collect::<Vec<_>>());
    }
    packed::put(out, &steps);
    packed::put(out, &skipped.iter().map(|(rows, _)| u64::from(*rows)).collect::<Vec<_>>());
    packed::put(out, &skipped.iter().map(|(_, tags)| u64::from(*tags)).collect::<Vec<_>>());
    if first.exact {
        packed::put_signed(out, &group.iter().map(|entry| entry.first_time).collect::<Vec<_>>());
        packed::put(out, &column(&|entry| entry.last_time.wrapping_sub(entry.first_time) as u64));
    } else {
        let earliest = group.iter().map(|entry| entry.first_time).min().unwrap_or_default();
        let latest = group.iter().map(|entry| entry.last_time).max().unwrap_or_default();
        put_signed(out, earliest);
        put_varint(out, latest.wrapping_sub(earliest) as u64);
    }
    let statistics: Vec<&RawStatistics> = group.iter().filter_map(|entry| entry.statistics.as_ref()).collect();
    if !statistics.is_empty() {
        index_statistics::put(out, &statistics);
    }
}

/// What entries say of their chunks: chunks in order of first use (named by their first entry); for
/// each entry how far its chunk is from that of the entry before, and the rows and tags that lie
/// between it and its chunk's entry before (they are in other groups).
type ChunksOf<'a> = (Vec<&'a RawEntry>, Vec<u64>, Vec<(u32, u32)>);

fn chunks_of<'a>(group: &[&'a RawEntry]) -> ChunksOf<'a> {
    let mut chunks: Vec<&RawEntry> = Vec::new();
    let mut next: Vec<(u32, u32)> = Vec::new();
    let (mut steps, mut skipped) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    let mut before = 0;
    for entry in group {
        // Entries of one chunk lie close together: look from the back.
        let number = chunks.iter().rposition(|chunk| chunk.offset == entry.offset).unwrap_or_else(|| {
            chunks.push(entry);
            next.push((entry.first_row, entry.ordinal));
            chunks.len() - 1
        });
        steps.push(zigzag(number as i64 - before));
        before = number as i64;
        skipped.push((entry.first_row - next[number].0, entry.ordinal - next[number].1));
        next[number] = (entry.first_row + entry.rows, entry.ordinal + 1);
    }
    (chunks, steps, skipped)
}

/// Where a group begins in its block, which tags it has, and marks from which looking one up begins.
#[derive(Debug)]
pub struct GroupPlace {
    /// Where it begins.
    at: u32,
    /// Its last tag.
    last: TagId,
    /// One at every `MARK_ENTRIES`th entry, from the first on.
    marks: Box<[Mark]>,
}

/// An entry in the middle of a group: sums over the entries before it need not be taken again.
#[derive(Clone, Copy, Debug)]
struct Mark {
    tag: u64,
    /// The number of its chunk in the group.
    chunk: i64,
    /// Where the chunk before that one ends.
    end: u64,
}

const MARK_ENTRIES: usize = 16;

impl GroupPlace {
    fn holds(&self, tag: TagId) -> bool {
        tag <= self.last && self.marks.first().is_some_and(|first| tag.0 >= first.tag)
    }

    /// How many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        size_of::<GroupPlace>() + size_of_val(&*self.marks)
    }
}

/// Reads the entries of a block, in order of (tag, time), and tells where each group lies.
///
/// # Errors
/// What is wrong with it.
pub fn decode(payload: &[u8], mut on_group: impl FnMut(GroupPlace)) -> Result<Vec<RawEntry>, &'static str> {
    let mut reader = Reader::new(payload);
    let groups = reader.count(payload.len()).ok_or("number of groups")?;
    let mut entries = Vec::new();
    for _ in 0..groups {
        let at = (payload.len() - reader.rest().len()) as u32;
        let marks = get_group(&mut reader, &mut entries).ok_or("a group of entries")?;
        let last = entries.last().map_or(TagId(0), |last: &RawEntry| last.tag);
        on_group(GroupPlace { at, last, marks });
    }
    if !reader.is_empty() {
        return Err("bytes behind the entries");
    }
    // A single group lies in order as a rule.
    let place = |entry: &RawEntry| (entry.tag, entry.offset, entry.first_row);
    if !entries.is_sorted_by_key(place) {
        entries.sort_by_key(place);
    }
    Ok(entries)
}

/// The columns of a group as they lie in its block, but for the statistics.
struct Group<'a> {
    kind: Kind,
    form: Form,
    exact: bool,
    count: usize,
    first_tag: u64,
    gaps: Packed<'a>,
    rows: Packed<'a>,
    chunks: ChunkColumns<'a>,
    steps: Packed<'a>,
    rows_skipped: Packed<'a>,
    tags_skipped: Packed<'a>,
    first_times: Packed<'a>,
    spans: Packed<'a>,
    bounds: (i64, u64),
}

struct ChunkColumns<'a> {
    count: usize,
    jumps: Packed<'a>,
    bytes: Packed<'a>,
    header_bytes: Packed<'a>,
    first_rows: Packed<'a>,
    ordinals: Packed<'a>,
}

/// A chunk while its entries are read: the next entry's first row and ordinal move on.
#[derive(Clone, Copy)]
struct ChunkAt {
    offset: u64,
    bytes: u32,
    header_bytes: u32,
    next_row: u32,
    next_ordinal: u32,
}

fn small(value: u64) -> Option<u32> {
    u32::try_from(value).ok()
}

impl<'a> Group<'a> {
    fn read(reader: &mut Reader<'a>, count_max: usize) -> Option<Group<'a>> {
        let kind = Kind::from_u8(reader.u8()?)?;
        let form = Form::from_code(reader.u8()?, kind)?;
        let exact = reader.u8().filter(|exact| *exact <= 1)? == 1;
        let count = reader.count(count_max).filter(|count| *count > 0)?;
        let chunk_count = reader.count(count).filter(|chunks| *chunks > 0)?;
        let mut group = Group {
            kind,
            form,
            exact,
            count,
            first_tag: reader.varint()?,
            gaps: Packed::read(reader, count - 1)?,
            rows: Packed::read(reader, count)?,
            chunks: ChunkColumns::read(reader, chunk_count)?,
            steps: Packed::read(reader, count)?,
            rows_skipped: Packed::read(reader, count)?,
            tags_skipped: Packed::read(reader, count)?,
            first_times: Packed::default(),
            spans: Packed::default(),
            bounds: (0, 0),
        };
        if exact {
            (group.first_times, group.spans) = (Packed::read_signed(reader, count)?, Packed::read(reader, count)?);
        } else {
            group.bounds = (reader.signed()?, reader.varint()?);
        }
        Some(group)
    }

    /// Entry `index`, which is the next of a chunk; the chunk moves on behind it.
    fn entry(&self, index: usize, tag: u64, of: &mut ChunkAt) -> Option<RawEntry> {
        let rows = small(self.rows.get(index))?;
        let first_row = of.next_row.checked_add(small(self.rows_skipped.get(index))?)?;
        let ordinal = of.next_ordinal.checked_add(small(self.tags_skipped.get(index))?)?;
        let (first_time, span) = if self.exact { (self.first_times.signed(index), self.spans.get(index)) } else { self.bounds };
        of.next_row = first_row.checked_add(rows)?;
        of.next_ordinal = ordinal.checked_add(1)?;
        Some(RawEntry {
            tag: TagId(tag),
            kind: self.kind,
            rows,
            first_time,
            last_time: first_time.wrapping_add(span as i64),
            exact: self.exact,
            statistics: None,
            offset: of.offset,
            bytes: of.bytes,
            header_bytes: of.header_bytes,
            first_row,
            ordinal,
        })
    }

    /// Adds the entries of one tag, with statistics where a reader of the group's is given. Only sums from the nearest mark on are
    /// taken; nothing else is decoded.
    fn find(&self, marks: &[Mark], tag: TagId, statistics: Option<Reader<'_>>, found: &mut Vec<RawEntry>) -> Option<()> {
        let nearest = marks.partition_point(|mark| mark.tag < tag.0).saturating_sub(1);
        let mark = *marks.get(nearest)?;
        let (mut index, mut at, mut chunk) = (nearest * MARK_ENTRIES, mark.tag, mark.chunk);
        while at <= tag.0 {
            if at == tag.0 {
                let mut of = self.chunks.at(usize::try_from(chunk).ok()?, &mark)?;
                self.move_on(index, chunk, &mut of)?;
                let mut entry = self.entry(index, at, &mut of)?;
                if let Some(mut reader) = statistics.filter(|_| self.form != Form::None) {
                    let rows = |index| self.rows.get(index);
                    index_statistics::get_one(&mut reader, self.form, (index, self.count), rows, &mut entry)?;
                }
                found.push(entry);
            }
            index += 1;
            if index >= self.count {
                break;
            }
            at = at.checked_add(self.gaps.get(index - 1))?;
            chunk = chunk.checked_add(unzigzag(self.steps.get(index)))?;
        }
        Some(())
    }

    /// Moves a chunk on behind those of its entries that stand before `index`.
    fn move_on(&self, index: usize, chunk: i64, of: &mut ChunkAt) -> Option<()> {
        if self.chunks.count == self.count {
            return Some(());
        }
        let mut number = 0_i64;
        for before in 0..index {
            number = number.checked_add(unzigzag(self.steps.get(before)))?;
            if number == chunk {
                self.entry(before, 0, of)?;
            }
        }
        Some(())
    }
}

impl<'a> ChunkColumns<'a> {
    fn read(reader: &mut Reader<'a>, count: usize) -> Option<ChunkColumns<'a>> {
        Some(ChunkColumns {
            count,
            jumps: Packed::read_signed(reader, count)?,
            bytes: Packed::read(reader, count)?,
            header_bytes: Packed::read(reader, count)?,
            first_rows: Packed::read(reader, count)?,
            ordinals: Packed::read(reader, count)?,
        })
    }

    fn chunk(&self, number: usize, end: &mut u64) -> Option<ChunkAt> {
        let offset = end.wrapping_add(self.jumps.get(number));
        let bytes = small(self.bytes.get(number))?;
        let header_bytes = small(self.header_bytes.get(number)).filter(|header| *header <= bytes)?;
        *end = offset.checked_add(u64::from(bytes))?;
        let (next_row, next_ordinal) = (small(self.first_rows.get(number))?, small(self.ordinals.get(number))?);
        Some(ChunkAt { offset, bytes, header_bytes, next_row, next_ordinal })
    }

    /// One chunk: where the one before it ends is a sum from a mark on.
    fn at(&self, number: usize, mark: &Mark) -> Option<ChunkAt> {
        if number >= self.count {
            return None;
        }
        let marked = usize::try_from(mark.chunk).ok()?;
        let (first, start) = if marked <= number { (marked, mark.end) } else { (0, 0) };
        let mut end = (first..number)
            .fold(start, |end, before| end.wrapping_add(self.jumps.get(before)).wrapping_add(self.bytes.get(before)));
        self.chunk(number, &mut end)
    }

    fn all(&self) -> Option<Vec<ChunkAt>> {
        let mut end = 0;
        (0..self.count).map(|number| self.chunk(number, &mut end)).collect()
    }
}

fn get_group(reader: &mut Reader<'_>, entries: &mut Vec<RawEntry>) -> Option<Box<[Mark]>> {
    let group = Group::read(reader, BLOCK_ENTRIES_MAX - entries.len())?;
    let mut chunks = group.chunks.all()?;
    let (mut tag, mut chunk) = (group.first_tag, 0_i64);
    let start = entries.len();
    entries.reserve(group.count);
    let mut marks = Vec::with_capacity(group.count.div_ceil(MARK_ENTRIES));
    for index in 0..group.count {
        if index > 0 {
            tag = tag.checked_add(group.gaps.get(index - 1))?;
        }
        chunk = chunk.checked_add(unzigzag(group.steps.get(index)))?;
        let number = usize::try_from(chunk).ok()?;
        let of = chunks.get_mut(number)?;
        entries.push(group.entry(index, tag, of)?);
        if index.is_multiple_of(MARK_ENTRIES) {
            let end = number.checked_sub(1).map_or(0, |before| chunks[before].offset + u64::from(chunks[before].bytes));
            marks.push(Mark { tag, chunk, end });
        }
    }
    if group.form != Form::None {
        index_statistics::get(reader, group.form, &mut entries[start..])?;
    }
    Some(marks.into())
}

/// Adds the entries of one tag in a block that `decode` found whole, in order of time, with their statistics only where `statistics`
/// says so. `groups` are those that `decode` told. None where the block is not what `decode` saw.
pub fn find(payload: &[u8], groups: &[GroupPlace], tag: TagId, statistics: bool, found: &mut Vec<RawEntry>) -> Option<()> {
    let start = found.len();
    for place in groups.iter().filter(|place| place.holds(tag)) {
        let mut reader = Reader::new(payload.get(place.at as usize..)?);
        let group = Group::read(&mut reader, BLOCK_ENTRIES_MAX)?;
        group.find(&place.marks, tag, statistics.then_some(reader), found)?;
    }
    found[start..].sort_by_key(|entry| (entry.offset, entry.first_row));
    Some(())
}
