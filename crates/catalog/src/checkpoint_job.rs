//! The checkpoint as a job: writes what changed since the last one, publishes it, and cuts the log.
//!
//! What it promises: at most one runs; it holds the table's lock for a block at a time; a full disk
//! costs nothing but a longer log; any other failure ends changes until the catalog is opened again.
//! What it may not know: what waits in the queue (it only wakes it).

use crate::Error;
use crate::block::{BLOCK_BITS, BLOCK_ROWS, Block};
use crate::checkpoint::{Checkpoints, TagsFile};
use crate::core::Core;
use crate::led::Kept;
use crate::manifest::{BlockPlace, Manifest};
use crate::row::RowWriter;
use log::Position;
use std::sync::Arc;
use world::{DiskError, Lane};

/// The table at a moment: what a checkpoint will hold.
struct Moment {
    sequence: u64,
    position: u64,
    rows: u64,
    changed: Vec<(usize, Arc<Block>)>,
    led: Option<Kept>,
}

/// Why a checkpoint was not made.
pub enum Failure {
    /// The disk failed.
    Disk(DiskError),
    /// The log could not be cut: the next checkpoint cuts again.
    Cut,
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Failure {
        Failure::Disk(error)
    }
}

impl Core {
    /// Submits the job where the log has grown enough since the last one.
    pub fn checkpoint_if_due(self: &Arc<Self>) {
        let mut commit = self.commit.lock();
        let grown = commit.position.saturating_sub(commit.checkpoint_position);
        if commit.checkpointing || commit.poison.is_some() || grown <= self.settings.checkpoint_bytes {
            return;
        }
        commit.checkpointing = true;
        drop(commit);
        let core = Arc::clone(self);
        self.world.runner.submit(Lane::Merge, Box::new(move || core.checkpoint()));
    }

    /// Makes a checkpoint. `checkpointing` was set by the caller.
    pub fn checkpoint(self: &Arc<Self>) {
        let made = self.make_checkpoint();
        let mut commit = self.commit.lock();
        commit.checkpointing = false;
        match made {
            Ok(position) => {
                commit.checkpoint_position = position;
                commit.checkpoint_full = None;
            }
            Err(Failure::Disk(error)) if error.is_full() => {
                commit.checkpoint_full = Some(Error::DiskFull(error.to_string()));
            }
            Err(Failure::Cut) => {}
            Err(Failure::Disk(error)) => {
                commit.poison.get_or_insert(Error::Poisoned(error.to_string()));
            }
        }
        // Writes may have waited for the log to become shorter.
        let wake = !commit.queue.is_empty() && !std::mem::replace(&mut commit.busy, true);
        drop(commit);
        if wake {
            self.advance();
        }
    }

    /// Writes a checkpoint and cuts the log; gives the position up to which it is contained.
    pub fn make_checkpoint(&self) -> Result<u64, Failure> {
        let mut checkpoints = self.checkpoints.lock();
        let moment = self.moment(&checkpoints)?;
        let mut manifest = checkpoints.manifest().clone();
        manifest.sequence = moment.sequence;
        manifest.position = moment.position;
        manifest.rows = moment.rows;
        manifest.led.clone_from(&moment.led);
        manifest.blocks.resize((moment.rows as usize).div_ceil(BLOCK_ROWS), BlockPlace { file: 0, offset: 0, bytes: 0 });
        if !moment.changed.is_empty() {
            let mut file = checkpoints.begin()?;
            let written = self.write_blocks(&moment, &mut file, &mut manifest);
            if let Err(error) = written {
                // On a full disk the half of a file goes at once; else at the next opening.
                if error.is_full() {
                    checkpoints.discard(file)?;
                }
                return Err(error.into());
            }
        }
        let position = moment.position;
        drop(moment);
        checkpoints.publish(manifest)?;
        self.log.cut(Position(position)).map_err(|_| Failure::Cut)?;
        Ok(position)
    }

    /// What changed since the last checkpoint, and what lies in files that are mostly waste.
    fn moment(&self, checkpoints: &Checkpoints) -> Result<Moment, DiskError> {
        let before: &Manifest = checkpoints.manifest();
        let (mut moment, blocks) = {
            let led = self.led.get();
            // A fleet's table changes in many steps: this is a moment between batches.
            let _gate = led.map(|led| led.gate.lock());
            let table = self.table.read();
            let rows = self.kinds.visible();
            let blocks = table.blocks()[..(rows as usize).div_ceil(BLOCK_ROWS)].to_vec();
            let changed = blocks.iter().zip(table.written()).enumerate();
            let changed = changed.filter(|(_, (_, number))| **number > before.sequence);
            let changed = changed.map(|(index, (block, _))| (index, Arc::clone(block))).collect();
            let led = led.map(|led| led.kept(rows));
            let commit = self.commit.lock();
            (Moment { sequence: commit.sequence, position: commit.position, rows, changed, led }, blocks)
        };
        let stays = |index| moment.changed.binary_search_by_key(&index, |(index, _)| *index).is_err();
        let wasteful = checkpoints.wasteful(stays)?;
        moment.changed.extend(wasteful.into_iter().map(|index| (index, Arc::clone(&blocks[index]))));
        moment.changed.sort_unstable_by_key(|(index, _)| *index);
        Ok(moment)
    }

    fn write_blocks(&self, moment: &Moment, file: &mut TagsFile, manifest: &mut Manifest) -> Result<(), DiskError> {
        for (index, block) in &moment.changed {
            let first = (*index as u64) << BLOCK_BITS;
            let rows = (moment.rows - first).min(BLOCK_ROWS as u64) as usize;
            let mut run = RowWriter::with_capacity(rows * 64);
            self.table.read().write_rows(block, first, rows, &self.kinds, &mut run);
            manifest.blocks[*index] = file.append(&run.out, rows)?;
        }
        file.sync()
    }
}
