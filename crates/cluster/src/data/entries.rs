//! Slices and nodes as they stand in meta: keys and values.
//!
//! ```text
//!   slice/NNNNNNNNNN   SliceEntry   who leads the slice, who holds it (`protocol::SliceEntry`)
//!   node/NNNNNNNNNN    where a node is reached, and its store
//! ```
//! Promises: what was written is read back as it was; a value of another release is refused. May not know how meta is reached.

use super::messages::{Place, wide};
use bytes::Bytes;
use meta::Key;
use prost::Message as Wire;
use protocol::{Mode, Policy, ReplicaId, SliceEntry};
use types::{Epoch, NodeId, SliceId, StoreId};

/// Under which all slices stand.
pub(super) const SLICES: &str = "slice/";
/// Under which all nodes stand.
pub(super) const NODES: &str = "node/";

/// The layout of both values.
const LAYOUT: u32 = 1;

#[derive(Clone, PartialEq, Wire)]
struct Entry {
    #[prost(uint32, tag = "1")]
    layout: u32,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(message, required, tag = "3")]
    primary: Place,
    #[prost(message, repeated, tag = "4")]
    backups: Vec<Place>,
    #[prost(message, repeated, tag = "5")]
    members: Vec<Place>,
    #[prost(uint32, tag = "6")]
    min_in_sync: u32,
    /// 0 = sync.
    #[prost(uint64, tag = "7")]
    lag_records_max: u64,
    #[prost(uint64, tag = "8")]
    forced: u64,
}

#[derive(Clone, PartialEq, Wire)]
struct Node {
    #[prost(uint32, tag = "1")]
    layout: u32,
    #[prost(string, tag = "2")]
    address: String,
    #[prost(bytes = "vec", tag = "3")]
    store: Vec<u8>,
}

fn key(prefix: &str, number: u64) -> Key {
    Key::new(&format!("{prefix}{number:010}")).expect("the text is short and plain")
}

/// The key of a slice's entry.
#[must_use]
pub fn slice_key(slice: SliceId) -> Key {
    key(SLICES, slice.0.into())
}

/// The key of a node's address.
#[must_use]
pub fn node_key(node: NodeId) -> Key {
    key(NODES, node.0)
}

/// The number in a key below a prefix.
pub(super) fn number(key: &Key, prefix: &str) -> Option<u64> {
    key.text().strip_prefix(prefix)?.parse().ok()
}

/// A slice's entry as a value.
#[must_use]
pub fn slice_value(entry: &SliceEntry) -> Bytes {
    let places = |ids: &[ReplicaId]| ids.iter().map(|id| Place::from(*id)).collect();
    let value = Entry {
        layout: LAYOUT,
        epoch: entry.epoch.0,
        primary: entry.primary.into(),
        backups: places(&entry.backups),
        members: places(&entry.members),
        min_in_sync: entry.policy.min_in_sync,
        lag_records_max: match entry.policy.mode {
            Mode::Sync => 0,
            Mode::Async { lag_records_max } => lag_records_max,
        },
        forced: entry.forced.0,
    };
    value.encode_to_vec().into()
}

/// The entry that a value holds; None where it is of another release, or damaged.
#[must_use]
pub fn slice_entry(value: &[u8]) -> Option<SliceEntry> {
    let value = Entry::decode(value).ok().filter(|value| value.layout == LAYOUT)?;
    let places = |places: &[Place]| places.iter().map(Place::replica).collect::<Option<Vec<_>>>();
    let mode = match value.lag_records_max {
        0 => Mode::Sync,
        lag_records_max => Mode::Async { lag_records_max },
    };
    Some(SliceEntry {
        epoch: Epoch(value.epoch),
        primary: value.primary.replica()?,
        backups: places(&value.backups)?,
        members: places(&value.members)?,
        policy: Policy { mode, min_in_sync: value.min_in_sync },
        forced: Epoch(value.forced),
    })
}

/// Where a node is reached, as a value.
pub(super) fn node_value(address: &str, store: StoreId) -> Bytes {
    Node { layout: LAYOUT, address: address.to_owned(), store: store.0.to_le_bytes().to_vec() }.encode_to_vec().into()
}

/// A node's address and store.
pub(super) fn node_address(value: &[u8]) -> Option<(String, StoreId)> {
    let value = Node::decode(value).ok().filter(|value| value.layout == LAYOUT)?;
    Some((value.address, StoreId(wide(&value.store)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        let id = |node| ReplicaId { node: NodeId(node), store: StoreId(u128::from(node) << 100) };
        let entry = |mode| SliceEntry {
            epoch: Epoch(3),
            primary: id(1),
            backups: vec![id(2)],
            members: vec![id(1), id(2)],
            policy: Policy { mode, min_in_sync: 1 },
            forced: Epoch(2),
        };
        for mode in [Mode::Sync, Mode::Async { lag_records_max: 9 }] {
            assert_eq!(slice_entry(&slice_value(&entry(mode))), Some(entry(mode)));
        }
        assert_eq!(slice_entry(b"nothing of ours"), None);
        assert_eq!(node_address(&node_value("https://h:1", StoreId(7))), Some(("https://h:1".to_owned(), StoreId(7))));
        assert_eq!(number(&slice_key(SliceId(7)), SLICES), Some(7));
    }
}
