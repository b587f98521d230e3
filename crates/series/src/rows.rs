//! Putting one tag's rows in order of time, and taking out what tombstones hide.
//!
//! It promises: rows come in as they were written (later ones behind), and leave strictly rising by
//! time, the later written of equal times kept. Texts travel as row numbers in `bits`
//! (`SeriesColumns::texts` is not looked at here), so that both sorts of value share one path.

use crate::SeriesColumns;
use crate::tombstone::Hidden;
use types::{Quality, Timestamp};

/// Room that is used again and again.
#[derive(Default)]
pub(crate) struct Order {
    keys: Vec<(Timestamp, u32)>,
    bits: Vec<u64>,
    qualities: Vec<u8>,
}

impl Order {
    /// Puts the rows from `from` on in order; those before stay. Fewer may be left.
    pub fn settle(&mut self, rows: &mut SeriesColumns, from: usize) {
        if rows.times[from..].is_sorted_by(|a, b| a < b) {
            return;
        }
        self.keys.clear();
        self.keys.extend(rows.times[from..].iter().zip(0_u32..).map(|(time, row)| (*time, row)));
        // Stable, and quick on what is made of sorted stretches, as concatenated sources are.
        self.keys.sort_by_key(|(time, _)| *time);
        // Of equal times the last stays.
        let mut kept = 0;
        for at in 0..self.keys.len() {
            if self.keys.get(at + 1).is_none_or(|next| next.0 != self.keys[at].0) {
                self.keys[kept] = self.keys[at];
                kept += 1;
            }
        }
        self.keys.truncate(kept);
        rows.times.truncate(from);
        rows.times.extend(self.keys.iter().map(|(time, _)| *time));
        if rows.bits.len() > from {
            self.bits.clear();
            self.bits.extend_from_slice(&rows.bits[from..]);
            rows.bits.truncate(from);
            rows.bits.extend(self.keys.iter().map(|(_, row)| self.bits[*row as usize]));
        }
        if let Some(qualities) = &mut rows.qualities {
            self.qualities.clear();
            self.qualities.extend_from_slice(&qualities[from..]);
            qualities.truncate(from);
            qualities.extend(self.keys.iter().map(|(_, row)| self.qualities[*row as usize]));
        }
    }
}

/// Takes out the rows from `from` on that are hidden.
pub(crate) fn remove_hidden(rows: &mut SeriesColumns, from: usize, hidden: &[Hidden<'_>]) {
    if hidden.is_empty() {
        return;
    }
    let (has_bits, mut kept) = (rows.bits.len() > from, from);
    for row in from..rows.times.len() {
        if hidden.iter().any(|part| part.contains(rows.times[row])) {
            continue;
        }
        rows.times[kept] = rows.times[row];
        if has_bits {
            rows.bits[kept] = rows.bits[row];
        }
        if let Some(qualities) = &mut rows.qualities {
            qualities[kept] = qualities[row];
        }
        kept += 1;
    }
    rows.times.truncate(kept);
    if has_bits {
        rows.bits.truncate(kept);
    }
    if let Some(qualities) = &mut rows.qualities {
        qualities.truncate(kept);
    }
}

/// Adds qualities for rows whose times were just added: `times.len()` says how many there are now.
pub(crate) fn extend_qualities(rows: &mut SeriesColumns, added: Option<&[u8]>) {
    let len = rows.times.len();
    match (&mut rows.qualities, added) {
        (None, None) => {}
        (Some(column), None) => column.resize(len, Quality::GOOD.0),
        (Some(column), Some(added)) => column.extend_from_slice(added),
        (none, Some(added)) => {
            let mut column = vec![Quality::GOOD.0; len - added.len()];
            column.extend_from_slice(added);
            *none = Some(column);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use std::collections::BTreeMap;

    #[test]
    fn later_writes_stand_and_times_rise() {
        for seed in 0..2_000 {
            let dice = &mut Dice(seed);
            let mut rows = SeriesColumns::default();
            let mut expected = BTreeMap::new();
            let with_qualities = dice.one_in(2);
            rows.qualities = with_qualities.then(Vec::new);
            for row in 0..dice.below(60) {
                let time = Timestamp(if dice.one_in(3) { dice.below(20) as i64 } else { row as i64 });
                let quality = if with_qualities { dice.next() as u8 } else { 192 };
                rows.times.push(time);
                rows.bits.push(row);
                if let Some(column) = &mut rows.qualities {
                    column.push(quality);
                }
                expected.insert(time, (row, quality));
            }
            Order::default().settle(&mut rows, 0);
            let qualities = rows.qualities.clone().unwrap_or(vec![192; rows.len()]);
            let found: Vec<_> = rows
                .times
                .iter()
                .zip(&rows.bits)
                .zip(&qualities)
                .map(|((time, bits), quality)| (*time, (*bits, *quality)))
                .collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "seed {seed}");
        }
    }
}
