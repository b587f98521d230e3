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
use super::summary::{Form, RawStatistics, RawSummary};
use super::{index_good, packed};
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
        put_statistics(out, &statistics);
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

fn put_statistics(out: &mut Vec<u8>, statistics: &[&RawStatistics]) {
    let form = statistics[0].form;
    packed::put_signed(out, &statistics.iter().map(|one| one.all.min).collect::<Vec<_>>());
    let columns: [fn(&RawSummary) -> i64; 3] = [|all| all.max, |all| all.first, |all| all.last];
    for of in columns {
        let above = statistics.iter().map(|one| of(&one.all).wrapping_sub(one.all.min) as u64);
        packed::put(out, &above.collect::<Vec<_>>());
    }
    let sums: Vec<u128> = statistics.iter().map(|one| sum_above(form, &one.all)).collect();
    packed::put(out, &sums.iter().map(|sum| *sum as u64).collect::<Vec<_>>());
    packed::put(out, &sums.iter().map(|sum| (*sum >> 64) as u64).collect::<Vec<_>>());
    index_good::put(out, statistics);
}

/// What is stored of a sum: what it is above the least that it can be, or a double's bits.
fn sum_above(form: Form, all: &RawSummary) -> u128 {
    match form {
        Form::Float => all.sum as u128,
        _ => all.sum.wrapping_sub(i128::from(all.count) * i128::from(all.min)) as u128,
    }
}

/// Reads the entries of a block, in order of (tag, time).
///
/// # Errors
/// What is wrong with it.
pub fn decode(payload: &[u8]) -> Result<Vec<RawEntry>, &'static str> {
    let mut reader = Reader::new(payload);
    let groups = reader.count(payload.len()).ok_or("number of groups")?;
    let mut entries = Vec::new();
    for _ in 0..groups {
        get_group(&mut reader, &mut entries).ok_or("a group of entries")?;
    }
    if !reader.is_empty() {
        return Err("bytes behind the entries");
    }
    entries.sort_by_key(|entry: &RawEntry| (entry.tag, entry.offset, entry.first_row));
    Ok(entries)
}

struct ChunkColumns<'a> {
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

fn get_group(reader: &mut Reader<'_>, entries: &mut Vec<RawEntry>) -> Option<()> {
    let kind = Kind::from_u8(reader.u8()?)?;
    let form = Form::from_code(reader.u8()?, kind)?;
    let exact = reader.u8().filter(|exact| *exact <= 1)? == 1;
    let count = reader.count(BLOCK_ENTRIES_MAX - entries.len()).filter(|count| *count > 0)?;
    let chunk_count = reader.count(count).filter(|chunks| *chunks > 0)?;
    let first_tag = reader.varint()?;
    let gaps = Packed::read(reader, count - 1)?;
    let rows = Packed::read(reader, count)?;
    let mut chunks = get_chunks(reader, chunk_count)?;
    let steps = Packed::read(reader, count)?;
    let (rows_skipped, tags_skipped) = (Packed::read(reader, count)?, Packed::read(reader, count)?);
    let times = if exact {
        (Packed::read_signed(reader, count)?, Packed::read(reader, count)?)
    } else {
        (Packed::default(), Packed::default())
    };
    let bounds = if exact { (0, 0) } else { (reader.signed()?, reader.varint()?) };
    let (mut tag, mut chunk) = (first_tag, 0_i64);
    let start = entries.len();
    for index in 0..count {
        if index > 0 {
            tag = tag.checked_add(gaps.get(index - 1))?;
        }
        chunk = chunk.checked_add(unzigzag(steps.get(index)))?;
        let of = chunks.get_mut(usize::try_from(chunk).ok()?)?;
        let rows = u32::try_from(rows.get(index)).ok()?;
        of.next_row = of.next_row.checked_add(u32::try_from(rows_skipped.get(index)).ok()?)?;
        of.next_ordinal = of.next_ordinal.checked_add(u32::try_from(tags_skipped.get(index)).ok()?)?;
        let (first_time, span) = if exact { (times.0.signed(index), times.1.get(index)) } else { bounds };
        entries.push(RawEntry {
            tag: TagId(tag),
            kind,
            rows,
            first_time,
            last_time: first_time.wrapping_add(span as i64),
            exact,
            statistics: None,
            offset: of.offset,
            bytes: of.bytes,
            header_bytes: of.header_bytes,
            first_row: of.next_row,
            ordinal: of.next_ordinal,
        });
        of.next_row = of.next_row.checked_add(rows)?;
        of.next_ordinal = of.next_ordinal.checked_add(1)?;
    }
    if form == Form::None { Some(()) } else { get_statistics(reader, form, &mut entries[start..]) }
}

fn get_chunks(reader: &mut Reader<'_>, count: usize) -> Option<Vec<ChunkAt>> {
    let columns = ChunkColumns {
        jumps: Packed::read_signed(reader, count)?,
        bytes: Packed::read(reader, count)?,
        header_bytes: Packed::read(reader, count)?,
        first_rows: Packed::read(reader, count)?,
        ordinals: Packed::read(reader, count)?,
    };
    let small = |value: u64| u32::try_from(value).ok();
    let mut end = 0_u64;
    (0..count)
        .map(|index| {
            let offset = end.wrapping_add(columns.jumps.get(index));
            let bytes = small(columns.bytes.get(index))?;
            let header_bytes = small(columns.header_bytes.get(index)).filter(|header| *header <= bytes)?;
            end = offset.checked_add(u64::from(bytes))?;
            let (next_row, next_ordinal) = (small(columns.first_rows.get(index))?, small(columns.ordinals.get(index))?);
            Some(ChunkAt { offset, bytes, header_bytes, next_row, next_ordinal })
        })
        .collect()
}

fn get_statistics(reader: &mut Reader<'_>, form: Form, entries: &mut [RawEntry]) -> Option<()> {
    let count = entries.len();
    let mins = Packed::read_signed(reader, count)?;
    let above = [Packed::read(reader, count)?, Packed::read(reader, count)?, Packed::read(reader, count)?];
    let (low, high) = (Packed::read(reader, count)?, Packed::read(reader, count)?);
    for (index, entry) in entries.iter_mut().enumerate() {
        let min = mins.signed(index);
        let stored = u128::from(low.get(index)) | u128::from(high.get(index)) << 64;
        let count = u64::from(entry.rows);
        let sum = match form {
            Form::Float => stored as i128,
            _ => (stored as i128).wrapping_add(i128::from(count) * i128::from(min)),
        };
        let [max, first, last] = above.map(|above| min.wrapping_add(above.get(index) as i64));
        let (first_time, last_time) = (entry.first_time, entry.last_time);
        let all = RawSummary { count, min, max, sum, first_time, first, last_time, last };
        entry.statistics = Some(RawStatistics { form, all, good: None });
    }
    index_good::get(reader, form, entries)
}
