//! Clients and the doors by which they come in. A client writes and reads one thing at a time, and repeats a write
//! unchanged until it is answered or given up for good; a door finds the way by what it is told.
//!
//! A door is a scheduler's way to the slices. Where the fleet has schedulers, a client asks its door for the tags before each
//! statement, and goes to another one when its own is gone; else each has a door of its own, and knows the tags.

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
#[derive(Clone, Debug)]
struct Current {
    token: u64,
    slice: SliceId,
    ask: Ask,
    floor: Known,
    since: u64,
}

/// A tag, as the slice that holds it and the table know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag {
    pub(crate) tag: u8,
    pub(crate) name: u8,
}

/// A door.
#[derive(Debug)]
pub(super) struct Door {
    /// What it knows of each slice's place.
    routes: Vec<Option<SliceEntry>>,
    /// Who is to be asked next for each slice, where somebody said so.
    hints: Vec<Option<ReplicaId>>,
    open: bool,
    /// What a door that stands still was about to send.
    held: Vec<Current>,
}

impl Door {
    pub(super) fn new(plan: &Plan) -> Door {
        let (routes, hints) = (vec![None; plan.slices.len()], vec![None; plan.slices.len()]);
        Door { routes, hints, open: true, held: Vec::new() }
    }
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    door: usize,
    dice: Dice,
    number: u64,
    /// What it knows of each slice's tags.
    tags: Vec<Vec<Tag>>,
    /// Since when it wants to be told of the tags.
    looking: Option<u64>,
    /// It was told of the tags for the next statement.
    told: bool,
    /// What its session knows of each slice.
    sessions: Vec<Version>,
    current: Option<Current>,
    timer: u64,
    stopped: bool,
}

impl Client {
    pub(super) fn new(client: usize, plan: &Plan) -> Client {
        let known: &[u8] = if plan.schedulers > 0 { &[] } else { &[0, 1, 2] };
        let tags: Vec<Tag> = known.iter().map(|tag| Tag { tag: *tag, name: *tag }).collect();
        Client {
            door: client % plan.doors(),
            dice: Dice::new(plan.seed, 100 + client as u64),
            number: 0,
            tags: vec![tags; plan.slices.len()],
            looking: None,
            told: plan.schedulers == 0,
            sessions: vec![Version::default(); plan.slices.len()],
            current: None,
            timer: 0,
            stopped: false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.stopped && self.current.is_none()
    }

    /// What everybody knew when the request under way was asked.
    pub(super) fn floor(&self) -> Known {
        self.current.as_ref().map(|current| current.floor).unwrap_or_default()
    }

    /// The name of a tag of the slice that is asked, as the client was told.
    pub(super) fn name_of(&self, tag: u8) -> Option<u8> {
        let slice = self.current.as_ref()?.slice.0 as usize;
        self.tags[slice].iter().find(|known| known.tag == tag).map(|known| known.name)
    }

    fn key(&mut self, slice: SliceId) -> Key {
        let tag = self.dice.pick(&self.tags[slice.0 as usize]).tag;
        Key { tag, time: self.dice.below(12) as u8 }
    }

    fn read(&mut self, slice: SliceId) -> Ask {
        let keys = (0..self.dice.between(1, 3)).map(|_| self.key(slice)).collect();
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

    /// The client that waits for an answer.
    pub(super) fn client_of(&self, token: u64) -> Option<&Client> {
        self.clients.iter().find(|client| client.current.as_ref().is_some_and(|current| current.token == token))
    }

    pub(super) fn client_wakes(&mut self, c: usize, timer: u64) {
        let client = &mut self.clients[c];
        if client.timer != timer {
            return;
        }
        if client.looking.is_some() {
            self.move_on(c);
            return self.look_at_tags(c);
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
        self.doors[client.door].hints[slice.0 as usize] = None;
        self.look_up(c, slice);
        self.attempt(c);
    }

    /// Wants to be told of the tags, by whichever door.
    fn look_at_tags(&mut self, c: usize) {
        let client = &mut self.clients[c];
        if self.calm {
            (client.looking, client.stopped) = (None, true);
            return;
        }
        let since = *client.looking.get_or_insert(self.now);
        let (door, patience) = (client.door, client.dice.between(50_000, 200_000));
        if self.plan.meta_alone && self.now > WARM_US && self.now - since > SERVED_US {
            return self.checker.complain(format!("client {c}: with meta alone away the tags were not to be had"));
        }
        if self.doors[door].open {
            self.look_ups.push((c, door));
        }
        self.wake_client(c, patience);
    }

    /// A client is told of the tags, or that this door can't tell now.
    pub(crate) fn told_of_tags(&mut self, c: usize, tags: Option<Vec<Vec<Tag>>>) {
        let client = &mut self.clients[c];
        if client.looking.is_none() {
            return;
        }
        match tags {
            Some(tags) => {
                (client.looking, client.told, client.tags) = (None, true, tags);
                self.next_request(c);
            }
            None => {
                let pause = client.dice.between(2_000, 20_000);
                self.wake_client(c, pause);
            }
        }
    }

    /// Goes to another door, where one is open: a new session.
    fn move_on(&mut self, c: usize) -> bool {
        let open: Vec<usize> = (0..self.doors.len()).filter(|door| self.doors[*door].open).collect();
        if open.is_empty() {
            return false;
        }
        let token = self.number();
        let client = &mut self.clients[c];
        client.door = *client.dice.pick(&open);
        client.sessions.fill(Version::default());
        if let Some(current) = &mut client.current {
            current.token = token;
            if let Ask::Read { consistency: consistency @ Consistency::Session(_), .. } = &mut current.ask {
                *consistency = Consistency::Session(Version::default());
            }
        }
        true
    }

    /// A scheduler's process is gone, or stands still: whoever came in by it goes elsewhere when it is tired of waiting.
    pub(crate) fn close_door(&mut self, door: usize, stands_still: bool) {
        let clients = self.clients.iter().filter(|client| client.door == door);
        let held = clients.filter_map(|client| client.current.clone()).collect();
        let closed = &mut self.doors[door];
        closed.open = false;
        if stands_still {
            closed.held = held;
        } else {
            *closed = Door { open: false, ..Door::new(&self.plan) };
        }
    }

    /// It is there again. One that stood still goes on with what it was about; a new process reads the slice map.
    pub(crate) fn open_door(&mut self, door: usize) {
        self.doors[door].open = true;
        let (place, meta) = (self.nodes.len() + door, self.meta_place());
        for s in (0..self.plan.slices.len()).filter(|s| self.doors[door].routes[*s].is_none()).collect::<Vec<_>>() {
            self.send(place, meta, Packet::MetaRead { slice: SliceId(s as u32), seen: None });
        }
        for Current { token, slice, ask, .. } in std::mem::take(&mut self.doors[door].held) {
            let s = slice.0 as usize;
            if let Some(entry) = &self.doors[door].routes[s] {
                let to = entry.primary.node.0 as usize;
                self.send(place, to, Packet::Ask { slice, token, ask });
            }
        }
    }

    fn next_request(&mut self, c: usize) {
        if self.calm {
            self.clients[c].stopped = true;
            return;
        }
        if !self.clients[c].told {
            return self.look_at_tags(c);
        }
        self.clients[c].told = self.plan.schedulers == 0;
        let slice = SliceId(self.clients[c].dice.below(self.plan.slices.len() as u64) as u32);
        if self.clients[c].tags[slice.0 as usize].is_empty() {
            return self.wake_client(c, 5_000);
        }
        let ask = if self.clients[c].dice.permille(650) { self.batch(c, slice) } else { self.clients[c].read(slice) };
        let (token, floor, since) = (self.number(), self.checker.floor(slice), self.now);
        self.clients[c].current = Some(Current { token, slice, ask, floor, since });
        if self.doors[self.clients[c].door].routes[slice.0 as usize].is_none() {
            self.look_up(c, slice);
        }
        self.attempt(c);
    }

    fn batch(&mut self, c: usize, slice: SliceId) -> Ask {
        let mut ops = Vec::new();
        for _ in 0..self.clients[c].dice.between(1, 3) {
            let value = self.number();
            let client = &mut self.clients[c];
            let op = match client.dice.below(30) {
                0 => Op::Delete(None, 0, client.dice.below(12) as u8),
                1 | 2 => {
                    let key = client.key(slice);
                    Op::Delete(Some(key.tag), key.time, 12)
                }
                // Retention is decided once, by the clock of whoever begins it, and then is a record.
                3 => Op::Retain(retention_bound(self.nodes[0].clock.wall(self.now))),
                _ => Op::Put(client.key(slice), value),
            };
            if let Op::Put(key, value) = op {
                let name = client.tags[slice.0 as usize].iter().find(|known| known.tag == key.tag).map(|known| known.name);
                self.checker.names.insert(value, name.unwrap_or_default());
            }
            ops.push(op);
        }
        let client = &mut self.clients[c];
        client.number += 1;
        Ask::Write { origin: Origin { producer: ProducerId(c as u128 + 1), number: client.number }, ops }
    }

    /// Sends the request to whoever seems right, and waits for a while.
    fn attempt(&mut self, c: usize) {
        if !self.doors[self.clients[c].door].open && !self.move_on(c) {
            return self.wake_client(c, 20_000);
        }
        let nodes = self.nodes.len() as u64;
        let client = &mut self.clients[c];
        let (Some(current), door) = (&client.current, &self.doors[client.door]) else { return };
        let s = current.slice.0 as usize;
        let loose = matches!(&current.ask, Ask::Read { consistency, .. } if *consistency != Consistency::Primary);
        let anyone = client.dice.one_in(if loose { 2 } else { 20 });
        let known = door.hints[s].or_else(|| door.routes[s].as_ref().map(|entry| entry.primary));
        let node = match (known.filter(|_| !anyone), &door.routes[s]) {
            (Some(id), _) => id.node.0,
            // Mostly one that has the slice; whom nobody told may ask anyone.
            (None, Some(entry)) if loose && (self.plan.meta_alone || client.dice.permille(900)) => {
                client.dice.pick(&entry.everyone().collect::<Vec<_>>()).node.0
            }
            (None, _) if self.plan.meta_alone && !loose => return self.wake_client(c, 5_000),
            (None, _) => client.dice.below(nodes),
        };
        let place = self.nodes.len() + client.door;
        let packet = Packet::Ask { slice: current.slice, token: current.token, ask: current.ask.clone() };
        let patience = client.dice.between(150_000, 500_000);
        self.send(place, node as usize, packet);
        self.wake_client(c, patience);
    }

    fn look_up(&mut self, c: usize, slice: SliceId) {
        let (place, meta) = (self.nodes.len() + self.clients[c].door, self.meta_place());
        self.send(place, meta, Packet::MetaRead { slice, seen: None });
    }

    pub(super) fn door_hears(&mut self, d: usize, packet: Packet) {
        if !self.doors[d].open {
            return;
        }
        match packet {
            Packet::MetaIs { slice, entry, .. } => {
                let first = self.doors[d].routes[slice.0 as usize].replace(entry).is_none();
                for c in 0..self.clients.len() {
                    if first && self.clients[c].door == d && self.clients[c].current.is_some() {
                        self.attempt(c);
                    }
                }
            }
            Packet::Told { token, told } => self.client_told(d, token, told),
            _ => {}
        }
    }

    fn client_told(&mut self, d: usize, token: u64, told: Told) {
        let waits = |client: &Client| client.current.as_ref().is_some_and(|current| current.token == token);
        let Some(c) = self.clients.iter().position(waits) else { return };
        let (client, door) = (&mut self.clients[c], &mut self.doors[d]);
        let Some(current) = &client.current else { return };
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
                    door.hints[s] = primary;
                }
                if matches!(refusal, Refusal::Behind) {
                    // A fresher copy is the primary's; it may be asked for anything.
                    door.hints[s] = door.routes[s].as_ref().map(|entry| entry.primary);
                }
                let pause = client.dice.between(2_000, 40_000);
                self.look_up(c, slice);
                self.wake_client(c, pause);
            }
        }
    }
}
