//! What every meta must do, whoever it is: the embedded one, a lone manager's over RPC, etcd.
//!
//! It promises to ask only through the trait, so that each implementation's own tests include it
//! (`#[path]` from crate `cluster`). A fresh store a call; nobody else may write to it.
//! It may not know which implementation it runs.

mod leases;
mod oracle;
mod random;
mod single;

pub use oracle::Oracle;
#[allow(unused_imports, reason = "only the embedded store asks for random swaps of its own")]
pub use random::{Dice, random_swap};

use meta::{Key, Meta};
use std::sync::Arc;
use std::time::Duration;
use world::{Abandoned, Ticket};

/// A meta under test, and how its world goes on.
pub trait Bench {
    /// The meta.
    fn meta(&self) -> Arc<dyn Meta>;

    /// Waits for an answer, or steps until it is there.
    fn answer<T: Send + 'static>(&self, ticket: Ticket<T>) -> Result<T, Abandoned>;

    /// Lets a little time pass: the bench of real things sleeps, to ask again soon.
    fn pass(&self, time: Duration);

    /// The answer of a call that must be answered well.
    fn good<T: Send + 'static>(&self, ticket: Ticket<Result<T, meta::Error>>) -> T {
        self.answer(ticket).expect("meta lives").expect("the call is well made and meta is there")
    }

    /// Waits until something holds.
    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..3_000 {
            if holds() {
                return;
            }
            self.pass(Duration::from_millis(20));
        }
        panic!("after a minute it does not hold that {what}");
    }
}

/// A key of this text.
pub fn key(text: &str) -> Key {
    Key::new(text).expect("an answer that is no fault")
}

/// Everything at once, on a fresh store.
pub fn all(bench: &impl Bench) {
    single::conditions_and_revisions(bench);
    single::a_swap_is_whole_or_nothing(bench);
    single::one_of_many_wins(bench);
    single::ranges_come_in_pages(bench);
    single::limits_are_refused_and_change_nothing(bench);
    single::watches_hint(bench);
    leases::a_lease_ends_with_its_keys(bench);
    leases::a_lease_that_is_renewed_lasts(bench);
    random::random_calls_answer_as_the_oracle(bench, 1, 400);
}
