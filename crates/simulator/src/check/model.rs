//! The model of one slice: every record that was ever made, and from which record each one follows.
//!
//! ```text
//!   1.1 ── 1.2 ── 1.3 ── 2.4 ── 2.5        a version is a place in this tree; what a slice may hold is
//!             └── 1.3' would be a bug      always one way from the root to a version
//! ```
//! Promises: one version is one record; a row's value at a version is what replaying that way gives.

use crate::data::{Key, Op};
use protocol::Record;
use rustc_hash::FxHashMap;
use types::{Origin, Version};

struct Node {
    version: Version,
    parent: u32,
    origin: Option<Origin>,
    digest: u64,
    ops: Vec<Op>,
}

/// The tree of a slice's records.
#[derive(Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    places: FxHashMap<Version, u32>,
}

const ROOT: u32 = u32::MAX;

impl Tree {
    /// Notes that a record of these changes was logged somewhere.
    ///
    /// # Errors
    /// What differs from the record that had this version before.
    pub(crate) fn note(&mut self, record: &Record, ops: &[Op]) -> Result<(), String> {
        if let Some(place) = self.places.get(&record.version) {
            let node = &self.nodes[*place as usize];
            let prev = self.version(node.parent);
            if (node.digest, node.origin, prev) == (record.digest, record.origin, record.prev) {
                return Ok(());
            }
            return Err(format!("version {} is two different records, after {prev} and after {}", record.version, record.prev));
        }
        let Some(parent) = self.place(record.prev) else {
            return Err(format!("record {} follows {}, which nobody wrote", record.version, record.prev));
        };
        let place = u32::try_from(self.nodes.len()).expect("a run has few records");
        let ops = ops.to_vec();
        self.nodes.push(Node { version: record.version, parent, origin: record.origin, digest: record.digest, ops });
        self.places.insert(record.version, place);
        Ok(())
    }

    fn place(&self, version: Version) -> Option<u32> {
        if version == Version::default() { Some(ROOT) } else { self.places.get(&version).copied() }
    }

    fn version(&self, place: u32) -> Version {
        self.nodes.get(place as usize).map_or(Version::default(), |node| node.version)
    }

    /// From a version back to the root.
    fn way(&self, from: Version) -> impl Iterator<Item = &Node> {
        let mut at = self.place(from).unwrap_or(ROOT);
        std::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.parent;
            Some(node)
        })
    }

    /// Whether one version lies on the way to another.
    pub(crate) fn leads_to(&self, early: Version, late: Version) -> bool {
        early == Version::default()
            || self.way(late).take_while(|node| node.version.sequence >= early.sequence).any(|node| node.version == early)
    }

    /// A row's value at a version.
    pub(crate) fn value(&self, at: Version, key: Key) -> Option<u64> {
        for op in self.way(at).flat_map(|node| node.ops.iter().rev()) {
            match op {
                Op::Put(of, value) if *of == key => return Some(*value),
                op if op.deletes(key) => return None,
                _ => {}
            }
        }
        None
    }

    /// Whether a batch lies on the way to a version.
    pub(crate) fn holds(&self, at: Version, origin: Origin) -> bool {
        self.way(at).any(|node| node.origin == Some(origin))
    }

    /// A batch that lies twice on the way to a version.
    pub(crate) fn twice(&self, at: Version) -> Option<(Origin, Version, Version)> {
        let mut seen: FxHashMap<Origin, Version> = FxHashMap::default();
        self.way(at).find_map(|node| {
            let origin = node.origin?;
            seen.insert(origin, node.version).map(|later| (origin, node.version, later))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{digest_bytes, encode};
    use types::{Epoch, Sequence};

    fn version(epoch: u64, sequence: u64) -> Version {
        Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
    }

    fn record(at: Version, prev: Version, ops: &[Op]) -> Record {
        let body = encode(ops);
        Record { version: at, prev, origin: None, digest: digest_bytes(&body), body }
    }

    #[test]
    fn a_version_is_one_record_and_values_follow_its_way() {
        let key = Key { tag: 1, time: 2 };
        let mut tree = Tree::default();
        let (a, b, c) = (version(1, 1), version(1, 2), version(2, 2));
        let mut note = |at, prev, ops: &[Op]| tree.note(&record(at, prev, ops), ops);
        note(a, Version::default(), &[Op::Put(key, 7)]).unwrap();
        note(b, a, &[Op::Put(key, 8), Op::Delete(None, 0, 9), Op::Put(key, 9)]).unwrap();
        note(c, a, &[Op::Retain(3)]).unwrap();
        assert!(note(c, a, &[Op::Retain(4)]).is_err());
        assert!(note(version(3, 9), version(3, 8), &[]).is_err());
        assert_eq!((tree.value(a, key), tree.value(b, key), tree.value(c, key)), (Some(7), Some(9), None));
        assert!(tree.leads_to(a, b) && tree.leads_to(a, c) && !tree.leads_to(b, c) && !tree.leads_to(b, a));
    }
}
