//! Clients that number their batches and keep to the rules: numbers rise, batches go out in order, several at
//! once; what was not acknowledged is sent again, in order, under the same numbers.
//!
//! A client does not look at its answers at once: so it sends higher numbers while a lower one is refused.
//! It may not know how a kernel tells duplicates.

use crate::oracle::Row;
use std::collections::VecDeque;
use types::{Origin, ProducerId};
use world::SeededRandom;

/// What a client sees of a batch that it sent.
pub enum Seen {
    Acknowledged,
    Nothing,
    Failed,
}

struct Batch {
    number: u64,
    rows: Vec<Row>,
    /// Where it stands among what was sent; those that were sent come before those that were not.
    sent: Option<usize>,
}

/// A producer.
pub struct Client {
    id: ProducerId,
    number: u64,
    unacknowledged: VecDeque<Batch>,
}

impl Client {
    pub fn new(id: u128) -> Client {
        Client { id: ProducerId(id), number: 0, unacknowledged: VecDeque::new() }
    }

    /// Takes in what became of what it sent; where anything failed, all of it is to be sent again.
    pub fn look(&mut self, seen: impl Fn(usize) -> Seen) {
        let of = |batch: &Batch| batch.sent.map_or(Seen::Nothing, &seen);
        while self.unacknowledged.front().is_some_and(|batch| matches!(of(batch), Seen::Acknowledged)) {
            self.unacknowledged.pop_front();
        }
        if self.unacknowledged.iter().any(|batch| matches!(of(batch), Seen::Failed)) {
            self.reconnect();
        }
    }

    /// Its connection broke, or the store was opened anew.
    pub fn reconnect(&mut self) {
        self.unacknowledged.iter_mut().for_each(|batch| batch.sent = None);
    }

    /// The next batch that it sends, as number `sent` of all that is sent: one to be sent again, or else of these rows.
    pub fn send(&mut self, sent: usize, rows: Vec<Row>, dice: &SeededRandom) -> (Origin, Vec<Row>) {
        if !self.is_behind() {
            self.number += if dice.one_in(5) { dice.between(2, 4) } else { 1 };
            self.unacknowledged.push_back(Batch { number: self.number, rows, sent: None });
        }
        let next = self.unacknowledged.iter_mut().find(|batch| batch.sent.is_none()).expect("one waits or was added");
        next.sent = Some(sent);
        (Origin { producer: self.id, number: next.number }, next.rows.clone())
    }

    /// Whether anything is to be sent again.
    pub fn is_behind(&self) -> bool {
        self.unacknowledged.iter().any(|batch| batch.sent.is_none())
    }

    /// Whether all that it ever sent was acknowledged.
    pub fn is_done(&self) -> bool {
        self.unacknowledged.is_empty()
    }
}
