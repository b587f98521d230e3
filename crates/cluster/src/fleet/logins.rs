//! Who may come in at the doors of clients, and what they may do, as meta has it: names, and a record of each.
//!
//! ```text
//!   user/HEX   layout 1: name, verifier (SCRAM-SHA-256, as text), from before there were roles
//!              layout 2: name, record (docs/formats/users.md); HEX is the name's bytes, for names may hold anything, also nothing
//! ```
//! Promises: what one process puts here, all hear; records are replaced several at once, and only where each is as it was read; a
//! password itself is never here. It may be old for a moment. May not know what a record says.

use super::following::{Following, Listener, gone};
use crate::tickets::answered;
use bytes::Bytes;
use meta::{Entry, Error, Is, Key, Meta, Range, Swap, Swapped};
use parking_lot::Mutex;
use prost::Message as Wire;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Under which all users stand.
const USERS: &str = "user/";
/// The layouts of values.
const VERIFIERS: u32 = 1;
const RECORDS: u32 = 2;
/// What a record begins with that is no verifier.
const RECORD_BEGINS: char = '{';
/// How often, and how far apart, a swap that was not answered is sent again.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(200);

/// Whoever lets users in.
pub trait LoginListener: Send + Sync + 'static {
    /// A user has this record now: one, or a verifier from before there were records.
    fn has(&self, name: &str, record: &str);

    /// A user is there no more.
    fn is_gone(&self, name: &str);
}

#[derive(Clone, PartialEq, Wire)]
struct User {
    #[prost(uint32, tag = "1")]
    layout: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    verifier: String,
    #[prost(string, tag = "4")]
    record: String,
}

/// A record that is to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginChange {
    /// The user's name.
    pub name: String,
    /// The record as it was heard of; None where there was none.
    pub was: Option<String>,
    /// The one that takes its place; None where the user goes.
    pub now: Option<String>,
}

fn key(name: &str) -> Result<Key, Error> {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    Key::new(&format!("{USERS}{hex}"))
}

fn name(key: &Key) -> Option<String> {
    let hex = key.text().strip_prefix(USERS)?;
    let byte = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    String::from_utf8((0..hex.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?).ok()
}

fn value(name: &str, kept: &str) -> Bytes {
    let mut user = User { layout: VERIFIERS, name: name.to_owned(), ..User::default() };
    if kept.starts_with(RECORD_BEGINS) {
        user.layout = RECORDS;
        kept.clone_into(&mut user.record);
    } else {
        kept.clone_into(&mut user.verifier);
    }
    user.encode_to_vec().into()
}

/// Name and record of a value; None where it can't be read.
fn read(value: &[u8]) -> Option<(String, String)> {
    let User { layout, name, verifier, record } = User::decode(value).ok()?;
    match layout {
        VERIFIERS => Some((name, verifier)),
        RECORDS => Some((name, record)),
        _ => None,
    }
}

struct Heard(Arc<dyn LoginListener>);

impl Listener for Heard {
    fn stands(&self, entry: &Entry) {
        match (read(&entry.value), name(&entry.key)) {
            (Some((name, record)), _) => self.0.has(&name, &record),
            (None, name) => {
                tracing::error!(key = %entry.key, "a user's entry can't be read: is it of another release?");
                // What it says may be less than what was known before: nobody is let in by that.
                if let Some(name) = name {
                    self.0.has(&name, "");
                }
            }
        }
    }

    fn is_gone(&self, key: &Key) {
        if let Some(name) = name(key) {
            self.0.is_gone(&name);
        }
    }
}

/// Keeps what it hears.
#[derive(Default)]
struct Collected(Mutex<BTreeMap<String, String>>);

impl LoginListener for Collected {
    fn has(&self, name: &str, record: &str) {
        self.0.lock().insert(name.to_owned(), record.to_owned());
    }

    fn is_gone(&self, name: &str) {
        self.0.lock().remove(name);
    }
}

/// All that stands of users now: names, and records.
///
/// # Errors
/// Of meta.
pub async fn all_logins(meta: &Arc<dyn Meta>) -> Result<BTreeMap<String, String>, Error> {
    let collected = Arc::new(Collected::default());
    let heard = Arc::new(Heard(Arc::<Collected>::clone(&collected)));
    Following::new(Arc::clone(meta), Range::prefix(USERS)?, heard).read().await?;
    Ok(std::mem::take(&mut *collected.0.lock()))
}

/// The users of a fleet. Dropping it ends the watch.
pub struct Logins {
    meta: Arc<dyn Meta>,
    _alive: watch::Sender<()>,
}

impl Logins {
    /// Reads all users and follows them from then on.
    ///
    /// # Errors
    /// Of meta, where they can't be read at first.
    pub async fn follow(meta: Arc<dyn Meta>, listener: Arc<dyn LoginListener>, runtime: &Handle) -> Result<Logins, Error> {
        let mut following = Following::new(Arc::clone(&meta), Range::prefix(USERS)?, Arc::new(Heard(listener)));
        following.read().await?;
        let (alive, stopping) = watch::channel(());
        runtime.spawn(following.run(stopping));
        Ok(Logins { meta, _alive: alive })
    }

    /// Replaces records where all find them: all of them, where each is as it was, else none; then the answer is what stands there.
    ///
    /// # Errors
    /// Of meta: it may be asked again.
    pub async fn swap(&self, changes: &[LoginChange]) -> Result<Option<Vec<(String, Option<String>)>>, Error> {
        let keys = changes.iter().map(|change| key(&change.name)).collect::<Result<Vec<_>, _>>()?;
        let mut last = Error::InDoubt("no answer".to_owned());
        for _ in 0..TRIES {
            let found = answered(self.meta.get(&keys)).await.map_err(gone)??;
            let mut standing = Vec::with_capacity(changes.len());
            for (entry, change) in found.entries.iter().zip(changes) {
                let unreadable =
                    || Error::Invalid(format!("the entry of \"{}\" can't be read: is it of another release?", change.name));
                let record = entry.as_ref().map(|entry| read(&entry.value).map(|(_, record)| record).ok_or_else(unreadable));
                standing.push(record.transpose()?);
            }
            // Also where a swap that was not answered is found to have happened.
            if standing.iter().zip(changes).all(|(record, change)| *record == change.now) {
                return Ok(None);
            }
            if standing.iter().zip(changes).any(|(record, change)| *record != change.was) {
                return Ok(Some(changes.iter().map(|change| change.name.clone()).zip(standing).collect()));
            }
            let mut swap = Swap::new();
            for ((change, key), entry) in changes.iter().zip(&keys).zip(&found.entries) {
                swap = swap.when(key, entry.as_ref().map_or(Is::Absent, |entry| Is::Modified(entry.modified)));
                swap = match &change.now {
                    Some(record) => swap.put(key, value(&change.name, record)),
                    None => swap.delete(key),
                };
            }
            match answered(self.meta.swap(swap)).await.map_err(gone)? {
                Ok(Swapped::Done { .. }) => return Ok(None),
                Ok(Swapped::Conflict { .. }) => {}
                Err(fault) if fault.can_retry() => last = fault,
                Err(fault) => return Err(fault),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_and_a_verifier_come_back() {
        for kept in ["SCRAM-SHA-256$4096:AAAA$x:y", "{\"oid\":20000,\"inherit\":true}"] {
            assert_eq!(read(&value("a/b", kept)), Some(("a/b".to_owned(), kept.to_owned())));
        }
        let later = User { layout: 3, name: "x".to_owned(), ..User::default() }.encode_to_vec();
        assert_eq!(read(&later), None);
    }

    #[test]
    fn any_name_has_a_key_and_comes_back() {
        for text in ["", "meridian", "a/b", "\u{1}\u{7f}", "操作员", &"x".repeat(63)] {
            let key = key(text).expect("it fits");
            assert_eq!(name(&key).as_deref(), Some(text));
        }
        assert_eq!(name(&Key::new("user/4").expect("plain")), None);
    }
}
