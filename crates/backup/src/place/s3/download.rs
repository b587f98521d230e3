//! An object on its way out of a bucket: in ranges, the next ones asked for before they are wanted.
//!
//! Promises: all bytes are of one object, or reading fails; what is on its way takes memory of three ranges at most.

use super::client::{Client, Pending, Request, told};
use crate::Error;
use std::collections::VecDeque;
use std::io::Read;
use ureq::http::Method;

/// Ranges that are asked for ahead.
const AHEAD: usize = 2;

/// An object that is read.
pub(super) struct Download {
    client: Client,
    key: String,
    /// Which object it is: another one under the same key has another.
    etag: Option<String>,
    bytes: u64,
    /// Where the first range begins that was not asked for.
    next: u64,
    asked: VecDeque<(Pending, u64)>,
    range: Vec<u8>,
    /// Bytes of the range that were read.
    read: usize,
}

/// Begins to read an object; None where there is none.
pub(super) fn get(client: &Client, key: &str) -> Result<Option<Download>, Error> {
    if client.stopped() {
        return Err(Error::Cancelled);
    }
    let mut download = Download {
        client: client.clone(),
        key: key.to_owned(),
        etag: None,
        bytes: client.settings().part_bytes as u64,
        next: 0,
        asked: VecDeque::new(),
        range: Vec::new(),
        read: 0,
    };
    let request = download.request(0);
    let asked = told(&request);
    let answer = client.start(request)?.wait()?;
    if answer.status == 404 && answer.code() != "NoSuchBucket" {
        return Ok(None);
    }
    // The first byte of an object that has none.
    if answer.status == 416 {
        download.bytes = 0;
        return Ok(Some(download));
    }
    let answer = client.checked(&asked, answer)?;
    download.bytes = match answer.range() {
        Some((0, _, bytes)) => bytes,
        _ if answer.status == 200 => answer.body.len() as u64,
        _ => return Err(client.failed(format!("{asked}: the store gave another range than was asked for"))),
    };
    let part_bytes = client.settings().part_bytes as u64;
    if answer.body.len() as u64 != download.bytes.min(part_bytes) && answer.status != 200 {
        return Err(client.failed(format!("{asked}: the store gave {} bytes of its first range", answer.body.len())));
    }
    (download.etag, download.next, download.range) = (answer.etag, answer.body.len() as u64, answer.body);
    Ok(Some(download))
}

impl Download {
    fn request(&self, from: u64) -> Request {
        let to = from + self.client.settings().part_bytes as u64 - 1;
        let mut headers = vec![("range", format!("bytes={from}-{to}"))];
        headers.extend(self.etag.iter().map(|etag| ("if-match", etag.clone())));
        Request { method: Method::GET, key: self.key.clone(), headers, ..Request::default() }
    }

    /// Asks for the next ranges.
    fn ask(&mut self) -> Result<(), Error> {
        while self.asked.len() < AHEAD && self.next < self.bytes {
            let bytes = (self.client.settings().part_bytes as u64).min(self.bytes - self.next);
            let pending = self.client.start(self.request(self.next))?;
            self.asked.push_back((pending, bytes));
            self.next += bytes;
        }
        Ok(())
    }

    /// Takes the next range; false where there is none.
    fn take(&mut self) -> Result<bool, Error> {
        self.ask()?;
        let Some((pending, bytes)) = self.asked.pop_front() else { return Ok(false) };
        let answer = pending.wait()?;
        let asked = format!("reading {}", self.key);
        if answer.status == 412 {
            return Err(self.client.failed(format!("{asked}: it was changed meanwhile")));
        }
        let answer = self.client.checked(&asked, answer)?;
        if answer.status != 206 || answer.body.len() as u64 != bytes {
            return Err(self.client.failed(format!("{asked}: the store gave another range than was asked for")));
        }
        (self.range, self.read) = (answer.body, 0);
        self.ask()?;
        Ok(true)
    }
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.read == self.range.len() && !self.take().map_err(std::io::Error::other)? {
            return Ok(0);
        }
        let count = into.len().min(self.range.len() - self.read);
        into[..count].copy_from_slice(&self.range[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}
