//! Files and the manifest that names them.
//!
//! Promises: a file is never changed; a manifest is taken as a whole. May not know the log.

use crate::data::{Group, Key, Op};
use protocol::{History, Producers};
use std::collections::BTreeMap;
use std::rc::Rc;
use types::{Period, Version};

/// A number of a file; never used twice in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileNumber(pub(super) u64);

/// An immutable file: changes of one group, in order of version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The changes, with the writes that brought them.
    pub entries: Vec<(Version, Op)>,
}

/// A group's version and files.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupFiles {
    pub(super) version: Version,
    pub(super) files: Vec<FileNumber>,
}

/// All that a slice knows of its files.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    /// The writes that files hold.
    pub(super) history: History,
    pub(super) groups: BTreeMap<Period, GroupFiles>,
    pub(super) producers: Producers,
}

/// The files themselves.
pub(super) type Files = BTreeMap<FileNumber, Rc<File>>;

impl Manifest {
    pub(super) fn flushed(&self) -> Version {
        self.history.last()
    }

    pub(super) fn group_versions(&self) -> Vec<(Period, Version)> {
        self.groups.iter().map(|(period, group)| (*period, group.version)).collect()
    }

    /// What its files hold.
    pub(super) fn read(&self, files: &Files) -> BTreeMap<Period, Group> {
        let mut groups = BTreeMap::new();
        for (period, group) in &self.groups {
            let mut entries: Vec<(Version, Op)> = Vec::new();
            for number in &group.files {
                entries.extend(files.get(number).expect("a manifest's file is there").entries.iter().copied());
            }
            // Within a record changes stand in order, so the sort must keep it.
            entries.sort_by_key(|(version, _)| version.sequence);
            let mut read = Group { version: group.version, ..Group::default() };
            for (version, op) in entries {
                read.apply(*period, version, op);
            }
            groups.insert(*period, read);
        }
        groups
    }
}

/// Joins files of one group: of two samples under a key only the newer stays, and none that a later change deletes.
pub(super) fn join(files: &[Rc<File>]) -> File {
    let mut entries: Vec<(Version, Op)> = files.iter().flat_map(|file| file.entries.iter().copied()).collect();
    entries.sort_by_key(|(version, _)| version.sequence);
    let mut seen: Vec<Key> = Vec::new();
    let mut deletions: Vec<Op> = Vec::new();
    let mut kept: Vec<(Version, Op)> = Vec::with_capacity(entries.len());
    for (version, op) in entries.into_iter().rev() {
        match op {
            Op::Put(key, _) => {
                if !seen.contains(&key) && !deletions.iter().any(|deletion| deletion.deletes(key)) {
                    seen.push(key);
                    kept.push((version, op));
                }
            }
            _ => {
                deletions.push(op);
                kept.push((version, op));
            }
        }
    }
    kept.reverse();
    File { entries: kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Epoch, Sequence};

    #[test]
    fn joining_keeps_what_is_read() {
        let version = |sequence| Version { epoch: Epoch(1), sequence: Sequence(sequence) };
        let key = |tag, time| Key { tag, time };
        let first = File { entries: vec![(version(1), Op::Put(key(1, 1), 10)), (version(2), Op::Put(key(2, 1), 20))] };
        let second = File {
            entries: vec![
                (version(3), Op::Delete(Some(1), 0, 3)),
                (version(4), Op::Put(key(2, 1), 21)),
                (version(5), Op::Put(key(1, 2), 11)),
            ],
        };
        let joined = join(&[Rc::new(first), Rc::new(second)]);
        assert_eq!(joined.entries.len(), 3, "{joined:?}");
        let mut group = Group::default();
        for (version, op) in joined.entries {
            group.apply(Period(0), version, op);
        }
        let rows: Vec<_> = group.rows.iter().map(|(key, (_, value))| (key.tag, key.time, *value)).collect();
        assert_eq!(rows, [(1, 2, 11), (2, 1, 21)]);
    }
}
