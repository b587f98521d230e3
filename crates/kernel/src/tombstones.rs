//! Deletions that files still need, and snapshot values not known, as the manifest keeps them.
//!
//! Opaque entries of kind 1 (a deletion): `epoch u64, sequence u64, bound u64, deletion` as the log
//! has it; `bound` is the first file number that it does not concern: files made later had it applied.
//! Kind 2 (unknown snapshot values): `count u64, count x tag u64`.
//! Kind 5 (the newest deletion that was ever flushed): `epoch u64, sequence u64`; zeros where there was none. A manifest without
//! it (of earlier releases, or rebuilt) counts as if a deletion had been its last write.
//! Promises: a deletion is kept as long as a file of a lower number may hold a row that it hides.
//! It may not know how rows are hidden.

use crate::record::{self, Reader};
use series::{Deletion, TagSelection, Tombstone};
use storage::{FileMeta, FileNumber, Manifest, Opaque};
use types::{Epoch, Sequence, TagId, Version};

const KIND_DELETION: u8 = 1;
const KIND_UNKNOWN: u8 = 2;
const KIND_NEWEST: u8 = 5;

/// A deletion and the files that it concerns.
#[derive(Clone, Debug)]
pub(crate) struct Grave {
    pub(crate) tombstone: Tombstone,
    /// Files of this number and above had it applied when they were made.
    pub(crate) bound: FileNumber,
    /// Since when it waits in this run, in monotonic microseconds.
    pub(crate) since_us: u64,
}

impl Grave {
    /// Whether the file may hold rows that it hides.
    pub(crate) fn concerns(&self, file: &FileMeta) -> bool {
        if file.number >= self.bound || !self.tombstone.range().overlaps(&file.range) {
            return false;
        }
        let (first, last) = file.tag_range;
        match self.tombstone.deletion() {
            Deletion::Range { tags: TagSelection::All, .. } => true,
            Deletion::Range { tags: TagSelection::List(tags), .. } => {
                tags.get(tags.partition_point(|tag| *tag < first)).is_some_and(|tag| *tag <= last)
            }
            Deletion::Points(points) => {
                points.get(points.partition_point(|(tag, _)| *tag < first)).is_some_and(|(tag, _)| *tag <= last)
            }
        }
    }

    /// Whether it hides all that the file holds.
    pub(crate) fn buries(&self, file: &FileMeta) -> bool {
        let all = Deletion::Range { tags: TagSelection::All, range: self.tombstone.range() };
        file.number < self.bound && *self.tombstone.deletion() == all && self.tombstone.range().covers(&file.range)
    }
}

/// Writes deletions and unknown snapshot values into a manifest, in the place of those it has.
/// Deletions that no file needs any more are left out; returns those kept.
pub(crate) fn store(manifest: &mut Manifest, graves: &[Grave], unknown: &[TagId]) -> Vec<Grave> {
    let newest = graves.iter().map(|grave| grave.tombstone.version()).fold(newest(manifest), Version::max);
    note_newest(manifest, newest);
    manifest.opaque.retain(|entry| entry.kind != KIND_DELETION && entry.kind != KIND_UNKNOWN);
    let needed = |grave: &&Grave| manifest.files.iter().any(|file| grave.concerns(file));
    let kept: Vec<Grave> = graves.iter().filter(needed).cloned().collect();
    for grave in &kept {
        let version = grave.tombstone.version();
        let mut bytes = Vec::new();
        for word in [version.epoch.0, version.sequence.0, grave.bound.0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&record::encode_deletion(grave.tombstone.deletion()));
        manifest.opaque.push(Opaque { kind: KIND_DELETION, bytes });
    }
    if !unknown.is_empty() {
        let mut bytes = (unknown.len() as u64).to_le_bytes().to_vec();
        unknown.iter().for_each(|tag| bytes.extend_from_slice(&tag.0.to_le_bytes()));
        manifest.opaque.push(Opaque { kind: KIND_UNKNOWN, bytes });
    }
    kept
}

/// The newest deletion that was ever flushed; what is newer in files is as it was written.
pub(crate) fn newest(manifest: &Manifest) -> Version {
    let entry = manifest.opaque.iter().find(|entry| entry.kind == KIND_NEWEST);
    let read = entry.and_then(|entry| {
        let mut reader = Reader::new(&entry.bytes);
        Some(Version { epoch: Epoch(reader.u64().ok()?), sequence: Sequence(reader.u64().ok()?) })
    });
    read.unwrap_or(manifest.flushed)
}

/// Notes the newest deletion, which may be another replica's.
pub(crate) fn note_newest(manifest: &mut Manifest, newest: Version) {
    manifest.opaque.retain(|entry| entry.kind != KIND_NEWEST);
    let bytes = [newest.epoch.0, newest.sequence.0].map(u64::to_le_bytes).concat();
    manifest.opaque.push(Opaque { kind: KIND_NEWEST, bytes });
}

/// Whether a manifest's entry of this kind says nothing of which rows there are.
pub(crate) fn changes_no_rows(kind: u8) -> bool {
    matches!(kind, KIND_UNKNOWN | KIND_NEWEST)
}

/// Reads them back; deletions wait since `now_us`.
///
/// # Errors
/// What is wrong, as text.
pub(crate) fn load(manifest: &Manifest, now_us: u64) -> Result<(Vec<Grave>, Vec<TagId>), String> {
    let (mut graves, mut unknown) = (Vec::new(), Vec::new());
    for entry in &manifest.opaque {
        let mut reader = Reader::new(&entry.bytes);
        match entry.kind {
            KIND_DELETION => {
                let version = Version { epoch: Epoch(reader.u64()?), sequence: Sequence(reader.u64()?) };
                let bound = FileNumber(reader.u64()?);
                let deletion = record::decode_deletion(reader.rest())?;
                graves.push(Grave { tombstone: Tombstone::new(version, deletion), bound, since_us: now_us });
            }
            KIND_UNKNOWN => {
                for _ in 0..reader.count(8)? {
                    unknown.push(TagId(reader.u64()?));
                }
                reader.end()?;
            }
            KIND_NEWEST | crate::held::KIND_HELD | crate::led::note::KIND_LED => {}
            other => return Err(format!("the manifest holds an entry of kind {other}, which this release does not know")),
        }
    }
    Ok((graves, unknown))
}
