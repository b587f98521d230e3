//! A slice at rest: its manifest, the files that it names, every block of those.
//!
//! Promises: reads only; names every damage; of a slice without a whole manifest it still names the files that are
//! damaged, for a repair makes the manifest anew from the others.

use super::Findings;
use crate::interrupt;
use series::file::{NoCache, SeriesFile};
use series::{Latest, Placement};
use std::path::Path;
use std::sync::Arc;
use storage::{FileHead, FileMeta, FileNumber, FileType, Manifest};
use types::{DistributionRule, SliceId};
use world::Disk;

/// A slice that must be there, and is not.
pub fn missing(dir: &Path) -> Findings {
    let name = dir.file_name().map_or_else(Default::default, |name| name.to_string_lossy().into_owned());
    let damage = format!("{} is missing, though samples were written to it", dir.display());
    Findings { name, damages: vec![damage], manifest_lost: true, ..Findings::default() }
}

/// Looks at a slice; `noted` where something must be in it.
pub fn check(disk: &dyn Disk, dir: &Path, name: &str, noted: bool) -> Findings {
    let mut slice = Findings { name: name.to_owned(), ..Findings::default() };
    let check = match storage::check_directory(disk, dir) {
        Ok(check) => check,
        Err(error) => {
            slice.damages.push(error.to_string());
            return slice;
        }
    };
    slice.damages.extend(check.damages.iter().map(ToString::to_string));
    slice.leftovers = (check.torn.len() + check.unnamed.len()) as u64;
    match check.manifest {
        Some((_, manifest)) => {
            check_named(disk, dir, &manifest, &mut slice);
            slice.manifest = Some(manifest);
        }
        None if noted && check.damages.is_empty() => {
            slice.damages.push(format!("{} is empty, though samples were written to it", dir.display()));
            slice.manifest_lost = true;
        }
        None => {
            // A manifest of another release is not damage that a repair may replace.
            slice.manifest_lost = !check.damages.is_empty() && check.damages.iter().all(is_plain_damage);
            check_unnamed(disk, dir, &mut slice);
        }
    }
    slice
}

fn is_plain_damage(error: &storage::Error) -> bool {
    matches!(error, storage::Error::Damaged { .. })
}

fn check_named(disk: &dyn Disk, dir: &Path, manifest: &Manifest, slice: &mut Findings) {
    for file in &manifest.files {
        // Whoever called looks too, and takes nothing of what was found so far.
        if interrupt::asked() {
            return;
        }
        slice.files += 1;
        slice.bytes += file.bytes;
        let before = slice.damages.len();
        let path = dir.join(file.path());
        let found = check_file(disk, &path, slice);
        slice.rows_lost += file.rows.saturating_sub(found);
        if slice.damages.len() == before
            && let Err(error) = same_file(disk, &path, manifest, file)
        {
            slice.damages.push(error.to_string());
        }
        if slice.damages.len() > before {
            slice.damaged_files.push(file.number);
        }
    }
    if let Some(number) = manifest.latest
        && let Err(error) = check_latest(disk, dir, manifest, number)
    {
        slice.damages.push(format!("{error} (its snapshot values are read from the samples instead)"));
        slice.latest_lost = true;
    }
}

/// Rows that can be read; what is damaged is noted.
fn check_file(disk: &dyn Disk, path: &Path, slice: &mut Findings) -> u64 {
    match series::file::check(disk, path) {
        Ok(found) => {
            slice.rows += found.rows;
            slice.damages.extend(found.damages.iter().map(ToString::to_string));
            found.rows
        }
        Err(error) => {
            slice.damages.push(error.to_string());
            0
        }
    }
}

fn same_file(disk: &dyn Disk, path: &Path, manifest: &Manifest, file: &FileMeta) -> Result<(), series::file::Error> {
    SeriesFile::open(disk, path, Arc::new(NoCache))?.check_named(manifest.store, manifest.slice, file)
}

fn check_latest(disk: &dyn Disk, dir: &Path, manifest: &Manifest, number: FileNumber) -> Result<(), series::file::Error> {
    let (store, slice) = (manifest.store, manifest.slice);
    let head = FileHead { file_type: FileType::Latest, format: series::LATEST_FORMAT, store, slice, number: number.0 };
    read_latest(disk, &dir.join(format!("latest-{number}")), head)
}

/// Reads a file of snapshot values to its end; `head` is what it must say of itself.
///
/// # Errors
/// What is damaged in it, or why it can't be read.
pub fn read_latest(disk: &dyn Disk, path: &Path, head: FileHead) -> Result<(), series::file::Error> {
    // Where a tag's value lies in the file does not depend on the rule; only what it is read for does.
    Latest::new(Placement::new(&DistributionRule::default()), SliceId(0)).read(disk, path, head)
}

fn check_unnamed(disk: &dyn Disk, dir: &Path, slice: &mut Findings) {
    let files = match storage::files_in(disk, dir) {
        Ok(files) => files,
        Err(error) => return slice.damages.push(error.to_string()),
    };
    for (place, number) in files {
        let Some(place) = place else { continue };
        slice.files += 1;
        check_file(disk, &dir.join(storage::file_path(place, number)), slice);
    }
}
