//! Ctrl-C and SIGTERM for commands that finish what they began: a flag that work looks at between
//! its steps.
//!
//! Promises: the first signal sets the flag and says so; the second ends the process at once, as if
//! nobody had listened.

use crate::Error;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Said at the first signal, for what is under way may take a while.
const STOPPING: &[u8] = b"\nstopping as soon as what is under way is done; once more ends it at once\n";

extern "C" fn note(signal: libc::c_int) {
    if ASKED.swap(true, Ordering::SeqCst) {
        // SAFETY: signal and raise are async-signal-safe; the default action ends the process.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    } else {
        // SAFETY: write is async-signal-safe, and the bytes are there for ever. Whether anybody reads them does not matter.
        unsafe {
            libc::write(libc::STDERR_FILENO, STOPPING.as_ptr().cast(), STOPPING.len());
        }
    }
}

/// Listens from now on.
pub fn listen() {
    let handler: extern "C" fn(libc::c_int) = note;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only touches an atomic and calls async-signal-safe functions.
        unsafe {
            libc::signal(signal, handler as libc::sighandler_t);
        }
    }
}

/// Between two steps of work: an error where somebody asked to stop.
///
/// # Errors
/// `Error::Interrupted`.
pub fn check() -> Result<(), Error> {
    if asked() { Err(Error::Interrupted) } else { Ok(()) }
}

/// Whether somebody asked to stop.
#[must_use]
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
