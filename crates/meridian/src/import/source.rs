//! Files as rows of cells: CSV (plain or gzip), Parquet and Arrow IPC.
//!
//! Promises: every row comes with its number (the line for CSV, counted from 1 with the head; the
//! row for the others, from 1); a row longer than `ROW_BYTES_MAX` ends the import rather than eat the
//! memory (an unclosed quote, mostly); one whose quote is still open at the end of the file says so.

use super::arrow_rows::{ArrowRows, Wanted};
use super::{ipc_file, parquet_file};
use crate::Error;
use csv::{ByteRecord, ReaderBuilder};
use flate2::read::MultiGzDecoder;
use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest row, in bytes.
pub const ROW_BYTES_MAX: u64 = 64 << 20;

/// One row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its number.
    pub number: u64,
    /// Its cells, as text. Empty = nothing there.
    pub cells: ByteRecord,
    /// Which of them are NULL, where the file tells that from an empty text.
    pub nulls: Vec<usize>,
    /// The time, in microseconds, where the file has it as a time and not as text.
    pub time: Option<i64>,
    /// Why it is no whole row, where it is none: all that is left of the file is in it then.
    pub broken: Option<String>,
}

/// A file that is read row by row.
pub enum Source {
    /// CSV.
    Csv(Box<CsvRows>),
    /// Parquet and Arrow IPC.
    Arrow(Box<ArrowRows>),
}

impl Source {
    /// Opens a file by its name: `.parquet` / `.pq` is Parquet, `.arrow` / `.feather` / `.ipc` / `.arrows` Arrow IPC, all
    /// else CSV, `.gz` compressed.
    ///
    /// # Errors
    /// `Error::File`, `Error::Input`.
    pub fn open(path: &Path, delimiter: Option<u8>, wanted: Wanted) -> Result<Source, Error> {
        let name = path.to_string_lossy().to_ascii_lowercase();
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends(&[".parquet", ".pq"]) {
            return Ok(Source::Arrow(Box::new(parquet_file::open(path, wanted)?)));
        }
        if ends(&[".arrow", ".feather", ".ipc", ".arrows"]) {
            return Ok(Source::Arrow(Box::new(ipc_file::open(path, wanted)?)));
        }
        CsvRows::open(path, delimiter, name.ends_with(".gz")).map(|rows| Source::Csv(Box::new(rows)))
    }

    /// The columns' names.
    pub fn heads(&self) -> &[String] {
        match self {
            Source::Csv(rows) => &rows.heads,
            Source::Arrow(rows) => rows.heads(),
        }
    }

    /// Reads the next row; false at the end.
    ///
    /// # Errors
    /// `Error::File`, `Error::Input`: the file itself can't be read on.
    pub fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        match self {
            Source::Csv(rows) => rows.next(row),
            Source::Arrow(rows) => rows.next(row),
        }
    }

    /// How far it is: (done, total), and in which unit.
    pub fn position(&self) -> (u64, u64, &'static str) {
        match self {
            Source::Csv(rows) => (rows.read.load(Ordering::Relaxed), rows.total, "bytes"),
            Source::Arrow(rows) => rows.position(),
        }
    }
}

/// A CSV file.
pub struct CsvRows {
    path: PathBuf,
    reader: csv::Reader<Bounded<Box<dyn Read>>>,
    heads: Vec<String>,
    read: Arc<AtomicU64>,
    total: u64,
    taken: Rc<RefCell<Taken>>,
}

/// Counts what is read.
pub struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    /// Adds what is read of it to a count.
    pub fn new(inner: R, count: Arc<AtomicU64>) -> Counted<R> {
        Counted { inner, count }
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.inner.seek(to)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let got = self.inner.read(into)?;
        self.count.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

/// What was taken out of the decompressed file last.
#[derive(Default)]
struct Taken {
    /// Where `bytes` end in the file.
    end: u64,
    bytes: Vec<u8>,
    /// Reading beyond this is an error; each row moves it on.
    bound: u64,
    /// The file is at its end, and a line's end was made up behind it.
    ended: bool,
    /// More was wanted than that: the row under way had not ended with the line, as only one in an open quote does not.
    wanting: bool,
}

impl Taken {
    /// The byte before a place, where it is at hand.
    fn before(&self, place: u64) -> Option<u8> {
        let back = usize::try_from(self.end.checked_sub(place)?).ok()?;
        self.bytes.len().checked_sub(back + 1).map(|at| self.bytes[at])
    }
}

/// Remembers what was read last, ends with an error beyond the bound, and makes up a line's end behind the file: the parser takes
/// the end of a file for the end of a quote, and is silent about it.
struct Bounded<R> {
    inner: R,
    taken: Rc<RefCell<Taken>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let mut taken = self.taken.borrow_mut();
        if taken.ended {
            taken.wanting = true;
            return Ok(0);
        }
        let mut got = self.inner.read(into)?;
        if let (0, Some(first)) = (got, into.first_mut()) {
            *first = b'\n';
            got = 1;
            taken.ended = true;
        }
        if got > 0 {
            taken.end += got as u64;
            taken.bytes.clear();
            taken.bytes.extend_from_slice(&into[..got]);
        }
        if taken.end > taken.bound {
            return Err(std::io::Error::other(format!(
                "a row is longer than {} MiB; is a quote left open?",
                ROW_BYTES_MAX >> 20
            )));
        }
        Ok(got)
    }
}

impl CsvRows {
    #[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
    fn open(path: &Path, delimiter: Option<u8>, gzip: bool) -> Result<CsvRows, Error> {
        let failed = |cause| Error::File { path: path.to_path_buf(), cause };
        let file = File::open(path).map_err(failed)?;
        let total = file.metadata().map_err(failed)?.len();
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted::new(file, Arc::clone(&read));
        let plain: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(BufReader::new(counted))) } else { Box::new(counted) };
        CsvRows::over(path, plain, delimiter, (read, total))
    }

    fn over(
        path: &Path,
        plain: Box<dyn Read>,
        delimiter: Option<u8>,
        (read, total): (Arc<AtomicU64>, u64),
    ) -> Result<CsvRows, Error> {
        let mut plain = BufReader::with_capacity(256 << 10, plain);
        let delimiter = match delimiter {
            Some(delimiter) => delimiter,
            None => guess_delimiter(&mut plain).map_err(|cause| Error::File { path: path.to_path_buf(), cause })?,
        };
        let taken = Rc::new(RefCell::new(Taken { bound: ROW_BYTES_MAX, ..Taken::default() }));
        let bounded = Bounded { inner: Box::new(plain) as Box<dyn Read>, taken: Rc::clone(&taken) };
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).buffer_capacity(64 << 10).from_reader(bounded);
        let heads = reader.byte_headers().map_err(|error| csv_failed(path, error))?.clone();
        if !heads.is_empty() && taken.borrow().wanting {
            let problem = "a quote is left open in the line that names the columns".to_owned();
            return Err(Error::Input { path: path.to_path_buf(), problem });
        }
        let heads: Vec<String> = heads.iter().map(|head| String::from_utf8_lossy(head).trim().to_owned()).collect();
        let heads: Vec<String> = heads.into_iter().map(|head| head.trim_start_matches('\u{feff}').to_owned()).collect();
        Ok(CsvRows { path: path.to_path_buf(), reader, heads, read, total, taken })
    }

    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        {
            let mut taken = self.taken.borrow_mut();
            taken.bound = taken.end + ROW_BYTES_MAX;
        }
        let more = self.reader.read_byte_record(&mut row.cells).map_err(|error| csv_failed(&self.path, error))?;
        row.broken = (more && self.taken.borrow().wanting).then(|| left_open(&mut row.cells));
        row.number = self.line(&row.cells);
        row.time = None;
        Ok(more)
    }

    /// The line on which a row that was just read begins. (The reader's own notion of it is where it began to look,
    /// which is before any empty lines.)
    fn line(&self, cells: &ByteRecord) -> u64 {
        let end = self.reader.position();
        let inside = cells.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        let ended = self.taken.borrow().before(end.byte()) == Some(b'\n');
        end.line().saturating_sub(inside + u64::from(ended))
    }
}

/// Takes the line's end that was made up out of a row whose quote is open; says what is wrong with it.
fn left_open(cells: &mut ByteRecord) -> String {
    let mut whole = ByteRecord::new();
    for (at, cell) in cells.iter().enumerate() {
        let is_last = at + 1 == cells.len();
        whole.push_field(if is_last { cell.strip_suffix(b"\n").unwrap_or(cell) } else { cell });
    }
    *cells = whole;
    let text = cells.as_slice();
    let lines = text.iter().filter(|byte| **byte == b'\n').count() + usize::from(text.last() != Some(&b'\n'));
    format!("a quote is left open: all that is left of the file is in it (lines: {lines})")
}

fn csv_failed(path: &Path, error: csv::Error) -> Error {
    let problem = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(cause) => Error::File { path: path.to_path_buf(), cause },
        _ => Error::Input { path: path.to_path_buf(), problem },
    }
}

/// The commonest of the usual delimiters in the first line.
fn guess_delimiter(reader: &mut impl std::io::BufRead) -> std::io::Result<u8> {
    let start = reader.fill_buf()?;
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
    Ok([b',', b';', b'\t', b'|'].into_iter().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b','))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(text: &'static [u8]) -> CsvRows {
        CsvRows::over(Path::new("t.csv"), Box::new(text), None, (Arc::default(), text.len() as u64)).unwrap()
    }

    #[test]
    fn delimiters_are_guessed_and_heads_are_cleaned() {
        for text in [b"\xEF\xBB\xBFdate, a,b\n1,2,3\n".as_slice(), b"date;a;b\n1;2;3\n", b"date\ta\tb\n1\t2\t3"] {
            let mut rows = over(text);
            assert_eq!(rows.heads, ["date", "a", "b"]);
            let mut row = Row::default();
            assert!(rows.next(&mut row).unwrap());
            assert_eq!((row.number, row.cells.len(), &row.cells[2]), (2, 3, b"3".as_slice()));
            assert!(!rows.next(&mut row).unwrap());
        }
    }

    #[test]
    fn rows_are_counted_by_the_line_on_which_they_begin() {
        for end in ["\n", "\r\n"] {
            let text = format!("a,b{end}{end}1,2{end}\"x{end}y\",3{end}{end}{end}4,5{end}6,7");
            let mut rows = over(text.leak().as_bytes());
            let mut row = Row::default();
            let mut lines = Vec::new();
            while rows.next(&mut row).unwrap() {
                lines.push(row.number);
            }
            assert_eq!(lines, [3, 4, 8, 9], "{end:?}");
        }
    }

    /// The lines and cells of all rows, and of those that are broken why.
    fn all(text: &str) -> Vec<(u64, String, Option<String>)> {
        let mut rows = over(text.to_owned().leak().as_bytes());
        let mut row = Row::default();
        let mut found = Vec::new();
        while rows.next(&mut row).unwrap() {
            let cells = row.cells.iter().map(|cell| String::from_utf8_lossy(cell)).collect::<Vec<_>>().join("|");
            found.push((row.number, cells, row.broken.clone()));
        }
        found
    }

    #[test]
    fn a_quote_that_is_open_at_the_end_is_told_with_the_line_on_which_its_row_begins() {
        for (tail, cells, lines) in [
            ("3,\"5\n4,13\n", "3|5\n4,13\n", 2),
            ("3,\"5\n4,13", "3|5\n4,13", 2),
            ("3,\"5\r\n4,13\r\n\r\n", "3|5\r\n4,13\r\n\r\n", 3),
            ("3,\"", "3|", 1),
            ("3,\"5\"\"", "3|5\"", 1),
            ("\"", "", 1),
        ] {
            let found = all(&format!("ts,v\n1,10\n\n{tail}"));
            let (line, shown, broken) = &found[1];
            assert_eq!((found.len(), found[0].2.is_none(), *line, shown.as_str()), (2, true, 4, cells), "{tail:?}");
            let broken = broken.as_deref().unwrap_or_default();
            assert!(
                broken.starts_with("a quote is left open") && broken.ends_with(&format!("(lines: {lines})")),
                "{tail:?}: {broken}"
            );
        }
    }

    #[test]
    fn files_that_end_in_any_other_way_have_no_open_quote() {
        for tail in
            ["3,5", "3,5\n", "3,5\r\n", "3,5\r", "3,\"5\"", "3,\"5\n\"\n\n", "3,\"\"", "3,", "3,5\"", "3,\"5\" \"", "3,\"5\"\"\""]
        {
            let found = all(&format!("ts,v\n1,10\n{tail}"));
            let lines: Vec<u64> = found.iter().map(|row| row.0).collect();
            assert!(lines == [2, 3] && found.iter().all(|row| row.2.is_none()), "{tail:?}: {found:?}");
        }
        assert!(all("ts,v").is_empty() && over(b"").heads.is_empty());
    }

    #[test]
    fn an_open_quote_in_the_head_is_an_error() {
        let text = b"ts,\"v\n1,10\n".as_slice();
        let opened = CsvRows::over(Path::new("t.csv"), Box::new(text), None, (Arc::default(), text.len() as u64));
        let error = opened.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("t.csv: a quote is left open in the line that names the columns"));
    }

    #[test]
    fn an_open_quote_does_not_eat_the_memory() {
        let endless = std::io::Read::chain(b"a,b\n1,\"".as_slice(), std::io::repeat(b'x'));
        let mut rows = CsvRows::over(Path::new("t.csv"), Box::new(endless), Some(b','), (Arc::default(), 0)).unwrap();
        let error = rows.next(&mut Row::default()).unwrap_err();
        assert!(error.to_string().contains("is a quote left open?"), "{error}");
    }
}
