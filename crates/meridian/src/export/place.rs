//! Where an export goes: standard output, or a file that has its name only once it is whole.
//!
//! Promises: until then what is written lies beside it, in `FILE.part`, which is removed when the export fails or is interrupted
//! (after kill -9 it stays, and the next export takes it over); two exports never write the same one; a file that is there is
//! not replaced unasked.

use crate::Error;
use parking_lot::Mutex;
use std::error::Error as AnyError;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is written to.
pub struct Output {
    to: To,
    told: Arc<Told>,
}

enum To {
    Stdout(io::Stdout),
    File(File),
}

/// What is known of what was written.
#[derive(Default)]
struct Told {
    bytes: AtomicU64,
    /// Why writing failed: those who write through layers of others hear of it in other words.
    failed: Mutex<Option<io::Error>>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.to {
            To::Stdout(to) => to.write(bytes),
            To::File(to) => to.write(bytes),
        };
        if let Ok(written) = &written {
            self.told.bytes.fetch_add(*written as u64, Ordering::Relaxed);
        }
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = match &mut self.to {
            To::Stdout(to) => to.flush(),
            To::File(to) => to.flush(),
        };
        self.noted(flushed)
    }
}

impl Output {
    fn noted<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|cause| {
            let kind = cause.kind();
            if kind != io::ErrorKind::Interrupted {
                *self.told.failed.lock() = Some(cause);
            }
            kind.into()
        })
    }
}

/// The place, while the export is under way.
pub struct Place {
    name: PathBuf,
    told: Arc<Told>,
    part: Option<Part>,
}

/// A file that is not whole yet.
struct Part {
    path: PathBuf,
    /// Holds the lock.
    file: File,
    replace: bool,
}

/// Times that a file which another export was just done with is opened.
const TRIES: usize = 100;

impl Place {
    /// Opens a place: `-` is standard output; what is no plain file (a pipe, a device) is written as it comes.
    ///
    /// # Errors
    /// `Error::Input` where a file is there and is not to be replaced, or is being written; `Error::File`.
    pub fn open(to: &Path, replace: bool) -> Result<(Place, Output), Error> {
        let told = Arc::new(Told::default());
        if super::is_stdout(to) {
            let output = Output { to: To::Stdout(io::stdout()), told: Arc::clone(&told) };
            return Ok((Place { name: PathBuf::from("standard output"), told, part: None }, output));
        }
        // A link stays one: what it leads to is replaced.
        let name = to.canonicalize().unwrap_or_else(|_| to.to_path_buf());
        let failed = |cause| Error::File { path: to.to_path_buf(), cause };
        let part = match std::fs::metadata(&name) {
            Ok(found) if found.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(found) if !found.is_file() => None,
            Ok(_) if !replace => return Err(exists(to)),
            _ => Some(Part::open(&name, replace)?),
        };
        let file = match &part {
            Some(part) => part.file.try_clone(),
            None => open(OpenOptions::new().write(true), &name),
        };
        let output = Output { to: To::File(file.map_err(failed)?), told: Arc::clone(&told) };
        Ok((Place { name, told, part }, output))
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.told.bytes.load(Ordering::Relaxed)
    }

    /// What ended the writing: the disk, where it was the disk.
    pub fn failed(&self, error: impl Into<Box<dyn AnyError + Send + Sync>>) -> Error {
        let path = self.name.clone();
        match self.told.failed.lock().take() {
            Some(cause) => Error::File { path, cause },
            None => Error::Input { path, problem: error.into().to_string() },
        }
    }

    /// All is written: the file gets its name.
    ///
    /// # Errors
    /// `Error::File`; `Error::Input` where a file of that name has come meanwhile.
    pub fn finish(mut self) -> Result<(), Error> {
        let Some(part) = &self.part else { return Ok(()) };
        let failed = |cause| Error::File { path: self.name.clone(), cause };
        part.file.sync_all().map_err(failed)?;
        if !part.replace && self.name.exists() {
            return Err(exists(&self.name));
        }
        rename(&part.path, &self.name).map_err(failed)?;
        self.part = None;
        if let Some(directory) = self.name.parent() {
            // The data are safe; where a directory can't be synced, its name is as safe as the system makes it.
            let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            let _ = open(OpenOptions::new().read(true), directory).and_then(|directory| directory.sync_all());
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            remove(&part.path);
        }
    }
}

impl Part {
    fn open(name: &Path, replace: bool) -> Result<Part, Error> {
        let mut path = OsString::from(name);
        path.push(".part");
        let path = PathBuf::from(path);
        let failed = |cause| Error::File { path: path.clone(), cause };
        for _ in 0..TRIES {
            let file = open(OpenOptions::new().write(true).create(true).truncate(false), &path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let problem = "another export is writing it".to_owned();
                    return Err(Error::Input { path, problem });
                }
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            }
            // Between the two another export may have given it its name: then it is not ours to empty.
            let ours = file.metadata().map_err(failed)?;
            if std::fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                file.set_len(0).map_err(failed)?;
                return Ok(Part { path, file, replace });
            }
        }
        Err(Error::Input { path, problem: "other exports write it again and again".to_owned() })
    }
}

fn exists(path: &Path) -> Error {
    let problem = "it is there already; --replace lets the export take its place, once that is whole".to_owned();
    Error::Input { path: path.to_path_buf(), problem }
}

#[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

#[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

#[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
fn remove(path: &Path) {
    // One that can't be removed is no whole file by its name either.
    let _ = std::fs::remove_file(path);
}
