//! A share of the budget, and the grants that hold its bytes.

use crate::budget::Waiter;
use crate::{Budget, ShareStatus};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;
use world::Ticket;

/// A request that can never be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{bytes} bytes are more than the {bytes_max} that {share} may hold")]
pub struct TooLarge {
    /// The share's name.
    pub share: &'static str,
    /// Bytes asked for.
    pub bytes: u64,
    /// The share's bound.
    pub bytes_max: u64,
}

/// A part of the budget with a bound of its own.
pub struct Share {
    budget: Arc<Budget>,
    index: usize,
    bytes_max: u64,
}

impl Share {
    pub(crate) fn new(budget: Arc<Budget>, index: usize, bytes_max: u64) -> Arc<Share> {
        Arc::new(Share { budget, index, bytes_max })
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The budget that it is part of.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Its bound in bytes.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// What it holds.
    #[must_use]
    pub fn status(&self) -> ShareStatus {
        self.budget.status(self.index)
    }

    /// Takes room where there is some now (caches give way first), and nobody waits who comes first.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Grant> {
        self.budget.try_take_reclaiming(self.index, bytes).then(|| Grant::new(Arc::clone(self), bytes))
    }

    /// Takes room that nobody waits for and no cache has to give up: what a cache does itself.
    #[must_use]
    pub fn try_take_spare(self: &Arc<Self>, bytes: u64) -> Option<Grant> {
        self.budget.try_take(self.index, bytes).then(|| Grant::new(Arc::clone(self), bytes))
    }

    /// Grants nothing any more: the tickets of those who wait, and of those who still come, are
    /// abandoned. What was granted is given back as ever.
    pub fn close(&self) {
        self.budget.turn_away(self.index, true);
    }

    /// Abandons the tickets of those who wait now. Those who still come may wait.
    pub fn turn_away(&self) {
        self.budget.turn_away(self.index, false);
    }

    /// Takes room as soon as there is some, in order of asking. Never waits. A dropped ticket is
    /// passed over, and loses nothing.
    ///
    /// # Errors
    /// `TooLarge` where the share can never hold so much.
    pub fn take(self: &Arc<Self>, bytes: u64) -> Result<Ticket<Grant>, TooLarge> {
        if bytes > self.bytes_max {
            return Err(TooLarge { share: self.status().name, bytes, bytes_max: self.bytes_max });
        }
        let budget = Arc::clone(&self.budget);
        let (promise, ticket) = Ticket::pair_watched(move || budget.pass_over());
        self.budget.enqueue(Waiter { share: Arc::clone(self), bytes, promise });
        Ok(ticket)
    }
}

/// Bytes that are held. Dropping it gives them back, and answers those who waited for them: their
/// callbacks run on this thread, so drop or shrink it with no lock held that they might take.
pub struct Grant {
    share: Arc<Share>,
    bytes: u64,
}

impl Grant {
    pub(crate) fn new(share: Arc<Share>, bytes: u64) -> Grant {
        Grant { share, bytes }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The share that they are of.
    #[must_use]
    pub fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// Takes more, as `Share::try_take`. Whether it did.
    #[must_use]
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let grown = self.share.budget.try_take_reclaiming(self.share.index, bytes);
        self.bytes += if grown { bytes } else { 0 };
        grown
    }

    /// Takes more, as `Share::try_take_spare`. Whether it did.
    #[must_use]
    pub fn try_grow_spare(&mut self, bytes: u64) -> bool {
        let grown = self.share.budget.try_take(self.share.index, bytes);
        self.bytes += if grown { bytes } else { 0 };
        grown
    }

    /// Gives some back.
    ///
    /// # Panics
    /// Where that is more than it holds.
    pub fn shrink(&mut self, bytes: u64) {
        assert!(bytes <= self.bytes, "a grant of {} bytes can't give back {bytes}", self.bytes);
        self.bytes -= bytes;
        if bytes > 0 {
            self.share.budget.give_back(self.share.index, bytes);
        }
    }

    /// Gives some back, for a reclaimer that holds its own lock.
    pub(crate) fn shrink_quietly(&mut self, bytes: u64) {
        assert!(bytes <= self.bytes, "a grant of {} bytes can't give back {bytes}", self.bytes);
        self.bytes -= bytes;
        self.share.budget.give_back_quietly(self.share.index, bytes);
    }

    /// Cuts off a grant of its own.
    ///
    /// # Panics
    /// Where that is more than it holds.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Grant {
        assert!(bytes <= self.bytes, "a grant of {} bytes can't be split at {bytes}", self.bytes);
        self.bytes -= bytes;
        Grant::new(Arc::clone(&self.share), bytes)
    }

    /// Takes in another grant of the same share.
    ///
    /// # Panics
    /// Where it is of another share.
    pub fn merge(&mut self, mut other: Grant) {
        let same = Arc::ptr_eq(&self.share.budget, &other.share.budget) && self.share.index == other.share.index;
        assert!(same, "grants of different shares don't merge");
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Grant({} bytes)", self.bytes)
    }
}
