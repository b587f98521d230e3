//! Flushing: a slice's buffer becomes files, in one manifest edit.
//!
//! ```text
//!   view of the buffer up to version V (writes go on above it)
//!     -> files: the current period's and one mixed      -> snapshot values' file
//!     -> the log is synced where it is not yet (Interval)
//!     -> manifest: files, V, groups, producers, deletions, held samples at V, snapshot values' file
//!     -> readers see the files instead of the buffer    -> room is given back, the log is cut
//! ```
//! Crash reasoning: until the manifest is durable the old one and the log hold everything; files it
//! does not name are removed at opening. The log is cut only after the manifest is durable. Snapshot
//! values may be ahead of V by what the log still holds; replaying that again changes nothing.
//! Promises: a failure leaves the buffer as it was. A full disk is tried again after a while, and writes that find
//! no room in the buffers are refused meanwhile; any other failure to write stops all writes until the store is opened again, for nothing
//! is known of the disk.

use crate::core::Core;
use crate::held;
use crate::recovery::slice_dir;
use crate::slice::{Slice, latest_head};
use crate::tombstones::{self, Grave};
use crate::{Durability, Error};
use log::Position;
use series::{FlushPlan, Tombstone, ViewFile};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::{EpochStart, FileNumber, Manifest, Producer, SliceDirectory};
use types::{CommitNumber, Period, TagId, Version};
use world::Lane;

/// How long a full disk is left alone.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);

/// What a flush took from the slice's state.
pub(crate) struct Taken {
    pub(crate) view: Arc<series::BufferView>,
    pub(crate) version: Version,
    pub(crate) commit: CommitNumber,
    pub(crate) bytes: u64,
    pub(crate) groups: BTreeMap<Period, Version>,
    pub(crate) producers: Vec<Producer>,
    pub(crate) epochs: Vec<EpochStart>,
    pub(crate) graves: Vec<Grave>,
    pub(crate) deletions: Vec<Tombstone>,
    pub(crate) position: Position,
    /// Whether it is not the buffer itself, since that has more than may be flushed.
    pub(crate) rebuilt: bool,
}

/// A flush whose files are written.
struct Written {
    taken: Taken,
    manifest: Manifest,
    files: Vec<Arc<ViewFile>>,
    graves: Vec<Grave>,
}

type Then = Box<dyn FnOnce(&Arc<Core>, Result<(), Error>) + Send>;

impl Core {
    /// As the slice's one job: flushes what was applied so far, then goes on.
    pub(crate) fn flush_slice(
        self: &Arc<Core>,
        slice: &Arc<Slice>,
        then: impl FnOnce(&Arc<Core>, Result<(), Error>) + Send + 'static,
    ) {
        let then: Then = Box::new(then);
        let led = slice.is_led.load(Ordering::Acquire);
        let taken = if led { self.take_led(slice) } else { Ok(slice.take_for_flush()) };
        let taken = match taken {
            Ok(Some(taken)) => taken,
            Ok(None) => {
                let outcome = if led { self.keep_led_note(slice) } else { Ok(()) };
                return self.flush_over(slice, None, outcome, then);
            }
            Err(fault) => return self.flush_over(slice, None, Err(fault), then),
        };
        let (bytes, begun_us) = (taken.bytes, self.world.clock.monotonic_us());
        self.flushing_bytes.fetch_add(bytes, Ordering::AcqRel);
        let written = match self.write_flush(slice, taken) {
            Ok(written) => written,
            Err(fault) => return self.flush_over(slice, Some((bytes, begun_us)), Err(fault), then),
        };
        if self.settings.durability == Durability::Commit {
            let outcome = self.publish_flush(slice, written);
            return self.flush_over(slice, Some((bytes, begun_us)), outcome, then);
        }
        // What was answered but not synced must be in the log for good before files say so.
        let (core, slice) = (Arc::clone(self), Arc::clone(slice));
        self.log.sync(move |outcome: Result<Position, log::Error>| {
            let runner = Arc::clone(&core.world.runner);
            runner.submit(
                Lane::Flush,
                Box::new(move || {
                    let outcome = match outcome {
                        Ok(_) => core.publish_flush(&slice, written),
                        Err(fault) => Err(core.poison_with(fault.to_string())),
                    };
                    core.flush_over(&slice, Some((bytes, begun_us)), outcome, then);
                }),
            );
        });
    }

    /// `begun`: the bytes of the buffer that was flushed (a deletion has none), and when that began; None where there was
    /// nothing to do.
    fn flush_over(self: &Arc<Core>, slice: &Arc<Slice>, begun: Option<(u64, u64)>, outcome: Result<(), Error>, then: Then) {
        self.flushing_bytes.fetch_sub(begun.map_or(0, |(bytes, _)| bytes), Ordering::AcqRel);
        match (&outcome, begun) {
            (Ok(()), Some((bytes, begun_us))) => {
                *self.jobs.disk_full.lock() = None;
                self.counters.flushes.fetch_add(1, Ordering::Relaxed);
                let took_us = self.world.clock.monotonic_us().saturating_sub(begun_us);
                self.counters.flush_times.note_us(took_us);
                if let Some(mut span) = traces::past("flush", took_us) {
                    span.set("meridian.slice", i64::from(slice.id.0));
                    span.set("meridian.bytes", bytes as i64);
                }
                self.cut_log();
                self.tell_led(slice);
                self.consider_merge(slice);
                self.watch_graves();
            }
            (Ok(()), None) => {}
            (Err(Error::DiskFull(why)), _) => {
                slice.untake();
                let full = format!("the write buffers could not be flushed: {why}");
                *self.jobs.disk_full.lock() = Some(full);
                self.pause_for_disk();
                // Nobody knows when there will be room: who waits is told, and may come again.
                self.shares.buffers.turn_away();
            }
            // Nothing is known of a disk that failed to write.
            (Err(fault), _) => {
                slice.untake();
                self.poison_with(format!("slice {}: {fault}", slice.id));
            }
        }
        then(self, outcome);
        self.finished(slice);
    }

    fn pause_for_disk(self: &Arc<Core>) {
        if self.jobs.disk_pause.swap(true, Ordering::AcqRel) {
            return;
        }
        let core = Arc::downgrade(self);
        let again = Box::new(move || {
            let Some(core) = core.upgrade() else { return };
            core.jobs.disk_pause.store(false, Ordering::Release);
            core.relieve();
        });
        self.world.runner.submit_after(FULL_DISK_PAUSE, Lane::Flush, again);
    }

    /// Writes the files of a flush; nothing refers to them yet.
    fn write_flush(&self, slice: &Arc<Slice>, taken: Taken) -> Result<Written, Error> {
        let directory = self.directory(slice)?;
        let mut files = Vec::new();
        let manifest = self.write_flush_files(slice, &directory, &taken, &mut files);
        match manifest {
            Ok((manifest, graves)) => Ok(Written { taken, manifest, files, graves }),
            Err(fault) => {
                self.remove_unpublished(&directory, &files);
                Err(fault)
            }
        }
    }

    fn write_flush_files(
        &self,
        slice: &Arc<Slice>,
        directory: &SliceDirectory,
        taken: &Taken,
        files: &mut Vec<Arc<ViewFile>>,
    ) -> Result<(Manifest, Vec<Grave>), Error> {
        let bound = directory.next_number();
        let mut manifest = Manifest::clone(&directory.manifest());
        *files = series::flush(&taken.view, &self.flush_plan(slice, directory))?;
        manifest.files.extend(files.iter().map(|file| file.meta.clone()));
        manifest.files.sort_unstable_by_key(|file| file.number);
        let mut graves = taken.graves.clone();
        let since_us = self.world.clock.monotonic_us();
        graves.extend(taken.deletions.iter().map(|tombstone| Grave { tombstone: tombstone.clone(), bound, since_us }));
        let (latest, unknown) = self.write_latest(slice, directory, taken.version)?;
        let graves = tombstones::store(&mut manifest, &graves, &unknown);
        held::store(&mut manifest, taken.view.held());
        manifest.latest = latest;
        manifest.flushed = taken.version;
        manifest.commit = taken.commit;
        manifest.log_position = taken.position.0;
        manifest.groups.clone_from(&taken.groups);
        manifest.producers.clone_from(&taken.producers);
        manifest.epochs.clone_from(&taken.epochs);
        if let Some(led) = slice.led.lock().as_ref() {
            led.store_note(&mut manifest);
        }
        Ok((manifest, graves))
    }

    pub(crate) fn flush_plan<'a>(&'a self, slice: &Slice, directory: &'a SliceDirectory) -> FlushPlan<'a> {
        FlushPlan {
            disk: &self.world.disk,
            directory,
            store: self.store,
            period_us: slice.period_us,
            kinds: &*self.kinds,
            cache: self.shares.block_cache(),
        }
    }

    /// The slice's directory, made by its first flush.
    pub(crate) fn directory(&self, slice: &Slice) -> Result<Arc<SliceDirectory>, Error> {
        let mut filing = slice.filing.lock();
        if let Some(directory) = &filing.directory {
            return Ok(Arc::clone(directory));
        }
        let dir = slice_dir(&self.dir, slice.id);
        let directory = SliceDirectory::open_or_create(&self.world.disk, &dir, self.store, slice.id)?;
        self.node.lock().note_slices(&*self.world.disk, std::iter::once(slice.id)).map_err(storage::Error::from)?;
        Ok(Arc::clone(filing.directory.insert(Arc::new(directory))))
    }

    /// Writes the snapshot values; gives the file's number and the tags whose value is not known. No file where too little
    /// is known: then all are read from the samples at the next opening.
    fn write_latest(
        &self,
        slice: &Slice,
        directory: &SliceDirectory,
        flushed: Version,
    ) -> Result<(Option<FileNumber>, Vec<TagId>), Error> {
        // What can't be read now stays unknown, and is noted as such.
        let _ = slice.recompute();
        let number = directory.next_number();
        // Deletions wait for this lock: one that took a value between the list and the file would leave a hole in
        // the file that neither the list nor its own replay (which finds nothing to take) tells of.
        let values = slice.values.lock();
        let mut unknown: Vec<TagId> = values.unknown.iter().copied().collect();
        slice.latest.write(&*self.world.disk, &directory.latest_path(number), latest_head(self.store, slice.id, number))?;
        drop(values);
        if slice.is_led.load(Ordering::Acquire) {
            // What is ahead of the flush may never become stable: it counts for nothing at the next opening.
            let Some(ahead) = self.led_ahead(slice, flushed) else {
                let _ = self.world.disk.remove(&directory.latest_path(number));
                return Ok((None, Vec::new()));
            };
            unknown.extend(ahead);
            unknown.sort_unstable();
            unknown.dedup();
        }
        Ok((Some(number), unknown))
    }

    /// Removes files that no manifest names. A failure costs room until the next opening only.
    pub(crate) fn remove_unpublished(&self, directory: &SliceDirectory, files: &[Arc<ViewFile>]) {
        for file in files {
            let _ = self.world.disk.remove(&directory.dir().join(file.meta.path()));
        }
    }

    /// Removes the files of a manifest that was refused for want of room. After any other failure the
    /// manifest may be on disk and in force at the next opening: then its files must be there.
    pub(crate) fn remove_refused(&self, directory: &SliceDirectory, files: &[Arc<ViewFile>], fault: &storage::Error) {
        if fault.is_full() {
            self.remove_unpublished(directory, files);
        }
    }

    /// Puts the flush's manifest in force, and its files before the readers.
    fn publish_flush(&self, slice: &Arc<Slice>, written: Written) -> Result<(), Error> {
        let Written { taken, manifest, files, graves } = written;
        let directory = self.directory(slice)?;
        let manifest = match directory.publish(manifest) {
            Ok(manifest) => manifest,
            Err(fault) => {
                self.remove_refused(&directory, &files, &fault);
                return Err(fault.into());
            }
        };
        let bytes: u64 = files.iter().map(|file| file.meta.bytes).sum();
        self.counters.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut led = slice.led.lock();
        let _all = self.visibility.write();
        let mut state = slice.state.lock();
        let until = taken.version.sequence;
        let all = state.files.files().iter().cloned().chain(files).collect();
        state.put_files(all, graves);
        state.deletions.retain(|tombstone| tombstone.version().sequence > until);
        if let Some(led) = led.as_mut() {
            self.led_flushed(slice, led, &mut state, &taken, &manifest);
        }
        let released = if taken.rebuilt { state.release_room(until) } else { state.release(until) };
        slice.show(&mut state);
        drop(state);
        drop(_all);
        drop(led);
        // Giving room back wakes writers, who must find no lock held.
        drop(released);
        Ok(())
    }

    /// Cuts the log below the oldest record that some slice still needs.
    pub(crate) fn cut_log(&self) {
        let before = self.log_needed();
        let Some(first) = self.log.cut_target(before) else { return };
        // Noted before anything goes, so that the next opening can tell segments that were cut from missing ones.
        let noted = self.node.lock().note_log(&*self.world.disk, self.log.id(), first);
        if let Err(fault) = noted {
            self.poison_with(fault.to_string());
            return;
        }
        // A segment that can't be removed costs room; the next cut tries again.
        let _ = self.log.cut(before);
    }
}

impl Slice {
    /// What there is to be flushed. None where there is nothing.
    fn take_for_flush(&self) -> Option<Taken> {
        let mut state = self.state.lock();
        let view = state.buffer.seal()?;
        let position = state.unflushed.back()?.position;
        let mut producers: Vec<Producer> =
            state.producers.iter().map(|(id, (number, used))| Producer { id: *id, number: *number, last_used: *used }).collect();
        producers.sort_unstable_by_key(|producer| producer.id);
        Some(Taken {
            view,
            version: state.version,
            commit: state.commit,
            position,
            bytes: state.buffer.bytes() as u64,
            groups: state.groups.clone(),
            producers,
            epochs: state.epochs.clone(),
            graves: state.graves.clone(),
            deletions: state.deletions.clone(),
            rebuilt: false,
        })
    }

    /// The flush failed: the buffer is one again.
    fn untake(&self) {
        self.state.lock().buffer.unseal();
    }
}
