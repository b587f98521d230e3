//! Taking a backup: what a store is at a moment, written to a place, its head last.
//!
//! Promises: logs go first, and what was held of them is let go: a long copy of files keeps no log. Whatever fails leaves the
//! repository with the backups that it had.

use crate::copying::{Meter, digest, put, put_log, put_own};
use crate::head::{FORMAT_LONE, FileEntry, Head, key, list, name, own, shared};
use crate::line::Line;
use crate::place::{FileReader, Place, whole};
use crate::pruning::forget;
use crate::sealed::put_sealed;
use crate::{Error, Report, line, lineage, reuse};
use kernel::{Frozen, FrozenSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{FileMeta, Manifest, StoreId};
use world::{Disk, DiskError};

/// What is backed up, held as it was at a moment: first the samples, then the tags, so that every sample has its tag.
pub struct Source {
    /// The store's own directory, where the backup is noted.
    pub home: (Arc<dyn Disk>, PathBuf),
    /// The samples.
    pub store: Frozen,
    /// The tag table; whatever is changed later is later than the moment that the samples closed (`Catalog::later_than`).
    pub tags: catalog::Frozen,
    /// How many tags there are.
    pub tag_count: u64,
    /// What others keep in the store's directory: path below it, and bytes.
    pub beside: Vec<(String, Vec<u8>)>,
    /// The moment, in microseconds since 1970.
    pub moment_us: i64,
    /// The release that writes it.
    pub release: String,
    /// Random, to tell backups of one second apart.
    pub random: u64,
    /// Random, to name the store's line where it has no name yet.
    pub line: u128,
}

/// What was written.
#[derive(Debug)]
pub struct Taken {
    /// The backup.
    pub head: Head,
    /// The earlier backup whose files it shares.
    pub earlier: Option<String>,
    /// Whether it could be noted in the store's directory; else the next backup shares nothing with this one.
    pub noted: Result<(), DiskError>,
}

/// Takes a backup.
///
/// # Errors
/// `Error::Place`, `Error::Foreign`, `Error::Store`, `Error::Cancelled`; the backups that were there still are.
pub fn take(place: &dyn Place, source: Source, report: Report<'_>) -> Result<Taken, Error> {
    let store = hex_of(source.store.store);
    let heads = list(place)?;
    if let Some(other) = heads.iter().find(|head| head.store != store) {
        return Err(Error::Foreign { place: place.name(), found: other.store.clone() });
    }
    let (disk, dir) = source.home.clone();
    let line = line::named(&*disk, &dir, source.line)?.line;
    let known = lineage::known(&*disk, &dir)?;
    let earlier = heads.into_iter().find(|head| known.binary_search(&head.id).is_ok());
    let id = name(source.moment_us, source.random);
    let taking = Taking { place, id: id.clone(), earlier: earlier.as_ref(), report };
    let head = taking.all(source, store, line);
    let written = head.and_then(|head| {
        put_sealed(place, &key(&id), &head)?;
        Ok(head)
    });
    match written {
        Ok(head) => {
            let noted = lineage::note(&*disk, &dir, &id);
            Ok(Taken { head, earlier: earlier.map(|earlier| earlier.id), noted })
        }
        Err(fault) => {
            forget(place, &id);
            Err(fault)
        }
    }
}

fn hex_of(store: StoreId) -> String {
    format!("{:032x}", store.0)
}

struct Taking<'a> {
    place: &'a dyn Place,
    id: String,
    earlier: Option<&'a Head>,
    report: Report<'a>,
}

/// A slice, with the manifest that the backup gives it.
struct Chosen {
    slice: FrozenSlice,
    manifest: Manifest,
}

impl Taking<'_> {
    fn all(&self, source: Source, store: String, line: Line) -> Result<Head, Error> {
        let Source { store: frozen, tags, tag_count, beside, moment_us, release, .. } = source;
        let Frozen { node, slices, log, log_from, log_to, commit, closed, last, .. } = frozen;
        let chosen = slices.into_iter().map(|slice| self.choose(slice)).collect::<Result<Vec<_>, Error>>()?;
        let own = own(&self.id);
        let meter = Meter::new(
            self.bytes_to_go(&chosen, &tags) + (log_to.0 - log_from.0) + (tags.log_to.0 - tags.log_from.0),
            self.report,
        );

        let mut logs = vec![put_log(self.place, &log, (log_from, log_to), ("log", &format!("{own}log")), &meter)?];
        drop(log);
        let stretch = (tags.log_from, tags.log_to);
        logs.push(put_log(self.place, &tags.log, stretch, ("catalog/log", &format!("{own}catalog-log")), &meter)?);
        drop(tags.log);
        let tags_last = tags.last;

        let mut files = vec![self.own_bytes("node", &node, &meter)?];
        for (path, bytes) in &beside {
            files.push(self.own_bytes(path, bytes, &meter)?);
        }
        for (path, bytes, file) in tags.files {
            files.push(self.tags_file(&path, bytes, &file, &meter)?);
        }
        for chosen in chosen {
            self.slice(chosen, &mut files, &meter)?;
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let logged: u64 = logs.iter().flat_map(|log| &log.pieces).map(|piece| piece.bytes).sum();
        let brought = |file: &&FileEntry| file.key.starts_with(&own) || file.key.starts_with(&shared(&self.id));
        let new_bytes = files.iter().filter(brought).map(|file| file.bytes).sum::<u64>() + logged;
        let bytes = files.iter().map(|file| file.bytes).sum::<u64>() + logged;
        let (id, commit, closed) = (self.id.clone(), commit.0, closed.0);
        let (last, line) = (last.0.max(tags_last), Some(line));
        let (format, tags, fleet) = (FORMAT_LONE, tag_count, None);
        Ok(Head { format, id, store, release, moment_us, commit, closed, last, line, new_bytes, bytes, tags, files, logs, fleet })
    }

    /// The manifest of a slice: today's, with an earlier backup's files wherever they hold the same.
    fn choose(&self, slice: FrozenSlice) -> Result<Chosen, Error> {
        let path = slice.manifest_path();
        let dir = path.parent().unwrap_or(Path::new("")).display().to_string();
        let named = |head: &Head| {
            let prefix = format!("{dir}/manifest-");
            head.files.iter().find(|file| file.path.starts_with(&prefix)).cloned()
        };
        let Some(entry) = self.earlier.and_then(named) else {
            return Ok(Chosen { manifest: Manifest::clone(&slice.manifest), slice });
        };
        // One that can't be read is of no use: everything is copied then.
        let bytes = whole(self.place, &entry.key)?.unwrap_or_default();
        let manifest = match storage::decode_manifest(&bytes, Path::new(&entry.key)) {
            Ok((earlier, _)) => reuse::manifest(&slice.manifest, &earlier),
            Err(_) => Manifest::clone(&slice.manifest),
        };
        Ok(Chosen { manifest, slice })
    }

    fn bytes_to_go(&self, chosen: &[Chosen], tags: &catalog::Frozen) -> u64 {
        let tags: u64 = tags.files.iter().map(|(_, bytes, _)| bytes).sum();
        let of_slice = |chosen: &Chosen| -> u64 {
            let latest = chosen.slice.latest.as_ref().map_or(0, |file| file.bytes);
            let files = chosen.slice.manifest.files.iter().zip(&chosen.slice.files);
            let needed = files.filter(|(meta, file)| {
                chosen.manifest.file(meta.number).is_some_and(|named| named.checksum == meta.checksum)
                    && self.earlier_series(&file.path.display().to_string(), meta).is_none()
            });
            latest + needed.map(|(_, file)| file.bytes).sum::<u64>()
        };
        tags + chosen.iter().map(of_slice).sum::<u64>()
    }

    /// The series file at a path, where the earlier backup has it. A number is given to one file only, in a store that goes on.
    fn earlier_series(&self, path: &str, meta: &FileMeta) -> Option<&FileEntry> {
        let entry = self.earlier.and_then(|head| head.file(path))?;
        (entry.bytes == meta.bytes && entry.key.ends_with(&format!("-{:08x}", meta.checksum))).then_some(entry)
    }

    fn own_bytes(&self, path: &str, bytes: &[u8], meter: &Meter<'_>) -> Result<FileEntry, Error> {
        put_own(self.place, &own(&self.id), path, bytes, meter)
    }

    fn tags_file(&self, path: &Path, bytes: u64, file: &Arc<dyn world::File>, meter: &Meter<'_>) -> Result<FileEntry, Error> {
        let read = || FileReader::new(Arc::clone(file), bytes);
        let (name, sha256) = (path.display(), digest(&mut read())?);
        let path = format!("catalog/{name}");
        let key = format!("{}{path}", shared(&self.id));
        let entry = self.earlier.and_then(|head| head.file(&path)).filter(|entry| entry.bytes == bytes && entry.sha256 == sha256);
        match entry {
            Some(entry) => Ok(entry.clone()),
            None => put(self.place, (path, key), bytes, &mut read(), meter),
        }
    }

    /// Writes what a slice has and the earlier backup lacks.
    fn slice(&self, chosen: Chosen, files: &mut Vec<FileEntry>, meter: &Meter<'_>) -> Result<(), Error> {
        let Chosen { slice, manifest } = chosen;
        let path = slice.manifest_path();
        let encoded = storage::encode_manifest(&manifest, slice.number);
        files.push(self.own_bytes(&path.display().to_string(), &encoded, meter)?);
        if let Some(latest) = slice.latest {
            let (path, mut reader) = (latest.path.display().to_string(), FileReader::new(latest.file, latest.bytes));
            let key = format!("{}{path}", own(&self.id));
            files.push(put(self.place, (path, key), latest.bytes, &mut reader, meter)?);
        }
        let dir = path.parent().unwrap_or(Path::new("")).to_path_buf();
        for meta in &manifest.files {
            let path = dir.join(meta.path()).display().to_string();
            if let Some(entry) = self.earlier_series(&path, meta) {
                files.push(entry.clone());
                continue;
            }
            let held = slice.files.iter().find(|file| file.path.display().to_string() == path);
            let Some(held) = held else {
                return Err(Error::Store(format!("{path} is of an earlier backup, which does not name it")));
            };
            let key = format!("{}{path}-{:08x}", shared(&self.id), meta.checksum);
            let mut reader = FileReader::new(Arc::clone(&held.file), held.bytes);
            files.push(put(self.place, (path, key), held.bytes, &mut reader, meter)?);
        }
        Ok(())
    }
}
