//! A repository in a bucket of an object store, by the S3 protocol: Amazon's, MinIO, Ceph, Swift, whatever speaks it.
//!
//! ```text
//!   settings   s3://bucket/prefix and the variables AWS_*     signing    headers of a request
//!   client     one request: sent, tried again, given up       answer     what comes back, faults in words
//!   upload     an object in parts                             download   an object in ranges
//! ```
//! Promises: those of `Place`; whoever gives up work is heeded within a second, and then there is still a moment to clean up.
//! The network is asked here alone in this crate. May not know what objects are.

mod answer;
mod client;
mod download;
mod settings;
mod signing;
mod upload;

pub use client::Stop;
pub use settings::S3Settings;
pub use signing::Credentials;

use crate::Error;
use crate::place::Place;
use client::{Client, Request};
use std::io::Read;
use std::sync::Arc;
use ureq::http::Method;
use world::Clock;

/// A part of a bucket.
pub struct S3 {
    client: Client,
}

impl S3 {
    /// A repository in a bucket that is there. `stop` is asked ten times a second while the store is waited for.
    ///
    /// # Errors
    /// `Error::Place`: the settings can't be meant. The store is not asked yet.
    pub fn new(settings: S3Settings, clock: Arc<dyn Clock>, stop: Stop) -> Result<S3, Error> {
        Ok(S3 { client: Client::new(settings, clock, stop)? })
    }

    fn key(&self, key: &str) -> String {
        let prefix = &self.client.settings().prefix;
        if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") }
    }

    fn asked(&self, query: Vec<(&'static str, String)>) -> Request {
        Request { method: Method::GET, query, ..Request::default() }
    }

    fn strange(&self) -> Error {
        self.client.failed("listing: what came is no listing: check AWS_ENDPOINT_URL".to_owned())
    }
}

impl Place for S3 {
    fn name(&self) -> String {
        self.client.settings().name()
    }

    fn put(&self, key: &str, bytes: u64, from: &mut dyn Read) -> Result<(), Error> {
        upload::put(&self.client, &self.key(key), bytes, from)
    }

    fn get(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, Error> {
        let download = download::get(&self.client, &self.key(key))?;
        Ok(download.map(|download| -> Box<dyn Read + Send> { Box::new(download) }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let (before, mut keys, mut next) = (self.key(""), Vec::new(), None::<String>);
        loop {
            let mut query = vec![("list-type", "2".to_owned()), ("prefix", self.key(prefix))];
            query.extend(next.iter().map(|token| ("continuation-token", token.clone())));
            let page = self.client.ask(self.asked(query))?.read(answer::page).flatten().ok_or_else(|| self.strange())?;
            keys.extend(page.keys.iter().filter_map(|key| key.strip_prefix(before.as_str())).map(str::to_owned));
            // A store that gives the same page again would never end.
            if page.next.is_some() && (page.next == next || page.keys.is_empty()) {
                return Err(self.strange());
            }
            next = page.next;
            if next.is_none() {
                keys.sort_unstable();
                return Ok(keys);
            }
        }
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        let request = Request { method: Method::DELETE, key: self.key(key), ..Request::default() };
        let asked = client::told(&request);
        let answer = self.client.start(request)?.wait()?;
        if answer.status == 404 && answer.code() != "NoSuchBucket" {
            return Ok(());
        }
        self.client.checked(&asked, answer).map(drop)
    }

    fn clear(&self) -> Result<(), Error> {
        let prefix = self.key("");
        let mut before = Vec::new();
        loop {
            let query = vec![("uploads", String::new()), ("prefix", prefix.clone())];
            let answer = self.client.start(self.asked(query))?.wait()?;
            // Not every store tells of them, nor everyone; a rule of the bucket may remove them, too.
            if matches!(answer.status, 403 | 405 | 501) {
                return Ok(());
            }
            let answer = self.client.checked("listing uploads", answer)?;
            let uploads = answer.read(answer::uploads).flatten().ok_or_else(|| self.strange())?;
            // A page has 1,000 at most; one that does not change has what can't be aborted.
            if uploads.is_empty() || uploads == before {
                return Ok(());
            }
            for (key, id) in uploads.iter().filter(|(key, _)| key.starts_with(&prefix)) {
                upload::abort(&self.client, key, id)?;
            }
            before = uploads;
        }
    }
}
