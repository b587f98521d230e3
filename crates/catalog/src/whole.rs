//! The whole table at one moment, part by part, for whoever copies it elsewhere; and a table laid of such parts.
//!
//! ```text
//!   part 0     the next ordinal, and what came of each producer's last change
//!   part n     the n-th block of 4,096 ordinals (`led::parts`)
//! ```
//! Blocks are replaced, never changed, while somebody holds them: so the table goes on meanwhile, and the parts are of one moment.
//! Promises: parts of one hash are equal; a table that was laid holds what the parts say, durably, or there is an error.
//! What it may not know: where parts go.

use crate::block::{BLOCK_BITS, BLOCK_ROWS, Block};
use crate::checkpoint::Checkpoints;
use crate::checkpoint_job::Failure;
use crate::core::Core;
use crate::kind_table::KindTable;
use crate::led::{Kept, Led, Producers};
use crate::row::RowWriter;
use crate::table::Table;
use crate::{Catalog, Error, Settings, opening, packed};
use protocol::tags::{Part, Point, hash_bytes};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::wire::Reader;
use types::Epoch;
use world::World;

/// The write that a table which was laid begins with.
const FIRST: u64 = 1;

/// The table at a moment.
pub struct WholeTable {
    core: Arc<Core>,
    /// Of a fleet's table: of which point it is.
    pub point: Option<Point>,
    /// Tags that there are.
    pub tags: u64,
    rows: u64,
    first: Vec<u8>,
    blocks: Vec<Arc<Block>>,
}

impl Catalog {
    /// The table as it is now.
    ///
    /// # Errors
    /// `Error::Torn` while a fleet's table is of no one point.
    pub fn whole(&self) -> Result<WholeTable, Error> {
        let core = self.core();
        let led = core.led.get();
        let _gate = led.map(|led| led.gate.lock());
        let point = led.map(|led| led.point().ok_or(Error::Torn)).transpose()?;
        let table = core.table.read();
        let rows = core.kinds.visible();
        let blocks = table.blocks()[..(rows as usize).div_ceil(BLOCK_ROWS)].to_vec();
        let mut first = Vec::new();
        match led {
            Some(led) => led.producers.lock().put(rows, &mut first),
            None => Producers::default().put(rows, &mut first),
        }
        let tags = core.live.load(Ordering::Acquire);
        Ok(WholeTable { core: Arc::clone(core), point, tags, rows, first, blocks })
    }
}

impl WholeTable {
    /// The parts that are not as they were in an earlier one of the same process: all that differ, and few others.
    #[must_use]
    pub fn changed_since(&self, earlier: &WholeTable) -> Vec<usize> {
        let rows_of = |rows: u64, index: usize| (rows - ((index as u64) << BLOCK_BITS)).min(BLOCK_ROWS as u64);
        let is_same = |index: usize| match earlier.blocks.get(index) {
            // A block's rows beyond the visible ones are in it already.
            Some(block) => Arc::ptr_eq(block, &self.blocks[index]) && rows_of(self.rows, index) == rows_of(earlier.rows, index),
            None => false,
        };
        let blocks = (0..self.blocks.len()).filter(|index| !is_same(*index)).map(|index| index + 1);
        std::iter::once(0).filter(|_| self.first != earlier.first).chain(blocks).collect()
    }

    /// How many parts there are.
    #[must_use]
    pub fn parts(&self) -> usize {
        1 + self.blocks.len()
    }

    /// A part, with the hash of what it says.
    ///
    /// # Panics
    /// Where there are not so many.
    #[must_use]
    pub fn part(&self, number: usize) -> (u128, Part) {
        let Some(index) = number.checked_sub(1) else {
            let body = self.first.clone();
            return (hash_bytes(0, &body), Part { number: 0, body: body.into() });
        };
        let (block, first) = (&self.blocks[index], (index as u64) << BLOCK_BITS);
        let rows = (self.rows - first).min(BLOCK_ROWS as u64) as usize;
        let mut run = RowWriter::with_capacity(rows * 64);
        self.core.table.read().write_rows(block, first, rows, &self.core.kinds, &mut run);
        let mut body = Vec::new();
        packed::put(&run.out, rows, &mut body);
        (hash_bytes(1, &run.out), Part { number: number as u64, body: body.into() })
    }
}

/// Makes a catalog of parts, all of them, in order, in a directory where there is none: one that a process has alone, or, of a
/// point, a fleet's.
///
/// # Errors
/// `Error::Unreadable` where they make no table; `Error::Open`, `Error::DiskFull`; and those of the parts.
pub fn lay<E: From<Error>>(
    world: World,
    dir: &Path,
    settings: Settings,
    point: Option<Point>,
    parts: impl Iterator<Item = Result<Part, E>>,
) -> Result<(), E> {
    world.disk.make_dir(dir).map_err(|fault| Error::Open(fault.to_string()))?;
    let mut checkpoints = Checkpoints::open(&world.disk, dir)?;
    if checkpoints.log().is_some() {
        return Err(Error::Open(format!("{}: a tag table lies there already", dir.display())).into());
    }
    let (log, replay) = opening::open_log(&world, dir, &settings, &checkpoints)?;
    drop(replay);
    checkpoints.begin_with(log.id())?;
    let (mut table, kinds) = (Table::new(world.random.next_u64(), 0), KindTable::new());
    let mut begun = None;
    for part in parts {
        let part = part?;
        let wrong = |what: &str| Error::Unreadable(format!("part {} of a tag table: {what}", part.number));
        match (part.number.checked_sub(1), &begun) {
            (None, None) => {
                let mut reader = Reader::new(&part.body);
                let read = Producers::read(&mut reader).filter(|_| reader.is_empty());
                begun = Some(read.ok_or_else(|| wrong("what came of changes can't be read"))?);
            }
            (Some(index), Some(_)) if index << BLOCK_BITS == table.rows() => {
                let (rows, run) = packed::unpack(&part.body).map_err(wrong)?;
                table.replace_block(index as usize, &run, rows, &kinds, FIRST).map_err(wrong)?;
            }
            _ => return Err(wrong("it is not the next one").into()),
        }
    }
    let (next, producers) = begun.ok_or_else(|| Error::Unreadable("a tag table without parts".to_owned()))?;
    if table.rows() != next {
        let what = format!("a tag table's parts have {} ordinals, and it should have {next}", table.rows());
        return Err(Error::Unreadable(what).into());
    }
    table.begin_run();
    kinds.show(table.rows());
    let core = opening::assemble(world, settings, log, table, kinds, checkpoints, (FIRST, 0));
    if let Some(point) = point {
        let kept = Kept { epoch: Epoch(0), point: Some(point), next, producers };
        drop(core.led.set(Led::new(kept, Vec::new())));
    }
    match core.make_checkpoint() {
        Ok(_) | Err(Failure::Cut) => Ok(()),
        Err(Failure::Disk(fault)) if fault.is_full() => Err(Error::DiskFull(fault.to_string()).into()),
        Err(Failure::Disk(fault)) => Err(Error::Open(fault.to_string()).into()),
    }
}
