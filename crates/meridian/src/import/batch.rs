//! One batch of an import: rows read, their samples, and the COPY texts made of them.
//!
//! Promises: a row is in the texts whole or refused whole, with the reason.

use super::refused::Refused;
use super::shape::RawSample;
use super::source::Row;
use super::tags::Tags;
use super::time::write_time;
use super::{kinds, shape::Names};
use crate::Error;
use csv::ByteRecord;
use types::{Kind, Quality};

/// Rows of one batch.
#[derive(Default)]
pub struct Batch {
    /// Their samples, row after row.
    pub samples: Vec<RawSample>,
    /// The text of all values.
    pub texts: String,
    rows: Vec<BatchRow>,
}

struct BatchRow {
    number: u64,
    samples_end: usize,
    cells: Option<ByteRecord>,
}

/// What goes to the node.
#[derive(Default)]
pub struct Texts {
    /// For `COPY samples`.
    pub samples: String,
    /// For `COPY events`.
    pub events: String,
    /// Rows of the file in both.
    pub rows: u64,
    /// Samples in both.
    pub values: u64,
    /// The number of the last row.
    pub last_row: u64,
}

impl Batch {
    /// A row's samples have been added up to here; its cells are kept where a reject file wants them.
    pub fn end_row(&mut self, row: &Row, keep: bool) {
        let cells = keep.then(|| row.cells.clone());
        self.rows.push(BatchRow { number: row.number, samples_end: self.samples.len(), cells });
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The values of a tag in this batch.
    pub fn values_of(&self, tag: u32) -> impl Iterator<Item = &str> {
        self.samples.iter().filter(move |sample| sample.tag == tag).map(|sample| self.text(sample))
    }

    fn text(&self, sample: &RawSample) -> &str {
        &self.texts[sample.text.0 as usize..sample.text.1 as usize]
    }

    /// The texts of all rows that are right; the others are refused.
    ///
    /// # Errors
    /// `Error::File` where the reject file can't be written.
    pub fn write(&self, tags: &Tags, names: &Names, refused: &mut Refused) -> Result<Texts, Error> {
        let mut out = Texts::default();
        let mut start = 0;
        for row in &self.rows {
            let samples = &self.samples[start..row.samples_end];
            start = row.samples_end;
            out.last_row = row.number;
            let wrong = samples.iter().find_map(|sample| {
                let name = || names.all()[sample.tag as usize].chars().take(64).collect::<String>();
                match tags.kind(sample.tag) {
                    None => Some(format!("there is no tag \"{}\" (and --no-create was given)", name())),
                    Some(kind) => kinds::check(kind, self.text(sample)).err().map(|why| format!("tag \"{}\": {why}", name())),
                }
            });
            if let Some(reason) = wrong {
                refused.add_cells(row.number, row.cells.as_ref(), reason)?;
                continue;
            }
            out.rows += 1;
            out.values += samples.len() as u64;
            for sample in samples {
                let kind = tags.kind(sample.tag).unwrap_or(Kind::F64);
                let into = if kind.is_text() { &mut out.events } else { &mut out.samples };
                write_line(into, &names.all()[sample.tag as usize], sample, kind, self.text(sample));
            }
        }
        Ok(out)
    }
}

fn write_line(into: &mut String, name: &str, sample: &RawSample, kind: Kind, text: &str) {
    kinds::escape(into, name);
    into.push('\t');
    write_time(into, sample.time);
    into.push('\t');
    kinds::write_value(into, kind, text);
    into.push('\t');
    if sample.quality == Quality::GOOD {
        into.push_str("192");
    } else {
        into.push_str(&sample.quality.0.to_string());
    }
    into.push('\n');
}
