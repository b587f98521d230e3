//! One replica of one slice, as a state machine: (now, event) in, actions out (paper 4.3, 4.4).
//!
//! ```text
//!            ┌────────── entry names me, epoch persisted ──────────┐
//!   following ── promise lapsed: swap in the next epoch ──> entry  ▼
//!       ▲                                                      starting ── longest tail fetched ──> primary
//!       └──────────────────────────── a higher epoch is seen ──────┴──────────────────────────────────┘
//! ```
//! States, and which file moves them:
//! - `epoch`, `held`, `adopt` (`epochs`): the highest epoch persisted; one being persisted, with the messages
//!   that wait for it; whether this process is to run it;
//! - `log` (`log_view`): what the store was told to log, what is synced, stable, published, flushed;
//! - `meta` (`meta_side`): the entry as last known, and a swap that is in doubt;
//! - `promise` (`following`): until when no other primary may count on this member's silence;
//! - `busy` (`following`): the store sets records aside, or takes files; no records are taken meanwhile;
//! - `starting` (`starting`), `primary` (`primary`, `peer`, `members`, `answers`): at most one of them is there;
//! - `reads` (`reads`): snapshots on their way.
//!
//! Promises, as long as the shell keeps its own (`event`), whatever the network, meta and clocks' walls do:
//! one primary an epoch; a stable record is in every later primary's log; an answer is given only for what
//! its mode promises; a read under `Consistency::Primary` shows all that was acknowledged before it began.
//! It may not know disks, networks, clocks, nor what a record means.

mod answers;
mod epochs;
mod following;
mod log_view;
mod members;
mod meta_side;
mod peer;
mod primary;
mod reads;
mod starting;

use crate::event::{Action, Event, Recovered};
use crate::meta_view::MetaView;
use crate::{History, Message, Moment, Producers, ReplicaId, RequestId, Run, Settings};
use epochs::Held;
use following::{Busy, Following, Promise};
use log_view::LogView;
use primary::Primary;
use reads::{Freshness, PendingRead};
use starting::Starting;
use std::collections::BTreeMap;
use types::{Epoch, Version};

/// A replica.
#[derive(Debug)]
pub struct Replica {
    me: ReplicaId,
    run: Run,
    settings: Settings,
    epoch: Epoch,
    held: Option<Held>,
    adopt: Option<Epoch>,
    log: LogView,
    producers: Producers,
    meta: MetaView<crate::SliceEntry>,
    promise: Promise,
    busy: Busy,
    following: Following,
    starting: Option<Starting>,
    primary: Option<Primary>,
    reads: BTreeMap<RequestId, PendingRead>,
    freshness: Freshness,
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
}

impl Replica {
    /// A replica as its store kept it. It asks for its entry at the first step.
    #[must_use]
    pub fn open(me: ReplicaId, run: Run, settings: Settings, recovered: Recovered, now: Moment) -> Replica {
        let producers = Producers::new(&recovered.producers, settings.producers_max);
        // What an earlier process of this store promised is not known any more, so it is kept in full.
        let promise = Promise { epoch: recovered.epoch, until: now.after(settings.promise_us) };
        Replica {
            me,
            run,
            epoch: recovered.epoch,
            held: None,
            adopt: None,
            log: LogView::new(recovered),
            producers,
            meta: MetaView::default(),
            promise,
            busy: Busy::No,
            following: Following::default(),
            starting: None,
            primary: None,
            reads: BTreeMap::new(),
            freshness: Freshness::default(),
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
            Event::Entry { entry, revision, seen } => self.entry(step, entry, revision, seen),
            Event::Swapped { expect, outcome } => self.swapped(step, expect, outcome),
            Event::Message { from, message } => self.message(step, from, message),
            Event::Write { request, origin, digest, body } => self.write(step, request, origin, digest, body),
            Event::Read { request, consistency } => self.read(step, request, consistency),
            Event::Snapshotted { request, at } => self.snapshotted(step, request, at),
            Event::EpochPersisted(epoch) => self.epoch_persisted(step, epoch),
            Event::Logged(version) => self.logged(step, version),
            Event::LogRead { reader, after, records } => self.log_read(step, reader, after, records),
            Event::SetAside { at, producers } => self.set_aside_done(step, at, &producers),
            Event::Flushed { flushed, log_after } => self.log.flush(flushed, log_after),
            Event::Pinned { peer, offer } => self.pinned(step, peer, offer),
            Event::PinLost { peer } => self.pin_lost(peer),
            Event::FilesTaken { history, producers } => self.files_taken(step, history, &producers),
            Event::FilesRefused => self.files_refused(step),
            Event::HandOver { to } => self.hand_over(step, to),
            Event::Closed => return self.close(step),
        }
        self.settle(step);
    }

    /// What follows from the state, whatever brought it about.
    fn settle(&mut self, step: &mut Step<'_>) {
        self.settle_meta(step);
        self.settle_adoption(step);
        self.settle_starting(step);
        self.settle_primary(step);
        self.settle_following(step);
    }

    /// When, after this moment, the machine wants the next `Event::Tick`.
    #[must_use]
    pub fn wakes_at(&self, now: Moment) -> Moment {
        if self.closed {
            return Moment::NEVER;
        }
        let role = match (&self.primary, &self.starting) {
            (Some(primary), _) if now < self.promise.until => primary.beat_at.min(self.promise.until),
            (Some(primary), _) => primary.beat_at,
            (_, Some(_)) if self.busy != Busy::No => Moment::NEVER,
            (_, Some(starting)) => starting.wakes_at(),
            _ => self.seeks_at(),
        };
        // Nothing is published while it starts, or while the store changes the log.
        let publishes = if self.starting.is_none() && self.busy == Busy::No { self.log.publishes_at } else { None };
        role.min(self.meta.wakes_at()).min(publishes.map_or(Moment::NEVER, |due| due.max(now)))
    }

    /// The highest epoch that it has seen and persisted.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether it runs its epoch. It may yet wait for older leases to end before it answers.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.primary.is_some()
    }

    /// The writes that its log holds.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.log.history
    }

    /// The newest write that readers see here.
    #[must_use]
    pub fn published(&self) -> Version {
        self.log.published
    }

    /// The newest write that it knows every member to have.
    #[must_use]
    pub fn stable(&self) -> Version {
        self.log.stable
    }

    /// The entry as last known, if any.
    #[must_use]
    pub fn known(&self) -> Option<&crate::SliceEntry> {
        self.meta.known.as_ref().map(|known| &known.entry)
    }

    /// Stops for good: the store failed, or the process ends. Members need not wait for the lease to end.
    fn close(&mut self, step: &mut Step<'_>) {
        if self.primary.is_some() {
            let epoch = self.epoch;
            let members: Vec<ReplicaId> = self.meta.members().iter().copied().filter(|id| *id != self.me).collect();
            self.step_down(step);
            for to in members {
                step.send(to, Message::Release { epoch });
            }
        }
        self.closed = true;
    }
}
