//! Messages of the PostgreSQL protocol as they go out, written into one buffer.
//!
//! Promises: a message is whole in the buffer or not there at all; its length is right.

use super::error::Report;

/// The buffer that messages are gathered in until they are written to the socket.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
}

/// What a session's transaction is in, as ReadyForQuery tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionState {
    Idle,
    Active,
    Failed,
}

/// A column of an answer as RowDescription tells it.
#[derive(Clone, Debug)]
pub(crate) struct Description<'a> {
    pub(crate) name: &'a str,
    pub(crate) oid: u32,
    pub(crate) size: i16,
    pub(crate) binary: bool,
}

/// Begins a message in `out`; `end` must follow with what this returned.
#[inline]
pub(crate) fn begin(out: &mut Vec<u8>, kind: u8) -> usize {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    at
}

/// Ends the message that `begin` began: writes its length.
#[inline]
pub(crate) fn end(out: &mut [u8], at: usize) {
    let length = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

impl Output {
    fn message(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let at = begin(&mut self.bytes, kind);
        body(&mut self.bytes);
        end(&mut self.bytes, at);
    }

    fn text(out: &mut Vec<u8>, text: &str) {
        // A zero byte would end the text early and shift what follows.
        out.extend(text.bytes().filter(|byte| *byte != 0));
        out.push(0);
    }

    pub(crate) fn authentication_ok(&mut self) {
        self.message(b'R', |out| out.extend_from_slice(&0_u32.to_be_bytes()));
    }

    /// Asks for a SASL exchange by one of these mechanisms.
    pub(crate) fn authentication_sasl(&mut self, mechanisms: &[&str]) {
        self.message(b'R', |out| {
            out.extend_from_slice(&10_u32.to_be_bytes());
            mechanisms.iter().for_each(|mechanism| Output::text(out, mechanism));
            out.push(0);
        });
    }

    /// A step of the SASL exchange: `last` with the server's signature.
    pub(crate) fn authentication_sasl_data(&mut self, last: bool, data: &str) {
        self.message(b'R', |out| {
            out.extend_from_slice(&if last { 12_u32 } else { 11 }.to_be_bytes());
            out.extend_from_slice(data.as_bytes());
        });
    }

    /// Tells a client that asked for a newer minor protocol, or options unknown here, what is spoken.
    pub(crate) fn negotiate_protocol(&mut self, minor: u32, options: &[&str]) {
        self.message(b'v', |out| {
            out.extend_from_slice(&((3 << 16) | minor).to_be_bytes());
            out.extend_from_slice(&(options.len() as u32).to_be_bytes());
            options.iter().for_each(|option| Output::text(out, option));
        });
    }

    pub(crate) fn parameter(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            Output::text(out, name);
            Output::text(out, value);
        });
    }

    pub(crate) fn backend_key(&mut self, process: u32, secret: &[u8]) {
        self.message(b'K', |out| {
            out.extend_from_slice(&process.to_be_bytes());
            out.extend_from_slice(secret);
        });
    }

    #[inline]
    pub(crate) fn ready(&mut self, state: TransactionState) {
        let state = match state {
            TransactionState::Idle => b'I',
            TransactionState::Active => b'T',
            TransactionState::Failed => b'E',
        };
        self.bytes.extend_from_slice(&[b'Z', 0, 0, 0, 5, state]);
    }

    #[inline]
    pub(crate) fn parse_complete(&mut self) {
        self.bytes.extend_from_slice(b"1\0\0\0\x04");
    }

    #[inline]
    pub(crate) fn bind_complete(&mut self) {
        self.bytes.extend_from_slice(b"2\0\0\0\x04");
    }

    pub(crate) fn close_complete(&mut self) {
        self.bytes.extend_from_slice(b"3\0\0\0\x04");
    }

    pub(crate) fn no_data(&mut self) {
        self.bytes.extend_from_slice(b"n\0\0\0\x04");
    }

    pub(crate) fn empty_query(&mut self) {
        self.bytes.extend_from_slice(b"I\0\0\0\x04");
    }

    pub(crate) fn portal_suspended(&mut self) {
        self.bytes.extend_from_slice(b"s\0\0\0\x04");
    }

    pub(crate) fn parameter_description(&mut self, oids: impl ExactSizeIterator<Item = u32>) {
        self.message(b't', |out| {
            out.extend_from_slice(&(oids.len() as u16).to_be_bytes());
            oids.for_each(|oid| out.extend_from_slice(&oid.to_be_bytes()));
        });
    }

    pub(crate) fn row_description<'a>(&mut self, columns: impl ExactSizeIterator<Item = Description<'a>>) {
        self.message(b'T', |out| {
            out.extend_from_slice(&(columns.len() as u16).to_be_bytes());
            for column in columns {
                Output::text(out, column.name);
                // No table, no column number of one.
                out.extend_from_slice(&[0; 6]);
                out.extend_from_slice(&column.oid.to_be_bytes());
                out.extend_from_slice(&column.size.to_be_bytes());
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                out.extend_from_slice(&u16::from(column.binary).to_be_bytes());
            }
        });
    }

    #[inline]
    pub(crate) fn command_complete(&mut self, tag: &str) {
        self.message(b'C', |out| Output::text(out, tag));
    }

    /// CommandComplete of a statement that returned rows, without making a string of it.
    #[inline]
    pub(crate) fn select_complete(&mut self, rows: u64) {
        self.message(b'C', |out| {
            out.extend_from_slice(b"SELECT ");
            query::text::write_u64(out, rows);
            out.push(0);
        });
    }

    /// Answers COPY: `kind` is `G` (in) or `H` (out); all columns as text, or all in binary.
    pub(crate) fn copy_response(&mut self, kind: u8, columns: usize, binary: bool) {
        self.message(kind, |out| {
            out.push(u8::from(binary));
            out.extend_from_slice(&(columns as u16).to_be_bytes());
            (0..columns).for_each(|_| out.extend_from_slice(&[0, u8::from(binary)]));
        });
    }

    pub(crate) fn copy_data(&mut self, data: &[u8]) {
        self.message(b'd', |out| out.extend_from_slice(data));
    }

    pub(crate) fn copy_done(&mut self) {
        self.bytes.extend_from_slice(b"c\0\0\0\x04");
    }

    pub(crate) fn error(&mut self, report: &Report) {
        self.report(b'E', report);
    }

    pub(crate) fn notice(&mut self, report: &Report) {
        self.report(b'N', report);
    }

    fn report(&mut self, kind: u8, report: &Report) {
        self.message(kind, |out| {
            let mut field = |name: u8, text: &str| {
                out.push(name);
                Output::text(out, text);
            };
            field(b'S', report.severity.name());
            field(b'V', report.severity.name());
            field(b'C', &report.sqlstate);
            field(b'M', &report.message);
            if let Some(detail) = &report.detail {
                field(b'D', detail);
            }
            if let Some(hint) = &report.hint {
                field(b'H', hint);
            }
            if let Some(position) = report.position {
                field(b'P', &position.to_string());
            }
            out.push(0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Report;
    use super::*;

    #[test]
    fn messages_carry_their_length() {
        let mut out = Output::default();
        out.select_complete(12);
        out.ready(TransactionState::Failed);
        out.parameter_description([20, 25].into_iter());
        assert_eq!(out.bytes, b"C\0\0\0\x0eSELECT 12\0Z\0\0\0\x05Et\0\0\0\x0e\0\x02\0\0\0\x14\0\0\0\x19");
        let mut out = Output::default();
        out.error(&Report::error("42601", "a\0b").at(7));
        assert_eq!(out.bytes, b"E\0\0\0\x21SERROR\0VERROR\0C42601\0Mab\0P7\0\0");
    }
}
