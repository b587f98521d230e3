//! Rows of record batches as bytes of an answer, in the form that was asked for.
//!
//! Promises: a piece has about `PIECE_BYTES` (a row more at most), whatever a batch has; an answer that failed says so at
//! its end, where its form has a place for it: the last element of JSON, the last line of JSON lines and CSV. An Arrow
//! stream has none; its body just does not end.

use super::accept::Format;
use super::cells::{quote_csv_from, write_csv, write_json, write_json_text};
use super::reply::error_json;
use crate::pg::encode::Column;
use crate::pg::error::Report;
use crate::pg::types::PgType;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use query::{Notice, Zone};
use serde_json::{Value, json};
use std::sync::Arc;

/// Rows are handed over in pieces of about this many bytes.
pub(crate) const PIECE_BYTES: usize = 64 << 10;
/// The same of Arrow streams, whose messages have heads.
const ARROW_PIECE_BYTES: usize = 512 << 10;

/// Writes one answer.
pub(crate) struct Encoder {
    zone: Zone,
    rows: u64,
    form: Form,
}

enum Form {
    Json {
        batch: Open,
    },
    /// With the keys of an object, each with its colon.
    JsonLines {
        keys: Vec<Vec<u8>>,
        batch: Open,
    },
    Csv {
        batch: Open,
    },
    Arrow {
        writer: Box<StreamWriter<Vec<u8>>>,
        schema: SchemaRef,
        left: Option<RecordBatch>,
    },
}

/// The batch at hand, and the next row of it.
#[derive(Default)]
struct Open {
    columns: Vec<Column>,
    row: usize,
    rows: usize,
}

fn arrow_failed(cause: arrow::error::ArrowError) -> Report {
    Report::error("XX000", cause.to_string())
}

impl Encoder {
    /// Begins an answer with these columns; what stands before the rows goes to `out`.
    pub(crate) fn begin(format: Format, schema: &SchemaRef, zone: Zone, out: &mut Vec<u8>) -> Result<Encoder, Report> {
        let form = match format {
            Format::Json => {
                out.extend_from_slice(b"{\"columns\":[");
                for (at, field) in schema.fields().iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b",{\"name\":" } else { b"{\"name\":" });
                    write_json_text(out, field.name());
                    out.extend_from_slice(b",\"type\":");
                    write_json_text(out, PgType::of(field.data_type()).name());
                    out.push(b'}');
                }
                out.extend_from_slice(b"],\"rows\":[");
                Form::Json { batch: Open::default() }
            }
            Format::JsonLines => Form::JsonLines { keys: keys_of(schema)?, batch: Open::default() },
            Format::Csv => {
                for (at, field) in schema.fields().iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    let start = out.len();
                    out.extend_from_slice(field.name().as_bytes());
                    quote_csv_from(out, start);
                }
                out.extend_from_slice(b"\r\n");
                Form::Csv { batch: Open::default() }
            }
            Format::Arrow => {
                let schema = Arc::new(Schema::new(schema.fields().iter().map(plain_field).collect::<Vec<_>>()));
                let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(arrow_failed)?;
                out.append(writer.get_mut());
                Form::Arrow { writer: Box::new(writer), schema, left: None }
            }
        };
        Ok(Encoder { zone, rows: 0, form })
    }

    /// Takes the next batch; `write` then writes it.
    pub(crate) fn take(&mut self, batch: &RecordBatch) -> Result<(), Report> {
        match &mut self.form {
            Form::Json { batch: open } | Form::JsonLines { batch: open, .. } | Form::Csv { batch: open } => {
                let columns = batch.columns().iter().map(|array| Column::new(array, false, self.zone));
                *open = Open { columns: columns.collect::<Result<_, _>>()?, row: 0, rows: batch.num_rows() };
            }
            Form::Arrow { schema, left, .. } => {
                let columns = batch.columns().iter().zip(schema.fields()).map(|(array, field)| plain_array(array, field));
                let columns = columns.collect::<Result<Vec<_>, _>>().map_err(arrow_failed)?;
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                *left = Some(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(arrow_failed)?);
            }
        }
        Ok(())
    }

    /// Writes rows of the batch until `out` has a piece's worth, or none is left. Whether some are left.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) -> Result<bool, Report> {
        let rows = &mut self.rows;
        match &mut self.form {
            Form::Json { batch } => batch.each(out, |columns, row, out| {
                out.extend_from_slice(if *rows > 0 { b",\n[" } else { b"\n[" });
                for (at, column) in columns.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_json(column, row, out)?;
                }
                out.push(b']');
                *rows += 1;
                Ok(())
            }),
            Form::JsonLines { keys, batch } => batch.each(out, |columns, row, out| {
                for (at, (column, key)) in columns.iter().zip(keys.iter()).enumerate() {
                    out.push(if at > 0 { b',' } else { b'{' });
                    out.extend_from_slice(key);
                    write_json(column, row, out)?;
                }
                out.extend_from_slice(if columns.is_empty() { b"{}\n" } else { b"}\n" });
                *rows += 1;
                Ok(())
            }),
            Form::Csv { batch } => batch.each(out, |columns, row, out| {
                for (at, column) in columns.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_csv(column, row, out)?;
                }
                out.extend_from_slice(b"\r\n");
                *rows += 1;
                Ok(())
            }),
            Form::Arrow { writer, left, .. } => {
                let Some(batch) = left.take().filter(|batch| batch.num_rows() > 0) else { return Ok(false) };
                let row_bytes = batch.get_array_memory_size() / batch.num_rows() + 1;
                let count = (ARROW_PIECE_BYTES / row_bytes).clamp(1, batch.num_rows());
                writer.write(&batch.slice(0, count)).map_err(arrow_failed)?;
                out.append(writer.get_mut());
                *rows += count as u64;
                *left = (count < batch.num_rows()).then(|| batch.slice(count, batch.num_rows() - count));
                Ok(left.is_some())
            }
        }
    }

    /// How many rows were written.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Ends an answer that is whole.
    pub(crate) fn finish(&mut self, command: &str, notices: &[Notice], out: &mut Vec<u8>) -> Result<(), Report> {
        match &mut self.form {
            Form::Json { .. } => {
                out.extend_from_slice(b"\n],\"row_count\":");
                query::text::write_u64(out, self.rows);
                out.extend_from_slice(b",\"command\":");
                write_json_text(out, command);
                if !notices.is_empty() {
                    out.extend_from_slice(b",\"notices\":");
                    out.extend_from_slice(notices_json(notices).to_string().as_bytes());
                }
                out.extend_from_slice(b"}\n");
            }
            Form::JsonLines { .. } | Form::Csv { .. } => {}
            Form::Arrow { writer, .. } => {
                writer.finish().map_err(arrow_failed)?;
                out.append(writer.get_mut());
            }
        }
        Ok(())
    }

    /// Ends an answer that failed after its first row.
    pub(crate) fn fail(&self, report: &Report, out: &mut Vec<u8>) {
        let error = error_json(report);
        match &self.form {
            Form::Json { .. } => out.extend_from_slice(format!("\n],\"error\":{error}}}\n").as_bytes()),
            Form::JsonLines { .. } => out.extend_from_slice(format!("{{\"error\":{error}}}\n").as_bytes()),
            Form::Csv { .. } => out.extend_from_slice(format!("#error {error}\r\n").as_bytes()),
            Form::Arrow { .. } => {}
        }
    }
}

impl Open {
    fn each(
        &mut self,
        out: &mut Vec<u8>,
        mut write: impl FnMut(&[Column], usize, &mut Vec<u8>) -> Result<(), Report>,
    ) -> Result<bool, Report> {
        while self.row < self.rows && out.len() < PIECE_BYTES {
            let start = out.len();
            let written = write(&self.columns, self.row, out);
            if let Err(report) = written {
                // Half a row would make what follows unreadable.
                out.truncate(start);
                return Err(report);
            }
            self.row += 1;
        }
        Ok(self.row < self.rows)
    }
}

/// Notes beside an answer.
pub(crate) fn notices_json(notices: &[Notice]) -> Value {
    let shown = notices.iter().map(|notice| {
        let mut shown = json!({ "severity": notice.severity, "sqlstate": notice.sqlstate, "message": notice.message });
        if let Some(hint) = &notice.hint {
            shown["hint"] = hint.as_str().into();
        }
        shown
    });
    Value::Array(shown.collect())
}

fn keys_of(schema: &Schema) -> Result<Vec<Vec<u8>>, Report> {
    let mut keys = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        if schema.fields()[..at].iter().any(|other| other.name() == name) {
            let message = format!("two columns are called \"{name}\", and an object can have only one");
            return Err(
                Report::error("42701", message).hinted("give one of them another name with AS, or ask for JSON with arrays")
            );
        }
        let mut key = Vec::new();
        write_json_text(&mut key, name);
        key.push(b':');
        keys.push(key);
    }
    Ok(keys)
}

/// Types that other languages' readers of Arrow have late or not at all become plain ones.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        other => other.clone(),
    }
}

fn plain_field(field: &FieldRef) -> Field {
    Field::new(field.name(), plain_type(field.data_type()), true)
}

fn plain_array(array: &ArrayRef, field: &Field) -> Result<ArrayRef, arrow::error::ArrowError> {
    if array.data_type() == field.data_type() { Ok(Arc::clone(array)) } else { cast(array, field.data_type()) }
}
