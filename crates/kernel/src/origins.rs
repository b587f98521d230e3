//! Exactly once: what each producer's highest applied number is, and what is in flight.
//!
//! A producer numbers its batches upwards. A number at or below its highest applied one is a
//! duplicate; one that is in flight, or below one in flight, waits for that outcome.
//! States of a number: unseen -> in flight (`admit`) -> applied (`settle` with success) or
//! refused (`settle` with failure: it may be sent again even when a later number was applied).
//! Promises: at most `producers_max` producers are remembered; the one whose last commit is oldest is
//! forgotten first, never one that has a batch in flight.
//! It may not know slices or the log: those carry (producer, number) for it.

use crate::{Committed, Error};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use types::{CommitNumber, Origin, ProducerId};
use world::{Promise, Ticket};

/// The outcome of a commit, as its writer gets it.
pub(crate) type Outcome = Result<Committed, Error>;

/// How many refused numbers a producer may have that are still to be sent again.
const REFUSED_MAX: usize = 1024;

#[derive(Default)]
struct Producer {
    last: u64,
    used: CommitNumber,
    in_flight: BTreeMap<u64, Vec<Promise<Outcome>>>,
    refused: BTreeSet<u64>,
}

/// What is to be done with a batch.
pub(crate) enum Admission {
    /// It is new; `settle` is owed.
    New,
    /// It was applied before.
    Duplicate,
    /// It is in flight; the ticket gives its outcome.
    Waits(Ticket<Outcome>),
}

/// The producers of a node.
pub(crate) struct Origins {
    producers: HashMap<ProducerId, Producer>,
    by_use: BTreeSet<(CommitNumber, ProducerId)>,
    producers_max: usize,
}

impl Origins {
    pub(crate) fn new(producers_max: usize) -> Origins {
        Origins { producers: HashMap::new(), by_use: BTreeSet::new(), producers_max: producers_max.max(1) }
    }

    /// Decides on a batch, and notes it as in flight when it is new.
    pub(crate) fn admit(&mut self, origin: Origin) -> Admission {
        let producer = self.producers.entry(origin.producer).or_default();
        let Origin { number, .. } = origin;
        if !producer.in_flight.contains_key(&number) && producer.refused.remove(&number) {
            producer.in_flight.insert(number, Vec::new());
            return Admission::New;
        }
        if number <= producer.last && !producer.in_flight.contains_key(&number) {
            return Admission::Duplicate;
        }
        match producer.in_flight.range_mut(number..).next() {
            Some((_, waiting)) => {
                let (promise, ticket) = Ticket::pair();
                waiting.push(promise);
                Admission::Waits(ticket)
            }
            None => {
                producer.in_flight.insert(number, Vec::new());
                Admission::New
            }
        }
    }

    /// Notes the outcome of a batch that was admitted as new; gives those who wait for it.
    pub(crate) fn settle(&mut self, origin: Origin, applied: Option<CommitNumber>) -> Vec<Promise<Outcome>> {
        let Some(producer) = self.producers.get_mut(&origin.producer) else { return Vec::new() };
        let waiting = producer.in_flight.remove(&origin.number).unwrap_or_default();
        match applied {
            Some(commit) => self.applied(origin, commit),
            None => {
                // Only a number below one that was or may yet be applied needs to be told apart.
                let passed = producer.last > origin.number || producer.in_flight.range(origin.number..).next().is_some();
                if passed && producer.refused.len() < REFUSED_MAX {
                    producer.refused.insert(origin.number);
                }
            }
        }
        waiting
    }

    /// Notes that a batch was applied (also at recovery).
    pub(crate) fn applied(&mut self, origin: Origin, commit: CommitNumber) {
        let producer = self.producers.entry(origin.producer).or_default();
        self.by_use.remove(&(producer.used, origin.producer));
        producer.last = producer.last.max(origin.number);
        producer.used = producer.used.max(commit);
        self.by_use.insert((producer.used, origin.producer));
        self.forget();
    }

    fn forget(&mut self) {
        while self.by_use.len() > self.producers_max {
            let idle = |id: &ProducerId| self.producers.get(id).is_none_or(|producer| producer.in_flight.is_empty());
            let Some(oldest) = self.by_use.iter().find(|(_, id)| idle(id)).copied() else { return };
            self.by_use.remove(&oldest);
            self.producers.remove(&oldest.1);
        }
    }

    /// How many producers are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.by_use.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(producer: u128, number: u64) -> Origin {
        Origin { producer: ProducerId(producer), number }
    }

    fn is_new(origins: &mut Origins, producer: u128, number: u64) -> bool {
        matches!(origins.admit(origin(producer, number)), Admission::New)
    }

    #[test]
    fn a_number_is_applied_once_and_a_refused_one_may_come_again() {
        let mut origins = Origins::new(10);
        assert!(is_new(&mut origins, 1, 1));
        assert!(is_new(&mut origins, 1, 2));
        assert!(matches!(origins.admit(origin(1, 1)), Admission::Waits(_)));
        assert_eq!(origins.settle(origin(1, 1), None).len(), 1);
        assert!(origins.settle(origin(1, 2), Some(CommitNumber(5))).is_empty());
        assert!(matches!(origins.admit(origin(1, 2)), Admission::Duplicate));
        assert!(is_new(&mut origins, 1, 1), "it was refused, though a later one was applied");
        origins.settle(origin(1, 1), Some(CommitNumber(6)));
        assert!(matches!(origins.admit(origin(1, 1)), Admission::Duplicate));
    }

    #[test]
    fn a_number_below_one_in_flight_waits_for_it() {
        let mut origins = Origins::new(10);
        assert!(is_new(&mut origins, 1, 9));
        assert!(matches!(origins.admit(origin(1, 4)), Admission::Waits(_)));
        assert_eq!(origins.settle(origin(1, 9), None).len(), 1);
        assert!(is_new(&mut origins, 1, 4));
    }

    #[test]
    fn the_producer_used_longest_ago_is_forgotten_first() {
        let mut origins = Origins::new(2);
        for producer in 1..=3 {
            assert!(is_new(&mut origins, producer, 1));
            origins.settle(origin(producer, 1), Some(CommitNumber(producer as u64)));
        }
        assert_eq!(origins.len(), 2);
        assert!(matches!(origins.admit(origin(3, 1)), Admission::Duplicate));
        assert!(is_new(&mut origins, 1, 1), "forgotten, so taken as new");
    }
}
