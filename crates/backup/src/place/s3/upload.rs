//! An object on its way into a bucket: in one request where it is small, else in parts, a few at a time.
//!
//! Promises: an object is there whole or not at all; one that fails leaves no parts, as far as the store can still be reached; what
//! is on its way takes memory of four parts at most. Every request has its body's digest in its signature, and the store compares.

use super::answer::{self, Answer};
use super::client::{Client, Pending, Request};
use crate::Error;
use crate::place::read_full;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::Read;
use ureq::http::Method;

/// Parts that are on their way at once.
const ON_THEIR_WAY: usize = 3;
/// More parts than some stores take (Swift; Amazon takes ten times as many): parts grow instead.
const PARTS_MAX: u64 = 1_000;

/// Writes an object of so many bytes.
pub(super) fn put(client: &Client, key: &str, bytes: u64, from: &mut dyn Read) -> Result<(), Error> {
    if client.stopped() {
        return Err(Error::Cancelled);
    }
    let part_bytes = client.settings().part_bytes as u64;
    if bytes <= part_bytes {
        let body = part(client, key, bytes, from)?;
        ended(client, key, bytes, from)?;
        client.ask(Request { method: Method::PUT, key: key.to_owned(), body, ..Request::default() })?;
        return Ok(());
    }
    let post =
        Request { method: Method::POST, key: key.to_owned(), query: vec![("uploads", String::new())], ..Request::default() };
    let begun = client.ask(post)?.read(|root| answer::text(root, "UploadId")).flatten();
    let id = begun.ok_or_else(|| client.failed(format!("writing {key}: the store gave the upload no id")))?;
    let upload = Upload { client, key, id: &id };
    upload.all(bytes, part_bytes.max(bytes.div_ceil(PARTS_MAX)), from).inspect_err(|_| {
        // One that can't be aborted now is removed by the next pruning.
        let _ = abort(client, key, &id);
    })
}

/// Takes away the parts of an upload that nobody finishes.
pub(super) fn abort(client: &Client, key: &str, id: &str) -> Result<(), Error> {
    let query = vec![("uploadId", id.to_owned())];
    let request = Request { method: Method::DELETE, key: key.to_owned(), query, ..Request::default() };
    let answer = client.start(request)?.wait()?;
    if answer.status == 404 { Ok(()) } else { client.checked(&format!("aborting the upload of {key}"), answer).map(drop) }
}

struct Upload<'a> {
    client: &'a Client,
    key: &'a str,
    id: &'a str,
}

impl Upload<'_> {
    fn all(&self, bytes: u64, part_bytes: u64, from: &mut dyn Read) -> Result<(), Error> {
        let mut on_their_way = VecDeque::new();
        let done = self.parts(bytes, part_bytes, from, &mut on_their_way);
        if done.is_err() {
            // Waited for: a part that arrives after the upload was aborted stays.
            on_their_way.into_iter().for_each(|pending| drop(pending.wait()));
        }
        done
    }

    fn parts(&self, bytes: u64, part_bytes: u64, from: &mut dyn Read, on_their_way: &mut VecDeque<Pending>) -> Result<(), Error> {
        let (mut etags, mut left) = (Vec::new(), bytes);
        while left > 0 {
            let body = part(self.client, self.key, left.min(part_bytes), from)?;
            left -= body.len() as u64;
            if left == 0 {
                ended(self.client, self.key, bytes, from)?;
            }
            if on_their_way.len() == ON_THEIR_WAY {
                etags.extend(self.arrived(on_their_way)?);
            }
            let number = etags.len() + on_their_way.len() + 1;
            on_their_way.push_back(self.client.start(self.request(
                Method::PUT,
                vec![("partNumber", number.to_string()), ("uploadId", self.id.to_owned())],
                body,
            ))?);
        }
        while let Some(etag) = self.arrived(on_their_way)? {
            etags.push(etag);
        }
        self.finish(bytes, &etags)
    }

    fn request(&self, method: Method, query: Vec<(&'static str, String)>, body: Bytes) -> Request {
        Request { method, key: self.key.to_owned(), query, body, ..Request::default() }
    }

    /// Waits for the first of the parts on their way.
    fn arrived(&self, on_their_way: &mut VecDeque<Pending>) -> Result<Option<String>, Error> {
        let Some(pending) = on_their_way.pop_front() else { return Ok(None) };
        let answer = self.client.checked(&format!("writing a part of {}", self.key), pending.wait()?)?;
        let etag = answer.etag.ok_or_else(|| self.client.failed(format!("writing {}: a part got no ETag", self.key)))?;
        Ok(Some(etag))
    }

    fn finish(&self, bytes: u64, etags: &[String]) -> Result<(), Error> {
        let body = Bytes::from(answer::parts(etags).into_bytes());
        let request = self.request(Method::POST, vec![("uploadId", self.id.to_owned())], body);
        let answer = self.client.start(request)?.wait()?;
        // An answer that was lost on its way: the object is there, and the upload is no more.
        if answer.tried > 1 && answer.code() == "NoSuchUpload" && self.there(bytes)? {
            return Ok(());
        }
        self.client.checked(&format!("writing {}", self.key), answer).map(drop)
    }

    fn there(&self, bytes: u64) -> Result<bool, Error> {
        let Answer { status, length, .. } = self.client.start(self.request(Method::HEAD, Vec::new(), Bytes::new()))?.wait()?;
        Ok(status == 200 && length == Some(bytes))
    }
}

/// So many bytes of what is to be written.
fn part(client: &Client, key: &str, bytes: u64, from: &mut dyn Read) -> Result<Bytes, Error> {
    let mut body = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
    let read = read_full(from, &mut body).map_err(|fault| unread(client, key, fault))?;
    if read < body.len() {
        return Err(client.failed(format!("{key}: {} bytes are missing at its end", body.len() - read)));
    }
    Ok(Bytes::from(body))
}

/// Looks that nothing comes any more.
fn ended(client: &Client, key: &str, bytes: u64, from: &mut dyn Read) -> Result<(), Error> {
    match read_full(from, &mut [0]).map_err(|fault| unread(client, key, fault))? {
        0 => Ok(()),
        _ => Err(client.failed(format!("{key}: more than {bytes} bytes came"))),
    }
}

fn unread(client: &Client, key: &str, fault: std::io::Error) -> Error {
    fault.downcast::<Error>().unwrap_or_else(|fault| client.failed(format!("{key}: {fault}")))
}
