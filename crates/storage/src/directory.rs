//! A slice's directory: which manifest is the truth, and how it is replaced.
//!
//! Publishing manifest N: sync the directories of its new files; write it, sync it, sync the
//! directory; remove every older manifest, sync the directory; only then remove the files that N no
//! longer names.
//!
//! Why every crash leaves the old or the new one: until N's name and bytes are durable, N-1 and all
//! that it names are untouched, so a torn N is skipped for N-1. Once N is durable, both are whole
//! and both name files that are there; opening takes N. N-1's files go only after N-1 is gone for
//! good. The log may be cut only after `publish` returned, so N-1 never stands without its log.
//!
//! State, under `Inner`'s mutex: the manifest in force, its number, the highest number ever tried,
//! the next file number, whether a sync failed. A full disk costs a number and nothing else.

use crate::manifest::{FileNumber, Manifest, StoreId};
use crate::opening::{self, manifest_path, manifests};
use crate::{Error, codec};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::SliceId;
use world::{Disk, DiskError};

struct Inner {
    manifest: Arc<Manifest>,
    number: u64,
    tried: u64,
    next_file: u64,
    poisoned: bool,
}

/// The directory of a slice and the manifest in force.
pub struct SliceDirectory {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    slice: SliceId,
    inner: Mutex<Inner>,
}

impl SliceDirectory {
    /// Opens the directory of a slice, making it where there is none, or where an earlier making was
    /// cut short before its first manifest was whole. Durable when it returns.
    ///
    /// # Errors
    /// As `open`, but for a slice that is not there.
    pub fn open_or_create(disk: &Arc<dyn Disk>, dir: &Path, store: StoreId, slice: SliceId) -> Result<SliceDirectory, Error> {
        disk.make_dir(dir)?;
        if !opening::is_unmade(disk.as_ref(), dir)? {
            return Self::open(disk, dir, store, slice);
        }
        for (_, torn) in manifests(disk.as_ref(), dir)? {
            disk.remove(&torn)?;
        }
        disk.sync_dir(dir)?;
        let manifest = Arc::new(Manifest::new(store, slice));
        let inner = Inner { next_file: manifest.next_file.0, manifest, number: 0, tried: 0, poisoned: false };
        let directory = SliceDirectory { disk: Arc::clone(disk), dir: dir.to_path_buf(), slice, inner: Mutex::new(inner) };
        directory.publish(Manifest::new(store, slice))?;
        Ok(directory)
    }

    /// Puts a manifest in force in the directory of a slice in which none is whole; those that are damaged go. For
    /// repairs: whoever calls it has made the manifest from what the files say.
    ///
    /// # Errors
    /// As `publish`.
    ///
    /// # Panics
    /// Where a whole manifest is there.
    pub fn remake(disk: &Arc<dyn Disk>, dir: &Path, manifest: Manifest) -> Result<(), Error> {
        assert!(opening::find_manifest(disk.as_ref(), dir).is_err(), "a manifest that is whole is not replaced by a guess");
        let highest = manifests(disk.as_ref(), dir)?.first().map_or(0, |(number, _)| *number);
        let inner = Inner {
            next_file: manifest.next_file.0,
            manifest: Arc::new(Manifest::new(manifest.store, manifest.slice)),
            number: highest,
            tried: highest,
            poisoned: false,
        };
        let slice = manifest.slice;
        let directory = SliceDirectory { disk: Arc::clone(disk), dir: dir.to_path_buf(), slice, inner: Mutex::new(inner) };
        directory.publish(manifest).map(|_| ())
    }

    /// Opens the directory of a slice: takes the highest whole manifest, checks that the files it
    /// names are there with their lengths, and removes older manifests and files that it does not name.
    ///
    /// # Errors
    /// `Error::Disk` (`is_missing` where there is no slice), `Error::Damaged` where no manifest is
    /// whole, `Error::Format`, `Error::Foreign`, `Error::FileMissing`.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path, store: StoreId, slice: SliceId) -> Result<SliceDirectory, Error> {
        let found = opening::find_manifest(disk.as_ref(), dir)?;
        if (found.manifest.store, found.manifest.slice) != (store, slice) {
            return Err(Error::Foreign {
                path: manifest_path(dir, found.number),
                found: format!("slice {} of store {}", found.manifest.slice, found.manifest.store),
                expected: format!("slice {slice} of store {store}"),
            });
        }
        opening::missing_files(disk.as_ref(), dir, &found.manifest)?.into_iter().next().map_or(Ok(()), Err)?;
        opening::settle_manifest(disk.as_ref(), dir, found.number)?;
        for (number, path) in &found.all {
            if *number != found.number {
                disk.remove(path)?;
            }
        }
        disk.sync_dir(dir)?;
        let unnamed = opening::unnamed_files(disk.as_ref(), dir, &found.manifest)?;
        unnamed.iter().try_for_each(|path| disk.remove(path))?;
        opening::remove_empty_periods(disk.as_ref(), dir)?;
        let above_unnamed = unnamed.iter().filter_map(|path| opening::file_number(path)).max().map_or(0, |number| number + 1);
        let inner = Inner {
            next_file: found.manifest.next_file.0.max(above_unnamed),
            manifest: Arc::new(found.manifest),
            number: found.number,
            tried: found.all.first().map_or(found.number, |(highest, _)| *highest),
            poisoned: false,
        };
        Ok(SliceDirectory { disk: Arc::clone(disk), dir: dir.to_path_buf(), slice, inner: Mutex::new(inner) })
    }

    /// The slice.
    #[must_use]
    pub fn slice(&self) -> SliceId {
        self.slice
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest in force.
    #[must_use]
    pub fn manifest(&self) -> Arc<Manifest> {
        Arc::clone(&self.inner.lock().manifest)
    }

    /// The number of the manifest in force.
    #[must_use]
    pub fn manifest_number(&self) -> u64 {
        self.inner.lock().number
    }

    /// A number for a new file: never given before, whether or not the file is ever published.
    pub fn next_number(&self) -> FileNumber {
        let mut inner = self.inner.lock();
        inner.next_file += 1;
        FileNumber(inner.next_file - 1)
    }

    /// The whole path of a file that lies at `relative` below the slice's directory, its directory
    /// being made where it is missing.
    ///
    /// # Errors
    /// `Error::Disk`.
    pub fn prepare(&self, relative: &Path) -> Result<PathBuf, Error> {
        let path = self.dir.join(relative);
        if let Some(parent) = path.parent() {
            self.disk.make_dir(parent)?;
        }
        Ok(path)
    }

    /// Puts a manifest in force. Its new files must be synced; their directories are synced here.
    /// When it returns, the new one is durable, older ones are gone, and the log may be cut.
    /// Files that the new one no longer names are removed; open ones stay readable.
    ///
    /// # Errors
    /// `Error::Disk`: where `is_full`, nothing changed and it may be tried again; after any other
    /// failure the directory refuses further manifests (`Error::Poisoned`) until it is opened again.
    pub fn publish(&self, mut manifest: Manifest) -> Result<Arc<Manifest>, Error> {
        let mut inner = self.inner.lock();
        if inner.poisoned {
            return Err(Error::Poisoned(self.slice));
        }
        assert_eq!(manifest.slice, self.slice, "a manifest is published in its own slice");
        manifest.next_file = manifest.next_file.max(FileNumber(inner.next_file));
        assert!(manifest.files.is_sorted_by(|a, b| a.number < b.number), "a manifest's files are in order, each once");
        assert!(manifest.files.last().is_none_or(|file| file.number < manifest.next_file), "file numbers come from next_number");
        inner.tried += 1;
        let number = inner.tried;
        match self.write(&manifest, number, &inner.manifest) {
            Ok(()) => {}
            Err(cause) => {
                // Unsynced bytes under a number that is never used again: the older manifest stands.
                inner.poisoned = !cause.is_full();
                return Err(cause.into());
            }
        }
        let old = std::mem::replace(&mut inner.manifest, Arc::new(manifest));
        inner.number = number;
        if let Err(cause) = self.remove_older(number) {
            inner.poisoned = true;
            // The new one is in force: a disk that is full now is no clean refusal.
            return Err(match cause {
                Error::Disk(cause) => Error::Disk(not_clean(cause)),
                other => other,
            });
        }
        let new = Arc::clone(&inner.manifest);
        drop(inner);
        self.remove_dropped(&old, &new);
        Ok(new)
    }

    fn write(&self, manifest: &Manifest, number: u64, old: &Manifest) -> Result<(), DiskError> {
        let mut directories = BTreeSet::new();
        let known: BTreeSet<_> = old.files.iter().map(|file| file.number).collect();
        for file in manifest.files.iter().filter(|file| !known.contains(&file.number)) {
            directories.extend(self.dir.join(file.path()).parent().map(Path::to_path_buf));
        }
        if manifest.latest != old.latest {
            directories.insert(self.dir.clone());
        }
        // Before the manifest has a name: a power cut may make that name durable and not the others.
        directories.iter().try_for_each(|dir| self.disk.sync_dir(dir))?;
        let path = manifest_path(&self.dir, number);
        let file = self.disk.create(&path)?;
        let written = file.write_at(0, &[&codec::encode(manifest, number)]);
        if let Err(cause) = written {
            drop(file);
            if cause.is_full() {
                self.disk.remove(&path)?;
            }
            return Err(cause);
        }
        // A full disk may only be told at the sync; then nothing is known of N, and it is no clean refusal.
        file.sync().and_then(|()| self.disk.sync_dir(&self.dir)).map_err(not_clean)
    }

    fn remove_older(&self, number: u64) -> Result<(), Error> {
        for (older, path) in manifests(self.disk.as_ref(), &self.dir)? {
            if older != number {
                self.disk.remove(&path)?;
            }
        }
        self.disk.sync_dir(&self.dir)?;
        Ok(())
    }

    /// Files of the old manifest that the new one does not name. What can't be removed now is
    /// removed at the next opening: it costs room, never rows.
    fn remove_dropped(&self, old: &Manifest, new: &Manifest) {
        let mut gone: Vec<PathBuf> =
            old.files.iter().filter(|file| new.file(file.number).is_none()).map(|file| self.dir.join(file.path())).collect();
        if let Some(number) = old.latest.filter(|number| new.latest != Some(*number)) {
            gone.push(self.latest_path(number));
        }
        for path in gone {
            // An error here is no loss: the next opening finds the file unnamed and removes it.
            let _ = self.disk.remove(&path);
        }
    }

    /// Where the file of snapshot values with that number lies.
    #[must_use]
    pub fn latest_path(&self, number: FileNumber) -> PathBuf {
        self.dir.join(latest_name(number))
    }
}

fn not_clean(cause: DiskError) -> DiskError {
    let told = std::io::Error::other(cause.cause.to_string());
    if cause.is_full() { DiskError { cause: told, ..cause } } else { cause }
}

fn latest_name(number: FileNumber) -> String {
    format!("latest-{number}")
}
