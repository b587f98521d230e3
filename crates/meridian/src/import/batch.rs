//! One batch of an import: rows read, their samples, and the COPY texts made of them.
//!
//! Promises: a row is in the texts whole or refused whole, with the reason; rows are refused in the
//! order of the file.

use super::refused::Refused;
use super::shape::RawSample;
use super::source::Row;
use super::tags::{Known, Tags};
use super::time::write_time;
use super::{kinds, shape::Names};
use crate::Error;
use csv::ByteRecord;
use types::Quality;

/// Rows of one batch.
#[derive(Default)]
pub struct Batch {
    /// Their samples, row after row.
    pub samples: Vec<RawSample>,
    /// The text of all values.
    pub texts: String,
    rows: Vec<BatchRow>,
    cells_bytes: usize,
}

struct BatchRow {
    number: u64,
    samples_end: usize,
    cells: Option<ByteRecord>,
    refused: Option<String>,
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
    /// A row's samples have been added up to here, or it is refused; its cells are kept where a
    /// reject file wants them.
    pub fn end_row(&mut self, row: &Row, keep: bool, refused: Option<String>) {
        let cells = keep.then(|| row.cells.clone());
        self.cells_bytes += cells.as_ref().map_or(0, |cells| cells.as_slice().len()) + refused.as_ref().map_or(0, String::len);
        self.rows.push(BatchRow { number: row.number, samples_end: self.samples.len(), cells, refused });
    }

    /// Whether it has so many samples or rows, or holds so many bytes, that it is sent.
    pub fn is_full(&self, samples_max: usize, bytes_max: usize) -> bool {
        self.samples.len() >= samples_max || self.rows.len() >= samples_max || self.texts.len() + self.cells_bytes >= bytes_max
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
            let misfit = || {
                samples.iter().find_map(|sample| {
                    let name = || names.all()[sample.tag as usize].chars().take(64).collect::<String>();
                    match tags.get(sample.tag) {
                        None => Some(format!("there is no tag \"{}\" (and --no-create was given)", name())),
                        Some(tag) => {
                            let wrong = kinds::check(tag.kind, &tag.states, self.text(sample)).err();
                            wrong.map(|why| format!("tag \"{}\": {why}", name()))
                        }
                    }
                })
            };
            if let Some(reason) = row.refused.clone().or_else(misfit) {
                refused.add(row.number, row.cells.as_ref(), reason)?;
                continue;
            }
            out.rows += 1;
            out.values += samples.len() as u64;
            for sample in samples {
                let tag = tags.get(sample.tag).expect("a row with a tag that is not there was refused");
                let into = if tag.kind.is_text() { &mut out.events } else { &mut out.samples };
                write_line(into, &names.all()[sample.tag as usize], sample, tag, self.text(sample));
            }
        }
        Ok(out)
    }
}

fn write_line(into: &mut String, name: &str, sample: &RawSample, tag: &Known, text: &str) {
    kinds::escape(into, name);
    into.push('\t');
    write_time(into, sample.time);
    into.push('\t');
    kinds::write_value(into, tag.kind, &tag.states, text);
    into.push('\t');
    if sample.quality == Quality::GOOD {
        into.push_str("192");
    } else {
        into.push_str(&sample.quality.0.to_string());
    }
    into.push('\n');
}
