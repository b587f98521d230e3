//! One slice of a small store: its log, its manifest, and what readers see.
//!
//! Durable: `epoch`, `exists`, the log's first `synced` records, `manifest` with `files`, `aside`. The rest
//! is memory and is rebuilt at opening. Promises: what is published is a beginning of files and log.

use super::manifest::{File, FileNumber, Files, GroupFiles, Manifest, join};
use crate::data::{Op, PRODUCERS_MAX, State, decode};
use crate::store::CopiedGroup;
use protocol::{History, Mutation, Offer, Planted, Producers, Record, Recovered, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use types::{Epoch, Period, Sequence, Version};

/// A slice.
pub(super) struct Kept {
    pub(super) epoch: Epoch,
    pub(super) exists: bool,
    log: Vec<Record>,
    /// The record before the log's first.
    log_after: Version,
    synced: usize,
    manifest: Manifest,
    files: Files,
    next_file: u64,
    /// Versions of what was set aside.
    aside: BTreeSet<Version>,
    pub(super) stable: Version,
    pub(super) state: State,
    /// Manifests that are held, with the log behind them.
    pins: BTreeMap<ReplicaId, Manifest>,
}

impl Default for Kept {
    fn default() -> Self {
        let producers = Producers::new(&[], PRODUCERS_MAX);
        Kept {
            epoch: Epoch(0),
            exists: false,
            log: Vec::new(),
            log_after: Version::default(),
            synced: 0,
            manifest: Manifest { history: History::default(), groups: BTreeMap::new(), producers },
            files: Files::new(),
            next_file: 0,
            aside: BTreeSet::new(),
            stable: Version::default(),
            state: State::new(Version::default(), BTreeMap::new(), &[]),
            pins: BTreeMap::new(),
        }
    }
}

impl Kept {
    pub(super) fn last(&self) -> Version {
        self.log.last().map_or(self.log_after, |record| record.version)
    }

    pub(super) fn flushable(&self) -> Version {
        if self.stable.sequence <= self.state.at.sequence { self.stable } else { self.state.at }
    }

    pub(super) fn group_versions(&self) -> Vec<(Period, Version)> {
        self.manifest.group_versions()
    }

    pub(super) fn append(&mut self, records: &[Record]) {
        self.log.extend_from_slice(records);
    }

    /// So many more records are synced. Gives the last of them.
    pub(super) fn synced(&mut self, count: usize) -> Option<Version> {
        self.synced = (self.synced + count).min(self.log.len());
        self.log.get(self.synced.checked_sub(1)?).map(|record| record.version)
    }

    fn records_beyond(&self, after: Version) -> impl Iterator<Item = &Record> {
        self.log.iter().skip(self.log.partition_point(|record| record.version.sequence <= after.sequence))
    }

    pub(super) fn producers_at_end(&self) -> Producers {
        let mut producers = self.manifest.producers.clone();
        self.records_beyond(self.manifest.flushed()).for_each(|record| producers.note_record(record));
        producers
    }

    /// The state that files and log give, up to a write.
    fn rebuild(&self, up_to: Version, wall: i64, planted: Planted) -> State {
        let flushed = self.manifest.flushed();
        let mut state = State::new(flushed, self.manifest.read(&self.files), &self.manifest.producers.rows());
        for record in self.records_beyond(flushed).take_while(|record| record.version.sequence <= up_to.sequence) {
            state.apply(record, local_retention(wall, planted));
        }
        state
    }

    pub(super) fn open(&mut self, wall: i64, planted: Planted) -> Recovered {
        self.collect_garbage();
        self.synced = self.log.len();
        self.stable = self.manifest.flushed();
        self.state = self.rebuild(self.stable, wall, planted);
        let mut history = self.manifest.history.clone();
        self.records_beyond(self.stable).for_each(|record| history.push(record.version));
        Recovered {
            epoch: self.epoch,
            history,
            log_after: self.log_after.sequence,
            flushed: self.stable,
            producers: self.producers_at_end().rows(),
        }
    }

    pub(super) fn publish(&mut self, up_to: Version, wall: i64, planted: Planted) {
        let start = self.log.partition_point(|record| record.version.sequence <= self.state.at.sequence);
        for record in self.log[start..].iter().take_while(|record| record.version.sequence <= up_to.sequence) {
            self.state.apply(record, local_retention(wall, planted));
        }
    }

    pub(super) fn set_aside(&mut self, beyond: Version, wall: i64, planted: Planted) {
        let stay = self.log.partition_point(|record| record.version.sequence <= beyond.sequence);
        self.aside.extend(self.log.drain(stay..).map(|record| record.version));
        self.synced = self.log.len();
        if self.state.at.sequence > beyond.sequence {
            self.state = self.rebuild(beyond, wall, planted);
        }
        if self.stable.sequence > beyond.sequence {
            self.stable = beyond;
        }
    }

    /// Writes records up to a version to files. Gives what files hold now, and what the log follows.
    pub(super) fn flush(&mut self, up_to: Version, log_keeps: usize) -> Option<(Version, Version)> {
        let flushed = self.manifest.flushed();
        let mut entries: BTreeMap<Period, Vec<(Version, Op)>> = BTreeMap::new();
        let mut manifest = self.manifest.clone();
        for record in self.records_beyond(flushed).take_while(|record| record.version.sequence <= up_to.sequence) {
            manifest.history.push(record.version);
            manifest.producers.note_record(record);
            for op in decode(&record.body) {
                if let Op::Put(key, _) = op {
                    manifest.groups.entry(key.period()).or_default();
                }
                for (period, group) in manifest.groups.iter_mut().filter(|(period, _)| op.concerns(**period)) {
                    group.version = record.version;
                    entries.entry(*period).or_default().push((record.version, op));
                }
            }
        }
        if manifest.flushed() == flushed {
            return None;
        }
        for (period, entries) in entries {
            let number = self.add(Rc::new(File { entries }));
            manifest.groups.entry(period).or_default().files.push(number);
        }
        self.manifest = manifest;
        self.cut(log_keeps);
        Some((self.manifest.flushed(), self.log_after))
    }

    fn add(&mut self, file: Rc<File>) -> FileNumber {
        let number = FileNumber(self.next_file);
        self.next_file += 1;
        self.files.insert(number, file);
        number
    }

    /// Drops what files hold and no pin needs, but for a tail.
    fn cut(&mut self, log_keeps: usize) {
        let flushed = self.manifest.flushed().sequence;
        let bound = self.pins.values().map(|manifest| manifest.flushed().sequence).fold(flushed, Ord::min);
        let done = self.log.partition_point(|record| record.version.sequence <= bound);
        let gone = done.saturating_sub(log_keeps);
        if let Some(last) = self.log.drain(..gone).next_back() {
            self.log_after = last.version;
        }
        self.synced -= gone.min(self.synced);
    }

    pub(super) fn merge(&mut self, planted: Planted) {
        let periods: Vec<Period> = self.manifest.groups.keys().copied().collect();
        for period in periods {
            let numbers = self.manifest.groups[&period].files.clone();
            if numbers.len() < 2 {
                continue;
            }
            let files: Vec<Rc<File>> = numbers.iter().map(|number| Rc::clone(&self.files[number])).collect();
            let number = self.add(Rc::new(join(&files)));
            self.manifest.groups.entry(period).or_default().files = vec![number];
            if planted.has(Mutation::MergeDeletesPinned) {
                numbers.iter().for_each(|number| drop(self.files.remove(number)));
            }
        }
        self.collect_garbage();
    }

    /// Removes files that neither the manifest nor a pin names.
    fn collect_garbage(&mut self) {
        let manifests = self.pins.values().chain([&self.manifest]);
        let named: BTreeSet<FileNumber> =
            manifests.flat_map(|manifest| manifest.groups.values().flat_map(|group| group.files.iter().copied())).collect();
        self.files.retain(|number, _| named.contains(number));
    }

    pub(super) fn pin(&mut self, peer: ReplicaId) -> Offer {
        self.pins.insert(peer, self.manifest.clone());
        Offer {
            history: self.manifest.history.clone(),
            groups: self.manifest.group_versions(),
            producers: self.manifest.producers.rows(),
        }
    }

    pub(super) fn unpin(&mut self, peer: ReplicaId) {
        self.pins.remove(&peer);
        self.collect_garbage();
    }

    pub(super) fn pinned_group(&self, pin: ReplicaId, period: Period) -> Option<Result<CopiedGroup, FileGone>> {
        let group = self.pins.get(&pin)?.groups.get(&period)?;
        let files = group.files.iter().map(|number| self.files.get(number).cloned().ok_or(FileGone(number.0)));
        Some(files.collect::<Result<_, _>>().map(CopiedGroup::Small))
    }

    /// Takes over an offer. What is replaced and was written here alone is set aside.
    pub(super) fn install(&mut self, offer: Offer, mut copied: BTreeMap<Period, CopiedGroup>, wall: i64, planted: Planted) {
        // Whatever departs from the offer lies in groups that are replaced or dropped, or in the log.
        let own: Vec<Version> = self.versions();
        self.aside.extend(own.into_iter().filter(|version| !offer.history.contains(*version)));
        let mut groups = BTreeMap::new();
        for (period, version) in &offer.groups {
            let group = match copied.remove(period) {
                Some(CopiedGroup::Small(files)) => {
                    GroupFiles { version: *version, files: files.into_iter().map(|file| self.add(file)).collect() }
                }
                _ => self.manifest.groups.get(period).cloned().unwrap_or_default(),
            };
            groups.insert(*period, group);
        }
        let producers = if planted.has(Mutation::DeduplicationNotShipped) {
            self.manifest.producers.clone()
        } else {
            Producers::new(&offer.producers, PRODUCERS_MAX)
        };
        let at = offer.history.last();
        self.manifest = Manifest { history: offer.history, groups, producers };
        self.log.clear();
        self.log_after = at;
        self.synced = 0;
        self.stable = at;
        self.state = self.rebuild(at, wall, planted);
        self.collect_garbage();
    }

    /// Deletes the slice. Its epoch stays, so that no lower one is ever answered here; what is not known
    /// to be stable may be here alone, and is set aside; all of it where an epoch was forced that this
    /// replica has nothing of: the one that was forced may lack even what was stable.
    pub(super) fn delete(&mut self, forced: Epoch) {
        let alone: Vec<Version> = if forced > self.last().epoch {
            self.versions()
        } else {
            self.records_beyond(self.stable).map(|record| record.version).collect()
        };
        let mut aside = std::mem::take(&mut self.aside);
        aside.extend(alone);
        *self = Kept { epoch: self.epoch, aside, next_file: self.next_file, ..Kept::default() };
    }

    pub(super) fn read_log(&self, after: Version, records_max: usize) -> Option<Vec<Record>> {
        if after.sequence < self.log_after.sequence {
            return None;
        }
        Some(self.records_beyond(after).take(records_max).cloned().collect())
    }

    pub(super) fn crash(&mut self, keep: &mut dyn FnMut(usize) -> usize) {
        let unsynced = self.log.len() - self.synced;
        self.log.truncate(self.synced + keep(unsynced).min(unsynced));
        self.pins.clear();
    }

    pub(super) fn keeps(&self, version: Version) -> bool {
        let flushed = self.manifest.flushed().sequence;
        let in_files = || version.sequence <= flushed && self.manifest.history.version_at(version.sequence) == Some(version);
        self.aside.contains(&version) || self.log.iter().any(|record| record.version == version) || in_files()
    }

    /// Every version that is here in some form.
    pub(super) fn versions(&self) -> Vec<Version> {
        let flushed = self.manifest.flushed().sequence.0;
        let in_files = (1..=flushed).filter_map(|n| self.manifest.history.version_at(Sequence(n)));
        let logged = self.log.iter().map(|record| record.version);
        in_files.chain(logged).chain(self.aside.iter().copied()).collect()
    }
}

/// A pinned file that is not there, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileGone(pub u64);

/// What the planted bug `RetentionLocal` takes for a retention's bound.
fn local_retention(wall: i64, planted: Planted) -> Option<u8> {
    planted.has(Mutation::RetentionLocal).then(|| crate::data::retention_bound(wall))
}
