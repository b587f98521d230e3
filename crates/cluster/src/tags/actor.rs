//! The task that owns the machine, and carries out what it wants.
//!
//! ```text
//!   own inputs (store, meta)   never lost, as many as were asked for
//!   inputs from outside        bounded, also in bytes; what finds no room is lost, or refused as busy
//! ```
//! Promises: actions are carried out in their order; a failure of the store ends it, and the table is told. What waits for an
//! answer when it ends hears that it stopped; others need not wait for its lease. May not know the network, nor meta's ways.

use super::entry::{entry_key, entry_value, tag_entry};
use super::messages::Parcel;
use super::refused::Refused;
use super::shared::{Shared, Standing};
use crate::tickets::{answered, pass_on};
use bytes::Bytes;
use catalog::Outcome;
use meta::{Is, Range, Swap};
use protocol::tags::{Action, Answer, Change, Event, Message, Scheduler, Swapped, TagEntry};
use protocol::{Moment, ReplicaId, RequestId};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use types::{Origin, Revision, Sequence};
use world::{Abandoned, Ticket};

/// The longest that the task sleeps: the machine may want nothing for ever.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);
/// The most bytes of changes that wait for their answers; more are refused as busy.
const CHANGES_BYTES_MAX: usize = 128 << 20;
/// How long meta that could not be watched is left alone.
const PAUSE: Duration = Duration::from_millis(200);

/// What goes into the task.
pub(super) enum Input {
    Event(Event),
    Message(ReplicaId, Message),
    Change { origin: Origin, body: Bytes, answer: oneshot::Sender<Result<Outcome, Refused>> },
    Read { answer: oneshot::Sender<Result<Sequence, Refused>> },
    Failed(String),
}

/// Who waits for an answer.
enum Waiting {
    Change { origin: Origin, bytes: usize, answer: oneshot::Sender<Result<Outcome, Refused>> },
    Read(oneshot::Sender<Result<Sequence, Refused>>),
}

/// The task's state.
pub(super) struct Actor {
    shared: Arc<Shared>,
    machine: Scheduler,
    waiting: HashMap<RequestId, Waiting>,
    waiting_bytes: usize,
    requests: u64,
    own: mpsc::UnboundedSender<Input>,
    failed: Option<String>,
}

impl Actor {
    pub(super) fn new(shared: &Arc<Shared>, own: mpsc::UnboundedSender<Input>) -> Actor {
        let (recovered, settings) = (shared.led.recovered(), shared.settings.protocol.clone());
        let machine = Scheduler::open(shared.me, shared.run, settings, recovered, shared.now());
        let waiting = HashMap::new();
        Actor { shared: Arc::clone(shared), machine, waiting, waiting_bytes: 0, requests: 0, own, failed: None }
    }

    /// Runs until the store fails, or the sender of `stopping` tells or is dropped.
    pub(super) async fn run(
        mut self,
        mut own: mpsc::UnboundedReceiver<Input>,
        mut outside: mpsc::Receiver<Input>,
        mut stopping: watch::Receiver<()>,
    ) {
        self.step(Event::Tick);
        while self.failed.is_none() {
            let wakes = self.machine.wakes_at(self.shared.now());
            let wait = if wakes == Moment::NEVER { SLEEP_MAX } else { Duration::from_micros(wakes.since(self.shared.now())) };
            let input = tokio::select! {
                biased;
                Some(input) = own.recv() => input,
                    _ = stopping.changed() => break,
                Some(input) = outside.recv() => input,
                () = tokio::time::sleep(wait.min(SLEEP_MAX)) => Input::Event(Event::Tick),
            };
            self.take(input);
        }
        self.step(Event::Closed);
        self.shared.readable_until.store(0, Ordering::Release);
        if let Some(fault) = self.failed {
            tracing::error!(fault, "the tag table's store failed; open the scheduler again");
            self.shared.failed.send_replace(Some(fault));
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.step(event),
            Input::Message(from, message) => self.step(Event::Message { from, message }),
            Input::Change { origin, body, answer } => {
                let bytes = body.len();
                if self.waiting_bytes + bytes > CHANGES_BYTES_MAX && self.waiting_bytes > 0 {
                    return drop(answer.send(Err(Refused::Busy)));
                }
                self.waiting_bytes += bytes;
                let request = self.request(Waiting::Change { origin, bytes, answer });
                self.step(Event::Change { request, change: Change { origin, body } });
            }
            Input::Read { answer } => {
                let request = self.request(Waiting::Read(answer));
                self.step(Event::Read { request });
            }
            Input::Failed(fault) => self.failed = self.failed.take().or(Some(fault)),
        }
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
        let until = self.machine.readable_until();
        // A lease that ends early ends before anybody hears of it; one that begins does so once what it needs is applied.
        self.shared.readable_until.fetch_min(until.0, Ordering::SeqCst);
        for action in actions {
            self.carry_out(action);
        }
        self.shared.readable_until.store(until.0, Ordering::SeqCst);
        self.shared.standing.send_if_modified(|standing| {
            let now = stand(&self.machine);
            let changed = *standing != now;
            *standing = now;
            changed
        });
    }

    /// Hands the end of something that the store does back to this task.
    fn then<T: Send + 'static>(
        &self,
        ticket: Ticket<Result<T, catalog::Error>>,
        event: impl FnOnce(T) -> Event + Send + 'static,
    ) {
        let own = self.own.clone();
        // The task may have ended.
        pass_on(ticket, move |done| drop(own.send(done.map_or_else(Input::Failed, |value| Input::Event(event(value))))));
    }

    fn carry_out(&mut self, action: Action) {
        let led = &self.shared.led;
        match action {
            Action::PersistEpoch(epoch) => self.then(led.keep_epoch(epoch), Event::EpochPersisted),
            Action::Log(batches) => self.then(led.log(batches), Event::Logged),
            Action::Cut { to } => self.then(led.cut(to), |at| Event::Cut { at }),
            Action::Apply(up_to) => self.then(led.apply(up_to), Event::Applied),
            Action::HashParts => self.then(led.hash_parts(), Event::PartsHashed),
            Action::ReadParts { to, asked, hashes } => {
                let bytes_max = self.shared.settings.protocol.message_bytes_max as usize;
                self.then(led.read_parts(hashes, bytes_max), move |found| {
                    let catalog::Differing { at, parts, complete } = found;
                    Event::PartsRead { to, asked, at, parts, complete }
                });
            }
            Action::TakeParts { at, parts, complete } => {
                self.shared.parts_taken.fetch_add(parts.len() as u64, Ordering::Relaxed);
                tracing::info!(parts = parts.len(), batch = %at.sequence, complete, "parts of the tag table come from the leader");
                self.then(led.take_parts(at, parts, complete), |at| Event::PartsTaken { at });
            }
            Action::Send { to, message } => self.shared.links.send(to.node, Parcel::new(self.shared.me, to, &message)),
            Action::Answer { request, answer } => self.answer(request, answer),
            Action::Snapshot { request } => {
                // The table only grows: whoever reads it later sees this much at least.
                drop(self.own.send(Input::Event(Event::Snapshotted { request, at: self.machine.shown() })));
            }
            Action::Swap { expect, next } => self.swap(expect, &next),
            Action::ReadMeta => self.read_meta(),
            Action::Began { epoch } => tracing::info!(%epoch, node = %self.shared.me.node, "begins to lead the tag table"),
        }
    }

    fn answer(&mut self, request: RequestId, answer: Answer) {
        // Whoever asked may have gone; that is no matter.
        match (self.waiting.remove(&request), answer) {
            (Some(Waiting::Change { origin, bytes, answer }), told) => {
                self.waiting_bytes -= bytes;
                let told = match told {
                    Answer::Done { .. } => {
                        let forgotten = || Refused::Unavailable("what came of the change was forgotten meanwhile".to_owned());
                        self.shared.led.outcome(origin).ok_or_else(forgotten)
                    }
                    Answer::Refused(refusal) => Err(refusal.into()),
                    Answer::Readable { .. } => Err(Refused::Unavailable("the answer is to another question".to_owned())),
                };
                drop(answer.send(told));
            }
            (Some(Waiting::Read(answer)), told) => {
                drop(answer.send(match told {
                    Answer::Readable { at } => Ok(at),
                    Answer::Refused(refusal) => Err(refusal.into()),
                    Answer::Done { .. } => Err(Refused::Unavailable("the answer is to another question".to_owned())),
                }));
            }
            (None, _) => {}
        }
    }

    fn swap(&self, expect: Revision, next: &TagEntry) {
        if let Some(Err(fault)) = self.machine.known().map(|known| known.check_next(next)) {
            return tracing::error!(%fault, "a swap of the tags' entry that breaks the law is not sent");
        }
        let key = entry_key();
        let swap = Swap::new().when(&key, Is::Modified(expect)).put(&key, entry_value(next));
        let (ticket, own) = (self.shared.meta.swap(swap), self.own.clone());
        ticket.on_done(move |done| {
            let conflict = |found: Vec<Option<meta::Entry>>| {
                let found = found.into_iter().next().flatten()?;
                Some(Swapped::Conflict { entry: tag_entry(&found.value)?, revision: found.modified })
            };
            let outcome = match done {
                Ok(Ok(meta::Swapped::Done { revision })) => Some(Swapped::Done(revision)),
                Ok(Ok(meta::Swapped::Conflict { found, .. })) => conflict(found),
                // The machine sends it again.
                Ok(Err(_)) | Err(Abandoned) => None,
            };
            if let Some(outcome) = outcome {
                drop(own.send(Input::Event(Event::Swapped { expect, outcome })));
            }
        });
    }

    fn read_meta(&self) {
        let (ticket, own) = (self.shared.meta.get(&[entry_key()]), self.own.clone());
        ticket.on_done(move |done| {
            // Meta away: the machine asks again by itself.
            let Ok(Ok(found)) = done else { return };
            if let Some(event) = found.entries.into_iter().next().flatten().and_then(|found| entry_event(&found)) {
                drop(own.send(Input::Event(event)));
            }
        });
    }
}

fn entry_event(found: &meta::Entry) -> Option<Event> {
    Some(Event::Entry { entry: tag_entry(&found.value)?, revision: found.modified })
}

fn stand(machine: &Scheduler) -> Standing {
    let known = machine.known();
    Standing {
        epoch: machine.epoch(),
        leader: known.map(|known| known.leader),
        leads: machine.leads(),
        normal: known.map(|known| known.normal.clone()).unwrap_or_default(),
        registered: known.map(|known| known.registered.clone()).unwrap_or_default(),
        committed: machine.committed().sequence,
        shown: machine.shown(),
    }
}

/// Tells the task whenever the entry changes, until the sender of `stopping` tells or is dropped.
pub(super) async fn watch_entry(shared: Arc<Shared>, own: mpsc::UnboundedSender<Input>, mut stopping: watch::Receiver<()>) {
    loop {
        let followed = tokio::select! {
            followed = follow(&shared, &own) => followed,
            _ = stopping.changed() => return,
        };
        if let Err(fault) = followed {
            tracing::debug!(%fault, "the tags' entry is watched anew");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow(shared: &Shared, own: &mpsc::UnboundedSender<Input>) -> Result<(), meta::Error> {
    let gone = super::registering::gone;
    let mut watch = None;
    loop {
        let found = answered(shared.meta.get(&[entry_key()])).await.map_err(gone)??;
        if let Some(event) = found.entries.into_iter().next().flatten().and_then(|found| entry_event(&found)) {
            drop(own.send(Input::Event(event)));
        }
        let hints = match &mut watch {
            Some(watch) => watch,
            None => watch.insert(shared.meta.watch(&Range::key(&entry_key()), found.revision)?),
        };
        answered(hints.hint()).await.map_err(gone)?;
    }
}
