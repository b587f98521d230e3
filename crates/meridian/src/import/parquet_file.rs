//! Parquet files as rows of text cells.
//!
//! Promises: numbers become the shortest text that reads back to the same number; times keep their
//! microseconds; a NULL is an empty cell. Only flat columns: a nested one is refused by name.

use super::source::Row;
use crate::Error;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::path::{Path, PathBuf};

const BATCH_ROWS: usize = 8192;

/// A Parquet file.
pub struct ParquetRows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    heads: Vec<String>,
    time_column: Option<usize>,
    total: u64,
    done: u64,
    batch: Option<Texts>,
}

/// A batch whose columns are text, and its times.
struct Texts {
    columns: Vec<ArrayRef>,
    times: Option<ArrayRef>,
    rows: usize,
    next: usize,
}

impl ParquetRows {
    /// Opens a file.
    ///
    /// # Errors
    /// `Error::File`, `Error::Input`.
    #[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
    pub fn open(path: &Path, time_column: &str) -> Result<ParquetRows, Error> {
        let input = |problem: String| Error::Input { path: path.to_path_buf(), problem };
        let file = File::open(path).map_err(|cause| Error::File { path: path.to_path_buf(), cause })?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| input(error.to_string()))?;
        let heads: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        for field in builder.schema().fields() {
            if field.data_type().is_nested() {
                return Err(input(format!(
                    "column \"{}\" is nested ({}); only flat columns can be imported",
                    field.name(),
                    field.data_type()
                )));
            }
        }
        let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| input(error.to_string()))?;
        let time_column = heads.iter().position(|head| head == time_column);
        Ok(ParquetRows { path: path.to_path_buf(), reader, heads, time_column, total, done: 0, batch: None })
    }

    /// The columns' names.
    pub fn heads(&self) -> &[String] {
        &self.heads
    }

    /// (rows done, rows in all).
    pub fn position(&self) -> (u64, u64) {
        (self.done, self.total)
    }

    /// Reads the next row; false at the end.
    ///
    /// # Errors
    /// `Error::Input`.
    pub fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        loop {
            if let Some(batch) = &mut self.batch
                && batch.next < batch.rows
            {
                batch.fill(row);
                self.done += 1;
                row.number = self.done;
                return Ok(true);
            }
            let input = |problem: String| Error::Input { path: self.path.clone(), problem };
            let Some(batch) = self.reader.next() else { return Ok(false) };
            let batch = batch.map_err(|error| input(error.to_string()))?;
            self.batch = Some(Texts::of(&batch, self.time_column).map_err(|error| input(error.to_string()))?);
        }
    }
}

impl Texts {
    fn of(batch: &RecordBatch, time_column: Option<usize>) -> Result<Texts, arrow::error::ArrowError> {
        let mut times = None;
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (i, column) in batch.columns().iter().enumerate() {
            if Some(i) == time_column {
                times = as_times(column)?;
            }
            columns.push(cast(column, &DataType::Utf8)?);
        }
        Ok(Texts { columns, times, rows: batch.num_rows(), next: 0 })
    }

    fn fill(&mut self, row: &mut Row) {
        row.cells.clear();
        for column in &self.columns {
            let texts = column.as_string::<i32>();
            row.cells.push_field(if texts.is_null(self.next) { b"" } else { texts.value(self.next).as_bytes() });
        }
        row.time = self.times.as_ref().and_then(|times| {
            let times = times.as_primitive::<TimestampMicrosecondType>();
            times.is_valid(self.next).then(|| times.value(self.next))
        });
        self.next += 1;
    }
}

/// The column as microseconds, where it is one of times or dates.
fn as_times(column: &ArrayRef) -> Result<Option<ArrayRef>, arrow::error::ArrowError> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    match column.data_type() {
        // A zone only says how to show a moment, so it is left out; finer digits fall away.
        DataType::Timestamp(unit, _) => cast(&cast(column, &DataType::Timestamp(*unit, None))?, &micros).map(Some),
        DataType::Date64 => cast(column, &micros).map(Some),
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            let times = days.unary::<_, TimestampMicrosecondType>(|day| i64::from(day) * 86_400_000_000);
            Ok(Some(std::sync::Arc::new(times)))
        }
        _ => Ok(None),
    }
}
