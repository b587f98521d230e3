//! Writes, from their arrival at the primary to their answers.
//!
//! Promises: a write gets one version, and its answer only when its mode's promise holds; a repetition is
//! answered when the write that it repeats would be; when too much waits, more is refused. What a write's body says may be
//! decided once its place is known (`place_of`), in the same step: so on what is logged alone, and never on a repetition.

use super::{Replica, Step};
use crate::event::{Action, Refusal};
use crate::{Answer, Mode, Record, RequestId};
use bytes::Bytes;
use types::{Origin, Sequence, Version};

impl Replica {
    /// Where a write of this origin would stand, handed in now: which record it follows, and its own version. None where it
    /// would not be logged: it is refused, or a repetition.
    #[must_use]
    pub fn place_of(&self, origin: Option<Origin>) -> Option<(Version, Version)> {
        let repeats = origin.and_then(|origin| self.producers.seen(origin)).is_some();
        (self.refusal_of_write().is_none() && !repeats).then(|| self.next_place())
    }

    fn next_place(&self) -> (Version, Version) {
        let last = self.log.last();
        (last, Version { epoch: self.epoch, sequence: Sequence(last.sequence.0 + 1) })
    }

    fn refusal_of_write(&self) -> Option<Refusal> {
        let Some(primary) = &self.primary else {
            let primary = self.meta.known.as_ref().map(|known| known.entry.primary).filter(|id| *id != self.me);
            return Some(Refusal::NotPrimary { primary });
        };
        let unstable = self.log.last().sequence.0 - self.log.stable.sequence.0;
        let full = primary.waiting.len() >= self.settings.waiting_max || unstable >= self.settings.unstable_records_max;
        (primary.handing.is_some() || full).then_some(Refusal::Busy)
    }

    pub(crate) fn write(&mut self, step: &mut Step<'_>, request: RequestId, origin: Option<Origin>, digest: u64, body: Bytes) {
        if let Some(refusal) = self.refusal_of_write() {
            return step.act(Action::Answer { request, answer: Answer::Refused(refusal) });
        }
        let (serves, (last, version)) = (self.serves(step.now), self.next_place());
        let Some(primary) = &mut self.primary else { return };
        if let Some(sequence) = origin.and_then(|origin| self.producers.seen(origin)) {
            let place = primary.waiting.partition_point(|(other, _)| *other <= sequence);
            return primary.waiting.insert(place, (sequence, request));
        }
        let record = Record { version, prev: last, origin, digest, body };
        self.log.history.push(version);
        self.producers.note_record(&record);
        primary.waiting.push_back((version.sequence, request));
        for peer in &mut primary.peers {
            let head = peer.head(step.now, self.epoch, &self.log, serves);
            peer.forward(step, head, &record, &self.settings);
        }
        step.act(Action::Log(vec![record]));
    }

    pub(crate) fn logged(&mut self, step: &mut Step<'_>, version: Version) {
        self.log.synced(version);
        if self.primary.is_none() && self.starting.is_none() {
            self.answer_leader(step, false);
        }
    }

    /// Answers what may be answered now.
    pub(crate) fn settle_answers(&mut self, step: &mut Step<'_>) {
        if !self.answers(step.now) {
            return;
        }
        let bound = match self.mode() {
            Mode::Sync => self.log.published.sequence.min(self.log.stable.sequence),
            // What was logged while the lease had ended waits until it is renewed in this epoch, or for ever.
            Mode::Async { .. } if self.has_lease(step.now) => self.log.published.sequence,
            Mode::Async { .. } => return,
        };
        let Some(primary) = &mut self.primary else { return };
        while let Some((sequence, request)) = primary.waiting.pop_front_if(|(sequence, _)| *sequence <= bound) {
            let version = self.log.version(sequence);
            step.act(Action::Answer { request, answer: Answer::Written { version } });
        }
    }
}
