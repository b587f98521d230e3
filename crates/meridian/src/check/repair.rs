//! `meridian check --repair`: keeps everything that is whole.
//!
//! Promises: before anything is changed, every damaged file lies as it was in DIR/damaged; a repair
//! that was cut short can be run again; a file keeps its number (what was deleted stays deleted:
//! tombstones name files by number).
//!
//! A series file is written anew from its whole pages beside the old one, put in its place, and
//! named with its new length and checksum by the next manifest; one of which nothing is left is
//! dropped from the manifest. A log keeps its whole records at their positions. The tag table comes last, and
//! is written anew: see `catalog_repair`.

use super::{CATALOG, CATALOG_LOG, Findings, LOG, catalog_repair};
use crate::Error;
use series::file::{FileOrigin, FileSummary};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{FileMeta, Manifest, SliceDirectory};
use world::{Access, Disk, RealDisk};

/// Repairs what was found damaged; gives a line for each thing done.
///
/// # Errors
/// `Error::Input`: what can't be repaired, and why. What was repaired before stays.
pub fn repair(dir: &Path, found: &[Findings]) -> Result<Vec<String>, Error> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut done = Vec::new();
    let mut of_catalog = None;
    for part in found.iter().filter(|part| !part.damages.is_empty()) {
        match part.name.as_str() {
            CATALOG => of_catalog = Some(part),
            LOG => done.push(repair_log(&*disk, dir, LOG)?),
            CATALOG_LOG => {
                done.push(repair_log(&*disk, dir, CATALOG_LOG)?);
                // Writes may be missing now, which opening would refuse.
                of_catalog = of_catalog.or_else(|| found.iter().find(|part| part.name == CATALOG));
            }
            _ => repair_slice(&disk, dir, part, &mut done)?,
        }
    }
    if let Some(part) = of_catalog {
        done.push(catalog_repair::repair(dir, part)?);
    }
    Ok(done)
}

fn failed(path: &Path) -> impl Fn(String) -> Error {
    let path = path.to_path_buf();
    move |problem| Error::Input { path: path.clone(), problem }
}

fn repair_log(disk: &dyn Disk, dir: &Path, name: &str) -> Result<String, Error> {
    let place = dir.join(name);
    let failed = failed(&place);
    for entry in disk.list(&place).map_err(|error| failed(error.to_string()))? {
        set_aside(dir, &place.join(&entry.name), &format!("{}-{}", name.replace('/', "-"), entry.name))?;
    }
    let check = log::repair(disk, &place).map_err(|error| failed(error.to_string()))?;
    let bytes: u64 = check.damages.iter().map(|damage| damage.bytes).sum();
    Ok(format!("{name}: {} damages; {bytes} bytes that are no records are passed over from now on", check.damages.len()))
}

fn repair_slice(disk: &Arc<dyn Disk>, dir: &Path, part: &Findings, done: &mut Vec<String>) -> Result<(), Error> {
    let place = dir.join("slices").join(&part.name);
    let failed = failed(&place);
    let Some(manifest) = &part.manifest else {
        return Err(failed(
            "no manifest is whole, so it is not known which files count; restore the slice from a copy".to_owned(),
        ));
    };
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
    let beside = path.with_extension("repair");
    // Left by a repair that was cut short; there mostly is none.
    let _ = disk.remove(&beside);
    let (summary, _) = series::file::repair(disk, path, &beside, origin).ok()?;
    replace(&**disk, &beside, path).ok()?;
    Some(summary)
}

fn replace(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), world::DiskError> {
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
pub fn set_aside(dir: &Path, path: &Path, name: &str) -> Result<(), Error> {
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
        Ok(_) => Ok(()),
    }
}
