//! Changes of the tag table: one scheduler as a state machine, (now, event) in, actions out (paper 1.2, 4.2).
//!
//! ```text
//!   client ──> leader: batch, chained by hash ──> schedulers log it, unseen ──> more than half have it
//!          <── each Normal scheduler has applied it <── ONE SWAP in meta: what is committed, and who holds it
//! ```
//! States, and which file moves them:
//! - `epoch`, `held`, `adopt` (`epochs`): the highest epoch persisted; one being persisted; whether this process runs it;
//! - `chain` (`chain`), `committed`: the batches, and how far they are known to be true;
//! - `meta` (`meta_side`): the entry as last known, and a swap in doubt;
//! - `promise`, `following` (`following`): until when no other may lead; how far the chain is the leader's;
//! - `table` (`parts`): whether the table is whole, or being replaced part by part from the leader's;
//! - `leading` (`leading`, `peer`, `commit`): there while this scheduler leads;
//! - `reads` (`reads`): snapshots on their way, and the lease that they need.
//!
//! Promises, as long as the shell keeps its own (`event`), whatever the network, meta and clocks' walls do: two histories
//! are never both true; what was answered is in the table of every scheduler that answers reads, for ever; nothing that
//! was prepared is dropped before meta showed it lost; a change is applied once, however often it is asked for.
//! It may not know disks, networks, clocks, nor what a change says.

mod chain;
mod commit;
mod entry;
mod epochs;
mod event;
mod following;
mod leading;
mod message;
mod meta_side;
mod parts;
mod peer;
mod reads;
mod words;

pub use entry::{TagEntry, TagEntryError};
pub use event::{Action, Answer, Event, Part, Recovered, Refusal, Swapped};
pub use message::{Head, Lease, Message, Report};
pub use words::{Batch, ChainHash, Change, Point, hash_bytes};

use crate::meta_view::MetaView;
use crate::{Moment, ReplicaId, Run, Settings};
use chain::Chain;
use epochs::Held;
use following::{Following, Promise};
use leading::Leading;
use parts::{PartsRead, Table};
use reads::Reads;
use types::{Epoch, Sequence};

/// A scheduler.
#[derive(Debug)]
pub struct Scheduler {
    me: ReplicaId,
    run: Run,
    settings: Settings,
    epoch: Epoch,
    held: Option<Held>,
    adopt: Option<Epoch>,
    chain: Chain,
    committed: Point,
    cutting: bool,
    table: Table,
    /// The comparison of parts that is under way.
    asked: Option<Moment>,
    meta: MetaView<TagEntry>,
    promise: Promise,
    following: Following,
    leading: Option<Leading>,
    reads: Reads,
    closed: bool,
}

/// A step: when it is, and what comes out of it.
pub(crate) struct Step<'a> {
    pub(crate) now: Moment,
    pub(crate) out: &'a mut Vec<Action>,
}

impl Step<'_> {
    fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    fn send(&mut self, to: ReplicaId, message: Message) {
        self.out.push(Action::Send { to, message });
    }

    fn refuse(&mut self, request: crate::RequestId, refusal: Refusal) {
        self.out.push(Action::Answer { request, answer: Answer::Refused(refusal) });
    }
}

impl Scheduler {
    /// A scheduler as its store kept it. It asks for the entry at the first step.
    #[must_use]
    pub fn open(me: ReplicaId, run: Run, settings: Settings, recovered: Recovered, now: Moment) -> Scheduler {
        let Recovered { epoch, table, batches } = recovered;
        let base = table.unwrap_or_default();
        // What an earlier process of this store promised is not known any more, so it is kept in full.
        let promise = Promise { epoch, until: now.after(settings.promise_us) };
        Scheduler {
            me,
            run,
            epoch,
            held: None,
            adopt: None,
            chain: Chain::new(base, batches, settings.planted),
            committed: base,
            cutting: false,
            table: if table.is_some() { Table::Whole } else { Table::Torn { again_at: now } },
            asked: None,
            meta: MetaView::default(),
            promise,
            following: Following::default(),
            leading: None,
            reads: Reads::default(),
            closed: false,
            settings,
        }
    }

    /// Takes an event; what is to be done is added to `out`, in order.
    pub fn step(&mut self, now: Moment, event: Event, out: &mut Vec<Action>) {
        if self.closed {
            return;
        }
        let step = &mut Step { now, out };
        match event {
            Event::Tick => {}
            Event::Entry { entry, revision } => self.entry(step, entry, revision),
            Event::Swapped { expect, outcome } => self.swapped(step, expect, outcome),
            Event::Message { from, message } => self.message(step, from, message),
            Event::Change { request, change } => self.change(step, request, change),
            Event::Read { request } => self.read(step, request),
            Event::Snapshotted { request, at } => self.snapshotted(step, request, at),
            Event::EpochPersisted(epoch) => self.epoch_persisted(step, epoch),
            Event::Logged(point) => self.logged(step, point),
            Event::Cut { at } => self.cut_done(step, at),
            Event::Applied(sequence) => self.applied(step, sequence),
            Event::PartsHashed(hashes) => self.parts_hashed(step, hashes),
            Event::PartsRead { to, asked, at, parts, complete } => {
                self.parts_read(step, to, PartsRead { asked, at, parts, complete });
            }
            Event::PartsTaken { at } => self.parts_taken(step, at),
            Event::Closed => return self.close(step),
        }
        self.settle(step);
    }

    /// What follows from the state, whatever brought it about.
    fn settle(&mut self, step: &mut Step<'_>) {
        self.settle_meta(step);
        self.settle_adoption(step);
        self.settle_committed(step);
        self.settle_leading(step);
        self.settle_following(step);
        self.settle_parts(step);
    }

    /// When, after this moment, the machine wants the next `Event::Tick`.
    #[must_use]
    pub fn wakes_at(&self, now: Moment) -> Moment {
        if self.closed {
            return Moment::NEVER;
        }
        let role = match &self.leading {
            Some(leading) if now < leading.answers_after => leading.beat_at.min(leading.answers_after),
            Some(leading) => leading.beat_at,
            None => self.seeks_at().min(self.asks_for_parts_at()),
        };
        role.min(self.meta.wakes_at())
    }

    /// The highest epoch that it has seen and persisted.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether it leads its epoch.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leading.is_some()
    }

    /// What it knows to be committed and holds.
    #[must_use]
    pub fn committed(&self) -> Point {
        self.committed
    }

    /// The last batch that its table shows.
    #[must_use]
    pub fn shown(&self) -> Sequence {
        self.chain.applied
    }

    /// The entry as last known, if any.
    #[must_use]
    pub fn known(&self) -> Option<&TagEntry> {
        self.meta.known.as_ref().map(|known| &known.entry)
    }

    /// Stops for good: the store failed, or the process ends. Others need not wait for the lease to end.
    fn close(&mut self, step: &mut Step<'_>) {
        self.abdicate(step);
        self.closed = true;
    }
}
