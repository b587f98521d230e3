//! A process becomes one of the fleet: it takes a number, and says in meta what it does and where it is reached.
//!
//! Drawn, the file `member` of its directory (little endian, written once):
//! ```text
//!   0  magic "MERMEMBR"   8  format u32   12  zero u32   16  number u64   24  identity u128   40  id of the meta u128   56  crc-32c
//! ```
//! Promises: a number is taken by one swap, and only where nobody has it, or who had it is this process, or is silent, or was
//! reached at the same address (a wiped disk); a process that was one of a fleet does not join another; one whose number
//! was taken, or taken off the list, learns it; a number whose process is no scheduler counts for none. It may not know what
//! else roles mean.

use super::entries::{self, Laid, NodeRecord, Roles, node_key, node_record, node_value};
use super::following::gone;
use super::roster::Roster;
use crate::tags;
use crate::tickets::answered;
use crc_fast::CrcAlgorithm;
use meta::{Entry, Is, Meta, MetaId, PAGE_ENTRIES_MAX, Range, Swap, Swapped};
use protocol::membership::{NodeEntry, NodeState};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use types::{NodeId, StoreId};
use world::{Access, DiskError, World};

const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"MERMEMBR";
const NAME: &str = "member";
const BYTES: usize = 60;
/// How long a number is waited for whose process still counts as alive, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// How often meta is asked whose a number is, while the roster does not name this process.
const ASKS_EVERY: Duration = Duration::from_secs(1);

/// What a process says of itself.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Its number; the lowest free one where none is given and none was taken before.
    pub node: Option<NodeId>,
    /// What it does.
    pub roles: Roles,
    /// Its door: `https://HOST:PORT`.
    pub address: String,
    /// Where clients reach it; empty where they don't.
    pub clients: String,
    /// Its capacity beside others', at least 1.
    pub weight: u32,
    /// Its region.
    pub region: String,
    /// Its rack, or zone.
    pub rack: String,
    /// What its store was laid with, where that is of a backup.
    pub laid: Option<Laid>,
}

/// Why a process did not become one of the fleet.
#[derive(Debug, Error)]
pub enum JoinError {
    /// Meta did not do what was asked.
    #[error(transparent)]
    Meta(#[from] meta::Error),
    /// The disk failed.
    #[error("what this process is in the fleet: {0}")]
    Disk(#[from] DiskError),
    /// The file can't be read.
    #[error(
        "{path} is damaged or of another release: it says which number this process has in its fleet; \
         give the number at the start, remove the file and start again"
    )]
    Damaged {
        /// Which.
        path: String,
    },
    /// This directory belongs to another fleet.
    #[error(
        "{path} says that this directory is of the fleet with meta {known}, but this is meta {found}; start with the right one"
    )]
    Foreign {
        /// Which file.
        path: String,
        /// The fleet it belongs to.
        known: MetaId,
        /// The one it was started with.
        found: MetaId,
    },
    /// The number that is given is not the one that was taken before.
    #[error("this directory is node {known} of its fleet, it can't be node {given}; leave the number out")]
    OtherNumber {
        /// The number it has.
        known: NodeId,
        /// The number given.
        given: NodeId,
    },
    /// Somebody else has that number.
    #[error("number {node} is in use by a process at {address}, which is alive; give another number, or stop that process first")]
    InUse {
        /// The number.
        node: NodeId,
        /// Where it is.
        address: String,
    },
}

/// A process as one of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub node: NodeId,
    /// Its store, or, where it holds no slices, its identity.
    pub store: StoreId,
}

impl Member {
    /// Takes a number and registers the process. `store` is that of its kernel; without one it gets an identity of its own.
    /// What was registered before and is a manager's or an operator's to say (state, drain) stays. A scheduler that had the number
    /// before counts no more where this process is none: it would be missed in every majority.
    ///
    /// # Errors
    /// `JoinError`.
    pub async fn join(
        membership: &Membership,
        store: Option<StoreId>,
        meta: &dyn Meta,
        world: &World,
        dir: &Path,
    ) -> Result<Member, JoinError> {
        let (path, id) = (dir.join(NAME), meta.witness().id);
        let known = read(world, &path)?;
        if let Some(known) = known.as_ref().filter(|known| known.meta != id) {
            return Err(JoinError::Foreign { path: path.display().to_string(), known: known.meta, found: id });
        }
        if let (Some(known), Some(given)) = (&known, membership.node)
            && known.node != given
        {
            return Err(JoinError::OtherNumber { known: known.node, given });
        }
        let drawn = || StoreId(u128::from(world.random.next_u64()) << 64 | u128::from(world.random.next_u64()));
        let store = store.unwrap_or_else(|| known.as_ref().map_or_else(drawn, |known| known.identity));
        let member = match known.as_ref().map(|known| known.node).or(membership.node) {
            Some(node) => {
                take(membership, Member { node, store }, meta).await?;
                Member { node, store }
            }
            None => take_any(membership, store, meta).await?,
        };
        if !membership.roles.has(Roles::SCHEDULER)
            && let Err(fault) = tags::deregister(meta, member.node).await
        {
            tracing::warn!(%fault, "a scheduler that had number {} before still counts", member.node);
        }
        if known.is_none_or(|known| known.identity != store) {
            write(world, dir, &path, &Remembered { node: member.node, identity: store, meta: id })?;
        }
        Ok(member)
    }

    /// Waits until the number is no more this process's, and says what became of it: then the process must end, for what it says
    /// and holds counts no more, and another one may have the number.
    pub async fn lost(self, roster: Arc<Roster>, meta: Arc<dyn Meta>) -> String {
        let mut changes = roster.changes();
        loop {
            changes.borrow_and_update();
            if roster.names(self.node, self.store) {
                // The sender lives as long as the roster.
                drop(changes.changed().await);
                continue;
            }
            // The roster may be older than this process's own entry: only meta tells.
            match self.whose(&*meta).await {
                Ok(None) => {}
                Ok(Some(whose)) => return whose,
                Err(fault) => tracing::debug!(%fault, "asking whose number {} is", self.node),
            }
            tokio::time::sleep(ASKS_EVERY).await;
        }
    }

    /// Whose the number is, in words; none where it is this process's, or what stands there can't be read.
    async fn whose(self, meta: &dyn Meta) -> Result<Option<String>, meta::Error> {
        let found = answered(meta.get(&[node_key(self.node)])).await.map_err(gone)??;
        let Some(entry) = found.entries.into_iter().next().flatten() else {
            return Ok(Some(format!("number {} was taken off the list", self.node)));
        };
        let other = node_record(&entry.value).filter(|record| record.entry.store != self.store);
        Ok(other.map(|record| format!("number {} is by now that of another process, at {}", self.node, record.address)))
    }
}

/// What the next entry of a number is.
fn record(membership: &Membership, store: StoreId, before: Option<&NodeRecord>) -> NodeRecord {
    let entry = NodeEntry {
        store,
        state: before.map_or(NodeState::Joining, |before| before.entry.state),
        drains: before.is_some_and(|before| before.entry.drains),
        weight: membership.weight.max(1),
        region: membership.region.clone(),
        rack: membership.rack.clone(),
    };
    let Membership { roles, address, clients, laid, .. } = membership;
    NodeRecord { entry, roles: *roles, address: address.clone(), clients: clients.clone(), laid: laid.clone() }
}

/// Takes a certain number.
async fn take(membership: &Membership, member: Member, meta: &dyn Meta) -> Result<(), JoinError> {
    let (key, mut waited) = (node_key(member.node), Duration::ZERO);
    loop {
        let found = answered(meta.get(std::slice::from_ref(&key))).await.map_err(gone)??;
        let found = found.entries.into_iter().next().flatten();
        let before = found.as_ref().and_then(|entry| node_record(&entry.value));
        if found.is_some() && before.is_none() {
            let text = format!("what stands under number {} can't be read: is it of another release?", member.node);
            return Err(meta::Error::Invalid(text).into());
        }
        let (node, wait) = (member.node, before.as_ref().filter(|before| is_anothers(before, membership, member)));
        if let Some(before) = wait {
            if waited >= PATIENCE {
                return Err(JoinError::InUse { node, address: before.address.clone() });
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE;
            continue;
        }
        let is = found.map_or(Is::Absent, |entry: Entry| Is::Modified(entry.modified));
        if swap(meta, member.node, is, &record(membership, member.store, before.as_ref())).await? {
            return Ok(());
        }
    }
}

/// Whether a number belongs to another process, which is alive as far as managers know.
fn is_anothers(before: &NodeRecord, membership: &Membership, member: Member) -> bool {
    before.entry.store != member.store && before.entry.state.is_there() && before.address != membership.address
}

/// Takes the lowest number that nobody has; one that this very store took before, unremembered, is its own.
async fn take_any(membership: &Membership, store: StoreId, meta: &dyn Meta) -> Result<Member, JoinError> {
    loop {
        let (mut rest, mut lowest, mut own) = (Range::prefix(entries::NODES)?, 0, None);
        loop {
            let page = answered(meta.range(&rest, PAGE_ENTRIES_MAX)).await.map_err(gone)??;
            for entry in &page.entries {
                let number = entries::number(&entry.key, entries::NODES);
                lowest += u64::from(number == Some(lowest));
                let is_own = node_record(&entry.value).is_some_and(|record| record.entry.store == store);
                own = own.or(number.filter(|_| is_own));
            }
            match page.entries.last().filter(|_| page.more) {
                Some(last) => rest = rest.after(&last.key),
                None => break,
            }
        }
        if let Some(number) = own {
            let member = Member { node: NodeId(number), store };
            take(membership, member, meta).await?;
            return Ok(member);
        }
        if swap(meta, NodeId(lowest), Is::Absent, &record(membership, store, None)).await? {
            return Ok(Member { node: NodeId(lowest), store });
        }
    }
}

/// Whether the swap happened; what is in doubt is read again.
async fn swap(meta: &dyn Meta, node: NodeId, is: Is, record: &NodeRecord) -> Result<bool, JoinError> {
    let (key, value) = (node_key(node), node_value(record));
    let swap = Swap::new().when(&key, is).put(&key, value.clone());
    match answered(meta.swap(swap)).await.map_err(gone)? {
        Ok(Swapped::Done { .. }) => Ok(true),
        // Sent before, and not answered, it may have happened.
        Ok(Swapped::Conflict { found, .. }) => Ok(found.into_iter().flatten().any(|entry| entry.value == value)),
        Err(meta::Error::InDoubt(_)) => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}

/// What the file says.
struct Remembered {
    node: NodeId,
    identity: StoreId,
    meta: MetaId,
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

impl Remembered {
    fn encode(&self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..24].copy_from_slice(&self.node.0.to_le_bytes());
        out[24..40].copy_from_slice(&self.identity.0.to_le_bytes());
        out[40..56].copy_from_slice(&self.meta.0.to_le_bytes());
        let sum = checksum(&out[..56]);
        out[56..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8; BYTES]) -> Option<Remembered> {
        let wide = |at: usize| entries::wide(&bytes[at..at + 16]);
        let whole = bytes[56..] == checksum(&bytes[..56]).to_le_bytes() && &bytes[..8] == MAGIC;
        let ours = whole && bytes[8..12] == FORMAT.to_le_bytes();
        let node = NodeId(u64::from_le_bytes(bytes[16..24].try_into().ok()?));
        ours.then_some(Remembered { node, identity: StoreId(wide(24)?), meta: MetaId(wide(40)?) })
    }
}

fn read(world: &World, path: &Path) -> Result<Option<Remembered>, JoinError> {
    let file = match world.disk.open(path, Access::Read) {
        Err(fault) if fault.is_missing() => return Ok(None),
        opened => opened?,
    };
    let mut bytes = [0; BYTES];
    let length = file.len()?;
    let read = BYTES.min(length as usize);
    file.read_at(0, &mut bytes[..read])?;
    // What was made and not written to its end is as good as none.
    let begun = bytes.iter().all(|byte| *byte == 0) || bytes.starts_with(MAGIC) && read < BYTES;
    if begun && length <= BYTES as u64 {
        return Ok(None);
    }
    Remembered::decode(&bytes).map(Some).ok_or_else(|| JoinError::Damaged { path: path.display().to_string() })
}

fn write(world: &World, dir: &Path, path: &Path, remembered: &Remembered) -> Result<(), DiskError> {
    world.disk.make_dir(dir)?;
    let file = match world.disk.open(path, Access::Write) {
        Err(fault) if fault.is_missing() => world.disk.create(path)?,
        opened => opened?,
    };
    file.write_at(0, &[&remembered.encode()])?;
    file.sync()?;
    world.disk.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_comes_back() {
        let remembered = Remembered { node: NodeId(7), identity: StoreId(8 << 100), meta: MetaId(9 << 100) };
        let bytes = remembered.encode();
        let back = Remembered::decode(&bytes).expect("it is whole");
        assert_eq!((back.node, back.identity, back.meta), (remembered.node, remembered.identity, remembered.meta));
        for at in 0..BYTES {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert!(Remembered::decode(&damaged).is_none(), "byte {at}");
        }
    }
}
