//! Arrow IPC files (Feather 2) and streams as batches.
//!
//! Promises: which of the two it is is told by its first bytes, not by its name; plain or compressed (lz4, zstd); a file that lies
//! about its lengths, or was cut short, is refused before memory is taken for it. A batch is held as a whole.

use super::arrow_rows::{ArrowRows, Batches, Extent, Wanted, guarded};
use super::source::Counted;
use crate::Error;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_ipc::reader::{FileReader, StreamDecoder, read_footer_length};
use std::fs::File;
use std::io::{Chain, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// How an IPC file begins, and ends.
const MAGIC: &[u8] = b"ARROW1";
/// How a file of Feather's first version begins, which is another format.
const FEATHER_1: &[u8] = b"FEA1";
/// What a stream of old may say of its columns; text, taken for a length, is more.
const SCHEMA_BYTES_MAX: u32 = 64 << 20;
/// Bytes of a stream that are read at once.
const READ_BYTES: usize = 1 << 20;

/// Opens a file.
///
/// # Errors
/// `Error::File`, `Error::Input`.
#[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
pub fn open(path: &Path, wanted: Wanted) -> Result<ArrowRows, Error> {
    let failed = |cause| Error::File { path: path.to_path_buf(), cause };
    let input = |problem: &str| Error::Input { path: path.to_path_buf(), problem: problem.to_owned() };
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut head = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut head).map_err(failed)?;
    let read = Arc::new(AtomicU64::new(0));
    let extent = Extent::Bytes(Arc::clone(&read), length);
    if head.starts_with(FEATHER_1) {
        return Err(input("it is of Feather's first version; write it as Arrow IPC (Feather 2)"));
    }
    // A stream begins with a mark, or as those of old do with the length of what it says of its columns.
    let begins = head.first_chunk().map_or(u32::MAX - 1, |bytes| u32::from_le_bytes(*bytes));
    if head != MAGIC && begins != u32::MAX && begins > SCHEMA_BYTES_MAX {
        return Err(input("it is neither an Arrow IPC file nor a stream"));
    }
    let (schema, batches): (SchemaRef, Batches) = if head == MAGIC {
        guarded(path, || check_blocks(&mut file, length))?;
        let reader = guarded(path, || FileReader::try_new(Counted::new(file, read), None))?;
        (reader.schema(), Box::new(reader))
    } else {
        let stream = guarded(path, || Stream::open(Counted::new(Cursor::new(head).chain(file), read)))?;
        (stream.schema.clone(), Box::new(stream))
    };
    ArrowRows::over(path, &schema, batches, extent, wanted)
}

/// Whether all that a file's footer names lies within it: whoever reads a block takes memory for its length first.
fn check_blocks(file: &mut File, length: u64) -> Result<(), ArrowError> {
    let damaged = |what: &str| ArrowError::ParseError(format!("it is damaged, or was cut short: {what}"));
    let end = length.checked_sub(10).ok_or_else(|| damaged("it has no footer"))?;
    let mut tail = [0; 10];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut tail)?;
    let footer_length = read_footer_length(tail).map_err(|_| damaged("it has no footer"))?;
    let start = end.checked_sub(footer_length as u64).ok_or_else(|| damaged("its footer is longer than it"))?;
    file.seek(SeekFrom::Start(start))?;
    let mut footer = vec![0; footer_length];
    file.read_exact(&mut footer)?;
    let footer = arrow_ipc::root_as_footer(&footer).map_err(|_| damaged("its footer can't be read"))?;
    let (dictionaries, batches) = (footer.dictionaries(), footer.recordBatches());
    for block in dictionaries.into_iter().flatten().chain(batches.into_iter().flatten()) {
        let number = |value: i64| u64::try_from(value).ok();
        let lengths = number(block.metaDataLength().into()).filter(|length| *length >= 8).zip(number(block.bodyLength()));
        let block_end = number(block.offset())
            .zip(lengths)
            .and_then(|(offset, (head, body))| offset.checked_add(head)?.checked_add(body))
            .filter(|block_end| *block_end <= start);
        block_end.ok_or_else(|| damaged("its footer names what is not there"))?;
    }
    Ok(())
}

/// A stream, message by message. What has not come is not waited for in memory: its length is only what it says.
struct Stream<R> {
    reader: Counted<R>,
    decoder: StreamDecoder,
    schema: SchemaRef,
    buffer: Buffer,
    ended: bool,
}

impl Stream<Chain<Cursor<Vec<u8>>, File>> {
    fn open(reader: Counted<Chain<Cursor<Vec<u8>>, File>>) -> Result<Self, ArrowError> {
        let (decoder, schema) = (StreamDecoder::new(), SchemaRef::new(arrow::datatypes::Schema::empty()));
        let mut stream = Stream { reader, decoder, schema, buffer: Buffer::from_vec(Vec::<u8>::new()), ended: false };
        loop {
            if let Some(schema) = stream.decoder.schema() {
                stream.schema = schema;
                return Ok(stream);
            }
            // A little at a time: what comes behind the schema is a batch, and has to wait.
            if stream.buffer.is_empty() && !stream.read(1 << 10)? {
                return Err(ArrowError::ParseError("it is neither an Arrow IPC file nor a stream".to_owned()));
            }
            let mut next = stream.buffer.slice_with_length(0, 1);
            stream.buffer.advance(1);
            stream.decoder.decode(&mut next)?;
        }
    }
}

impl<R: Read> Stream<R> {
    /// Reads on; false at the end.
    fn read(&mut self, bytes: usize) -> Result<bool, ArrowError> {
        let mut read = Vec::with_capacity(bytes);
        self.reader.by_ref().take(bytes as u64).read_to_end(&mut read)?;
        let any = !read.is_empty();
        self.buffer = Buffer::from_vec(read);
        Ok(any)
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        loop {
            if let Some(batch) = self.decoder.decode(&mut self.buffer)? {
                return Ok(Some(batch));
            }
            if !self.read(READ_BYTES)? {
                let cut = |_| ArrowError::ParseError("it was cut short".to_owned());
                return self.decoder.finish().map_err(cut).map(|()| None);
            }
        }
    }
}

impl<R: Read> Iterator for Stream<R> {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.batch().transpose();
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }
}
