//! Batches are applied to the table.
//!
//! Promises: what comes of a change follows from the table and the change alone; one that was applied before is applied as
//! nothing; one that does not fit changes nothing, and its outcome says why. What it may not know: the log.

use super::batch::{CHANGE, CREATE, DELETE};
use super::outcome::Outcome;
use super::state::Logged;
use crate::Error;
use crate::core::Core;
use crate::profile::{next_label, profile_kind, read_label, read_profile};
use crate::record;
use crate::row::{Entry, Row, RowReader};
use crate::verdict::{fits_change, fits_deletion};
use protocol::tags::Change;
use std::sync::atomic::Ordering;
use storage::wire::Reader;
use types::{Kind, Sequence, TagId};

fn unreadable(what: &str) -> Error {
    Error::Unreadable(what.to_owned())
}

impl Core {
    /// Applies the batches behind the table up to this one.
    pub fn apply_up_to(&self, up_to: Sequence) {
        let led = self.led();
        loop {
            let next = led.state.lock().batches.front().filter(|logged| logged.batch.point.sequence <= up_to).cloned();
            let Some(logged) = next else { return };
            self.apply_batch(&logged);
        }
    }

    fn apply_batch(&self, logged: &Logged) {
        let Logged { batch, at } = logged;
        let at = at.expect("only what is durable is applied");
        let led = self.led();
        let _gate = led.gate.lock();
        let number = self.commit.lock().sequence + 1;
        for change in &batch.changes {
            if !led.producers.lock().has(change.origin) {
                let outcome = self.apply_change(change, number);
                led.producers.lock().note(change.origin, batch.point.sequence, outcome);
            }
        }
        let table = self.table.write();
        self.live.store(table.live(), Ordering::Release);
        self.version.fetch_add(1, Ordering::AcqRel);
        {
            let mut commit = self.commit.lock();
            (commit.sequence, commit.position) = (number, at);
        }
        let mut state = led.state.lock();
        state.point = Some(batch.point);
        state.batches.pop_front();
    }

    fn apply_change(&self, change: &Change, number: u64) -> Outcome {
        let (kind, body) = change.body.split_first().ok_or_else(|| unreadable("a change without a kind"))?;
        match *kind {
            CREATE => {
                let mut reader = Reader::new(body);
                let rows = reader.varint().ok_or_else(|| unreadable("a creation without a count"))?;
                let range = self.stage(reader.rest(), rows, number)?;
                self.kinds.show(range.end);
                Ok(range)
            }
            CHANGE => {
                let rows = changed_rows(body).ok_or_else(|| unreadable("a change of tags"))?;
                let mut table = self.table.write();
                let rows = rows.iter().map(|(id, name, kind)| (*id, name.as_str(), *kind));
                fits_change(&table, &self.kinds, rows)?;
                record::apply_change(body, &mut table, &self.kinds, number).expect("it was held against this table");
                Ok(0..0)
            }
            DELETE => {
                let ordinals = deleted(body).ok_or_else(|| unreadable("a deletion of tags"))?;
                let mut table = self.table.write();
                fits_deletion(&table, &self.kinds, &ordinals)?;
                record::apply_delete(body, &mut table, number).expect("it was held against this table");
                Ok(0..0)
            }
            other => Err(unreadable(&format!("a change of kind {other}"))),
        }
    }
}

/// What a change's rows are, where each of them is whole.
fn changed_rows(body: &[u8]) -> Option<Vec<(TagId, String, Kind)>> {
    let mut run = RowReader::new(body);
    let count = run.number()?;
    let mut rows = Vec::new();
    for index in 0..count {
        let id = TagId(run.number()?);
        let Some(Entry::Live(row)) = run.next() else { return None };
        is_whole(&row, index == 0).then_some(())?;
        rows.push((id, row.name.to_owned(), profile_kind(row.profile)?));
    }
    run.is_empty().then_some(rows)
}

fn is_whole(row: &Row<'_>, first: bool) -> bool {
    let profile = (row.same.profile && !first) || read_profile(row.profile).is_some();
    profile && ((row.same.labels && !first) || labels_rise(row.labels).is_some())
}

fn labels_rise(labels: &[u8]) -> Option<()> {
    let mut reader = Reader::new(labels);
    let mut before = None;
    while !reader.is_empty() {
        let key = Some(read_label(next_label(&mut reader)?)?.0);
        (before < key).then_some(())?;
        before = key;
    }
    Some(())
}

fn deleted(body: &[u8]) -> Option<Vec<u64>> {
    let mut reader = Reader::new(body);
    let count = reader.count(body.len())?;
    let ordinals: Vec<u64> = (0..count).map_while(|_| reader.varint()).collect();
    (ordinals.len() == count && ordinals.is_sorted() && reader.is_empty()).then_some(ordinals)
}
