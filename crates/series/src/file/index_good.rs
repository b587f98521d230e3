//! Statistics of good rows in an index block: only for the entries where they differ from those of
//! all rows.
//!
//! ```text
//!   entries that differ varint, then for each: entry gap varint | rows not good varint | unless no row
//!   is good: min - all min, all max - max varint | first, last: - all's, zigzag | first time - all's,
//!   all's last time - last time varint | sum: integers all - good, two varints (low, high) of its
//!   zigzag; floats 8 bytes
//! ```

use super::index::RawEntry;
use super::summary::{Form, RawStatistics, RawSummary};
use storage::wire::{Reader, put_signed, put_varint};

/// Appends what differs.
pub fn put(out: &mut Vec<u8>, statistics: &[&RawStatistics]) {
    let differ: Vec<(usize, &RawSummary, Option<RawSummary>)> =
        statistics.iter().enumerate().filter_map(|(index, one)| Some((index, &one.all, one.good?))).collect();
    put_varint(out, differ.len() as u64);
    let mut next = 0;
    for (index, all, good) in differ {
        put_varint(out, (index - next) as u64);
        next = index + 1;
        put_varint(out, all.count - good.map_or(0, |good| good.count));
        let Some(good) = good else { continue };
        put_varint(out, good.min.wrapping_sub(all.min) as u64);
        put_varint(out, all.max.wrapping_sub(good.max) as u64);
        put_signed(out, good.first.wrapping_sub(all.first));
        put_signed(out, good.last.wrapping_sub(all.last));
        put_varint(out, good.first_time.wrapping_sub(all.first_time) as u64);
        put_varint(out, all.last_time.wrapping_sub(good.last_time) as u64);
        if statistics[index].form == Form::Float {
            out.extend_from_slice(&(good.sum as u64).to_le_bytes());
        } else {
            let difference = all.sum.wrapping_sub(good.sum);
            let folded = ((difference << 1) ^ (difference >> 127)) as u128;
            put_varint(out, folded as u64);
            put_varint(out, (folded >> 64) as u64);
        }
    }
}

/// Reads what differs into entries that have their statistics of all rows.
pub fn get(reader: &mut Reader<'_>, form: Form, entries: &mut [RawEntry]) -> Option<()> {
    let count = reader.count(entries.len())?;
    let mut next = 0;
    for _ in 0..count {
        let index = next + reader.count(entries.len())?;
        next = index + 1;
        let statistics = entries.get_mut(index)?.statistics.as_mut()?;
        statistics.good = Some(get_summary(reader, form, &statistics.all)?);
    }
    Some(())
}

/// Reads what differs for entry `index` of a group of `count`, whose statistics of all rows are given; None within where nothing
/// does. What stands before it is passed over, for which the rows of each entry must be known.
pub fn get_one(
    reader: &mut Reader<'_>,
    form: Form,
    (index, count): (usize, usize),
    rows: impl Fn(usize) -> u64,
    all: &RawSummary,
) -> Option<Option<Option<RawSummary>>> {
    let differ = reader.count(count)?;
    let mut next = 0;
    for _ in 0..differ {
        let at = next + reader.count(count)?;
        next = at + 1;
        if at > index {
            break;
        }
        // How long it is depends on the rows alone.
        let good = get_summary(reader, form, &RawSummary { count: rows(at), ..*all })?;
        if at == index {
            return Some(Some(good));
        }
    }
    Some(None)
}

/// The statistics of an entry's good rows, beside those of all; None within where no row is good.
fn get_summary(reader: &mut Reader<'_>, form: Form, all: &RawSummary) -> Option<Option<RawSummary>> {
    let count = all.count.checked_sub(reader.varint()?)?;
    if count == 0 {
        return Some(None);
    }
    let min = all.min.wrapping_add(reader.varint()? as i64);
    let max = all.max.wrapping_sub(reader.varint()? as i64);
    let first = all.first.wrapping_add(reader.signed()?);
    let last = all.last.wrapping_add(reader.signed()?);
    let first_time = all.first_time.wrapping_add(reader.varint()? as i64);
    let last_time = all.last_time.wrapping_sub(reader.varint()? as i64);
    let sum = if form == Form::Float {
        i128::from(reader.u64()?)
    } else {
        let folded = u128::from(reader.varint()?) | u128::from(reader.varint()?) << 64;
        all.sum.wrapping_sub((folded >> 1) as i128 ^ -((folded & 1) as i128))
    };
    Some(Some(RawSummary { count, min, max, sum, first_time, first, last_time, last }))
}
