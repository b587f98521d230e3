//! What replicas say to each other, as it lies on the wire: protobuf, one parcel a message.
//!
//! Promises: every message of `protocol` comes back as it was; what was decoded keeps the limits of its types.
//! May not know who sends.

use crate::fleet::entries::{Place, wide};
use bytes::Bytes;
use prost::{Message as Wire, Oneof};
use protocol::{Fresh, Head, History, Message, Moment, Offer, ProducerRow, Record, ReplicaId, Report, Run};
use types::{Epoch, EpochStart, Origin, Period, ProducerId, Sequence, SliceId, Version};

/// A message, from whom and to whom.
#[derive(Clone, PartialEq, Wire)]
pub(crate) struct Parcel {
    #[prost(uint32, tag = "1")]
    pub slice: u32,
    #[prost(message, required, tag = "2")]
    pub from: Place,
    #[prost(message, required, tag = "3")]
    pub to: Place,
    #[prost(oneof = "Said", tags = "4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub said: Option<Said>,
    /// All tags of it are below: the sender's book of kinds ends there.
    #[prost(uint64, tag = "14")]
    pub kinds_end: u64,
}

impl crate::links::Parcel for Parcel {
    const DELIVER: &'static str = super::service::DELIVER;
}

/// What a stream of parcels is answered with, at its end.
#[derive(Clone, Copy, PartialEq, Wire)]
pub(crate) struct Nothing {}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Said {
    #[prost(uint64, tag = "4")]
    Inquire(u64),
    #[prost(message, tag = "5")]
    Tail(Tail),
    #[prost(message, tag = "6")]
    Fetch(Fetch),
    #[prost(message, tag = "7")]
    Fetched(Fetched),
    #[prost(message, tag = "8")]
    Align(Align),
    #[prost(message, tag = "9")]
    Append(Append),
    #[prost(message, tag = "10")]
    Offer(Offered),
    #[prost(message, tag = "11")]
    Report(Reported),
    #[prost(uint64, tag = "12")]
    Stale(u64),
    #[prost(uint64, tag = "13")]
    Release(u64),
}

#[derive(Clone, Copy, PartialEq, Wire)]
pub(crate) struct At {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    sequence: u64,
}

#[derive(Clone, Copy, PartialEq, Wire)]
struct Start {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    after: u64,
}

#[derive(Clone, PartialEq, Wire)]
pub(crate) struct Past {
    #[prost(message, repeated, tag = "1")]
    starts: Vec<Start>,
    #[prost(message, required, tag = "2")]
    last: At,
}

#[derive(Clone, PartialEq, Wire)]
struct Kept {
    #[prost(message, required, tag = "1")]
    version: At,
    #[prost(message, required, tag = "2")]
    prev: At,
    #[prost(bytes = "vec", optional, tag = "3")]
    producer: Option<Vec<u8>>,
    #[prost(uint64, tag = "4")]
    number: u64,
    #[prost(fixed64, tag = "5")]
    digest: u64,
    #[prost(bytes = "bytes", tag = "6")]
    body: Bytes,
}

#[derive(Clone, Copy, PartialEq, Wire)]
struct FreshAt {
    #[prost(fixed64, tag = "1")]
    run: u64,
    #[prost(uint64, tag = "2")]
    echo: u64,
    #[prost(message, required, tag = "3")]
    at: At,
}

#[derive(Clone, Copy, PartialEq, Wire)]
struct Front {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    stamp: u64,
    #[prost(uint64, tag = "3")]
    stable: u64,
    #[prost(message, optional, tag = "4")]
    fresh: Option<FreshAt>,
}

#[derive(Clone, PartialEq, Wire)]
pub(crate) struct Tail {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(message, required, tag = "2")]
    history: Past,
}

#[derive(Clone, Copy, PartialEq, Wire)]
pub(crate) struct Fetch {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(message, required, tag = "2")]
    after: At,
}

#[derive(Clone, PartialEq, Wire)]
pub(crate) struct Fetched {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(message, required, tag = "2")]
    after: At,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Kept>,
}

#[derive(Clone, PartialEq, Wire)]
pub(crate) struct Align {
    #[prost(message, required, tag = "1")]
    head: Front,
    #[prost(message, required, tag = "2")]
    history: Past,
    #[prost(uint64, tag = "3")]
    forced: u64,
}

#[derive(Clone, PartialEq, Wire)]
pub(crate) struct Append {
    #[prost(message, required, tag = "1")]
    head: Front,
    #[prost(message, required, tag = "2")]
    prev: At,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Kept>,
}

#[derive(Clone, Copy, PartialEq, Wire)]
struct Group {
    #[prost(sint64, tag = "1")]
    period: i64,
    #[prost(message, required, tag = "2")]
    version: At,
}

#[derive(Clone, PartialEq, Wire)]
struct Producer {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(uint64, tag = "3")]
    sequence: u64,
}

#[derive(Clone, PartialEq, Wire)]
pub(crate) struct Offered {
    #[prost(message, required, tag = "1")]
    head: Front,
    #[prost(message, required, tag = "2")]
    history: Past,
    #[prost(message, repeated, tag = "3")]
    groups: Vec<Group>,
    #[prost(message, repeated, tag = "4")]
    producers: Vec<Producer>,
}

#[derive(Clone, Copy, PartialEq, Wire)]
pub(crate) struct Reported {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    stamp: u64,
    #[prost(fixed64, tag = "3")]
    run: u64,
    #[prost(uint64, tag = "4")]
    own: u64,
    #[prost(bool, tag = "5")]
    aligned: bool,
    #[prost(bool, tag = "6")]
    gap: bool,
    #[prost(bool, tag = "7")]
    needs_files: bool,
    #[prost(message, required, tag = "8")]
    last: At,
    #[prost(message, required, tag = "9")]
    durable: At,
}

impl From<Version> for At {
    fn from(version: Version) -> At {
        At { epoch: version.epoch.0, sequence: version.sequence.0 }
    }
}

impl From<At> for Version {
    fn from(at: At) -> Version {
        Version { epoch: Epoch(at.epoch), sequence: Sequence(at.sequence) }
    }
}

impl From<&History> for Past {
    fn from(history: &History) -> Past {
        let start = |start: &EpochStart| Start { epoch: start.epoch.0, after: start.after.0 };
        Past { starts: history.starts().iter().map(start).collect(), last: history.last().into() }
    }
}

impl Past {
    /// None where it is no history: epochs that rise, each with something written, up to the last write.
    pub(super) fn history(&self) -> Option<History> {
        let start = |start: &Start| EpochStart { epoch: Epoch(start.epoch), after: Sequence(start.after) };
        let starts: Vec<EpochStart> = self.starts.iter().map(start).collect();
        let last = Version::from(self.last);
        let rising = starts.is_sorted_by(|a, b| a.epoch < b.epoch && a.after < b.after);
        let ends = match starts.last() {
            Some(start) => start.epoch == last.epoch && start.after < last.sequence,
            None => last == Version::default(),
        };
        (rising && ends).then(|| History::new(starts, last))
    }
}

impl From<&Record> for Kept {
    fn from(record: &Record) -> Kept {
        Kept {
            version: record.version.into(),
            prev: record.prev.into(),
            producer: record.origin.map(|origin| origin.producer.0.to_le_bytes().to_vec()),
            number: record.origin.map_or(0, |origin| origin.number),
            digest: record.digest,
            body: record.body.clone(),
        }
    }
}

impl Kept {
    fn record(&self) -> Option<Record> {
        let origin = match &self.producer {
            Some(producer) => Some(Origin { producer: ProducerId(wide(producer)?), number: self.number }),
            None => None,
        };
        let Kept { version, prev, digest, body, .. } = self;
        // A copy of its own: it is kept for long, and must hold on to nothing of the connection's buffers. It begins where an
        // allocation does, so that the kernel uses its columns in place.
        let body = Bytes::copy_from_slice(body);
        Some(Record { version: (*version).into(), prev: (*prev).into(), origin, digest: *digest, body })
    }
}

fn records(kept: &[Kept]) -> Option<Vec<Record>> {
    kept.iter().map(Kept::record).collect()
}

impl From<&Head> for Front {
    fn from(head: &Head) -> Front {
        let fresh = head.fresh.map(|fresh| FreshAt { run: fresh.run.0, echo: fresh.echo.0, at: fresh.at.into() });
        Front { epoch: head.epoch.0, stamp: head.stamp.0, stable: head.stable.0, fresh }
    }
}

impl From<Front> for Head {
    fn from(front: Front) -> Head {
        let fresh = front.fresh.map(|fresh| Fresh { run: Run(fresh.run), echo: Moment(fresh.echo), at: fresh.at.into() });
        Head { epoch: Epoch(front.epoch), stamp: Moment(front.stamp), stable: Sequence(front.stable), fresh }
    }
}

fn producer(row: &ProducerRow) -> Producer {
    Producer { id: row.producer.0.to_le_bytes().to_vec(), number: row.number, sequence: row.sequence.0 }
}

impl From<&Offer> for Offered {
    fn from(offer: &Offer) -> Offered {
        let group = |(period, version): &(Period, Version)| Group { period: period.0, version: (*version).into() };
        Offered {
            head: Front::default(),
            history: (&offer.history).into(),
            groups: offer.groups.iter().map(group).collect(),
            producers: offer.producers.iter().map(producer).collect(),
        }
    }
}

impl Offered {
    fn offer(&self) -> Option<Offer> {
        let row = |row: &Producer| {
            let producer = ProducerId(wide(&row.id)?);
            Some(ProducerRow { producer, number: row.number, sequence: Sequence(row.sequence) })
        };
        Some(Offer {
            history: self.history.history()?,
            groups: self.groups.iter().map(|group| (Period(group.period), group.version.into())).collect(),
            producers: self.producers.iter().map(row).collect::<Option<_>>()?,
        })
    }
}

impl Parcel {
    pub(crate) fn new(slice: SliceId, from: ReplicaId, to: ReplicaId, message: &Message, kinds_end: u64) -> Parcel {
        let said = match message {
            Message::Inquire { epoch } => Said::Inquire(epoch.0),
            Message::Tail { epoch, history } => Said::Tail(Tail { epoch: epoch.0, history: history.into() }),
            Message::Fetch { epoch, after } => Said::Fetch(Fetch { epoch: epoch.0, after: (*after).into() }),
            Message::Fetched { epoch, after, records } => {
                let records = records.iter().map(Kept::from).collect();
                Said::Fetched(Fetched { epoch: epoch.0, after: (*after).into(), records })
            }
            Message::Align { head, history, forced } => {
                Said::Align(Align { head: head.into(), history: history.into(), forced: forced.0 })
            }
            Message::Append { head, prev, records } => {
                let records = records.iter().map(Kept::from).collect();
                Said::Append(Append { head: head.into(), prev: (*prev).into(), records })
            }
            Message::Offer { head, offer } => Said::Offer(Offered { head: head.into(), ..offer.into() }),
            Message::Report(report) => Said::Report(Reported {
                epoch: report.epoch.0,
                stamp: report.stamp.0,
                run: report.run.0,
                own: report.own.0,
                aligned: report.aligned,
                gap: report.gap,
                needs_files: report.needs_files,
                last: report.last.into(),
                durable: report.durable.into(),
            }),
            Message::Stale { epoch } => Said::Stale(epoch.0),
            Message::Release { epoch } => Said::Release(epoch.0),
        };
        Parcel { slice: slice.0, from: from.into(), to: to.into(), said: Some(said), kinds_end }
    }

    /// Whether it brings samples, whose tags must be known first.
    pub(crate) fn brings_samples(&self) -> bool {
        match &self.said {
            Some(Said::Fetched(fetched)) => !fetched.records.is_empty(),
            Some(Said::Append(append)) => !append.records.is_empty(),
            Some(Said::Offer(_)) => true,
            _ => false,
        }
    }

    /// The message; None where it is of another release, or makes no sense.
    pub(crate) fn message(&self) -> Option<Message> {
        Some(match self.said.as_ref()? {
            Said::Inquire(epoch) => Message::Inquire { epoch: Epoch(*epoch) },
            Said::Tail(tail) => Message::Tail { epoch: Epoch(tail.epoch), history: tail.history.history()? },
            Said::Fetch(fetch) => Message::Fetch { epoch: Epoch(fetch.epoch), after: fetch.after.into() },
            Said::Fetched(fetched) => {
                Message::Fetched { epoch: Epoch(fetched.epoch), after: fetched.after.into(), records: records(&fetched.records)? }
            }
            Said::Align(align) => {
                Message::Align { head: align.head.into(), history: align.history.history()?, forced: Epoch(align.forced) }
            }
            Said::Append(append) => {
                Message::Append { head: append.head.into(), prev: append.prev.into(), records: records(&append.records)? }
            }
            Said::Offer(offered) => Message::Offer { head: offered.head.into(), offer: offered.offer()? },
            Said::Report(report) => Message::Report(Report {
                epoch: Epoch(report.epoch),
                stamp: Moment(report.stamp),
                run: Run(report.run),
                own: Moment(report.own),
                aligned: report.aligned,
                gap: report.gap,
                needs_files: report.needs_files,
                last: report.last.into(),
                durable: report.durable.into(),
            }),
            Said::Stale(epoch) => Message::Stale { epoch: Epoch(*epoch) },
            Said::Release(epoch) => Message::Release { epoch: Epoch(*epoch) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{NodeId, StoreId};

    fn version(epoch: u64, sequence: u64) -> Version {
        Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
    }

    #[test]
    fn every_message_comes_back() {
        let start = |epoch, after| EpochStart { epoch: Epoch(epoch), after: Sequence(after) };
        let history = History::new(vec![start(1, 0), start(4, 9)], version(4, 12));
        let origin = Some(Origin { producer: ProducerId(u128::MAX - 1), number: 7 });
        let record = |origin| Record {
            version: version(4, 12),
            prev: version(4, 11),
            origin,
            digest: u64::MAX,
            body: Bytes::from_static(b"body"),
        };
        let fresh = Some(Fresh { run: Run(3), echo: Moment(99), at: version(4, 10) });
        let head = Head { epoch: Epoch(4), stamp: Moment(1234), stable: Sequence(11), fresh };
        let producers = vec![ProducerRow { producer: ProducerId(5), number: 2, sequence: Sequence(3) }];
        let offer = Offer { history: history.clone(), groups: vec![(Period(-3), version(1, 9))], producers };
        let report = Report {
            epoch: Epoch(4),
            stamp: Moment(1),
            run: Run(2),
            own: Moment(3),
            aligned: true,
            gap: false,
            needs_files: true,
            last: version(4, 12),
            durable: version(4, 11),
        };
        let messages = [
            Message::Inquire { epoch: Epoch(4) },
            Message::Tail { epoch: Epoch(4), history: History::default() },
            Message::Fetch { epoch: Epoch(4), after: version(1, 9) },
            Message::Fetched { epoch: Epoch(4), after: version(1, 9), records: vec![record(None)] },
            Message::Align { head, history, forced: Epoch(2) },
            Message::Append { head: Head { fresh: None, ..head }, prev: version(4, 11), records: vec![record(origin)] },
            Message::Offer { head, offer },
            Message::Report(report),
            Message::Stale { epoch: Epoch(9) },
            Message::Release { epoch: Epoch(8) },
        ];
        let id = |node, store| ReplicaId { node: NodeId(node), store: StoreId(store) };
        for message in messages {
            let parcel = Parcel::new(SliceId(3), id(1, u128::MAX), id(2, 0), &message, 77);
            let back = Parcel::decode(parcel.encode_to_vec().as_slice()).unwrap();
            assert_eq!((back.message(), back.kinds_end), (Some(message), 77));
            assert_eq!((back.from.replica(), back.to.replica()), (Some(id(1, u128::MAX)), Some(id(2, 0))));
        }
    }

    #[test]
    fn what_is_no_history_is_no_message() {
        let past = |starts: &[(u64, u64)], last| Past {
            starts: starts.iter().map(|(epoch, after)| Start { epoch: *epoch, after: *after }).collect(),
            last: At::from(last),
        };
        assert!(past(&[(1, 0), (2, 5)], version(2, 6)).history().is_some());
        for (starts, last) in [
            (&[(2, 0), (1, 5)][..], version(1, 6)),
            (&[(1, 0), (2, 5)], version(2, 5)),
            (&[(1, 0)], version(2, 5)),
            (&[], version(1, 1)),
        ] {
            assert_eq!(past(starts, last).history(), None, "{starts:?} {last}");
        }
    }
}
