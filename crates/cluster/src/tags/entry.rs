//! The agreed state of the tag table as it stands in meta, under the key `tags`.
//!
//! Promises: what was written is read back as it was; a value of another release is refused. May not know how meta is reached.

use crate::fleet::entries::{Place, wide};
use bytes::Bytes;
use meta::Key;
use prost::Message as Wire;
use protocol::ReplicaId;
use protocol::tags::{ChainHash, Point, TagEntry};
use types::{Epoch, Sequence};

/// The layout of the value.
const LAYOUT: u32 = 1;

#[derive(Clone, PartialEq, Wire)]
struct Entry {
    #[prost(uint32, tag = "1")]
    layout: u32,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(message, required, tag = "3")]
    leader: Place,
    #[prost(uint64, tag = "4")]
    sequence: u64,
    #[prost(bytes = "vec", tag = "5")]
    hash: Vec<u8>,
    #[prost(message, repeated, tag = "6")]
    normal: Vec<Place>,
    #[prost(message, repeated, tag = "7")]
    registered: Vec<Place>,
}

/// The key of the entry.
#[must_use]
pub fn entry_key() -> Key {
    Key::new("tags").expect("the text is short and plain")
}

/// The entry as a value.
#[must_use]
pub fn entry_value(entry: &TagEntry) -> Bytes {
    let places = |ids: &[ReplicaId]| ids.iter().map(|id| Place::from(*id)).collect();
    let value = Entry {
        layout: LAYOUT,
        epoch: entry.epoch.0,
        leader: entry.leader.into(),
        sequence: entry.committed.sequence.0,
        hash: entry.committed.hash.0.to_le_bytes().to_vec(),
        normal: places(&entry.normal),
        registered: places(&entry.registered),
    };
    value.encode_to_vec().into()
}

/// The entry that a value holds; None where it is of another release, or damaged.
#[must_use]
pub fn tag_entry(value: &[u8]) -> Option<TagEntry> {
    let value = Entry::decode(value).ok().filter(|value| value.layout == LAYOUT)?;
    let places = |places: &[Place]| places.iter().map(Place::replica).collect::<Option<Vec<_>>>();
    Some(TagEntry {
        epoch: Epoch(value.epoch),
        leader: value.leader.replica()?,
        committed: Point { sequence: Sequence(value.sequence), hash: ChainHash(wide(&value.hash)?) },
        normal: places(&value.normal)?,
        registered: places(&value.registered)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{NodeId, StoreId};

    #[test]
    fn an_entry_comes_back() {
        let id = |node| ReplicaId { node: NodeId(node), store: StoreId(u128::from(node) << 100) };
        let committed = Point { sequence: Sequence(5), hash: ChainHash(1 << 77) };
        let (normal, registered) = (vec![id(1), id(2)], vec![id(1), id(2), id(3)]);
        let entry = TagEntry { epoch: Epoch(3), leader: id(2), committed, normal, registered };
        assert_eq!(tag_entry(&entry_value(&entry)), Some(entry));
        assert_eq!(tag_entry(b"nothing of ours"), None);
    }
}
