//! One replica: a task that owns the machine, and carries out what it wants.
//!
//! ```text
//!   own inputs (store, meta)   never lost, as many as were asked for
//!   inputs from outside        bounded; what finds no room is lost, or refused as busy
//! ```
//! Promises: actions are carried out in their order; a failure of the store ends the replica, and the node is told. What
//! waits for an answer when it ends hears that it stopped. May not know the network, nor meta's ways.

use super::copying;
use super::messages::Parcel;
use super::node::Input;
use super::node::{Asked, Looked, Shared};
use super::refused::Refused;
use super::reign::Reign;
use crate::fleet::entries;
use crate::kinds::KindSource;
use crate::tickets::{answered, pass_on};
use crc_fast::CrcAlgorithm;
use kernel::{Draft, LedSlice, Snapshot};
use meta::{Is, Swap};
use protocol::{Action, Answer, Event, Message, Moment, Replica, ReplicaId, RequestId, SliceEntry, Swapped};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use types::{Epoch, Origin, Revision, SliceId, Version};
use world::{Abandoned, Ticket};

/// How long after a pin that could not be had the machine is told, which then asks again.
const NO_PIN: Duration = Duration::from_secs(1);
/// The most writes that wait before the gate.
const BEFORE_GATE_MAX: usize = 16_384;
/// The longest that a task sleeps: the machine may want nothing for ever.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

/// Who waits for an answer.
enum Waiting {
    Write(oneshot::Sender<Result<Version, Refused>>),
    Read(oneshot::Sender<Result<(Version, Snapshot), Refused>>, Option<Snapshot>),
}

/// A write that has no place yet.
struct Writing {
    origin: Option<Origin>,
    draft: Draft,
    answer: oneshot::Sender<Result<Version, Refused>>,
}

/// The task's state.
pub(super) struct Actor {
    shared: Arc<Shared>,
    slice: SliceId,
    me: ReplicaId,
    machine: Replica,
    led: LedSlice,
    waiting: HashMap<RequestId, Waiting>,
    requests: u64,
    own: mpsc::UnboundedSender<Input>,
    reign: Arc<Reign>,
    /// Writes that wait before the gate, in order.
    before_gate: VecDeque<Writing>,
    /// Why it ends.
    ended: Option<Ended>,
}

/// How a replica ends.
pub(super) enum Ended {
    /// The entry does not name it any more, and its data are deleted.
    Deleted,
    /// The store failed: it must be opened again.
    Failed(String),
}

/// Waits, at least until other tasks had their turn: a timer's shortest wait is a thousandth of a second.
async fn slept(wait: Duration) {
    if wait.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(wait.min(SLEEP_MAX)).await;
    }
}

impl Actor {
    pub(super) fn new(shared: &Arc<Shared>, led: LedSlice, own: mpsc::UnboundedSender<Input>, reign: Arc<Reign>) -> Actor {
        let (me, slice) = (shared.me, led.id());
        let machine = Replica::open(me, shared.run, shared.settings.protocol.clone(), led.recovered(), shared.now());
        let (waiting, requests) = (HashMap::new(), 0);
        Actor {
            shared: Arc::clone(shared),
            slice,
            me,
            machine,
            led,
            waiting,
            requests,
            own,
            reign,
            before_gate: VecDeque::new(),
            ended: None,
        }
    }

    /// Runs until the replica ends, or the node does: what its store does for it is then over.
    pub(super) async fn run(
        mut self,
        mut own: mpsc::UnboundedReceiver<Input>,
        mut outside: mpsc::Receiver<Input>,
        stopping: &mut watch::Receiver<()>,
    ) -> Option<Ended> {
        self.step(Event::Tick);
        while self.ended.is_none() {
            let wakes = self.machine.wakes_at(self.shared.now());
            let wait = if wakes == Moment::NEVER { SLEEP_MAX } else { Duration::from_micros(wakes.since(self.shared.now())) };
            let input = tokio::select! {
                biased;
                Some(input) = own.recv() => input,
                // Told, or its sender is gone.
                _ = stopping.changed() => break,
                Some(input) = outside.recv() => input,
                () = slept(wait) => Input::Event(Event::Tick),
            };
            self.take(input).await;
        }
        self.reign.tell(false, None);
        self.ended
    }

    async fn take(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.step(event),
            Input::Message(from, message) => self.step(Event::Message { from, message }),
            Input::Entry { entry, revision, seen } => {
                self.step(Event::Entry { entry: entry.clone(), revision, seen });
                // Every read of meta is linearizable, so a newest entry that does not name this replica is the truth.
                let gone = self.machine.known().is_some_and(|known| *known == entry && !known.has(self.me));
                if gone && self.ended.is_none() {
                    self.delete(&entry).await;
                }
            }
            Input::Asked(Asked::Write { origin, draft, answer }) => self.write(Writing { origin, draft, answer }),
            Input::Opened => std::mem::take(&mut self.before_gate).into_iter().for_each(|writing| self.write(writing)),
            Input::Asked(Asked::Read { consistency, answer }) => {
                let request = self.request(Waiting::Read(answer, None));
                self.step(Event::Read { request, consistency });
            }
            Input::Asked(Asked::HandOver { to }) => self.step(Event::HandOver { to }),
            Input::Asked(Asked::Look { answer }) => {
                let (leads, entry) = (self.machine.is_primary(), self.machine.known().cloned());
                let (history, published) = (self.machine.history().clone(), self.machine.published());
                let lacks_members = self.machine.lacks_members(self.shared.now());
                drop(answer.send(Looked { leads, lacks_members, entry, history, published }));
            }
            Input::Failed(fault) => self.fail(fault),
        }
    }

    /// Gives a write its place, unless the gate before it is closed.
    fn write(&mut self, writing: Writing) {
        let shared = Arc::clone(&self.shared);
        let passes = if self.before_gate.is_empty() { shared.gate.pass() } else { None };
        if passes.is_none() {
            match self.before_gate.len() {
                BEFORE_GATE_MAX => drop(writing.answer.send(Err(Refused::Busy))),
                _ => self.before_gate.push_back(writing),
            }
            return;
        }
        let Writing { origin, draft, answer } = writing;
        let request = self.request(Waiting::Write(answer));
        // What the record brings is decided on where it has its place, and nowhere else: what is refused, or a
        // repetition, is not.
        let place = self.machine.place_of(origin);
        let body = place.map(|(after, version)| self.led.decide(draft, after, version)).unwrap_or_default();
        let digest = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &body);
        self.step(Event::Write { request, origin, digest, body });
    }

    fn request(&mut self, waiting: Waiting) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.waiting.insert(request, waiting);
        request
    }

    fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.machine.step(self.shared.now(), event, &mut actions);
        // Before anybody hears of it: a reign that is given up is not read under any longer.
        self.reign.tell(self.machine.is_primary(), self.machine.reads_until(self.shared.now()));
        for action in actions {
            self.carry_out(action);
        }
    }

    fn fail(&mut self, fault: String) {
        if self.ended.is_none() {
            tracing::error!(slice = %self.slice, fault, "a replica's store failed; open the node again");
            self.machine.step(self.shared.now(), Event::Closed, &mut Vec::new());
            self.reign.tell(false, None);
            self.ended = Some(Ended::Failed(fault));
        }
    }

    async fn delete(&mut self, entry: &SliceEntry) {
        tracing::info!(slice = %self.slice, epoch = %entry.epoch, "the slice lies elsewhere now; its data here are deleted");
        self.reign.turn();
        match answered(self.led.delete(entry.forced)).await {
            Ok(Ok(())) => self.ended = Some(Ended::Deleted),
            Ok(Err(fault)) => self.fail(fault.to_string()),
            Err(Abandoned) => self.fail(Abandoned.to_string()),
        }
    }

    /// Hands the end of something that the store does back to this task.
    fn then<T: Send + 'static>(&self, ticket: Ticket<Result<T, kernel::Error>>, event: impl FnOnce(T) -> Event + Send + 'static) {
        let own = self.own.clone();
        // The task may have ended.
        pass_on(ticket, move |done| drop(own.send(done.map_or_else(Input::Failed, |value| Input::Event(event(value))))));
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::PersistEpoch(epoch) => self.then(self.led.keep_epoch(epoch), Event::EpochPersisted),
            Action::Log(records) => self.then(self.led.log(records), Event::Logged),
            Action::ReadLog { reader, after, records_max, bytes_max } => {
                let records = self.led.read_log(after, records_max, bytes_max);
                self.tell(Input::Event(Event::LogRead { reader, after, records }));
            }
            Action::SetAside { beyond } => {
                self.reign.turn();
                let (slice, node) = (self.slice, self.me.node);
                let records = self.machine.history().last().sequence.0 - beyond.sequence.0;
                self.then(self.led.set_aside(beyond), move |(at, producers)| {
                    tracing::warn!(
                        %slice, %node, after = %at, records,
                        "records that only this replica had are no part of the slice; they lie in set-aside/ of its directory"
                    );
                    Event::SetAside { at, producers }
                });
            }
            Action::Publish(version) => {
                let published = self.led.publish(version);
                self.unless_failed(published);
            }
            Action::Stable(version) => {
                let stable = self.led.stable(version);
                self.unless_failed(stable);
            }
            Action::Pin { peer } => self.pin(peer),
            Action::Unpin { peer } => self.led.unpin(peer),
            Action::TakeFiles { from, offer, departs } => {
                self.reign.turn();
                copying::take(&self.shared, &self.led, &self.own, (from, offer, departs));
            }
            Action::Send { to, message } => self.send(to, &message),
            Action::Answer { request, answer } => self.answer(request, answer),
            Action::Snapshot { request } => {
                // Only this task publishes, so what is published now is in the snapshot, and nothing beyond it.
                let (at, snapshot) = (self.led.published(), self.shared.kernel.snapshot());
                if let Some(Waiting::Read(_, kept)) = self.waiting.get_mut(&request) {
                    *kept = Some(snapshot);
                }
                self.tell(Input::Event(Event::Snapshotted { request, at }));
            }
            Action::Swap { expect, next } => self.swap(expect, &next),
            Action::ReadMeta { seen } => self.read_meta(seen),
            Action::Began { epoch, after } => {
                tracing::info!(slice = %self.slice, %epoch, %after, node = %self.me.node, "begins to lead the slice");
            }
            Action::MetaIsOld { entry, seen } => tracing::error!(
                slice = %self.slice, %entry, %seen,
                "meta is older than what this replica saw: it was brought back from a copy; the replica waits for an operator"
            ),
        }
    }

    /// Hands something to this task, behind what is already there.
    fn tell(&self, input: Input) {
        drop(self.own.send(input));
    }

    fn pin(&self, peer: ReplicaId) {
        let (slice, own, runtime) = (self.slice, self.own.clone(), self.shared.runtime.clone());
        self.led.pin(peer).on_done(move |done| match done {
            Ok(Ok(pinned)) => drop(own.send(Input::Event(Event::Pinned { peer, offer: pinned.offer }))),
            Ok(Err(kernel::Error::Led { what, .. })) => {
                tracing::warn!(%slice, what, "the slice's files can't be offered to a replica now");
                runtime.spawn(async move {
                    tokio::time::sleep(NO_PIN).await;
                    drop(own.send(Input::Event(Event::PinLost { peer })));
                });
            }
            Ok(Err(fault)) => drop(own.send(Input::Failed(fault.to_string()))),
            Err(Abandoned) => drop(own.send(Input::Failed(Abandoned.to_string()))),
        });
    }

    fn unless_failed(&mut self, done: Result<(), kernel::Error>) {
        if let Err(fault) = done {
            self.fail(fault.to_string());
        }
    }

    fn send(&self, to: ReplicaId, message: &Message) {
        // Read after the records were logged, so all their tags are below.
        let kinds_end = self.shared.keeper.book().end();
        self.shared.links.send(to.node, Parcel::new(self.slice, self.me, to, message, kinds_end));
    }

    fn answer(&mut self, request: RequestId, answer: Answer) {
        // Whoever asked may have gone; that is no matter.
        match (self.waiting.remove(&request), answer) {
            (Some(Waiting::Write(waits)), Answer::Written { version }) => drop(waits.send(Ok(version))),
            (Some(Waiting::Read(waits, Some(snapshot))), Answer::Readable { at }) => drop(waits.send(Ok((at, snapshot)))),
            (Some(Waiting::Write(waits)), Answer::Refused(refusal)) => drop(waits.send(Err(refusal.into()))),
            (Some(Waiting::Read(waits, _)), Answer::Refused(refusal)) => drop(waits.send(Err(refusal.into()))),
            (None, _) => {}
            (Some(_), answer) => self.fail(format!("a request was answered with {answer:?}, which was not asked")),
        }
    }

    fn swap(&self, expect: Revision, next: &SliceEntry) {
        let key = entries::slice_key(self.slice);
        let swap = Swap::new().when(&key, Is::Modified(expect)).put(&key, entries::slice_value(next));
        let (ticket, own) = (self.shared.meta.swap(swap), self.own.clone());
        ticket.on_done(move |done| {
            let conflict = |found: Vec<Option<meta::Entry>>| {
                let found = found.into_iter().next().flatten()?;
                Some(Swapped::Conflict { entry: entries::slice_entry(&found.value)?, revision: found.modified })
            };
            // What was not made may be sent again as what is in doubt may.
            let outcome = match done {
                Ok(Ok(meta::Swapped::Done { revision })) => Swapped::Done(revision),
                Ok(Ok(meta::Swapped::Conflict { found, .. })) => conflict(found).unwrap_or(Swapped::InDoubt),
                Ok(Err(_)) | Err(Abandoned) => Swapped::InDoubt,
            };
            drop(own.send(Input::Event(Event::Swapped { expect, outcome })));
        });
    }

    fn read_meta(&self, seen: Epoch) {
        let (ticket, own) = (self.shared.meta.get(&[entries::slice_key(self.slice)]), self.own.clone());
        ticket.on_done(move |done| {
            // Meta away: the machine asks again by itself.
            let Ok(Ok(found)) = done else { return };
            let Some(found) = found.entries.into_iter().next().flatten() else { return };
            if let Some(entry) = entries::slice_entry(&found.value) {
                drop(own.send(Input::Entry { entry, revision: found.modified, seen: Some(seen) }));
            }
        });
    }
}
