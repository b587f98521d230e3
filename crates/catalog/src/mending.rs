//! Repair: a tag table made of what is whole, so that the catalog opens again.
//!
//! Promises: no ordinal is given twice and none is lost, for samples lie under ordinals: a tag whose definition
//! is lost is called `lost.ORDINAL` and keeps its samples. What is whole stays as it is. Writes of the log that
//! follow a lost one are applied as far as they fit: a name that is taken by then gives way to `lost.ORDINAL`.
//! A fleet's table is torn afterwards: its scheduler takes what differs from another one.
//! The result is a new checkpoint of everything, and an empty log behind it.
//! What it may not know: what kind of samples a tag has; it asks.

use crate::block::BLOCK_BITS;
use crate::checkpoint::{Checkpoints, LastFile, push_run};
use crate::checkpoint_job::Failure;
use crate::kind_table::KindTable;
use crate::led::{Kept, Led, Replaying};
use crate::profile::profile_kind;
use crate::record::{Joiner, KIND_CHANGE, KIND_CREATE, KIND_DELETE, KIND_EPOCH, Write};
use crate::row::{Entry, Row, RowReader, RowWriter};
use crate::table::Table;
use crate::{Error, Settings, opening};
use rustc_hash::FxHashSet;
use std::path::Path;
use storage::wire::Reader;
use types::{Kind, TagDefinition, TagId};
use world::World;

/// What a repair did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Ordinals in the table now.
    pub tags: u64,
    /// Those among them whose definitions were lost.
    pub lost: u64,
    /// Tags that kept their definitions, but not their names.
    pub renamed: u64,
}

/// What is known of the samples that lie under ordinals.
pub struct Samples<'a> {
    /// Ordinals below it may have samples: they must not be given to new tags.
    pub end: u64,
    /// Of which kind a tag's samples are.
    pub kind_of: &'a dyn Fn(TagId) -> Option<Kind>,
}

/// Mends a catalog whose log was mended before. Of a log that is gone, only what the checkpoint holds is kept.
///
/// # Errors
/// `Error::Damaged` where no manifest is whole, so that nobody knows which blocks count, and where the log is another
/// one: then nothing was changed; `Error::Open`,
/// `Error::DiskFull`, `Error::Poisoned` where the disk fails.
pub fn repair(world: World, dir: &Path, settings: Settings, samples: &Samples<'_>) -> Result<Repair, Error> {
    let mut checkpoints = Checkpoints::open(&world.disk, dir)?;
    let (log, replay) = opening::open_log_left(&world, dir, &settings, &checkpoints)?;
    let manifest = checkpoints.manifest().clone();
    // All of it counts as changed since the manifest, so that the next one has all of it anew.
    let number = manifest.sequence + 1;
    let table = Table::new(world.random.next_u64(), manifest.rows as usize);
    let mut mender =
        Mender { table, kinds: KindTable::new(), kind_of: samples.kind_of, number, lost: FxHashSet::default(), renamed: 0 };
    let mut last = LastFile::default();
    for index in 0..manifest.blocks.len() {
        let first = (index as u64) << BLOCK_BITS;
        match checkpoints.read(index, &mut last) {
            Ok((run, rows)) if mender.push_run(&run, rows) => {}
            Ok(_) | Err(Error::Damaged(_)) => {
                mender.table.take_back(first);
                mender.lose(first + checkpoints.rows(index) as u64);
            }
            Err(error) => return Err(error),
        }
    }
    let mut sequence = manifest.sequence;
    let mut led = manifest.led.map(Replaying::new);
    let mut joiner = Joiner::default();
    for record in replay {
        let record = record.map_err(opening::translate)?;
        // What is no record of ours holds no write; a write that lacks a part was not made, or is lost.
        let Ok(Some(write)) = joiner.take(record.kind, &record.head, &record.body) else { continue };
        if let Some(led) = &mut led {
            // Of the fleet's batches only the epoch counts: the table is taken from another scheduler anyway.
            if write.kind == KIND_EPOCH && led.take(write, 0).is_err() {
                unreachable!("an epoch is only a number");
            }
            continue;
        }
        if write.kind <= KIND_DELETE && write.sequence > sequence {
            mender.apply(&write);
            sequence = write.sequence;
        }
    }
    mender.lose(samples.end.min(KindTable::TAGS_MAX));
    checkpoints.clean()?;
    checkpoints.begin_with(log.id())?;
    let Mender { mut table, kinds, lost, renamed, .. } = mender;
    table.begin_run();
    kinds.show(table.rows());
    let repair = Repair { tags: table.rows(), lost: lost.len() as u64, renamed };
    let led = led.map(|led| Led::new(Kept { point: None, next: table.rows(), ..led.into_kept() }, Vec::new()));
    let core = opening::assemble(world, settings, log, table, kinds, checkpoints, (sequence + 1, 0));
    if let Some(led) = led {
        drop(core.led.set(led));
    }
    match core.make_checkpoint() {
        Ok(_) => {}
        Err(Failure::Disk(error)) if error.is_full() => return Err(Error::DiskFull(error.to_string())),
        Err(Failure::Disk(error)) => return Err(Error::Open(error.to_string())),
        Err(Failure::Cut) => return Err(Error::Open(format!("{}: the log could not be cut", dir.display()))),
    }
    Ok(repair)
}

/// Adds rows of lost tags, as deleted ones, up to an ordinal: only for looking.
pub fn push_lost(table: &mut Table, kinds: &KindTable, end: u64) {
    while table.rows() < end {
        table.push_dead(Kind::F64, kinds, 0).expect("the manifest's ordinals are those that there can be");
    }
}

/// The table in the making.
struct Mender<'a> {
    table: Table,
    kinds: KindTable,
    kind_of: &'a dyn Fn(TagId) -> Option<Kind>,
    number: u64,
    /// Ordinals whose definitions are lost.
    lost: FxHashSet<u64>,
    renamed: u64,
}

impl Mender<'_> {
    /// Adds a block's rows; false where they don't fit, and some may be in.
    fn push_run(&mut self, run: &[u8], rows: usize) -> bool {
        let Mender { table, kinds, number, .. } = self;
        let push = |table: &mut Table, row: &Row<'_>| table.push(row, kinds, *number);
        push_run(run, rows, table, kinds, push).is_ok()
    }

    /// A name that nobody has: the wanted one, or one that tells of the loss.
    fn free_name(&mut self, wanted: Option<&str>, ordinal: u64) -> String {
        if let Some(wanted) = wanted {
            if self.table.find(wanted).is_none() {
                return wanted.to_owned();
            }
            self.renamed += 1;
        }
        let tries = (0_u64..).map(|n| if n == 0 { format!("lost.{ordinal}") } else { format!("lost.{ordinal}.{n}") });
        tries.into_iter().find(|name| self.table.find(name).is_none()).expect("names don't run out")
    }

    /// Adds tags whose definitions are lost, up to an ordinal.
    fn lose(&mut self, end: u64) {
        while self.table.rows() < end {
            let ordinal = self.table.rows();
            let kind = (self.kind_of)(TagId(ordinal)).unwrap_or(Kind::F64);
            let description = "its definition was lost; a repair kept its samples".to_owned();
            let definition = TagDefinition { description, ..TagDefinition::new(self.free_name(None, ordinal), kind) };
            let mut run = RowWriter::default();
            run.put_definition(&definition, 0, 0);
            self.table.begin_run();
            if let Some(Entry::Live(row)) = RowReader::new(&run.out).next() {
                self.table.push(&row, &self.kinds, self.number).expect("its name is free, and its ordinal was given before");
            }
            self.lost.insert(ordinal);
        }
    }

    /// Applies a write as far as it fits; what does not parse ends it.
    fn apply(&mut self, write: &Write) {
        match write.kind {
            KIND_CREATE => drop(self.create(&write.bytes)),
            KIND_CHANGE => drop(self.change(&write.bytes)),
            _ => drop(self.delete(&write.bytes)),
        }
    }

    fn create(&mut self, bytes: &[u8]) -> Option<()> {
        let mut reader = Reader::new(bytes);
        let first = reader.varint().filter(|first| *first <= KindTable::TAGS_MAX)?;
        self.lose(first);
        let mut ordinal = first;
        for _ in 0..reader.varint()? {
            let rows = reader.varint()?;
            let len = reader.count(bytes.len())?;
            let mut run = RowReader::new(reader.bytes(len)?);
            for _ in 0..rows {
                let Some(Entry::Live(row)) = run.next() else { return None };
                // Ordinals that are there already were made by a write that was seen before.
                if ordinal >= self.table.rows() {
                    let name = self.free_name(Some(row.name), ordinal);
                    // Each row stands alone: the one before may have another name, or not be there.
                    self.table.begin_run();
                    self.table.push(&alone(&row, &name), &self.kinds, self.number).ok()?;
                }
                ordinal += 1;
            }
        }
        Some(())
    }

    fn change(&mut self, bytes: &[u8]) -> Option<()> {
        // Names are given up before any is taken, as in a change that fits.
        let mut given = FxHashSet::default();
        for second in [false, true] {
            let mut run = RowReader::new(bytes);
            for _ in 0..run.number()? {
                let ordinal = run.number()?;
                let Some(Entry::Live(row)) = run.next() else { return None };
                let Some((block, at)) = self.table.place(ordinal) else { continue };
                if profile_kind(row.profile) != self.kinds.staged(ordinal) {
                    continue;
                }
                if !second {
                    if block.name(at) != row.name.as_bytes() && given.insert(ordinal) {
                        self.table.unname(ordinal);
                    }
                    continue;
                }
                let renamed = given.remove(&ordinal);
                let name = if renamed { self.free_name(Some(row.name), ordinal) } else { row.name.to_owned() };
                self.table.begin_run();
                self.table.replace(ordinal, &alone(&row, &name), renamed, self.number).ok()?;
                self.lost.remove(&ordinal);
            }
        }
        Some(())
    }

    fn delete(&mut self, bytes: &[u8]) -> Option<()> {
        let mut reader = Reader::new(bytes);
        for _ in 0..reader.varint()? {
            let ordinal = reader.varint()?;
            if self.table.place(ordinal).is_some() {
                self.table.kill(ordinal, self.number);
                self.lost.remove(&ordinal);
            }
        }
        Some(())
    }
}

/// A row that shares nothing with the one before it, under another name.
fn alone<'a>(row: &Row<'a>, name: &'a str) -> Row<'a> {
    Row { name, same: crate::row::Same::default(), ..*row }
}
