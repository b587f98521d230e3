//! A batch, cut by slice.
//!
//! Promises: each row is in the part of its slice, in the order of the batch; rows are copied once. May not know who leads.

use crate::data::Batch;
use bytes::Bytes;
use kernel::{Deletion, TagSelection, Write};
use std::collections::BTreeMap;
use types::{Compression, DistributionRule, Kinds, Quality, SliceId, TagId, Timestamp};

/// The parts of a write, by slice, and how many rows it has.
pub(super) struct Parts {
    pub batches: BTreeMap<SliceId, Batch>,
    pub rows: u64,
    /// About what they take of memory and messages.
    pub bytes: usize,
    /// All tags are below.
    pub end: u64,
}

/// The slice of each row. Tags that lie side by side are of one slice, so that the rule is asked once a run of them.
struct Slices<'a> {
    rule: &'a DistributionRule,
    last: Option<(u64, SliceId)>,
}

impl Slices<'_> {
    fn of(&mut self, tag: TagId, time: Timestamp) -> SliceId {
        if !self.rule.ignores_time() {
            return self.rule.slice(tag, time);
        }
        let block = tag.0 / self.rule.b1;
        match self.last {
            Some((last, slice)) if last == block => slice,
            _ => self.last.insert((block, self.rule.slice(tag, time))).1,
        }
    }
}

/// The rows of each slice, as positions in the batch.
fn positions(rule: &DistributionRule, tags: &[TagId], times: &[Timestamp]) -> BTreeMap<SliceId, Vec<u32>> {
    let mut slices = Slices { rule, last: None };
    let mut places: Vec<Vec<u32>> = vec![Vec::new(); rule.buckets as usize];
    for (row, (tag, time)) in (0_u32..).zip(tags.iter().zip(times)) {
        places[slices.of(*tag, *time).0 as usize].push(row);
    }
    (0..).map(SliceId).zip(places).filter(|(_, rows)| !rows.is_empty()).collect()
}

fn pick<T: Copy, U>(column: &[T], rows: &[u32], of: impl Fn(T) -> U) -> Vec<U> {
    rows.iter().map(|row| of(column[*row as usize])).collect()
}

/// Qualities that are all good go without saying.
fn qualities(column: Option<&[u8]>, rows: &[u32]) -> Bytes {
    let picked = column.map(|column| pick(column, rows, |quality| quality)).unwrap_or_default();
    if picked.iter().all(|quality| *quality == Quality::GOOD.0) { Bytes::new() } else { picked.into() }
}

fn extend_qualities(before: Bytes, rows_before: usize, more: Bytes, rows_more: usize) -> Bytes {
    if before.is_empty() && more.is_empty() {
        return before;
    }
    let good = |bytes: Bytes, rows: usize| if bytes.is_empty() { vec![Quality::GOOD.0; rows] } else { bytes.to_vec() };
    let mut all = good(before, rows_before);
    all.extend(good(more, rows_more));
    all.into()
}

/// How the tags of rows are thinned, those that are, each once.
fn thinned(tags: &[u64], kinds: &dyn Kinds) -> Vec<(TagId, Compression)> {
    let mut thinned: Vec<TagId> = Vec::new();
    for tag in tags.iter().copied().map(TagId) {
        if thinned.last() != Some(&tag) && kinds.is_thinned(tag) {
            thinned.push(tag);
        }
    }
    thinned.sort_unstable();
    thinned.dedup();
    thinned.into_iter().map(|tag| (tag, kinds.compression(tag))).collect()
}

/// Cuts a write by slice. `kinds` says how tags are thinned.
pub(super) fn write(rule: &DistributionRule, write: &Write<'_>, kinds: &dyn Kinds) -> Parts {
    let mut parts = Parts { batches: BTreeMap::new(), rows: 0, bytes: 0, end: 0 };
    for batch in write.samples {
        parts.count(batch.tags(), 25);
        for (slice, rows) in positions(rule, batch.tags(), batch.times()) {
            let into = &mut parts.batches.entry(slice).or_default().rows;
            let before = into.tags.len();
            into.tags.extend(pick(batch.tags(), &rows, |tag| tag.0));
            into.times.extend(pick(batch.times(), &rows, |time| time.0));
            into.bits.extend(pick(batch.bits(), &rows, |bits| bits));
            let more = qualities(batch.qualities(), &rows);
            into.qualities = extend_qualities(std::mem::take(&mut into.qualities), before, more, rows.len());
        }
    }
    if write.samples.iter().any(|batch| kinds.any_is_thinned(batch.tags())) {
        for batch in parts.batches.values_mut() {
            batch.thinned = thinned(&batch.rows.tags, kinds);
            parts.bytes += 32 * batch.thinned.len();
        }
    }
    for batch in write.texts {
        parts.count(batch.tags(), 21);
        parts.bytes += batch.texts().bytes.len();
        for (slice, rows) in positions(rule, batch.tags(), batch.times()) {
            let into = &mut parts.batches.entry(slice).or_default().texts;
            let before = into.tags.len();
            into.tags.extend(pick(batch.tags(), &rows, |tag| tag.0));
            into.times.extend(pick(batch.times(), &rows, |time| time.0));
            let mut texts = std::mem::take(&mut into.texts).to_vec();
            for row in &rows {
                let text = batch.texts().get(*row as usize);
                texts.extend_from_slice(text);
                into.lengths.push(text.len() as u32);
            }
            into.texts = texts.into();
            let more = qualities(batch.qualities(), &rows);
            into.qualities = extend_qualities(std::mem::take(&mut into.qualities), before, more, rows.len());
        }
    }
    parts
}

/// Cuts a deletion by slice. Where the rule looks at time, a range may lie in all of them.
pub(super) fn deletion(rule: &DistributionRule, deletion: &Deletion) -> Parts {
    let mut parts = Parts { batches: BTreeMap::new(), rows: 0, bytes: 0, end: 0 };
    match deletion {
        Deletion::Points(points) => {
            let (tags, times): (Vec<TagId>, Vec<Timestamp>) = points.iter().copied().unzip();
            parts.count(&tags, 16);
            parts.rows = 0;
            for (slice, rows) in positions(rule, &tags, &times) {
                parts.batches.entry(slice).or_default().deletions = vec![Deletion::Points(pick(points, &rows, |point| point))];
            }
        }
        Deletion::Range { tags: TagSelection::List(list), range } if rule.ignores_time() => {
            parts.count(list, 8);
            parts.rows = 0;
            let times = vec![Timestamp(0); list.len()];
            for (slice, rows) in positions(rule, list, &times) {
                let tags = TagSelection::of(pick(list, &rows, |tag| tag));
                parts.batches.entry(slice).or_default().deletions = vec![Deletion::Range { tags, range: *range }];
            }
        }
        Deletion::Range { tags, .. } => {
            if let TagSelection::List(list) = tags {
                parts.count(list, 8 * rule.buckets as usize);
                parts.rows = 0;
            }
            for slice in (0..rule.buckets).map(SliceId) {
                parts.batches.entry(slice).or_default().deletions = vec![deletion.clone()];
            }
        }
    }
    parts
}

impl Parts {
    fn count(&mut self, tags: &[TagId], row_bytes: usize) {
        self.rows += tags.len() as u64;
        self.bytes += tags.len() * row_bytes;
        self.end = self.end.max(tags.iter().map(|tag| tag.0 + 1).max().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Kind, Samples, TextColumn, TextSamples, TimeRange};

    /// Tags from 4 on have a deadband of their number.
    struct High;

    impl Kinds for High {
        fn kind(&self, _: TagId) -> Option<Kind> {
            Some(Kind::F64)
        }

        fn compression(&self, tag: TagId) -> Compression {
            Compression::Deadband { deviation: tag.0 as f64, span_us: 0 }
        }

        fn is_thinned(&self, tag: TagId) -> bool {
            tag.0 >= 4
        }
    }

    fn rule(w2: u32) -> DistributionRule {
        DistributionRule { w1: 1, b1: 2, w2, b2: 1, buckets: 3, day_us: 10 }
    }

    #[test]
    fn every_row_is_in_the_part_of_its_slice_in_order() {
        let tags: Vec<TagId> = [0, 5, 1, 4, 0, 7, 2].map(TagId).to_vec();
        let times: Vec<Timestamp> = [3, 14, 25, -6, 3, 8, 9].map(Timestamp).to_vec();
        let bits: Vec<u64> = (0..7).collect();
        let bad = [192, 192, 0, 192, 192, 192, 192];
        for rule in [rule(0), rule(1)] {
            let good = Samples::new(&tags, &times, &bits, None).unwrap();
            let mixed = Samples::new(&tags, &times, &bits, Some(&bad)).unwrap();
            let parts = write(&rule, &Write { samples: &[good, mixed], ..Write::default() }, &High);
            assert_eq!((parts.rows, parts.end), (14, 8));
            for (slice, batch) in &parts.batches {
                let expected: Vec<u64> =
                    (0..7).filter(|row| rule.slice(tags[*row], times[*row]) == *slice).map(|row| row as u64).collect();
                let twice: Vec<u64> = expected.iter().chain(&expected).copied().collect();
                assert_eq!(batch.rows.bits, twice);
                assert_eq!(batch.rows.tags, twice.iter().map(|row| tags[*row as usize].0).collect::<Vec<_>>());
                let mut thinned: Vec<TagId> = expected.iter().map(|row| tags[*row as usize]).filter(|tag| tag.0 >= 4).collect();
                thinned.sort_unstable();
                assert_eq!(batch.thinned, thinned.iter().map(|tag| (*tag, High.compression(*tag))).collect::<Vec<_>>());
                let has_bad = expected.contains(&2);
                assert_eq!(batch.rows.qualities.is_empty(), !has_bad);
                assert_eq!(batch.rows.qualities.iter().filter(|quality| **quality == 0).count(), usize::from(has_bad));
            }
            assert_eq!(parts.batches.values().map(|batch| batch.rows.tags.len()).sum::<usize>(), 14);
        }
    }

    #[test]
    fn texts_and_deletions_are_cut_as_well() {
        let (tags, times) = ([TagId(0), TagId(2), TagId(1)], [Timestamp(1), Timestamp(2), Timestamp(3)]);
        let mut texts = TextColumn::new();
        ["one", "", "three"].iter().for_each(|text| texts.push(text.as_bytes()));
        let batch = TextSamples::new(&tags, &times, &texts, None).unwrap();
        let parts = write(&rule(0), &Write { texts: &[batch], ..Write::default() }, &High);
        let first = &parts.batches[&SliceId(0)].texts;
        assert_eq!((first.lengths.as_slice(), &*first.texts), ([3, 5].as_slice(), b"onethree".as_slice()));
        assert_eq!(parts.batches[&SliceId(1)].texts.lengths, [0]);

        let range = TimeRange { first: Timestamp(0), last: Timestamp(5) };
        let list = Deletion::Range { tags: TagSelection::of(tags.to_vec()), range };
        assert_eq!(deletion(&rule(0), &list).batches.len(), 2);
        assert_eq!(deletion(&rule(1), &list).batches.len(), 3, "the rule looks at time: any slice may hold some");
        let points = Deletion::Points(vec![(TagId(0), Timestamp(1)), (TagId(2), Timestamp(1))]);
        let cut = deletion(&rule(0), &points);
        assert_eq!(cut.batches[&SliceId(1)].deletions, [Deletion::Points(vec![(TagId(2), Timestamp(1))])]);
    }
}
