//! Moments of a tag table, for whoever keeps its log elsewhere: each write tells its time, so the log can be ended at a moment.
//!
//! Times rise in the order of the log. They follow the wall clock, but for one that was set back. A moment is closed when no write
//! can get its time or an earlier one any more.
//! Promises: what `ending` says is found in the log alone, which is only read. May not know where a log is kept, nor samples.

use crate::check::created_end;
use crate::checkpoint::Checkpoints;
use crate::opening::translate;
use crate::record::{Joiner, KIND_CREATE, KIND_DELETE};
use crate::{Catalog, Error};
use log::Position;
use std::path::Path;
use std::sync::Arc;
use world::{Disk, Ticket};

/// Where a log is to end, so that it holds what was changed by a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Where: the first write beyond the moment begins here, or the log ends.
    pub at: Position,
    /// Whether there is such a write.
    pub cuts: bool,
    /// The time of the last write before it; 0 where none tells its time.
    pub last: u64,
}

impl Catalog {
    /// Closes a moment: later writes have later times. The answer comes when the log is synced up to it, with where it ends then.
    ///
    /// # Errors
    /// `Error::Led` of a fleet's table, `Error::Poisoned`.
    #[must_use]
    pub fn close_moment(&self, moment: u64) -> Ticket<Result<Position, Error>> {
        let core = self.core();
        if core.led.get().is_some() {
            return Ticket::ready(Err(Error::Led));
        }
        self.later_than(moment);
        let (promise, ticket) = Ticket::pair();
        core.log.sync(move |synced| promise.keep(synced.map_err(|fault| Error::Poisoned(fault.to_string()))));
        ticket
    }

    /// Gives later writes later times than this: a moment that was closed before this table was opened.
    pub fn later_than(&self, moment: u64) {
        let mut time = self.core().time.lock();
        *time = moment.max(*time);
    }
}

/// Where the log at rest of the table in a directory is to end, so that it holds what was changed up to a moment, and in any
/// case has given so many ordinals.
///
/// # Errors
/// `Error::Open` where it can't be read, `Error::Damaged` where it is not whole.
pub fn ending(disk: &Arc<dyn Disk>, dir: &Path, until: u64, ordinals: u64) -> Result<Ending, Error> {
    let checkpoints = Checkpoints::open(disk, dir)?;
    let (contained, mut given) = (checkpoints.manifest().sequence, checkpoints.manifest().rows);
    let mut records = log::read(disk, &dir.join("log")).map_err(translate)?;
    let mut ending = Ending { at: records.end(), cuts: false, last: 0 };
    let (mut joiner, mut begins) = (Joiner::default(), Position(0));
    for record in &mut records {
        let record = record.map_err(translate)?;
        let at = |what: &str| Error::Damaged(format!("{} at position {}: {what}", dir.join("log").display(), record.position));
        if !joiner.is_open() {
            begins = record.position;
        }
        let joined = joiner.take(record.kind, &record.head, &record.body).map_err(at)?;
        if joiner.begins() {
            begins = record.position;
        }
        let Some(write) = joined else { continue };
        if write.kind > KIND_DELETE {
            return Err(at("a fleet's batch lies in the log of a catalog that is no fleet's"));
        }
        // Whatever the clock was: every sample has its tag.
        if write.time > until && given >= ordinals && write.sequence > contained {
            return Ok(Ending { at: begins, cuts: true, ..ending });
        }
        ending.last = ending.last.max(write.time);
        if write.kind == KIND_CREATE && write.sequence > contained {
            given = given.max(created_end(&write.bytes).ok_or_else(|| at("a creation is malformed"))?);
        }
    }
    Ok(ending)
}
