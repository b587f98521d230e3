//! The system's directories.
//!
//! What it promises: `make_dir` and `sync_dir` by fsync of the directory, `lock` by flock (freed by
//! the system when the process ends, however it ends), `size_bytes` by statvfs.

use super::file::RealFile;
use crate::{Access, Disk, DiskError, Entry, File, Operation};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::io::{Error, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The system's file system.
#[derive(Debug)]
pub struct RealDisk;

/// Turns a cause into an error that names step and path.
pub(super) fn failed(operation: Operation, path: &Path) -> impl FnOnce(Error) -> DiskError {
    move |cause| DiskError { operation, path: path.to_path_buf(), cause }
}

#[expect(clippy::disallowed_methods, reason = "this is the substitute")]
impl Disk for RealDisk {
    fn create(&self, path: &Path) -> Result<Arc<dyn File>, DiskError> {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path).map_err(failed(Operation::Create, path))?;
        Ok(Arc::new(RealFile::new(file, path)))
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn File>, DiskError> {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(access == Access::Write).open(path).map_err(failed(Operation::Open, path))?;
        Ok(Arc::new(RealFile::new(file, path)))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        std::fs::remove_file(path).map_err(failed(Operation::Remove, path))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        MADE_IN.lock().remove(path);
        std::fs::remove_dir(path).map_err(failed(Operation::Remove, path))
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        let list = || {
            let mut entries = Vec::new();
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                // A lossy name would name another file, or none: say it instead.
                let name = entry
                    .file_name()
                    .into_string()
                    .map_err(|name| Error::new(ErrorKind::InvalidData, format!("the name {name:?} is not UTF-8")))?;
                entries.push(Entry { name, directory: entry.file_type()?.is_dir() });
            }
            entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Ok(entries)
        };
        list().map_err(failed(Operation::List, path))
    }

    fn make_dir(&self, path: &Path) -> Result<(), DiskError> {
        make_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        std::fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(failed(Operation::SyncDirectory, path))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, DiskError> {
        let lock = || {
            let made = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            // Whoever may only read can keep others out all the same.
            let file = match made {
                Err(cause) if matches!(cause.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                    std::fs::File::open(path).map_err(|_| cause)?
                }
                other => other?,
            };
            file.try_lock().map_err(Error::from)?;
            Ok(file)
        };
        Ok(Box::new(lock().map_err(failed(Operation::Lock, path))?))
    }

    fn size_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        let measure = || {
            let name = CString::new(path.as_os_str().as_bytes())?;
            // SAFETY: statvfs is plain numbers, for which zeros are a value.
            let mut answer: libc::statvfs = unsafe { std::mem::zeroed() };
            // SAFETY: `name` ends in a zero byte, `answer` is writable for as long as the call.
            if unsafe { libc::statvfs(name.as_ptr(), &raw mut answer) } != 0 {
                return Err(Error::last_os_error());
            }
            Ok(answer.f_blocks.saturating_mul(answer.f_frsize))
        };
        measure().map_err(failed(Operation::Measure, path))
    }
}

/// Directories in which this process made others: their names were synced before. A slice makes a directory for each
/// period, and would else have the name of its own synced with each.
static MADE_IN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// As many are kept in mind; one that is not costs a sync.
const MADE_IN_MAX: usize = 4_096;

/// Makes a directory and those above it, from the top. Each name is durable before the next is
/// made, so after a crash only the deepest that exists can be undurable: it is synced again.
fn make_dir(path: &Path) -> Result<(), DiskError> {
    let above = parent(path);
    if path.is_dir() {
        return match RealDisk.sync_dir(&above) {
            // Somebody else's directory that we may enter and not read: we did not make it.
            Err(error) if error.cause.kind() == ErrorKind::PermissionDenied => Ok(()),
            other => other,
        };
    }
    if above != path && !(MADE_IN.lock().contains(&above) && above.is_dir()) {
        make_dir(&above)?;
        let mut made_in = MADE_IN.lock();
        if made_in.len() == MADE_IN_MAX {
            made_in.clear();
        }
        made_in.insert(above.clone());
    }
    match std::fs::create_dir(path) {
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other.map_err(failed(Operation::MakeDirectory, path))?,
    }
    RealDisk.sync_dir(&above)
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_path_buf(),
        None => path.to_path_buf(),
    }
}
