//! Tickets, awaited: the kernel's promises from async code.
//!
//! They promise nothing beyond tickets themselves; they may not know what is answered.

use std::fmt::Display;
use world::{Abandoned, Ticket};

/// The answer, once it is there.
pub(crate) async fn answered<T: Send + 'static>(ticket: Ticket<T>) -> Result<T, Abandoned> {
    let (give, take) = tokio::sync::oneshot::channel();
    // Nobody may be left to take it.
    ticket.on_done(move |answer| drop(give.send(answer)));
    take.await.unwrap_or(Err(Abandoned))
}

/// Passes on what comes of something, or why nothing does, on the thread that did it.
pub(crate) fn pass_on<T: Send + 'static, F: Display + Send + 'static>(
    ticket: Ticket<Result<T, F>>,
    to: impl FnOnce(Result<T, String>) + Send + 'static,
) {
    ticket.on_done(move |done| {
        to(match done {
            Ok(done) => done.map_err(|fault| fault.to_string()),
            Err(Abandoned) => Err(Abandoned.to_string()),
        });
    });
}
