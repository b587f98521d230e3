//! A repository in a directory of a disk: keys are paths below it.
//!
//! Promises: those of `Place`: what `put` answered is synced, its directory too.

use crate::Error;
use crate::place::{CHUNK_BYTES, Place, read_full};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use world::{Access, Disk, DiskError, File};

/// A directory of a disk.
pub struct Directory {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Directory {
    /// A repository in a directory, which is made when something is put there.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> Directory {
        Directory { disk, dir: dir.to_path_buf() }
    }

    fn failed(&self, fault: &DiskError) -> Error {
        let (place, what) = (self.name(), fault.to_string());
        if fault.is_full() { Error::Full { place, what } } else { Error::Place { place, what } }
    }

    fn keys_below(&self, dir: &Path, key: &str, prefix: &str, out: &mut Vec<String>) -> Result<(), DiskError> {
        let entries = match self.disk.list(dir) {
            Err(fault) if fault.is_missing() => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let key = if key.is_empty() { entry.name.clone() } else { format!("{key}/{}", entry.name) };
            if entry.directory {
                let within = format!("{key}/");
                // Only where something can begin so.
                if within.starts_with(prefix) || prefix.starts_with(&within) {
                    self.keys_below(&dir.join(&entry.name), &key, prefix, out)?;
                }
            } else if key.starts_with(prefix) {
                out.push(key);
            }
        }
        Ok(())
    }

    fn write(&self, path: &Path, from: &mut dyn Read) -> Result<u64, Error> {
        let parent = path.parent().unwrap_or(&self.dir);
        let failed = |fault: DiskError| self.failed(&fault);
        self.disk.make_dir(parent).map_err(failed)?;
        let file = match self.disk.create(path) {
            // Left by one that was cut short: nothing names it.
            Err(fault) if fault.cause.kind() == std::io::ErrorKind::AlreadyExists => {
                self.disk.remove(path).map_err(failed)?;
                self.disk.create(path).map_err(failed)?
            }
            made => made.map_err(failed)?,
        };
        let (mut at, mut chunk) = (0, vec![0; CHUNK_BYTES]);
        loop {
            let count =
                read_full(from, &mut chunk).map_err(|fault| Error::Place { place: self.name(), what: fault.to_string() })?;
            if count == 0 {
                break;
            }
            file.write_at(at, &[&chunk[..count]]).map_err(failed)?;
            at += count as u64;
        }
        file.sync().map_err(failed)?;
        self.disk.sync_dir(parent).map_err(failed)?;
        Ok(at)
    }
}

impl Place for Directory {
    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    fn put(&self, key: &str, bytes: u64, from: &mut dyn Read) -> Result<(), Error> {
        let written = self.write(&self.dir.join(key), from)?;
        if written == bytes {
            return Ok(());
        }
        Err(Error::Place { place: self.name(), what: format!("{key}: {written} bytes came, not {bytes}") })
    }

    fn get(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, Error> {
        match self.disk.open(&self.dir.join(key), Access::Read) {
            Err(fault) if fault.is_missing() => Ok(None),
            Err(fault) => Err(self.failed(&fault)),
            Ok(file) => {
                let left = file.len().map_err(|fault| self.failed(&fault))?;
                Ok(Some(Box::new(FileReader::new(file, left))))
            }
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut out = Vec::new();
        self.keys_below(&self.dir, "", prefix, &mut out).map_err(|fault| self.failed(&fault))?;
        out.sort_unstable();
        Ok(out)
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        let path = self.dir.join(key);
        match self.disk.remove(&path) {
            Err(fault) if !fault.is_missing() => return Err(self.failed(&fault)),
            _ => {}
        }
        // Directories go with their last object; one that is not empty stays, and so may any other.
        let above = path.ancestors().skip(1).take_while(|at| *at != self.dir);
        above
            .take_while(|at| self.disk.list(at).is_ok_and(|entries| entries.is_empty()))
            .for_each(|at| drop(self.disk.remove_dir(at)));
        Ok(())
    }
}

/// Reads a file from its beginning.
pub(crate) struct FileReader {
    file: Arc<dyn File>,
    at: u64,
    left: u64,
}

impl FileReader {
    pub(crate) fn new(file: Arc<dyn File>, bytes: u64) -> FileReader {
        FileReader { file, at: 0, left: bytes }
    }
}

impl Read for FileReader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX)).min(CHUNK_BYTES);
        if count > 0 {
            self.file.read_at(self.at, &mut into[..count]).map_err(|fault| std::io::Error::other(fault.to_string()))?;
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Writes into a file from its beginning.
pub(crate) struct FileWriter {
    file: Arc<dyn File>,
    at: u64,
}

impl FileWriter {
    pub(crate) fn new(file: Arc<dyn File>) -> FileWriter {
        FileWriter { file, at: 0 }
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_at(self.at, &[bytes]).map_err(|fault| std::io::Error::other(fault.to_string()))?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
