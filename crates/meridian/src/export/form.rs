//! What a file holds, told by its name or by `--format`.

use super::{Arguments, is_stdout};
use crate::Error;
use clap::ValueEnum;

/// A form of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// CSV with a head, as COPY writes it
    #[value(name = "csv")]
    Csv,
    /// The same, compressed by gzip
    #[value(name = "csv.gz")]
    CsvGz,
    /// Parquet, compressed by zstd
    #[value(name = "parquet")]
    Parquet,
    /// An Arrow IPC file (Feather 2), compressed by zstd
    #[value(name = "arrow")]
    Arrow,
    /// An Arrow IPC stream
    #[value(name = "arrows")]
    Arrows,
}

/// Names' ends.
const ENDS: [(&str, Form); 8] = [
    (".csv", Form::Csv),
    (".csv.gz", Form::CsvGz),
    (".parquet", Form::Parquet),
    (".pq", Form::Parquet),
    (".arrow", Form::Arrow),
    (".feather", Form::Arrow),
    (".ipc", Form::Arrow),
    (".arrows", Form::Arrows),
];

impl Form {
    /// What the arguments ask for.
    ///
    /// # Errors
    /// `Error::Usage` where neither `--format` nor the name tells.
    pub fn of(arguments: &Arguments) -> Result<Form, Error> {
        if let Some(form) = arguments.format {
            return Ok(form);
        }
        if is_stdout(&arguments.to) {
            return Ok(Form::Csv);
        }
        let name = arguments.to.to_string_lossy().to_ascii_lowercase();
        let found = ENDS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, form)| *form);
        found.ok_or_else(|| {
            let known = ENDS.map(|(end, _)| end).join(", ");
            let name = arguments.to.display();
            Error::Usage(format!("the name {name} does not tell what it is to hold: end it with {known}, or give --format"))
        })
    }

    /// Whether a terminal can show it.
    pub fn is_text(self) -> bool {
        self == Form::Csv
    }
}
