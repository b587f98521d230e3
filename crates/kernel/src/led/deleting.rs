//! Deleting a led slice's data: what only this replica may have is set aside, the epoch stays.
//!
//! ```text
//!   set aside what is not known to be stable; or all, where an epoch was forced that this replica has nothing of
//!     -> a note in the log, durable      a crash up to here leaves everything as it was
//!     -> a manifest of no files that names the note: nothing of the slice counts below it      (files go)
//!     -> out of memory
//! ```
//! Runs as setting aside does (`aside`). Promises: nothing goes before its copy is durable; no epoch lower than one that was
//! promised is ever answered here, however often the slice comes and goes.

use super::format::{self, Note};
use super::{Led, note};
use crate::Error;
use crate::core::Core;
use crate::record::RECORD_LED_NOTE;
use crate::slice::Slice;
use crate::state::State;
use crate::{Deletion, TagSelection};
use hashbrown::HashSet;
use log::{Body as LogBody, Position};
use protocol::Record;
use std::path::Path;
use std::sync::Arc;
use storage::{Manifest, SliceDirectory};
use types::{Epoch, Sequence, TimeRange};
use world::{Access, Disk, DiskError, Lane, Promise};

type Answer = Promise<Result<(), Error>>;

/// How much of a file is copied at a time.
const COPY_BYTES: u64 = 1 << 20;

impl Core {
    /// As the slice's one job. `forced` is the newest epoch that an operator forced.
    pub(super) fn delete_led(self: &Arc<Core>, slice: &Arc<Slice>, forced: Epoch, promise: Answer) {
        let (all, alone) = slice.with_led(|led| {
            let all = forced > led.records.last().epoch;
            let after = if all { Sequence(0) } else { led.stable.sequence };
            (all, led.records.beyond(after).map(|kept| kept.record.clone()).collect::<Vec<Record>>())
        });
        let copied = if all { self.copy_files_aside(slice) } else { Ok(()) };
        if let Err(fault) = copied {
            return self.led_broke(slice, fault, promise);
        }
        if alone.is_empty() {
            return self.begin_anew(slice, promise);
        }
        let then = move |core: Arc<Core>, slice: Arc<Slice>, copied: Result<(), Error>| match copied {
            Ok(()) => core.begin_anew(&slice, promise),
            Err(fault) => core.led_broke(&slice, fault, promise),
        };
        self.copy_aside(slice, &alone, Box::new(then));
    }

    /// Copies the files that the manifest names, and the manifest itself.
    pub(super) fn copy_files_aside(&self, slice: &Slice) -> Result<(), Error> {
        let Some(directory) = slice.filing.lock().directory.clone() else { return Ok(()) };
        let manifest = directory.manifest();
        let to = self.aside_dir(slice.id, manifest.flushed)?;
        copy_files(&*self.world.disk, &directory, &manifest, &to).map_err(|fault| storage::Error::from(fault).into())
    }

    fn begin_anew(self: &Arc<Core>, slice: &Arc<Slice>, promise: Answer) {
        let of = Arc::clone(slice);
        let entry = (RECORD_LED_NOTE, format::encode_note(slice.id, Note::Anew), LogBody::new(Vec::new()));
        let noted = Arc::new(parking_lot::Mutex::new(Position(0)));
        let at = Arc::clone(&noted);
        let done = move |core: &Arc<Core>, outcome: Result<(), Error>| {
            let (core, runner) = (Arc::clone(core), Arc::clone(&core.world.runner));
            let job = move || match outcome.and_then(|()| core.forget_all(&of, *at.lock())) {
                Ok(()) => {
                    promise.keep(Ok(()));
                    core.led_over(&of);
                }
                Err(fault) => core.led_broke(&of, fault, promise),
            };
            runner.submit(Lane::Flush, Box::new(job));
        };
        slice.with_led(|led| self.led_put(slice, led, entry, move |_, position| *noted.lock() = position, done));
    }

    /// The note lies at that position: the manifest names it, and no file.
    fn forget_all(&self, slice: &Arc<Slice>, anew: Position) -> Result<(), Error> {
        let directory = self.directory(slice)?;
        let mut manifest = Manifest::new(self.store, slice.id);
        (manifest.commit, manifest.log_position) = (slice.state.lock().commit, anew.0);
        let epoch = slice.with_led(|led| led.epoch);
        note::store(&mut manifest, note::LedNote { exists: false, epoch, anew });
        let manifest = directory.publish(manifest)?;
        let mut guard = slice.led.lock();
        let room = {
            let _all = self.visibility.write();
            let mut state = slice.state.lock();
            let room = state.replace(State { commit: manifest.commit, ..State::empty() });
            slice.show(&mut state);
            room
        };
        let before = guard.as_mut().map(|led| {
            let (blocked, in_flight, told) = (led.blocked, led.in_flight, led.told);
            let waiting = std::mem::take(&mut led.waiting);
            let fresh = Led { exists: false, epoch, epoch_kept: epoch, anew, blocked, in_flight, told, waiting, ..Led::new() };
            std::mem::replace(led, fresh)
        });
        drop(guard);
        drop((room, before));
        slice.doubt_nothing();
        self.cut_log();
        Ok(())
    }
}

/// Copies, and makes the copies durable.
fn copy_files(disk: &dyn Disk, directory: &SliceDirectory, manifest: &Manifest, to: &Path) -> Result<(), DiskError> {
    let named = manifest.files.iter().map(storage::FileMeta::path);
    let own = format!("manifest-{:010}", directory.manifest_number()).into();
    for path in named.chain([own]) {
        let target = to.join(&path);
        let parent = target.parent().unwrap_or(to);
        disk.make_dir(parent)?;
        let (from, copy) = (disk.open(&directory.dir().join(&path), Access::Read)?, disk.create(&target)?);
        let len = from.len()?;
        let mut at = 0;
        while at < len {
            let mut bytes = vec![0; COPY_BYTES.min(len - at) as usize];
            from.read_at(at, &mut bytes)?;
            copy.write_at(at, &[&bytes])?;
            at += bytes.len() as u64;
        }
        copy.sync()?;
        disk.sync_dir(parent)?;
    }
    Ok(())
}

impl Slice {
    /// No tag has a value any more, and that is known.
    fn doubt_nothing(&self) {
        self.forget(&Deletion::Range { tags: TagSelection::All, range: TimeRange::ALL });
        self.know_all_but(HashSet::new());
    }
}
