//! Tickets, awaited: the kernel's promises from async code.
//!
//! They promise nothing beyond tickets themselves; they may not know what is answered.

use world::{Abandoned, Ticket};

/// The answer, once it is there.
pub(crate) async fn answered<T: Send + 'static>(ticket: Ticket<T>) -> Result<T, Abandoned> {
    let (give, take) = tokio::sync::oneshot::channel();
    // Nobody may be left to take it.
    ticket.on_done(move |answer| drop(give.send(answer)));
    take.await.unwrap_or(Err(Abandoned))
}
