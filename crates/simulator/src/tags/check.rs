//! The checker: what was promised of tag changes, held against what happened.
//!
//! - two histories are never both true: each swap's hash leads, batch by batch, from what was committed before;
//! - whoever is Normal holds what is committed, durably;
//! - a table that is shown is the model's at that batch; tables are equal at rest;
//! - a change is answered once, with what came of it in the model, and is applied once; an ordinal is given once;
//! - a read shows all that was answered before it was asked.
//!
//! It may not know how any of it is done.

use super::table::{Result, Table};
use protocol::ReplicaId;
use protocol::tags::{Batch, ChainHash, Point};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use types::{Origin, Sequence};

/// Counts of rare things, so that a run can prove that they happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagCounts {
    /// Changes answered.
    pub changes: u64,
    /// Reads answered.
    pub reads: u64,
    /// Batches committed.
    pub batches: u64,
    /// Epochs begun after the first.
    pub successions: u64,
    /// Logs cut: batches that were prepared and lost.
    pub cut: u64,
    /// Tables made whole by parts.
    pub parts_taken: u64,
    /// Swaps that removed a scheduler from the Normal set.
    pub removed: u64,
    /// Events of the simulation.
    pub events: u64,
}

impl TagCounts {
    /// Adds another run's.
    pub fn add(&mut self, other: &TagCounts) {
        self.changes += other.changes;
        self.reads += other.reads;
        self.batches += other.batches;
        self.successions += other.successions;
        self.cut += other.cut;
        self.parts_taken += other.parts_taken;
        self.removed += other.removed;
        self.events += other.events;
    }
}

#[derive(Default)]
pub(crate) struct Checker {
    batches: FxHashMap<ChainHash, Batch>,
    /// What is committed, by sequence from 0.
    history: Vec<Point>,
    tables: Vec<Table>,
    results: BTreeMap<Origin2, Result>,
    ordinals: BTreeSet<u64>,
    answered: BTreeSet<Origin2>,
    /// The last batch of which something was answered.
    floor: Sequence,
    epochs: BTreeMap<u64, (ReplicaId, u64)>,
    pub(crate) complaint: Option<String>,
    pub(crate) counts: TagCounts,
}

/// An origin, in an order.
type Origin2 = (u128, u64);

fn key(origin: Origin) -> Origin2 {
    (origin.producer.0, origin.number)
}

impl Checker {
    pub(super) fn new() -> Checker {
        Checker { history: vec![Point::default()], tables: vec![Table::default()], ..Checker::default() }
    }

    pub(super) fn complain(&mut self, text: String) {
        self.complaint.get_or_insert(text);
    }

    /// Ordinals below were given, by what is committed.
    pub(crate) fn ordinals_end(&self) -> u64 {
        self.tables.last().map_or(0, Table::ordinals_end)
    }

    pub(super) fn floor(&self) -> Sequence {
        self.floor
    }

    pub(super) fn logged(&mut self, batches: &[Batch]) {
        for batch in batches {
            self.batches.entry(batch.point.hash).or_insert_with(|| batch.clone());
        }
    }

    pub(super) fn began(&mut self, epoch: u64, who: ReplicaId, run: u64) {
        self.counts.successions += u64::from(epoch > 1);
        if let Some((other, _)) = self.epochs.insert(epoch, (who, run)) {
            self.complain(format!("epoch {epoch} was begun by {other} and by {who}"));
        }
    }

    /// A swap committed all up to a point.
    pub(super) fn committed(&mut self, point: Point) {
        let last = *self.history.last().expect("the history begins with nothing");
        let mut way: Vec<Batch> = Vec::new();
        let mut at = point;
        while at.sequence > last.sequence {
            let Some(batch) = self.batches.get(&at.hash) else {
                return self.complain(format!("{at:?} was committed, and nobody logged it"));
            };
            at = batch.prev;
            way.push(batch.clone());
        }
        if at != last {
            return self.complain(format!("{point:?} was committed, which does not follow {last:?}: two histories"));
        }
        for batch in way.into_iter().rev() {
            self.counts.batches += 1;
            let mut table = self.tables.last().expect("the history begins with an empty table").clone();
            for change in &batch.changes {
                table.apply(change);
                let Some(result) = table.result(change.origin) else { continue };
                let first = *self.results.entry(key(change.origin)).or_insert(result);
                if first != result {
                    self.complain(format!("{:?} came to {first:?} and to {result:?}", change.origin));
                }
            }
            self.history.push(batch.point);
            self.tables.push(table);
        }
    }

    /// A scheduler's table shows all up to a batch.
    pub(super) fn shows(&mut self, who: ReplicaId, at: Point, table: &Table) {
        match self.history.get(at.sequence.0 as usize) {
            Some(point) if *point == at => {}
            other => return self.complain(format!("{who} shows {at:?}, committed is {other:?}")),
        }
        let model = &self.tables[at.sequence.0 as usize];
        if model != table {
            self.complain(format!("{who} shows {table:?} at {at:?}, the model is {model:?}"));
        }
    }

    /// A client is told what came of its change.
    pub(super) fn answered(&mut self, origin: Origin, sequence: Sequence, result: Option<Result>) {
        self.counts.changes += 1;
        let model = self.results.get(&key(origin)).copied();
        if result.is_none() || model != result {
            return self.complain(format!("{origin:?} was answered with {result:?}, the model says {model:?}"));
        }
        if let (true, Some(Result::Created(ordinal))) = (self.answered.insert(key(origin)), result)
            && !self.ordinals.insert(ordinal)
        {
            return self.complain(format!("{origin:?} was given ordinal {ordinal}, which was given before"));
        }
        self.floor = self.floor.max(sequence);
    }

    /// A read is answered; `floor` was answered before it was asked.
    pub(super) fn read(&mut self, who: ReplicaId, at: Point, floor: Sequence, table: &Table) {
        self.counts.reads += 1;
        if at.sequence < floor {
            return self.complain(format!("{who} showed {at:?} to a reader that knew of batch {floor}"));
        }
        self.shows(who, at, table);
    }
}
