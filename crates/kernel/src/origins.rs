//! Exactly once: what each producer's highest applied number is, what is in flight, what was refused.
//!
//! A producer numbers its batches upwards and sends them in that order; what was not acknowledged it sends
//! again, in that order. A number at or below its highest applied one is a duplicate; one that is
//! in flight, or below one in flight, waits for that outcome.
//! States of a number: unseen -> in flight (`admit`): waits for room -> ready (`ready`) -> in hand, in the order of
//! numbers (`next_in_turn`) -> ordered (`ordered`) -> applied or refused (`settle`, from any of these).
//! Why nothing is lost: only the highest applied number is kept on disk, so a number must never be applied
//! while a lower one that was refused is still to come. So numbers are ordered in turn, and after a refusal
//! nothing above the refused number is taken until that one was sent again; those that were ordered
//! behind it before the refusal was known are refused by the log with it (`Bounds::since`).
//! Promises: at most `producers_max` producers are remembered; the one used longest ago is forgotten first,
//! never one that has a batch in flight.
//! It may not know slices, nor what waits for its turn.

use crate::{Committed, Error};
use hashbrown::HashMap;
use log::Refusals;
use std::collections::{BTreeMap, BTreeSet};
use types::{CommitNumber, Origin, ProducerId};
use world::{Promise, Ticket};

/// The outcome of a commit, as its writer gets it.
pub(crate) type Outcome = Result<Committed, Error>;

/// `T` is a write that has its room and waits for its turn.
struct Producer<T> {
    last: u64,
    used: CommitNumber,
    in_flight: BTreeMap<u64, Flight<T>>,
    /// Numbers that were refused and not sent again. Since none above the lowest is taken, these are some that were
    /// in flight together.
    refused: BTreeSet<u64>,
    /// What the log told of the first of those that are ordered and not settled.
    since: Option<Refusals>,
}

struct Flight<T> {
    stage: Stage<T>,
    waiting: Vec<Promise<Outcome>>,
}

enum Stage<T> {
    WaitsForRoom,
    Ready(T),
    /// It is about to be ordered: none behind it is.
    InHand,
    Ordered,
}

/// What is to be done with a batch.
pub(crate) enum Admission {
    /// It is new: `ready` or `settle` is owed.
    New,
    /// It was applied before.
    Duplicate,
    /// It is in flight; the ticket gives its outcome.
    Waits(Ticket<Outcome>),
    /// This lower number was refused, and must be sent again first.
    Behind(u64),
}

/// What holds for a write whose turn has come.
#[derive(Default)]
pub(crate) struct Bounds {
    /// The lower number whose refusal it must share.
    pub(crate) behind: Option<u64>,
    /// It must not be logged where the log refused anything since.
    pub(crate) since: Option<Refusals>,
}

/// The producers of a node.
pub(crate) struct Origins<T> {
    producers: HashMap<ProducerId, Producer<T>>,
    by_use: BTreeSet<(CommitNumber, ProducerId)>,
    producers_max: usize,
}

impl<T> Producer<T> {
    fn new(used: CommitNumber) -> Producer<T> {
        Producer { last: 0, used, in_flight: BTreeMap::new(), refused: BTreeSet::new(), since: None }
    }
}

impl<T> Origins<T> {
    pub(crate) fn new(producers_max: usize) -> Origins<T> {
        Origins { producers: HashMap::new(), by_use: BTreeSet::new(), producers_max: producers_max.max(1) }
    }

    /// The producer, made where it is not known: as if used at `now`.
    fn producer(&mut self, id: ProducerId, now: CommitNumber) -> &mut Producer<T> {
        let by_use = &mut self.by_use;
        self.producers.entry(id).or_insert_with(|| {
            by_use.insert((now, id));
            Producer::new(now)
        })
    }

    /// Decides on a batch, and notes it as in flight when it is new. `now` is the newest commit.
    pub(crate) fn admit(&mut self, origin: Origin, now: CommitNumber) -> Admission {
        let Origin { producer, number } = origin;
        let producer = self.producer(producer, now);
        if number <= producer.last {
            return Admission::Duplicate;
        }
        let refused = producer.refused.first().copied();
        if let Some(refused) = refused.filter(|refused| *refused < number) {
            return Admission::Behind(refused);
        }
        // Those above a refused one are refused too: nothing waits for them.
        let until = refused.unwrap_or(u64::MAX);
        if let Some((_, flight)) = producer.in_flight.range_mut(number..=until).next() {
            let (promise, ticket) = Ticket::pair();
            flight.waiting.push(promise);
            return Admission::Waits(ticket);
        }
        producer.refused.remove(&number);
        producer.in_flight.insert(number, Flight { stage: Stage::WaitsForRoom, waiting: Vec::new() });
        Admission::New
    }

    /// Notes that a batch that was admitted as new has its room.
    pub(crate) fn ready(&mut self, origin: Origin, write: T) {
        let flight = self.producers.get_mut(&origin.producer).and_then(|producer| producer.in_flight.get_mut(&origin.number));
        flight.expect("a number stays in flight until it is settled").stage = Stage::Ready(write);
    }

    /// The producer's next write to be ordered: `ordered` or `settle` is owed. None where there is none, or a lower one
    /// waits for room or is in hand.
    pub(crate) fn next_in_turn(&mut self, id: ProducerId) -> Option<T> {
        let in_flight = &mut self.producers.get_mut(&id)?.in_flight;
        let next = in_flight.values_mut().find(|flight| !matches!(flight.stage, Stage::Ordered))?;
        if !matches!(next.stage, Stage::Ready(_)) {
            return None;
        }
        let Stage::Ready(write) = std::mem::replace(&mut next.stage, Stage::InHand) else { return None };
        Some(write)
    }

    /// What holds for a write in hand, as of now.
    pub(crate) fn bounds(&self, origin: Origin) -> Bounds {
        let Some(producer) = self.producers.get(&origin.producer) else { return Bounds::default() };
        let behind = producer.refused.first().copied().filter(|refused| *refused < origin.number);
        Bounds { behind, since: producer.since }
    }

    /// Notes that a write in hand is ordered, and what the log told when it was appended.
    pub(crate) fn ordered(&mut self, origin: Origin, told: Refusals) {
        let Some(producer) = self.producers.get_mut(&origin.producer) else { return };
        producer.since.get_or_insert(told);
        if let Some(flight) = producer.in_flight.get_mut(&origin.number) {
            flight.stage = Stage::Ordered;
        }
    }

    /// Notes the outcome of a batch that was admitted as new; gives those who wait for it.
    pub(crate) fn settle(&mut self, origin: Origin, applied: Option<CommitNumber>) -> Vec<Promise<Outcome>> {
        let Some(producer) = self.producers.get_mut(&origin.producer) else { return Vec::new() };
        let waiting = producer.in_flight.remove(&origin.number).map(|flight| flight.waiting).unwrap_or_default();
        if !producer.in_flight.values().any(|flight| matches!(flight.stage, Stage::Ordered)) {
            producer.since = None;
        }
        match applied {
            Some(commit) => self.applied(origin, commit),
            None => {
                producer.refused.insert(origin.number);
                self.forget();
            }
        }
        waiting
    }

    /// Notes that a batch was applied (also at recovery).
    pub(crate) fn applied(&mut self, origin: Origin, commit: CommitNumber) {
        let producer = self.producer(origin.producer, commit);
        let before = producer.used;
        producer.last = producer.last.max(origin.number);
        producer.used = before.max(commit);
        let used = producer.used;
        self.by_use.remove(&(before, origin.producer));
        self.by_use.insert((used, origin.producer));
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
        assert_eq!(self.by_use.len(), self.producers.len());
        self.by_use.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: CommitNumber = CommitNumber(0);

    fn origin(producer: u128, number: u64) -> Origin {
        Origin { producer: ProducerId(producer), number }
    }

    fn is_new(origins: &mut Origins<u64>, producer: u128, number: u64) -> bool {
        matches!(origins.admit(origin(producer, number), NOW), Admission::New)
    }

    /// What is ordered once this number has its room: numbers, and the refusal that each must share.
    fn ready(origins: &mut Origins<u64>, producer: u128, number: u64) -> Vec<(u64, Option<u64>)> {
        origins.ready(origin(producer, number), number);
        let mut out = Vec::new();
        while let Some(write) = origins.next_in_turn(ProducerId(producer)) {
            assert!(origins.next_in_turn(ProducerId(producer)).is_none(), "none passes one in hand");
            out.push((write, origins.bounds(origin(producer, write)).behind));
            origins.ordered(origin(producer, write), Refusals::default());
        }
        out
    }

    #[test]
    fn a_number_is_applied_once() {
        let mut origins = Origins::new(10);
        assert!(is_new(&mut origins, 1, 1));
        assert_eq!(ready(&mut origins, 1, 1), [(1, None)]);
        assert!(matches!(origins.admit(origin(1, 1), NOW), Admission::Waits(_)));
        assert_eq!(origins.settle(origin(1, 1), Some(CommitNumber(5))).len(), 1);
        assert!(matches!(origins.admit(origin(1, 1), NOW), Admission::Duplicate));
    }

    #[test]
    fn nothing_passes_a_refused_number() {
        let mut origins = Origins::new(10);
        (1..=4).for_each(|number| assert!(is_new(&mut origins, 1, number)));
        assert_eq!(ready(&mut origins, 1, 1), [(1, None)]);
        origins.settle(origin(1, 1), None);
        // 4 and 2 get their room later than 1 was refused; 3 waits for it.
        assert_eq!(ready(&mut origins, 1, 4), []);
        assert_eq!(ready(&mut origins, 1, 2), [(2, Some(1))]);
        origins.settle(origin(1, 2), None);
        assert!(matches!(origins.admit(origin(1, 2), NOW), Admission::Behind(1)));
        assert!(matches!(origins.admit(origin(1, 5), NOW), Admission::Behind(1)));
        assert!(is_new(&mut origins, 1, 1), "sent again");
        assert_eq!(ready(&mut origins, 1, 1), [(1, None)]);
        assert!(origins.settle(origin(1, 1), Some(CommitNumber(6))).is_empty());
        assert!(matches!(origins.admit(origin(1, 1), NOW), Admission::Duplicate));
        // 3 and 4 were in flight all the time, and 2 is not there yet.
        assert_eq!(ready(&mut origins, 1, 3), [(3, Some(2)), (4, Some(2))]);
        (3..=4).for_each(|number| drop(origins.settle(origin(1, number), None)));
        for number in 2..=4 {
            assert!(is_new(&mut origins, 1, number));
            assert_eq!(ready(&mut origins, 1, number), [(number, None)]);
        }
    }

    #[test]
    fn numbers_are_ordered_in_turn_whoever_has_room_first() {
        let mut origins = Origins::new(10);
        (1..=3).for_each(|number| assert!(is_new(&mut origins, 7, number)));
        assert_eq!(ready(&mut origins, 7, 3), []);
        assert_eq!(ready(&mut origins, 7, 2), []);
        assert_eq!(ready(&mut origins, 7, 1), [(1, None), (2, None), (3, None)]);
    }

    #[test]
    fn a_number_below_one_in_flight_waits_for_it() {
        let mut origins = Origins::new(10);
        assert!(is_new(&mut origins, 1, 9));
        assert!(matches!(origins.admit(origin(1, 4), NOW), Admission::Waits(_)));
        assert_eq!(origins.settle(origin(1, 9), None).len(), 1);
        assert!(is_new(&mut origins, 1, 4));
        assert!(matches!(origins.admit(origin(1, 10), NOW), Admission::Behind(9)));
        assert!(is_new(&mut origins, 1, 9));
    }

    #[test]
    fn the_producer_used_longest_ago_is_forgotten_first() {
        let mut origins = Origins::new(2);
        for producer in 1..=3 {
            assert!(is_new(&mut origins, producer, 1));
            origins.settle(origin(producer, 1), Some(CommitNumber(producer as u64)));
        }
        assert_eq!(origins.len(), 2);
        assert!(matches!(origins.admit(origin(3, 1), NOW), Admission::Duplicate));
        assert!(is_new(&mut origins, 1, 1), "forgotten, so taken as new");
    }

    #[test]
    fn producers_that_were_only_refused_are_bounded_too() {
        let mut origins = Origins::<u64>::new(5);
        for producer in 0..100 {
            assert!(matches!(origins.admit(origin(producer, 2), CommitNumber(9)), Admission::New));
            origins.settle(origin(producer, 2), None);
            assert!(matches!(origins.admit(origin(producer, 3), CommitNumber(9)), Admission::Behind(2)));
        }
        assert_eq!(origins.len(), 5);
    }
}
