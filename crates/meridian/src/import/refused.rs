//! Rows that are refused: counted, the first told by number, all kept in a file where asked for.
//!
//! Promises: the reject file holds the rows as CSV with the file's own head and two columns more,
//! the row's number and the reason, so that it can be mended and imported again.

use crate::Error;
use csv::{ByteRecord, Writer};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The rows refused so far.
pub struct Refused {
    count: u64,
    shown: Vec<(u64, String)>,
    shown_max: usize,
    file: Option<(PathBuf, Writer<File>)>,
}

impl Refused {
    /// None yet; the first `shown_max` are told at the end, all written to `file` if one is given.
    ///
    /// # Errors
    /// `Error::File` where the file can't be made; `Error::Input` where it exists: it is never written over.
    #[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
    pub fn new(shown_max: usize, file: Option<&Path>, heads: &[String]) -> Result<Refused, Error> {
        let file = match file {
            None => None,
            Some(path) => {
                let failed = |cause| Error::File { path: path.to_path_buf(), cause };
                let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(|cause| {
                    let exists = "it exists, and may hold rows that were refused before: give --reject another name".to_owned();
                    match cause.kind() {
                        std::io::ErrorKind::AlreadyExists => Error::Input { path: path.to_path_buf(), problem: exists },
                        _ => failed(cause),
                    }
                })?;
                let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(made);
                let heads = heads.iter().map(String::as_str).chain(["refused_row", "refused_because"]);
                writer.write_record(heads).map_err(|error| failed(error.into()))?;
                Some((path.to_path_buf(), writer))
            }
        };
        Ok(Refused { count: 0, shown: Vec::new(), shown_max, file })
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether the rows themselves are wanted.
    pub fn keeps_rows(&self) -> bool {
        self.file.is_some()
    }

    /// The first ones: (row number, reason).
    pub fn shown(&self) -> &[(u64, String)] {
        &self.shown
    }

    /// Refuses a row, whose cells are at hand where `keeps_rows`.
    ///
    /// # Errors
    /// `Error::File` where the reject file can't be written.
    pub fn add(&mut self, number: u64, cells: Option<&ByteRecord>, reason: String) -> Result<(), Error> {
        self.count += 1;
        if let (Some((path, writer)), Some(cells)) = (&mut self.file, cells) {
            let text = number.to_string();
            let record = cells.iter().chain([text.as_bytes(), reason.as_bytes()]);
            // Rows with too few or too many cells are what this file is for.
            let mut whole = ByteRecord::new();
            record.for_each(|cell| whole.push_field(cell));
            write_flexible(writer, &whole).map_err(|cause| Error::File { path: path.clone(), cause })?;
        }
        if self.shown.len() < self.shown_max {
            self.shown.push((number, reason));
        }
        Ok(())
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn finish(&mut self) -> Result<(), Error> {
        match &mut self.file {
            Some((path, writer)) => writer.flush().map_err(|cause| Error::File { path: path.clone(), cause }),
            None => Ok(()),
        }
    }
}

fn write_flexible(writer: &mut Writer<File>, record: &ByteRecord) -> std::io::Result<()> {
    for cell in record {
        writer.write_field(cell).map_err(std::io::Error::from)?;
    }
    writer.write_record(None::<&[u8]>).map_err(std::io::Error::from)
}
