//! Changes in groups: whatever waits becomes one transaction and one sync.
//!
//! Promises: changes happen in the order in which they were asked for; answers come after the sync,
//! hints after the answers. May not know what lies in the tables.

use super::tables::{Changes, NoLease};
use super::{LEASES_MAX, QUEUE_CALLS_MAX, Shared, State};
use crate::{Error, Hints, Key, Lease, LeaseId, Revision, Swap, Swapped};
use std::sync::Arc;
use std::time::Duration;
use world::{Lane, Promise};

/// Most changes that share one sync.
const GROUP_CALLS_MAX: usize = 256;

/// A change that waits.
pub(super) enum Call {
    Swap(Swap, Promise<Result<Swapped, Error>>),
    /// A new lease, and how many milliseconds it lasts.
    Grant(LeaseId, u64, Promise<Result<Lease, Error>>),
    /// The end of a lease; nobody waits where its time was up.
    Revoke(LeaseId, Option<Promise<Result<(), Error>>>),
}

/// What a change came to, told once it is durable.
enum Outcome {
    Swapped(Result<Swapped, Error>),
    Granted,
    Ended(bool),
}

/// What a group came to.
struct Group {
    outcomes: Vec<Outcome>,
    revision: Revision,
    changed: Vec<Key>,
}

impl Call {
    fn refuse(self, error: Error) {
        match self {
            Call::Swap(_, promise) => promise.keep(Err(error)),
            Call::Grant(_, _, promise) => promise.keep(Err(error)),
            Call::Revoke(_, Some(promise)) => promise.keep(Err(error)),
            Call::Revoke(_, None) => {}
        }
    }
}

impl Shared {
    /// Takes a change into the queue, or refuses it.
    pub(super) fn queue(self: &Arc<Self>, call: Call) {
        let mut state = self.state.lock();
        if let Some(error) = state.refusal(&call) {
            drop(state);
            return call.refuse(error);
        }
        state.queue.push_back(call);
        if !std::mem::replace(&mut state.running, true) {
            drop(state);
            self.submit();
        }
    }

    fn submit(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        self.world.runner.submit(Lane::Log, Box::new(move || shared.run()));
    }

    /// One group. The next one is another job, so that others of the lane have their turn.
    fn run(self: Arc<Self>) {
        let (calls, revision) = {
            let mut state = self.state.lock();
            let count = state.queue.len().min(GROUP_CALLS_MAX);
            (state.queue.drain(..count).collect::<Vec<_>>(), state.revision)
        };
        match self.commit(&calls, revision) {
            Ok(group) => self.answer(calls, group),
            Err(error) => {
                let text = error.to_string();
                self.poison(&error);
                calls.into_iter().for_each(|call| call.refuse(Error::InDoubt(text.clone())));
            }
        }
        let mut state = self.state.lock();
        state.running = !state.queue.is_empty();
        if state.running {
            drop(state);
            self.submit();
        }
    }

    fn commit(&self, calls: &[Call], revision: Revision) -> Result<Group, redb::Error> {
        let transaction = self.database.begin_write()?;
        let mut changes = Changes::begin(&transaction, revision)?;
        let mut outcomes = Vec::with_capacity(calls.len());
        let mut touched = false;
        for call in calls {
            outcomes.push(match call {
                Call::Swap(swap, _) => match changes.swap(swap)? {
                    Ok(swapped) => Outcome::Swapped(Ok(swapped)),
                    Err(NoLease(lease)) => Outcome::Swapped(Err(Error::LeaseGone(lease))),
                },
                Call::Grant(lease, ms, _) => {
                    changes.grant(*lease, *ms)?;
                    touched = true;
                    Outcome::Granted
                }
                Call::Revoke(lease, _) => {
                    let was = changes.end_lease(*lease)?;
                    touched |= was;
                    Outcome::Ended(was)
                }
            });
        }
        touched |= !changes.changed.is_empty();
        let (revision, changed) = changes.end()?;
        // Conflicts alone need no sync: what they say is durable already.
        if touched {
            transaction.commit()?
        } else {
            transaction.abort()?
        };
        Ok(Group { outcomes, revision, changed })
    }

    fn answer(self: &Arc<Self>, calls: Vec<Call>, group: Group) {
        let now = self.world.clock.monotonic_us();
        let watches: Vec<Hints> = {
            let mut state = self.state.lock();
            state.revision = group.revision;
            for (call, outcome) in calls.iter().zip(&group.outcomes) {
                match (call, outcome) {
                    (Call::Grant(lease, ms, _), _) => state.deadlines.begin(*lease, *ms, now),
                    (Call::Revoke(lease, _), _) => {
                        state.deadlines.end(*lease);
                    }
                    (Call::Swap(..), _) => {}
                }
            }
            state.watches.retain(Hints::are_wanted);
            state.watches.clone()
        };
        self.wake_at_next_deadline();
        for (call, outcome) in calls.into_iter().zip(group.outcomes) {
            match (call, outcome) {
                (Call::Swap(_, promise), Outcome::Swapped(answer)) => promise.keep(answer),
                (Call::Grant(id, ms, promise), Outcome::Granted) => {
                    promise.keep(Ok(Lease { id, lasts: Duration::from_millis(ms) }));
                }
                (Call::Revoke(lease, Some(promise)), Outcome::Ended(was)) => {
                    promise.keep(if was { Ok(()) } else { Err(Error::LeaseGone(lease)) });
                }
                (Call::Revoke(_, None), Outcome::Ended(_)) => {}
                _ => unreachable!("each call has the outcome of its own kind"),
            }
        }
        watches.iter().for_each(|hints| hints.keys(group.revision, &group.changed));
    }

    /// Answers nothing from now on. Returns what is answered instead.
    pub(super) fn poison(&self, error: &redb::Error) -> Error {
        let mut state = self.state.lock();
        let why = state.poisoned.get_or_insert_with(|| error.to_string()).clone();
        let calls = std::mem::take(&mut state.queue);
        let watches = std::mem::take(&mut state.watches);
        drop(state);
        drop(watches);
        calls.into_iter().for_each(|call| call.refuse(Error::Poisoned(why.clone())));
        Error::Poisoned(why)
    }

    /// Has the runner come back when the next lease ends.
    pub(super) fn wake_at_next_deadline(self: &Arc<Self>) {
        let Some(due) = self.state.lock().deadlines.wake() else { return };
        let delay = Duration::from_micros(due.saturating_sub(self.world.clock.monotonic_us()));
        let shared = Arc::downgrade(self);
        let wake = move || {
            let Some(shared) = shared.upgrade() else { return };
            let ended = {
                let mut state = shared.state.lock();
                state.deadlines.woke(due);
                state.deadlines.take_ended(shared.world.clock.monotonic_us())
            };
            ended.into_iter().for_each(|lease| shared.queue(Call::Revoke(lease, None)));
            shared.wake_at_next_deadline();
        };
        self.world.runner.submit_after(delay, Lane::Log, Box::new(wake));
    }
}

impl State {
    /// Why a change is not taken, if so. A lease whose time is up always ends.
    fn refusal(&self, call: &Call) -> Option<Error> {
        if let Some(why) = &self.poisoned {
            return Some(Error::Poisoned(why.clone()));
        }
        match call {
            Call::Revoke(_, None) => None,
            _ if self.queue.len() >= QUEUE_CALLS_MAX => {
                Some(Error::Unavailable(format!("{QUEUE_CALLS_MAX} changes wait for the disk already")))
            }
            Call::Grant(..) if self.deadlines.count() >= LEASES_MAX => {
                Some(Error::Unavailable(format!("{LEASES_MAX} leases are open already")))
            }
            _ => None,
        }
    }
}
