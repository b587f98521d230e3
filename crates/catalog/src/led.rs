//! A fleet's tag table: the same catalog, driven from outside, by `protocol::tags::Scheduler`.
//!
//! ```text
//!   log, keep_epoch, cut ──> the log, in the order asked           apply, parts ──> one line, in the order asked
//!     batches behind the table, unseen (`state`) ──────────────────> the table, and what came of each change
//! ```
//! Promises: what docs/decisions/0011-tag-changes.md asks of the catalog. A batch is logged unseen; what is applied follows
//! from the table and the batch alone; the table says of which point it is, or that it is of none (torn) until all parts of
//! another were taken, also after a crash. After any failure it refuses everything until it is opened again.
//! What it may not know: what is committed, who leads.

mod apply;
mod batch;
mod outcome;
mod parts;
mod replay;
mod state;

pub use batch::{change as change_body, creation as creation_body, deletion as deletion_body};
pub(crate) use outcome::Producers;
pub use outcome::{Outcome, outcome_bytes, outcome_of};
pub(crate) use replay::Replaying;
pub(crate) use state::{Kept, Led};

use crate::catalog::Catalog;
use crate::core::{Commit, Core};
use crate::{Error, checkpoint_job::Failure, record};
use protocol::tags::{Batch, Part, Point, Recovered};
use state::Step;
use std::sync::Arc;
use types::{Epoch, Origin, Sequence, StoreId};
use world::{Promise, Ticket};

/// The parts of the table that differ from another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// The point of the table.
    pub at: Point,
    /// They.
    pub parts: Vec<Part>,
    /// Whether these are all.
    pub complete: bool,
}

/// A catalog as a scheduler's store.
#[derive(Clone)]
pub struct LedCatalog {
    core: Arc<Core>,
}

impl Catalog {
    /// The catalog as a scheduler's store: from then on, also after a restart, it takes changes from the fleet only.
    ///
    /// # Errors
    /// `Error::Own` where a process alone has filled it, `Error::Closed`, `Error::Poisoned`, `Error::DiskFull`.
    pub fn lead(&self) -> Result<LedCatalog, Error> {
        let core = self.core();
        let mut commit = core.commit.lock();
        if core.led.get().is_none() {
            let fresh = commit.sequence == 0 && !commit.busy && commit.queue.is_empty();
            if commit.closed {
                return Err(Error::Closed);
            }
            fresh.then_some(()).ok_or(Error::Own)?;
            let position = core.log.first().0;
            commit.position = position;
            drop(core.led.set(Led::new(Kept::default(), Vec::new())));
            drop(commit);
            // Its own changes are refused from now on; the manifest says so before it is of use.
            core.make_checkpoint().map(drop).or_else(|failure| core.checkpoint_failed(failure))?;
        }
        Ok(LedCatalog { core: Arc::clone(core) })
    }
}

impl Core {
    fn led(&self) -> &Led {
        self.led.get().expect("only a led catalog is asked so")
    }

    /// Refuses everything from now on.
    fn checkpoint_failed(&self, failure: Failure) -> Result<(), Error> {
        match failure {
            // Cut again with the next one.
            Failure::Cut => Ok(()),
            Failure::Disk(error) if error.is_full() => {
                self.poison(&error);
                Err(Error::DiskFull(error.to_string()))
            }
            Failure::Disk(error) => Err(self.poison(&error)),
        }
    }
}

impl LedCatalog {
    /// What the store is called in the fleet: another one where the directory was made anew.
    #[must_use]
    pub fn store(&self) -> StoreId {
        StoreId(self.core.log.id().into())
    }

    /// What a scheduler begins with.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.core.led().recovered()
    }

    /// The point of the table; none while it is torn.
    #[must_use]
    pub fn point(&self) -> Option<Point> {
        self.core.led().point()
    }

    /// What came of a change that was applied, as long as its producer asked for no later one.
    #[must_use]
    pub fn outcome(&self, origin: Origin) -> Option<Outcome> {
        self.core.led().producers.lock().outcome(origin)
    }

    /// Makes the highest epoch seen durable.
    pub fn keep_epoch(&self, epoch: Epoch) -> Ticket<Result<Epoch, Error>> {
        self.step(epoch, |led| {
            led.state.lock().keep_epoch(epoch);
            vec![Step::note(record::KIND_EPOCH, epoch.0)]
        })
    }

    /// Appends batches to the log, unseen; answers with the last one's point once they are durable.
    pub fn log(&self, batches: Vec<Batch>) -> Ticket<Result<Point, Error>> {
        let Some(last) = batches.last().map(|batch| batch.point) else {
            return Ticket::ready(Ok(self.core.led().tail()));
        };
        let steps: Vec<Step> = batches.iter().map(|batch| Step::batch(batch, self.core.part_bytes())).collect();
        self.step(last, |led| {
            led.state.lock().log(batches);
            steps
        })
    }

    /// Ends the log at a batch, durably. What is applied stays.
    pub fn cut(&self, to: Point) -> Ticket<Result<Point, Error>> {
        self.step(to, |led| {
            led.state.lock().cut(to.sequence);
            vec![Step::note(record::KIND_END, to.sequence.0)]
        })
    }

    /// Applies the logged batches up to this one, all of them durable, and shows them.
    pub fn apply(&self, up_to: Sequence) -> Ticket<Result<Sequence, Error>> {
        self.in_line(move |core| {
            core.apply_up_to(up_to);
            core.append_note(record::KIND_APPLIED, up_to.0);
            core.checkpoint_if_due();
            Ok(up_to)
        })
    }

    /// The hashes of the table's parts: equal ones mean equal parts.
    pub fn hash_parts(&self) -> Ticket<Result<Vec<u128>, Error>> {
        self.in_line(|core| Ok(core.part_hashes()))
    }

    /// The parts that differ from these hashes, in rising order, as many as so many bytes hold, but one at least.
    pub fn read_parts(&self, hashes: Vec<u128>, bytes_max: usize) -> Ticket<Result<Differing, Error>> {
        self.in_line(move |core| Ok(core.differing(&hashes, bytes_max)))
    }

    /// Replaces parts by those of another table, durably; where they are not all that differed the table is torn. The log
    /// is empty behind it. Answers with the table's point.
    pub fn take_parts(&self, at: Point, parts: Vec<Part>, complete: bool) -> Ticket<Result<Option<Point>, Error>> {
        let (promise, ticket) = Ticket::pair();
        let core = Arc::clone(&self.core);
        let end = core.led().appending.lock();
        let to = core.led().state.lock().empty();
        let step = vec![Step::note(record::KIND_END, to.0)];
        let then = Arc::clone(&core);
        // What the log says before this end is void once the checkpoint is made that begins with it.
        core.append_steps(step, move |ended| match ended {
            Ok(position) => {
                let take = move |core: &Arc<Core>| promise.keep(core.take_parts(at, &parts, complete, position));
                then.stand_in_line(Box::new(take));
            }
            Err(error) => promise.keep(Err(error)),
        });
        drop(end);
        ticket
    }

    /// A step that is done once the log has it.
    fn step<T: Send + 'static>(&self, answer: T, take: impl FnOnce(&Led) -> Vec<Step>) -> Ticket<Result<T, Error>> {
        let (promise, ticket) = Ticket::pair();
        let led = self.core.led();
        // Held over both, so that what is known in memory is in the log's order.
        let appending = led.appending.lock();
        if let Some(error) = self.core.refusal() {
            drop(appending);
            promise.keep(Err(error));
            return ticket;
        }
        let steps = take(led);
        self.core.append_steps(steps, move |logged| promise.keep(logged.map(|_| answer)));
        drop(appending);
        ticket
    }

    /// Something that is done to the table, after all that was asked before.
    fn in_line<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Core>) -> Result<T, Error> + Send + 'static,
    ) -> Ticket<Result<T, Error>> {
        let (promise, ticket): (Promise<Result<T, Error>>, _) = Ticket::pair();
        self.core.stand_in_line(Box::new(move |core| {
            promise.keep(match core.refusal() {
                Some(error) => Err(error),
                None => work(core),
            });
        }));
        ticket
    }
}

impl Core {
    fn refusal(&self) -> Option<Error> {
        let Commit { closed, poison, .. } = &*self.commit.lock();
        if *closed { Some(Error::Closed) } else { poison.clone() }
    }
}
