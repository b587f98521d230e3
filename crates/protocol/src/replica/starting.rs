//! The beginning of an epoch: find the longest tail that can be reached, take it, then serve.
//!
//! ```text
//!   asking ── all members answered (async: all replicas), or the time is up ──> the longest is longer than ours?
//!      ▲            yes: set aside what departs from it, fetch the rest from it ──┐        no ──> primary
//!      └── it does not answer: without it ────────────────────────────────────────┘◄───────┘
//! ```
//! Why the longest tail is safe: whoever may begin an epoch was a member, so it has all that was stable, and so has every
//! member's log. Another replica's may lack some of it, though its last version is higher: records of an older epoch can
//! become stable in a newer one that such a replica, swapped out, never heard of. So of those only a tail that goes on where
//! ours ends is taken. Promises: logs are compared by version, never by number alone; nothing is served before the tail is in
//! the log.

use super::{Busy, Replica, Step};
use crate::event::{Action, Reader};
use crate::{History, Message, Mode, Moment, Mutation, Record, ReplicaId};
use std::collections::BTreeMap;
use types::{Epoch, Version};

/// A start under way.
#[derive(Debug)]
pub(crate) struct Starting {
    tails: BTreeMap<ReplicaId, History>,
    /// Who was chosen and then did not answer.
    silent: Vec<ReplicaId>,
    /// When to stop waiting for tails.
    asking_until: Moment,
    /// Whom records are fetched from, and until when to wait for them.
    fetching: Option<(ReplicaId, Moment)>,
    /// When to ask again.
    again_at: Moment,
}

impl Starting {
    pub(crate) fn wakes_at(&self) -> Moment {
        self.again_at.min(self.fetching.map_or(self.asking_until, |(_, until)| until))
    }
}

impl Replica {
    /// Begins the epoch that the entry gave to this process, once it is persisted and the store is free.
    pub(crate) fn settle_adoption(&mut self, step: &mut Step<'_>) {
        if self.adopt != Some(self.epoch) || self.held.is_some() || self.busy != Busy::No {
            return;
        }
        self.adopt = None;
        self.following.forget_leader();
        self.starting = Some(Starting {
            tails: BTreeMap::new(),
            silent: Vec::new(),
            asking_until: step.now.after(self.settings.inquiry_us),
            fetching: None,
            again_at: step.now,
        });
    }

    pub(crate) fn tail(&mut self, from: ReplicaId, history: History) {
        if let Some(starting) = &mut self.starting {
            starting.tails.insert(from, history);
        }
    }

    pub(crate) fn settle_starting(&mut self, step: &mut Step<'_>) {
        let (Some(starting), Some(known)) = (&mut self.starting, &self.meta.known) else { return };
        if self.busy != Busy::No || known.entry.epoch != self.epoch {
            return;
        }
        if let Some((source, until)) = starting.fetching {
            if until > step.now {
                return self.ask_again(step);
            }
            starting.fetching = None;
            starting.silent.push(source);
        }
        let wants_all = matches!(known.entry.policy.mode, Mode::Async { .. });
        let asked = known.entry.everyone().filter(|id| *id != self.me && (wants_all || known.entry.is_member(*id)));
        let missing = asked.into_iter().any(|id| !starting.tails.contains_key(&id));
        if missing && step.now < starting.asking_until {
            return self.ask_again(step);
        }
        self.take_longest(step);
    }

    fn ask_again(&mut self, step: &mut Step<'_>) {
        let (Some(starting), Some(known)) = (&mut self.starting, &self.meta.known) else { return };
        if step.now < starting.again_at {
            return;
        }
        starting.again_at = step.now.after(self.settings.inquiry_us / 3);
        let epoch = self.epoch;
        if let Some((source, _)) = starting.fetching {
            return step.send(source, Message::Fetch { epoch, after: self.log.last() });
        }
        for to in known.entry.everyone().filter(|id| *id != self.me && !starting.tails.contains_key(id)) {
            step.send(to, Message::Inquire { epoch });
        }
    }

    /// Goes on with the longest tail, or serves where that is our own.
    fn take_longest(&mut self, step: &mut Step<'_>) {
        let (Some(starting), Some(known)) = (&mut self.starting, &self.meta.known) else { return };
        let by_number = self.settings.has(Mutation::CompareSequencesOnly);
        let compare = |a: Version, b: Version| if by_number { a.sequence.cmp(&b.sequence) } else { a.cmp(&b) };
        let own = self.log.last();
        let is_safe = |id: ReplicaId, history: &History| known.entry.is_member(id) || history.contains(own);
        let candidates = starting.tails.iter().filter(|(id, history)| !starting.silent.contains(id) && is_safe(**id, history));
        let longest = candidates.max_by(|a, b| compare(a.1.last(), b.1.last()).then(b.0.cmp(a.0)));
        match longest {
            Some((source, history)) if compare(history.last(), own).is_gt() => {
                let point = self.log.history.parting(history);
                if point.sequence < own.sequence {
                    return self.set_aside(step, point);
                }
                starting.fetching = Some((*source, step.now.after(2 * self.settings.inquiry_us)));
                starting.again_at = step.now;
                self.ask_again(step);
            }
            _ => self.begin(step),
        }
    }

    pub(crate) fn fetched(&mut self, step: &mut Step<'_>, from: ReplicaId, after: Version, records: Vec<Record>) {
        let Some(starting) = &mut self.starting else { return };
        if starting.fetching.is_none_or(|(source, _)| source != from) || after != self.log.last() || self.busy != Busy::No {
            return;
        }
        if records.is_empty() {
            starting.fetching = Some((from, step.now));
            return;
        }
        for record in &records {
            assert_eq!(record.prev, self.log.last(), "a message's records follow one another");
            self.log.history.push(record.version);
            self.producers.note_record(record);
        }
        step.act(Action::Log(records));
        let done = starting.tails.get(&from).is_none_or(|history| history.last() == self.log.last());
        starting.fetching = if done { None } else { Some((from, step.now.after(2 * self.settings.inquiry_us))) };
        starting.again_at = step.now;
    }

    /// Asks the store for records that another replica wants.
    pub(crate) fn read_for(&mut self, step: &mut Step<'_>, peer: ReplicaId, epoch: Epoch, after: Version, fetches: bool) {
        let reader = Reader { peer, epoch, fetches };
        let known = self.log.history.contains(after) && after.sequence >= self.log.log_after;
        if !known || self.busy != Busy::No {
            if fetches {
                step.send(peer, Message::Fetched { epoch, after, records: Vec::new() });
            }
            return;
        }
        let (records_max, bytes_max) = (self.settings.message_records_max, self.settings.message_bytes_max);
        step.act(Action::ReadLog { reader, after, records_max, bytes_max });
    }

    pub(crate) fn log_read(&mut self, step: &mut Step<'_>, reader: Reader, after: Version, records: Option<Vec<Record>>) {
        if reader.epoch != self.epoch || self.held.is_some() {
            return;
        }
        if reader.fetches {
            let (epoch, records) = (reader.epoch, records.unwrap_or_default());
            step.send(reader.peer, Message::Fetched { epoch, after, records });
        } else {
            self.stream_read(step, reader.peer, after, records);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Policy, Recovered, Run, Settings, SliceEntry};
    use types::{EpochStart, NodeId, Revision, Sequence, StoreId};

    fn id(node: u64) -> ReplicaId {
        ReplicaId { node: NodeId(node), store: StoreId(1) }
    }

    fn version(epoch: u64, sequence: u64) -> Version {
        Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
    }

    /// What a new primary does that holds 1.1 to 1.4, and is told of this tail by a replica that is no member.
    fn told_of(history: &History) -> Vec<Action> {
        let start = |epoch, after| EpochStart { epoch: Epoch(epoch), after: Sequence(after) };
        let own = History::new(vec![start(1, 0)], version(1, 4));
        let recovered = Recovered { epoch: Epoch(3), history: own.clone(), ..Recovered::default() };
        let mut replica = Replica::open(id(1), Run(1), Settings::default(), recovered, Moment(0));
        let (primary, backups, members) = (id(1), vec![id(2), id(3)], vec![id(1), id(2)]);
        let policy = Policy { mode: Mode::Sync, min_in_sync: 1 };
        let entry = SliceEntry { epoch: Epoch(4), primary, backups, members, policy, forced: Epoch(0) };
        let mut out = Vec::new();
        replica.step(Moment(1), Event::Entry { entry, revision: Revision(1), seen: None }, &mut out);
        replica.step(Moment(2), Event::EpochPersisted(Epoch(4)), &mut out);
        let tail = |from, history| Event::Message { from, message: Message::Tail { epoch: Epoch(4), history } };
        replica.step(Moment(3), tail(id(3), history.clone()), &mut out);
        replica.step(Moment(4), tail(id(2), own), &mut out);
        out.retain(|action| !matches!(action, Action::Send { message: Message::Inquire { .. }, .. }));
        out
    }

    #[test]
    fn who_is_no_member_may_only_add_to_what_is_here() {
        let start = |epoch, after| EpochStart { epoch: Epoch(epoch), after: Sequence(after) };
        let departs = told_of(&History::new(vec![start(1, 0), start(2, 2)], version(2, 9)));
        let cuts = departs.iter().any(|action| matches!(action, Action::SetAside { .. }));
        assert!(!cuts && departs.contains(&Action::Began { epoch: Epoch(4), after: version(1, 4) }), "{departs:?}");
        let goes_on = told_of(&History::new(vec![start(1, 0), start(2, 4)], version(2, 9)));
        let fetches = Action::Send { to: id(3), message: Message::Fetch { epoch: Epoch(4), after: version(1, 4) } };
        assert!(goes_on.contains(&fetches), "{goes_on:?}");
    }
}
