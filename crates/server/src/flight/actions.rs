//! Actions: small questions beside the streams.
//!
//! `resolve`: the body is an Arrow IPC stream with one text column `name`; the answer is an Arrow IPC
//! stream with one UInt64 column `tag`, a row a name in the same order, null where there is no such tag.

use super::message::malformed;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow_flight::ActionType;
use bytes::Bytes;
use catalog::Catalog;
use query::Access;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    // Reading changes nothing; Arrow's reader may assert on bytes that it did not expect.
    let names = catch_unwind(AssertUnwindSafe(|| names(body))).unwrap_or_else(|_| Err(malformed("it can't be read")))?;
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
    let reader = StreamReader::try_new(body, None).map_err(malformed)?;
    let mut columns = Vec::new();
    for batch in reader {
        let batch = batch.map_err(malformed)?;
        let column = batch.column_by_name("name").ok_or_else(|| Status::invalid_argument("there is no column \"name\""))?;
        if !column.is_empty() {
            columns.push(cast(column, &DataType::Utf8).map_err(malformed)?);
        }
    }
    Ok(columns)
}
