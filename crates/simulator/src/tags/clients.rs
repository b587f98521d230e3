//! Clients: each wants one thing at a time, finds its way by what it is told, and repeats a change unchanged until it is
//! answered. In a whole fleet also statements, which want to be shown the table once and find their way by themselves.

use super::fleet::{Fleet, Happening, Packet};
use super::plan::TagPlan;
use super::table::{Op, Table};
use crate::dice::Dice;
use protocol::tags::Refusal;
use std::rc::Rc;
use types::{Origin, ProducerId, Sequence};

/// A client gives a read up after so long; of a change it wants to know what came of it.
const PATIENCE_US: u64 = 6_000_000;

/// What a client asks.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Change { origin: Origin, op: Op },
    Read,
}

/// What a client is told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Done,
    /// What was read.
    Read(Rc<Table>),
    Refused(Refusal),
}

/// A request under way.
#[derive(Debug)]
struct Current {
    token: u64,
    ask: Ask,
    floor: Sequence,
    since: u64,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    place: usize,
    dice: Dice,
    number: u64,
    /// Who is to be asked next.
    hint: Option<usize>,
    current: Option<Current>,
    timer: u64,
    /// The last answer was a refusal.
    refused: bool,
    stopped: bool,
}

impl Client {
    pub(super) fn new(client: usize, plan: &TagPlan) -> Client {
        Client {
            place: plan.nodes + client,
            dice: Dice::new(plan.seed, 200 + client as u64),
            number: 0,
            hint: None,
            current: None,
            timer: 0,
            refused: false,
            stopped: false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.stopped && self.current.is_none()
    }

    pub(super) fn waits_for(&self, token: u64) -> bool {
        self.current.as_ref().is_some_and(|current| current.token == token)
    }

    /// What had been answered when the request under way was asked.
    pub(super) fn floor(&self) -> Sequence {
        self.current.as_ref().map(|current| current.floor).unwrap_or_default()
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
        match &client.current {
            None => return self.next_request(c),
            Some(Current { ask: Ask::Read, since, .. }) if self.now - since > PATIENCE_US => {
                client.current = None;
                return self.wake_client(c, 1_000);
            }
            // Silence says that the hint was wrong; a refusal brought a new one.
            Some(_) if !std::mem::take(&mut client.refused) => client.hint = None,
            Some(_) => {}
        }
        self.attempt(c);
    }

    fn next_request(&mut self, c: usize) {
        if self.calm {
            self.clients[c].stopped = true;
            return;
        }
        let (token, floor, since) = (self.number(), self.checker.floor(), self.now);
        let client = &mut self.clients[c];
        let ask = if client.dice.permille(600) {
            client.number += 1;
            let name = client.dice.below(12) as u8;
            let op = if client.dice.one_in(3) { Op::Drop(name) } else { Op::Create(name) };
            Ask::Change { origin: Origin { producer: ProducerId(c as u128 + 1), number: client.number }, op }
        } else {
            Ask::Read
        };
        client.current = Some(Current { token, ask, floor, since });
        self.attempt(c);
    }

    /// Sends the request to whoever seems right, and waits for a while.
    fn attempt(&mut self, c: usize) {
        let nodes = self.nodes.len() as u64;
        let client = &mut self.clients[c];
        let Some(current) = &client.current else { return };
        let packet = Packet::Ask { token: current.token, ask: current.ask.clone() };
        // Any scheduler is an equal door for readers.
        let anyone = client.dice.one_in(if matches!(current.ask, Ask::Read) { 2 } else { 20 });
        let node = client.hint.filter(|_| !anyone).unwrap_or_else(|| client.dice.below(nodes) as usize);
        let (place, patience) = (client.place, client.dice.between(500_000, 900_000));
        self.send(place, node, packet);
        self.wake_client(c, patience);
    }

    /// A statement asks a scheduler for the table, once.
    pub(crate) fn look_up(&mut self, now: u64, statement: usize, scheduler: usize) {
        self.now = self.now.max(now);
        let (c, token, floor) = (self.plan.clients + statement, self.number(), self.checker.floor());
        let client = &mut self.clients[c];
        client.current = Some(Current { token, ask: Ask::Read, floor, since: now });
        let place = client.place;
        self.send(place, scheduler, Packet::Ask { token, ask: Ask::Read });
    }

    pub(super) fn client_hears(&mut self, c: usize, packet: Packet) {
        let Packet::Told { token, told } = packet else { return };
        let client = &mut self.clients[c];
        if !client.waits_for(token) {
            return;
        }
        if c >= self.plan.clients {
            client.current = None;
            let table = if let Told::Read(table) = told { Some(table) } else { None };
            return self.looked_up.push((c - self.plan.clients, table));
        }
        let pause = match told {
            Told::Done | Told::Read(_) => {
                client.current = None;
                client.dice.between(self.plan.think_us / 2, self.plan.think_us * 3 / 2)
            }
            Told::Refused(refusal) => {
                client.refused = true;
                if let Refusal::NotLeader { leader } = refusal {
                    client.hint = leader.map(|id| id.node.0 as usize);
                }
                client.dice.between(2_000, 40_000)
            }
        };
        self.wake_client(c, pause);
    }
}
