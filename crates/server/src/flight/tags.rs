//! Tags by DoPut: each batch is created whole or not at all.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use tonic::Status;
use types::{Kind, TagDefinition};

const COLUMNS: [&str; 5] = ["name", "kind", "unit", "description", "labels"];

/// Checks the schema of a stream of tags.
pub(crate) fn check(schema: &Schema) -> Result<(), Status> {
    for needed in &COLUMNS[..2] {
        if schema.index_of(needed).is_err() {
            return Err(Status::invalid_argument(format!("the schema has no column \"{needed}\"")));
        }
    }
    for field in schema.fields() {
        let text = match field.data_type() {
            DataType::Dictionary(_, values) => matches!(**values, DataType::Utf8 | DataType::LargeUtf8),
            other => matches!(other, DataType::Utf8 | DataType::LargeUtf8),
        };
        if !COLUMNS.contains(&field.name().as_str()) || !text {
            let message = format!("there is no place for column \"{}\" of type {}", field.name(), field.data_type());
            return Err(Status::invalid_argument(message));
        }
    }
    Ok(())
}

/// The tags that a batch defines.
pub(crate) fn definitions(batch: &RecordBatch) -> Result<Vec<TagDefinition>, Status> {
    let texts = |name: &str| {
        batch.column_by_name(name).map(|column| cast(column, &DataType::Utf8)).transpose().map_err(super::message::malformed)
    };
    let (names, kinds) = (texts("name")?, texts("kind")?);
    let (Some(names), Some(kinds)) = (names, kinds) else {
        return Err(Status::invalid_argument("a batch of tags has the columns \"name\" and \"kind\""));
    };
    let (units, descriptions, labels) = (texts("unit")?, texts("description")?, texts("labels")?);
    let (names, kinds) = (names.as_string::<i32>(), kinds.as_string::<i32>());
    let mut tags = Vec::with_capacity(names.len());
    let or_empty = |column: &Option<arrow::array::ArrayRef>, row: usize| {
        let column = column.as_ref().map(|column| column.as_string::<i32>());
        column.filter(|column| !column.is_null(row)).map_or_else(String::new, |column| column.value(row).to_owned())
    };
    // Neighbours mostly have the same labels: they are read once.
    let mut last = (String::new(), Vec::new());
    for row in 0..names.len() {
        if names.is_null(row) || kinds.is_null(row) {
            return Err(Status::invalid_argument(format!("row {row}: name and kind can't be null")));
        }
        let kind = Kind::parse(kinds.value(row)).map_err(|cause| Status::invalid_argument(format!("row {row}: {cause}")))?;
        let mut tag = TagDefinition::new(names.value(row), kind);
        tag.unit = or_empty(&units, row);
        tag.description = or_empty(&descriptions, row);
        let text = or_empty(&labels, row);
        if text != last.0 {
            let read = if text.is_empty() { Vec::new() } else { labels_of(&text, row)? };
            last = (text, read);
        }
        tag.labels.clone_from(&last.1);
        tags.push(tag);
    }
    Ok(tags)
}

fn labels_of(text: &str, row: usize) -> Result<Vec<(String, String)>, Status> {
    query::parse_labels(text).map_err(|error| Status::invalid_argument(format!("row {row}: {error}")))
}

/// A catalog's error as gRPC knows it.
pub(crate) fn status_of(error: &catalog::Error) -> Status {
    use catalog::Error as E;
    let message = error.to_string();
    match error {
        E::Exists(_) => Status::already_exists(message),
        E::Unknown(_) => Status::not_found(message),
        E::Invalid { .. } => Status::invalid_argument(message),
        E::DiskFull(_) => Status::resource_exhausted(message),
        E::Poisoned(_) => Status::unavailable(message),
        _ => Status::internal(message),
    }
}
