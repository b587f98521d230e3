//! Ending a log at rest at an earlier place: what a copy holds beyond the moment that is wanted goes.
//!
//! Promises: afterwards the log opens as if nothing had ever been written at or behind that place. May not know why it ends there.

use crate::segment::{Opened, Segment, base_of, path};
use crate::{Error, Position};
use std::path::Path;
use std::sync::Arc;
use world::{Access, Disk, DiskError};

/// Ends the log in a directory, which nobody has open, where a record begins.
///
/// # Errors
/// `Error::Open`, `Error::Damaged`, `Error::Read`: what lies there then is no log any more.
pub fn end_at(disk: &Arc<dyn Disk>, dir: &Path, at: Position) -> Result<(), Error> {
    let failed = |cause: DiskError| Error::Open { dir: dir.to_path_buf(), cause: Arc::new(cause) };
    let names = disk.list(dir).map_err(failed)?;
    let mut bases: Vec<u64> = names.iter().filter_map(|entry| base_of(&entry.name)).collect();
    bases.sort_unstable_by(|a, b| b.cmp(a));
    for base in bases {
        // Newest first: what stays is always the beginning of the log.
        if base >= at.0 {
            disk.remove(&path(dir, base)).map_err(failed)?;
            disk.sync_dir(dir).map_err(failed)?;
            continue;
        }
        let Opened::Whole(segment) = Segment::open(&**disk, dir, base, Access::Write)? else {
            return Err(Error::Damaged { file: path(dir, base), offset: 0, what: "its header is broken" });
        };
        if at.0 < segment.limit() {
            let file = &segment.file;
            file.truncate(at.0 - base).map_err(failed)?;
            file.reserve(segment.header.capacity).map_err(failed)?;
            file.sync().map_err(failed)?;
        }
        return Ok(());
    }
    Ok(())
}
