//! A slice: its write buffer, snapshot values, files and versions, and who may touch them.
//!
//! State and who touches it:
//! - `state` (mutex): the buffer and what was applied. Lane::Log applies; jobs swap in what they made.
//! - `view` (read-write): what readers see, made of `state` by the first of them who asks; forgotten under `state` where
//!   that changes, and, so that snapshots are consistent across slices, under the kernel's `visibility`.
//! - `values` (mutex): order among those who change snapshot values (Lane::Log, recomputing jobs);
//!   readers take no lock. `unknown` in it: tags whose value a deletion took and nobody recomputed yet;
//!   `unknown_count` tells readers whether to look.
//! - `filing` (mutex): the directory, which holds the manifest; taken by the slice's one job.
//! - `led` (mutex): what a slice that is numbered from outside keeps besides; see `led`. `is_led` tells whether there
//!   is something; it is set under `order`, and never taken back. `doors` (mutex, before `led`): see `led::deciding`.
//! - `queue`: see `jobs`. `merging`: see `merge`.
//!
//! Promises: what is applied is seen whole; a version only rises.

use crate::commit::Body;
use crate::held;
use crate::jobs::SliceQueue;
use crate::led::deciding::LedDoors;
use crate::led::{self, Led};
use crate::merge::Merging;
use crate::shares::Shares;
use crate::state::{Applied, State};
use crate::tombstones;
use crate::{Deletion, Error, Reading, TagSelection};
use hashbrown::HashSet;
use log::Position;
use memory::Grant;
use parking_lot::{Mutex, RwLock};
use series::file::SeriesFile;
use series::{Held, Latest, Placement, SliceFiles, SliceView, ViewFile};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use storage::{FileHead, FileNumber, FileType, SliceDirectory, StoreId};
use types::{Kind, Kinds, SliceId, TagId, TimeRange, Timestamp};
use world::World;

/// A slice of this node.
pub(crate) struct Slice {
    pub(crate) id: SliceId,
    pub(crate) latest: Latest,
    pub(crate) view: RwLock<Option<Arc<SliceView>>>,
    pub(crate) state: Mutex<State>,
    pub(crate) values: Mutex<Values>,
    pub(crate) unknown_count: AtomicUsize,
    pub(crate) filing: Mutex<Filing>,
    pub(crate) is_led: AtomicBool,
    pub(crate) led: Mutex<Option<Led>>,
    pub(crate) doors: Mutex<LedDoors>,
    /// Bytes of records that were logged of it as a led one, and of files' pieces that came for it, since opening.
    pub(crate) recorded_bytes: AtomicU64,
    pub(crate) copied_bytes: AtomicU64,
    pub(crate) queue: SliceQueue,
    pub(crate) merging: Merging,
    pub(crate) period_us: i64,
    pub(crate) kinds: Arc<dyn Kinds>,
}

/// Order among those who change snapshot values.
#[derive(Default)]
pub(crate) struct Values {
    pub(crate) unknown: HashSet<TagId>,
    /// How many deletions took values since opening.
    pub(crate) deletions: u64,
}

/// What the slice's one job works with.
#[derive(Default)]
pub(crate) struct Filing {
    /// None until the first flush makes it.
    pub(crate) directory: Option<Arc<SliceDirectory>>,
}

impl Slice {
    /// A slice in which nothing was written.
    pub(crate) fn new(id: SliceId, placement: Placement, period_us: i64, kinds: Arc<dyn Kinds>) -> Slice {
        Slice {
            id,
            latest: Latest::new(placement, id),
            view: RwLock::default(),
            state: Mutex::new(State::empty()),
            values: Mutex::default(),
            unknown_count: AtomicUsize::new(0),
            filing: Mutex::default(),
            is_led: AtomicBool::new(false),
            led: Mutex::default(),
            doors: Mutex::default(),
            recorded_bytes: AtomicU64::new(0),
            copied_bytes: AtomicU64::new(0),
            queue: SliceQueue::default(),
            merging: Merging::default(),
            period_us,
            kinds,
        }
    }

    /// Takes over what the manifest of the slice's directory says.
    ///
    /// # Errors
    /// `Error::Open`, `Error::Damaged`.
    pub(crate) fn load(&self, world: &World, directory: SliceDirectory, store: StoreId, shares: &Shares) -> Result<(), Error> {
        let dir = directory.dir();
        let manifest = directory.manifest();
        let (graves, unknown) = tombstones::load(&manifest, world.clock.monotonic_us())
            .map_err(|what| Error::Damaged(format!("{}: {what}", dir.display())))?;
        let open = |meta: &storage::FileMeta| {
            let path = dir.join(meta.path());
            let file = SeriesFile::open(&*world.disk, &path, shares.block_cache()).map_err(Error::opening_file)?;
            file.check_named(store, self.id, meta).map_err(Error::opening_file)?;
            Ok(Arc::new(ViewFile::new(meta.clone(), file)))
        };
        let held = held::load(&manifest).map_err(|what| Error::Damaged(format!("{}: {what}", dir.display())))?;
        let files = manifest.files.iter().map(open).collect::<Result<Vec<_>, Error>>()?;
        let read = manifest
            .latest
            .map(|number| self.latest.read(&*world.disk, &directory.latest_path(number), latest_head(store, self.id, number)));
        match read {
            Some(Ok(())) => {}
            // The samples themselves tell them too: all are recomputed, whatever was read stays unused.
            None => self.doubt_all(&files, &held)?,
            Some(Err(series::file::Error::Disk(fault))) if fault.is_missing() => self.doubt_all(&files, &held)?,
            Some(Err(fault)) if fault.is_damage() => self.doubt_all(&files, &held)?,
            Some(Err(fault)) => return Err(Error::opening_file(fault)),
        }
        if let Some(note) = led::note::load(&manifest).map_err(|what| Error::Damaged(format!("{}: {what}", dir.display())))? {
            *self.led.lock() = Some(Led::of(&manifest, note));
            self.is_led.store(true, Ordering::Release);
        }
        {
            let mut values = self.values.lock();
            // The file of a led slice may hold values that were ahead of what lies in files.
            self.latest.forget(&Deletion::Range { tags: TagSelection::of(unknown.clone()), range: TimeRange::ALL });
            values.unknown.extend(unknown);
            self.unknown_count.store(values.unknown.len(), Ordering::Release);
        }
        let mut state = self.state.lock();
        let tombstones = graves.iter().map(|grave| grave.tombstone.clone()).collect();
        *state = State::of(&manifest, SliceFiles::new(files, tombstones), graves, held);
        self.show(&mut state);
        self.filing.lock().directory = Some(Arc::new(directory));
        Ok(())
    }

    /// Takes every snapshot value of the files' tags, and of those with held samples, as unknown.
    pub(crate) fn doubt_all(&self, files: &[Arc<ViewFile>], held: &Held) -> Result<(), Error> {
        self.latest.forget(&Deletion::Range { tags: TagSelection::All, range: TimeRange::ALL });
        let mut values = self.values.lock();
        values.unknown.extend(held.tags());
        for file in files {
            let mut entries = file.file.entries(TagId(0)).map_err(Error::opening_file)?;
            while let Some(entry) = entries.next().map_err(Error::opening_file)? {
                values.unknown.insert(entry.tag);
            }
        }
        Ok(())
    }

    /// What readers see now. The caller may hold `visibility`, and not `state`.
    pub(crate) fn view(&self) -> Arc<SliceView> {
        let made = self.view.read().clone();
        made.unwrap_or_else(|| {
            let mut state = self.state.lock();
            let mut slot = self.view.write();
            let view = slot.get_or_insert_with(|| {
                Arc::new(SliceView::new(state.buffer.view(), Arc::clone(&state.files), Arc::clone(&self.kinds)))
            });
            Arc::clone(view)
        })
    }

    /// Puts a part into the buffer. The caller holds `visibility`, and notes snapshot values itself.
    pub(crate) fn apply(&self, applied: &Applied, body: Body, grant: Option<Grant>, producers_max: usize) {
        let mut state = self.state.lock();
        state.apply(applied, [body], grant, self.period_us);
        if let Some(origin) = applied.origin {
            state.remember(origin, applied.commit, producers_max);
        }
        self.show(&mut state);
    }

    /// Lets readers see the state. The caller holds `visibility`. A view costs as much as the buffer has parts: whoever
    /// writes a record does not pay it.
    pub(crate) fn show(&self, _changed: &mut State) {
        *self.view.write() = None;
    }

    /// Where the oldest record lies in the log that no file of the slice holds.
    pub(crate) fn oldest_needed(&self) -> Option<Position> {
        let led = self.led.lock().as_ref().and_then(Led::oldest_needed);
        let applied = self.state.lock().unflushed.front().map(|record| record.position);
        led.into_iter().chain(applied).min()
    }

    /// Where the oldest record lies in the log that a flush would take away from there; none where it would take nothing.
    /// Notes of a led slice count where the log is to become shorter.
    pub(crate) fn oldest_flushable(&self, with_notes: bool) -> Option<Position> {
        if let Some(led) = self.led.lock().as_ref() {
            return led.oldest_flushable().filter(|_| with_notes || led.has_flushable());
        }
        self.state.lock().unflushed.front().map(|record| record.position)
    }

    /// Since when the oldest record waits that a flush would take.
    pub(crate) fn flushable_since(&self) -> Option<u64> {
        let can = self.led.lock().as_ref().is_none_or(Led::has_flushable);
        self.state.lock().unflushed.front().filter(|_| can).map(|record| record.since_us)
    }

    /// Takes the snapshot values that a deletion hits; true where some must be recomputed.
    pub(crate) fn forget(&self, deletion: &Deletion) -> bool {
        let mut values = self.values.lock();
        values.deletions += 1;
        let fallen = self.latest.forget(deletion);
        values.unknown.extend(fallen);
        self.unknown_count.store(values.unknown.len(), Ordering::Release);
        !values.unknown.is_empty()
    }

    /// Of these tags alone it is unknown whether they have a snapshot value, and which.
    pub(crate) fn know_all_but(&self, unknown: HashSet<TagId>) {
        let mut values = self.values.lock();
        values.deletions += 1;
        values.unknown = unknown;
        self.unknown_count.store(values.unknown.len(), Ordering::Release);
    }

    /// Recomputes the snapshot values that deletions took, from what the slice holds.
    ///
    /// # Errors
    /// Of reading; the values stay unknown, and readers of them look into the files.
    pub(crate) fn recompute(&self) -> Result<(), Error> {
        loop {
            let (tags, deletions, view) = {
                let values = self.values.lock();
                let mut tags: Vec<TagId> = values.unknown.iter().copied().collect();
                tags.sort_unstable();
                (tags, values.deletions, self.view())
            };
            if tags.is_empty() {
                return Ok(());
            }
            let mut readings = Vec::with_capacity(tags.len());
            for tag in &tags {
                readings.push(view.newest_until(*tag, Timestamp::MAX, self.is_text(*tag))?);
            }
            let mut values = self.values.lock();
            if values.deletions != deletions {
                continue;
            }
            for (tag, reading) in tags.iter().zip(readings) {
                values.unknown.remove(tag);
                if let Some(reading) = reading {
                    self.latest.set_if_newer(*tag, &reading);
                }
            }
            self.unknown_count.store(values.unknown.len(), Ordering::Release);
        }
    }

    /// The snapshot value of a tag in this slice, from memory; None where it is not known.
    pub(crate) fn known_latest(&self, tag: TagId) -> Option<Option<Reading>> {
        let unknown = self.unknown_count.load(Ordering::Acquire) > 0 && self.values.lock().unknown.contains(&tag);
        (!unknown).then(|| self.latest.get(tag))
    }

    fn is_text(&self, tag: TagId) -> bool {
        self.kinds.kind(tag).is_some_and(Kind::is_text)
    }

    /// The snapshot value of a tag in this slice.
    ///
    /// # Errors
    /// Of reading, where a deletion took the value and what stands in its place can't be read.
    pub(crate) fn latest(&self, tag: TagId) -> Result<Option<Reading>, Error> {
        match self.known_latest(tag) {
            Some(known) => Ok(known),
            None => Ok(self.view().newest_until(tag, Timestamp::MAX, self.is_text(tag))?),
        }
    }
}

/// The head of a file of snapshot values.
pub(crate) fn latest_head(store: StoreId, slice: SliceId, number: FileNumber) -> FileHead {
    FileHead { file_type: FileType::Latest, format: series::LATEST_FORMAT, store, slice, number: number.0 }
}
