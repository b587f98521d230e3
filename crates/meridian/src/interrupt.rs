//! Ctrl-C and SIGTERM for commands that finish what they began: a flag that work looks at between
//! its steps.
//!
//! Promises: the first signal sets the flag and says so; the second ends the process at once, as if
//! nobody had listened, and with it the processes that it has on a leash: nobody is left then to end those.

use crate::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Processes that may be on a leash at once: a node, a peer, and some to spare.
const LEASHES: usize = 16;
/// Each the signal that ends a process, above its number; 0 = free.
static LEASHED: [AtomicU64; LEASHES] = [const { AtomicU64::new(0) }; LEASHES];

/// A process that the second signal ends along with us, until this is dropped: which must be before the process is
/// waited for, since its number may be another's from then on.
#[derive(Debug)]
pub struct Leash(Option<&'static AtomicU64>);

impl Leash {
    /// Of a child, and the signal that ends it. One of more than there is room for is not ended.
    pub fn new(process: u32, signal: libc::c_int) -> Leash {
        let held = u64::from(signal.unsigned_abs()) << 32 | u64::from(process);
        let take = |slot: &&AtomicU64| slot.compare_exchange(0, held, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        Leash(LEASHED.iter().find(take))
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.store(0, Ordering::SeqCst);
        }
    }
}

/// Said at the first signal, for what is under way may take a while.
const STOPPING: &[u8] = b"\nstopping as soon as what is under way is done; once more ends it at once\n";

extern "C" fn note(signal: libc::c_int) {
    if ASKED.swap(true, Ordering::SeqCst) {
        for held in LEASHED.iter().map(|slot| slot.load(Ordering::SeqCst)).filter(|held| *held != 0) {
            // SAFETY: kill is async-signal-safe; the child is on its leash, so nobody waited for it and the number is its.
            unsafe {
                libc::kill(held as u32 as libc::pid_t, (held >> 32) as libc::c_int);
            }
        }
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
