//! A store held as it is at a moment, for whoever copies it while it goes on (paper 2's backup of a node's data).
//!
//! ```text
//!   hold the log -> each slice's manifest, with its files open -> sync the log: where it ends now is the moment
//!   copy of the log up to there, and of the files: opens as the store was at that moment
//! ```
//! Whatever a manifest holds was logged, and synced, before the manifest was made durable: so no manifest is ahead of the moment,
//! and the log tells what each lacks, as it does after a crash. Files that a merge drops meanwhile are removed by name only:
//! who has them open reads on.
//! Promises: what is copied opens with all that was answered before the moment and nothing that was asked for after it.
//! What it may not know: where copies go, and what lies beside the kernel's own files.

use crate::core::Core;
use crate::node::NodeFile;
use crate::recovery::slice_dir;
use crate::roster::Roster;
use crate::{Error, Kernel, tombstones};
use bytes::Bytes;
use log::{Hold, Position};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::{Manifest, SliceDirectory, StoreId};
use types::{CommitNumber, SliceId};
use world::{Access, DiskError, File, Ticket};

/// How often a slice's manifest is looked at again, where files of it go while they are opened.
const TRIES: usize = 100;

/// A store as it was at a moment.
pub struct Frozen {
    /// Which store it is.
    pub store: StoreId,
    /// The node file of a copy.
    pub node: Bytes,
    /// Its slices that have files.
    pub slices: Vec<FrozenSlice>,
    /// Keeps what a copy needs of the log; drop it once that is copied.
    pub log: Hold,
    /// A copy needs the log from here on: a segment begins here.
    pub log_from: Position,
    /// Up to here: the moment.
    pub log_to: Position,
    /// At least all commits up to this one are in it.
    pub commit: CommitNumber,
    /// All that was committed up to this moment is in it: later commits have higher numbers.
    pub closed: CommitNumber,
    /// No commit above this one is in it.
    pub last: CommitNumber,
}

/// A slice of it.
pub struct FrozenSlice {
    /// What its manifest says.
    pub manifest: Arc<Manifest>,
    /// The manifest's number.
    pub number: u64,
    /// Its series files, in the manifest's order.
    pub files: Vec<FrozenFile>,
    /// Its snapshot values.
    pub latest: Option<FrozenFile>,
}

/// A file of it, open.
pub struct FrozenFile {
    /// Where it belongs below the store's directory.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Itself.
    pub file: Arc<dyn File>,
}

/// The files of a slice, and that of its snapshot values.
type Opened = (Vec<FrozenFile>, Option<FrozenFile>);

/// Whether a slice's rows are what its files hold, all of it: no deletion and no held sample stands beside them in the manifest.
#[must_use]
pub fn rests_on_files(manifest: &Manifest) -> bool {
    manifest.opaque.iter().all(|entry| tombstones::changes_no_rows(entry.kind))
}

impl FrozenSlice {
    /// Where its manifest belongs below the store's directory.
    #[must_use]
    pub fn manifest_path(&self) -> PathBuf {
        storage::manifest_path(&slice_dir(Path::new(""), self.manifest.slice), self.number)
    }
}

impl Kernel {
    /// Holds the store as it is. Works on the disk: call it where that may wait. Writes go on meanwhile.
    /// The answer comes when the log is synced up to the moment.
    #[must_use]
    pub fn freeze(&self) -> Ticket<Result<Frozen, Error>> {
        let (promise, ticket) = Ticket::pair();
        let core = Arc::clone(&self.core);
        let hold = core.log.hold();
        // Before any manifest is looked at: those that come later need less.
        let before = core.log_needed();
        let slices = match core.freeze_slices() {
            Ok(slices) => slices,
            Err(fault) => return Ticket::ready(Err(fault)),
        };
        let commit = core.visible();
        let closed = core.close_now();
        let log = Arc::clone(&core.log);
        log.sync(move |synced| {
            promise.keep(match synced {
                Ok(log_to) => Ok(core.frozen(hold, slices, (before, log_to), (commit, closed))),
                Err(fault) => Err(Error::Poisoned(fault.to_string())),
            });
        });
        ticket
    }
}

impl Core {
    /// The oldest record of the log that some slice still needs.
    pub(crate) fn log_needed(&self) -> Position {
        // Read before the slices are asked: what is applied later lies above it.
        let applied = Position(self.applied.load(Ordering::Acquire));
        let ground = self.ground();
        ground.slices.iter().filter_map(|slice| slice.oldest_needed()).fold(applied, Position::min)
    }

    fn frozen(
        &self,
        log: Hold,
        slices: Vec<FrozenSlice>,
        moment: (Position, Position),
        numbers: (CommitNumber, CommitNumber),
    ) -> Frozen {
        let ((before, log_to), (commit, closed)) = (moment, numbers);
        let log_from = log.segment_of(before);
        log.advance(log_from);
        let node = self.node.lock().file;
        let file = NodeFile { generation: 0, log: Some(log.known_from(log_from)), ..node };
        let ids: Vec<SliceId> = slices.iter().map(|slice| slice.manifest.slice).collect();
        let node = file.encode_file(&Roster::of(&ids)).into();
        // Numbers are given before records are appended: no record before the moment has a higher one.
        let last = self.order.lock().commit;
        Frozen { store: self.store, node, slices, log, log_from, log_to, commit, closed, last }
    }

    fn freeze_slices(&self) -> Result<Vec<FrozenSlice>, Error> {
        let mut out = Vec::new();
        for slice in &self.ground().slices {
            if slice.is_led.load(Ordering::Acquire) {
                let what = "it is copied from its replicas, not from this node alone".to_owned();
                return Err(Error::Led { slice: slice.id, what });
            }
            let directory = slice.filing.lock().directory.clone();
            if let Some(directory) = directory {
                out.push(self.freeze_slice(slice.id, &directory)?);
            }
        }
        Ok(out)
    }

    fn freeze_slice(&self, slice: SliceId, directory: &SliceDirectory) -> Result<FrozenSlice, Error> {
        let below = slice_dir(Path::new(""), slice);
        let mut fault = Error::Read(String::new());
        for _ in 0..TRIES {
            let (manifest, number) = (directory.manifest(), directory.manifest_number());
            // Taken together with its number, or looked at again.
            if !Arc::ptr_eq(&manifest, &directory.manifest()) {
                continue;
            }
            match self.open_all(&below, directory, &manifest) {
                Ok((files, latest)) => {
                    return Ok(FrozenSlice { manifest, number, files, latest });
                }
                // Dropped by a merge meanwhile: the next manifest does not name it.
                Err(failed) if failed.is_missing() && !Arc::ptr_eq(&manifest, &directory.manifest()) => {
                    fault = Error::Read(failed.to_string());
                }
                Err(failed) => return Err(Error::Read(failed.to_string())),
            }
        }
        Err(fault)
    }

    /// A slice's files, and that of its snapshot values.
    fn open_all(&self, below: &Path, directory: &SliceDirectory, manifest: &Manifest) -> Result<Opened, DiskError> {
        let open = |relative: &Path| -> Result<FrozenFile, DiskError> {
            let file = self.world.disk.open(&directory.dir().join(relative), Access::Read)?;
            Ok(FrozenFile { path: below.join(relative), bytes: file.len()?, file })
        };
        let latest = manifest.latest.map(|number| directory.latest_path(number));
        let latest = latest.as_deref().and_then(|path| path.strip_prefix(directory.dir()).ok()).map(open).transpose()?;
        let files = manifest.files.iter();
        let files = files.map(|meta| open(&meta.path()));
        Ok((files.collect::<Result<_, DiskError>>()?, latest))
    }
}
