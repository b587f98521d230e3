//! Checkpoints: blocks of the tag table in immutable files, and the manifest that names them.
//!
//! ```text
//!   NNNNNNNNNN.tags   head | block | block ..      a block: see `packed`
//! ```
//! What it promises: a manifest is swapped by writing the next one whole and syncing it and the
//! directory before its predecessor goes; files are removed only when no manifest names them.
//! What it may not know: locks, jobs, who asks.

use crate::Error;
use crate::block::{BLOCK_BITS, BLOCK_ROWS};
use crate::files::{FORMAT, HEAD_BYTES, Head, What, damaged};
use crate::kind_table::KindTable;
use crate::manifest::{BlockPlace, Manifest};
use crate::packed::{pack, unpack};
use crate::row::{Entry, Row, RowReader};
use crate::table::{Refusal, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::block;
use world::{Access, Disk, DiskError, File};

/// Blocks whose names go into the index together when all are read.
const NAMED_BLOCKS: usize = 64;

/// The directory of the checkpoints, and the newest manifest.
pub struct Checkpoints {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The id of the catalog's log; None until it is known.
    log: Option<u64>,
    /// The number of the newest manifest; 0 = none.
    number: u64,
    /// The number in its head.
    format: u32,
    manifest: Manifest,
    /// Names found at opening that the manifest does not name.
    leftovers: Vec<String>,
}

/// The file that was read last.
#[derive(Default)]
pub struct LastFile(Option<(Head, Arc<dyn File>, PathBuf)>);

/// A file being written.
pub struct TagsFile {
    head: Head,
    path: PathBuf,
    file: Arc<dyn File>,
    end: u64,
}

impl Checkpoints {
    /// Reads the newest whole manifest of a directory; an empty one where there is none. Changes nothing.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Checkpoints, Error> {
        let failed = |error: DiskError| Error::Open(error.to_string());
        let names: Vec<String> = disk.list(dir).map_err(failed)?.into_iter().map(|entry| entry.name).collect();
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| What::Manifest.number(name)).collect();
        numbers.sort_unstable();
        let newest = newest_manifest(&**disk, dir, &numbers)?;
        let log = newest.as_ref().map(|(_, head)| head.log);
        let (number, format) = newest.as_ref().map_or((0, FORMAT), |(_, head)| (head.number, head.format));
        let manifest = newest.map(|(manifest, _)| manifest).unwrap_or_default();
        let named: BTreeSet<u64> = manifest.blocks.iter().map(|place| place.file).collect();
        let file_max = names.iter().filter_map(|name| What::Tags.number(name)).max().unwrap_or(0);
        let leftovers = names.into_iter().filter(|name| {
            What::Manifest.number(name).is_some_and(|other| other != number)
                || What::Tags.number(name).is_some_and(|file| !named.contains(&file))
        });
        let leftovers = leftovers.collect();
        let mut open = Checkpoints { disk: Arc::clone(disk), dir: dir.to_path_buf(), log, number, format, manifest, leftovers };
        open.manifest.next_file = open.manifest.next_file.max(file_max.saturating_add(1));
        Ok(open)
    }

    /// The id of the catalog's log, where a manifest tells it.
    pub fn log(&self) -> Option<u64> {
        self.log
    }

    /// Makes the first manifest, of a table without rows, where there is none: so that the log is known from
    /// before the first write on, and its loss is told from a new catalog. One that an earlier release wrote is written anew
    /// where its head does not tell what this one will write into the log.
    pub fn begin_with(&mut self, log: u64) -> Result<(), Error> {
        self.log = Some(log);
        if self.number > 0 && self.format >= self.manifest.head_format() {
            return Ok(());
        }
        let failed =
            |error: DiskError| if error.is_full() { Error::DiskFull(error.to_string()) } else { Error::Open(error.to_string()) };
        self.publish(self.manifest.clone()).map_err(failed)
    }

    fn log_id(&self) -> u64 {
        self.log.expect("the log is known before anything of it is written or read")
    }

    /// Removes what a crash left behind. Call it once the log fits the manifest: before, a damaged
    /// store would lose what could still be of use.
    pub fn clean(&mut self) -> Result<(), Error> {
        let failed = |error: DiskError| Error::Open(error.to_string());
        self.settle().map_err(failed)?;
        for name in self.leftovers.drain(..) {
            self.disk.remove(&self.dir.join(name)).map_err(failed)?;
        }
        self.disk.sync_dir(&self.dir).map_err(failed)
    }

    /// Makes sure that the manifest in force is on disk before its predecessor goes. It may have been
    /// left by a sync that failed: then the system holds its bytes as clean, and only bytes that are
    /// written again are synced again.
    fn settle(&self) -> Result<(), DiskError> {
        if self.number == 0 {
            return Ok(());
        }
        let file = self.disk.open(&What::Manifest.path(&self.dir, self.number), Access::Write)?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_at(0, &mut bytes)?;
        file.write_at(0, &[&bytes])?;
        file.sync()?;
        self.disk.sync_dir(&self.dir)
    }

    /// The newest manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Names of files that nothing needs: `clean` removes them.
    pub fn leftovers(&self) -> &[String] {
        &self.leftovers
    }

    /// Reads all blocks into an empty table.
    pub fn load(&self, table: &mut Table, kinds: &KindTable) -> Result<(), Error> {
        let mut last = LastFile::default();
        let mut named = 0;
        let blocks = self.manifest.blocks.len();
        for index in 0..blocks {
            let (run, rows) = self.read(index, &mut last)?;
            if self.manifest.is_torn() {
                let push = |table: &mut Table, row: &Row<'_>| table.push_again(row, kinds, 0);
                push_run(&run, rows, table, kinds, push).map_err(|what| self.damaged_block(index, what))?;
                continue;
            }
            let push = |table: &mut Table, row: &Row<'_>| table.push_unnamed(row, kinds, 0);
            push_run(&run, rows, table, kinds, push).map_err(|what| self.damaged_block(index, what))?;
            if (index + 1) % NAMED_BLOCKS == 0 || index + 1 == blocks {
                let taken = |ordinal| self.damaged_block((ordinal >> BLOCK_BITS) as usize, "the name of a tag is taken");
                table.name_from(named).map_err(taken)?;
                named = table.rows();
            }
        }
        Ok(())
    }

    /// How many rows a block has.
    pub fn rows(&self, index: usize) -> usize {
        (self.manifest.rows - ((index as u64) << BLOCK_BITS)).min(BLOCK_ROWS as u64) as usize
    }

    /// Reads a block: a run, and how many rows it has.
    pub fn read(&self, index: usize, last: &mut LastFile) -> Result<(Vec<u8>, usize), Error> {
        let place = &self.manifest.blocks[index];
        if last.0.as_ref().is_none_or(|(head, ..)| head.number != place.file) {
            last.0 = Some(self.open_file(place.file)?);
        }
        let (head, file, path) = last.0.as_ref().expect("it was opened just now");
        let failed = |error: DiskError| Error::Open(error.to_string());
        let len = file.len().map_err(failed)?;
        if place.offset + place.bytes > len {
            return Err(damaged(path, len, "it ends before its last block"));
        }
        let mut packed = vec![0; place.bytes as usize];
        file.read_at(place.offset, &mut packed).map_err(failed)?;
        let payload = block::open(&packed, head.seal(place.offset))
            .ok_or_else(|| self.damaged_block(index, "the checksum of a block does not fit"))?;
        let (rows, run) = unpack(payload).map_err(|what| self.damaged_block(index, what))?;
        if rows != self.rows(index) {
            return Err(self.damaged_block(index, "a block has not as many rows as it should"));
        }
        Ok((run, rows))
    }

    /// The error that names a damaged block.
    pub fn damaged_block(&self, index: usize, what: &str) -> Error {
        let place = &self.manifest.blocks[index];
        damaged(&What::Tags.path(&self.dir, place.file), place.offset, what)
    }

    /// The paths of the files that the manifest names, and its own.
    pub fn paths(&self) -> Vec<PathBuf> {
        let files: BTreeSet<u64> = self.manifest.blocks.iter().map(|place| place.file).collect();
        let manifest = (self.number > 0).then(|| What::Manifest.path(&self.dir, self.number));
        files.into_iter().map(|number| What::Tags.path(&self.dir, number)).chain(manifest).collect()
    }

    fn open_file(&self, number: u64) -> Result<(Head, Arc<dyn File>, PathBuf), Error> {
        let path = What::Tags.path(&self.dir, number);
        let failed = |error: DiskError| {
            if error.is_missing() { damaged(&path, 0, "the file is missing") } else { Error::Open(error.to_string()) }
        };
        let file = self.disk.open(&path, Access::Read).map_err(failed)?;
        if file.len().map_err(failed)? < HEAD_BYTES as u64 {
            return Err(damaged(&path, 0, "it is shorter than a head"));
        }
        let mut bytes = [0; HEAD_BYTES];
        file.read_at(0, &mut bytes).map_err(failed)?;
        let head = Head::decode(&bytes, What::Tags, number, &path)?;
        if head.log != self.log_id() {
            return Err(damaged(&path, 16, "it belongs to another log"));
        }
        Ok((head, file, path))
    }

    /// Begins a file. Its number is used up even where it is never published.
    pub fn begin(&mut self) -> Result<TagsFile, DiskError> {
        let number = self.manifest.next_file;
        self.manifest.next_file += 1;
        let path = What::Tags.path(&self.dir, number);
        let head = Head { what: What::Tags, format: FORMAT, log: self.log_id(), number };
        let file = self.disk.create(&path)?;
        file.write_at(0, &[&head.encode()])?;
        Ok(TagsFile { head, path, file, end: HEAD_BYTES as u64 })
    }

    /// Makes a manifest the truth. The files that it names are synced; those of the one before that
    /// it does not name go. It returns only when the predecessor is gone, so that the log may be cut.
    pub fn publish(&mut self, mut manifest: Manifest) -> Result<(), DiskError> {
        manifest.next_file = self.manifest.next_file;
        self.disk.sync_dir(&self.dir)?;
        let path = What::Manifest.path(&self.dir, self.number + 1);
        let bytes = manifest.encode(self.log_id(), self.number + 1);
        let written = self.disk.create(&path).and_then(|file| {
            file.write_at(0, &[&bytes])?;
            file.sync()
        });
        if let Err(error) = written {
            // A full disk left no whole manifest: it goes, and the one before stays the truth.
            if error.is_full() {
                match self.disk.remove(&path) {
                    Err(error) if !error.is_missing() => return Err(error),
                    _ => self.disk.sync_dir(&self.dir)?,
                }
            }
            return Err(error);
        }
        self.disk.sync_dir(&self.dir)?;
        if self.number > 0 {
            self.disk.remove(&What::Manifest.path(&self.dir, self.number))?;
            self.disk.sync_dir(&self.dir)?;
        }
        let named = |manifest: &Manifest| manifest.blocks.iter().map(|place| place.file).collect::<BTreeSet<_>>();
        for gone in named(&self.manifest).difference(&named(&manifest)) {
            match self.disk.remove(&What::Tags.path(&self.dir, *gone)) {
                // Lost before, and mended by now.
                Err(error) if error.is_missing() => {}
                other => other?,
            }
        }
        self.number += 1;
        self.format = manifest.head_format();
        self.manifest = manifest;
        Ok(())
    }

    /// Removes a file that was never published.
    pub fn discard(&self, file: TagsFile) -> Result<(), DiskError> {
        self.disk.remove(&file.path)
    }

    /// The blocks of files that hold more waste than use, where waste is more than half of all.
    pub fn wasteful(&self, staying: impl Fn(usize) -> bool) -> Result<Vec<usize>, DiskError> {
        let mut files: BTreeMap<u64, (u64, Vec<usize>)> = BTreeMap::new();
        for (index, place) in self.manifest.blocks.iter().enumerate() {
            // A file of which nothing stays goes anyway.
            if staying(index) {
                let file = files.entry(place.file).or_default();
                file.0 += place.bytes;
                file.1.push(index);
            }
        }
        let (mut used, mut taken, mut wasteful) = (0, 0, Vec::new());
        for (number, (bytes, blocks)) in files {
            let len = self.disk.open(&What::Tags.path(&self.dir, number), Access::Read)?.len()?;
            (used, taken) = (used + bytes, taken + len);
            if bytes * 2 < len {
                wasteful.extend(blocks);
            }
        }
        wasteful.retain(|_| taken > used * 2);
        Ok(wasteful)
    }
}

impl TagsFile {
    /// Appends a block: a run of that many rows.
    pub fn append(&mut self, run: &[u8], rows: usize) -> Result<BlockPlace, DiskError> {
        let packed = pack(run, rows, self.head.seal(self.end));
        self.file.write_at(self.end, &[&packed])?;
        let place = BlockPlace { file: self.head.number, offset: self.end, bytes: packed.len() as u64 };
        self.end += place.bytes;
        Ok(place)
    }

    /// Makes the file's bytes durable.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.file.sync()
    }
}

fn newest_manifest(disk: &dyn Disk, dir: &Path, numbers: &[u64]) -> Result<Option<(Manifest, Head)>, Error> {
    let read = |number: u64| {
        let path = What::Manifest.path(dir, number);
        let bytes = (|| {
            let file = disk.open(&path, Access::Read)?;
            let mut bytes = vec![0; file.len()? as usize];
            file.read_at(0, &mut bytes)?;
            Ok(bytes)
        })();
        let bytes = bytes.map_err(|error: DiskError| Error::Open(error.to_string()))?;
        Manifest::decode(&bytes, number, &path).map(Some)
    };
    let Some(newest) = numbers.last().copied() else { return Ok(None) };
    match read(newest) {
        // A swap that a crash cut short: the predecessor goes only after the newest is durable.
        Err(Error::Damaged(_)) if numbers.contains(&(newest - 1)) => read(newest - 1),
        // The very first one, cut short: the log still holds all.
        Err(Error::Damaged(_)) if newest == 1 => Ok(None),
        other => other,
    }
}

/// Reads a block's run into the table; `push` adds a live row.
pub fn push_run(
    run: &[u8],
    rows: usize,
    table: &mut Table,
    kinds: &KindTable,
    mut push: impl FnMut(&mut Table, &Row<'_>) -> Result<(), Refusal>,
) -> Result<(), &'static str> {
    let mut entries = RowReader::new(run);
    table.begin_run();
    for _ in 0..rows {
        let refused = match entries.next().ok_or("a row is malformed")? {
            Entry::Live(row) => push(table, &row),
            Entry::Dead(kind) => table.push_dead(kind, kinds, 0),
        };
        refused.map_err(|_| "a row does not fit the rows before")?;
    }
    if entries.is_empty() { Ok(()) } else { Err("a block has more bytes than rows") }
}
