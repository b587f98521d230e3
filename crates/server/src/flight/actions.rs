//! Actions: small questions beside the streams.
//!
//! `resolve`: the body is an Arrow IPC stream with one text column `name`; the answer is an Arrow IPC
//! stream with one UInt64 column `tag`, a row a name in the same order, null where there is no such tag.

use super::message::{Decoder, Message, malformed};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc;
use arrow::ipc::writer::StreamWriter;
use arrow_flight::{ActionType, FlightData};
use bytes::Bytes;
use catalog::Catalog;
use query::Access;
use std::sync::Arc;
use tonic::Status;

/// What there is.
pub(crate) fn list() -> Vec<ActionType> {
    vec![ActionType {
        r#type: "resolve".to_owned(),
        description: "names of tags to ordinals; body and answer are Arrow IPC streams (name: Utf8 -> tag: UInt64)".to_owned(),
    }]
}

/// Runs one.
pub(crate) fn run(catalog: &Catalog, access: &Access, action: &str, body: &[u8]) -> Result<Bytes, Status> {
    match action {
        "resolve" => resolve(catalog, access, body),
        other => {
            let shown: String = other.chars().take(64).collect();
            Err(Status::unimplemented(format!("there is no action \"{shown}\"; see ListActions")))
        }
    }
}

fn resolve(catalog: &Catalog, access: &Access, body: &[u8]) -> Result<Bytes, Status> {
    let names = names(body)?;
    let rights = access.rights();
    rights.may_resolve().map_err(|error| Status::permission_denied(error.to_string()))?;
    let mut ordinals = Vec::new();
    for part in &names {
        let part: Vec<&str> = part.as_string::<i32>().iter().map(Option::unwrap_or_default).collect();
        let found = part.iter().zip(catalog.find_many(&part));
        // A tag that may neither be read nor written is none.
        ordinals.extend(found.map(|(name, tag)| tag.filter(|tag| rights.resolves(catalog, *tag, name)).map(|tag| tag.0)));
    }
    let schema = Arc::new(Schema::new(vec![Field::new("tag", DataType::UInt64, true)]));
    let failed = |cause: arrow::error::ArrowError| Status::internal(cause.to_string());
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(UInt64Array::from(ordinals))]).map_err(failed)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(failed)?;
    writer.write(&batch).map_err(failed)?;
    Ok(writer.into_inner().map_err(failed)?.into())
}

fn names(body: &[u8]) -> Result<Vec<ArrayRef>, Status> {
    let mut decoder = Decoder::of_any_type();
    let mut columns = Vec::new();
    let (mut rest, mut begun) = (body, false);
    while let Some(message) = next_message(&mut rest)? {
        begun = true;
        let Message::Batch(batch) = decoder.decode(&message)? else { continue };
        let column = batch.column_by_name("name").ok_or_else(|| Status::invalid_argument("there is no column \"name\""))?;
        if !column.is_empty() {
            columns.push(cast(column, &DataType::Utf8).map_err(malformed)?);
        }
    }
    if begun { Ok(columns) } else { Err(malformed("there is no stream")) }
}

/// The next message of an Arrow IPC stream; none at its end. Every length is held against the bytes that are there: Arrow's own
/// reader of streams takes as much memory as a client says, before it looks for the bytes.
fn next_message(rest: &mut &[u8]) -> Result<Option<FlightData>, Status> {
    /// What later writers put before a message's length.
    const CONTINUES: u32 = u32::MAX;
    if rest.is_empty() {
        return Ok(None);
    }
    let mut bytes = length(rest)?;
    if bytes == CONTINUES {
        bytes = length(rest)?;
    }
    if bytes == 0 {
        return Ok(None);
    }
    let header = cut(rest, i64::from(bytes))?;
    let body = ipc::root_as_message(header).map_err(malformed)?.bodyLength();
    let (data_header, data_body) = (Bytes::copy_from_slice(header), Bytes::copy_from_slice(cut(rest, body)?));
    Ok(Some(FlightData { data_header, data_body, ..FlightData::default() }))
}

fn length(rest: &mut &[u8]) -> Result<u32, Status> {
    let (word, left) = rest.split_first_chunk().ok_or_else(|| malformed("it ends within a length"))?;
    *rest = left;
    Ok(u32::from_le_bytes(*word))
}

fn cut<'a>(rest: &mut &'a [u8], bytes: i64) -> Result<&'a [u8], Status> {
    let cut = usize::try_from(bytes).ok().and_then(|bytes| rest.split_at_checked(bytes));
    let (cut, left) = cut.ok_or_else(|| malformed("a message is longer than what came"))?;
    *rest = left;
    Ok(cut)
}
