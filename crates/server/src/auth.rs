//! Who calls the Flight and the HTTP door: the same users as at the PostgreSQL door, by `authorization: Basic` or by a
//! Bearer token that was given to them (Flight's Handshake, HTTP's `POST /token`). A token holds at both doors.
//!
//! Shared state: the tokens, under one mutex; a token holds until `TOKEN_US` after its last use, or
//! until its role's password changes, or ceases to let it in. Checking a password costs milliseconds of a core, so it runs off the
//! threads that serve streams, and its outcome is remembered by the hash of the header.

use crate::attempts::Attempts;
use crate::audit;
use crate::flight::Peer;
use crate::users::{BOOTSTRAP, Users};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use thiserror::Error;
use tonic::Extensions;

/// How long a token holds without being used.
pub(crate) const TOKEN_US: u64 = 24 * 3_600_000_000;
/// Tokens held at one time; beyond that the ones unused for longest go.
const TOKENS_MAX: usize = 10_000;

/// How Basic headers are coded: Go's clients (ADBC's driver) leave out the padding at the end.
const CODED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Clone)]
struct Known {
    user: String,
    used_us: u64,
    /// What was kept of the password then; None where the name was believed.
    proof: Option<Arc<str>>,
}

/// Who calls, and from where.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The user; where everybody is trusted and nobody said a name, the one who is there from the first start.
    pub(crate) user: String,
    /// What stands for the token of the call, where it has one.
    pub(crate) token: Option<[u8; 32]>,
    /// The connection that the call came by.
    pub(crate) peer: Option<Peer>,
}

/// Why somebody was not let in, as they are told.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// A call, as far as it tells who calls.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// Which door it comes to, as the audit log names it.
    pub(crate) door: &'static str,
    /// Its `authorization` header.
    pub(crate) header: Option<&'a str>,
    /// Whether the door trusts everybody.
    pub(crate) trusted: bool,
    /// Where it comes from.
    pub(crate) from: Option<IpAddr>,
}

/// Checks callers.
pub(crate) struct Authenticator {
    users: Arc<Users>,
    attempts: Arc<Attempts>,
    /// By the SHA-256 of the header that proved it: tokens and passwords are not kept.
    known: Mutex<HashMap<[u8; 32], Known>>,
}

impl Authenticator {
    pub(crate) fn new(users: Arc<Users>, attempts: Arc<Attempts>) -> Self {
        Authenticator { users, attempts, known: Mutex::default() }
    }

    /// The user who calls. Where everybody is trusted, whoever they say they are, and the
    /// empty name where they say none.
    pub(crate) async fn user(&self, Call { door, header, trusted, from }: Call<'_>) -> Result<String, Refused> {
        let refused = |why: &str| Err(Refused(why.to_owned()));
        let Some(header) = header else {
            return if trusted { self.believed(String::new()) } else { refused("a user name and password are needed") };
        };
        if let Some(user) = self.remembered(header, trusted) {
            return Ok(user);
        }
        if trusted {
            return self.believed(basic(header).map_or_else(String::new, |(user, _)| user));
        }
        let told = |user: Option<&str>, why: String| {
            audit::refused(door, from, user, &why);
            Refused(why)
        };
        let Some((user, password)) = basic(header) else {
            return Err(told(None, "the token is not, or no longer, known".to_owned()));
        };
        if let Some(from) = from {
            let turn = self.attempts.turn(from, &user, self.users.monotonic_us()).await;
            turn.map_err(|refused| told(Some(&user), refused.to_string()))?;
        }
        let (proof, verifier) = (self.users.proof(&user), self.users.verifier(&user));
        let right = tokio::task::spawn_blocking(move || verifier.accepts(&password)).await.unwrap_or(false);
        if let Some(from) = from {
            self.attempts.note(right, from, &user, self.users.monotonic_us());
        }
        if !right {
            return Err(told(Some(&user), format!("password authentication failed for user \"{user}\"")));
        }
        audit::proved(door, from, &user);
        self.remember(header, &user, proof);
        Ok(user)
    }

    /// A name that comes without a password.
    fn believed(&self, user: String) -> Result<String, Refused> {
        match self.users.roles().believe(&user) {
            Ok(()) => Ok(user),
            Err(_) if user.is_empty() => Err(Refused("there are roles on this server: say the name of one".to_owned())),
            Err(error) => Err(Refused(error.to_string())),
        }
    }

    /// The user who calls at the Flight door, and what a session of theirs is known by.
    pub(crate) async fn caller(&self, header: Option<&str>, trusted: bool, extensions: &Extensions) -> Result<Caller, Refused> {
        let peer = Peer::of(extensions);
        let from = peer.as_ref().and_then(|peer| peer.address).map(|address| address.ip());
        let user = self.user(Call { door: "flight", header, trusted, from }).await?;
        let token = header.filter(|header| header.starts_with("Bearer ") && self.remembered(header, trusted).is_some()).map(key);
        let user = if user.is_empty() { BOOTSTRAP.to_owned() } else { user };
        Ok(Caller { user, token, peer })
    }

    /// A header with a token for a user whose identity was proved, or is believed at a door that trusts everybody.
    pub(crate) fn token(&self, user: &str, trusted: bool) -> String {
        let mut secret = [0; 32];
        self.users.fill_random(&mut secret);
        let header = format!("Bearer {}", URL_SAFE_NO_PAD.encode(secret));
        let proof = if trusted { None } else { self.users.proof(user) };
        self.remember(&header, user, proof);
        header
    }

    fn remembered(&self, header: &str, trusted: bool) -> Option<String> {
        let now = self.users.monotonic_us();
        let mut known = self.known.lock();
        let entry = known.get_mut(&key(header))?;
        let stands = match &entry.proof {
            Some(proof) => self.users.proof(&entry.user).as_ref() == Some(proof),
            None => trusted && self.users.roles().believe(&entry.user).is_ok(),
        };
        if !stands || now.saturating_sub(entry.used_us) > TOKEN_US {
            known.remove(&key(header));
            return None;
        }
        entry.used_us = now;
        Some(entry.user.clone())
    }

    fn remember(&self, header: &str, user: &str, proof: Option<Arc<str>>) {
        let entry = Known { user: user.to_owned(), used_us: self.users.monotonic_us(), proof };
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
    let text = String::from_utf8(CODED.decode(coded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_headers_are_read_with_and_without_padding() {
        let meant = Some(("user".to_owned(), "a:b".to_owned()));
        for header in ["Basic dXNlcjphOmI=", "basic dXNlcjphOmI"] {
            assert_eq!(basic(header), meant, "{header}");
        }
        for header in ["Bearer dXNlcjphOmI=", "Basic dXNlcg==", "Basic \u{e9}", "Basic", ""] {
            assert_eq!(basic(header), None, "{header}");
        }
    }
}
