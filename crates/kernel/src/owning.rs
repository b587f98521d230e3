//! A led slice's data made a slice of the store's own: for a store at rest that is to go on alone, as one that was restored from a
//! fleet's backup.
//!
//! ```text
//!   the log has nothing that files lack ──> each manifest without what only a led slice has ──> the log goes, a new one begins
//! ```
//! Promises: rows, versions, deletions and held samples stay as they are; a producer's number still counts once. Where the log has
//! what files lack nothing is changed. One that was cut short leaves a store that is refused, as it lacks its log: whoever calls
//! this can begin from the start.
//! What it may not know: where the data came from.

use crate::led::{format, note};
use crate::record::{RECORD_COMMIT, RECORD_LED};
use crate::recovery::{log_error, slice_dir};
use crate::{Error, accept_log, node};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use storage::{Manifest, SliceDirectory};
use types::{Sequence, SliceId};
use world::{Disk, DiskError};

/// Has the store in a directory, which no process uses, number the writes of all its slices itself from now on.
///
/// # Errors
/// `Error::Led` where the log has writes that files lack: the store is to be flushed and closed first; `Error::Open`, `Error::Damaged`.
pub fn own(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(), Error> {
    let failed = |fault: DiskError| Error::Open(fault.to_string());
    let node = node::read(&**disk, dir)?;
    let node = node.ok_or_else(|| Error::Damaged(format!("{}: no copy of what the store is can be read", dir.display())))?;
    let roster = node::read_roster(&**disk, dir, node.store)?;
    let slices = roster.slices().iter().map(|slice| {
        let directory = SliceDirectory::open(disk, &slice_dir(dir, *slice), node.store, *slice).map_err(Error::opening)?;
        Ok((*slice, directory))
    });
    let slices = slices.collect::<Result<BTreeMap<SliceId, SliceDirectory>, Error>>()?;
    check_log(disk, dir, &slices)?;
    for directory in slices.values() {
        directory.publish(owned(&directory.manifest()))?;
    }
    let log = dir.join("log");
    for entry in disk.list(&log).map_err(failed)? {
        disk.remove(&log.join(entry.name)).map_err(failed)?;
    }
    disk.sync_dir(&log).map_err(failed)?;
    accept_log(&**disk, dir, None)
}

/// The same files, without what only a led slice has, of no log.
fn owned(manifest: &Manifest) -> Manifest {
    let mut own = manifest.clone();
    own.opaque.retain(|entry| entry.kind != note::KIND_LED);
    own.log_position = 0;
    // A led slice's producers stand by the write that brought them, an own one's by its commit.
    own.producers.iter_mut().for_each(|producer| producer.last_used = manifest.commit);
    own
}

fn check_log(disk: &Arc<dyn Disk>, dir: &Path, slices: &BTreeMap<SliceId, SliceDirectory>) -> Result<(), Error> {
    for record in log::read(disk, &dir.join("log")).map_err(log_error)? {
        let record = record.map_err(log_error)?;
        let damaged = |what: String| Error::Damaged(format!("log record at position {}: {what}", record.position));
        let (slice, lacks) = match record.kind {
            RECORD_LED => {
                let (slice, write) = format::decode_write(&record.head, &record.body).map_err(damaged)?;
                let flushed = slices.get(&slice).map_or(Sequence(0), |directory| directory.manifest().flushed.sequence);
                (slice, write.version.sequence > flushed)
            }
            RECORD_COMMIT => return Err(damaged("it numbers writes of this store's own".to_owned())),
            _ => continue,
        };
        if lacks {
            return Err(Error::Led { slice, what: "its log has writes that its files lack".to_owned() });
        }
    }
    Ok(())
}
