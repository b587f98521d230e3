//! Another scheduler, as its leader sees it, and how batches get there.
//!
//! ```text
//!   unknown ── aligned report ──> streaming ── its tail is not in the chain any more ──> behind ── it took the table ──┐
//!                                   ▲◄──────────────────────────────────────────────────────────────────────────────┘
//! ```
//! Promises: what counts as persisted is in the leader's own chain, by hash. May not know who is Normal.

use super::chain::Chain;
use super::{Batch, Message, Report, Scheduler, Step};
use crate::{Moment, ReplicaId, Run, Settings};
use types::Sequence;

/// Where a scheduler stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known of its log.
    Unknown,
    /// Its log is a beginning of ours; batches were sent up to `sent`.
    Streaming { sent: Sequence },
    /// Our chain does not reach its log.
    Behind,
}

/// Another scheduler.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: ReplicaId,
    /// When it last answered, or when it was first spoken to.
    pub(crate) heard: Moment,
    /// The newest stamp of ours that it promised on.
    promised: Option<Moment>,
    /// The last of our batches that it has durably.
    pub(crate) persisted: Option<Sequence>,
    pub(crate) applied: Sequence,
    pub(crate) phase: Phase,
    /// When it was last given a lease.
    pub(crate) granted: Option<Moment>,
    /// Its newest stamp, to be echoed.
    pub(crate) theirs: Option<(Run, Moment)>,
    /// The last rewinding: messages that were under way before it ask for no other.
    rewound: Option<(Sequence, Moment)>,
}

impl Peer {
    pub(crate) fn new(id: ReplicaId, now: Moment) -> Peer {
        Peer {
            id,
            heard: now,
            promised: None,
            persisted: None,
            applied: Sequence(0),
            phase: Phase::Unknown,
            granted: None,
            theirs: None,
            rewound: None,
        }
    }

    pub(crate) fn is_silent(&self, now: Moment, settings: &Settings) -> bool {
        now.since(self.heard) > settings.silence_us
    }

    /// Whether it has promised not to lead, for now.
    pub(crate) fn promises(&self, now: Moment, settings: &Settings) -> bool {
        self.promises_until(settings).is_some_and(|until| now < until)
    }

    /// Until when it has promised so.
    pub(crate) fn promises_until(&self, settings: &Settings) -> Option<Moment> {
        self.promised.map(|stamp| stamp.after(settings.lease_us))
    }

    /// What a report says of its log.
    fn learn(&mut self, now: Moment, report: &Report, chain: &Chain, settings: &Settings) {
        self.heard = now;
        let is_newest = self.promised < Some(report.stamp);
        self.promised = self.promised.max(Some(report.stamp));
        self.theirs = Some((report.run, report.own));
        self.applied = self.applied.max(report.applied);
        if !report.aligned {
            return;
        }
        if !chain.contains(report.tail) {
            // A report that was long under way says less than is known. A new one that does, says that its process began
            // anew and gave up what it had not applied yet.
            if is_newest || self.persisted.is_none_or(|persisted| persisted < chain.base().sequence) {
                (self.phase, self.persisted) = (Phase::Behind, None);
            }
            return;
        }
        let tail = report.tail.sequence;
        self.persisted = self.persisted.max(Some(tail));
        match self.phase {
            Phase::Streaming { sent } => {
                let again = self.rewound.is_none_or(|(last, at)| last != tail || now.since(at) > settings.beat_us);
                if report.gap && tail < sent && again {
                    self.phase = Phase::Streaming { sent: tail };
                    self.rewound = Some((tail, now));
                }
            }
            Phase::Unknown | Phase::Behind => self.phase = Phase::Streaming { sent: tail },
        }
    }

    /// The next batches for it, as many as a message and its window hold.
    fn next(&mut self, chain: &Chain, settings: &Settings) -> Vec<Batch> {
        let Phase::Streaming { sent } = &mut self.phase else { return Vec::new() };
        let reach = Sequence(self.persisted.unwrap_or_default().0 + settings.window_records_max);
        let (mut bytes, mut batches) = (0, Vec::new());
        for batch in chain.after(*sent).take_while(|batch| batch.point.sequence <= reach).take(settings.message_records_max) {
            bytes += batch.bytes();
            if bytes > settings.message_bytes_max && !batches.is_empty() {
                break;
            }
            batches.push(batch.clone());
        }
        *sent = batches.last().map_or(*sent, |batch: &Batch| batch.point.sequence);
        batches
    }
}

impl Scheduler {
    pub(crate) fn report(&mut self, step: &mut Step<'_>, from: ReplicaId, report: &Report) {
        let Some(leading) = &mut self.leading else { return };
        let Some(peer) = leading.peers.iter_mut().find(|peer| peer.id == from) else { return };
        peer.learn(step.now, report, &self.chain, &self.settings);
        self.pump(step, from);
    }

    /// Sends everybody what it lacks.
    pub(crate) fn pump_all(&mut self, step: &mut Step<'_>) {
        let peers: Vec<ReplicaId> = self.leading.iter().flat_map(|leading| &leading.peers).map(|peer| peer.id).collect();
        peers.into_iter().for_each(|to| self.pump(step, to));
    }

    fn pump(&mut self, step: &mut Step<'_>, to: ReplicaId) {
        let Some(leading) = &mut self.leading else { return };
        let Some(peer) = leading.peers.iter_mut().find(|peer| peer.id == to) else { return };
        let batches = peer.next(&self.chain, &self.settings);
        let Some(prev) = batches.first().map(|batch| batch.prev) else { return };
        if let Some(head) = self.head_for(step.now, to) {
            step.send(to, Message::Append { head, prev, batches });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Point;
    use super::*;
    use types::{Epoch, NodeId, StoreId};

    #[test]
    fn one_that_gave_up_what_it_had_is_behind_and_an_old_report_says_nothing() {
        let settings = Settings::default();
        let mut chain = Chain::new(Point::default(), Vec::new(), settings.planted);
        let mut points = vec![chain.tail()];
        for _ in 0..5 {
            let batch = Batch::after(chain.tail(), Epoch(1), Vec::new());
            points.push(batch.point);
            chain.push(batch);
        }
        chain.applied = Sequence(4);
        chain.prune(2, u64::MAX);
        let report = |stamp, tail: usize| Report {
            epoch: Epoch(1),
            stamp: Moment(stamp),
            run: Run(1),
            own: Moment(0),
            aligned: true,
            gap: false,
            tail: points[tail],
            applied: Sequence(1),
        };
        let mut peer = Peer::new(ReplicaId { node: NodeId(1), store: StoreId(1) }, Moment(0));
        peer.learn(Moment(1), &report(7, 5), &chain, &settings);
        assert_eq!((peer.phase, peer.persisted), (Phase::Streaming { sent: Sequence(5) }, Some(Sequence(5))));
        peer.learn(Moment(2), &report(6, 1), &chain, &settings);
        assert_eq!((peer.phase, peer.persisted), (Phase::Streaming { sent: Sequence(5) }, Some(Sequence(5))));
        peer.learn(Moment(3), &report(8, 1), &chain, &settings);
        assert_eq!((peer.phase, peer.persisted), (Phase::Behind, None));
    }
}
