//! Another replica, as its primary sees it, and how records get there.
//!
//! ```text
//!   unaligned ── Align ──> aligned report ──> streaming (log) ── the log was cut, or its files depart ──┐
//!       ▲                                         ▲                                                     ▼
//!       └── silence, restart, pin lost            └── files taken ── offering <── pinned ────────── pinning
//! ```
//! Promises: what counts as acknowledged is in the primary's own history, by version; at most a window of
//! records, and of bytes, is under way. May not know which replicas are required.

use super::log_view::LogView;
use super::{Replica, Step};
use crate::event::{Action, Reader};
use crate::message::{Fresh, Head, Report};
use crate::{Message, Moment, Mutation, Offer, Record, ReplicaId, Run, Settings};
use std::collections::VecDeque;
use types::{Epoch, Sequence, Version};

/// Where a replica stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing is known of its log.
    Unaligned,
    /// Its log is a beginning of ours; records were sent up to `sent`.
    Streaming { sent: Version, reading: bool },
    /// The store holds files for it.
    Pinning,
    /// It was offered files.
    Offering(Offer),
}

/// What was sent and not acknowledged, in order.
#[derive(Debug, Default)]
struct UnderWay {
    sizes: VecDeque<(Sequence, u64)>,
    bytes: u64,
}

impl UnderWay {
    fn sent(&mut self, records: &[Record]) {
        for record in records {
            self.sizes.push_back((record.version.sequence, record.bytes()));
            self.bytes += record.bytes();
        }
    }

    fn acked(&mut self, up_to: Sequence) {
        while let Some((_, bytes)) = self.sizes.pop_front_if(|(sequence, _)| *sequence <= up_to) {
            self.bytes -= bytes;
        }
    }

    /// What was sent beyond a number is sent again.
    fn rewound(&mut self, to: Sequence) {
        while let Some((_, bytes)) = self.sizes.pop_back_if(|(sequence, _)| *sequence > to) {
            self.bytes -= bytes;
        }
    }
}

/// Another replica.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: ReplicaId,
    /// When it last answered, or when it was first spoken to.
    pub(crate) heard: Moment,
    /// The newest stamp of ours that it promised on.
    pub(crate) promised: Option<Moment>,
    /// The last of our records that it has synced.
    pub(crate) acked: Sequence,
    pub(crate) phase: Phase,
    /// Counted as a member from before the swap that makes it one.
    pub(crate) joining: bool,
    pub(crate) pinned: bool,
    /// Its newest stamp, to be echoed.
    theirs: Option<(Run, Moment)>,
    under_way: UnderWay,
    /// The last rewinding: messages that were under way before it ask for no other.
    rewound: Option<(Version, Moment)>,
}

impl Peer {
    pub(crate) fn new(id: ReplicaId, now: Moment) -> Peer {
        Peer {
            id,
            heard: now,
            promised: None,
            acked: Sequence(0),
            phase: Phase::Unaligned,
            joining: false,
            pinned: false,
            theirs: None,
            under_way: UnderWay::default(),
            rewound: None,
        }
    }

    pub(crate) fn is_silent(&self, now: Moment, settings: &Settings) -> bool {
        now.since(self.heard) > settings.silence_us
    }

    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.phase, Phase::Streaming { .. })
    }

    pub(crate) fn head(&self, now: Moment, epoch: Epoch, log: &LogView, serves: bool) -> Head {
        let fresh = self.theirs.filter(|_| serves).map(|(run, echo)| Fresh { run, echo, at: log.published });
        Head { epoch, stamp: now, stable: log.stable.sequence, fresh }
    }

    /// Hands a new record on at once, where nothing is missing before it.
    pub(crate) fn forward(&mut self, step: &mut Step<'_>, head: Head, record: &Record, settings: &Settings) {
        let window = settings.window_records_max;
        if let Phase::Streaming { sent, reading: false } = &mut self.phase
            && *sent == record.prev
            && record.version.sequence.0 - self.acked.0 <= window
            && self.under_way.bytes < settings.window_bytes_max
        {
            *sent = record.version;
            self.under_way.sent(std::slice::from_ref(record));
            step.send(self.id, Message::Append { head, prev: record.prev, records: vec![record.clone()] });
        }
    }

    /// Reads more of the log for it, where there is more and the window has room.
    pub(crate) fn pump(&mut self, step: &mut Step<'_>, epoch: Epoch, log: &LogView, settings: &Settings) {
        let Phase::Streaming { sent, reading } = &mut self.phase else { return };
        let under_way = sent.sequence.0.saturating_sub(self.acked.0);
        let room = settings.window_records_max.saturating_sub(under_way);
        let room_bytes = settings.window_bytes_max.saturating_sub(self.under_way.bytes);
        if *reading || sent.sequence >= log.last().sequence || room == 0 || room_bytes == 0 {
            return;
        }
        *reading = true;
        let reader = Reader { peer: self.id, epoch, fetches: false };
        let records_max = settings.message_records_max.min(usize::try_from(room).unwrap_or(usize::MAX));
        step.act(Action::ReadLog { reader, after: *sent, records_max, bytes_max: settings.message_bytes_max.min(room_bytes) });
    }

    fn rewind(&mut self, now: Moment, to: Version, settings: &Settings) {
        let again = self.rewound.is_none_or(|(last, at)| last != to || now.since(at) > settings.beat_us);
        if let Phase::Streaming { sent, .. } = &mut self.phase
            && to.sequence < sent.sequence
            && again
        {
            *sent = to;
            self.under_way.rewound(to.sequence);
            self.rewound = Some((to, now));
        }
    }

    /// What a report says of its log.
    fn learn(&mut self, step: &mut Step<'_>, report: &Report, log: &LogView, settings: &Settings) {
        let counts = settings.has(Mutation::CompareSequencesOnly) || log.history.contains(report.durable);
        if counts {
            self.acked = self.acked.max(report.durable.sequence.min(log.last().sequence));
            self.under_way.acked(self.acked);
        }
        match &self.phase {
            Phase::Streaming { .. } if report.aligned => {
                if report.gap {
                    self.rewind(step.now, report.last, settings);
                }
            }
            Phase::Pinning => {}
            Phase::Offering(offer) if report.needs_files || report.last.sequence < offer.history.last().sequence => {}
            _ if report.needs_files || (report.aligned && report.last.sequence < log.log_after) => {
                self.phase = Phase::Pinning;
                self.pinned = true;
                step.act(Action::Pin { peer: self.id });
            }
            _ if report.aligned => {
                self.under_way.rewound(report.last.sequence);
                self.phase = Phase::Streaming { sent: report.last, reading: false };
            }
            _ => self.phase = Phase::Unaligned,
        }
    }
}

impl Replica {
    pub(crate) fn report(&mut self, step: &mut Step<'_>, from: ReplicaId, report: Report) {
        let serves = self.serves(step.now);
        let Some(primary) = &mut self.primary else { return };
        let Some(peer) = primary.peers.iter_mut().find(|peer| peer.id == from) else { return };
        peer.heard = step.now;
        peer.promised = peer.promised.max(Some(report.stamp));
        peer.theirs = Some((report.run, report.own));
        let was_unaligned = matches!(peer.phase, Phase::Unaligned);
        peer.learn(step, &report, &self.log, &self.settings);
        if matches!(peer.phase, Phase::Unaligned) && !was_unaligned {
            // It was restarted, or has its files: tell it at once what to follow.
            let head = peer.head(step.now, self.epoch, &self.log, serves);
            let forced = self.meta.known.as_ref().map_or(Epoch(0), |known| known.entry.forced);
            step.send(from, Message::Align { head, history: self.log.history.clone(), forced });
        }
        peer.pump(step, self.epoch, &self.log, &self.settings);
    }

    /// Records were read for a replica.
    pub(crate) fn stream_read(&mut self, step: &mut Step<'_>, to: ReplicaId, after: Version, records: Option<Vec<Record>>) {
        let serves = self.serves(step.now);
        let Some(primary) = &mut self.primary else { return };
        let Some(peer) = primary.peers.iter_mut().find(|peer| peer.id == to) else { return };
        let head = peer.head(step.now, self.epoch, &self.log, serves);
        let Phase::Streaming { sent, reading } = &mut peer.phase else { return };
        *reading = false;
        if after == *sent {
            match records {
                Some(records) if !records.is_empty() => {
                    *sent = records.last().map_or(*sent, |record| record.version);
                    peer.under_way.sent(&records);
                    step.send(to, Message::Append { head, prev: after, records });
                }
                // The log was cut beyond it: files must do.
                _ => peer.phase = Phase::Unaligned,
            }
        }
        peer.pump(step, self.epoch, &self.log, &self.settings);
    }

    pub(crate) fn pinned(&mut self, step: &mut Step<'_>, to: ReplicaId, offer: Offer) {
        let serves = self.serves(step.now);
        let peer = self.primary.as_mut().and_then(|primary| primary.peers.iter_mut().find(|peer| peer.id == to));
        // A pin that was lost before it was heard of may have been asked for twice: the store holds the last one.
        let Some(peer) = peer.filter(|peer| matches!(peer.phase, Phase::Pinning | Phase::Offering(_))) else {
            // Whoever asked is gone.
            return step.act(Action::Unpin { peer: to });
        };
        let head = peer.head(step.now, self.epoch, &self.log, serves);
        step.send(to, Message::Offer { head, offer: offer.clone() });
        peer.phase = Phase::Offering(offer);
    }

    pub(crate) fn pin_lost(&mut self, to: ReplicaId) {
        let Some(primary) = &mut self.primary else { return };
        if let Some(peer) = primary.peers.iter_mut().find(|peer| peer.id == to) {
            peer.pinned = false;
            if matches!(peer.phase, Phase::Pinning | Phase::Offering(_)) {
                peer.phase = Phase::Unaligned;
            }
        }
    }
}
