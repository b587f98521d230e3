//! What was applied of a slice: its buffer, its files, the deletions that they need, and versions.
//!
//! What it is: plain state under the slice's `state` lock, made from a manifest and changed by applying records in the
//! order of versions. It promises that a version only rises, and that whoever applies the same records to the same
//! manifest comes to the same state. It may not know locks, readers, the log.

use crate::commit::{Body, RECORD_BYTES};
use crate::tombstones::Grave;
use hashbrown::HashMap;
use log::Position;
use memory::Grant;
use series::{Buffer, Deletion, Held, SliceFiles, Tombstone, ViewFile};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use storage::{EpochStart, Manifest};
use types::{CommitNumber, Epoch, Origin, Period, ProducerId, Sequence, Version};

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
    /// Of a slice that the kernel numbers itself; of a led one see `led`.
    pub(crate) producers: HashMap<ProducerId, (u64, CommitNumber)>,
    pub(crate) epochs: Vec<EpochStart>,
    /// Records that no file holds yet, oldest first, and the room that they take.
    pub(crate) unflushed: VecDeque<Unflushed>,
    /// How much room that is.
    pub(crate) granted: u64,
    /// Room that the buffer takes beyond it: a run may be larger than the sections that it was made of.
    pub(crate) beyond: Option<Grant>,
    pub(crate) sorting: bool,
    /// How often the buffer was made anew: what was sorted of an earlier one is of no use.
    pub(crate) buffers_made: u64,
}

/// A record that only the log and the buffer hold.
pub(crate) struct Unflushed {
    pub(crate) sequence: Sequence,
    pub(crate) position: Position,
    pub(crate) since_us: u64,
    pub(crate) grant: Option<Grant>,
}

/// Where and when a part of a commit was logged.
pub(crate) struct Applied {
    pub(crate) version: Version,
    pub(crate) commit: CommitNumber,
    pub(crate) origin: Option<Origin>,
    pub(crate) position: Position,
    pub(crate) now_us: u64,
}

impl State {
    /// Nothing was written.
    pub(crate) fn empty() -> State {
        State {
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
            buffers_made: 0,
        }
    }

    /// What a manifest says, with its files and what it holds of deletions and held samples.
    pub(crate) fn of(manifest: &Manifest, files: Arc<SliceFiles>, graves: Vec<Grave>, held: Held) -> State {
        let mut state = State { files, graves, ..State::empty() };
        state.buffer.restore(held);
        state.version = manifest.flushed;
        state.commit = manifest.commit;
        state.groups.clone_from(&manifest.groups);
        state.producers = manifest.producers.iter().map(|p| (p.id, (p.number, p.last_used))).collect();
        state.epochs.clone_from(&manifest.epochs);
        state
    }

    /// Puts the parts of one write into the buffer.
    ///
    /// # Panics
    /// Where the version does not rise.
    pub(crate) fn apply(
        &mut self,
        applied: &Applied,
        bodies: impl IntoIterator<Item = Body>,
        grant: Option<Grant>,
        period_us: i64,
    ) {
        let (version, before) = (applied.version, self.version);
        assert!(
            version > before && version.sequence > before.sequence,
            "version {version} is applied after {before}: versions only rise"
        );
        if self.epochs.last().is_none_or(|last| last.epoch < version.epoch) {
            self.epochs.push(EpochStart { epoch: version.epoch, after: before.sequence });
        }
        for body in bodies {
            self.put(version, applied.commit, body, period_us);
        }
        self.version = version;
        self.commit = self.commit.max(applied.commit);
        let (sequence, position, since_us) = (version.sequence, applied.position, applied.now_us);
        self.granted += grant.as_ref().map_or(0, Grant::bytes);
        self.unflushed.push_back(Unflushed { sequence, position, since_us, grant });
    }

    fn put(&mut self, version: Version, commit: CommitNumber, body: Body, period_us: i64) {
        match body {
            Body::Samples { section, periods } => {
                for period in periods {
                    self.groups.insert(period, version);
                }
                self.buffer.push(version, commit, section);
            }
            Body::Held { section, periods } => {
                let State { buffer, groups, .. } = self;
                groups.extend(periods.into_iter().map(|period| (period, version)));
                buffer.hold(version, commit, &section, |replaced| {
                    groups.insert(Period::of(replaced, period_us), version);
                });
            }
            Body::Deletion { deletion, .. } => {
                self.raise_groups(&deletion, version, period_us);
                let tombstone = Tombstone::new(version, Deletion::clone(&deletion));
                self.deletions.push(tombstone.clone());
                self.buffer.delete(commit, tombstone);
            }
        }
    }

    /// Exchanges the files and the deletions that they need.
    pub(crate) fn put_files(&mut self, files: Vec<Arc<ViewFile>>, graves: Vec<Grave>) {
        self.files = SliceFiles::new(files, graves.iter().map(|grave| grave.tombstone.clone()).collect());
        self.graves = graves;
    }

    /// Takes over another state of the same slice, with the room of records that both have. Gives the rest of it, to be
    /// dropped where no lock is held.
    pub(crate) fn replace(&mut self, mut next: State) -> Vec<Option<Grant>> {
        let mut had = std::mem::take(&mut self.unflushed);
        for record in &mut next.unflushed {
            if let Some(at) = had.iter().position(|before| before.sequence == record.sequence) {
                let before = had.remove(at).expect("it was found there");
                (record.grant, record.since_us) = (before.grant, before.since_us);
            }
        }
        next.granted = next.unflushed.iter().filter_map(|record| record.grant.as_ref()).map(Grant::bytes).sum();
        (next.beyond, next.sorting, next.buffers_made) = (self.beyond.take(), self.sorting, self.buffers_made + 1);
        *self = next;
        let mut room: Vec<_> = had.into_iter().map(|record| record.grant).collect();
        room.push(self.fit(None));
        room
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
        self.release_room(until)
    }

    /// As `release`, where the buffer was made anew without them.
    pub(crate) fn release_room(&mut self, until: Sequence) -> Vec<Option<Grant>> {
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
