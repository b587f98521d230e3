//! Arrow batches into a Parquet file, an Arrow IPC file or an Arrow IPC stream.
//!
//! Promises: no more than a row group is held; Parquet keeps statistics by row group and page.

use super::form::Form;
use super::place::Output;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::error::Error as AnyError;
use std::io::BufWriter;

/// Rows of a row group at most.
const GROUP_ROWS_MAX: usize = 1 << 20;
/// Bytes of a row group, as it is held and written, at most (and what one batch may bring over it).
const GROUP_BYTES_MAX: usize = 64 << 20;

type Failed = Box<dyn AnyError + Send + Sync>;

/// A file that batches are written to.
pub enum Sheets {
    /// Parquet.
    Parquet(Box<ArrowWriter<Output>>),
    /// An IPC file.
    File(Box<FileWriter<BufWriter<Output>>>),
    /// An IPC stream.
    Stream(Box<StreamWriter<BufWriter<Output>>>),
}

impl Sheets {
    /// A file of that form.
    ///
    /// # Errors
    /// What writing its head gives.
    pub fn new(form: Form, output: Output, schema: &SchemaRef) -> Result<Sheets, Failed> {
        Ok(match form {
            Form::Arrow => {
                let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
                Sheets::File(Box::new(FileWriter::try_new_with_options(BufWriter::new(output), schema, options)?))
            }
            Form::Arrows => Sheets::Stream(Box::new(StreamWriter::try_new(BufWriter::new(output), schema)?)),
            Form::Csv | Form::CsvGz | Form::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
                    .set_max_row_group_bytes(Some(GROUP_BYTES_MAX))
                    .set_created_by(format!("meridian {}", env!("CARGO_PKG_VERSION")))
                    .build();
                Sheets::Parquet(Box::new(ArrowWriter::try_new(output, schema.clone(), Some(properties))?))
            }
        })
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// What writing gives.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Failed> {
        match self {
            Sheets::Parquet(writer) => {
                writer.write(batch)?;
                // Its own bound counts what will be written; what is held may be more.
                if writer.memory_size() > GROUP_BYTES_MAX {
                    writer.flush()?;
                }
            }
            Sheets::File(writer) => writer.write(batch)?,
            Sheets::Stream(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    /// The last batch was written.
    ///
    /// # Errors
    /// What writing gives.
    pub fn finish(self) -> Result<(), Failed> {
        match self {
            Sheets::Parquet(writer) => writer.close().map(drop)?,
            Sheets::File(mut writer) => writer.finish()?,
            Sheets::Stream(mut writer) => writer.finish()?,
        }
        Ok(())
    }
}
