//! Parquet files as batches.

use super::arrow_rows::{ArrowRows, BATCH_ROWS, Extent, Wanted, guarded};
use crate::Error;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::Path;

/// Opens a file.
///
/// # Errors
/// `Error::File`, `Error::Input`.
#[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
pub fn open(path: &Path, wanted: Wanted) -> Result<ArrowRows, Error> {
    let file = File::open(path).map_err(|cause| Error::File { path: path.to_path_buf(), cause })?;
    let builder = guarded(path, || Ok(ParquetRecordBatchReaderBuilder::try_new(file)?))?;
    let schema = builder.schema().clone();
    let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let reader = guarded(path, || Ok(builder.with_batch_size(BATCH_ROWS).build()?))?;
    ArrowRows::over(path, &schema, Box::new(reader), Extent::Rows(total), wanted)
}
