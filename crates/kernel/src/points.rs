//! Point reads: snapshot values and values at a time, for one tag or many.
//!
//! Promises: one tag's answer reads one slice's view, without touching the others; an answer of many
//! comes from one commit. Where the rule looks at time, every slice is asked and the newest stands.

use crate::core::{Core, Ground};
use crate::{Datum, Error, Reading, ReadingColumns, Snapshot};
use types::{TagId, Timestamp};

/// Columns for so many answers.
pub(crate) fn columns_for(rows: usize) -> ReadingColumns {
    ReadingColumns {
        found: Vec::with_capacity(rows),
        times: Vec::with_capacity(rows),
        bits: Vec::with_capacity(rows),
        qualities: Vec::with_capacity(rows),
        texts: Vec::new(),
    }
}

/// Adds an answer.
pub(crate) fn push(columns: &mut ReadingColumns, reading: Option<Reading>) {
    let row = columns.found.len() as u32;
    columns.found.push(reading.is_some());
    let Some(Reading { time, value, quality }) = reading else {
        columns.times.push(Timestamp(0));
        columns.bits.push(0);
        columns.qualities.push(192);
        return;
    };
    columns.times.push(time);
    columns.qualities.push(quality.0);
    match value {
        Datum::Bits(bits) => columns.bits.push(bits),
        Datum::Text(text) => {
            columns.bits.push(0);
            columns.texts.push((row, text));
        }
    }
}

fn newer(a: Option<Reading>, b: Option<Reading>) -> Option<Reading> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.time > a.time { b } else { a }),
        (a, b) => a.or(b),
    }
}

impl Ground {
    /// Where the rule looks at time and one slice can't be read, an older value of another slice would pass for
    /// the newest: then none is known.
    fn latest(&self, tag: TagId) -> Result<Option<Reading>, Error> {
        let found = if self.rule.ignores_time() {
            self.slice(self.rule.slice(tag, Timestamp(0))).latest(tag)
        } else {
            self.slices.iter().try_fold(None, |best, slice| Ok(newer(best, slice.latest(tag)?)))
        };
        found.map_err(|fault| fault.of_latest(tag))
    }
}

impl Core {
    pub(crate) fn latest(&self, tag: TagId) -> Result<Option<Reading>, Error> {
        self.ground().latest(tag)
    }

    pub(crate) fn latest_many(&self, tags: &[TagId]) -> Result<ReadingColumns, Error> {
        let ground = self.ground();
        let mut columns = columns_for(tags.len());
        for tag in tags {
            push(&mut columns, ground.latest(*tag)?);
        }
        Ok(columns)
    }

    pub(crate) fn value_at(&self, tag: TagId, time: Timestamp) -> Result<Option<Reading>, Error> {
        let ground = self.ground();
        let text = self.kinds.kind(tag).is_some_and(types::Kind::is_text);
        if ground.rule.ignores_time() {
            let view = ground.slice(ground.rule.slice(tag, Timestamp(0))).view();
            return Ok(view.newest_until(tag, time, text)?);
        }
        self.snapshot().newest_until(tag, time, text)
    }

    pub(crate) fn values_at(&self, questions: &[(TagId, Timestamp)]) -> Result<ReadingColumns, Error> {
        self.snapshot().values_at(questions)
    }
}

impl Snapshot {
    /// For each (tag, time): the newest sample at or before that time, as of this commit.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn values_at(&self, questions: &[(TagId, Timestamp)]) -> Result<ReadingColumns, Error> {
        if !self.ignores_time() {
            let mut columns = columns_for(questions.len());
            for (tag, time) in questions {
                push(&mut columns, self.newest_until(*tag, *time, self.is_text(*tag))?);
            }
            return Ok(columns);
        }
        let rows = questions.len();
        let mut columns = ReadingColumns {
            found: vec![false; rows],
            times: vec![Timestamp(0); rows],
            bits: vec![0; rows],
            qualities: vec![192; rows],
            texts: Vec::new(),
        };
        self.newest_until_many(questions, &mut columns)?;
        columns.texts.sort_unstable_by_key(|(row, _)| *row);
        Ok(columns)
    }
}
