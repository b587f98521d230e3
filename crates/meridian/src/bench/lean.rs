//! A lean PostgreSQL client for measuring: prepared once, then Bind / Execute / Sync, binary in
//! and out, one buffer a connection, one thread for all of them.
//!
//! Promises: one system call to send and, mostly, one to receive a statement; an answer is taken
//! only whole (up to ReadyForQuery); an error of the node ends the run. Log-in without a password
//! only (the node is our own, on loopback).

use crate::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

const READ_BYTES: usize = 64 << 10;
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// A connection.
pub struct Lean {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
    /// Bytes of `input` that were received.
    filled: usize,
    /// Bytes of `input` that were looked at.
    scanned: usize,
}

fn failed(problem: impl std::fmt::Display) -> Error {
    Error::Node { doing: "measuring over a raw connection", problem: problem.to_string() }
}

impl Lean {
    /// Connects, logs in and prepares a statement; parameters and results will be binary.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn connect(address: &str, sql: &str, types: &[u32]) -> Result<Lean, Error> {
        let stream = TcpStream::connect(address).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(failed)?;
        let mut lean = Lean { stream, out: Vec::new(), input: vec![0; READ_BYTES], filled: 0, scanned: 0 };
        let mut start = 196_608_u32.to_be_bytes().to_vec();
        for word in ["user", "meridian", "database", "meridian", "application_name", "meridian bench", ""] {
            start.extend_from_slice(word.as_bytes());
            start.push(0);
        }
        lean.out.extend_from_slice(&(start.len() as u32 + 4).to_be_bytes());
        lean.out.extend_from_slice(&start);
        lean.exchange()?;
        lean.message(b'P', |body| {
            body.extend_from_slice(b"s\0");
            body.extend_from_slice(sql.as_bytes());
            body.push(0);
            body.extend_from_slice(&(types.len() as u16).to_be_bytes());
            types.iter().for_each(|oid| body.extend_from_slice(&oid.to_be_bytes()));
        });
        lean.message(b'S', |_| {});
        lean.exchange()?;
        Ok(lean)
    }

    fn message(&mut self, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(kind);
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        fill(&mut self.out);
        let length = (self.out.len() - at) as u32;
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Sends one execution; `parameters` appends each one's length and bytes.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn execute(&mut self, count: u16, parameters: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.out.clear();
        (self.filled, self.scanned) = (0, 0);
        self.message(b'B', |body| {
            body.extend_from_slice(b"\0s\0\0\x01\0\x01");
            body.extend_from_slice(&count.to_be_bytes());
            parameters(body);
            body.extend_from_slice(b"\0\x01\0\x01");
        });
        // Execute without a row limit, and Sync.
        self.out.extend_from_slice(b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04");
        self.stream.write_all(&self.out).map_err(failed)
    }

    fn exchange(&mut self) -> Result<(), Error> {
        (self.filled, self.scanned) = (0, 0);
        self.stream.write_all(&self.out).map_err(failed)?;
        self.out.clear();
        while !self.receive()? {}
        Ok(())
    }

    /// Receives what is there (waits for the first byte); true when the answer is whole.
    ///
    /// # Errors
    /// `Error::Node`: the connection broke, or the node answered with an error.
    pub fn receive(&mut self) -> Result<bool, Error> {
        if self.filled == self.input.len() {
            self.input.resize(self.input.len() * 2, 0);
        }
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => return Err(failed("the node closed the connection")),
            Ok(got) => self.filled += got,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        while self.filled - self.scanned >= 5 {
            let length = 1 + be32(&self.input[self.scanned + 1..]) as usize;
            if self.filled - self.scanned < length {
                return Ok(false);
            }
            match self.input[self.scanned] {
                b'E' => {
                    let body = &self.input[self.scanned + 5..self.scanned + length];
                    return Err(failed(String::from_utf8_lossy(body).replace('\0', " ").trim()));
                }
                b'R' if be32(&self.input[self.scanned + 5..]) != 0 => return Err(failed("the node asks for a password")),
                b'Z' => return Ok(true),
                _ => {}
            }
            self.scanned += length;
        }
        Ok(false)
    }

    /// The rows of the answer that was received whole.
    pub fn rows(&self) -> Rows<'_> {
        Rows { rest: &self.input[..self.filled] }
    }

    /// Its descriptor, for waiting on several.
    pub fn descriptor(&self) -> i32 {
        self.stream.as_raw_fd()
    }
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// DataRow messages of an answer.
pub struct Rows<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Rows<'a> {
    type Item = Cells<'a>;

    fn next(&mut self) -> Option<Cells<'a>> {
        loop {
            if self.rest.len() < 5 {
                return None;
            }
            let length = 1 + be32(&self.rest[1..]) as usize;
            let (message, rest) = self.rest.split_at_checked(length)?;
            self.rest = rest;
            if message[0] == b'D' {
                return Some(Cells { rest: &message[7..] });
            }
        }
    }
}

/// Cells of a row: None = NULL.
pub struct Cells<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Cells<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.len() < 4 {
            return None;
        }
        let (length, rest) = self.rest.split_at(4);
        let length = be32(length) as i32;
        let (cell, rest) = rest.split_at_checked(usize::try_from(length).unwrap_or(0))?;
        self.rest = rest;
        Some((length >= 0).then_some(cell))
    }
}

/// Waits until one of the descriptors has something to read; marks those that have.
///
/// # Errors
/// `Error::Node` after a minute without any.
pub fn wait(polls: &mut [libc::pollfd]) -> Result<(), Error> {
    loop {
        // SAFETY: the pointer and the count are those of one slice of pollfd, which poll may write to.
        let ready = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, ANSWER_WAIT.as_millis() as i32) };
        match ready {
            0 => return Err(failed("no answer for a minute")),
            n if n > 0 => return Ok(()),
            _ if std::io::Error::last_os_error().kind() == ErrorKind::Interrupted => {}
            _ => return Err(failed(std::io::Error::last_os_error())),
        }
    }
}

/// Microseconds between 1970 and 2000, from which PostgreSQL counts.
pub const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// Appends a timestamptz parameter.
pub fn put_time(body: &mut Vec<u8>, micros: i64) {
    body.extend_from_slice(&8_u32.to_be_bytes());
    body.extend_from_slice(&(micros - POSTGRES_EPOCH_US).to_be_bytes());
}

/// Appends an int4 parameter.
pub fn put_int(body: &mut Vec<u8>, number: u32) {
    body.extend_from_slice(&4_u32.to_be_bytes());
    body.extend_from_slice(&number.to_be_bytes());
}

/// Appends a text parameter.
pub fn put_text(body: &mut Vec<u8>, text: &[u8]) {
    body.extend_from_slice(&(text.len() as u32).to_be_bytes());
    body.extend_from_slice(text);
}

/// Appends an array parameter of `count` elements, each written by `element` with its length.
pub fn put_array(body: &mut Vec<u8>, oid: u32, count: usize, mut element: impl FnMut(&mut Vec<u8>, usize)) {
    let at = body.len();
    body.extend_from_slice(&[0; 4]);
    for word in [1, 0, oid, count as u32, 1] {
        body.extend_from_slice(&word.to_be_bytes());
    }
    (0..count).for_each(|i| element(body, i));
    let length = (body.len() - at - 4) as u32;
    body[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// A timestamptz cell.
pub fn get_time(cell: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(cell.try_into().ok()?) + POSTGRES_EPOCH_US)
}

/// A float8 cell.
pub fn get_f64(cell: &[u8]) -> Option<f64> {
    Some(f64::from_be_bytes(cell.try_into().ok()?))
}
