//! COPY data into rows of fields: text and CSV, incrementally, from pieces cut anywhere.
//!
//! Promises: the rows do not depend on where the pieces are cut; a row is at most `ROW_BYTES_MAX`
//! long; nothing is allocated for a field without escapes.

use super::options::Options;
use crate::error::{Error, raise};

/// The longest row, in bytes.
const ROW_BYTES_MAX: usize = 16 << 20;

/// Where a field lies.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the row itself.
    Row(usize, usize),
    /// In the text of fields that had escapes.
    Written(usize, usize),
    Null,
}

/// The fields of one row.
#[derive(Default)]
pub(crate) struct Fields {
    places: Vec<Place>,
    written: String,
}

impl Fields {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The text of a field of `row`; None for NULL.
    pub(crate) fn get<'a>(&'a self, row: &'a str, index: usize) -> Option<&'a str> {
        match self.places[index] {
            Place::Row(from, to) => Some(&row[from..to]),
            Place::Written(from, to) => Some(&self.written[from..to]),
            Place::Null => None,
        }
    }
}

/// Cuts pieces into rows.
pub(crate) struct Reader {
    options: Options,
    pending: Vec<u8>,
    /// How far `pending` was looked at, and whether a quote is open there.
    scanned: usize,
    quoted: bool,
    line: u64,
    ended: bool,
    fields: Fields,
}

impl Reader {
    pub(crate) fn new(options: Options) -> Self {
        Reader { options, pending: Vec::new(), scanned: 0, quoted: false, line: 0, ended: false, fields: Fields::default() }
    }

    /// The number of the row last handed on, from 1; a header counts.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Takes a piece; `each` gets every row that is whole.
    pub(crate) fn push(&mut self, piece: &[u8], each: &mut dyn FnMut(&str, &Fields) -> Result<(), Error>) -> Result<(), Error> {
        self.pending.extend_from_slice(piece);
        let pending = std::mem::take(&mut self.pending);
        let outcome = self.rows(&pending, each);
        let used = *outcome.as_ref().unwrap_or(&pending.len());
        self.pending = pending;
        self.pending.drain(..used);
        self.scanned = self.scanned.saturating_sub(used);
        outcome?;
        if self.pending.len() > ROW_BYTES_MAX {
            self.line += 1;
            return Err(too_long());
        }
        Ok(())
    }

    /// The data are complete: what is left is the last row.
    pub(crate) fn finish(&mut self, each: &mut dyn FnMut(&str, &Fields) -> Result<(), Error>) -> Result<(), Error> {
        if self.pending.is_empty() || self.ended {
            return Ok(());
        }
        if self.quoted {
            self.line += 1;
            return Err(raise(Error::CopyFormat, "unterminated CSV quoted field"));
        }
        let last = std::mem::take(&mut self.pending);
        self.row(&last, each)
    }

    /// Hands on the whole rows of `data`; how many bytes they take.
    fn rows(&mut self, data: &[u8], each: &mut dyn FnMut(&str, &Fields) -> Result<(), Error>) -> Result<usize, Error> {
        let mut start = 0;
        let mut at = self.scanned;
        while at < data.len() {
            let Some(end) = self.row_end(data, at) else {
                self.scanned = data.len();
                return Ok(start);
            };
            if !self.ended {
                self.row(&data[start..end], each)?;
            }
            start = end + 1;
            at = start;
        }
        self.scanned = at;
        Ok(start)
    }

    /// The newline that ends the row which is being looked at from `from` on.
    fn row_end(&mut self, data: &[u8], from: usize) -> Option<usize> {
        if !self.options.csv {
            return data[from..].iter().position(|byte| *byte == b'\n').map(|at| from + at);
        }
        for (at, byte) in data[from..].iter().enumerate() {
            // An escaped quote inside a quoted field flips twice, which is the same.
            if *byte == self.options.quote {
                self.quoted = !self.quoted;
            } else if *byte == b'\n' && !self.quoted {
                return Some(from + at);
            }
        }
        None
    }

    fn row(&mut self, row: &[u8], each: &mut dyn FnMut(&str, &Fields) -> Result<(), Error>) -> Result<(), Error> {
        self.line += 1;
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        if row == b"\\." {
            self.ended = true;
            return Ok(());
        }
        if self.line == 1 && self.options.header {
            return Ok(());
        }
        if row.len() > ROW_BYTES_MAX {
            return Err(too_long());
        }
        let row = text_of(row)?;
        let mut fields = std::mem::take(&mut self.fields);
        fields.places.clear();
        fields.written.clear();
        let outcome = if self.options.csv {
            csv_fields(&self.options, row, &mut fields)
        } else {
            text_fields(&self.options, row, &mut fields)
        };
        let outcome = outcome.and_then(|()| each(row, &fields));
        self.fields = fields;
        outcome
    }
}

fn text_fields(options: &Options, row: &str, fields: &mut Fields) -> Result<(), Error> {
    let bytes = row.as_bytes();
    let mut start = 0;
    loop {
        let mut end = start;
        let mut escaped = false;
        while end < bytes.len() && bytes[end] != options.delimiter {
            if bytes[end] == b'\\' {
                escaped = true;
                end += 1;
            }
            end += 1;
        }
        let end = end.min(bytes.len());
        let raw = &row[start..end];
        fields.places.push(if raw == options.null {
            Place::Null
        } else if escaped {
            let from = fields.written.len();
            unescape(raw, &mut fields.written)?;
            Place::Written(from, fields.written.len())
        } else {
            Place::Row(start, end)
        });
        if end >= bytes.len() {
            return Ok(());
        }
        start = end + 1;
    }
}

fn unescape(raw: &str, out: &mut String) -> Result<(), Error> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let digits = |rest: &mut std::iter::Peekable<std::str::Bytes<'_>>, radix: u32, most: usize, first: u32| {
            let mut value = first;
            for _ in 0..most {
                let Some(digit) = rest.peek().and_then(|byte| (*byte as char).to_digit(radix)) else { break };
                value = value * radix + digit;
                rest.next();
            }
            (value & 0xFF) as u8
        };
        bytes.push(match rest.next() {
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 11,
            Some(b'x') if rest.peek().is_some_and(u8::is_ascii_hexdigit) => digits(&mut rest, 16, 2, 0),
            Some(digit @ b'0'..=b'7') => digits(&mut rest, 8, 2, u32::from(digit - b'0')),
            Some(other) => other,
            None => return Err(raise(Error::CopyFormat, "a row ends with a backslash")),
        });
    }
    out.push_str(text_of(&bytes)?);
    Ok(())
}

fn too_long() -> Error {
    raise(Error::CopyFormat, format!("a row is longer than {ROW_BYTES_MAX} bytes")).with_hint("is a quote missing?")
}

/// Bytes as text, which may not hold a zero byte: no client could read it back.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, Error> {
    let invalid = || raise(Error::Encoding, "invalid byte sequence for encoding \"UTF8\"");
    let text = std::str::from_utf8(bytes).map_err(|_| invalid())?;
    if bytes.contains(&0) { Err(invalid().with_detail("a text can't hold a zero byte")) } else { Ok(text) }
}

fn csv_fields(options: &Options, row: &str, fields: &mut Fields) -> Result<(), Error> {
    let bytes = row.as_bytes();
    let mut at = 0;
    loop {
        if bytes.get(at) != Some(&options.quote) {
            let end = bytes[at..].iter().position(|byte| *byte == options.delimiter).map_or(bytes.len(), |found| at + found);
            if bytes[at..end].contains(&options.quote) {
                return Err(raise(Error::CopyFormat, "a quote stands inside an unquoted CSV field"));
            }
            let raw = &row[at..end];
            fields.places.push(if raw == options.null { Place::Null } else { Place::Row(at, end) });
            at = end;
        } else {
            let from = fields.written.len();
            at = quoted_field(options, row, at + 1, &mut fields.written)?;
            fields.places.push(Place::Written(from, fields.written.len()));
            if at < bytes.len() && bytes[at] != options.delimiter {
                return Err(raise(Error::CopyFormat, "text stands behind a quoted CSV field"));
            }
        }
        if at >= bytes.len() {
            return Ok(());
        }
        at += 1;
    }
}

/// Reads a quoted field from behind its first quote; where it ends, behind its last.
fn quoted_field(options: &Options, row: &str, mut at: usize, out: &mut String) -> Result<usize, Error> {
    let bytes = row.as_bytes();
    let mut start = at;
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied();
        if bytes[at] == options.escape
            && (next == Some(options.quote) || (next == Some(options.escape) && options.escape != options.quote))
        {
            out.push_str(&row[start..at]);
            start = at + 1;
            at += 2;
        } else if bytes[at] == options.quote {
            out.push_str(&row[start..at]);
            return Ok(at + 1);
        } else {
            at += 1;
        }
    }
    Err(raise(Error::CopyFormat, "unterminated CSV quoted field"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &Options, data: &[u8], cut: usize) -> Result<Vec<Vec<Option<String>>>, &'static str> {
        let mut reader = Reader::new(options.clone());
        let mut out = Vec::new();
        let mut each = |row: &str, fields: &Fields| {
            out.push((0..fields.len()).map(|index| fields.get(row, index).map(str::to_owned)).collect());
            Ok(())
        };
        for piece in data.chunks(cut) {
            reader.push(piece, &mut each).map_err(|error| error.sqlstate())?;
        }
        reader.finish(&mut each).map_err(|error| error.sqlstate())?;
        Ok(out)
    }

    #[test]
    fn rows_do_not_depend_on_where_pieces_are_cut() {
        let text = Options::of(&[], &[]).unwrap();
        let csv = Options { csv: true, delimiter: b',', null: String::new(), header: true, ..text.clone() };
        let some = |texts: &[&str]| texts.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>();
        for cut in 1..20 {
            let rows = read(&text, "a\tb\\tc\\\\\r\n\\N\t温\\x41\n\\.\nrest".as_bytes(), cut).unwrap();
            assert_eq!(rows, [some(&["a", "b\tc\\"]), vec![None, Some("温A".to_owned())]]);
            let rows = read(&csv, b"h,h\r\n\"a\"\"b\",\"x\ny\"\n,\"\"", cut).unwrap();
            assert_eq!(rows, [some(&["a\"b", "x\ny"]), vec![None, Some(String::new())]]);
            assert_eq!(read(&csv, b"h\n\"open", cut), Err("22P04"));
            assert_eq!(read(&csv, b"h\n\"a\"b\n", cut), Err("22P04"));
            for bad in [&b"\xff\n"[..], b"a\0b\n", b"\\000\n", b"\\xe6\n"] {
                assert_eq!(read(&text, bad, cut), Err("22021"), "{bad:?}");
            }
        }
    }

    #[test]
    fn any_bytes_are_rows_or_an_error_wherever_they_are_cut() {
        let text = Options::of(&[], &[]).unwrap();
        let csv = Options { csv: true, delimiter: b',', null: String::new(), ..text.clone() };
        let alphabet = b"ab,\"\"\\\\\n\n\r\t.Nx7\xe6\xb8\xa9\xff";
        let mut state = 7_u64;
        let mut dice = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..4000 {
            let data: Vec<u8> = (0..dice(40)).map(|_| alphabet[dice(alphabet.len())]).collect();
            for options in [&text, &csv] {
                let whole = read(options, &data, data.len().max(1));
                assert_eq!(read(options, &data, 1), whole, "{data:?}");
                assert_eq!(read(options, &data, 3), whole, "{data:?}");
            }
        }
    }
}
