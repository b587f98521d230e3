//! What a store with thinned tags must hold: every sample that was taken, or samples that tell it.
//!
//! It promises to know of each sample taken whether it must be there as it was, may be told by its neighbours,
//! or is not certain; and which samples it can't ask for, because something was written or deleted
//! between the neighbours that told them. It may not know how a kernel decides.

use crate::check::kind;
use crate::oracle::{Change, Row};
use kernel::{Datum, Deletion};
use std::collections::BTreeMap;
use types::{Compression, Kind, Quality, TagId, TimeRange, Timestamp};

type Value = (Datum, Quality);

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is there.
    Done,
    /// It may be there.
    Unknown,
}

/// A sample that was taken.
#[derive(Clone, Debug)]
struct Taken {
    /// What it may be, where several writes of it are not certain.
    values: Vec<Written>,
    certain: bool,
}

/// A write of a sample: what, how it may be left out, and its place in the order. A write that may not be there says
/// nothing of what came between it and the one before.
#[derive(Clone, Debug)]
struct Written {
    value: Value,
    compression: Compression,
    order: usize,
}

/// Something that came out of order: no sample of before can be asked for where it touches its neighbours.
#[derive(Clone, Debug)]
struct Edit {
    order: usize,
    tag: TagId,
    range: TimeRange,
    deletes: bool,
}

/// All that was taken, in order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    taken: BTreeMap<(TagId, Timestamp), Taken>,
    edits: Vec<Edit>,
    newest: BTreeMap<TagId, Timestamp>,
    order: usize,
}

impl Ledger {
    /// Takes the next change; `compression` is what held for each tag when it was sent.
    pub fn take(&mut self, change: &Change, ended: Ended, compression: &[Compression]) {
        self.order += 1;
        match change {
            Change::Write { rows, .. } => {
                let rows: BTreeMap<_, _> = rows.iter().map(|row| ((row.tag, row.time), row)).collect();
                rows.into_values().for_each(|row| self.write(row, ended, compression[row.tag.0 as usize]));
            }
            Change::Delete(deletion) => self.delete(deletion, ended, compression.len() as u64),
        }
    }

    fn write(&mut self, row: &Row, ended: Ended, compression: Compression) {
        let newest = self.newest.entry(row.tag).or_insert(Timestamp::MIN);
        if row.time <= *newest {
            self.edits.push(Edit { order: self.order, tag: row.tag, range: TimeRange::at(row.time), deletes: false });
        }
        *newest = row.time.max(*newest);
        let written = Written { value: (row.value.clone(), row.quality), compression, order: self.order };
        let taken = self.taken.entry((row.tag, row.time)).or_insert(Taken { values: Vec::new(), certain: false });
        if ended == Ended::Done {
            taken.values.clear();
            taken.certain = true;
        }
        taken.values.push(written);
    }

    fn delete(&mut self, deletion: &Deletion, ended: Ended, tags: u64) {
        let hits = |tag: TagId, time: Timestamp| match deletion {
            Deletion::Range { tags, range } => tags.contains(tag) && range.contains(time),
            Deletion::Points(points) => points.contains(&(tag, time)),
        };
        match ended {
            Ended::Done => self.taken.retain(|(tag, time), _| !hits(*tag, *time)),
            Ended::Unknown => {
                let hit = self.taken.iter_mut().filter(|((tag, time), _)| hits(*tag, *time));
                hit.for_each(|(_, taken)| taken.certain = false);
            }
        }
        let order = self.order;
        match deletion {
            Deletion::Range { tags: selection, range } => {
                let hit = (0..tags).map(TagId).filter(|tag| selection.contains(*tag));
                self.edits.extend(hit.map(|tag| Edit { order, tag, range: *range, deletes: true }));
            }
            Deletion::Points(points) => {
                let edit =
                    |(tag, time): &(TagId, Timestamp)| Edit { order, tag: *tag, range: TimeRange::at(*time), deletes: true };
                self.edits.extend(points.iter().map(edit));
            }
        }
    }

    /// Holds a store's content against what was taken.
    pub fn check(&self, content: &[Row]) {
        let found: BTreeMap<(TagId, Timestamp), &Row> = content.iter().map(|row| ((row.tag, row.time), row)).collect();
        for row in content {
            let taken = self.taken.get(&(row.tag, row.time));
            let is_it = |written: &Written| (&written.value.0, written.value.1) == (&row.value, row.quality);
            let known = taken.is_some_and(|taken| taken.values.iter().any(is_it));
            assert!(known, "found {row:?}, of which is known: {taken:?}");
        }
        for ((tag, time), taken) in &self.taken {
            if !taken.certain || found.contains_key(&(*tag, *time)) {
                continue;
            }
            let before = found.range((*tag, Timestamp::MIN)..(*tag, *time)).next_back().map(|found| *found.1);
            let after = found.range((*tag, *time)..=(*tag, Timestamp::MAX)).next().map(|found| *found.1);
            let told = taken.values.iter().any(|Written { value, compression, order }| {
                let edited = self.is_edited((*tag, *time), *order, before, after);
                edited || is_told(*tag, *time, value, *compression, before, after)
            });
            assert!(told, "tag {tag} at {time}: {taken:?} is told neither by {before:?} nor by {after:?}");
            // Where a newer one was deleted, this one may have been left out on its account.
            let newest = self.taken.range((*tag, *time)..=(*tag, Timestamp::MAX)).nth(1).is_none();
            let later = |edit: &Edit| taken.values.iter().any(|written| edit.order > written.order);
            let deleted = self.edits.iter().any(|edit| edit.deletes && edit.tag == *tag && later(edit));
            assert!(!newest || deleted, "tag {tag} at {time}: {taken:?} is the newest and not there");
        }
    }

    fn is_edited(&self, (tag, time): (TagId, Timestamp), order: usize, before: Option<&Row>, after: Option<&Row>) -> bool {
        let first = before.map_or(Timestamp::MIN, |row| row.time);
        let last = after.map_or(Timestamp::MAX, |row| row.time);
        let gap = TimeRange { first, last };
        // Rows of one write are decided on in order of time: the newest may be replaced after a late one was left out.
        let later = |edit: &Edit| edit.order > order || (edit.order == order && edit.range.first > time);
        self.edits.iter().any(|edit| edit.tag == tag && later(edit) && edit.range.overlaps(&gap))
    }

    /// The store came back with this: what was not certain is now known.
    pub fn resolve(&mut self, content: &[Row]) {
        let found: BTreeMap<(TagId, Timestamp), &Row> = content.iter().map(|row| ((row.tag, row.time), row)).collect();
        self.taken.retain(|key, taken| match found.get(key) {
            Some(row) => {
                taken.values.retain(|written| (&written.value.0, written.value.1) == (&row.value, row.quality));
                taken.certain = true;
                true
            }
            None => taken.certain,
        });
    }
}

/// Whether the neighbours tell a sample as its compression promises.
fn is_told(
    tag: TagId,
    time: Timestamp,
    value: &Value,
    compression: Compression,
    before: Option<&Row>,
    after: Option<&Row>,
) -> bool {
    let (kind, Some(before)) = (kind(tag), before) else { return false };
    let (Datum::Bits(bits), Datum::Bits(before_bits)) = (&value.0, &before.value) else { return false };
    let near = |span_us: i64, last: Timestamp| span_us == 0 || last.0 - before.time.0 <= span_us;
    match compression {
        Compression::Lossless => false,
        Compression::Deadband { deviation, span_us } => {
            let same = bits == before_bits;
            let close = !matches!(kind, Kind::Bool | Kind::State) && rise(kind, *before_bits, *bits).abs() <= deviation;
            value.1 == before.quality && near(span_us, Timestamp(time.0 + 1)) && (same || close)
        }
        Compression::SwingingDoor { deviation, span_us } => {
            let Some(after) = after else { return false };
            let Datum::Bits(after_bits) = &after.value else { return false };
            let part = (time.0 - before.time.0) as f64 / (after.time.0 - before.time.0) as f64;
            let (here, there) = (rise(kind, *before_bits, *bits), rise(kind, *before_bits, *after_bits));
            let off = (here - there * part).abs();
            let alike = value.1 == before.quality && value.1 == after.quality;
            alike && near(span_us, after.time) && off <= deviation + 1e-9 * (here.abs() + there.abs())
        }
    }
}

fn rise(kind: Kind, from: u64, to: u64) -> f64 {
    if kind.is_integer() {
        return (i128::from(to as i64) - i128::from(from as i64)) as f64;
    }
    kind.bits_to_f64(to) - kind.bits_to_f64(from)
}
