//! Messages of a Flight stream, checked and decoded: schema, dictionaries, batches.
//!
//! Promises: lengths and offsets that a client wrote are checked against the bytes that are there
//! before anything is taken from them; compressed bodies, unknown messages and types that no table
//! here takes are refused; decoding copies no column that is aligned.
//! Decoding changes nothing outside itself, so a panic within Arrow's own reader (it asserts on what
//! it did not expect) is caught and answered as a malformed message.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::ipc;
use arrow_flight::FlightData;
use bytes::Bytes;
use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tonic::Status;

/// The most that the dictionaries of one stream may hold.
const DICTIONARY_BYTES_MAX: usize = 512 << 20;
/// The most columns a schema may have.
const COLUMNS_MAX: usize = 64;
/// The most columns that parameters may have, as in PostgreSQL.
const PARAMETERS_MAX: usize = 65_535;

/// What a message was.
pub(crate) enum Message {
    /// The stream's schema.
    Schema(SchemaRef),
    /// A dictionary for columns of later batches.
    Dictionary,
    /// Rows.
    Batch(RecordBatch),
    /// Only a descriptor or metadata.
    Nothing,
}

/// Decodes the messages of one stream.
#[derive(Default)]
pub(crate) struct Decoder {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
    /// Whether columns may be of types that no table has, and there may be none.
    any_type: bool,
}

/// Rows that a batch without a byte may have: columns of nothing but NULL have none.
const EMPTY_ROWS_MAX: i64 = 1 << 16;

pub(crate) fn malformed(what: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("malformed message: {what}"))
}

impl Decoder {
    /// One for whoever converts columns itself: parameters of statements, bulk ingestion.
    pub(crate) fn of_any_type() -> Decoder {
        Decoder { any_type: true, ..Decoder::default() }
    }

    /// Decodes the next message.
    pub(crate) fn decode(&mut self, data: &FlightData) -> Result<Message, Status> {
        if data.data_header.is_empty() {
            return Ok(Message::Nothing);
        }
        let message = ipc::root_as_message(&data.data_header).map_err(malformed)?;
        let version = message.version();
        if version != ipc::MetadataVersion::V4 && version != ipc::MetadataVersion::V5 {
            return Err(malformed("its metadata version is neither 4 nor 5"));
        }
        match message.header_type() {
            ipc::MessageHeader::NONE => Ok(Message::Nothing),
            ipc::MessageHeader::Schema => {
                let schema = message.header_as_schema().ok_or_else(|| malformed("it has no schema"))?;
                let schema = caught(|| Ok(ipc::convert::fb_to_schema(schema)))?;
                check_schema(&schema, self.any_type)?;
                self.dictionaries.clear();
                self.schema = Some(Arc::new(schema));
                Ok(Message::Schema(self.schema()?))
            }
            ipc::MessageHeader::DictionaryBatch => {
                let batch = message.header_as_dictionary_batch().ok_or_else(|| malformed("it has no dictionary"))?;
                check_body(batch.data().ok_or_else(|| malformed("its dictionary has no data"))?, &data.data_body, 0)?;
                let schema = self.schema()?;
                let body = aligned(&data.data_body);
                caught(|| {
                    ipc::reader::read_dictionary(&body, batch, &schema, &mut self.dictionaries, &version).map_err(malformed)
                })?;
                let held: usize = self.dictionaries.values().map(|values| values.get_array_memory_size()).sum();
                if held > DICTIONARY_BYTES_MAX {
                    return Err(Status::resource_exhausted(format!("dictionaries of more than {DICTIONARY_BYTES_MAX} bytes")));
                }
                Ok(Message::Dictionary)
            }
            ipc::MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch().ok_or_else(|| malformed("it has no batch"))?;
                check_body(batch, &data.data_body, if self.any_type { EMPTY_ROWS_MAX } else { 0 })?;
                let schema = self.schema()?;
                let body = aligned(&data.data_body);
                let dictionaries = &self.dictionaries;
                let decoded = caught(|| {
                    ipc::reader::read_record_batch(&body, batch, schema, dictionaries, None, &version).map_err(malformed)
                })?;
                Ok(Message::Batch(decoded))
            }
            _ => Err(malformed("it is neither schema, dictionary nor batch")),
        }
    }

    fn schema(&self) -> Result<SchemaRef, Status> {
        self.schema.clone().ok_or_else(|| malformed("the schema must come first"))
    }
}

thread_local! {
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread reads what a client wrote: a panic is then told to that client, and to nobody else.
#[must_use]
pub fn is_reading() -> bool {
    READING.get()
}

/// Runs a part of Arrow's reader that asserts on bytes it did not expect.
fn caught<T>(read: impl FnOnce() -> Result<T, Status>) -> Result<T, Status> {
    READING.set(true);
    let done = catch_unwind(AssertUnwindSafe(read));
    READING.set(false);
    done.unwrap_or_else(|_| Err(malformed("it can't be read")))
}

/// The body as a buffer: as it is where it is aligned, else copied once.
fn aligned(body: &Bytes) -> Buffer {
    if (body.as_ptr() as usize).is_multiple_of(8) { Buffer::from(body.clone()) } else { Buffer::from(body.as_ref()) }
}

/// Only types are taken that a table here has columns of: flat ones, lists of texts and maps of texts.
fn check_schema(schema: &Schema, any_type: bool) -> Result<(), Status> {
    let (least, most) = if any_type { (0, PARAMETERS_MAX) } else { (1, COLUMNS_MAX) };
    if !(least..=most).contains(&schema.fields().len()) {
        return Err(Status::invalid_argument(format!("a schema has {least} to {most} columns")));
    }
    if any_type {
        return check_any(schema);
    }
    let text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8);
    let flat = |data_type: &DataType| data_type.is_primitive() || *data_type == DataType::Boolean || text(data_type);
    for field in schema.fields() {
        let taken = match field.data_type() {
            DataType::Dictionary(key, value) => key.is_dictionary_key_type() && text(value),
            DataType::List(item) => text(item.data_type()),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) => pair.len() == 2 && pair.iter().all(|part| text(part.data_type())),
                _ => false,
            },
            other => flat(other),
        };
        if !taken {
            return Err(Status::invalid_argument(format!(
                "column \"{}\" has type {}, which is not taken",
                field.name(),
                field.data_type()
            )));
        }
    }
    Ok(())
}

/// Any values and lists of values; nothing deeper.
fn check_any(schema: &Schema) -> Result<(), Status> {
    let flat = |data_type: &DataType| match data_type {
        DataType::Dictionary(key, value) => key.is_dictionary_key_type() && !value.is_nested(),
        other => !other.is_nested(),
    };
    let taken = |data_type: &DataType| match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => flat(item.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => pair.len() == 2 && pair.iter().all(|part| flat(part.data_type())),
            _ => false,
        },
        other => flat(other),
    };
    match schema.fields().iter().find(|field| !taken(field.data_type())) {
        Some(field) => {
            let (name, found) = (field.name(), field.data_type());
            Err(Status::invalid_argument(format!("column \"{name}\" has type {found}, which is not taken")))
        }
        None => Ok(()),
    }
}

/// Offsets and lengths must lie within the body.
fn check_body(batch: ipc::RecordBatch<'_>, body: &[u8], rows_min: i64) -> Result<(), Status> {
    if batch.compression().is_some() {
        return Err(Status::invalid_argument("compressed bodies are not taken"));
    }
    let within = |buffer: &ipc::Buffer| {
        let start = usize::try_from(buffer.offset()).ok()?;
        let end = start.checked_add(usize::try_from(buffer.length()).ok()?)?;
        (end <= body.len()).then_some(())
    };
    let buffers = batch.buffers().ok_or_else(|| malformed("it has no buffers"))?;
    if buffers.iter().any(|buffer| within(buffer).is_none()) {
        return Err(malformed("a buffer lies outside the body"));
    }
    let nodes = batch.nodes().ok_or_else(|| malformed("it has no nodes"))?;
    // A row takes at least a bit of each column: more rows than bits is a lie that would take memory.
    let rows_max = (body.len() as i64).saturating_mul(8).max(rows_min);
    let sane = |rows: i64| (0..=rows_max).contains(&rows);
    if !sane(batch.length()) || nodes.iter().any(|node| !sane(node.length()) || !(0..=node.length()).contains(&node.null_count()))
    {
        return Err(malformed("it has more rows than its body can hold"));
    }
    Ok(())
}
