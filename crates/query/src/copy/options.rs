//! The options of COPY.

use crate::error::{Error, raise};
use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption};

/// How COPY data look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// PostgreSQL's binary format: then nothing of the rest counts.
    pub binary: bool,
    pub csv: bool,
    pub delimiter: u8,
    pub null: String,
    pub header: bool,
    pub quote: u8,
    pub escape: u8,
}

fn byte(what: &str, value: char) -> Result<u8, Error> {
    let fits = value.is_ascii() && !value.is_ascii_alphanumeric() && !matches!(value, '\n' | '\r' | '\\' | '.');
    if fits {
        Ok(value as u8)
    } else {
        Err(raise(Error::InvalidParameter, format!("COPY {what} must be a single one-byte character, not \"{value}\"")))
    }
}

/// Binary data have no delimiters and the like to be said.
fn refuse_in_binary(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<(), Error> {
    let said = options.iter().find(|option| {
        !matches!(option, CopyOption::Format(name) if name.value.eq_ignore_ascii_case("binary"))
            && !matches!(option, CopyOption::Freeze(_) | CopyOption::Encoding(_))
    });
    let said = said.map(ToString::to_string);
    let said = said.or_else(|| legacy.iter().find(|option| !matches!(option, CopyLegacyOption::Binary)).map(ToString::to_string));
    match said {
        Some(option) => Err(raise(Error::Syntax, format!("cannot specify {option} in BINARY mode"))),
        None => Ok(()),
    }
}

impl Options {
    /// The options as they are written.
    ///
    /// # Errors
    /// `Error::Unsupported`, `Error::InvalidParameter`.
    pub(crate) fn of(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<Self, Error> {
        let csv =
            options.iter().any(|option| matches!(option, CopyOption::Format(name) if name.value.eq_ignore_ascii_case("csv")))
                || legacy.iter().any(|option| matches!(option, CopyLegacyOption::Csv(_)));
        let is_binary =
            |option: &CopyOption| matches!(option, CopyOption::Format(name) if name.value.eq_ignore_ascii_case("binary"));
        let binary = options.iter().any(is_binary) || legacy.iter().any(|option| matches!(option, CopyLegacyOption::Binary));
        if binary {
            refuse_in_binary(options, legacy)?;
        }
        let mut out = if csv {
            Options { binary, csv, delimiter: b',', null: String::new(), header: false, quote: b'"', escape: b'"' }
        } else {
            Options { binary, csv, delimiter: b'\t', null: "\\N".to_owned(), header: false, quote: b'"', escape: b'"' }
        };
        let mut escape = None;
        for option in options {
            match option {
                CopyOption::Format(name) if ["csv", "text", "binary"].contains(&name.value.to_ascii_lowercase().as_str()) => {}
                CopyOption::Format(name) => {
                    return Err(raise(Error::Unsupported, format!("COPY format \"{}\" is not supported", name.value))
                        .with_hint("text, csv or binary"));
                }
                CopyOption::Delimiter('\t') => out.delimiter = b'\t',
                CopyOption::Delimiter(value) => out.delimiter = byte("delimiter", *value)?,
                CopyOption::Null(text) => out.null.clone_from(text),
                CopyOption::Header(header) => out.header = *header,
                CopyOption::Quote(value) => out.quote = byte("quote", *value)?,
                CopyOption::Escape('\\') => escape = Some(b'\\'),
                CopyOption::Escape(value) => escape = Some(byte("escape", *value)?),
                CopyOption::Encoding(name) if ["utf8", "utf-8"].contains(&name.to_ascii_lowercase().as_str()) => {}
                CopyOption::Freeze(_) => {}
                other => return Err(raise(Error::Unsupported, format!("COPY option {other} is not supported"))),
            }
        }
        for option in legacy {
            out.legacy(option)?;
        }
        out.escape = escape.unwrap_or(out.quote);
        if out.delimiter == out.quote && out.csv {
            return Err(raise(Error::InvalidParameter, "COPY delimiter and quote must be different"));
        }
        Ok(out)
    }

    fn legacy(&mut self, option: &CopyLegacyOption) -> Result<(), Error> {
        match option {
            CopyLegacyOption::Binary => {}
            CopyLegacyOption::Header => self.header = true,
            CopyLegacyOption::Null(text) => self.null.clone_from(text),
            CopyLegacyOption::Delimiter('\t') => self.delimiter = b'\t',
            CopyLegacyOption::Delimiter(value) => self.delimiter = byte("delimiter", *value)?,
            CopyLegacyOption::Csv(items) => {
                for item in items {
                    match item {
                        CopyLegacyCsvOption::Header => self.header = true,
                        CopyLegacyCsvOption::Quote(value) => self.quote = byte("quote", *value)?,
                        other => return Err(raise(Error::Unsupported, format!("COPY option {other} is not supported"))),
                    }
                }
            }
            other => return Err(raise(Error::Unsupported, format!("COPY option {other} is not supported"))),
        }
        Ok(())
    }
}
