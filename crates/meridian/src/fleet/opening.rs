//! Opening a store of a fleet's process on a thread of its own, which yields to those that serve.
//!
//! Whoever opens reads a whole log, as fast as a core can; what runs beside it on the machine (other processes, the copies that
//! serve meanwhile) has clients waiting. Promises: the process's other threads are as they were. May not know what is opened.

use crate::Error;
use tokio::sync::oneshot;

/// How much the thread yields, in the system's steps (`nice`): others get about five times its share of a busy core.
const NICENESS: i32 = 7;

/// Runs something on a thread that yields.
///
/// # Errors
/// `Error::Fleet` where the thread can't be started, or ended without an answer.
pub(super) async fn opened<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let (answer, answered) = oneshot::channel();
    let run = move || {
        yield_to_others();
        // Whoever waited may be gone.
        drop(answer.send(work()));
    };
    let started = std::thread::Builder::new().name("opening".to_owned()).spawn(run);
    started.map_err(|fault| Error::Fleet(format!("starting a thread: {fault}")))?;
    answered.await.map_err(|_| Error::Fleet("a store was not opened: its thread ended".to_owned()))
}

/// On Linux a thread has a niceness of its own: 0 names the calling one.
#[expect(unsafe_code, reason = "the standard library has no priorities of threads")]
fn yield_to_others() {
    // SAFETY: it takes three numbers, and changes nothing but how the calling thread is scheduled. Where the system refuses,
    // the thread runs as others do.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}
