//! Lines into rows: each piece of a body is read against the series that are known.
//!
//! Promises: a line whose series is known costs no allocation; one that can't be kept leaves no row; rows keep the order of
//! the lines, those of fields that were not known included.

use super::columns::{Columns, Mark, Misfit, UNKNOWN, bits_of, conflict};
use super::cursor::{Cursor, Stop, Value};
use super::series::{Series, Target};
use super::wanted::{Line, Number, Row, Wanted};
use std::fmt::Write;
use types::Timestamp;

/// Refused lines that are told of; of more only their number is.
const FAULTS_SHOWN: usize = 10;

/// What times of lines count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    Nanoseconds,
    /// In microseconds.
    Unit(i64),
}

impl Precision {
    /// The precision of a request; nanoseconds where it names none.
    pub(crate) fn of(name: Option<&str>) -> Option<Precision> {
        Some(match name {
            None | Some("" | "n" | "ns") => Precision::Nanoseconds,
            Some("u" | "us" | "µ" | "µs") => Precision::Unit(1),
            Some("ms") => Precision::Unit(1_000),
            Some("s") => Precision::Unit(1_000_000),
            Some("m") => Precision::Unit(60_000_000),
            Some("h") => Precision::Unit(3_600_000_000),
            Some(_) => return None,
        })
    }

    /// A time in microseconds: what lies below one goes, towards the past.
    #[inline]
    pub(crate) fn micros(self, time: i64) -> Option<i64> {
        match self {
            Precision::Nanoseconds => Some(time.div_euclid(1000)),
            Precision::Unit(unit) => time.checked_mul(unit),
        }
    }
}

/// Lines that were refused.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) count: u64,
    shown: Vec<(u64, String)>,
}

impl Faults {
    pub(crate) fn add(&mut self, line: u64, what: &str) {
        self.count += 1;
        if self.shown.len() < FAULTS_SHOWN {
            self.shown.push((line, what.to_owned()));
        }
    }

    /// What is told of them, as InfluxDB tells of a write of which some was kept.
    pub(crate) fn message(mut self) -> String {
        self.shown.sort_unstable();
        let mut message = "partial write: unable to parse or keep ".to_owned();
        for (at, (line, what)) in self.shown.iter().enumerate() {
            let before = if at > 0 { "; " } else { "" };
            // Writing to a string does not fail.
            let _ = write!(message, "{before}line {line}: {what}");
        }
        let more = self.count - self.shown.len() as u64;
        if more > 0 {
            let _ = write!(message, "; and {more} more");
        }
        let _ = write!(message, " dropped={}", self.count);
        message
    }
}

/// Reads the lines of one request.
pub(crate) struct Reader {
    precision: Precision,
    /// The time of lines that say none.
    now_us: i64,
    pub(crate) columns: Columns,
    pub(crate) wanted: Wanted,
    pub(crate) faults: Faults,
    /// The number of the next line, from 1.
    pub(crate) line: u64,
    /// Where the series of the next line is expected.
    place: usize,
    /// Lines kept.
    pub(crate) kept: u64,
    /// Lines whose series was known, and others.
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl Reader {
    pub(crate) fn new(precision: Precision, now_us: i64) -> Reader {
        Reader {
            precision,
            now_us,
            columns: Columns::default(),
            wanted: Wanted::default(),
            faults: Faults::default(),
            line: 1,
            place: 0,
            kept: 0,
            hits: 0,
            misses: 0,
        }
    }

    /// Reads the lines that are whole; the answer is how many bytes they have.
    pub(crate) fn read(&mut self, bytes: &[u8], series: &Series) -> usize {
        let mut cursor = Cursor::new(bytes, self.line);
        loop {
            if !cursor.next_line() {
                self.line = cursor.line();
                return cursor.at();
            }
            let (start, number) = (cursor.at(), cursor.line());
            let (mark, waiting) = (self.columns.mark(), self.wanted.rows.len());
            let fault = match self.take(&mut cursor, series) {
                Ok(None) => {
                    self.kept += 1;
                    continue;
                }
                Ok(Some(misfit)) => Some(misfit),
                Err(Stop::Fault(what)) if cursor.skip_line() => Some(what),
                Err(_) => None,
            };
            self.columns.cut(mark);
            self.wanted.cut(waiting);
            let Some(what) = fault else {
                self.line = number;
                return start;
            };
            self.faults.add(number, &what);
        }
    }

    /// Reads one line; the answer is why it can't be kept, where that is known once its end is there.
    fn take(&mut self, cursor: &mut Cursor<'_>, series: &Series) -> Result<Option<Misfit>, Stop> {
        let (number, from, waiting) = (cursor.line(), self.columns.mark(), self.wanted.rows.len());
        let expected = series.at(self.place).filter(|known| cursor.takes_key(&known.key));
        let (key, known) = match expected {
            Some(known) => {
                self.place += 1;
                (&*known.key, Some(known))
            }
            None => {
                let key = cursor.key()?;
                let found = series.find(key);
                self.place = found.map_or(self.place, |place| place + 1);
                (key, found.and_then(|place| series.at(place)))
            }
        };
        let mut misfit = None;
        // Lines of a series have its fields in one order, most of them.
        let mut place = 0;
        loop {
            let expected = known.and_then(|known| known.at(place));
            let (target, name) = match expected {
                Some(field) if cursor.takes_name(&field.name) => {
                    place += 1;
                    (Some(field.target), &b""[..])
                }
                _ => {
                    let name = cursor.name()?;
                    let found = known.and_then(|known| known.find(name));
                    place = found.map_or(place, |(place, _)| place + 1);
                    (found.map(|(_, target)| target), name)
                }
            };
            let value = cursor.value()?;
            if misfit.is_none() {
                misfit = self.put(key, name, target, value).err();
            }
            if !cursor.has_more()? {
                break;
            }
        }
        let time = cursor.time()?;
        if misfit.is_some() {
            return Ok(misfit);
        }
        let Some(time) = time.map_or(Some(self.now_us), |time| self.precision.micros(time)) else {
            return Ok(Some("timestamp out of range (22008)".into()));
        };
        self.columns.set_time(Timestamp(time));
        if self.wanted.rows.len() > waiting {
            self.misses += 1;
            self.wanted.lines.push(Line { number, from, until: self.columns.mark(), misfit: None });
        } else {
            self.hits += 1;
        }
        Ok(None)
    }

    /// Adds a row for a field's value.
    #[inline]
    fn put(&mut self, key: &[u8], name: &[u8], target: Option<Target>, value: Value<'_>) -> Result<(), Misfit> {
        match (value, target) {
            (Value::Text(raw), Some(target)) if target.kind.is_text() => self.columns.push_text(target.tag, raw),
            (Value::Text(_), Some(target)) => Err(conflict(value, target.kind)),
            (value, Some(target)) => {
                self.columns.push(target.tag, bits_of(target.kind, value)?);
                Ok(())
            }
            (value, None) => self.put_wanted(key, name, value),
        }
    }

    #[cold]
    fn put_wanted(&mut self, key: &[u8], name: &[u8], value: Value<'_>) -> Result<(), Misfit> {
        let want = self.wanted.want(key, name)?;
        let mark = self.columns.mark();
        let at = match value {
            Value::Text(raw) => {
                self.columns.push_text(UNKNOWN, raw)?;
                mark.texts
            }
            _ => {
                self.columns.push(UNKNOWN, 0);
                mark.samples
            }
        };
        self.wanted.rows.push(Row { want, at, value: Number::of(value), line: self.wanted.lines.len() });
        Ok(())
    }

    /// Settles the rows that waited, now that it is known what was wanted: lines that can't be kept go.
    pub(crate) fn settle(&mut self) {
        let mut wanted = std::mem::take(&mut self.wanted);
        for row in &wanted.rows {
            let line = &mut wanted.lines[row.line];
            if line.misfit.is_some() {
                continue;
            }
            let settled = match &wanted.wants[row.want].found {
                None => Err("its tag was not found".into()),
                Some(Err(why)) => Err(why.clone()),
                Some(Ok(target)) => self.settle_row(row, *target),
            };
            line.misfit = settled.err();
        }
        let mut gone: Vec<(Mark, Mark)> = Vec::new();
        for line in &wanted.lines {
            if let Some(what) = &line.misfit {
                gone.push((line.from, line.until));
                self.faults.add(line.number, what);
                self.kept -= 1;
            }
        }
        self.columns.take_out(&gone);
    }

    fn settle_row(&mut self, row: &Row, target: Target) -> Result<(), Misfit> {
        let bits = row.value.bits(target.kind)?;
        match row.value {
            Number::Text => self.columns.settle_text(row.at, target.tag),
            _ => self.columns.settle(row.at, target.tag, bits),
        }
        Ok(())
    }
}
