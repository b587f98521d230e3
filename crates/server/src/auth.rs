//! Who calls the Flight and the HTTP door: the same users as at the PostgreSQL door, by `authorization: Basic` or by a
//! Bearer token that was given to them (Flight's Handshake, HTTP's `POST /token`). A token holds at both doors.
//!
//! Shared state: the tokens, under one mutex; a token holds until `TOKEN_US` after its last use, or
//! until any password changes. Checking a password costs milliseconds of a core, so it runs off the
//! threads that serve streams, and its outcome is remembered by the hash of the header.

use crate::users::Users;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;

/// How long a token holds without being used.
const TOKEN_US: u64 = 24 * 3_600_000_000;
/// Tokens held at one time; beyond that the ones unused for longest go.
const TOKENS_MAX: usize = 10_000;

#[derive(Clone)]
struct Known {
    user: String,
    used_us: u64,
    users_version: u64,
}

/// Why somebody was not let in, as they are told.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// Checks callers.
pub(crate) struct Authenticator {
    users: Arc<Users>,
    /// By the SHA-256 of the header that proved it: tokens and passwords are not kept.
    known: Mutex<HashMap<[u8; 32], Known>>,
}

impl Authenticator {
    pub(crate) fn new(users: Arc<Users>) -> Self {
        Authenticator { users, known: Mutex::default() }
    }

    /// The user who calls with this `authorization` header. Where everybody is trusted, whoever they say they are, and the
    /// empty name where they say none.
    pub(crate) async fn user(&self, header: Option<&str>, trusted: bool) -> Result<String, Refused> {
        let refused = |why: &str| Err(Refused(why.to_owned()));
        let Some(header) = header else {
            return if trusted { Ok(String::new()) } else { refused("a user name and password are needed") };
        };
        if let Some(user) = self.remembered(header) {
            return Ok(user);
        }
        if trusted {
            return Ok(basic(header).map_or_else(String::new, |(user, _)| user));
        }
        let Some((user, password)) = basic(header) else { return refused("the token is not, or no longer, known") };
        let verifier = self.users.verifier(&user);
        let right = tokio::task::spawn_blocking(move || verifier.accepts(&password)).await.unwrap_or(false);
        if !right {
            return refused(&format!("password authentication failed for user \"{user}\""));
        }
        self.remember(header, &user);
        Ok(user)
    }

    /// A header with a token for a user whose identity was proved.
    pub(crate) fn token(&self, user: &str) -> String {
        let mut secret = [0; 32];
        self.users.fill_random(&mut secret);
        let header = format!("Bearer {}", URL_SAFE_NO_PAD.encode(secret));
        self.remember(&header, user);
        header
    }

    fn remembered(&self, header: &str) -> Option<String> {
        let (now, version) = (self.users.monotonic_us(), self.users.version());
        let mut known = self.known.lock();
        let entry = known.get_mut(&key(header))?;
        if entry.users_version != version || now.saturating_sub(entry.used_us) > TOKEN_US {
            known.remove(&key(header));
            return None;
        }
        entry.used_us = now;
        Some(entry.user.clone())
    }

    fn remember(&self, header: &str, user: &str) {
        let entry = Known { user: user.to_owned(), used_us: self.users.monotonic_us(), users_version: self.users.version() };
        let mut known = self.known.lock();
        if known.len() >= TOKENS_MAX {
            let mut used: Vec<u64> = known.values().map(|entry| entry.used_us).collect();
            used.sort_unstable();
            let middle = used[used.len() / 2];
            known.retain(|_, entry| entry.used_us > middle);
        }
        known.insert(key(header), entry);
    }
}

fn key(header: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, header.as_bytes()).as_ref());
    key
}

/// User and password of a Basic header.
fn basic(header: &str) -> Option<(String, String)> {
    let coded = header.strip_prefix("Basic ").or_else(|| header.strip_prefix("basic "))?;
    let text = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
