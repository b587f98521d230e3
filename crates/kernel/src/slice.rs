//! A slice: its write buffer, snapshot values, files and versions, and who may touch them.
//!
//! State and who touches it:
//! - `state` (mutex): the buffer and what was applied. Lane::Log applies; jobs swap in what they made.
//! - `view` (read-write): what readers see; replaced as a whole under `state`, and, so that snapshots
//!   are consistent across slices, under the kernel's `visibility`.
//! - `values` (mutex): order among those who change snapshot values (Lane::Log, recomputing jobs);
//!   readers take no lock. `unknown` in it: tags whose value a deletion took and nobody recomputed yet;
//!   `unknown_count` tells readers whether to look.
//! - `filing` (mutex): the directory, which holds the manifest; taken by the slice's one job.
//! - `queue`: see `jobs`. `merging`: see `merge`.
//!
//! Promises: what is applied is seen whole; a version only rises.

use crate::commit::{Body, RECORD_BYTES};
use crate::held;
use crate::jobs::SliceQueue;
use crate::merge::Merging;
use crate::shares::Shares;
use crate::tombstones::{self, Grave};
use crate::{Deletion, Error, Reading, TagSelection};
use hashbrown::{HashMap, HashSet};
use log::Position;
use memory::Grant;
use parking_lot::{Mutex, RwLock};
use series::file::SeriesFile;
use series::{Buffer, Held, Latest, Placement, SliceFiles, SliceView, Tombstone, ViewFile};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use storage::{EpochStart, FileHead, FileNumber, FileType, SliceDirectory, StoreId};
use types::{
    CommitNumber, Epoch, Kind, Kinds, Origin, Period, ProducerId, Sequence, SliceId, TagId, TimeRange, Timestamp, Version,
};
use world::World;

/// A slice of this node.
pub(crate) struct Slice {
    pub(crate) id: SliceId,
    pub(crate) latest: Latest,
    pub(crate) view: RwLock<Arc<SliceView>>,
    pub(crate) state: Mutex<State>,
    pub(crate) values: Mutex<Values>,
    pub(crate) unknown_count: AtomicUsize,
    pub(crate) filing: Mutex<Filing>,
    pub(crate) queue: SliceQueue,
    pub(crate) merging: Merging,
    pub(crate) period_us: i64,
    pub(crate) kinds: Arc<dyn Kinds>,
}

/// What was applied.
pub(crate) struct State {
    pub(crate) buffer: Buffer,
    pub(crate) files: Arc<SliceFiles>,
    /// Deletions that files need.
    pub(crate) graves: Vec<Grave>,
    /// Deletions that no manifest holds yet, oldest first.
    pub(crate) deletions: Vec<Tombstone>,
    pub(crate) version: Version,
    pub(crate) commit: CommitNumber,
    pub(crate) groups: BTreeMap<Period, Version>,
    pub(crate) producers: HashMap<ProducerId, (u64, CommitNumber)>,
    pub(crate) epochs: Vec<EpochStart>,
    /// Records that no file holds yet, oldest first, and the room that they take.
    pub(crate) unflushed: VecDeque<Unflushed>,
    /// How much room that is.
    pub(crate) granted: u64,
    /// Room that the buffer takes beyond it: a run may be larger than the sections that it was made of.
    pub(crate) beyond: Option<Grant>,
    pub(crate) sorting: bool,
}

/// A record that only the log and the buffer hold.
pub(crate) struct Unflushed {
    pub(crate) sequence: Sequence,
    pub(crate) position: Position,
    pub(crate) since_us: u64,
    pub(crate) grant: Option<Grant>,
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

/// Where and when a part of a commit was logged.
pub(crate) struct Applied {
    pub(crate) version: Version,
    pub(crate) commit: CommitNumber,
    pub(crate) origin: Option<Origin>,
    pub(crate) position: Position,
    pub(crate) now_us: u64,
}

impl Slice {
    /// A slice in which nothing was written.
    pub(crate) fn new(id: SliceId, placement: Placement, period_us: i64, kinds: Arc<dyn Kinds>) -> Slice {
        let mut state = State {
            buffer: Buffer::new(),
            files: SliceFiles::new(Vec::new(), Vec::new()),
            graves: Vec::new(),
            deletions: Vec::new(),
            version: Version::default(),
            commit: CommitNumber::default(),
            groups: BTreeMap::new(),
            producers: HashMap::new(),
            epochs: Vec::new(),
            unflushed: VecDeque::new(),
            granted: 0,
            beyond: None,
            sorting: false,
        };
        let view = SliceView::new(state.buffer.view(), Arc::clone(&state.files), Arc::clone(&kinds));
        Slice {
            id,
            latest: Latest::new(placement, id),
            view: RwLock::new(Arc::new(view)),
            state: Mutex::new(state),
            values: Mutex::default(),
            unknown_count: AtomicUsize::new(0),
            filing: Mutex::default(),
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
        {
            let mut values = self.values.lock();
            values.unknown.extend(unknown);
            self.unknown_count.store(values.unknown.len(), Ordering::Release);
        }
        let mut state = self.state.lock();
        state.put_files(files, graves);
        state.buffer.restore(held);
        state.version = manifest.flushed;
        state.commit = manifest.commit;
        state.groups = manifest.groups.clone();
        state.producers = manifest.producers.iter().map(|p| (p.id, (p.number, p.last_used))).collect();
        state.epochs = manifest.epochs.clone();
        self.show(&mut state);
        self.filing.lock().directory = Some(Arc::new(directory));
        Ok(())
    }

    /// Takes every snapshot value of the files' tags, and of those with held samples, as unknown.
    fn doubt_all(&self, files: &[Arc<ViewFile>], held: &Held) -> Result<(), Error> {
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

    pub(crate) fn view(&self) -> Arc<SliceView> {
        Arc::clone(&self.view.read())
    }

    /// Puts a part into the buffer. The caller holds `visibility`, and notes snapshot values itself.
    pub(crate) fn apply(&self, applied: &Applied, body: Body, grant: Option<Grant>, producers_max: usize) {
        let mut state = self.state.lock();
        let before = state.version;
        assert!(
            applied.version > before && applied.version.sequence > before.sequence,
            "slice {}: version {} after {before}: versions only rise",
            self.id,
            applied.version
        );
        if state.epochs.last().is_none_or(|last| last.epoch < applied.version.epoch) {
            state.epochs.push(EpochStart { epoch: applied.version.epoch, after: before.sequence });
        }
        match body {
            Body::Samples { section, periods } => {
                for period in periods {
                    state.groups.insert(period, applied.version);
                }
                state.buffer.push(applied.version, applied.commit, section);
            }
            Body::Held { section, periods } => {
                let State { buffer, groups, .. } = &mut *state;
                groups.extend(periods.into_iter().map(|period| (period, applied.version)));
                buffer.hold(applied.version, applied.commit, &section, |replaced| {
                    groups.insert(Period::of(replaced, self.period_us), applied.version);
                });
            }
            Body::Deletion { deletion, .. } => {
                state.raise_groups(&deletion, applied.version, self.period_us);
                let tombstone = Tombstone::new(applied.version, Deletion::clone(&deletion));
                state.deletions.push(tombstone.clone());
                state.buffer.delete(applied.commit, tombstone);
            }
        }
        state.version = applied.version;
        state.commit = applied.commit;
        if let Some(origin) = applied.origin {
            state.remember(origin, applied.commit, producers_max);
        }
        let (sequence, position, since_us) = (applied.version.sequence, applied.position, applied.now_us);
        state.granted += grant.as_ref().map_or(0, Grant::bytes);
        state.unflushed.push_back(Unflushed { sequence, position, since_us, grant });
        self.show(&mut state);
    }

    /// Lets readers see the state. The caller holds `visibility`.
    pub(crate) fn show(&self, state: &mut State) {
        let view = SliceView::new(state.buffer.view(), Arc::clone(&state.files), Arc::clone(&self.kinds));
        *self.view.write() = Arc::new(view);
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

impl State {
    /// Exchanges the files and the deletions that they need.
    pub(crate) fn put_files(&mut self, files: Vec<Arc<ViewFile>>, graves: Vec<Grave>) {
        self.files = SliceFiles::new(files, graves.iter().map(|grave| grave.tombstone.clone()).collect());
        self.graves = graves;
    }

    /// Takes of this room, and of what it had, what the buffer needs beyond that of its records. Gives what is left, to
    /// be dropped where no lock is held.
    pub(crate) fn fit(&mut self, room: Option<Grant>) -> Option<Grant> {
        let held = self.buffer.bytes() as u64 + self.unflushed.len() as u64 * RECORD_BYTES;
        let needed = held.saturating_sub(self.granted);
        let mut left = match (self.beyond.take(), room) {
            (Some(mut had), Some(room)) => {
                had.merge(room);
                Some(had)
            }
            (had, room) => had.or(room),
        };
        self.beyond = left.as_mut().filter(|_| needed > 0).map(|left| left.split(needed.min(left.bytes())));
        left
    }

    /// Lets go of the records up to this sequence number, which lie in files now. Gives their room, to be dropped where
    /// no lock is held.
    pub(crate) fn release(&mut self, until: Sequence) -> Vec<Option<Grant>> {
        self.buffer.release(until);
        let kept = self.unflushed.partition_point(|record| record.sequence <= until);
        let mut released: Vec<_> = self.unflushed.drain(..kept).map(|record| record.grant).collect();
        self.granted -= released.iter().flatten().map(Grant::bytes).sum::<u64>();
        released.push(self.fit(None));
        released
    }

    fn raise_groups(&mut self, deletion: &Deletion, version: Version, period_us: i64) {
        match deletion {
            Deletion::Range { range, .. } => {
                let hit = self.groups.iter_mut().filter(|(period, _)| period.range(period_us).overlaps(range));
                hit.for_each(|(_, group)| *group = version);
            }
            Deletion::Points(points) => {
                for (_, time) in points {
                    if let Some(group) = self.groups.get_mut(&Period::of(*time, period_us)) {
                        *group = version;
                    }
                }
            }
        }
    }

    pub(crate) fn remember(&mut self, origin: Origin, commit: CommitNumber, producers_max: usize) {
        let entry = self.producers.entry(origin.producer).or_default();
        *entry = (entry.0.max(origin.number), commit);
        if self.producers.len() > producers_max.max(1) {
            let oldest = self.producers.iter().min_by_key(|(id, (_, used))| (*used, **id)).map(|(id, _)| *id);
            oldest.map(|id| self.producers.remove(&id));
        }
    }

    /// The highest epoch of any write.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epochs.last().map_or(Epoch(0), |start| start.epoch)
    }
}
