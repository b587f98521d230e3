//! The simulated disk: names over files over sectors, with a plan of faults.
//!
//! Shared state: all of it under one mutex, taken once a call; the disk's own random numbers are
//! drawn only under it, so the order of calls alone decides what happens.
//! A process is a generation: `kill` and `crash` begin the next one, and files and locks of earlier
//! ones only give errors.

use super::fault::{DiskCounters, Faults};
use super::inode::{Fate, Inode};
use super::names::Node;
use super::state::{Power, State, io_error, power_is_off};
use crate::{Access, Disk, DiskError, Entry, File, Operation};
use parking_lot::Mutex;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A disk in memory. See the module's head.
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

struct SimulatedFile {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    inode: u64,
    generation: u64,
    access: Access,
}

struct Lock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    generation: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.generation == self.generation {
            state.locks.remove(&self.path);
        }
    }
}

impl SimulatedDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new(seed: u64) -> SimulatedDisk {
        SimulatedDisk { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// Sets the plan of faults, from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// The plan of faults in force.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.state.lock().faults
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> DiskCounters {
        self.state.lock().counters
    }

    /// Whether the power failed (`Faults::power_cut_after`) and `crash` was not called since.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Bytes of room in use.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used_bytes
    }

    /// The process dies (kill -9): open files and locks are gone, what was written stays.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.each_inode(Inode::kill);
        state.restart();
    }

    /// The power was cut, and is back: of what was not synced, each sector is kept, lost or torn, each name kept or lost.
    pub fn crash(&self) {
        let mut state = self.state.lock();
        let fate = Fate::draw(&state.random);
        state.each_inode(|inode, random| inode.crash(random, fate));
        let State { names, random, .. } = &mut *state;
        names.crash(random, fate);
        state.off = false;
        state.faults.power_cut_after = None;
        state.restart();
    }

    /// All files, in order of path, with their lengths.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = self.state.lock();
        state.names.files().map(|(path, number)| (path.to_path_buf(), state.inodes[&number].len())).collect()
    }

    /// Flips the bits of `mask` in a stored byte. Whether there is such a byte.
    pub fn damage(&self, path: &Path, offset: u64, mask: u8) -> bool {
        let mut state = self.state.lock();
        let Ok(number) = state.file(path) else { return false };
        state.change(number, |inode| inode.damage(offset, mask))
    }

    fn handle(&self, path: &Path, inode: u64, generation: u64, access: Access) -> Arc<dyn File> {
        Arc::new(SimulatedFile { state: Arc::clone(&self.state), path: path.to_path_buf(), inode, generation, access })
    }
}

fn failed(operation: Operation, path: &Path) -> impl FnOnce(Error) -> DiskError {
    move |cause| DiskError { operation, path: path.to_path_buf(), cause }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> Result<Arc<dyn File>, DiskError> {
        let mut state = self.state.lock();
        let number = state.create(path).map_err(failed(Operation::Create, path))?;
        let generation = state.generation;
        Ok(self.handle(path, number, generation, Access::Write))
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn File>, DiskError> {
        let state = self.state.lock();
        let found = if state.off { Err(power_is_off()) } else { state.file(path) };
        let number = found.map_err(failed(Operation::Open, path))?;
        Ok(self.handle(path, number, state.generation, access))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.state.lock().remove(path).map_err(failed(Operation::Remove, path))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        let mut remove = || {
            state.directory(path)?;
            if !state.names.list(path).is_empty() || path.parent().is_none() {
                return Err(Error::from(ErrorKind::DirectoryNotEmpty));
            }
            let power = state.begin()?;
            if power == Power::On || state.random.one_in(2) {
                state.names.remove(path);
            }
            if power == Power::Fails { Err(power_is_off()) } else { Ok(()) }
        };
        remove().map_err(failed(Operation::Remove, path))
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        let state = self.state.lock();
        let found = if state.off { Err(power_is_off()) } else { state.directory(path) };
        found.map_err(failed(Operation::List, path))?;
        Ok(state.names.list(path))
    }

    fn make_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        let made = if state.off { Err(power_is_off()) } else { state.make_dir(path) };
        made.map_err(failed(Operation::MakeDirectory, path))
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.state.lock().sync_dir(path).map_err(failed(Operation::SyncDirectory, path))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, DiskError> {
        let mut state = self.state.lock();
        if state.locks.contains(path) {
            return Err(failed(Operation::Lock, path)(Error::from(ErrorKind::WouldBlock)));
        }
        let made = match state.names.get(path) {
            Some(Node::File(_)) => Ok(()),
            Some(Node::Directory) => Err(Error::from(ErrorKind::IsADirectory)),
            None => state.create(path).map(|_| ()),
        };
        made.map_err(failed(Operation::Lock, path))?;
        state.locks.insert(path.to_path_buf());
        Ok(Box::new(Lock { state: Arc::clone(&self.state), path: path.to_path_buf(), generation: state.generation }))
    }

    fn size_bytes(&self, _path: &Path) -> Result<u64, DiskError> {
        Ok(self.state.lock().faults.capacity_bytes)
    }
}

impl SimulatedFile {
    /// Runs an operation on the disk's state, as long as the process of this file lives.
    fn with<T>(&self, operation: Operation, run: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, DiskError> {
        let mut state = self.state.lock();
        let alive = if state.off {
            Err(power_is_off())
        } else if state.generation != self.generation {
            Err(Error::other("the process that opened this file has ended"))
        } else {
            Ok(())
        };
        alive.and_then(|()| run(&mut state)).map_err(failed(operation, &self.path))
    }

    fn writable(&self) -> Result<(), Error> {
        if self.access == Access::Write { Ok(()) } else { Err(Error::from_raw_os_error(libc::EBADF)) }
    }
}

impl File for SimulatedFile {
    fn len(&self) -> Result<u64, DiskError> {
        self.with(Operation::Measure, |state| Ok(state.inode(self.inode).len()))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.with(Operation::Read, |state| {
            state.counters.reads += 1;
            state.counters.read_bytes += into.len() as u64;
            if state.strikes(state.faults.read_error_one_in) {
                return Err(io_error());
            }
            if state.inode(self.inode).read(offset, into) { Ok(()) } else { Err(Error::from(ErrorKind::UnexpectedEof)) }
        })
    }

    fn write_at(&self, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.with(Operation::Write, |state| {
            self.writable()?;
            state.write(self.inode, offset, parts)
        })
    }

    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.with(Operation::Truncate, |state| {
            self.writable()?;
            let power = state.begin()?;
            if power == Power::On || state.random.one_in(2) {
                state.change(self.inode, |inode| inode.truncate(len));
            }
            if power == Power::Fails { Err(power_is_off()) } else { Ok(()) }
        })
    }

    fn reserve(&self, len: u64) -> Result<(), DiskError> {
        self.with(Operation::Reserve, |state| {
            self.writable()?;
            state.reserve(self.inode, len)
        })
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.with(Operation::Sync, |state| state.sync(self.inode))
    }
}
