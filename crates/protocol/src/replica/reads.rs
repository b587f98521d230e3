//! Reads: the snapshot is taken first, then it is asked whether it may be served.
//!
//! Promises: under `Primary` the lease is checked after the snapshot was taken, so no later primary can
//! have answered anything before it; a snapshot from before the epoch is refused; `Session` and `Bounded` are answered by any replica whose state
//! suffices; a replica whose files depart from the primary's history answers nothing.

use super::following::Busy;
use super::{Replica, Step};
use crate::event::{Action, Answer, Consistency, Refusal};
use crate::{Moment, Mutation, RequestId};
use std::collections::VecDeque;
use types::Version;

/// A read whose snapshot is being taken.
#[derive(Debug)]
pub(crate) struct PendingRead {
    consistency: Consistency,
    /// How fresh the state was before the snapshot was taken.
    as_of: Option<Moment>,
    /// What the planted bug `LeaseBeforeSnapshot` believes.
    believed: bool,
}

/// How fresh a following replica is, by its own clock.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    /// All that was acknowledged before this moment is published here.
    as_of: Option<Moment>,
    /// (moment, what must be published for it), in order.
    pending: VecDeque<(Moment, Version)>,
    /// What the planted bug `LeaseBeforeSnapshot` found when it last looked.
    believed: bool,
}

/// How many moments wait for their write to be published.
const PENDING_MAX: usize = 16;

impl Freshness {
    pub(crate) fn note(&mut self, echo: Moment, at: Version) {
        if self.pending.back().is_none_or(|(last, _)| *last < echo) && self.pending.len() < PENDING_MAX {
            self.pending.push_back((echo, at));
        }
    }

    pub(crate) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    pub(crate) fn settle(&mut self, published: Version) {
        while let Some((echo, _)) = self.pending.pop_front_if(|(_, at)| at.sequence <= published.sequence) {
            self.as_of = self.as_of.max(Some(echo));
        }
    }
}

impl Replica {
    pub(crate) fn read(&mut self, step: &mut Step<'_>, request: RequestId, consistency: Consistency) {
        if self.reads.len() >= self.settings.waiting_max {
            return step.act(Action::Answer { request, answer: Answer::Refused(Refusal::Busy) });
        }
        let serves = self.serves(step.now);
        let believed =
            self.settings.has(Mutation::LeaseBeforeSnapshot) && std::mem::replace(&mut self.freshness.believed, serves);
        self.reads.insert(request, PendingRead { consistency, as_of: self.freshness.as_of, believed });
        step.act(Action::Snapshot { request });
    }

    pub(crate) fn snapshotted(&mut self, step: &mut Step<'_>, request: RequestId, at: Version) {
        let Some(read) = self.reads.remove(&request) else { return };
        let answer = match self.may_read(step.now, &read, at) {
            Ok(()) => Answer::Readable { at },
            Err(refusal) => Answer::Refused(refusal),
        };
        step.act(Action::Answer { request, answer });
    }

    fn may_read(&self, now: Moment, read: &PendingRead, at: Version) -> Result<(), Refusal> {
        if self.following.needs_files || self.busy != Busy::No || !self.log.history.contains(at) {
            return Err(Refusal::Behind);
        }
        // A snapshot from before this epoch could lack what the last primary answered.
        let begun = self.primary.as_ref().is_some_and(|primary| at.sequence >= primary.begins_after);
        let fresh = (begun && self.serves(now)) || read.believed;
        match read.consistency {
            Consistency::Primary if !fresh => {
                let primary = self.meta.known.as_ref().map(|known| known.entry.primary).filter(|id| *id != self.me);
                Err(Refusal::NotPrimary { primary })
            }
            Consistency::Session(token) if !self.log.history.contains(token) => {
                // Only what is stable here stands for good.
                let (stable, is_passed) = (self.log.stable, token.sequence <= self.log.stable.sequence);
                Err(if is_passed || token.epoch < stable.epoch { Refusal::Lost } else { Refusal::Behind })
            }
            Consistency::Session(token) if token.sequence > at.sequence => Err(Refusal::Behind),
            Consistency::Bounded { us } => {
                let recent = read.as_of.is_some_and(|as_of| as_of <= now && now.since(as_of) <= us);
                if fresh || recent { Ok(()) } else { Err(Refusal::Behind) }
            }
            Consistency::Primary | Consistency::Session(_) | Consistency::Any => Ok(()),
        }
    }
}
