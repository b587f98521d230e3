//! Tags by DoPut: each batch is created whole or not at all. Columns and types are those that INSERT
//! INTO tags takes.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use tonic::Status;
use types::TagDefinition;

/// Columns, and what each may be.
const COLUMNS: [(&str, Form); 14] = [
    ("name", Form::Text),
    ("kind", Form::Text),
    ("description", Form::Text),
    ("unit", Form::Text),
    ("states", Form::List),
    ("labels", Form::Map),
    ("low_low", Form::Number),
    ("low", Form::Number),
    ("high", Form::Number),
    ("high_high", Form::Number),
    ("cadence", Form::Span),
    ("compression", Form::Text),
    ("deviation", Form::Number),
    ("span", Form::Span),
];

/// What a column may be beside text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    List,
    Map,
    Number,
    Span,
}

impl Form {
    fn takes(self, data_type: &DataType) -> bool {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 => true,
            DataType::Dictionary(_, values) => matches!(**values, DataType::Utf8 | DataType::LargeUtf8),
            DataType::List(_) => self == Form::List,
            DataType::Map(..) => self == Form::Map,
            DataType::Duration(_) | DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano) => self == Form::Span,
            other => self == Form::Number && other.is_numeric(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Form::Text => "Utf8",
            Form::List => "List(Utf8) or Utf8",
            Form::Map => "Map(Utf8, Utf8) or Utf8",
            Form::Number => "Float64, another number or Utf8",
            Form::Span => "Duration, Interval(MonthDayNano) or Utf8",
        }
    }
}

/// Checks the schema of a stream of tags.
pub(crate) fn check(schema: &Schema) -> Result<(), Status> {
    for needed in ["name", "kind"] {
        if schema.index_of(needed).is_err() {
            return Err(Status::invalid_argument(format!("the schema has no column \"{needed}\"")));
        }
    }
    for (at, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        if schema.fields()[..at].iter().any(|other| other.name() == name) {
            return Err(Status::invalid_argument(format!("the schema has two columns \"{name}\"")));
        }
        let Some((_, form)) = COLUMNS.iter().find(|(known, _)| known == name) else {
            let known = COLUMNS.map(|(known, _)| known).join(", ");
            return Err(Status::invalid_argument(format!("there is no place for column \"{name}\"; columns are {known}")));
        };
        if !form.takes(field.data_type()) {
            let message = format!("column \"{name}\" has type {}; it may be {}", field.data_type(), form.words());
            return Err(Status::invalid_argument(message));
        }
    }
    Ok(())
}

/// The tags that a batch defines.
pub(crate) fn definitions(batch: &RecordBatch) -> Result<Vec<TagDefinition>, Status> {
    query::tag_definitions(batch).map_err(|(row, error)| {
        let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
        let place = row.map_or_else(String::new, |row| format!("row {row}: "));
        Status::invalid_argument(format!("{place}{error}{hint}"))
    })
}

/// The error of a change of the tag table as gRPC knows it.
pub(crate) fn status_of(error: &query::Error) -> Status {
    use query::Error as E;
    let message = error.to_string();
    match error {
        E::DuplicateTag(_) => Status::already_exists(message),
        E::UnknownTag(_) => Status::not_found(message),
        E::Check(_) => Status::invalid_argument(message),
        E::Forbidden(_) | E::InvalidRole(_) => Status::permission_denied(message),
        E::DiskFull(_) => Status::resource_exhausted(message),
        E::Io(_) | E::Unavailable(_) | E::Unreachable(_) | E::ShuttingDown(_) => Status::unavailable(message),
        _ => Status::internal(message),
    }
}
