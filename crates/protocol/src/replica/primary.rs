//! The primary: one run of one process, from the beginning of its epoch until a higher one is seen.
//!
//! ```text
//!   write ──> log, and at once to every replica ──> stable: synced by every member ──> flushable, published
//!                                              (async: published and answered at the own log, within max_lag)
//! ```
//! Promises: nothing is answered before the promises that this replica gave to earlier primaries have
//! lapsed, and before all that it took over is published; reads, and the answers of `async`, need every
//! required replica's promise; `sync` answers need no clock.
//! *Required* is every member, every replica that a swap under way would make one or unmake, and every
//! replica that is about to join.

use super::following::Busy;
use super::peer::{Peer, Phase};
use super::{Replica, Step};
use crate::event::Action;
use crate::{Message, Mode, Moment, Mutation, ReplicaId, RequestId};
use std::collections::VecDeque;
use types::{Epoch, Sequence};

/// A primary's run.
#[derive(Debug)]
pub(crate) struct Primary {
    /// The last write before the epoch.
    pub(crate) begins_after: Sequence,
    pub(crate) peers: Vec<Peer>,
    /// Who waits for which write, in order of writes.
    pub(crate) waiting: VecDeque<(Sequence, RequestId)>,
    pub(crate) beat_at: Moment,
    pub(crate) handing: Option<Handing>,
}

/// A switch-over under way.
#[derive(Debug)]
pub(crate) struct Handing {
    pub(crate) to: ReplicaId,
    /// When to give it up.
    pub(crate) until: Moment,
    /// The swap was sent: from then on nothing is served.
    pub(crate) released: bool,
}

impl Replica {
    /// The log holds all that could be reached: the epoch begins.
    pub(crate) fn begin(&mut self, step: &mut Step<'_>) {
        self.starting = None;
        let after = self.log.last();
        let (epoch, begins_after) = (self.epoch, after.sequence);
        step.act(Action::Began { epoch, after });
        self.primary =
            Some(Primary { begins_after, peers: Vec::new(), waiting: VecDeque::new(), beat_at: step.now, handing: None });
        self.refresh_peers(step);
    }

    /// Brings the list of replicas in step with the entry.
    pub(crate) fn refresh_peers(&mut self, step: &mut Step<'_>) {
        let (Some(primary), Some(known)) = (&mut self.primary, &self.meta.known) else { return };
        let everyone: Vec<ReplicaId> = known.entry.everyone().filter(|id| *id != self.me).collect();
        for peer in primary.peers.iter().filter(|peer| peer.pinned && !everyone.contains(&peer.id)) {
            step.act(Action::Unpin { peer: peer.id });
        }
        primary.peers.retain(|peer| everyone.contains(&peer.id));
        for id in everyone {
            if !primary.peers.iter().any(|peer| peer.id == id) {
                primary.peers.push(Peer::new(id, step.now));
                primary.beat_at = step.now;
            }
        }
        for peer in primary.peers.iter_mut().filter(|peer| known.entry.is_member(peer.id)) {
            peer.joining = false;
            if peer.pinned {
                peer.pinned = false;
                step.act(Action::Unpin { peer: peer.id });
            }
        }
        if self.meta.pending.is_none() {
            // The swap that would hand over is settled, and this epoch goes on.
            primary.handing.take_if(|handing| handing.released);
        }
    }

    /// Whether a replica counts: for stability, and for the lease.
    pub(crate) fn is_required(&self, peer: &Peer) -> bool {
        let pending = self.meta.pending.as_ref().map(|pending| &pending.next);
        if self.settings.has(Mutation::AcknowledgeInDoubt)
            && let Some(next) = pending
        {
            return next.is_member(peer.id);
        }
        peer.joining || self.meta.members().contains(&peer.id) || pending.is_some_and(|next| next.is_member(peer.id))
    }

    /// Whether this primary may answer what its epoch alone fences.
    pub(crate) fn answers(&self, now: Moment) -> bool {
        let Some(primary) = &self.primary else { return false };
        let handed = primary.handing.as_ref().is_some_and(|handing| handing.released);
        // What the same process showed in an `async` epoch before may not be stable yet: `sync` shows nothing that may vanish.
        let shown = match self.mode() {
            Mode::Sync => self.log.published.sequence.min(self.log.stable.sequence),
            Mode::Async { .. } => self.log.published.sequence,
        };
        !handed && now >= self.promise.until && shown >= primary.begins_after
    }

    /// Whether every required replica still promises not to succeed it.
    pub(crate) fn has_lease(&self, now: Moment) -> bool {
        now < self.lease_until()
    }

    /// Whether it may answer what needs the lease too.
    pub(crate) fn serves(&self, now: Moment) -> bool {
        self.answers(now) && self.has_lease(now)
    }

    /// Until when the lease lasts, as far as is known now; for ever where nobody else counts.
    fn lease_until(&self) -> Moment {
        let Some(primary) = &self.primary else { return Moment::default() };
        let until = |peer: &Peer| peer.promised.map_or(Moment::default(), |stamp| stamp.after(self.settings.lease_us));
        primary.peers.iter().filter(|peer| self.is_required(peer)).map(until).min().unwrap_or(Moment::NEVER)
    }

    /// This primary's epoch, and until when its reads need not be asked for: what was published before a snapshot that was
    /// taken under this epoch shows all that was acknowledged, if the snapshot was had before that moment.
    #[must_use]
    pub fn reads_until(&self, now: Moment) -> Option<(Epoch, Moment)> {
        let free = !self.following.needs_files && self.busy == Busy::No;
        (free && self.serves(now)).then(|| (self.epoch, self.lease_until()))
    }

    pub(crate) fn settle_primary(&mut self, step: &mut Step<'_>) {
        if self.primary.is_none() {
            return;
        }
        self.settle_stable(step);
        self.settle_answers(step);
        self.settle_joining(step);
        self.settle_members(step);
        self.settle_handing(step);
        self.beat(step);
    }

    fn settle_stable(&mut self, step: &mut Step<'_>) {
        let Some(primary) = &self.primary else { return };
        let mut acked: Vec<Sequence> =
            primary.peers.iter().filter(|peer| self.is_required(peer)).map(|peer| peer.acked).collect();
        acked.push(self.log.durable.sequence);
        acked.sort_unstable();
        let slowest = usize::from(self.settings.has(Mutation::AcknowledgeBeforeLastMember) && acked.len() > 1);
        let stable = acked[slowest].min(self.log.last().sequence);
        if stable > self.log.stable.sequence {
            self.log.stable = self.log.version(stable);
        }
        // What is not in the own log yet can't be flushed from it.
        let here = self.log.earlier(self.log.stable, self.log.durable);
        let flushable = if self.settings.has(Mutation::FlushUnstable) { self.log.durable } else { here };
        let shown = match self.mode() {
            Mode::Sync => here,
            Mode::Async { lag_records_max } => {
                let reach = Sequence(self.log.stable.sequence.0 + lag_records_max.max(1));
                self.log.version(self.log.durable.sequence.min(reach))
            }
        };
        if flushable.sequence > self.log.announced.sequence {
            self.log.announced = flushable;
            step.act(Action::Stable(flushable));
        }
        if let Some(shown) = self.log.publish(shown, step.now, self.settings.publish_step_records, 0) {
            step.act(Action::Publish(shown));
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.meta.known.as_ref().map_or(Mode::Sync, |known| known.entry.policy.mode)
    }

    fn beat(&mut self, step: &mut Step<'_>) {
        let (now, epoch, serves) = (step.now, self.epoch, self.serves(step.now));
        let forced = self.meta.known.as_ref().map_or(Epoch(0), |known| known.entry.forced);
        let Some(primary) = self.primary.as_mut().filter(|primary| primary.beat_at <= now) else { return };
        primary.beat_at = now.after(self.settings.beat_us);
        for peer in &mut primary.peers {
            let head = peer.head(now, epoch, &self.log, serves);
            let message = match &peer.phase {
                Phase::Unaligned => Message::Align { head, history: self.log.history.clone(), forced },
                Phase::Streaming { sent, .. } => Message::Append { head, prev: *sent, records: Vec::new() },
                Phase::Pinning => Message::Append { head, prev: self.log.last(), records: Vec::new() },
                Phase::Offering(offer) => Message::Offer { head, offer: offer.clone() },
            };
            step.send(peer.id, message);
        }
    }
}
