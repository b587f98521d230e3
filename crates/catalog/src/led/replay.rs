//! A led catalog's log, read at opening.
//!
//! Promises: the batches behind the table are those that were logged and neither cut nor made void, in order; the highest
//! epoch is known. A batch that does not follow the one before it was never answered, and is passed over: what was refused
//! before it is missing. What it may not know: the table.

use super::batch;
use super::state::{Kept, Led, Logged};
use crate::record::{self, Write};
use types::{Epoch, Sequence};

/// What was read so far.
pub struct Replaying {
    kept: Kept,
    batches: Vec<Logged>,
    applied: Sequence,
}

impl Replaying {
    pub fn new(kept: Kept) -> Replaying {
        Replaying { kept, batches: Vec::new(), applied: Sequence(0) }
    }

    /// Takes the next write; `at` is where its last record begins.
    pub fn take(&mut self, write: Write, at: u64) -> Result<(), &'static str> {
        let sequence = Sequence(write.sequence);
        match write.kind {
            record::KIND_EPOCH => self.kept.epoch = self.kept.epoch.max(Epoch(write.sequence)),
            record::KIND_END => self.batches.retain(|logged| logged.batch.point.sequence <= sequence),
            record::KIND_APPLIED => self.applied = self.applied.max(sequence),
            record::KIND_BATCH => {
                let read = batch::read(write.sequence, &write.bytes.into()).ok_or("a batch of changes is malformed")?;
                let Some(point) = self.kept.point else { return Ok(()) };
                let tail = self.batches.last().map_or(point, |logged| logged.batch.point);
                if read.prev == tail {
                    self.batches.push(Logged { batch: read, at: Some(at) });
                }
            }
            _ => return Err("a process alone wrote to a fleet's table"),
        }
        Ok(())
    }

    /// The state, and up to where it was applied before.
    pub fn finish(self) -> (Led, Sequence) {
        (Led::new(self.kept, self.batches), self.applied)
    }

    /// What is known without the table.
    pub fn into_kept(self) -> Kept {
        self.kept
    }
}
