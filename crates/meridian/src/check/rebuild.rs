//! `meridian check --repair` of a slice in which no manifest is whole: it is made anew from the slice's files.
//!
//! Promises: every file that is changed or let go of lies as it was in DIR/damaged; what is whole of a damaged file
//! stays in it; what may be lost or come back is told. A rebuilding that was cut short can be begun again.

use super::Findings;
use super::repair::{failed, mend_head, replace, set_aside};
use crate::Error;
use series::file::{FileOrigin, NoCache, SeriesFile};
use std::path::Path;
use std::sync::Arc;
use storage::{SliceDirectory, StoreId};
use types::{SliceId, Version};
use world::Disk;

/// Makes the slice's manifest anew; gives a line for each thing done and each doubt.
///
/// # Errors
/// `Error::Input`: what can't be read or written.
pub fn rebuild(disk: &Arc<dyn Disk>, dir: &Path, part: &Findings, done: &mut Vec<String>) -> Result<(), Error> {
    let place = dir.join("slices").join(&part.name);
    let failed = failed(&place);
    let slice = part.name.parse().map(SliceId).map_err(|_| failed("its name is not a slice's number".to_owned()))?;
    let store = kernel::identify(&**disk, dir).map_err(|error| failed(error.to_string()))?.store;
    disk.make_dir(&place).map_err(|error| failed(error.to_string()))?;
    for entry in disk.list(&place).map_err(|error| failed(error.to_string()))? {
        if entry.name.starts_with("manifest-") {
            set_aside(dir, &place.join(&entry.name), &format!("{}-{}", part.name, entry.name))?;
        }
    }
    for (at, number) in storage::files_in(&**disk, &place).map_err(|error| failed(error.to_string()))? {
        let Some(at) = at else { continue };
        let path = place.join(storage::file_path(at, number));
        if series::file::check(&**disk, &path).is_ok_and(|check| check.is_whole()) {
            continue;
        }
        set_aside(dir, &path, &format!("{}-{number}.series", part.name))?;
        let origin = origin(&**disk, &path, store, slice, number.0);
        done.push(keep_whole(disk, &path, origin).map_err(|error| failed(error.to_string()))?);
    }
    let rebuilt = kernel::rebuild(disk, dir, slice).map_err(|error| failed(error.to_string()))?;
    for (path, why) in &rebuilt.left_out {
        let name = path.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
        set_aside(dir, path, &format!("{}-{name}", part.name))?;
        done.push(format!("{}: left out, {why}; it lies in the directory damaged", path.display()));
    }
    let rows: u64 = rebuilt.manifest.files.iter().map(|file| file.rows).sum();
    let files = rebuilt.manifest.files.len();
    SliceDirectory::remake(disk, &place, rebuilt.manifest).map_err(|error| failed(error.to_string()))?;
    done.push(format!("{}: no manifest was whole; made anew from {files} files with {rows} rows", place.display()));
    done.extend(rebuilt.doubts.iter().map(|doubt| format!("{}: {doubt}", place.display())));
    Ok(())
}

/// What a file says of itself where its footer is whole; else it has no versions of its own.
fn origin(disk: &dyn Disk, path: &Path, store: StoreId, slice: SliceId, number: u64) -> FileOrigin {
    let summary = SeriesFile::open(disk, path, Arc::new(NoCache)).map(|file| (file.summary().versions, file.summary().level));
    let (versions, level) = summary.unwrap_or(((Version::default(), Version::default()), 0));
    FileOrigin { store, slice, number: storage::FileNumber(number), versions, level }
}

/// Writes the whole rows of a file anew in its place; a file without any goes.
fn keep_whole(disk: &Arc<dyn Disk>, path: &Path, origin: FileOrigin) -> Result<String, series::file::Error> {
    mend_head(&**disk, path, origin)?;
    let beside = path.with_extension("repair");
    // Left by a repair that was cut short; there mostly is none.
    let _ = disk.remove(&beside);
    let kept = match series::file::repair(disk, path, &beside, origin) {
        Err(error @ series::file::Error::Disk(_)) => return Err(error),
        Err(_) => None,
        Ok((summary, check)) => Some((summary.rows, check.rows_lost)).filter(|(rows, _)| *rows > 0),
    };
    let Some((rows, lost)) = kept else {
        let _ = disk.remove(&beside);
        disk.remove(path)?;
        return Ok(format!("{}: nothing of it is whole", path.display()));
    };
    replace(&**disk, &beside, path)?;
    Ok(format!("{}: {rows} rows kept, {lost} lost", path.display()))
}
