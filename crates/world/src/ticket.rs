//! Tickets: one answer that comes later, without async and without waiting.
//!
//! States of the shared slot, under its mutex: Empty -> Value (kept, nobody has asked) -> Taken, or
//! Empty -> Asked (a callback waits) -> Taken; Empty | Asked -> Abandoned when the promise is dropped;
//! Empty -> Unwanted when the ticket is dropped unasked. Whoever asks may say until when the answer is wanted.
//! Callbacks run outside the mutex, on the thread that keeps the promise (or that asks, when it is
//! kept already).

use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, Weak};
use thiserror::Error;

/// The promise was dropped before it was kept: its maker stopped (shutdown).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the work was given up before it was answered (the store is shutting down)")]
pub struct Abandoned;

type Callback<T> = Box<dyn FnOnce(Result<T, Abandoned>) + Send>;
type Wanted = Box<dyn Fn() -> bool + Send>;

enum State<T> {
    Empty,
    Value(T),
    Asked(Callback<T>, Option<Wanted>),
    Taken,
    Abandoned,
    Unwanted,
}

type Hook = Box<dyn Fn() + Send + Sync>;

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Called where the ticket is dropped unasked.
    unwanted: Option<Hook>,
}

/// The receiving end.
pub struct Ticket<T> {
    shared: Arc<Shared<T>>,
}

/// The giving end. Dropping it unkept abandons the ticket.
pub struct Promise<T> {
    shared: Option<Arc<Shared<T>>>,
}

impl<T: Send + 'static> Ticket<T> {
    /// A promise and its ticket.
    #[must_use]
    pub fn pair() -> (Promise<T>, Ticket<T>) {
        Ticket::with(None)
    }

    /// A promise and its ticket, and what is called when the ticket is dropped before it was
    /// answered or asked: on the thread that drops it.
    #[must_use]
    pub fn pair_watched(unwanted: impl Fn() + Send + Sync + 'static) -> (Promise<T>, Ticket<T>) {
        Ticket::with(Some(Box::new(unwanted)))
    }

    fn with(unwanted: Option<Hook>) -> (Promise<T>, Ticket<T>) {
        let shared = Arc::new(Shared { state: Mutex::new(State::Empty), changed: Condvar::new(), unwanted });
        (Promise { shared: Some(Arc::clone(&shared)) }, Ticket { shared })
    }

    /// A ticket that is answered already.
    #[must_use]
    pub fn ready(value: T) -> Ticket<T> {
        let state = Mutex::new(State::Value(value));
        Ticket { shared: Arc::new(Shared { state, changed: Condvar::new(), unwanted: None }) }
    }

    /// Calls `callback` once with the answer: at once if it is there, else on the thread that gives it.
    pub fn on_done(self, callback: impl FnOnce(Result<T, Abandoned>) + Send + 'static) {
        self.ask(None, Box::new(callback));
    }

    /// The same for an answer that is of use only while `wanted` says so: the promise's `is_awaited` asks it, with a lock held.
    pub fn on_done_while(
        self,
        wanted: impl Fn() -> bool + Send + 'static,
        callback: impl FnOnce(Result<T, Abandoned>) + Send + 'static,
    ) {
        self.ask(Some(Box::new(wanted)), Box::new(callback));
    }

    fn ask(self, wanted: Option<Wanted>, callback: Callback<T>) {
        let mut state = self.shared.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Value(value) => {
                drop(state);
                callback(Ok(value));
            }
            State::Abandoned => {
                drop(state);
                callback(Err(Abandoned));
            }
            State::Empty => *state = State::Asked(callback, wanted),
            State::Asked(..) | State::Taken | State::Unwanted => unreachable!("a ticket is consumed by the first who asks"),
        }
    }

    /// The answer, if it is there. None before, and after it was taken.
    #[must_use]
    pub fn try_take(&mut self) -> Option<Result<T, Abandoned>> {
        let mut state = self.shared.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Value(value) => Some(Ok(value)),
            State::Abandoned => Some(Err(Abandoned)),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Blocks this thread until the answer is there. For programs and tests that own their thread;
    /// never inside a job.
    ///
    /// # Errors
    /// `Abandoned` where the promise was dropped.
    pub fn wait(self) -> Result<T, Abandoned> {
        let mut state = self.shared.state.lock();
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Value(value) => return Ok(value),
                State::Abandoned => return Err(Abandoned),
                other => *state = other,
            }
            self.shared.changed.wait(&mut state);
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if matches!(*state, State::Empty) {
            *state = State::Unwanted;
            drop(state);
            if let Some(unwanted) = &self.shared.unwanted {
                unwanted();
            }
        }
    }
}

fn is_awaited<T>(shared: &Shared<T>) -> bool {
    match &*shared.state.lock() {
        State::Unwanted => false,
        State::Asked(_, Some(wanted)) => wanted(),
        _ => true,
    }
}

impl<T: Send + 'static> Promise<T> {
    /// Tells, apart from the promise, whether anybody can still take the answer.
    pub fn interest(&self) -> impl Fn() -> bool + Send + use<T> {
        let shared = self.shared.as_ref().map(Arc::downgrade);
        move || shared.as_ref().and_then(Weak::upgrade).is_some_and(|shared| is_awaited(&shared))
    }
}

impl<T> Promise<T> {
    /// Whether anybody can still take the answer. Once false it stays false.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| is_awaited(shared))
    }

    /// Gives the answer.
    pub fn keep(mut self, value: T) {
        let Some(shared) = self.shared.take() else { return };
        let mut state = shared.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Empty => *state = State::Value(value),
            State::Asked(callback, _) => {
                drop(state);
                callback(Ok(value));
                return;
            }
            State::Unwanted => {
                // Outside the mutex: a value may do something when it is dropped.
                drop(state);
                drop(value);
                return;
            }
            State::Value(_) | State::Taken | State::Abandoned => unreachable!("a promise is kept once"),
        }
        shared.changed.notify_all();
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        let mut state = shared.state.lock();
        match std::mem::replace(&mut *state, State::Abandoned) {
            State::Asked(callback, _) => {
                *state = State::Taken;
                drop(state);
                callback(Err(Abandoned));
                return;
            }
            State::Empty | State::Unwanted => {}
            State::Value(_) | State::Taken | State::Abandoned => unreachable!("a promise is kept or dropped once"),
        }
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_once_however_it_is_asked_for() {
        let (promise, mut ticket) = Ticket::pair();
        assert_eq!(ticket.try_take(), None);
        promise.keep(7);
        assert_eq!(ticket.try_take(), Some(Ok(7)));
        assert_eq!(ticket.try_take(), None);
        assert_eq!(Ticket::ready(8).wait(), Ok(8));
    }

    #[test]
    fn a_promise_knows_whether_anybody_waits() {
        let called = Arc::new(Mutex::new(0));
        let calls = Arc::clone(&called);
        let (promise, ticket) = Ticket::pair_watched(move || *calls.lock() += 1);
        assert!(promise.is_awaited());
        drop(ticket);
        assert!(!promise.is_awaited());
        promise.keep(Arc::clone(&called));
        assert_eq!((*called.lock(), Arc::strong_count(&called)), (1, 1));
        Ticket::<()>::pair_watched(|| unreachable!("asked")).1.on_done(drop);
        let (promise, ticket) = Ticket::<()>::pair();
        ticket.on_done(drop);
        assert!(promise.is_awaited());
    }

    #[test]
    fn a_promise_knows_whether_the_answer_is_wanted_further_on() {
        let (promise, ticket) = Ticket::<u8>::pair();
        let (told, heard) = Ticket::<u8>::pair();
        ticket.on_done_while(told.interest(), move |answer| told.keep(answer.unwrap_or(0)));
        assert!(promise.is_awaited());
        let alive = Arc::new(());
        let still = Arc::downgrade(&alive);
        heard.on_done_while(move || still.strong_count() > 0, drop);
        assert!(promise.is_awaited());
        drop(alive);
        assert!(!promise.is_awaited());
        promise.keep(1);
    }

    #[test]
    fn a_dropped_promise_is_an_answer_too() {
        let (promise, ticket) = Ticket::<()>::pair();
        let (given, taken) = Ticket::pair();
        ticket.on_done(move |answer| given.keep(answer));
        drop(promise);
        assert_eq!(taken.wait(), Ok(Err(Abandoned)));
    }
}
