//! Which of an earlier backup's series files still do: those of file groups whose version is the same.
//!
//! A merge writes a group's files anew and changes nothing in them, nor the group's version: the files that an earlier backup
//! brought hold the same rows. So the manifest of a backup may name them in the place of today's.
//! Promises: the manifest that is made says the same of every group as today's. Where deletions or held samples stand in either
//! one beside the files, nothing is exchanged: an older file could hold rows that a merge has taken out since.
//! May not know where files lie.

use std::collections::BTreeSet;
use storage::{FileMeta, Manifest};
use types::Period;

/// Today's manifest, with an earlier one's files wherever they hold the same.
pub(crate) fn manifest(today: &Manifest, earlier: &Manifest) -> Manifest {
    let mut made = today.clone();
    if !kernel::rests_on_files(today) || !kernel::rests_on_files(earlier) {
        return made;
    }
    let same = same_groups(today, earlier);
    let within = |meta: &&FileMeta| periods(meta, today).all(|period| same.contains(&period));
    made.files.retain(|meta| !within(&meta));
    made.files.extend(earlier.files.iter().filter(within).cloned());
    made.files.sort_unstable_by_key(|meta| meta.number);
    made
}

/// The groups of one version in both, none of whose files, then or today, has rows of another group.
fn same_groups(today: &Manifest, earlier: &Manifest) -> BTreeSet<Period> {
    let unchanged = today.groups.iter().filter(|(period, version)| earlier.groups.get(period) == Some(version));
    let mut same: BTreeSet<Period> = unchanged.map(|(period, _)| *period).collect();
    loop {
        let before = same.len();
        for meta in today.files.iter().chain(&earlier.files) {
            let touched: Vec<Period> = periods(meta, today).chain(periods(meta, earlier)).collect();
            if !touched.iter().all(|period| same.contains(period)) {
                same.retain(|period| !touched.contains(period));
            }
        }
        if same.len() == before {
            return same;
        }
    }
}

/// The groups that a file has rows of.
fn periods<'a>(meta: &'a FileMeta, manifest: &'a Manifest) -> impl Iterator<Item = Period> + 'a {
    let ranges = meta.periods.iter();
    ranges.flat_map(|(first, last)| manifest.groups.range(*first..=*last).map(|(period, _)| *period))
}
