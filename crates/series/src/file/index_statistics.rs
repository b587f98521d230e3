//! Statistics of a group of entries in an index block, in columns: `index.rs` draws where they stand.
//!
//! Promises: all of a group come back as they were; those of one entry are found without decoding the others'.

use super::index::RawEntry;
use super::index_good;
use super::packed::{self, Packed};
use super::summary::{Form, RawStatistics, RawSummary};
use storage::wire::Reader;

/// Appends those of a group's entries, which have one form.
pub fn put(out: &mut Vec<u8>, statistics: &[&RawStatistics]) {
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

/// The columns as they lie in their block.
struct Columns<'a> {
    form: Form,
    mins: Packed<'a>,
    above: [Packed<'a>; 3],
    sums: [Packed<'a>; 2],
}

impl<'a> Columns<'a> {
    fn read(reader: &mut Reader<'a>, form: Form, count: usize) -> Option<Columns<'a>> {
        Some(Columns {
            form,
            mins: Packed::read_signed(reader, count)?,
            above: [Packed::read(reader, count)?, Packed::read(reader, count)?, Packed::read(reader, count)?],
            sums: [Packed::read(reader, count)?, Packed::read(reader, count)?],
        })
    }

    /// Those of all rows of entry `index` of the group.
    fn all(&self, index: usize, entry: &RawEntry) -> RawStatistics {
        let min = self.mins.signed(index);
        let [low, high] = self.sums.map(|sums| u128::from(sums.get(index)));
        let (stored, count) = ((low | high << 64) as i128, u64::from(entry.rows));
        let sum = match self.form {
            Form::Float => stored,
            _ => stored.wrapping_add(i128::from(count) * i128::from(min)),
        };
        let [max, first, last] = self.above.map(|above| min.wrapping_add(above.get(index) as i64));
        let (first_time, last_time) = (entry.first_time, entry.last_time);
        let all = RawSummary { count, min, max, sum, first_time, first, last_time, last };
        RawStatistics { form: self.form, all, good: None }
    }
}

/// Reads those of a group into its entries.
pub fn get(reader: &mut Reader<'_>, form: Form, entries: &mut [RawEntry]) -> Option<()> {
    let columns = Columns::read(reader, form, entries.len())?;
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.statistics = Some(columns.all(index, entry));
    }
    index_good::get(reader, form, entries)
}

/// Reads those of entry `index` of a group of `count`, each with so many rows.
pub fn get_one(
    reader: &mut Reader<'_>,
    form: Form,
    (index, count): (usize, usize),
    rows: impl Fn(usize) -> u64,
    entry: &mut RawEntry,
) -> Option<()> {
    let mut found = Columns::read(reader, form, count)?.all(index, entry);
    found.good = index_good::get_one(reader, form, (index, count), rows, &found.all)?;
    entry.statistics = Some(found);
    Some(())
}
