//! COPY's binary format: a pure reader of rows of fields, from pieces cut anywhere, and single values of it.
//!
//! ```text
//! "PGCOPY\n\xff\r\n\0", i32 flags, i32 length of what follows of the head, that many bytes
//! a row: i16 fields, each i32 length (-1: NULL) and so many bytes
//! the end: i16 -1
//! ```
//! Promises: the rows do not depend on where the pieces are cut; what is malformed is 22P04; lengths are checked before bytes are
//! waited for; a value is taken only where all of its bytes are of its type.

use crate::error::{Error, raise};
use arrow::datatypes::IntervalMonthDayNano;
use std::ops::Range;

/// What every file begins with.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The flags in whose presence the data mean something else.
const CRITICAL: u32 = 0xFFFF_0000;
/// The longest head, and the longest field, in bytes.
const BYTES_MAX: usize = 16 << 20;

/// The fields of one row, in their bytes.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    places: &'a [Option<Range<usize>>],
}

impl<'a> Fields<'a> {
    #[cfg(test)]
    fn len(&self) -> usize {
        self.places.len()
    }

    /// The bytes of a field; None for NULL.
    pub(crate) fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.places[index].clone().map(|place| &self.bytes[place])
    }
}

/// Cuts pieces into rows.
#[derive(Default)]
pub(crate) struct Reader {
    pending: Vec<u8>,
    begun: bool,
    ended: bool,
    row: u64,
    places: Vec<Option<Range<usize>>>,
}

fn malformed(message: impl Into<String>) -> Error {
    raise(Error::CopyFormat, message)
}

/// What a row gave.
enum Cut {
    /// It is not whole yet.
    Short,
    /// It is whole, and ends there.
    Row(usize),
    /// It is the end of the data, and that ends there.
    End(usize),
}

impl Reader {
    /// The number of the row last looked at, from 1.
    pub(crate) fn row(&self) -> u64 {
        self.row
    }

    /// Takes a piece; `each` gets every row that is whole. `columns` is how many fields a row has.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        columns: usize,
        each: &mut dyn FnMut(&Fields<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.pending.extend_from_slice(piece);
        let pending = std::mem::take(&mut self.pending);
        let used = self.rows(&pending, columns, each);
        self.pending = pending;
        self.pending.drain(..used?);
        Ok(())
    }

    /// The data are complete. Like PostgreSQL's, they may end without saying so, but not within a row.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        if !self.begun {
            return Err(malformed("COPY file signature not recognized").with_detail("the data end within their head"));
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        self.row += 1;
        Err(malformed("unexpected EOF in COPY data"))
    }

    /// Hands on the whole rows of `data`; how many bytes they take.
    fn rows(
        &mut self,
        data: &[u8],
        columns: usize,
        each: &mut dyn FnMut(&Fields<'_>) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let mut at = 0;
        if !self.begun {
            match head(data)? {
                None => return Ok(0),
                Some(end) => at = end,
            }
            self.begun = true;
        }
        while at < data.len() {
            if self.ended {
                return Err(malformed("received copy data after EOF marker"));
            }
            self.row += 1;
            match self.cut(data, at, columns)? {
                Cut::Short => {
                    self.row -= 1;
                    break;
                }
                Cut::End(end) => {
                    self.row -= 1;
                    self.ended = true;
                    at = end;
                }
                Cut::Row(end) => {
                    each(&Fields { bytes: data, places: &self.places })?;
                    at = end;
                }
            }
        }
        Ok(at)
    }

    fn cut(&mut self, data: &[u8], from: usize, columns: usize) -> Result<Cut, Error> {
        let Some(count) = int::<2>(data, from) else { return Ok(Cut::Short) };
        let count = i16::from_be_bytes(count);
        if count == -1 {
            return Ok(Cut::End(from + 2));
        }
        if usize::try_from(count) != Ok(columns) {
            return Err(malformed(format!("row field count is {count}, expected {columns}")));
        }
        self.places.clear();
        let mut at = from + 2;
        for column in 0..columns {
            let Some(length) = int::<4>(data, at) else { return Ok(Cut::Short) };
            at += 4;
            let length = i32::from_be_bytes(length);
            if length == -1 {
                self.places.push(None);
                continue;
            }
            let length = usize::try_from(length).ok().filter(|length| *length <= BYTES_MAX);
            let Some(length) = length else {
                return Err(malformed("invalid field size").with_detail(format!("field {}", column + 1)));
            };
            if data.len() - at < length {
                return Ok(Cut::Short);
            }
            self.places.push(Some(at..at + length));
            at += length;
        }
        Ok(Cut::Row(at))
    }
}

/// Where the head of the data ends; None where it is not whole yet.
fn head(data: &[u8]) -> Result<Option<usize>, Error> {
    let seen = data.len().min(SIGNATURE.len());
    if data[..seen] != SIGNATURE[..seen] {
        return Err(
            malformed("COPY file signature not recognized").with_hint("are these data text? then leave out FORMAT binary")
        );
    }
    let at = SIGNATURE.len();
    let Some(flags) = int::<4>(data, at).map(u32::from_be_bytes) else { return Ok(None) };
    if flags & (1 << 16) != 0 {
        return Err(malformed("invalid COPY file header (WITH OIDS)"));
    }
    if flags & CRITICAL != 0 {
        return Err(malformed("unrecognized critical flags in COPY file header"));
    }
    let Some(length) = int::<4>(data, at + 4).map(i32::from_be_bytes) else { return Ok(None) };
    let length = usize::try_from(length).ok().filter(|length| *length <= BYTES_MAX);
    let end = at + 8 + length.ok_or_else(|| malformed("invalid COPY file header (wrong length)"))?;
    Ok((end <= data.len()).then_some(end))
}

fn int<const BYTES: usize>(data: &[u8], at: usize) -> Option<[u8; BYTES]> {
    data.get(at..at + BYTES)?.try_into().ok()
}

fn exact<const BYTES: usize>(bytes: &[u8], kind: &str) -> Result<[u8; BYTES], Error> {
    bytes
        .try_into()
        .map_err(|_| malformed(format!("incorrect binary data format: {kind} has {BYTES} bytes, not {}", bytes.len())))
}

/// A text.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Error> {
    super::reader::text_of(bytes)
}

/// A smallint.
pub(crate) fn small(bytes: &[u8]) -> Result<i16, Error> {
    exact(bytes, "smallint").map(i16::from_be_bytes)
}

/// A bigint.
pub(crate) fn big(bytes: &[u8]) -> Result<i64, Error> {
    exact(bytes, "bigint").map(i64::from_be_bytes)
}

/// A double.
pub(crate) fn double(bytes: &[u8]) -> Result<f64, Error> {
    exact(bytes, "double precision").map(f64::from_be_bytes)
}

/// A timestamptz, in microseconds from 1970; the infinities are the outermost moments.
pub(crate) fn moment(bytes: &[u8]) -> Result<i64, Error> {
    /// From 1970-01-01 to 2000-01-01, where PostgreSQL's time begins.
    const EPOCH_US: i64 = 946_684_800_000_000;
    match exact(bytes, "timestamp with time zone").map(i64::from_be_bytes)? {
        outermost @ (i64::MIN | i64::MAX) => Ok(outermost),
        us => us.checked_add(EPOCH_US).ok_or_else(|| raise(Error::TimeOverflow, "timestamp out of range")),
    }
}

/// An interval: i64 microseconds, i32 days, i32 months.
pub(crate) fn interval(bytes: &[u8]) -> Result<IntervalMonthDayNano, Error> {
    let whole: [u8; 16] = exact(bytes, "interval")?;
    let (us, days, months) = (int::<8>(&whole, 0), int::<4>(&whole, 8), int::<4>(&whole, 12));
    let us = us.map_or(0, i64::from_be_bytes);
    let nanoseconds = us.checked_mul(1000).ok_or_else(|| raise(Error::TimeOverflow, "interval out of range"))?;
    Ok(IntervalMonthDayNano {
        months: months.map_or(0, i32::from_be_bytes),
        days: days.map_or(0, i32::from_be_bytes),
        nanoseconds,
    })
}

/// An array of texts of one dimension: i32 dimensions, i32 flags, i32 element type, (i32 length, i32 first), elements.
pub(crate) fn texts(bytes: &[u8]) -> Result<Vec<String>, Error> {
    let wrong = || malformed("incorrect binary data format: no array of texts of one dimension");
    let number = |at: usize| int::<4>(bytes, at).map(i32::from_be_bytes).ok_or_else(wrong);
    let dimensions = number(0)?;
    if dimensions == 0 {
        return if bytes.len() == 12 { Ok(Vec::new()) } else { Err(wrong()) };
    }
    let count = usize::try_from(number(12)?).map_err(|_| wrong())?;
    let mut at: usize = 20;
    let mut out = Vec::new();
    // Each element has a length: a count beyond that is a lie, and takes no memory.
    if dimensions != 1 || bytes.len() < at || count > (bytes.len() - at) / 4 {
        return Err(wrong());
    }
    for _ in 0..count {
        let length = usize::try_from(number(at)?).map_err(|_| wrong())?;
        at += 4;
        let end = at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or_else(wrong)?;
        out.push(text(&bytes[at..end])?.to_owned());
        at = end;
    }
    if at == bytes.len() { Ok(out) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = Vec<Option<Vec<u8>>>;

    fn read(data: &[u8], columns: usize, cut: usize) -> Result<Vec<Row>, (u64, &'static str)> {
        let mut reader = Reader::default();
        let mut out = Vec::new();
        let mut each = |fields: &Fields<'_>| {
            out.push((0..fields.len()).map(|index| fields.get(index).map(<[u8]>::to_vec)).collect());
            Ok(())
        };
        let mut outcome = Ok(());
        for piece in data.chunks(cut.max(1)) {
            outcome = reader.push(piece, columns, &mut each);
            if outcome.is_err() {
                break;
            }
        }
        let outcome = outcome.and_then(|()| reader.finish());
        outcome.map(|()| out).map_err(|error| (reader.row(), error.sqlstate()))
    }

    fn file(body: &[u8]) -> Vec<u8> {
        [SIGNATURE, &[0, 0, 0, 1, 0, 0, 0, 2, 7, 7], body].concat()
    }

    #[test]
    fn rows_do_not_depend_on_where_pieces_are_cut() {
        let row = b"\0\x02\0\0\0\x01a\xff\xff\xff\xff";
        let whole = file(&[&row[..], b"\0\x02\0\0\0\0\0\0\0\x02xy", b"\xff\xff"].concat());
        let rows = [vec![Some(b"a".to_vec()), None], vec![Some(Vec::new()), Some(b"xy".to_vec())]];
        let bad: [(&[u8], u64); 7] = [
            (b"\0\x01\0\0\0\x01a", 1),
            (b"\xff\xfe", 1),
            (b"\0\x02\0\0\0\x01a\xff\xff\xff\xfe", 1),
            (b"\0\x02\0\0\0\x01a\x7f\xff\xff\xff", 1),
            (b"\0\x02\0\0\0\x01a", 1),
            (b"\0\x02\0\0\0\x01a\xff\xff\xff\xff\0", 2),
            (b"\xff\xff\0", 0),
        ];
        for cut in 1..20 {
            assert_eq!(read(&whole, 2, cut).unwrap(), rows);
            assert_eq!(read(&whole[..whole.len() - 2], 2, cut).unwrap(), rows, "the end need not be said");
            for (body, row) in bad {
                assert_eq!(read(&file(body), 2, cut), Err((row, "22P04")), "{body:?}");
            }
            for head in [&b"PGCOPY\n\xff\r\n"[..], b"PGCOPY\n\xff\r\r\0\0\0\0\0\0\0\0\0", b"a\tb\n", b""] {
                assert_eq!(read(head, 2, cut), Err((0, "22P04")), "{head:?}");
            }
            for rest in [b"\0\x01\0\0\0\0\0\0", b"\x80\0\0\0\0\0\0\0", b"\0\0\0\0\xff\xff\xff\xff", b"\0\0\0\0\x7f\xff\xff\xff"] {
                assert_eq!(read(&[SIGNATURE, rest].concat(), 2, cut), Err((0, "22P04")), "{rest:?}");
            }
        }
    }

    #[test]
    fn any_bytes_are_rows_or_an_error_wherever_they_are_cut() {
        let mut state = 11_u64;
        let mut dice = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let alphabet = [0, 0, 0, 0, 1, 2, 3, 4, 8, 0x61, 0x7f, 0xff, 0xff];
        for _ in 0..20_000 {
            let body: Vec<u8> = (0..dice(60)).map(|_| alphabet[dice(alphabet.len())]).collect();
            let mut data = file(&body);
            if dice(4) == 0 {
                let at = dice(data.len());
                data[at] ^= 1 << dice(8);
            }
            let whole = read(&data, 2, data.len());
            assert_eq!(read(&data, 2, 1), whole, "{data:?}");
            assert_eq!(read(&data, 2, 3), whole, "{data:?}");
            // Values of any bytes are values or an error.
            let _ = (text(&body), small(&body), big(&body), double(&body), moment(&body), interval(&body), texts(&body));
        }
    }

    #[test]
    fn values_are_of_their_type_to_the_last_byte() {
        assert_eq!(moment(&0_i64.to_be_bytes()).unwrap(), 946_684_800_000_000);
        assert_eq!(moment(&i64::MAX.to_be_bytes()).unwrap(), i64::MAX);
        assert_eq!(moment(&(i64::MAX - 1).to_be_bytes()).unwrap_err().sqlstate(), "22008");
        assert_eq!(small(&[0, 192]).unwrap(), 192);
        assert_eq!(double(&[0; 4]).unwrap_err().sqlstate(), "22P04");
        assert_eq!(text(b"\xff").unwrap_err().sqlstate(), "22021");
        let array = b"\0\0\0\x01\0\0\0\0\0\0\0\x19\0\0\0\x02\0\0\0\x01\0\0\0\x01a\0\0\0\0";
        assert_eq!(texts(array).unwrap(), ["a", ""]);
        for cut in 0..array.len() {
            assert!(texts(&array[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(texts(&[0; 12]).unwrap(), [""; 0]);
    }
}
