//! What stands in meta for a fleet: keys and values.
//!
//! ```text
//!   fleet               FleetRecord   the rule, set before the first tag, and what holds for all slices
//!   node/NNNNNNNNNN     NodeRecord    a process: its store, state, roles, where it is reached
//!   slice/NNNNNNNNNN    SliceEntry    who leads the slice, who holds it (`protocol::SliceEntry`)
//!   target/NNNNNNNNNN   TargetRecord  where the slice is on its way to
//! ```
//! Promises: what was written is read back as it was; a value of another release is refused. May not know how meta is reached.

use bytes::Bytes;
use meta::Key;
use prost::Message as Wire;
use protocol::membership::{NodeEntry, NodeState};
use protocol::{Mode, Policy, ReplicaId, SliceEntry};
use types::{DistributionRule, Epoch, NodeId, SliceId, StoreId};

/// Under which all slices stand.
pub(crate) const SLICES: &str = "slice/";
/// Under which all processes stand.
pub(crate) const NODES: &str = "node/";
/// Under which all targets stand.
pub(crate) const TARGETS: &str = "target/";
/// What holds for the whole fleet.
pub(crate) const FLEET: &str = "fleet";

/// The layout of all values.
const LAYOUT: u32 = 1;

/// What a process of the fleet does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// It can tend the fleet.
    pub manager: bool,
    /// It has the tag table, and clients.
    pub scheduler: bool,
    /// It holds slices.
    pub data: bool,
}

impl Roles {
    /// Managers.
    pub const MANAGER: Roles = Roles { manager: true, scheduler: false, data: false };
    /// Schedulers.
    pub const SCHEDULER: Roles = Roles { manager: false, scheduler: true, data: false };
    /// Data nodes.
    pub const DATA: Roles = Roles { manager: false, scheduler: false, data: true };

    /// Whether all of these are among them.
    #[must_use]
    pub fn has(self, roles: Roles) -> bool {
        (self.manager || !roles.manager) && (self.scheduler || !roles.scheduler) && (self.data || !roles.data)
    }
}

/// A process of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// What managers agree on. The store of a process that holds no slices is its own identity.
    pub entry: NodeEntry,
    /// What it does.
    pub roles: Roles,
    /// Its door: `https://HOST:PORT`.
    pub address: String,
    /// Where clients reach it; empty where they don't.
    pub clients: String,
    /// What its store was laid with, where that is of a backup.
    pub laid: Option<Laid>,
}

/// A data node's part of a backup with which the fleet begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Laid {
    /// Which backup.
    pub backup: String,
    /// All slices of it in which something was written, wherever they are.
    pub written: Vec<SliceId>,
    /// Those that are here, and the highest epoch of each.
    pub here: Vec<(SliceId, Epoch)>,
}

/// What holds for the whole fleet. The rule changes only while there is no tag, the period never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetRecord {
    /// Which slice a sample lies in.
    pub rule: DistributionRule,
    /// Length of a file group's period in microseconds.
    pub period_us: i64,
    /// Copies of each slice, the primary included.
    pub copies: u32,
    /// How slices are replicated, unless it is said otherwise.
    pub policy: Policy,
}

/// Where a slice is on its way to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRecord {
    /// Who is to hold it, the primary first.
    pub nodes: Vec<NodeId>,
    /// Who held it when it began.
    pub before: Vec<NodeId>,
    /// Why: `move`, `switch`, `even`, or `mend` (copies on nodes that leave, or too few or too many of them).
    pub why: String,
    /// When it began: microseconds since 1970 by the wall clock of whoever began it.
    pub since_us: i64,
}

#[derive(Clone, PartialEq, Wire)]
pub(crate) struct Place {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub store: Vec<u8>,
}

/// A number of 16 bytes.
pub(crate) fn wide(bytes: &[u8]) -> Option<u128> {
    Some(u128::from_le_bytes(bytes.try_into().ok()?))
}

impl From<ReplicaId> for Place {
    fn from(id: ReplicaId) -> Place {
        Place { node: id.node.0, store: id.store.0.to_le_bytes().to_vec() }
    }
}

impl Place {
    pub(crate) fn replica(&self) -> Option<ReplicaId> {
        Some(ReplicaId { node: NodeId(self.node), store: StoreId(wide(&self.store)?) })
    }
}

#[derive(Clone, PartialEq, Wire)]
struct Slice {
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
    #[prost(uint32, tag = "4")]
    state: u32,
    #[prost(bool, tag = "5")]
    drains: bool,
    #[prost(uint32, tag = "6")]
    weight: u32,
    #[prost(string, tag = "7")]
    region: String,
    #[prost(string, tag = "8")]
    rack: String,
    #[prost(bool, tag = "9")]
    manager: bool,
    #[prost(bool, tag = "10")]
    scheduler: bool,
    #[prost(bool, tag = "11")]
    data: bool,
    #[prost(string, tag = "12")]
    clients: String,
    #[prost(message, optional, tag = "13")]
    laid: Option<LaidParts>,
}

#[derive(Clone, PartialEq, Wire)]
struct LaidParts {
    #[prost(string, tag = "1")]
    backup: String,
    #[prost(uint32, repeated, tag = "2")]
    written: Vec<u32>,
    #[prost(uint32, repeated, tag = "3")]
    here: Vec<u32>,
    #[prost(uint64, repeated, tag = "4")]
    epochs: Vec<u64>,
}

impl From<&Laid> for LaidParts {
    fn from(laid: &Laid) -> LaidParts {
        let (here, epochs) = laid.here.iter().map(|(slice, epoch)| (slice.0, epoch.0)).unzip();
        LaidParts { backup: laid.backup.clone(), written: laid.written.iter().map(|slice| slice.0).collect(), here, epochs }
    }
}

impl From<LaidParts> for Laid {
    fn from(parts: LaidParts) -> Laid {
        let here = parts.here.into_iter().zip(parts.epochs).map(|(slice, epoch)| (SliceId(slice), Epoch(epoch))).collect();
        Laid { backup: parts.backup, written: parts.written.into_iter().map(SliceId).collect(), here }
    }
}

#[derive(Clone, Copy, PartialEq, Wire)]
struct Fleet {
    #[prost(uint32, tag = "1")]
    layout: u32,
    #[prost(uint32, tag = "2")]
    w1: u32,
    #[prost(uint64, tag = "3")]
    b1: u64,
    #[prost(uint32, tag = "4")]
    w2: u32,
    #[prost(uint64, tag = "5")]
    b2: u64,
    #[prost(uint32, tag = "6")]
    buckets: u32,
    #[prost(int64, tag = "7")]
    day_us: i64,
    #[prost(int64, tag = "8")]
    period_us: i64,
    #[prost(uint32, tag = "9")]
    copies: u32,
    #[prost(uint32, tag = "10")]
    min_in_sync: u32,
    /// 0 = sync.
    #[prost(uint64, tag = "11")]
    lag_records_max: u64,
}

#[derive(Clone, PartialEq, Wire)]
struct Target {
    #[prost(uint32, tag = "1")]
    layout: u32,
    #[prost(uint64, repeated, tag = "2")]
    nodes: Vec<u64>,
    #[prost(uint64, repeated, tag = "3")]
    before: Vec<u64>,
    #[prost(string, tag = "4")]
    why: String,
    #[prost(sint64, tag = "5")]
    since_us: i64,
}

const STATES: [NodeState; 6] =
    [NodeState::Joining, NodeState::Normal, NodeState::Suspect, NodeState::Down, NodeState::Recovering, NodeState::Draining];

fn key(prefix: &str, number: u64) -> Key {
    Key::new(&format!("{prefix}{number:010}")).expect("the text is short and plain")
}

/// The key of a slice's entry.
#[must_use]
pub fn slice_key(slice: SliceId) -> Key {
    key(SLICES, slice.0.into())
}

/// The key of a process.
#[must_use]
pub fn node_key(node: NodeId) -> Key {
    key(NODES, node.0)
}

/// The key of a slice's target.
#[must_use]
pub fn target_key(slice: SliceId) -> Key {
    key(TARGETS, slice.0.into())
}

/// The key of what holds for the whole fleet.
#[must_use]
pub fn fleet_key() -> Key {
    Key::new(FLEET).expect("the text is short and plain")
}

/// The number in a key below a prefix.
pub(crate) fn number(key: &Key, prefix: &str) -> Option<u64> {
    key.text().strip_prefix(prefix)?.parse().ok()
}

/// The slice in a key below a prefix.
pub(crate) fn slice_of(key: &Key, prefix: &str) -> Option<SliceId> {
    number(key, prefix).and_then(|slice| u32::try_from(slice).ok()).map(SliceId)
}

fn mode(lag_records_max: u64) -> Mode {
    if lag_records_max == 0 { Mode::Sync } else { Mode::Async { lag_records_max } }
}

fn lag(mode: Mode) -> u64 {
    match mode {
        Mode::Sync => 0,
        Mode::Async { lag_records_max } => lag_records_max,
    }
}

/// A slice's entry as a value.
#[must_use]
pub fn slice_value(entry: &SliceEntry) -> Bytes {
    let places = |ids: &[ReplicaId]| ids.iter().map(|id| Place::from(*id)).collect();
    let value = Slice {
        layout: LAYOUT,
        epoch: entry.epoch.0,
        primary: entry.primary.into(),
        backups: places(&entry.backups),
        members: places(&entry.members),
        min_in_sync: entry.policy.min_in_sync,
        lag_records_max: lag(entry.policy.mode),
        forced: entry.forced.0,
    };
    value.encode_to_vec().into()
}

/// The entry that a value holds; None where it is of another release, or damaged.
#[must_use]
pub fn slice_entry(value: &[u8]) -> Option<SliceEntry> {
    let value = Slice::decode(value).ok().filter(|value| value.layout == LAYOUT)?;
    let places = |places: &[Place]| places.iter().map(Place::replica).collect::<Option<Vec<_>>>();
    Some(SliceEntry {
        epoch: Epoch(value.epoch),
        primary: value.primary.replica()?,
        backups: places(&value.backups)?,
        members: places(&value.members)?,
        policy: Policy { mode: mode(value.lag_records_max), min_in_sync: value.min_in_sync },
        forced: Epoch(value.forced),
    })
}

/// A process as a value.
#[must_use]
pub fn node_value(record: &NodeRecord) -> Bytes {
    let NodeRecord { entry, roles, address, clients, laid } = record;
    let value = Node {
        layout: LAYOUT,
        address: address.clone(),
        store: entry.store.0.to_le_bytes().to_vec(),
        state: STATES.iter().position(|state| *state == entry.state).expect("all states are listed") as u32,
        drains: entry.drains,
        weight: entry.weight,
        region: entry.region.clone(),
        rack: entry.rack.clone(),
        manager: roles.manager,
        scheduler: roles.scheduler,
        data: roles.data,
        clients: clients.clone(),
        laid: laid.as_ref().map(LaidParts::from),
    };
    value.encode_to_vec().into()
}

/// The process that a value tells of; None where it is of another release, or damaged.
#[must_use]
pub fn node_record(value: &[u8]) -> Option<NodeRecord> {
    let value = Node::decode(value).ok().filter(|value| value.layout == LAYOUT)?;
    let entry = NodeEntry {
        store: StoreId(wide(&value.store)?),
        state: *STATES.get(value.state as usize)?,
        drains: value.drains,
        weight: value.weight,
        region: value.region,
        rack: value.rack,
    };
    let roles = Roles { manager: value.manager, scheduler: value.scheduler, data: value.data };
    let laid = value.laid.map(Laid::from);
    Some(NodeRecord { entry, roles, address: value.address, clients: value.clients, laid })
}

/// What holds for the fleet, as a value.
#[must_use]
pub fn fleet_value(record: &FleetRecord) -> Bytes {
    let FleetRecord { rule, period_us, copies, policy } = *record;
    let DistributionRule { w1, b1, w2, b2, buckets, day_us } = rule;
    let (min_in_sync, lag_records_max) = (policy.min_in_sync, lag(policy.mode));
    let value = Fleet { layout: LAYOUT, w1, b1, w2, b2, buckets, day_us, period_us, copies, min_in_sync, lag_records_max };
    value.encode_to_vec().into()
}

/// What holds for the fleet; None where the value is of another release, or damaged.
#[must_use]
pub fn fleet_record(value: &[u8]) -> Option<FleetRecord> {
    let value = Fleet::decode(value).ok().filter(|value| value.layout == LAYOUT)?;
    let Fleet { w1, b1, w2, b2, buckets, day_us, period_us, copies, min_in_sync, lag_records_max, .. } = value;
    let rule = DistributionRule { w1, b1, w2, b2, buckets, day_us };
    rule.check().ok()?;
    Some(FleetRecord { rule, period_us, copies, policy: Policy { mode: mode(lag_records_max), min_in_sync } })
}

/// A target as a value.
#[must_use]
pub fn target_value(record: &TargetRecord) -> Bytes {
    let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    let TargetRecord { nodes, before, why, since_us } = record;
    let (nodes, before, why) = (numbers(nodes), numbers(before), why.clone());
    Target { layout: LAYOUT, nodes, before, why, since_us: *since_us }.encode_to_vec().into()
}

/// The target that a value holds; None where it is of another release, or damaged.
#[must_use]
pub fn target_record(value: &[u8]) -> Option<TargetRecord> {
    let value = Target::decode(value).ok().filter(|value| value.layout == LAYOUT)?;
    let nodes = |numbers: Vec<u64>| numbers.into_iter().map(NodeId).collect();
    let Target { nodes: numbers, before, why, since_us, .. } = value;
    Some(TargetRecord { nodes: nodes(numbers), before: nodes(before), why, since_us })
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
            let (rule, policy) = (DistributionRule { w2: 3, ..DistributionRule::default() }, Policy { mode, min_in_sync: 2 });
            let fleet = FleetRecord { rule, period_us: 86_400_000_000, copies: 3, policy };
            assert_eq!(fleet_record(&fleet_value(&fleet)), Some(fleet));
        }
        for state in STATES {
            let (region, rack) = ("north".to_owned(), "3".to_owned());
            let record = NodeRecord {
                entry: NodeEntry { store: StoreId(7), state, drains: true, weight: 4, region, rack },
                roles: Roles { scheduler: true, ..Roles::DATA },
                address: "https://h:1".to_owned(),
                clients: "h:5432".to_owned(),
                laid: (state == NodeState::Joining).then(|| Laid {
                    backup: "20260131T235959Z-1a2b3c".to_owned(),
                    written: vec![SliceId(1), SliceId(7)],
                    here: vec![(SliceId(7), Epoch(4))],
                }),
            };
            assert_eq!(node_record(&node_value(&record)), Some(record));
        }
        let (nodes, before) = (vec![NodeId(1), NodeId(2)], vec![NodeId(3)]);
        let target = TargetRecord { nodes, before, why: "move".to_owned(), since_us: -5 };
        assert_eq!(target_record(&target_value(&target)), Some(target));
        for nothing in [b"nothing of ours".as_slice(), b""] {
            let read = (slice_entry(nothing), node_record(nothing), fleet_record(nothing), target_record(nothing));
            assert_eq!(read, (None, None, None, None));
        }
        assert_eq!(slice_of(&slice_key(SliceId(7)), SLICES), Some(SliceId(7)));
    }

    #[test]
    fn roles_are_asked_together() {
        let both = Roles { scheduler: true, ..Roles::DATA };
        assert!(both.has(Roles::DATA) && both.has(both) && both.has(Roles::default()));
        assert!(!both.has(Roles::MANAGER) && !Roles::DATA.has(both));
    }
}
