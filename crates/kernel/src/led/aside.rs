//! Setting aside: what a led slice has beyond a version leaves its log, and is kept for an operator to look at.
//!
//! ```text
//!   the records -> set-aside/slice-0007-3.120-0, a log of its own, closed and synced
//!     -> a note in the log: the slice ends here, durable      a crash before it changes nothing
//!     -> out of the records, the history, the buffer, the snapshot values, the producers' numbers
//! ```
//! Runs as the slice's one job, with all that was asked before synced and all that is asked meanwhile waiting. Replay obeys
//! the note (`opening`). Applied records may be among them: then the state is put together anew from manifest and
//! records. A reader at that very moment may still see a snapshot value of theirs, as one that came just before.
//! Promises: nothing leaves the log before its copy is durable.

use super::flushing::add_tags;
use super::format::{self, Note};
use super::records::Kept;
use super::refused;
use crate::Error;
use crate::core::Core;
use crate::record::{RECORD_LED, RECORD_LED_NOTE};
use crate::recovery::log_error;
use crate::slice::Slice;
use crate::{Deletion, TagSelection};
use hashbrown::HashSet;
use log::Log;
use memory::Grant;
use parking_lot::Mutex;
use protocol::{ProducerRow, Record};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::{SliceId, TagId, TimeRange, Version};
use world::{Access, Disk, DiskError, Lane, Promise};

type Answer = Promise<Result<(Version, Vec<ProducerRow>), Error>>;
/// What goes on when copies are durable.
pub(super) type Then = Box<dyn FnOnce(Arc<Core>, Arc<Slice>, Result<(), Error>) + Send>;

/// What a copy's segment has besides its records.
const COPY_HEAD_BYTES: u64 = 4 << 10;
/// What a record takes there besides its body.
const COPY_RECORD_BYTES: u64 = 256;
/// Copies beyond this size have several segments.
const COPY_SEGMENT_BYTES: u64 = 256 << 20;

/// Reads records that were set aside, from a directory below a store's `set-aside`: for whoever looks at what a slice
/// lost. Reads only.
///
/// # Errors
/// `Error::Damaged`, `Error::Open`: it is no such directory, or not whole.
pub fn read_set_aside(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<(SliceId, Record)>, Error> {
    let damaged = |what: String| Error::Damaged(format!("{}: {what}", dir.display()));
    let mut records = Vec::new();
    for record in log::read(disk, dir).map_err(log_error)? {
        let record = record.map_err(log_error)?;
        records.push(format::decode_write(&record.head, &record.body).map_err(damaged)?);
    }
    Ok(records)
}

/// How many records a directory holds, the first and the last of them; none where it holds none that can be read.
fn counted(disk: &Arc<dyn Disk>, dir: &Path) -> Option<(u64, Version, Version)> {
    let mut found: Option<(u64, Version, Version)> = None;
    for record in log::read(disk, dir).ok()? {
        let record = record.ok()?;
        let version = format::decode_write(&record.head, &record.body).ok()?.1.version;
        let (count, first, _) = found.unwrap_or((0, version, version));
        found = Some((count + 1, first, version));
    }
    found
}

/// Something that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The slice that it is of.
    pub slice: SliceId,
    /// Where it lies, below the store's directory.
    pub directory: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
    /// How many records it has, the first and the last of them; none where it is files of a slice, or can't be read.
    pub records: Option<(u64, Version, Version)>,
}

impl Core {
    /// All that was set aside, by name.
    ///
    /// # Errors
    /// `Error::Open` where the directory can't be read.
    pub(crate) fn all_set_aside(&self) -> Result<Vec<SetAside>, Error> {
        let (disk, all) = (&self.world.disk, Path::new("set-aside"));
        let failed = |fault: DiskError| Error::Open(fault.to_string());
        let names = match disk.list(&self.dir.join(all)) {
            Err(fault) if fault.is_missing() => return Ok(Vec::new()),
            listed => listed.map_err(failed)?,
        };
        let mut found = Vec::new();
        for name in names.into_iter().map(|entry| entry.name) {
            let Some(slice) = name.strip_prefix("slice-").and_then(|rest| rest.split('-').next()?.parse().ok()) else { continue };
            let directory = all.join(&name);
            let at = self.dir.join(&directory);
            let bytes = disk.list(&at).map_err(failed)?.into_iter().try_fold(0, |sum, entry| {
                let file = disk.open(&at.join(entry.name), Access::Read)?;
                Ok(sum + file.len()?)
            });
            let records = counted(disk, &at);
            found.push(SetAside { slice: SliceId(slice), directory, bytes: bytes.map_err(failed)?, records });
        }
        found.sort_by(|a, b| a.directory.cmp(&b.directory));
        Ok(found)
    }

    /// As the slice's one job.
    pub(super) fn set_aside(self: &Arc<Core>, slice: &Arc<Slice>, beyond: Version, promise: Answer) {
        let gone = slice.with_led(|led| {
            if beyond.sequence < led.flushed.sequence || !led.records.holds(beyond) {
                let what = format!("the log can't end with {beyond}: files hold up to {}", led.flushed);
                return Err(refused(slice.id, what));
            }
            Ok(led.records.beyond(beyond.sequence).map(|kept| kept.record.clone()).collect::<Vec<Record>>())
        });
        let gone = match gone {
            Ok(gone) if !gone.is_empty() => gone,
            other => {
                let rows = |_| (beyond, slice.with_led(|led| led.producers_at(beyond, self.settings.producers_max)));
                promise.keep(other.map(rows));
                return self.led_over(slice);
            }
        };
        let then = move |core: Arc<Core>, slice: Arc<Slice>, copied: Result<(), Error>| match copied {
            Ok(()) => core.end_log(&slice, beyond, promise),
            Err(fault) => core.led_broke(&slice, fault, promise),
        };
        self.copy_aside(slice, &gone, Box::new(then));
    }

    /// A step failed: nothing is known of it, so the slice refuses everything.
    pub(super) fn led_broke<T>(self: &Arc<Core>, slice: &Arc<Slice>, fault: Error, promise: Promise<Result<T, Error>>) {
        let fault = slice.with_led(|led| led.broken.get_or_insert(fault).clone());
        promise.keep(Err(fault));
        self.led_over(slice);
    }

    /// Copies records into a log of their own.
    pub(super) fn copy_aside(self: &Arc<Core>, slice: &Arc<Slice>, records: &[Record], then: Then) {
        let (core, slice_then) = (Arc::clone(self), Arc::clone(slice));
        let first = records.first().map_or(Version::default(), |record| record.version);
        let opened = self.aside_dir(slice.id, first).and_then(|dir| self.open_copy(dir, records));
        let copy = match opened {
            Ok(copy) => copy,
            Err(fault) => return then(core, slice_then, Err(fault)),
        };
        let failed = Arc::new(Mutex::new(None));
        for record in records {
            let failed = Arc::clone(&failed);
            let body = log::Body::new(vec![record.body.clone()]);
            copy.append(RECORD_LED, format::encode_write(slice.id, record), body, move |outcome| {
                if let Err(fault) = outcome {
                    failed.lock().get_or_insert(fault);
                }
            });
        }
        copy.close(move |outcome| {
            let fault = failed.lock().take().map_or_else(|| outcome.err(), Some);
            let outcome = fault.map_or(Ok(()), |fault| Err(core.led_fault(&fault)));
            let runner = Arc::clone(&core.world.runner);
            runner.submit(Lane::Flush, Box::new(move || then(core, slice_then, outcome)));
        });
    }

    /// A directory of that slice below `set-aside` that is not there yet.
    pub(super) fn aside_dir(&self, slice: SliceId, first: Version) -> Result<PathBuf, Error> {
        let fault = |fault: DiskError| Error::from(storage::Error::from(fault));
        let all = self.dir.join("set-aside");
        self.world.disk.make_dir(&all).map_err(fault)?;
        let names = self.world.disk.list(&all).map_err(fault)?;
        let name = |n: usize| format!("slice-{:04}-{first}-{n}", slice.0);
        let free = (0..).map(name).find(|name| names.iter().all(|entry| entry.name != *name));
        Ok(all.join(free.expect("names are without end")))
    }

    fn open_copy(&self, dir: PathBuf, records: &[Record]) -> Result<Arc<Log>, Error> {
        let bytes = |record: &Record| record.bytes() + COPY_RECORD_BYTES;
        let largest = records.iter().map(bytes).max().unwrap_or(0);
        let all = COPY_HEAD_BYTES + records.iter().map(bytes).sum::<u64>();
        let segment_bytes = all.min(COPY_SEGMENT_BYTES.max(COPY_HEAD_BYTES + largest));
        let options = log::Options { segment_bytes, record_bytes_max: largest, ..log::Options::default() };
        Log::open(&self.world, &dir, options).map(|(copy, _)| copy).map_err(|fault| self.led_fault(&fault))
    }

    /// The copy is durable: the log says that the slice ends here.
    fn end_log(self: &Arc<Core>, slice: &Arc<Slice>, at: Version, promise: Answer) {
        let of = Arc::clone(slice);
        let entry = (RECORD_LED_NOTE, format::encode_note(slice.id, Note::End(at)), log::Body::new(Vec::new()));
        let ended = move |core: &Arc<Core>, outcome: Result<(), Error>| {
            let (core, runner) = (Arc::clone(core), Arc::clone(&core.world.runner));
            let job = move || match outcome.and_then(|()| core.forget_beyond(&of, at)) {
                Ok(rows) => {
                    promise.keep(Ok((at, rows)));
                    core.led_over(&of);
                }
                Err(fault) => core.led_broke(&of, fault, promise),
            };
            runner.submit(Lane::Flush, Box::new(job));
        };
        slice.with_led(|led| self.led_put(slice, led, entry, |_, _| {}, ended));
    }

    /// The log ends there: so does all that is in memory.
    fn forget_beyond(&self, slice: &Arc<Slice>, at: Version) -> Result<Vec<ProducerRow>, Error> {
        let directory = slice.filing.lock().directory.clone();
        let mut room: Vec<Option<Grant>> = Vec::new();
        let mut guard = slice.led.lock();
        let led = guard.as_mut().ok_or_else(|| refused(slice.id, "it is not led".to_owned()))?;
        let mut gone = led.records.end_at(at);
        led.history.cut(at);
        led.logged = at;
        if led.stable.sequence > at.sequence {
            led.stable = at;
        }
        if led.published.sequence > at.sequence {
            led.published = at;
            let _all = self.visibility.write();
            let mut state = slice.state.lock();
            let next = self.led_state(slice, led, at, directory.as_deref(), &state)?;
            room = state.replace(next);
            slice.show(&mut state);
        }
        let rows = led.producers_at(at, self.settings.producers_max);
        let mut staying = HashSet::new();
        for kept in led.records.beyond(led.flushed.sequence) {
            add_tags(&kept.bodies, &mut staying);
        }
        drop(guard);
        slice.doubt(&gone, staying)?;
        room.extend(gone.iter_mut().map(|kept| kept.grant.take()));
        drop(room);
        // Values that can't be read stay unknown, and readers look into the files.
        let _ = slice.recompute();
        Ok(rows)
    }
}

impl Slice {
    /// The snapshot values that records brought or took are not known any more. `staying`: the tags of what the buffer has.
    fn doubt(&self, gone: &[Kept], staying: HashSet<TagId>) -> Result<(), Error> {
        let mut tags = HashSet::new();
        let deleted = gone.iter().fold(false, |deleted, kept| deleted | add_tags(&kept.bodies, &mut tags));
        if deleted {
            // A tag may have lost its value without having another: all are looked for.
            let (files, held) = {
                let state = self.state.lock();
                (Arc::clone(&state.files), state.buffer.held().clone())
            };
            self.doubt_all(files.files(), &held)?;
            self.values.lock().unknown.extend(staying);
        }
        let tags = TagSelection::of(tags.into_iter().collect());
        self.forget(&Deletion::Range { tags, range: TimeRange::ALL });
        Ok(())
    }
}
