//! The tag table held as it is at a moment, for whoever copies it while it goes on: the newest checkpoint's files, open, and the
//! log behind it.
//!
//! Promises: a copy opens with every change that was answered before the moment.
//! What it may not know: where copies go.

use crate::core::Core;
use crate::{Catalog, Error};
use log::{Hold, Position};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use world::{File, Ticket};

/// The tag table as it was at a moment. Paths are below the catalog's directory; its log belongs into `log` there.
pub struct Frozen {
    /// The newest manifest, and the files that it names: path, length, and the file, open.
    pub files: Vec<(PathBuf, u64, Arc<dyn File>)>,
    /// Keeps what a copy needs of the log; drop it once that is copied.
    pub log: Hold,
    /// A copy needs the log from here on: a segment begins here.
    pub log_from: Position,
    /// Up to here: the moment.
    pub log_to: Position,
    /// No change in it has a later time.
    pub last: u64,
}

impl Catalog {
    /// Holds the table as it is. Works on the disk: call it where that may wait. Changes go on meanwhile.
    ///
    /// # Errors
    /// `Error::Led` of a fleet's table: other schedulers have it too. `Error::Open` where the disk fails.
    #[must_use]
    pub fn freeze(&self) -> Ticket<Result<Frozen, Error>> {
        let core = self.core();
        if core.led.get().is_some() {
            return Ticket::ready(Err(Error::Led));
        }
        let hold = core.log.hold();
        let (files, needed) = match core.freeze_files() {
            Ok(found) => found,
            Err(fault) => return Ticket::ready(Err(Error::Open(fault.to_string()))),
        };
        let (promise, ticket) = Ticket::pair();
        let times = Arc::clone(core);
        core.log.sync(move |synced| {
            promise.keep(match synced {
                Ok(log_to) => {
                    let log_from = hold.segment_of(needed);
                    hold.advance(log_from);
                    let last = *times.time.lock();
                    Ok(Frozen { files, log: hold, log_from, log_to, last })
                }
                Err(fault) => Err(Error::Poisoned(fault.to_string())),
            });
        });
        ticket
    }
}

/// The files of a checkpoint, and where the log behind it begins.
type Files = (Vec<(PathBuf, u64, Arc<dyn File>)>, Position);

impl Core {
    fn freeze_files(&self) -> Result<Files, world::DiskError> {
        // While it is held no checkpoint is published, and so no file goes.
        let checkpoints = self.checkpoints.lock();
        let open = |path: PathBuf| {
            let file = self.world.disk.open(&path, world::Access::Read)?;
            let name = path.file_name().map(Path::new).unwrap_or(&path).to_path_buf();
            Ok((name, file.len()?, file))
        };
        let files = checkpoints.paths().into_iter().map(open).collect::<Result<_, world::DiskError>>()?;
        Ok((files, Position(checkpoints.manifest().position)))
    }
}
