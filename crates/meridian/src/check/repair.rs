//! `meridian check --repair`: keeps everything that is whole.
//!
//! Promises: before anything is changed, every damaged file lies as it was in DIR/damaged; a repair
//! that was cut short can be run again; what can't be mended keeps only that from being mended which depends on
//! it, and the store is refused as before; a file keeps its number (what was deleted stays deleted:
//! tombstones name files by number).
//!
//! A series file is written anew from its whole pages beside the old one, put in its place, and
//! named with its new length and checksum by the next manifest; one of which nothing is left is
//! dropped from the manifest. Logs are mended by `logs`, lost slices by `rebuild`. Snapshot values are
//! read from the samples at the next opening. Passwords that can't be trusted are forgotten. The tag table comes
//! last, and is written anew: see `catalog_repair`.

use super::{CATALOG, CATALOG_LOG, Findings, LOG, NODE, USERS, catalog_repair, logs, rebuild};
use crate::Error;
use kernel::Neighbour;
use series::file::{FileOrigin, FileSummary};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{FileHead, FileMeta, FileType, Manifest, SliceDirectory};
use world::{Access, Disk, RealDisk};

/// What a repair did, and what it could not mend, a line each.
#[derive(Default)]
pub struct Repaired {
    pub done: Vec<String>,
    pub left: Vec<String>,
}

impl Repaired {
    /// Notes what came of mending a part; whether it was mended.
    fn note(&mut self, part: &Findings, outcome: Result<(), Error>) -> bool {
        let left = outcome.err().map(|error| format!("{}: {error}", part.name));
        let mended = left.is_none();
        self.left.extend(left);
        mended
    }

    /// Leaves a part as it is, since another one that it is mended with is not whole.
    fn leave(&mut self, part: &Findings, other: &str) {
        self.left.push(format!("{}: not tried, since {other} could not be mended", part.name));
    }
}

/// Repairs what was found damaged.
pub fn repair(dir: &Path, found: &[Findings]) -> Repaired {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut all = Repaired::default();
    let damaged: Vec<&Findings> = found.iter().filter(|part| !part.damages.is_empty()).collect();
    let is_log = |part: &&&Findings| [LOG, CATALOG_LOG].contains(&part.name.as_str());
    let named = |name: &str| damaged.iter().find(|part| part.name == name).copied();
    if let Some(node) = named(NODE) {
        // Nothing is known of the store without it.
        all.left.push(format!("{}: {}", dir.join(NODE).display(), node.damages.join("; ")));
        return all;
    }
    // Logs first: what a slice is made anew from is in them too.
    let mut logs_left: Vec<&str> = Vec::new();
    for part in damaged.iter().filter(is_log) {
        let outcome = logs::repair(&disk, dir, part, &mut all.done);
        if !all.note(part, outcome) {
            logs_left.push(&part.name);
        }
    }
    let mut slices_left = false;
    for part in damaged.iter().filter(|part| !is_log(part) && part.name != CATALOG) {
        if part.manifest_lost && logs_left.contains(&LOG) {
            slices_left = true;
            all.leave(part, "the log");
            continue;
        }
        let outcome = match part.name.as_str() {
            USERS => forget_users(&*disk, dir, &mut all.done),
            _ if part.manifest_lost => rebuild::rebuild(&disk, dir, part, &mut all.done),
            _ => repair_slice(&disk, dir, part, &mut all.done),
        };
        slices_left |= !all.note(part, outcome) && part.name != USERS;
    }
    if let Some(part) = named(LOG).filter(|part| !logs_left.contains(&part.name.as_str())) {
        if slices_left {
            // Until the log is taken for the store's own the store is refused, and this is begun again.
            all.leave(part, "a slice");
        } else {
            let outcome = logs::settle(&disk, dir, part, &mut all.done);
            all.note(part, outcome);
        }
    }
    // Of a log that was mended writes may be missing now, which opening would refuse.
    if (named(CATALOG).is_some() || named(CATALOG_LOG).is_some())
        && let Some(part) = found.iter().find(|part| part.name == CATALOG)
    {
        let outcome = if named(CATALOG_LOG).is_none() { set_log_aside(&*disk, dir) } else { Ok(()) };
        if all.note(part, outcome) {
            mend_catalog(dir, part, &logs_left, slices_left, &mut all);
        }
    }
    all
}

/// The tag table comes last: it asks the slices' files for the kinds of lost tags.
fn mend_catalog(dir: &Path, part: &Findings, logs_left: &[&str], slices_left: bool, all: &mut Repaired) {
    if logs_left.contains(&CATALOG_LOG) {
        return all.leave(part, "its log");
    }
    if slices_left {
        return all.leave(part, "a slice");
    }
    let outcome = catalog_repair::repair(dir, part).map(|line| all.done.push(line));
    all.note(part, outcome);
}

/// Copies the catalog's log to DIR/damaged: where the table lacks tags, what looks like its torn end may tell them, and
/// mending the table cuts it off. A log that was mended lies there already.
fn set_log_aside(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let place = dir.join(CATALOG_LOG);
    // A catalog that is lost as a whole has none.
    for entry in disk.list(&place).unwrap_or_default() {
        set_aside(dir, &place.join(&entry.name), &format!("{}-{}", CATALOG_LOG.replace('/', "-"), entry.name))?;
    }
    Ok(())
}

/// Removes passwords of which nothing can be told any more but that they were there.
fn forget_users(disk: &dyn Disk, dir: &Path, done: &mut Vec<String>) -> Result<(), Error> {
    let failed = failed(dir);
    for entry in disk.list(dir).map_err(|error| failed(error.to_string()))? {
        if entry.name.starts_with("users-") {
            let path = dir.join(&entry.name);
            set_aside(dir, &path, &entry.name)?;
            disk.remove(&path).map_err(|error| failed(error.to_string()))?;
        }
    }
    disk.sync_dir(dir).map_err(|error| failed(error.to_string()))?;
    kernel::forget_neighbour(disk, dir, Neighbour::Passwords).map_err(|error| failed(error.to_string()))?;
    done.push("users: all passwords are forgotten; give the user meridian a new one (setting password)".to_owned());
    Ok(())
}

pub(super) fn failed(path: &Path) -> impl Fn(String) -> Error {
    let path = path.to_path_buf();
    move |problem| Error::Input { path: path.clone(), problem }
}

fn repair_slice(disk: &Arc<dyn Disk>, dir: &Path, part: &Findings, done: &mut Vec<String>) -> Result<(), Error> {
    let place = dir.join("slices").join(&part.name);
    let failed = failed(&place);
    let Some(manifest) = &part.manifest else {
        return Err(failed(part.damages.join("; ")));
    };
    if let Some(number) = manifest.latest.filter(|_| part.latest_lost) {
        set_aside(dir, &place.join(format!("latest-{number}")), &format!("{}-latest-{number}", part.name))?;
    }
    for meta in damaged(part, manifest) {
        let path = place.join(meta.path());
        set_aside(
            dir,
            &path,
            &format!("{}-{}", part.name, path.file_name().map_or_else(Default::default, |name| name.to_string_lossy())),
        )?;
        fit(&**disk, &path, meta.bytes).map_err(|error| failed(error.to_string()))?;
    }
    let directory =
        SliceDirectory::open(disk, &place, manifest.store, manifest.slice).map_err(|error| failed(error.to_string()))?;
    let mut next = (*directory.manifest()).clone();
    if part.latest_lost {
        next.latest = None;
        done.push(format!("{}: snapshot values are read from the samples at the next start", place.display()));
    }
    for meta in damaged(part, manifest) {
        let path = place.join(meta.path());
        let kept = salvage(disk, &path, manifest, meta);
        next.files.retain(|file| file.number != meta.number);
        match kept {
            Some(summary) if summary.rows > 0 => {
                done.push(format!("{}: {} of {} rows kept", path.display(), summary.rows, meta.rows));
                next.files.push(summary.meta(meta.number, meta.place, meta.periods.clone()));
            }
            _ => done.push(format!("{}: nothing of it is whole; {} rows are lost", path.display(), meta.rows)),
        }
    }
    next.files.sort_unstable_by_key(|file| file.number);
    directory.publish(next).map_err(|error| failed(error.to_string()))?;
    Ok(())
}

fn damaged<'a>(part: &'a Findings, manifest: &'a Manifest) -> impl Iterator<Item = &'a FileMeta> {
    manifest.files.iter().filter(|file| part.damaged_files.contains(&file.number))
}

/// Writes the whole rows of a file anew and puts the result in its place; None where there are none.
fn salvage(disk: &Arc<dyn Disk>, path: &Path, manifest: &Manifest, meta: &FileMeta) -> Option<FileSummary> {
    let origin = FileOrigin {
        store: manifest.store,
        slice: manifest.slice,
        number: meta.number,
        versions: meta.versions,
        level: meta.level,
    };
    mend_head(&**disk, path, origin).ok()?;
    let head = storage::identify(&**disk, path).ok()?;
    if (head.store, head.slice, head.number) != (manifest.store, manifest.slice, meta.number.0) {
        return None;
    }
    let beside = path.with_extension("repair");
    // Left by a repair that was cut short; there mostly is none.
    let _ = disk.remove(&beside);
    let (summary, _) = series::file::repair(disk, path, &beside, origin).ok()?;
    replace(&**disk, &beside, path).ok()?;
    Some(summary)
}

/// Writes a file's head again where it is damaged. Whose the file is, is known from its place; each of its blocks is
/// sealed to that, so none of another file can be taken for one of its own.
pub(super) fn mend_head(disk: &dyn Disk, path: &Path, origin: FileOrigin) -> Result<(), series::file::Error> {
    match storage::identify(disk, path) {
        Err(storage::Error::Damaged { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Ok(()),
    }
    let FileOrigin { store, slice, number, .. } = origin;
    let head = FileHead { file_type: FileType::Series, format: series::file::FORMAT, store, slice, number: number.0 };
    let file = disk.open(path, Access::Write)?;
    file.write_at(0, &[&head.encode()])?;
    Ok(file.sync()?)
}

pub(super) fn replace(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), world::DiskError> {
    let source = disk.open(from, Access::Read)?;
    let target = disk.open(to, Access::Write)?;
    let len = source.len()?;
    target.truncate(len)?;
    let mut bytes = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        let part = usize::try_from(len - at).unwrap_or(usize::MAX).min(bytes.len());
        source.read_at(at, &mut bytes[..part])?;
        target.write_at(at, &[&bytes[..part]])?;
        at += part as u64;
    }
    target.sync()?;
    disk.remove(from)
}

/// Makes a file as long as its manifest says, so that the slice opens: what is missing is zeros,
/// which no checksum takes for data.
fn fit(disk: &dyn Disk, path: &Path, bytes: u64) -> Result<(), world::DiskError> {
    let file = match disk.open(path, Access::Write) {
        Err(error) if error.is_missing() => {
            if let Some(parent) = path.parent() {
                disk.make_dir(parent)?;
            }
            disk.create(path)?
        }
        other => other?,
    };
    file.truncate(bytes)?;
    file.sync()?;
    path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}

/// Copies a file to DIR/damaged. What was put there before is never written over.
#[expect(clippy::disallowed_methods, reason = "a copy for the operator, beside the store")]
pub(super) fn set_aside(dir: &Path, path: &Path, name: &str) -> Result<(), Error> {
    let aside = dir.join("damaged");
    let failed = |cause| Error::File { path: path.to_path_buf(), cause };
    std::fs::create_dir_all(&aside).map_err(failed)?;
    let mut to: PathBuf = aside.join(name);
    let mut number = 1;
    while to.exists() {
        to = aside.join(format!("{name}.{number}"));
        number += 1;
    }
    match std::fs::copy(path, &to) {
        // Missing files have nothing to keep.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(failed(cause)),
        // What was copied may be removed next.
        Ok(_) => std::fs::File::open(&to).and_then(|copy| copy.sync_all()).map_err(failed),
    }
}
