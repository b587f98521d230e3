//! What one node copies of a fleet: the slices that it leads, each its files and the writes behind them up to the moment.
//!
//! ```text
//!   slices/NNNN/manifest          backups/ID/slices/NNNN/manifest
//!   slices/NNNN/NUMBER.series     files/ID/STORE/NNNN-NUMBER-CCCCCCCC    of a store, a number is given to one file only
//!   slices/NNNN/records           backups/ID/slices/NNNN/records         where there are any
//! ```
//! Promises: the writes go first, and are let go of: a long copy of files keeps no memory. Files are named again only with backups
//! that this store goes on from (`lineage`), and only those of this store.
//! May not know other nodes.

use super::taking::words;
use super::{SliceHead, part_key, records, slice_path};
use crate::copying::{Meter, put, put_own};
use crate::head::{FORMAT_FLEET, FileEntry, Head, find, own, shared};
use crate::place::{FileReader, Place};
use crate::sealed::{put_sealed, read_sealed};
use crate::{Error, Report, lineage};
use kernel::FrozenSlice;
use protocol::Record;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use storage::StoreId;
use types::{SliceId, Version};
use world::Disk;

/// What the writes that are held of a slice stand behind.
pub enum Base {
    /// Its files, and what they hold.
    Files(FrozenSlice),
    /// What was copied of it before, up to this write.
    After(Version),
}

/// A slice, held as it was at the moment.
pub struct HeldSlice {
    /// Which.
    pub slice: SliceId,
    /// What its writes stand behind; files, for a backup.
    pub base: Base,
    /// The writes behind it, up to the last one.
    pub records: Vec<Record>,
    /// The last one.
    pub version: Version,
}

/// What a node copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePart {
    /// The format's number.
    pub format: u32,
    /// Its slices.
    pub slices: Vec<SliceHead>,
    /// Their files.
    pub files: Vec<FileEntry>,
}

impl NodePart {
    /// What a node told that it copied; none where nothing of it is there.
    pub(super) fn read(place: &dyn Place, id: &str, node: u64) -> Result<Option<NodePart>, Error> {
        read_sealed(place, &part_key(id, node))
    }
}

/// Copies slices, and tells of them under the node's number. `home` is the node's own directory, where the backup is noted;
/// `earlier` are the fleet's backups, newest first.
///
/// # Errors
/// `Error::Place`, `Error::Store`, `Error::Cancelled`.
pub fn put_slices(
    place: &dyn Place,
    (id, node): (&str, u64),
    earlier: &[String],
    (disk, home): (&Arc<dyn Disk>, PathBuf),
    (store, slices): (StoreId, Vec<HeldSlice>),
    report: Report<'_>,
) -> Result<(), Error> {
    let earlier = known_backup(place, (disk, home.clone()), earlier)?;
    let earlier = |path: &str| earlier.as_ref().and_then(|head| head.file(path)).cloned();
    let putting = Putting { place, own: own(id), shared: shared(id), store: words(store.0), earlier: &earlier };
    let meter = Meter::new(slices.iter().map(|slice| putting.bytes_to_go(slice)).sum(), report);
    let mut part = NodePart { format: FORMAT_FLEET, slices: Vec::new(), files: Vec::new() };
    let mut held = Vec::with_capacity(slices.len());
    for HeldSlice { slice: SliceId(slice), base, records, version } in slices {
        let Base::Files(files) = base else {
            return Err(Error::Store(format!("slice {slice} is held without its files")));
        };
        let count = records.len() as u64;
        if count > 0 {
            part.files.push(putting.own(&slice_path(slice, "records"), &records::encode(&records)?, &meter)?);
        }
        let (epoch, sequence) = (version.epoch.0, version.sequence.0);
        part.slices.push(SliceHead { slice, store: putting.store.clone(), epoch, sequence, records: count });
        held.push(files);
    }
    for slice in held {
        putting.slice(slice, &mut part.files, &meter)?;
    }
    lineage::note(&**disk, &home, id)?;
    put_sealed(place, &part_key(id, node), &part)
}

/// The newest of a fleet's backups, newest first, that a node goes on from; `home` is the node's own directory.
///
/// # Errors
/// `Error::Place`, `Error::Disk`, `Error::Damaged`.
pub fn known_backup(
    place: &dyn Place,
    (disk, home): (&Arc<dyn Disk>, PathBuf),
    earlier: &[String],
) -> Result<Option<Head>, Error> {
    let known = lineage::known(&**disk, &home)?;
    let earlier = earlier.iter().find(|id| known.binary_search(id).is_ok());
    earlier.map(|id| find(place, id)).transpose()
}

/// Where slices go.
pub(super) struct Putting<'a> {
    pub(super) place: &'a dyn Place,
    /// What the keys of its own objects begin with, and of those that later ones may name.
    pub(super) own: String,
    pub(super) shared: String,
    pub(super) store: String,
    /// What was copied before to a path.
    pub(super) earlier: &'a dyn Fn(&str) -> Option<FileEntry>,
}

impl Putting<'_> {
    pub(super) fn own(&self, path: &str, bytes: &[u8], meter: &Meter<'_>) -> Result<FileEntry, Error> {
        put_own(self.place, &self.own, path, bytes, meter)
    }

    /// The end of a file's key: the same one for the same file.
    fn name(&self, slice: u32, meta: &storage::FileMeta) -> String {
        format!("{}/{slice:04}-{}-{:08x}", self.store, meta.number, meta.checksum)
    }

    fn earlier_file(&self, slice: u32, meta: &storage::FileMeta) -> Option<FileEntry> {
        let entry = (self.earlier)(&series_path(slice, meta))?;
        (entry.bytes == meta.bytes && entry.key.ends_with(&self.name(slice, meta))).then_some(entry)
    }

    pub(super) fn bytes_to_go(&self, held: &HeldSlice) -> u64 {
        let records = held.records.iter().map(Record::bytes).sum::<u64>();
        let Base::Files(files) = &held.base else { return records };
        let files = files.manifest.files.iter().filter(|meta| self.earlier_file(held.slice.0, meta).is_none());
        files.map(|meta| meta.bytes).sum::<u64>() + records
    }

    pub(super) fn slice(&self, held: FrozenSlice, files: &mut Vec<FileEntry>, meter: &Meter<'_>) -> Result<(), Error> {
        let (slice, manifest) = (held.manifest.slice.0, &held.manifest);
        files.push(self.own(&slice_path(slice, "manifest"), &storage::encode_manifest(manifest, held.number), meter)?);
        for (meta, file) in manifest.files.iter().zip(&held.files) {
            if let Some(entry) = self.earlier_file(slice, meta) {
                files.push(entry);
                continue;
            }
            let key = format!("{}{}", self.shared, self.name(slice, meta));
            let mut reader = FileReader::new(Arc::clone(&file.file), file.bytes);
            files.push(put(self.place, (series_path(slice, meta), key), file.bytes, &mut reader, meter)?);
        }
        Ok(())
    }
}

/// Where a series file belongs.
pub(super) fn series_path(slice: u32, meta: &storage::FileMeta) -> String {
    slice_path(slice, &format!("{}.series", meta.number))
}
