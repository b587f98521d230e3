//! The shell: what each action of a machine means for store, network and clients.

use super::Fleet;
use super::clients::Client;
use super::happening::Happening;
use super::node::{InFlight, Taking};
use super::packet::{Ask, Packet, Told};
use crate::check::{Question, ReadResult};
use crate::data::digest_bytes;
use crate::store::Task;
use protocol::{Action, Answer, Consistency, Event, RequestId};
use std::collections::BTreeMap;
use types::{SliceId, Version};

impl Fleet {
    pub(super) fn carry_out(&mut self, n: usize, slice: SliceId, action: Action) {
        match action {
            Action::PersistEpoch(epoch) => self.submit(n, slice, Task::PersistEpoch(epoch)),
            Action::Log(records) => {
                self.note_records(slice, &records);
                self.submit(n, slice, Task::Log(records));
            }
            Action::ReadLog { reader, after, records_max, .. } => {
                let records = self.nodes[n].store.read_log(slice, after, records_max);
                self.inner(n, slice, Event::LogRead { reader, after, records }, 200);
            }
            Action::SetAside { beyond } => {
                self.checker.counts.set_aside += 1;
                self.submit(n, slice, Task::SetAside(beyond));
            }
            Action::Publish(version) => self.publish(n, slice, version),
            Action::Stable(version) => self.stable(n, slice, version),
            Action::Pin { peer } => self.submit(n, slice, Task::Pin(peer)),
            Action::Unpin { peer } => self.submit(n, slice, Task::Unpin(peer)),
            Action::TakeFiles { from, offer, departs } => {
                let token = self.number();
                if let Some(local) = self.nodes[n].locals.get_mut(&slice) {
                    let (missing, copied) = (Vec::new(), BTreeMap::new());
                    local.taking = Some(Taking { from, offer, token, missing, copied, tries: 0 });
                }
                self.submit(n, slice, Task::Prepare { departs });
            }
            Action::Send { to, message } => {
                let from = self.nodes[n].me();
                self.send(n, to.node.0 as usize, Packet::Replica { slice, from, to, message });
            }
            Action::Answer { request, answer } => self.answer(n, slice, request, answer),
            Action::Snapshot { request } => {
                let (at, run) = (self.now + self.dice.between(5, 100), self.nodes[n].run);
                self.queue.put(at, Happening::Snapshot { node: n, run, slice, request });
            }
            Action::Swap { expect, next } => {
                let (meta, run) = (self.meta_place(), self.nodes[n].run);
                self.send(n, meta, Packet::MetaSwap { slice, run, expect, next });
            }
            Action::ReadMeta { seen } => {
                let meta = self.meta_place();
                self.send(n, meta, Packet::MetaRead { slice, seen: Some(seen) });
            }
            Action::Began { epoch, .. } => {
                let node = &self.nodes[n];
                self.checker.began(slice, epoch, node.me(), node.run);
            }
            Action::MetaIsOld { entry, seen } => {
                self.checker.complain(format!("slice {slice}: meta says epoch {entry}, {seen} was seen, and it never went back"));
            }
        }
    }

    fn submit(&mut self, n: usize, slice: SliceId, task: Task) {
        self.nodes[n].store.submit(slice, task);
        self.kick(n);
    }

    /// A process answers itself after a while.
    fn inner(&mut self, node: usize, slice: SliceId, event: Event, within_us: u64) {
        let at = self.now + self.dice.between(5, within_us);
        self.queue.put(at, Happening::Inner { node, run: self.nodes[node].run, slice, event });
    }

    fn publish(&mut self, n: usize, slice: SliceId, version: Version) {
        let node = &mut self.nodes[n];
        let wall = node.clock.wall(self.now);
        node.store.publish(slice, version, wall);
        let me = node.me();
        let Some(local) = node.locals.get_mut(&slice) else { return };
        let before = std::mem::replace(&mut local.shown, version);
        self.checker.shows(slice, me, before, version);
        let shown = node.store.shown(slice);
        if shown != Some(version) {
            self.checker.complain(format!("slice {slice}: {me} was to show {version} and shows {shown:?}"));
        }
    }

    fn stable(&mut self, n: usize, slice: SliceId, version: Version) {
        let node = &mut self.nodes[n];
        node.store.set_stable(slice, version);
        let Some(local) = node.locals.get_mut(&slice) else { return };
        let unflushed = version.sequence.0.saturating_sub(local.flushed.sequence.0);
        if unflushed >= self.plan.flush_records && !local.flushing {
            local.flushing = true;
            self.submit(n, slice, Task::Flush);
        }
    }

    /// A client's request arrives.
    pub(super) fn asked(&mut self, n: usize, slice: SliceId, place: usize, token: u64, ask: Ask) {
        let request = RequestId(self.number());
        let floor = self.client_of(token).map(Client::floor).unwrap_or_default();
        let node = &mut self.nodes[n];
        let Some(local) = node.locals.get_mut(&slice) else {
            let told = Told::Refused(protocol::Refusal::NotPrimary { primary: None });
            return self.send(n, place, Packet::Told { token, told });
        };
        let event = match &ask {
            Ask::Write { origin, ops } => {
                let body = node.store.compose(slice, ops);
                let digest = digest_bytes(&body);
                self.checker.composed(digest, ops);
                Event::Write { request, origin: Some(*origin), digest, body }
            }
            Ask::Read { consistency, .. } => Event::Read { request, consistency: *consistency },
        };
        local.requests.insert(request, InFlight { place, token, ask, floor, result: None });
        self.feed(n, slice, event);
    }

    pub(super) fn snapshot(&mut self, n: usize, slice: SliceId, request: RequestId) {
        let node = &mut self.nodes[n];
        let (Some(local), Some(state)) = (node.locals.get_mut(&slice), node.store.state(slice)) else { return };
        let Some(in_flight) = local.requests.get_mut(&request) else { return };
        let Ask::Read { keys, .. } = &in_flight.ask else { return };
        let rows = keys.iter().map(|key| (*key, state.value(*key))).collect();
        let stray_latest = keys.iter().map(|key| key.tag).find(|tag| state.latest.get(tag).copied() != state.newest_of(*tag));
        let at = state.at;
        in_flight.result = Some(ReadResult { at, rows, stray_latest });
        self.inner(n, slice, Event::Snapshotted { request, at }, 300);
    }

    fn answer(&mut self, n: usize, slice: SliceId, request: RequestId, answer: Answer) {
        let Some(local) = self.nodes[n].locals.get_mut(&slice) else { return };
        let Some(in_flight) = local.requests.remove(&request) else { return };
        let (epoch, stable) = (local.machine.epoch(), local.machine.stable());
        let InFlight { place, token, ask, floor, result } = in_flight;
        // Who gave a request up does not take its answer for one.
        let client = self.client_of(token);
        let wanted = client.is_some();
        let strange = client.zip(result.as_ref()).and_then(|(client, result)| {
            result.rows.iter().find_map(|(key, value)| {
                let written_for = self.checker.names.get(&(*value)?).copied();
                (written_for != client.name_of(key.tag)).then_some((*key, written_for, client.name_of(key.tag)))
            })
        });
        if let Some((key, written_for, name)) = strange {
            let what = format!("slice {slice}: {key:?} of tag {name:?} shows what was written for {written_for:?}");
            return self.checker.complain(what);
        }
        let told = match (answer, ask) {
            (Answer::Written { version }, Ask::Write { origin, .. }) => {
                if wanted {
                    self.checker.acknowledged(self.now, slice, epoch, version, origin);
                }
                Told::Written { version }
            }
            (Answer::Readable { at }, Ask::Read { consistency, .. }) => {
                let Some(result) = result else { return };
                if wanted {
                    let stable = at.sequence <= stable.sequence;
                    self.checker.read(self.now, slice, Question { consistency, floor, epoch, stable }, &result);
                }
                Told::Read { at }
            }
            (Answer::Refused(refusal), ask) => {
                if let (protocol::Refusal::Lost, Ask::Read { consistency: Consistency::Session(token), .. }) = (refusal, ask) {
                    self.checker.session_lost(slice, token);
                }
                Told::Refused(refusal)
            }
            (answer, ask) => return self.checker.complain(format!("slice {slice}: {ask:?} was answered with {answer:?}")),
        };
        self.send(n, place, Packet::Told { token, told });
    }
}
