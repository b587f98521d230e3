//! The node file: what a store is, in two sectors of 512 bytes, the slices that it has, and the lock that keeps others
//! out.
//!
//! Drawn (little endian), each of the two slots (`roster` draws what follows them):
//! ```text
//!   0  magic "MERIDIAN"   8  format u32   12  generation u32   16  store id u128
//!  32  w1 u32   36  w2 u32   40  b1 u64   48  b2 u64   56  buckets u32   60  neighbours u32
//!  64  day_us i64   72  period_us i64   80  log id u64   88  the log's beginning u64   96  zeros   504  crc-32c of bytes 0..504   508  zeros
//! ```
//! The slot with the higher generation counts. A change writes the other slot and syncs: a torn
//! write leaves the older slot whole (a sector is the least that a power cut tears).
//! Promises: a directory that is not a store, is locked, is of a newer format or damaged is told
//! apart and named; a store whose making was interrupted is made anew.
//! It may not know what lies beside the node file: of its neighbours only that they must be there.

use crate::Error;
use crate::roster::Roster;
use log::{Known, Position};
use std::path::{Path, PathBuf};
use storage::StoreId;
use types::{DistributionRule, SliceId};
use world::{Access, Disk, DiskError, File, World};

/// The layout of a store that this release writes, and the newest that it reads.
pub(crate) const STORE_FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"MERIDIAN";
const SLOT_BYTES: usize = 512;
const CHECKED_BYTES: usize = 504;
/// Where the roster begins.
const ROSTER_AT: u64 = 2 * SLOT_BYTES as u64;
const FILE_NAME: &str = "node";
/// What may lie in a directory in which a store is made: the lock, a torn node file, other floors' rooms.
const ALLOWED_BESIDE: &[&str] =
    &["lock", "node", "kinds", "member", "catalog", "users", "spill", "restoring", "restored", "meridian.toml", "lost+found"];

/// What the node file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeFile {
    pub(crate) generation: u32,
    pub(crate) store: StoreId,
    pub(crate) rule: DistributionRule,
    pub(crate) period_us: i64,
    /// None until the store has a log.
    pub(crate) log: Option<Known>,
    /// A bit each, as in `Neighbour`.
    pub(crate) neighbours: u32,
}

/// What floors above keep in the store's directory, and must be there once it was noted: a store that lost it would
/// else pass for one that never had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// The tag table.
    Catalog,
    /// Passwords of users.
    Passwords,
}

impl Neighbour {
    fn bit(self) -> u32 {
        match self {
            Neighbour::Catalog => 1,
            Neighbour::Passwords => 2,
        }
    }
}

/// An opened, locked store directory.
pub(crate) struct Node {
    pub(crate) dir: PathBuf,
    pub(crate) file: NodeFile,
    /// The slices that must be there.
    pub(crate) roster: Roster,
    _lock: Box<dyn Send + Sync>,
}

impl NodeFile {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut out = [0_u8; SLOT_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&STORE_FORMAT.to_le_bytes());
        out[12..16].copy_from_slice(&self.generation.to_le_bytes());
        out[16..32].copy_from_slice(&self.store.0.to_le_bytes());
        out[32..36].copy_from_slice(&self.rule.w1.to_le_bytes());
        out[36..40].copy_from_slice(&self.rule.w2.to_le_bytes());
        out[40..48].copy_from_slice(&self.rule.b1.to_le_bytes());
        out[48..56].copy_from_slice(&self.rule.b2.to_le_bytes());
        out[56..60].copy_from_slice(&self.rule.buckets.to_le_bytes());
        out[60..64].copy_from_slice(&self.neighbours.to_le_bytes());
        out[64..72].copy_from_slice(&self.rule.day_us.to_le_bytes());
        out[72..80].copy_from_slice(&self.period_us.to_le_bytes());
        out[80..88].copy_from_slice(&self.log.map_or(0, |log| log.id).to_le_bytes());
        out[88..96].copy_from_slice(&self.log.map_or(0, |log| log.first.0).to_le_bytes());
        let sum = checksum(&out[..CHECKED_BYTES]);
        out[CHECKED_BYTES..CHECKED_BYTES + 4].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// A whole node file that says this, and lists slices.
    pub(crate) fn encode_file(&self, roster: &Roster) -> Vec<u8> {
        let mut out = vec![0; ROSTER_AT as usize];
        let at = (self.generation % 2) as usize * SLOT_BYTES;
        out[at..at + SLOT_BYTES].copy_from_slice(&self.encode());
        out.extend(roster.encode(self.store));
        out
    }

    /// Whether that must be there.
    pub(crate) fn has(&self, neighbour: Neighbour) -> bool {
        self.neighbours & neighbour.bit() != 0
    }

    /// The slot's content: None where it was never written or is torn.
    ///
    /// # Errors
    /// The format's number, where a newer release wrote it.
    fn decode(slot: &[u8]) -> Result<Option<NodeFile>, u32> {
        let whole = u32_at(slot, CHECKED_BYTES) == checksum(&slot[..CHECKED_BYTES]);
        if !whole || &slot[..8] != MAGIC {
            return Ok(None);
        }
        let format = u32_at(slot, 8);
        if format > STORE_FORMAT {
            return Err(format);
        }
        let rule = DistributionRule {
            w1: u32_at(slot, 32),
            b1: u64_at(slot, 40),
            w2: u32_at(slot, 36),
            b2: u64_at(slot, 48),
            buckets: u32_at(slot, 56),
            day_us: u64_at(slot, 64) as i64,
        };
        let period_us = u64_at(slot, 72) as i64;
        if rule.check().is_err() || period_us < 1 {
            return Ok(None);
        }
        let store = StoreId(u128::from(u64_at(slot, 16)) | u128::from(u64_at(slot, 24)) << 64);
        let log = Known { id: u64_at(slot, 80), first: Position(u64_at(slot, 88)) };
        let log = Some(log).filter(|log| log.id != 0);
        let (generation, neighbours) = (u32_at(slot, 12), u32_at(slot, 60));
        Ok(Some(NodeFile { generation, store, rule, period_us, log, neighbours }))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"))
}

fn checksum(bytes: &[u8]) -> u32 {
    storage::block::crc32c(bytes)
}

impl Node {
    /// Locks the directory and reads its node file, or makes a store there.
    ///
    /// # Errors
    /// `Error::Open` (not ours, locked, newer), `Error::Damaged`.
    pub(crate) fn open(world: &World, dir: &Path, rule: DistributionRule, period_us: i64) -> Result<Node, Error> {
        let disk = &*world.disk;
        rule.check()?;
        if period_us < 1 {
            return Err(Error::Open(format!("period_us is {period_us}, but must be at least 1")));
        }
        disk.make_dir(dir).map_err(open_error)?;
        // Looked at before the lock makes a file: a wrong directory is left as it was.
        let names = disk.list(dir).map_err(open_error)?;
        let has = |name: &str| names.iter().any(|entry| entry.name == name);
        let ours = |name: &str| {
            ALLOWED_BESIDE
                .iter()
                .any(|known| name == *known || name.strip_prefix(known).is_some_and(|rest| rest.starts_with('-')))
        };
        let foreign = names.iter().find(|entry| !ours(&entry.name));
        if !has(FILE_NAME)
            && let Some(foreign) = foreign
        {
            return Err(Error::Open(format!(
                "{} is not a Meridian store: it holds \"{}\" but no file \"{FILE_NAME}\"; give an empty directory or a store",
                dir.display(),
                foreign.name
            )));
        }
        let lock = disk.lock(&dir.join("lock")).map_err(|fault| locked_error(dir, fault))?;
        let found = if has(FILE_NAME) { read(disk, dir)? } else { None };
        let (file, roster) = match found {
            Some(file) => {
                let roster = read_roster(disk, dir, file.store)?;
                settle(disk, dir, &file, &roster).map_err(open_error)?;
                (file, roster)
            }
            None if has("log") || has("slices") => {
                return Err(Error::Damaged(format!(
                    "{}: both copies of what the store is are unreadable, while data lie beside it",
                    dir.join(FILE_NAME).display()
                )));
            }
            None => (make(world, dir, rule, period_us, has(FILE_NAME))?, Roster::default()),
        };
        Ok(Node { dir: dir.to_path_buf(), file, roster, _lock: lock })
    }

    /// Sets another rule.
    ///
    /// # Errors
    /// `Error::Poisoned` where the disk failed: what counts now is known after opening again.
    pub(crate) fn set_rule(&mut self, disk: &dyn Disk, rule: DistributionRule) -> Result<(), Error> {
        self.change(disk, NodeFile { rule, ..self.file }).map_err(|fault| Error::Poisoned(fault.to_string()))
    }

    /// Notes the log and where it begins at the latest, which never falls.
    ///
    /// # Errors
    /// Of the disk: what counts now is known after opening again.
    pub(crate) fn note_log(&mut self, disk: &dyn Disk, id: u64, first: Position) -> Result<(), DiskError> {
        let first = self.file.log.map_or(first, |log| log.first.max(first));
        let log = Some(Known { id, first });
        if self.file.log == log { Ok(()) } else { self.change(disk, NodeFile { log, ..self.file }) }
    }

    /// Notes that from now on this must be there. Nothing is written where it was noted before.
    ///
    /// # Errors
    /// Of the disk: what counts now is known after opening again.
    pub(crate) fn note_neighbour(&mut self, disk: &dyn Disk, neighbour: Neighbour) -> Result<(), DiskError> {
        if self.file.has(neighbour) {
            return Ok(());
        }
        self.change(disk, NodeFile { neighbours: self.file.neighbours | neighbour.bit(), ..self.file })
    }

    /// Notes slices whose directories are durable. Nothing is written where all were noted before.
    ///
    /// # Errors
    /// Of the disk: it may be tried again.
    pub(crate) fn note_slices(&mut self, disk: &dyn Disk, slices: impl Iterator<Item = SliceId>) -> Result<(), DiskError> {
        let new: Vec<SliceId> = slices.filter(|slice| !self.roster.slices().contains(slice)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let file = disk.open(&self.dir.join(FILE_NAME), Access::Write)?;
        self.roster.add(&*file, ROSTER_AT, self.file.store, &new)
    }

    /// Writes the slot that does not count, which then counts.
    fn change(&mut self, disk: &dyn Disk, next: NodeFile) -> Result<(), DiskError> {
        let next = NodeFile { generation: self.file.generation + 1, ..next };
        let file = disk.open(&self.dir.join(FILE_NAME), Access::Write)?;
        write_slot(&*file, &next)?;
        file.sync()?;
        self.file = next;
        Ok(())
    }
}

/// Reads the node file of a directory without locking it (for checks of a store at rest).
///
/// # Errors
/// `Error::Open` where it is missing, unreadable or newer.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<NodeFile>, Error> {
    let path = dir.join(FILE_NAME);
    let file = disk.open(&path, Access::Read).map_err(open_error)?;
    let len = file.len().map_err(open_error)?;
    let mut best: Option<NodeFile> = None;
    for slot in 0..2_u64 {
        let at = slot * SLOT_BYTES as u64;
        if len < at + SLOT_BYTES as u64 {
            continue;
        }
        let mut bytes = [0_u8; SLOT_BYTES];
        file.read_at(at, &mut bytes).map_err(open_error)?;
        let decoded = NodeFile::decode(&bytes).map_err(|format| {
            Error::Open(format!(
                "{} has format {format}; this release reads up to {STORE_FORMAT}: open it with a newer release",
                path.display()
            ))
        })?;
        best = match (best, decoded) {
            (Some(a), Some(b)) => Some(if b.generation > a.generation { b } else { a }),
            (a, b) => a.or(b),
        };
    }
    Ok(best)
}

/// Reads the roster of a store.
///
/// # Errors
/// `Error::Open` where it can't be read.
pub(crate) fn read_roster(disk: &dyn Disk, dir: &Path, store: StoreId) -> Result<Roster, Error> {
    let file = disk.open(&dir.join(FILE_NAME), Access::Read).map_err(open_error)?;
    Roster::read(&*file, ROSTER_AT, store).map_err(open_error)
}

/// Notes another log, or none, in a store that no process uses.
///
/// # Errors
/// Of the disk: what counts now is known after reading again.
pub(crate) fn renote_log(disk: &dyn Disk, dir: &Path, node: &NodeFile, log: Option<Known>) -> Result<(), DiskError> {
    rewrite(disk, dir, NodeFile { log, ..*node })
}

/// Notes in a store that no process uses that this need not be there.
///
/// # Errors
/// Of the disk: what counts now is known after reading again.
pub(crate) fn forget(disk: &dyn Disk, dir: &Path, node: &NodeFile, neighbour: Neighbour) -> Result<(), DiskError> {
    rewrite(disk, dir, NodeFile { neighbours: node.neighbours & !neighbour.bit(), ..*node })
}

fn rewrite(disk: &dyn Disk, dir: &Path, next: NodeFile) -> Result<(), DiskError> {
    let file = disk.open(&dir.join(FILE_NAME), Access::Write)?;
    write_slot(&*file, &NodeFile { generation: next.generation + 1, ..next })?;
    file.sync()
}

fn write_slot(file: &dyn File, node: &NodeFile) -> Result<(), DiskError> {
    let at = u64::from(node.generation % 2) * SLOT_BYTES as u64;
    file.write_at(at, &[&node.encode()])
}

/// Makes sure that what was read is on disk, name and bytes.
fn settle(disk: &dyn Disk, dir: &Path, node: &NodeFile, roster: &Roster) -> Result<(), DiskError> {
    let file = disk.open(&dir.join(FILE_NAME), Access::Write)?;
    write_slot(&*file, node)?;
    roster.write(&*file, ROSTER_AT, node.store)?;
    file.sync()?;
    disk.sync_dir(dir)
}

fn make(world: &World, dir: &Path, rule: DistributionRule, period_us: i64, torn: bool) -> Result<NodeFile, Error> {
    let store = StoreId(u128::from(world.random.next_u64()) << 64 | u128::from(world.random.next_u64()));
    let node = NodeFile { generation: 0, store, rule, period_us, log: None, neighbours: 0 };
    let path = dir.join(FILE_NAME);
    let write = || -> Result<(), DiskError> {
        if torn {
            world.disk.remove(&path)?;
        }
        let file = world.disk.create(&path)?;
        file.truncate(2 * SLOT_BYTES as u64)?;
        write_slot(&*file, &node)?;
        file.sync()?;
        world.disk.sync_dir(dir)
    };
    write().map_err(open_error)?;
    Ok(node)
}

fn open_error(fault: DiskError) -> Error {
    Error::Open(fault.to_string())
}

fn locked_error(dir: &Path, fault: DiskError) -> Error {
    if fault.cause.kind() == std::io::ErrorKind::WouldBlock {
        return Error::Open(format!("{} is in use by another process (its file \"lock\" is held)", dir.display()));
    }
    open_error(fault)
}
