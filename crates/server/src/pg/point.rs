//! Statements of the point path: run on the connection's own thread, each row written as it is
//! found, straight into the output.
//!
//! Promises: what one statement writes here is bounded; beyond that it is begun again as a job, so
//! that a long range can't hold up the other connections of the thread.

use super::error::Report;
use super::frame;
use super::output::{begin, end};
use super::{report_of, value};
use query::text;
use query::{Cell, PointAnswer, RowSink, Zone};

/// Bytes of rows that are written inline at most.
const INLINE_BYTES_MAX: usize = 1 << 20;

/// Writes rows of cells as DataRow messages.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    formats: &'a [u8],
    zone: Zone,
    rows: u64,
    failure: Option<Failure>,
}

/// Why a point statement did not end here.
pub(crate) enum Failure {
    /// It failed.
    Report(Report),
    /// It has more rows than are written inline.
    TooMuch,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, formats: &'a [u8], zone: Zone) -> Self {
        let start = out.len();
        Writer { out, start, formats, zone, rows: 0, failure: None }
    }

    /// Ends it: how many rows were written. After a failure the output is as it was before.
    pub(crate) fn finish(self, result: Result<PointAnswer, query::Error>) -> Result<u64, Failure> {
        let failure = match (self.failure, result) {
            (Some(failure), _) => failure,
            (None, Err(error)) => Failure::Report(report_of(&error)),
            (None, Ok(PointAnswer::TooLong)) => Failure::TooMuch,
            (None, Ok(PointAnswer::Done(_))) => return Ok(self.rows),
        };
        self.out.truncate(self.start);
        Err(failure)
    }

    fn write(&mut self, cells: &[Cell<'_>]) -> Result<(), Failure> {
        if self.out.len() - self.start > INLINE_BYTES_MAX {
            return Err(Failure::TooMuch);
        }
        let at = begin(self.out, b'D');
        self.out.extend_from_slice(&(cells.len() as u16).to_be_bytes());
        for (index, cell) in cells.iter().enumerate() {
            if let Cell::Null = cell {
                self.out.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            let length_at = self.out.len();
            self.out.extend_from_slice(&[0; 4]);
            if frame::is_binary(self.formats, index) {
                write_binary(self.out, cell).map_err(Failure::Report)?;
            } else {
                write_text(self.out, cell, self.zone);
            }
            let length = (self.out.len() - length_at - 4) as u32;
            self.out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        }
        end(self.out, at);
        self.rows += 1;
        Ok(())
    }
}

impl RowSink for Writer<'_> {
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), query::Error> {
        self.write(cells).map_err(|failure| {
            self.failure = Some(failure);
            query::Error::unsupported("the row can't be written here")
        })
    }
}

fn write_text(out: &mut Vec<u8>, cell: &Cell<'_>, zone: Zone) {
    match *cell {
        Cell::Null => {}
        Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Time(us) => text::write_moment(out, us, zone),
        Cell::Double(value) => text::write_f64(out, value),
        Cell::Integer(value) => text::write_i64(out, value),
        Cell::Small(value) => text::write_i64(out, value.into()),
        Cell::Span(us) => {
            let (days, us) = span(us);
            text::write_interval(out, 0, days, us);
        }
    }
}

fn write_binary(out: &mut Vec<u8>, cell: &Cell<'_>) -> Result<(), Report> {
    match *cell {
        Cell::Null => {}
        Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Time(us) => out.extend_from_slice(&value::timestamp_to_pg(us)?.to_be_bytes()),
        Cell::Double(value) => out.extend_from_slice(&value.to_be_bytes()),
        Cell::Integer(value) => out.extend_from_slice(&value.to_be_bytes()),
        Cell::Small(value) => out.extend_from_slice(&value.to_be_bytes()),
        Cell::Span(us) => {
            let (days, us) = span(us);
            out.extend_from_slice(&us.to_be_bytes());
            out.extend_from_slice(&days.to_be_bytes());
            out.extend_from_slice(&0_i32.to_be_bytes());
        }
    }
    Ok(())
}

/// Days, and the microseconds left of one.
fn span(us: i64) -> (i32, i64) {
    const DAY_US: i64 = 86_400_000_000;
    // All of i64 microseconds is some 107 million days: that fits.
    ((us / DAY_US) as i32, us % DAY_US)
}
