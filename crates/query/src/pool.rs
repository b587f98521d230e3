//! The memory of all queries: who may have how much of it.
//!
//! Promises: what is asked for (`try_grow`) never takes the whole beyond its limit; whoever can spill is told to
//! early enough that room is left for those who can't, and for newcomers; whoever holds nothing gets what it
//! asks for while there is room at all, since it has nothing to spill.
//!
//! DataFusion's own fair pool divides by how many *could* spill, however little they hold, so that with a small
//! share a sort between repartitions and aggregates is refused its first batch; and it counts nobody's excess.
//!
//! A role's or a session's limit is a pool of the same kind that lies within another one (`Nested`).
//!
//! Shared state: two sums under one mutex, touched by every growing and shrinking; the limit, which may change at any time.

use datafusion::common::DataFusionError;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// Bytes of those who can spill.
    spillable: usize,
    /// Bytes of those who can't.
    firm: usize,
}

/// The pool.
#[derive(Debug)]
pub(crate) struct QueryPool {
    name: String,
    bytes_max: AtomicUsize,
    held: Mutex<Held>,
}

impl QueryPool {
    /// One of so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let name = "queries' share".to_owned();
        QueryPool { name, bytes_max: AtomicUsize::new(bytes_max), held: Mutex::default() }
    }

    /// One under a name, of so many bytes; 0 = no limit.
    pub(crate) fn named(name: String, bytes_max: u64) -> Self {
        let pool = QueryPool { name, bytes_max: AtomicUsize::new(0), held: Mutex::default() };
        pool.set_limit(bytes_max);
        pool
    }

    /// From now on it is of so many bytes; 0 = no limit. What is held stays held.
    pub(crate) fn set_limit(&self, bytes_max: u64) {
        let bytes = if bytes_max == 0 { usize::MAX } else { usize::try_from(bytes_max).unwrap_or(usize::MAX) };
        self.bytes_max.store(bytes, Ordering::Relaxed);
    }

    fn bytes_max(&self) -> usize {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// Whether somebody who can spill and holds `own` bytes may have `more`.
    fn admits(&self, held: Held, own: usize, more: usize) -> bool {
        let bytes_max = self.bytes_max();
        let free = bytes_max.saturating_sub(held.spillable + held.firm);
        if own == 0 {
            return more <= free;
        }
        // A quarter of what is not held firmly stays for those who can't spill. Of the rest nobody takes more than
        // twice what it leaves: one alone has two thirds, two have two fifths each, and a newcomer always finds some.
        let most = bytes_max.saturating_sub(held.firm) / 4 * 3;
        most.checked_sub(held.spillable + more).is_some_and(|left| own + more <= left.saturating_mul(2))
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} of {} bytes", self.name, self.bytes_max())
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &'static str {
        "queries"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut held = self.held.lock();
        if reservation.consumer().can_spill() {
            held.spillable += additional;
        } else {
            held.firm += additional;
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut held = self.held.lock();
        if reservation.consumer().can_spill() {
            held.spillable -= shrink;
        } else {
            held.firm -= shrink;
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut held = self.held.lock();
        let can_spill = reservation.consumer().can_spill();
        let own = if can_spill { reservation.size() } else { 0 };
        if !self.admits(*held, own, additional) {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} holds {} bytes and needs {additional} more; of {self} {} are held",
                reservation.consumer().name(),
                reservation.size(),
                held.spillable + held.firm,
            )));
        }
        if can_spill {
            held.spillable += additional;
        } else {
            held.firm += additional;
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        let held = self.held.lock();
        held.spillable + held.firm
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max())
    }
}

/// A pool within another one: what is taken of it is taken of the other too.
#[derive(Debug)]
pub(crate) struct Nested {
    own: Arc<QueryPool>,
    within: Arc<dyn MemoryPool>,
}

impl Nested {
    pub(crate) fn new(own: Arc<QueryPool>, within: Arc<dyn MemoryPool>) -> Self {
        Nested { own, within }
    }
}

impl fmt::Display for Nested {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} within {}", self.own, self.within)
    }
}

impl MemoryPool for Nested {
    fn name(&self) -> &'static str {
        "limited queries"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.within.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.within.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.within.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.within.shrink(reservation, shrink);
        self.own.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.own.try_grow(reservation, additional)?;
        self.within.try_grow(reservation, additional).inspect_err(|_| self.own.shrink(reservation, additional))
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        match self.within.memory_limit() {
            MemoryLimit::Finite(bytes) => MemoryLimit::Finite(bytes.min(self.own.bytes_max())),
            _ => self.own.memory_limit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::execution::memory_pool::MemoryConsumer;

    fn consumer(pool: &Arc<dyn MemoryPool>, can_spill: bool) -> MemoryReservation {
        MemoryConsumer::new("one").with_can_spill(can_spill).register(pool)
    }

    /// Takes bytes one by one until it is refused.
    fn fill(reservation: &MemoryReservation) -> usize {
        while reservation.try_grow(1).is_ok() {}
        reservation.size()
    }

    #[test]
    fn those_who_spill_leave_room() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(1200));
        let (first, second, idle) = (consumer(&pool, true), consumer(&pool, true), consumer(&pool, true));
        assert_eq!(fill(&first), 600, "two thirds of three quarters");
        assert_eq!(fill(&second), 200, "two thirds of what is left");
        first.free();
        // It has spilled: from now on both tend to the same.
        assert_eq!(fill(&first), 466);
        let firm = consumer(&pool, false);
        assert_eq!(fill(&firm), 1200 - 466 - 200, "whoever can't spill may have all that is left");
        assert_eq!((pool.reserved(), idle.size()), (1200, 0));
        assert!(first.try_grow(1).is_err() && idle.try_grow(1).is_err());
        drop(firm);
        assert!(idle.try_grow(500).is_ok(), "whoever holds nothing has nothing to spill");
    }

    #[test]
    fn a_pool_within_another_takes_of_both() {
        let whole: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(100));
        let own = Arc::new(QueryPool::named("own".to_owned(), 40));
        let nested: Arc<dyn MemoryPool> = Arc::new(Nested::new(Arc::clone(&own), Arc::clone(&whole)));
        let (inside, outside) = (consumer(&nested, false), consumer(&whole, false));
        assert_eq!(inside.try_grow(41).unwrap_err().to_string().matches("own of 40 bytes").count(), 1);
        assert!(inside.try_grow(40).is_ok() && outside.try_grow(60).is_ok());
        inside.free();
        assert!(outside.try_grow(30).is_ok());
        assert!(inside.try_grow(11).is_err(), "the other is full");
        assert_eq!((own.reserved(), whole.reserved()), (0, 90), "what is refused takes nothing");
        own.set_limit(5);
        assert!(inside.try_grow(6).is_err() && inside.try_grow(5).is_ok());
        own.set_limit(0);
        assert!(inside.try_grow(5).is_ok());
        drop(inside);
        assert_eq!((own.reserved(), whole.reserved()), (0, 90));
    }

    #[test]
    fn the_limit_holds_and_what_is_dropped_is_free() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(100));
        let firm = consumer(&pool, false);
        assert!(firm.try_grow(101).is_err());
        assert!(firm.try_grow(100).is_ok());
        drop(firm);
        assert_eq!(pool.reserved(), 0);
    }
}
