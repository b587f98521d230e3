//! Who may come in at the doors of clients, as meta has it: names, and what is kept of their passwords.
//!
//! ```text
//!   user/HEX   name, verifier (SCRAM-SHA-256, as text); HEX is the name's bytes, for names may hold anything
//! ```
//! Promises: what one process puts here, all hear; a password itself is never here. It may be old for a moment. May not know how
//! a password is checked.

use super::following::{Following, Listener, gone};
use crate::tickets::answered;
use bytes::Bytes;
use meta::{Entry, Error, Is, Key, Meta, Range, Swap, Swapped};
use prost::Message as Wire;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Under which all users stand.
const USERS: &str = "user/";
/// The layout of values.
const LAYOUT: u32 = 1;
/// How often, and how far apart, a swap that was not answered is sent again.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(200);

/// Whoever lets users in.
pub trait LoginListener: Send + Sync + 'static {
    /// A user has this verifier now.
    fn has(&self, name: &str, verifier: &str);

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

fn value(name: &str, verifier: &str) -> Bytes {
    User { layout: LAYOUT, name: name.to_owned(), verifier: verifier.to_owned() }.encode_to_vec().into()
}

struct Heard(Arc<dyn LoginListener>);

impl Listener for Heard {
    fn stands(&self, entry: &Entry) {
        match User::decode(&*entry.value).ok().filter(|user| user.layout == LAYOUT) {
            Some(user) => self.0.has(&user.name, &user.verifier),
            None => tracing::error!(key = %entry.key, "a user's entry can't be read: is it of another release?"),
        }
    }

    fn is_gone(&self, key: &Key) {
        if let Some(name) = name(key) {
            self.0.is_gone(&name);
        }
    }
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

    /// Puts a user's verifier where all find it; with `replaces`, also where there is another one. Answers what stands there then.
    ///
    /// # Errors
    /// Of meta: it may be asked again.
    pub async fn put(&self, name: &str, verifier: &str, replaces: bool) -> Result<String, Error> {
        let (key, value, mut last) = (key(name)?, value(name, verifier), Error::InDoubt("no answer".to_owned()));
        for _ in 0..TRIES {
            let found = answered(self.meta.get(std::slice::from_ref(&key))).await.map_err(gone)??;
            let found = found.entries.into_iter().next().flatten();
            if let Some(standing) = found.as_ref().filter(|entry| entry.value == value || !replaces) {
                let user = User::decode(&*standing.value).ok().filter(|user| user.layout == LAYOUT);
                let unreadable = || Error::Invalid(format!("{key} can't be read: is it of another release?"));
                return user.map(|user| user.verifier).ok_or_else(unreadable);
            }
            let is = found.map_or(Is::Absent, |entry| Is::Modified(entry.modified));
            match answered(self.meta.swap(Swap::new().when(&key, is).put(&key, value.clone()))).await.map_err(gone)? {
                Ok(Swapped::Done { .. }) => return Ok(verifier.to_owned()),
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
    fn any_name_has_a_key_and_comes_back() {
        for text in ["meridian", "a/b", "\u{1}\u{7f}", "操作员", &"x".repeat(63)] {
            let key = key(text).expect("it fits");
            assert_eq!(name(&key).as_deref(), Some(text));
        }
        assert_eq!(name(&Key::new("user/4").expect("plain")), None);
    }
}
