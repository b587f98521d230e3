//! Opening the embedded meta, and making it. The crash reasoning stands in the parent's head.

use super::backend::Backend;
use super::tables;
use crate::{Error, LeaseId, MetaId, Revision, Witness};
use redb::{Builder, Database, ReadableDatabase};
use std::path::Path;
use world::{Access, Disk, DiskError, File, World};

/// Bytes of redb's cache of pages.
const CACHE_BYTES: usize = 32 << 20;

/// Bytes that are read and written at a time when the file is written again.
const CHUNK_BYTES: usize = 1 << 20;

const STORE: &str = "meta.redb";
const MADE: &str = "made";
const LOCK: &str = "lock";

pub(super) struct Opened {
    pub id: MetaId,
    pub revision: Revision,
    pub leases: Vec<(LeaseId, u64)>,
    pub database: Database,
    pub lock: Box<dyn Send + Sync>,
}

pub(super) fn open(world: &World, dir: &Path, known: Option<Witness>) -> Result<Opened, Error> {
    let disk = &*world.disk;
    disk.make_dir(dir).map_err(failed)?;
    let lock = disk.lock(&dir.join(LOCK)).map_err(|error| match error.cause.kind() {
        std::io::ErrorKind::WouldBlock => Error::Open(format!("{} is in use by another process", dir.display())),
        _ => failed(error),
    })?;
    let database = if exists(disk, dir, MADE)? {
        open_store(disk, dir)?
    } else if let Some(witness) = known {
        return Err(Error::Foreign { expected: witness.id, found: None });
    } else {
        make(world, dir)?
    };
    let read = || -> Result<_, redb::Error> {
        let transaction = database.begin_read()?;
        let format = tables::format(&transaction)?;
        if format != Some(tables::FORMAT) {
            return Ok(Err(format));
        }
        Ok(Ok((tables::id(&transaction)?, tables::revision(&transaction)?, tables::leases(&transaction)?)))
    };
    let (id, revision, leases) = read().map_err(|error| broken(dir, error))?.map_err(|format| {
        let found = format.map_or("no".to_owned(), |format| format.to_string());
        Error::Open(format!("{} has layout {found}, but this release knows only {}", dir.display(), tables::FORMAT))
    })?;
    if let Some(witness) = known {
        witness.check(Some(id), revision)?;
    }
    Ok(Opened { id, revision, leases, database, lock })
}

/// Makes a store whole, then says so. What an earlier try left goes.
fn make(world: &World, dir: &Path) -> Result<Database, Error> {
    let disk = &*world.disk;
    let path = dir.join(STORE);
    if exists(disk, dir, STORE)? {
        disk.remove(&path).map_err(failed)?;
    }
    let file = disk.create(&path).map_err(failed)?;
    let id = MetaId(u128::from(world.random.next_u64()) << 64 | u128::from(world.random.next_u64()));
    let fill = || -> Result<Database, redb::Error> {
        let database = builder().create_with_backend(Backend(file))?;
        let transaction = database.begin_write()?;
        tables::make(&transaction, id)?;
        transaction.commit()?;
        Ok(database)
    };
    let database = fill().map_err(|error| broken(dir, error))?;
    // The store's name first: `made` must never be there without it.
    disk.sync_dir(dir).map_err(failed)?;
    disk.create(&dir.join(MADE)).and_then(|file| file.sync()).map_err(failed)?;
    disk.sync_dir(dir).map_err(failed)?;
    Ok(database)
}

fn open_store(disk: &dyn Disk, dir: &Path) -> Result<Database, Error> {
    let path = dir.join(STORE);
    let file = disk.open(&path, Access::Write).map_err(|error| {
        let what = format!("{} is missing, though this meta was made", path.display());
        if error.is_missing() { Error::Damaged(what) } else { failed(error) }
    })?;
    if file.is_empty().map_err(failed)? {
        return Err(Error::Damaged(format!("{} is empty", path.display())));
    }
    settle(&*file).and_then(|()| disk.sync_dir(dir)).map_err(failed)?;
    builder().create_with_backend(Backend(file)).map_err(|error| broken(dir, error.into()))
}

/// Writes the whole file again and syncs it. Where a sync failed in an earlier run, the system holds
/// the pages that it did not write as clean: they read well, redb builds on them, no later sync writes
/// them, and the power takes them away under it. What a power cut leaves of this writing is what it
/// could have left of the earlier run's.
fn settle(file: &dyn File) -> Result<(), DiskError> {
    let len = file.len()?;
    let mut chunk = vec![0; CHUNK_BYTES];
    for start in (0..len).step_by(CHUNK_BYTES) {
        let into = &mut chunk[..(len - start).min(CHUNK_BYTES as u64) as usize];
        file.read_at(start, into)?;
        file.write_at(start, &[into])?;
    }
    file.sync()
}

/// redb trusts a file that was closed well; we don't.
fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn exists(disk: &dyn Disk, dir: &Path, name: &str) -> Result<bool, Error> {
    Ok(disk.list(dir).map_err(failed)?.iter().any(|entry| entry.name == name))
}

fn failed(error: DiskError) -> Error {
    Error::Open(error.to_string())
}

fn broken(dir: &Path, error: redb::Error) -> Error {
    match error {
        redb::Error::Io(cause) if cause.kind() != std::io::ErrorKind::InvalidData => Error::Open(cause.to_string()),
        error => Error::Damaged(format!("{}: {error}", dir.join(STORE).display())),
    }
}
