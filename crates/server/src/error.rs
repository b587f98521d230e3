//! What can go wrong in starting, running and stopping a server: a variant a failed step.
//! What goes wrong in a statement is the client's to hear (see `pg::error`), not this.

use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// A failure of the server.
#[derive(Debug, Error)]
pub enum Error {
    /// An address can't be listened on.
    #[error("can't listen on {address} (setting {setting}): {cause}{}", listen_hint(cause))]
    Listen {
        /// The setting that names it.
        setting: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A thread or runtime can't be started.
    #[error("can't start the thread \"{name}\": {cause}")]
    Thread {
        /// What it is for.
        name: String,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A listener that others than this machine can reach has no passwords to ask for.
    #[error(
        "refusing to listen on {0}: no user has a password; give the user \"meridian\" one (setting password) or listen on a loopback address"
    )]
    NoPassword(SocketAddr),
    /// A listener that others than this machine can reach has no certificate.
    #[error(
        "refusing to listen on {0} without TLS: give a certificate and a key (settings tls_certificate and tls_key), or allow plaintext (setting plaintext_allowed)"
    )]
    Plaintext(SocketAddr),
    /// A certificate or key can't be used.
    #[error("TLS can't be set up from {path}: {problem}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file can't be read or written.
    #[error(transparent)]
    Disk(#[from] world::DiskError),
    /// The users file has a line that is not one.
    #[error("{path}, line {line}: {problem}")]
    Users {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A user's name or password can't be used.
    #[error("user \"{name}\": {problem}")]
    User {
        /// The name, shortened where long.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Whoever keeps users elsewhere did not.
    #[error("user \"{name}\" can't be kept: {problem}")]
    Unkept {
        /// The name.
        name: String,
        /// Why.
        problem: String,
    },
    /// Kernel or catalog could not be closed cleanly.
    #[error("the store could not be closed cleanly: {0}")]
    Close(String),
    /// The HTTP door can't be opened.
    #[error("the HTTP door can't be opened: {0}")]
    Http(String),
    /// The Flight door can't be opened.
    #[error("the Flight door can't be opened: {0}")]
    Flight(String),
}

/// What can be done about an address that can't be listened on.
fn listen_hint(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        std::io::ErrorKind::AddrInUse => "; another process listens there: stop it, or give another port (0 takes any free one)",
        std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 are not for everybody",
        _ => "",
    }
}
