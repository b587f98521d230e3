//! Passwords as they are kept: SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677) in PostgreSQL's text form.
//!
//! ```text
//! SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>      (base64)
//! ```
//!
//! Promises: a verifier does not hold the password; checking one takes the same time for a right
//! and a wrong password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgwire::api::auth::sasl::scram::{ScramSecret, gen_salted_password};
use std::fmt;

/// Rounds of hashing; what PostgreSQL takes too.
pub const ITERATIONS: u32 = 4096;
/// Random bytes of salt.
pub const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const PREFIX: &str = "SCRAM-SHA-256$";

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Verifier {
    /// The verifier of a password under a salt.
    #[must_use]
    pub fn new(password: &str, salt: &[u8], iterations: u32) -> Verifier {
        let salted = gen_salted_password(password, salt, iterations as usize);
        match ScramSecret::verifier_from_salted_password(salt.to_vec(), salted, iterations as usize) {
            ScramSecret::Verifier { salt, stored_key, server_key, .. } => Verifier { iterations, salt, stored_key, server_key },
            ScramSecret::SaltedPassword { .. } => unreachable!("a verifier was asked for"),
        }
    }

    /// A verifier that no password fits, for names that nobody has: the exchange then looks the
    /// same from outside. The same name gets the same salt for as long as `secret` stays.
    #[must_use]
    pub fn of_nobody(name: &str, secret: &[u8; 32]) -> Verifier {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let salt = ring::hmac::sign(&key, name.as_bytes());
        let stored = ring::hmac::sign(&key, salt.as_ref());
        Verifier {
            iterations: ITERATIONS,
            salt: salt.as_ref()[..SALT_BYTES].to_vec(),
            stored_key: stored.as_ref().to_vec(),
            server_key: stored.as_ref().to_vec(),
        }
    }

    /// Reads the text form. None where it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Verifier> {
        let (head, keys) = text.strip_prefix(PREFIX)?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let verifier = Verifier {
            iterations: iterations.parse().ok().filter(|count| (1..=10_000_000).contains(count))?,
            salt: STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?,
            stored_key: STANDARD.decode(stored_key).ok().filter(|key| key.len() == KEY_BYTES)?,
            server_key: STANDARD.decode(server_key).ok().filter(|key| key.len() == KEY_BYTES)?,
        };
        Some(verifier)
    }

    /// Whether this is the password. Costs milliseconds of a core, by design.
    #[must_use]
    pub fn accepts(&self, password: &str) -> bool {
        let other = Verifier::new(password, &self.salt, self.iterations);
        let difference = self.stored_key.iter().zip(&other.stored_key).fold(0, |sum, (a, b)| sum | (a ^ b));
        difference == 0 && self.stored_key.len() == other.stored_key.len()
    }

    /// What the SCRAM exchange needs.
    #[must_use]
    pub fn secret(&self) -> ScramSecret {
        ScramSecret::Verifier {
            salt: self.salt.clone(),
            iterations: self.iterations as usize,
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
        }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, stored, server) =
            (STANDARD.encode(&self.salt), STANDARD.encode(&self.stored_key), STANDARD.encode(&self.server_key));
        write!(out, "{PREFIX}{}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Verifier({} iterations)", self.iterations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_that_of_the_standard() {
        // The password, salt and keys of the example in RFC 7677, section 3.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::new("pencil", &salt, 4096);
        let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        assert_eq!(verifier.to_string(), text);
        assert_eq!(Verifier::parse(text), Some(verifier.clone()));
        assert!(verifier.accepts("pencil") && !verifier.accepts("Pencil") && !verifier.accepts(""));
    }

    #[test]
    fn damaged_texts_are_no_verifiers() {
        for text in ["", "md5abc", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:AAAA$BBBB:CCCC", "SCRAM-SHA-256$4096:AAAA$BBBB:CCCC"] {
            assert_eq!(Verifier::parse(text), None, "{text}");
        }
        assert!(!Verifier::of_nobody("x", &[7; 32]).accepts(""));
    }
}
