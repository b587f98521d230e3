//! Frames of the PostgreSQL protocol as they come in, and a reader of their fields.
//!
//! Promises: no byte of a client can make it panic or take memory beyond the limit: a length is
//! checked before the message is waited for, every field before it is read. Nothing is copied.

use std::ops::Range;

/// What is wrong with the bytes of a client. The connection ends: there is no telling where the
/// next message begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// A length below what a message has, or a field that its message does not hold.
    Malformed(&'static str),
    /// A message longer than allowed.
    TooLong {
        /// Its length in bytes.
        bytes: u64,
        /// The longest allowed.
        limit: usize,
    },
}

/// A whole message at the front of the input: its type and where its body lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The message's type byte.
    pub(crate) kind: u8,
    /// Its body within the input.
    pub(crate) body: Range<usize>,
}

/// The message at the front of `input`; None where it is not whole yet.
pub(crate) fn next(input: &[u8], limit: usize) -> Result<Option<Frame>, FrameError> {
    let [kind, a, b, c, d, ..] = *input else { return Ok(None) };
    let length = i32::from_be_bytes([a, b, c, d]);
    let length = usize::try_from(length).ok().filter(|length| *length >= 4).ok_or(FrameError::Malformed("message length"))?;
    if length > limit {
        return Err(FrameError::TooLong { bytes: length as u64, limit });
    }
    Ok((input.len() > length).then_some(Frame { kind, body: 5..length + 1 }))
}

/// The length of the untyped first packet at the front of `input`; None where it is not whole yet.
pub(crate) fn first_packet(input: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    let [a, b, c, d, ..] = *input else { return Ok(None) };
    let length = i32::from_be_bytes([a, b, c, d]);
    let length = usize::try_from(length).ok().filter(|length| *length >= 8).ok_or(FrameError::Malformed("packet length"))?;
    if length > limit {
        return Err(FrameError::TooLong { bytes: length as u64, limit });
    }
    Ok((input.len() >= length).then_some(length))
}

/// Reads the fields of one message, never beyond it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Fields { rest: body }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], FrameError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(FrameError::Malformed("message ends early"))?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FrameError> {
        Ok(self.bytes(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FrameError> {
        let bytes = self.bytes(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, FrameError> {
        let bytes = self.bytes(4)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A text that ends with a zero byte, without it; any bytes before it.
    pub(crate) fn text(&mut self) -> Result<&'a [u8], FrameError> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(FrameError::Malformed("text without an end"))?;
        let head = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(head)
    }

    /// A value: its length, then its bytes; None where the length is -1.
    pub(crate) fn value(&mut self) -> Result<Option<&'a [u8]>, FrameError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| FrameError::Malformed("negative length"))?;
                self.bytes(length).map(Some)
            }
        }
    }

    pub(crate) fn end(&self) -> Result<(), FrameError> {
        if self.rest.is_empty() { Ok(()) } else { Err(FrameError::Malformed("message goes on after its last field")) }
    }
}

/// A Bind message: names, formats and values, all still in the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bind<'a> {
    pub(crate) portal: &'a [u8],
    pub(crate) statement: &'a [u8],
    /// Formats of the values, two bytes each.
    pub(crate) formats: &'a [u8],
    pub(crate) values_count: usize,
    /// The values, lengths and all; checked to be whole.
    pub(crate) values: &'a [u8],
    /// Formats of the columns of the answer, two bytes each.
    pub(crate) result_formats: &'a [u8],
}

impl<'a> Bind<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, FrameError> {
        let mut fields = Fields::new(body);
        let portal = fields.text()?;
        let statement = fields.text()?;
        let count = usize::from(fields.u16()?);
        let formats = fields.bytes(count * 2)?;
        let values_count = usize::from(fields.u16()?);
        let start = fields.rest();
        for _ in 0..values_count {
            fields.value()?;
        }
        let values = &start[..start.len() - fields.rest().len()];
        let count = usize::from(fields.u16()?);
        let result_formats = fields.bytes(count * 2)?;
        fields.end()?;
        Ok(Bind { portal, statement, formats, values_count, values, result_formats })
    }
}

/// The format of item `index` where formats may be none (text), one for all, or one each.
pub(crate) fn is_binary(formats: &[u8], index: usize) -> bool {
    match formats.len() {
        0 => false,
        2 => formats[1] == 1,
        _ => formats.get(index * 2 + 1).is_some_and(|low| *low == 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_bytes_are_waited_for() {
        assert_eq!(next(b"", 100), Ok(None));
        assert_eq!(next(b"Q\0\0\0", 100), Ok(None));
        assert_eq!(next(b"Q\0\0\0\x06a", 100), Ok(None));
        assert_eq!(next(b"Q\0\0\0\x06a\0rest", 100), Ok(Some(Frame { kind: b'Q', body: 5..7 })));
        assert_eq!(next(b"S\0\0\0\x04", 100), Ok(Some(Frame { kind: b'S', body: 5..5 })));
        assert_eq!(next(b"Q\0\0\0\x03", 100), Err(FrameError::Malformed("message length")));
        assert_eq!(next(b"Q\xff\xff\xff\xff", 100), Err(FrameError::Malformed("message length")));
        assert_eq!(next(b"Q\x06\0\0\0", 100), Err(FrameError::TooLong { bytes: 0x0600_0000, limit: 100 }));
        assert_eq!(first_packet(b"\0\0\0\x08\0\0\0", 100), Ok(None));
        assert_eq!(first_packet(b"\0\0\0\x08\0\x03\0\0", 100), Ok(Some(8)));
        assert_eq!(first_packet(b"GET / HTTP/1.1", 100), Err(FrameError::TooLong { bytes: 0x4745_5420, limit: 100 }));
    }

    #[test]
    fn a_bind_cut_anywhere_is_malformed() {
        let whole = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x02\0\0\0\x01";
        let bind = Bind::parse(whole).unwrap();
        assert_eq!((bind.portal, bind.statement, bind.values_count), (&b"p"[..], &b"s"[..], 2));
        assert!(is_binary(bind.formats, 0) && is_binary(bind.formats, 1), "one format counts for all");
        assert!(!is_binary(bind.result_formats, 0) && is_binary(bind.result_formats, 1));
        assert!(!is_binary(&[], 0) && !is_binary(bind.result_formats, 2));
        for cut in 0..whole.len() {
            assert!(Bind::parse(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Bind::parse(&[&whole[..], b"!"].concat()).is_err());
    }
}
