//! How archiving stands, of a lone node or of a fleet: the table `meridian.archive`, and what is counted of both.
//!
//! Promises: one row where something is archived, none elsewhere. May not know who archives.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use query::Figure;
use std::sync::Arc;
use std::time::Duration;

/// Its row.
pub struct ArchiveRow {
    /// The repository.
    pub place: String,
    /// The line of the store; of a fleet, which it is.
    pub line: String,
    /// `archiving`, `failing`; of a fleet, `stopped` where nobody does it now.
    pub state: &'static str,
    /// All up to this moment is archived, microseconds since 1970.
    pub archived_until: Option<u64>,
    /// Bytes of log that wait; not told of a fleet, where each node has its own.
    pub waiting_bytes: Option<u64>,
    /// Parcels, or marks.
    pub parcels: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Times that log was let go.
    pub gaps: u64,
    /// Why it fails.
    pub fault: Option<String>,
}

/// Its columns.
#[must_use]
pub fn archive_schema() -> SchemaRef {
    let field = |name: &str, data_type: DataType, nullable| Field::new(name, data_type, nullable);
    Arc::new(Schema::new(vec![
        field("place", DataType::Utf8, false),
        field("line", DataType::Utf8, false),
        field("state", DataType::Utf8, false),
        field("archived_until", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        field("waiting_bytes", DataType::Int64, true),
        field("parcels", DataType::Int64, false),
        field("failures", DataType::Int64, false),
        field("gaps", DataType::Int64, false),
        field("fault", DataType::Utf8, true),
    ]))
}

/// Its rows.
///
/// # Errors
/// `query::Error` where the columns don't fit, which they do.
pub fn archive_rows(row: Option<ArchiveRow>) -> Result<RecordBatch, query::Error> {
    let Some(row) = row else { return Ok(RecordBatch::new_empty(archive_schema())) };
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let moment = TimestampMicrosecondArray::from(vec![row.archived_until.map(number)]);
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let count = |value: Option<u64>| -> ArrayRef { Arc::new(Int64Array::from(vec![value.map(number)])) };
    let columns = vec![
        text(&row.place),
        text(&row.line),
        text(row.state),
        Arc::new(moment.with_timezone("UTC")),
        count(row.waiting_bytes),
        count(Some(row.parcels)),
        count(Some(row.failures)),
        count(Some(row.gaps)),
        Arc::new(StringArray::from(vec![row.fault])),
    ];
    Ok(RecordBatch::try_new(archive_schema(), columns)?)
}

/// What is counted wherever something is archived.
pub struct ArchiveFigures {
    /// Age of the oldest thing that may not be archived yet.
    pub lag: Duration,
    /// Whether the last try failed.
    pub fails: bool,
    /// Tries that failed.
    pub failures: u64,
    /// Parcels, or marks.
    pub parcels: u64,
}

impl ArchiveFigures {
    /// As they are told.
    #[must_use]
    pub fn figures(&self) -> [Figure; 4] {
        let figure = |name, kind, help, value| Figure { name, kind, help, value };
        let flag = f64::from(u8::from(self.fails));
        [
            figure("meridian_archive_lag_seconds", "gauge", "Age of what is not archived yet.", self.lag.as_secs_f64()),
            figure("meridian_archive_failing", "gauge", "Whether the repository could not be written to (1) or could (0).", flag),
            figure("meridian_archive_failures_total", "counter", "Attempts to archive that failed.", self.failures as f64),
            figure("meridian_archive_parcels_total", "counter", "Parcels, in a fleet marks, archived.", self.parcels as f64),
        ]
    }
}
