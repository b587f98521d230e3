//! What lies in a slice's directory: manifests, files that the manifest names, and leftovers.
//!
//! Promises: looks only (but for empty directories); a damaged manifest is passed over only where an older
//! whole one stands, since older ones are removed before anything they name is.

use crate::head::FileHead;
use crate::manifest::{FileNumber, FilePlace, Manifest};
use crate::{Error, codec};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use types::Period;
use world::{Access, Disk, DiskError};

const MANIFEST_PREFIX: &str = "manifest-";
const LATEST_PREFIX: &str = "latest-";
/// No manifest of ours comes near it; a longer file is refused before it is read.
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// The manifest in force, and all that were seen.
pub struct Found {
    /// What it says.
    pub manifest: Manifest,
    /// Its number.
    pub number: u64,
    /// Numbers and paths of all manifests, highest first.
    pub all: Vec<(u64, PathBuf)>,
    /// Manifests above it that were cut short.
    pub torn: Vec<Error>,
}

/// The path of a manifest.
pub fn manifest_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{MANIFEST_PREFIX}{number:010}"))
}

/// The manifests in a directory, highest first.
pub fn manifests(disk: &dyn Disk, dir: &Path) -> Result<Vec<(u64, PathBuf)>, DiskError> {
    let names = disk.list(dir)?.into_iter().filter(|entry| !entry.directory);
    let mut found: Vec<(u64, PathBuf)> = names
        .filter_map(|entry| Some((entry.name.strip_prefix(MANIFEST_PREFIX)?.parse().ok()?, dir.join(&entry.name))))
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Reads one manifest.
pub fn read_manifest(disk: &dyn Disk, path: &Path) -> Result<(Manifest, u64), Error> {
    let file = disk.open(path, Access::Read)?;
    let len = file.len()?;
    if len > MANIFEST_BYTES_MAX {
        let what = format!("{len} bytes are more than a manifest can have");
        return Err(Error::Damaged { path: path.to_path_buf(), offset: 0, what });
    }
    let mut bytes = vec![0; len as usize];
    file.read_at(0, &mut bytes)?;
    codec::decode(&bytes, path)
}

/// The highest whole manifest.
pub fn find_manifest(disk: &dyn Disk, dir: &Path) -> Result<Found, Error> {
    let all = manifests(disk, dir)?;
    let mut torn = Vec::new();
    for (number, path) in &all {
        match read_manifest(disk, path) {
            Ok((manifest, inside)) if inside == *number => {
                return Ok(Found { manifest, number: inside, all, torn });
            }
            Ok((_, inside)) => {
                let what = format!("it holds manifest {inside}");
                return Err(Error::Damaged { path: path.clone(), offset: 36, what });
            }
            Err(cause @ Error::Damaged { .. }) => torn.push(cause),
            Err(cause) => return Err(cause),
        }
    }
    let none = || Error::Damaged { path: dir.to_path_buf(), offset: 0, what: "there is no manifest in it".to_owned() };
    Err(torn.into_iter().next().unwrap_or_else(none))
}

/// Makes sure that the manifest in force is on disk, name and bytes, before anything older goes.
/// It may have been left by a sync that failed: then the system holds its bytes as clean, and only
/// bytes that are written again are synced again.
pub fn settle_manifest(disk: &dyn Disk, dir: &Path, number: u64) -> Result<(), DiskError> {
    let file = disk.open(&manifest_path(dir, number), Access::Write)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(0, &mut bytes)?;
    file.write_at(0, &[&bytes])?;
    file.sync()?;
    disk.sync_dir(dir)
}

/// Whether the making of this slice was never finished: nothing is in it but, at most, a first
/// manifest that was cut short. (A first manifest names nothing, so nothing can be lost with it.)
pub fn is_unmade(disk: &dyn Disk, dir: &Path) -> Result<bool, Error> {
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        let first = entry.name.strip_prefix(MANIFEST_PREFIX).and_then(|number| number.parse::<u64>().ok()) == Some(1);
        if !first || entry.directory {
            return Ok(false);
        }
        match read_manifest(disk, &path) {
            Err(Error::Damaged { .. }) => {}
            Err(cause) => return Err(cause),
            Ok(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// Files of samples that the manifest names and that are not there, or not as long as it says. (The file of
/// snapshot values is not among them: the samples tell them too.)
pub fn missing_files(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<Vec<Error>, DiskError> {
    let mut missing = Vec::new();
    for file in &manifest.files {
        let path = dir.join(file.path());
        let what = match disk.open(&path, Access::Read) {
            Ok(open) => {
                let len = open.len()?;
                (len != file.bytes).then(|| format!("{len} bytes long instead of {}", file.bytes))
            }
            Err(cause) if cause.is_missing() => Some("missing".to_owned()),
            Err(cause) => return Err(cause),
        };
        missing.extend(what.map(|what| Error::FileMissing { slice: manifest.slice, path, what }));
    }
    Ok(missing)
}

/// The files of a slice in order of number, whether or not a manifest names them: where files of samples lie, None for one of
/// snapshot values.
///
/// # Errors
/// `Error::Disk`.
pub fn files_in(disk: &dyn Disk, dir: &Path) -> Result<Vec<(Option<FilePlace>, FileNumber)>, Error> {
    let mut found = Vec::new();
    for entry in disk.list(dir)? {
        let place = match entry.name.strip_prefix("period-").map(str::parse) {
            Some(Ok(period)) if entry.directory => FilePlace::Period(Period(period)),
            None if entry.directory && entry.name == "mixed" => FilePlace::Mixed,
            _ => {
                let number = if entry.name.starts_with(LATEST_PREFIX) { file_number(&dir.join(entry.name)) } else { None };
                found.extend(number.map(|number| (None, FileNumber(number))));
                continue;
            }
        };
        let names = disk.list(&dir.join(&entry.name))?.into_iter().filter(|file| file.name.ends_with(".series"));
        found.extend(names.filter_map(|file| Some((Some(place), FileNumber(file_number(Path::new(&file.name))?)))));
    }
    found.sort_unstable_by_key(|(_, number)| *number);
    Ok(found)
}

/// Files of ours that the manifest does not name: what flushes and merges left that a crash cut
/// short, and what was dropped but not yet removed. Files of other names are nobody's leftovers.
pub fn unnamed_files(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<Vec<PathBuf>, DiskError> {
    let named: BTreeSet<PathBuf> = manifest.files.iter().map(|file| dir.join(file.path())).collect();
    let latest = manifest.latest.map(|number| format!("{LATEST_PREFIX}{number}"));
    let mut unnamed = Vec::new();
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        if !entry.directory {
            let is_latest = entry.name.starts_with(LATEST_PREFIX) && Some(&entry.name) != latest.as_ref();
            unnamed.extend(is_latest.then_some(path));
            continue;
        }
        if entry.name != "mixed" && !entry.name.starts_with("period-") {
            continue;
        }
        let files = disk.list(&path)?.into_iter().filter(|file| !file.directory && file.name.ends_with(".series"));
        unnamed.extend(files.map(|file| path.join(file.name)).filter(|file| !named.contains(file)));
    }
    Ok(unnamed)
}

/// The number in the name of a series file or a latest-file.
pub fn file_number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".series").or_else(|| name.strip_prefix(LATEST_PREFIX))?.parse().ok()
}

/// Removes directories of periods that hold nothing any more. Only at opening, when no job is about
/// to put a file there.
pub fn remove_empty_periods(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.directory && entry.name.starts_with("period-") && disk.list(&path)?.is_empty() {
            disk.remove_dir(&path)?;
        }
    }
    Ok(())
}

/// What an offline check of a slice's directory found. Nothing is changed by it.
#[derive(Debug)]
pub struct DirectoryCheck {
    /// The manifest in force; None where none is whole.
    pub manifest: Option<(u64, Manifest)>,
    /// What is damaged or missing, by file.
    pub damages: Vec<Error>,
    /// Newer manifests that a crash cut short: no damage, the next opening removes them.
    pub torn: Vec<Error>,
    /// Files that no manifest names: no damage, the next opening removes them.
    pub unnamed: Vec<PathBuf>,
}

/// Looks at a slice's directory without opening the slice: is its manifest whole, and are the files
/// there that it names. What is in the files is the layout's to check.
///
/// # Errors
/// `Error::Disk` where something can't be read at all.
pub fn check_directory(disk: &dyn Disk, dir: &Path) -> Result<DirectoryCheck, Error> {
    let mut check = DirectoryCheck { manifest: None, damages: Vec::new(), torn: Vec::new(), unnamed: Vec::new() };
    match find_manifest(disk, dir) {
        Ok(found) => {
            check.damages = missing_files(disk, dir, &found.manifest)?;
            check.unnamed = unnamed_files(disk, dir, &found.manifest)?;
            check.torn = found.torn;
            check.manifest = Some((found.number, found.manifest));
        }
        Err(Error::Disk(cause)) => return Err(Error::Disk(cause)),
        // Its making was cut short before anything was in it.
        Err(damage) if is_unmade(disk, dir)? => check.torn.push(damage),
        Err(damage) => check.damages.push(damage),
    }
    Ok(check)
}

/// What a file says of itself in its first bytes.
///
/// # Errors
/// `Error::Disk`, `Error::Damaged`.
pub fn identify(disk: &dyn Disk, path: &Path) -> Result<FileHead, Error> {
    let file = disk.open(path, Access::Read)?;
    let mut bytes = vec![0; FileHead::BYTES.min(usize::try_from(file.len()?).unwrap_or(FileHead::BYTES))];
    file.read_at(0, &mut bytes)?;
    FileHead::decode(&bytes, path)
}

/// Reads a manifest file by itself, for looking at it. Its number stands beside it.
///
/// # Errors
/// `Error::Disk`, `Error::Damaged`, `Error::Format`.
pub fn inspect_manifest(disk: &dyn Disk, path: &Path) -> Result<(Manifest, u64), Error> {
    read_manifest(disk, path)
}
