//! What the doors tell the audit log (`query::AUDIT`): who came in, and who did not.
//!
//! Promises: a password is never told, nor a token. At a door that believes whoever comes, only sessions of the PostgreSQL door are
//! told of; a call by a token or by a password that was proved before is part of what its login began.

use query::AUDIT;
use std::net::{IpAddr, SocketAddr};

/// Names are as long as whoever sends them wants them to be.
const NAME_BYTES_MAX: usize = 128;

fn short(user: &str) -> &str {
    &user[..user.floor_char_boundary(NAME_BYTES_MAX)]
}

/// A session at the PostgreSQL door.
pub(crate) fn session_opened(peer: SocketAddr, user: &str, session: i32, believed: bool, encrypted: bool) {
    let proof = if believed { "none" } else { "password" };
    tracing::info!(target: AUDIT, event = "login", door = "postgresql", client = %peer, user = short(user), session, proof, encrypted);
}

/// Its end.
pub(crate) fn session_closed(session: i32) {
    tracing::info!(target: AUDIT, event = "logout", session);
}

/// A password that was proved at the Flight or the HTTP door.
pub(crate) fn proved(door: &'static str, from: Option<IpAddr>, user: &str) {
    let client = from.map(tracing::field::display);
    tracing::info!(target: AUDIT, event = "login", door, client, user = short(user), proof = "password");
}

/// Somebody who was not let in.
pub(crate) fn refused(door: &'static str, from: Option<IpAddr>, user: Option<&str>, why: &str) {
    let client = from.map(tracing::field::display);
    tracing::info!(target: AUDIT, event = "login refused", door, client, user = user.map(short), error = why);
}
