//! Clients: each writes and reads one thing at a time, finds its way by what it is told, and repeats a
//! write unchanged until it is answered or given up for good.

use super::Fleet;
use super::happening::Happening;
use super::packet::{Ask, Packet, Told};
use crate::check::Known;
use crate::data::{Key, Op, retention_bound};
use crate::dice::Dice;
use crate::plan::Plan;
use protocol::{Consistency, Refusal, ReplicaId, SliceEntry};
use types::{Origin, ProducerId, SliceId, Version};

/// A client gives a request up after so long.
const PATIENCE_US: u64 = 6_000_000;

/// With meta alone away every request is answered within this time.
const SERVED_US: u64 = 250_000;

/// A fleet is warm after so long: before, leases that nobody gave are waited for.
const WARM_US: u64 = 1_400_000;

/// A request under way.
#[derive(Debug)]
struct Current {
    token: u64,
    slice: SliceId,
    ask: Ask,
    floor: Known,
    since: u64,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    place: usize,
    dice: Dice,
    number: u64,
    /// What it knows of each slice's place.
    routes: Vec<Option<SliceEntry>>,
    /// Who is to be asked next for each slice, where somebody said so.
    hints: Vec<Option<ReplicaId>>,
    /// What its session knows of each slice.
    sessions: Vec<Version>,
    current: Option<Current>,
    timer: u64,
    stopped: bool,
}

impl Client {
    pub(super) fn new(client: usize, plan: &Plan) -> Client {
        Client {
            place: plan.nodes + client,
            dice: Dice::new(plan.seed, 100 + client as u64),
            number: 0,
            routes: vec![None; plan.slices.len()],
            hints: vec![None; plan.slices.len()],
            sessions: vec![Version::default(); plan.slices.len()],
            current: None,
            timer: 0,
            stopped: false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.stopped && self.current.is_none()
    }

    pub(super) fn waits_for(&self, token: u64) -> bool {
        self.current.as_ref().is_some_and(|current| current.token == token)
    }

    /// What everybody knew when the request under way was asked.
    pub(super) fn floor(&self) -> Known {
        self.current.as_ref().map(|current| current.floor).unwrap_or_default()
    }

    fn key(&mut self) -> Key {
        Key { tag: self.dice.below(3) as u8, time: self.dice.below(12) as u8 }
    }

    fn read(&mut self, slice: SliceId) -> Ask {
        let keys = (0..self.dice.between(1, 3)).map(|_| self.key()).collect();
        let consistency = match self.dice.below(8) {
            0 => Consistency::Session(self.sessions[slice.0 as usize]),
            1 => Consistency::Bounded { us: *self.dice.pick(&[50_000, 200_000, 600_000]) },
            2 => Consistency::Any,
            _ => Consistency::Primary,
        };
        Ask::Read { consistency, keys }
    }
}

impl Fleet {
    /// Sets a client's deadline; an earlier one is void.
    pub(super) fn wake_client(&mut self, c: usize, after_us: u64) {
        self.clients[c].timer += 1;
        let token = self.clients[c].timer;
        self.queue.put(self.now + after_us, Happening::Client { client: c, token });
    }

    pub(super) fn client_wakes(&mut self, c: usize, timer: u64) {
        let client = &mut self.clients[c];
        if client.timer != timer {
            return;
        }
        let Some(current) = &client.current else { return self.next_request(c) };
        let (slice, late) = (current.slice, self.now - current.since);
        if self.plan.meta_alone && self.now > WARM_US && late > SERVED_US {
            return self.checker.complain(format!("slice {slice}: with meta alone away a request was not answered: {current:?}"));
        }
        if late > PATIENCE_US {
            client.current = None;
            return self.wake_client(c, 1_000);
        }
        client.hints[slice.0 as usize] = None;
        self.look_up(c, slice);
        self.attempt(c);
    }

    fn next_request(&mut self, c: usize) {
        if self.calm {
            self.clients[c].stopped = true;
            return;
        }
        let slice = SliceId(self.clients[c].dice.below(self.plan.slices.len() as u64) as u32);
        let ask = if self.clients[c].dice.permille(650) { self.batch(c) } else { self.clients[c].read(slice) };
        let (token, floor, since) = (self.number(), self.checker.floor(slice), self.now);
        self.clients[c].current = Some(Current { token, slice, ask, floor, since });
        if self.clients[c].routes[slice.0 as usize].is_none() {
            self.look_up(c, slice);
        }
        self.attempt(c);
    }

    fn batch(&mut self, c: usize) -> Ask {
        let mut ops = Vec::new();
        for _ in 0..self.clients[c].dice.between(1, 3) {
            let value = self.number();
            let client = &mut self.clients[c];
            let op = match client.dice.below(30) {
                0 => Op::Delete(None, 0, client.dice.below(12) as u8),
                1 | 2 => {
                    let key = client.key();
                    Op::Delete(Some(key.tag), key.time, 12)
                }
                // Retention is decided once, by the clock of whoever begins it, and then is a record.
                3 => Op::Retain(retention_bound(self.nodes[0].clock.wall(self.now))),
                _ => Op::Put(client.key(), value),
            };
            ops.push(op);
        }
        let client = &mut self.clients[c];
        client.number += 1;
        Ask::Write { origin: Origin { producer: ProducerId(c as u128 + 1), number: client.number }, ops }
    }

    /// Sends the request to whoever seems right, and waits for a while.
    fn attempt(&mut self, c: usize) {
        let nodes = self.nodes.len() as u64;
        let client = &mut self.clients[c];
        let Some(current) = &client.current else { return };
        let s = current.slice.0 as usize;
        let loose = matches!(&current.ask, Ask::Read { consistency, .. } if *consistency != Consistency::Primary);
        let anyone = client.dice.one_in(if loose { 2 } else { 20 });
        let known = client.hints[s].or_else(|| client.routes[s].as_ref().map(|entry| entry.primary));
        let node = match (known.filter(|_| !anyone), &client.routes[s]) {
            (Some(id), _) => id.node.0,
            // Mostly one that has the slice; whom nobody told may ask anyone.
            (None, Some(entry)) if loose && (self.plan.meta_alone || client.dice.permille(900)) => {
                client.dice.pick(&entry.everyone().collect::<Vec<_>>()).node.0
            }
            (None, _) if self.plan.meta_alone && !loose => return self.wake_client(c, 5_000),
            (None, _) => client.dice.below(nodes),
        };
        let (place, packet) =
            (client.place, Packet::Ask { slice: current.slice, token: current.token, ask: current.ask.clone() });
        let patience = client.dice.between(150_000, 500_000);
        self.send(place, node as usize, packet);
        self.wake_client(c, patience);
    }

    fn look_up(&mut self, c: usize, slice: SliceId) {
        let (place, meta) = (self.clients[c].place, self.meta_place());
        self.send(place, meta, Packet::MetaRead { slice, seen: None });
    }

    pub(super) fn client_hears(&mut self, c: usize, packet: Packet) {
        match packet {
            Packet::MetaIs { slice, entry, .. } => {
                let client = &mut self.clients[c];
                let first = client.routes[slice.0 as usize].replace(entry).is_none();
                if first && client.current.is_some() {
                    self.attempt(c);
                }
            }
            Packet::Told { token, told } => self.client_told(c, token, told),
            _ => {}
        }
    }

    fn client_told(&mut self, c: usize, token: u64, told: Told) {
        let client = &mut self.clients[c];
        let Some(current) = client.current.as_ref().filter(|current| current.token == token) else { return };
        let (slice, s) = (current.slice, current.slice.0 as usize);
        match told {
            Told::Written { version } | Told::Read { at: version } => {
                client.sessions[s] = client.sessions[s].max(version);
                client.current = None;
                let think = client.dice.between(self.plan.think_us / 2, self.plan.think_us * 3 / 2);
                self.wake_client(c, think);
            }
            Told::Refused(Refusal::Lost) => {
                client.sessions[s] = Version::default();
                client.current = None;
                self.wake_client(c, 1_000);
            }
            Told::Refused(refusal) => {
                if let Refusal::NotPrimary { primary } = refusal {
                    client.hints[s] = primary;
                }
                if matches!(refusal, Refusal::Behind) {
                    // A fresher copy is the primary's; it may be asked for anything.
                    client.hints[s] = client.routes[s].as_ref().map(|entry| entry.primary);
                }
                let pause = client.dice.between(2_000, 40_000);
                self.look_up(c, slice);
                self.wake_client(c, pause);
            }
        }
    }
}
