//! Totals: partial aggregates of many tags, added up by kind and bin.
//!
//! Promises: what comes out stands for exactly the rows that were put in, whatever their order; sums of integers stay
//! exact; memory is bounded by who takes them out.

use super::bins::key;
use crate::AggregateBatch;
use rustc_hash::FxHashMap;
use types::{Kind, TagId, Timestamp};

/// Sums of rows of any tags.
#[derive(Default)]
pub struct Totals {
    /// Where the row of a kind and bin stands.
    places: FxHashMap<(Kind, Timestamp), usize>,
    rows: AggregateBatch,
}

impl Totals {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.tags.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.tags.is_empty()
    }

    /// Adds the row of a batch.
    pub fn add(&mut self, batch: &AggregateBatch, row: usize) {
        let (kind, bin) = (batch.kinds[row], batch.bins[row]);
        let end = self.rows.tags.len();
        let at = *self.places.entry((kind, bin)).or_insert(end);
        if at == end {
            return self.begin(batch, row);
        }
        let rows = &mut self.rows;
        rows.counts[at] += batch.counts[row];
        rows.sums[at] += batch.sums[row];
        rows.integer_sums[at] += batch.integer_sums[row];
        if key(kind, batch.mins[row]) < key(kind, rows.mins[at]) {
            rows.mins[at] = batch.mins[row];
        }
        if key(kind, batch.maxs[row]) > key(kind, rows.maxs[at]) {
            rows.maxs[at] = batch.maxs[row];
        }
        if batch.first_times[row] < rows.first_times[at] {
            (rows.first_times[at], rows.firsts[at]) = (batch.first_times[row], batch.firsts[row]);
        }
        if batch.last_times[row] > rows.last_times[at] {
            (rows.last_times[at], rows.lasts[at]) = (batch.last_times[row], batch.lasts[row]);
        }
    }

    fn begin(&mut self, batch: &AggregateBatch, row: usize) {
        let rows = &mut self.rows;
        rows.tags.push(TagId(0));
        rows.kinds.push(batch.kinds[row]);
        rows.bins.push(batch.bins[row]);
        rows.counts.push(batch.counts[row]);
        rows.sums.push(batch.sums[row]);
        rows.integer_sums.push(batch.integer_sums[row]);
        rows.mins.push(batch.mins[row]);
        rows.maxs.push(batch.maxs[row]);
        rows.first_times.push(batch.first_times[row]);
        rows.firsts.push(batch.firsts[row]);
        rows.last_times.push(batch.last_times[row]);
        rows.lasts.push(batch.lasts[row]);
    }

    /// Takes out all rows; their tag says nothing.
    #[must_use]
    pub fn take(&mut self) -> AggregateBatch {
        self.places.clear();
        std::mem::take(&mut self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of one sample.
    fn put(batch: &mut AggregateBatch, kind: Kind, bin: i64, time: i64, bits: u64) {
        batch.tags.push(TagId(batch.tags.len() as u64));
        batch.kinds.push(kind);
        batch.bins.push(Timestamp(bin));
        batch.counts.push(1);
        batch.sums.push(kind.bits_to_f64(bits));
        batch.integer_sums.push(if kind.is_integer() { i128::from(bits as i64) } else { 0 });
        for column in [&mut batch.mins, &mut batch.maxs, &mut batch.firsts, &mut batch.lasts] {
            column.push(bits);
        }
        batch.first_times.push(Timestamp(time));
        batch.last_times.push(Timestamp(time));
    }

    #[test]
    fn rows_of_a_kind_and_bin_are_one() {
        let mut batch = AggregateBatch::default();
        put(&mut batch, Kind::I64, 0, 7, (-5_i64) as u64);
        put(&mut batch, Kind::I64, 0, 3, i64::MAX as u64);
        put(&mut batch, Kind::F64, 0, 5, (-2.5_f64).to_bits());
        put(&mut batch, Kind::I64, 0, 9, i64::MAX as u64);
        put(&mut batch, Kind::I64, 10, 11, 4);
        put(&mut batch, Kind::F64, 0, 4, 1.5_f64.to_bits());
        let mut totals = Totals::default();
        (0..batch.tags.len()).for_each(|row| totals.add(&batch, row));
        assert_eq!(totals.len(), 3);
        let out = totals.take();
        assert!(totals.is_empty());
        assert_eq!(out.kinds, [Kind::I64, Kind::F64, Kind::I64]);
        assert_eq!(out.counts, [3, 2, 1]);
        assert_eq!(out.integer_sums, [2 * i128::from(i64::MAX) - 5, 0, 4]);
        assert_eq!(out.sums[1], -1.0);
        assert_eq!(out.mins, [(-5_i64) as u64, (-2.5_f64).to_bits(), 4]);
        assert_eq!(out.maxs, [i64::MAX as u64, 1.5_f64.to_bits(), 4]);
        assert_eq!((out.first_times[0], out.firsts[0]), (Timestamp(3), i64::MAX as u64));
        assert_eq!((out.last_times[1], out.lasts[1]), (Timestamp(5), (-2.5_f64).to_bits()));
        // What was taken out is not added to again.
        totals.add(&batch, 4);
        assert_eq!(totals.take().counts, [1]);
    }
}
