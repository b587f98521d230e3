//! What is done now, and for which trace: a place of each thread, for the length of a poll.
//!
//! Promises: a future that is given a context has it whenever it is polled, on whichever thread; whoever polls it has its own back
//! afterwards. What is spawned has none, unless it is `carried`.

use crate::context::Context;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;

thread_local! {
    static CURRENT: Cell<Option<Context>> = const { Cell::new(None) };
}

/// The trace that this thread works for now.
#[must_use]
pub fn current() -> Option<Context> {
    CURRENT.get()
}

/// This thread works for a trace until this is dropped.
pub struct Entered {
    before: Option<Context>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Has this thread work for a trace, or for none.
#[must_use = "it ends when it is dropped"]
pub fn enter(context: Option<Context>) -> Entered {
    Entered { before: CURRENT.replace(context) }
}

/// A future that works for a trace, or for none.
pub async fn within<F: Future>(context: Option<Context>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(move |task| {
        let _entered = enter(context);
        future.as_mut().poll(task)
    })
    .await
}

/// A future that works for whatever this thread works for now, wherever it is polled.
pub fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    within(current(), future)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context as Task, Waker};

    #[test]
    fn it_is_there_while_the_future_is_polled() {
        let context: Option<Context> = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok();
        let outer = enter(None);
        let mut future = pin!(within(context, async {
            let here = current();
            let inner = within(None, async { current() }).await;
            (here, inner, current())
        }));
        let done = future.as_mut().poll(&mut Task::from_waker(Waker::noop()));
        assert_eq!(done, std::task::Poll::Ready((context, None, context)));
        assert_eq!(current(), None);
        drop(outer);
    }
}
