//! Moments of a store, for whoever keeps its log elsewhere: a commit's number is its time, so a log can be ended at a moment.
//!
//! Numbers rise in the order of the log. They follow the wall clock, but for one that was set back. A moment is *closed* when no
//! commit can get its number or a lower one any more: then the log up to a place has all that was committed by then.
//! Promises: what `ending` says is found in the log alone, which is only read. May not know where a log is kept.

use crate::core::Core;
use crate::record::{self, PartKind, RECORD_COMMIT};
use crate::recovery::log_error;
use crate::{Error, Kernel, Settings};
use log::{Hold, Position};
use series::Section;
use std::path::Path;
use std::sync::Arc;
use types::{CommitNumber, Kinds};
use world::{Disk, Ticket, World};

/// A moment that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The moment: later commits have higher numbers.
    pub moment: CommitNumber,
    /// The log has all up to it, and it is synced up to here.
    pub log_to: Position,
}

/// Where a log is to end, so that it holds what was committed by a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Where: the first record beyond the moment begins here, or the log ends.
    pub at: Position,
    /// Whether there is such a record.
    pub cuts: bool,
    /// The last commit before it; 0 where there is none.
    pub last: CommitNumber,
    /// As many ordinals must have been given: higher ones have no samples before it.
    pub ordinals: u64,
}

impl Kernel {
    /// As `open`, and holds the whole log from the first moment on, so that none of what is still to be kept elsewhere is cut.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_held(world: World, dir: &Path, settings: Settings, kinds: Arc<dyn Kinds>) -> Result<(Arc<Kernel>, Hold), Error> {
        let core = Core::open(world, dir, settings, kinds, true)?;
        let held = core.held.lock().take();
        let hold = held.unwrap_or_else(|| core.log.hold());
        Ok((Arc::new(Kernel { core }), hold))
    }

    /// Closes the present moment. The answer comes when the log is synced up to it.
    #[must_use]
    pub fn close_moment(&self) -> Ticket<Result<Closed, Error>> {
        let (promise, ticket) = Ticket::pair();
        let moment = self.core.close_now();
        self.core.log.sync(move |synced| {
            promise.keep(match synced {
                Ok(log_to) => Ok(Closed { moment, log_to }),
                Err(fault) => Err(Error::Poisoned(fault.to_string())),
            });
        });
        ticket
    }

    /// Gives later commits higher numbers than this: a moment that was closed before this store was opened.
    pub fn later_than(&self, moment: CommitNumber) {
        let mut order = self.core.order.lock();
        order.over = order.over.max(moment);
    }
}

impl Core {
    /// Closes the present moment.
    pub(crate) fn close_now(&self) -> CommitNumber {
        let mut order = self.order.lock();
        order.over = CommitNumber(self.now_us()).max(order.commit).max(order.over);
        order.over
    }
}

/// Where the log at rest of the store in a directory is to end, so that it holds what was committed up to a moment.
///
/// # Errors
/// `Error::Open` where it can't be read, `Error::Damaged` where it is not whole.
pub fn ending(disk: &Arc<dyn Disk>, dir: &Path, until: CommitNumber) -> Result<Ending, Error> {
    let mut records = log::read(disk, &dir.join("log")).map_err(log_error)?;
    let mut ending = Ending { at: records.end(), cuts: false, last: CommitNumber(0), ordinals: 0 };
    for record in &mut records {
        let record = record.map_err(log_error)?;
        if record.kind != RECORD_COMMIT {
            continue;
        }
        let damaged = |what: String| Error::Damaged(format!("log record at position {}: {what}", record.position));
        let (head, bodies) = record::decode(&record.head, &record.body).map_err(damaged)?;
        if head.commit > until {
            return Ok(Ending { at: record.position, cuts: true, ..ending });
        }
        ending.last = head.commit;
        for (part, bytes) in head.parts.iter().zip(bodies) {
            if part.kind != PartKind::Deletion {
                let section = Section::parse(bytes).map_err(|fault| damaged(fault.to_string()))?;
                let highest = (0..section.rows()).map(|row| section.tag(row).0 + 1).max();
                ending.ordinals = ending.ordinals.max(highest.unwrap_or(0));
            }
        }
    }
    Ok(ending)
}
