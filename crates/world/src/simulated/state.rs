//! What a simulated disk is made of, and what its operations do and suffer.
//!
//! Numbers are drawn in the order of calls, and only where a fault is possible or power fails.

use super::SeededRandom;
use super::fault::{DiskCounters, Faults};
use super::inode::Inode;
use super::names::{Names, Node, parent};
use crate::Random;
use std::collections::{BTreeSet, HashMap};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Everything of a simulated disk. Reached only under its mutex.
pub(super) struct State {
    pub(super) names: Names,
    pub(super) inodes: HashMap<u64, Inode>,
    pub(super) inodes_made: u64,
    pub(super) used_bytes: u64,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) generation: u64,
    pub(super) off: bool,
    pub(super) faults: Faults,
    pub(super) counters: DiskCounters,
    pub(super) random: SeededRandom,
}

/// What an operation that changes something meets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    On,
    /// It fails during this operation.
    Fails,
}

pub(super) fn power_is_off() -> Error {
    Error::other("the power is off")
}

pub(super) fn io_error() -> Error {
    Error::from_raw_os_error(libc::EIO)
}

impl State {
    pub(super) fn new(seed: u64) -> State {
        State {
            names: Names::default(),
            inodes: HashMap::new(),
            inodes_made: 0,
            used_bytes: 0,
            locks: BTreeSet::new(),
            generation: 0,
            off: false,
            faults: Faults::NONE,
            counters: DiskCounters::default(),
            random: SeededRandom::new(seed),
        }
    }

    /// Begins an operation that a power cut can hit.
    pub(super) fn begin(&mut self) -> Result<Power, Error> {
        if self.off {
            return Err(power_is_off());
        }
        self.counters.operations += 1;
        match &mut self.faults.power_cut_after {
            Some(0) => {
                self.faults.power_cut_after = None;
                self.counters.faults += 1;
                self.off = true;
                Ok(Power::Fails)
            }
            Some(left) => {
                *left -= 1;
                Ok(Power::On)
            }
            None => Ok(Power::On),
        }
    }

    pub(super) fn strikes(&mut self, one_in: u64) -> bool {
        let strikes = self.random.one_in(one_in);
        self.counters.faults += u64::from(strikes);
        strikes
    }

    pub(super) fn inode(&mut self, number: u64) -> &mut Inode {
        self.inodes.get_mut(&number).expect("a file is kept as long as a name or this process can reach it")
    }

    /// Changes a file and keeps count of the room in use.
    pub(super) fn change<T>(&mut self, number: u64, change: impl FnOnce(&mut Inode) -> T) -> T {
        let inode = self.inode(number);
        let before = inode.room();
        let out = change(inode);
        let (after, linked) = (inode.room(), inode.linked);
        if linked {
            self.used_bytes = self.used_bytes + after - before;
        }
        out
    }

    /// Whether there is no room for so many new bytes.
    pub(super) fn is_full(&mut self, needed: u64) -> bool {
        needed > 0 && (self.strikes(self.faults.full_one_in) || self.used_bytes + needed > self.faults.capacity_bytes)
    }

    pub(super) fn directory(&self, path: &Path) -> Result<(), Error> {
        match self.names.get(path) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(Error::from(ErrorKind::NotADirectory)),
            None => Err(Error::from(ErrorKind::NotFound)),
        }
    }

    pub(super) fn file(&self, path: &Path) -> Result<u64, Error> {
        match self.names.get(path) {
            Some(Node::File(number)) => Ok(number),
            Some(Node::Directory) => Err(Error::from(ErrorKind::IsADirectory)),
            None => Err(Error::from(ErrorKind::NotFound)),
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> Result<u64, Error> {
        self.directory(parent(path))?;
        if self.names.get(path).is_some() {
            return Err(Error::from(ErrorKind::AlreadyExists));
        }
        let power = self.begin()?;
        if power == Power::On && self.strikes(self.faults.full_one_in) {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        self.inodes_made += 1;
        let number = self.inodes_made;
        if power == Power::On || self.random.one_in(2) {
            self.inodes.insert(number, Inode::new());
            self.names.insert(path, Node::File(number));
        }
        if power == Power::Fails { Err(power_is_off()) } else { Ok(number) }
    }

    pub(super) fn remove(&mut self, path: &Path) -> Result<(), Error> {
        let number = self.file(path)?;
        let power = self.begin()?;
        if power == Power::On || self.random.one_in(2) {
            self.names.remove(path);
            let inode = self.inode(number);
            inode.linked = false;
            let room = inode.room();
            self.used_bytes -= room;
        }
        if power == Power::Fails { Err(power_is_off()) } else { Ok(()) }
    }

    pub(super) fn make_dir(&mut self, path: &Path) -> Result<(), Error> {
        match self.names.get(path) {
            Some(Node::Directory) => return Ok(()),
            Some(Node::File(_)) => return Err(Error::from(ErrorKind::AlreadyExists)),
            None => self.make_dir(parent(path))?,
        }
        let power = self.begin()?;
        if power == Power::On && self.strikes(self.faults.full_one_in) {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        if power == Power::On || self.random.one_in(2) {
            self.names.insert(path, Node::Directory);
        }
        if power == Power::Fails {
            return Err(power_is_off());
        }
        self.names.sync_one(path);
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> Result<(), Error> {
        self.counters.dir_syncs += 1;
        if self.begin()? == Power::Fails {
            return Err(power_is_off());
        }
        self.directory(path)?;
        if self.strikes(self.faults.sync_error_one_in) {
            return Err(io_error());
        }
        self.names.sync(path);
        Ok(())
    }

    pub(super) fn write(&mut self, number: u64, offset: u64, parts: &[&[u8]]) -> Result<(), Error> {
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        self.counters.writes += 1;
        let power = self.begin()?;
        let failure = if power == Power::Fails {
            Some((power_is_off(), bytes))
        } else if self.strikes(self.faults.write_error_one_in) {
            Some((io_error(), bytes))
        } else {
            let inode = self.inode(number);
            let needed = if inode.linked { inode.room_needed(offset, bytes) } else { 0 };
            let fits = inode.bytes_with_room(offset, bytes);
            self.is_full(needed).then(|| (Error::from(ErrorKind::StorageFull), fits))
        };
        // A failed write leaves some beginning of its bytes.
        let left = match &failure {
            Some((_, most)) => self.random.below(most.saturating_add(1)),
            None => bytes,
        };
        self.counters.written_bytes += left;
        self.change(number, |inode| {
            let (mut at, mut left) = (offset, left as usize);
            for part in parts {
                let part = &part[..part.len().min(left)];
                if !part.is_empty() {
                    inode.write(at, part);
                }
                at += part.len() as u64;
                left -= part.len();
            }
        });
        failure.map_or(Ok(()), |(error, _)| Err(error))
    }

    pub(super) fn reserve(&mut self, number: u64, len: u64) -> Result<(), Error> {
        let power = self.begin()?;
        let inode = self.inode(number);
        let needed = if inode.linked { inode.reserve_needs(len) } else { 0 };
        let failure = if power == Power::Fails {
            Some(power_is_off())
        } else {
            self.is_full(needed).then(|| Error::from(ErrorKind::StorageFull))
        };
        match failure {
            // Whatever a failed call got hold of goes back with the file.
            Some(error) => Err(error),
            None => {
                self.change(number, |inode| inode.reserve(len));
                Ok(())
            }
        }
    }

    pub(super) fn sync(&mut self, number: u64) -> Result<(), Error> {
        self.counters.syncs += 1;
        if self.begin()? == Power::Fails {
            return Err(power_is_off());
        }
        if self.strikes(self.faults.sync_error_one_in) {
            let State { inodes, random, .. } = self;
            if let Some(inode) = inodes.get_mut(&number) {
                inode.sync_badly(random);
            }
            return Err(io_error());
        }
        self.change(number, Inode::sync);
        Ok(())
    }

    /// The next process begins: forgets what nobody can reach, and counts the room again.
    pub(super) fn restart(&mut self) {
        self.generation += 1;
        self.locks.clear();
        let now: BTreeSet<u64> = self.names.files().map(|(_, number)| number).collect();
        let reachable: BTreeSet<u64> = self.names.files_on_disk().chain(now.iter().copied()).collect();
        self.inodes.retain(|number, _| reachable.contains(number));
        for (number, inode) in &mut self.inodes {
            inode.linked = now.contains(number);
        }
        self.used_bytes = now.iter().map(|number| self.inodes[number].room()).sum();
    }

    /// Inodes in a fixed order, so that numbers are drawn in it.
    pub(super) fn each_inode(&mut self, mut change: impl FnMut(&mut Inode, &SeededRandom)) {
        let mut numbers: Vec<u64> = self.inodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(inode) = self.inodes.get_mut(&number) {
                change(inode, &self.random);
            }
        }
    }
}
