//! A batch, cut by slice.
//!
//! Promises: what a slice gets is all that it is to have of the batch, in one body. May not know who leads.

use crate::data::Batch;
use kernel::{Deletion, TagSelection, Write, compose};
use types::{Compression, DistributionRule, Kinds, SliceId, TagId, Timestamp};

/// The parts of a write, in order of slice, and how many rows it has.
#[derive(Default)]
pub(super) struct Parts {
    pub batches: Vec<(SliceId, Batch)>,
    pub rows: u64,
    /// About what they take of memory and messages.
    pub bytes: usize,
    /// All tags are below.
    pub end: u64,
}

/// How the tags of a write are thinned, those that are, each once, in order of tag.
fn thinned(write: &Write<'_>, kinds: &dyn Kinds) -> Vec<(TagId, Compression)> {
    let mut thinned: Vec<TagId> = Vec::new();
    for batch in write.samples.iter().filter(|batch| kinds.any_is_thinned(batch.tags())) {
        for tag in batch.tags() {
            if thinned.last() != Some(tag) && kinds.is_thinned(*tag) {
                thinned.push(*tag);
            }
        }
    }
    thinned.sort_unstable();
    thinned.dedup();
    thinned.into_iter().map(|tag| (tag, kinds.compression(tag))).collect()
}

/// Cuts a write by slice, its values checked against the kinds of their tags. `kinds` says how tags are thinned.
///
/// # Errors
/// Of `kernel::compose`.
pub(super) fn write(rule: &DistributionRule, write: &Write<'_>, kinds: &dyn Kinds) -> Result<Parts, kernel::Error> {
    let thinned = thinned(write, kinds);
    let mut parts = Parts::default();
    for (slice, body) in compose(rule, kinds, write, &[])? {
        // Where the rule looks at time, a tag's samples may be in any part.
        let own = thinned.iter().filter(|(tag, _)| !rule.ignores_time() || rule.slice(*tag, Timestamp(0)) == slice);
        parts.add(slice, Batch { body, thinned: own.copied().collect() });
    }
    let batches = write.samples.iter().map(|batch| batch.tags()).chain(write.texts.iter().map(|batch| batch.tags()));
    for tags in batches {
        parts.rows += tags.len() as u64;
        parts.see(tags.iter());
    }
    Ok(parts)
}

/// Cuts a deletion by slice. Where the rule looks at time, a range may lie in all of them.
///
/// # Errors
/// Of `kernel::compose`.
pub(super) fn deletion(rule: &DistributionRule, deletion: &Deletion, kinds: &dyn Kinds) -> Result<Parts, kernel::Error> {
    let mut parts = Parts::default();
    for (slice, body) in compose(rule, kinds, &Write::default(), std::slice::from_ref(deletion))? {
        parts.add(slice, Batch { body, thinned: Vec::new() });
    }
    match deletion {
        Deletion::Points(points) => parts.see(points.iter().map(|(tag, _)| tag)),
        Deletion::Range { tags: TagSelection::List(list), .. } => parts.see(list.iter()),
        Deletion::Range { tags: TagSelection::All, .. } => {}
    }
    Ok(parts)
}

impl Parts {
    fn add(&mut self, slice: SliceId, batch: Batch) {
        self.bytes += batch.body.len() + 32 * batch.thinned.len();
        self.batches.push((slice, batch));
    }

    fn see<'a>(&mut self, tags: impl Iterator<Item = &'a TagId>) {
        self.end = self.end.max(tags.map(|tag| tag.0 + 1).max().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Kind, Samples, TimeRange};

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
    fn each_part_says_how_its_tags_are_thinned() {
        let tags: Vec<TagId> = [0, 5, 1, 4, 0, 7, 2, 5].map(TagId).to_vec();
        let times: Vec<Timestamp> = [3, 14, 25, -6, 3, 8, 9, 5].map(Timestamp).to_vec();
        let samples = Samples::new(&tags, &times, &[0; 8], None).unwrap();
        let thinned = |of: &[u64]| -> Vec<_> { of.iter().map(|tag| (TagId(*tag), High.compression(TagId(*tag)))).collect() };
        let by_tag = write(&rule(0), &Write { samples: &[samples, samples], ..Write::default() }, &High).unwrap();
        assert_eq!((by_tag.rows, by_tag.end), (16, 8));
        let of: Vec<_> = by_tag.batches.iter().map(|(slice, batch)| (slice.0, batch.thinned.clone())).collect();
        assert_eq!(of, [(0, thinned(&[7])), (1, thinned(&[])), (2, thinned(&[4, 5]))]);
        let by_day = write(&rule(1), &Write { samples: &[samples], ..Write::default() }, &High).unwrap();
        assert!(by_day.batches.iter().all(|(_, batch)| batch.thinned == thinned(&[4, 5, 7])));
        assert!(by_day.bytes > by_day.batches.iter().map(|(_, batch)| batch.body.len()).sum());
    }

    #[test]
    fn deletions_are_cut_as_well() {
        let range = TimeRange { first: Timestamp(0), last: Timestamp(5) };
        let list = Deletion::Range { tags: TagSelection::of([0, 2, 1].map(TagId).to_vec()), range };
        let parts = |rule, of| deletion(&rule, of, &High).unwrap();
        assert_eq!((parts(rule(0), &list).batches.len(), parts(rule(0), &list).end), (2, 3));
        assert_eq!(parts(rule(1), &list).batches.len(), 3, "the rule looks at time: any slice may hold some");
        let points = Deletion::Points(vec![(TagId(0), Timestamp(1)), (TagId(2), Timestamp(1))]);
        let cut = parts(rule(0), &points);
        assert_eq!(cut.batches.iter().map(|(slice, _)| slice.0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((cut.rows, cut.end), (0, 3), "what is deleted is no row that was written");
    }
}
