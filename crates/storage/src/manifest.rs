//! The manifest: all that a slice knows of its files, in one value that is swapped as a whole.
//!
//! Promises: a manifest is plain data; file numbers are never used twice; what `encode` writes
//! `decode` gives back, and `decode` of anything else is an error. It may not know what the files,
//! the opaque entries or the log position mean.

use std::collections::BTreeMap;
use std::path::PathBuf;
use types::{CommitNumber, Period, ProducerId, SliceId, TagId, TimeRange, Version};

// Words of the manifest that other floors speak too.
pub use types::{EpochStart, StoreId};

/// The number of a file within its slice. Rises, never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u64);

impl std::fmt::Display for FileNumber {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:08}", self.0)
    }
}

/// Where a file lies in its slice's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilePlace {
    /// In the directory of one period: part of that file group only.
    Period(Period),
    /// In `mixed`: part of the file groups of several periods.
    Mixed,
}

/// A file that the manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMeta {
    /// Its number.
    pub number: FileNumber,
    /// Where it lies.
    pub place: FilePlace,
    /// The periods that it has rows of, as ranges, in order: what file groups it is part of.
    pub periods: Vec<(Period, Period)>,
    /// How often its rows were merged; 0 = as flushed.
    pub level: u32,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Its tags.
    pub tags: u64,
    /// Its lowest and highest tag.
    pub tag_range: (TagId, TagId),
    /// From its oldest to its newest row.
    pub range: TimeRange,
    /// First and last version that it covers.
    pub versions: (Version, Version),
    /// The checksum in its footer.
    pub checksum: u32,
}

impl FileMeta {
    /// Its path below the slice's directory.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        file_path(self.place, self.number)
    }
}

/// The path of a series file below its slice's directory.
#[must_use]
pub fn file_path(place: FilePlace, number: FileNumber) -> PathBuf {
    match place {
        FilePlace::Period(period) => PathBuf::from(format!("period-{}/{number}.series", period.0)),
        FilePlace::Mixed => PathBuf::from(format!("mixed/{number}.series")),
    }
}

/// Something that a higher floor keeps in the manifest (tombstones, and the like).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// What it is; the higher floor's own numbers.
    pub kind: u8,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The highest number of a producer that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// The producer.
    pub id: ProducerId,
    /// Its highest number applied.
    pub number: u64,
    /// The commit that brought it.
    pub last_used: CommitNumber,
}

/// All that a slice knows of its files. Take one, change it, publish it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The store.
    pub store: StoreId,
    /// The slice.
    pub slice: SliceId,
    /// Where epochs began, in order.
    pub epochs: Vec<EpochStart>,
    /// The last write that lies in files.
    pub flushed: Version,
    /// The highest commit that lies in files (the log that told it may be cut).
    pub commit: CommitNumber,
    /// The log position up to which this slice needs nothing of the log.
    pub log_position: u64,
    /// The number that the next file gets. `SliceDirectory` keeps it; it never falls.
    pub next_file: FileNumber,
    /// The files, in order of number.
    pub files: Vec<FileMeta>,
    /// The version of each file group.
    pub groups: BTreeMap<Period, Version>,
    /// Producers, in order of id.
    pub producers: Vec<Producer>,
    /// The file of the snapshot values, where one was written.
    pub latest: Option<FileNumber>,
    /// What higher floors keep here, in their order.
    pub opaque: Vec<Opaque>,
}

impl Manifest {
    /// The manifest of a slice in which nothing was written.
    #[must_use]
    pub fn new(store: StoreId, slice: SliceId) -> Self {
        Manifest {
            store,
            slice,
            epochs: Vec::new(),
            flushed: Version::default(),
            commit: CommitNumber::default(),
            log_position: 0,
            next_file: FileNumber(1),
            files: Vec::new(),
            groups: BTreeMap::new(),
            producers: Vec::new(),
            latest: None,
            opaque: Vec::new(),
        }
    }

    /// The file with that number.
    #[must_use]
    pub fn file(&self, number: FileNumber) -> Option<&FileMeta> {
        self.files.binary_search_by_key(&number, |file| file.number).ok().map(|index| &self.files[index])
    }

    /// Applies an edit of files: removes, then adds, keeping the order of number.
    pub fn apply(&mut self, edit: ManifestEdit) {
        self.files.retain(|file| !edit.removed.contains(&file.number));
        self.files.extend(edit.added);
        self.files.sort_unstable_by_key(|file| file.number);
        for (period, version) in edit.groups {
            let group = self.groups.entry(period).or_default();
            *group = (*group).max(version);
        }
    }
}

/// What a flush or a merge changes of the files.
#[derive(Clone, Debug, Default)]
pub struct ManifestEdit {
    /// New files.
    pub added: Vec<FileMeta>,
    /// Files that are no longer part of the slice.
    pub removed: Vec<FileNumber>,
    /// Versions that file groups have risen to.
    pub groups: BTreeMap<Period, Version>,
}
