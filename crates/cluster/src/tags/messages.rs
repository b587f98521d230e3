//! What schedulers say to each other about tags, as it lies on the wire: protobuf, one parcel a message; and what one asks
//! another.
//!
//! Promises: every message of `protocol::tags` comes back as it was; what was decoded keeps the limits of its types.
//! May not know who sends.

use super::service::DELIVER;
use crate::fleet::entries::{Place, wide};
use bytes::Bytes;
use prost::{Message as Wire, Oneof};
use protocol::tags::{Batch, ChainHash, Change, Head, Lease, Message, Part, Point, Report};
use protocol::{Moment, ReplicaId, Run};
use types::{Epoch, Origin, ProducerId, Sequence};

/// A message, from whom and to whom.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Parcel {
    #[prost(message, required, tag = "1")]
    pub from: Place,
    #[prost(message, required, tag = "2")]
    pub to: Place,
    #[prost(oneof = "Said", tags = "3, 4, 5, 6, 7, 8, 9")]
    said: Option<Said>,
}

impl crate::links::Parcel for Parcel {
    const DELIVER: &'static str = DELIVER;
}

#[derive(Clone, PartialEq, Oneof)]
enum Said {
    #[prost(message, tag = "3")]
    Append(Appended),
    #[prost(message, tag = "4")]
    Behind(Front),
    #[prost(message, tag = "5")]
    Parts(Parted),
    #[prost(message, tag = "6")]
    Report(Reported),
    #[prost(message, tag = "7")]
    Compare(Compared),
    #[prost(uint64, tag = "8")]
    Stale(u64),
    #[prost(uint64, tag = "9")]
    Release(u64),
}

#[derive(Clone, PartialEq, Wire)]
struct At {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(bytes = "vec", tag = "2")]
    hash: Vec<u8>,
}

#[derive(Clone, PartialEq, Wire)]
struct Front {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    stamp: u64,
    #[prost(message, required, tag = "3")]
    begin: At,
    #[prost(message, required, tag = "4")]
    committed: At,
    #[prost(message, optional, tag = "5")]
    lease: Option<Leased>,
}

#[derive(Clone, Copy, PartialEq, Wire)]
struct Leased {
    #[prost(fixed64, tag = "1")]
    run: u64,
    #[prost(uint64, tag = "2")]
    echo: u64,
    #[prost(uint64, tag = "3")]
    sequence: u64,
}

#[derive(Clone, PartialEq, Wire)]
struct Changed {
    #[prost(bytes = "vec", tag = "1")]
    producer: Vec<u8>,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

#[derive(Clone, PartialEq, Wire)]
struct Batched {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(message, required, tag = "2")]
    prev: At,
    #[prost(message, required, tag = "3")]
    point: At,
    #[prost(message, repeated, tag = "4")]
    changes: Vec<Changed>,
}

#[derive(Clone, PartialEq, Wire)]
struct Appended {
    #[prost(message, required, tag = "1")]
    head: Front,
    #[prost(message, required, tag = "2")]
    prev: At,
    #[prost(message, repeated, tag = "3")]
    batches: Vec<Batched>,
}

#[derive(Clone, PartialEq, Wire)]
struct OnePart {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
}

#[derive(Clone, PartialEq, Wire)]
struct Parted {
    #[prost(message, required, tag = "1")]
    head: Front,
    #[prost(uint64, tag = "2")]
    asked: u64,
    #[prost(message, required, tag = "3")]
    at: At,
    #[prost(message, repeated, tag = "4")]
    parts: Vec<OnePart>,
    #[prost(bool, tag = "5")]
    complete: bool,
}

#[derive(Clone, PartialEq, Wire)]
struct Reported {
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
    #[prost(message, required, tag = "7")]
    tail: At,
    #[prost(uint64, tag = "8")]
    applied: u64,
}

#[derive(Clone, PartialEq, Wire)]
struct Compared {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    asked: u64,
    /// 16 bytes each.
    #[prost(bytes = "bytes", tag = "3")]
    hashes: Bytes,
}

/// A change, asked of whoever leads.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Changing {
    #[prost(bytes = "vec", tag = "1")]
    producer: Vec<u8>,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub body: Bytes,
}

/// Which batch shows all that was answered: asked of whoever leads.
#[derive(Clone, Copy, PartialEq, Wire)]
pub(super) struct Reading {}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Told {
    #[prost(oneof = "Answered", tags = "1, 2, 3")]
    pub answered: Option<Answered>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Answered {
    /// What came of a change, as the catalog writes it.
    #[prost(bytes = "vec", tag = "1")]
    Changed(Vec<u8>),
    #[prost(uint64, tag = "2")]
    Readable(u64),
    #[prost(message, tag = "3")]
    Refused(Because),
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Because {
    #[prost(string, tag = "1")]
    pub word: String,
    #[prost(uint64, optional, tag = "2")]
    pub leader: Option<u64>,
    #[prost(string, tag = "3")]
    pub text: String,
}

impl Changing {
    pub(super) fn new(origin: Origin, body: Bytes) -> Changing {
        Changing { producer: origin.producer.0.to_le_bytes().to_vec(), number: origin.number, body }
    }

    pub(super) fn origin(&self) -> Option<Origin> {
        Some(Origin { producer: ProducerId(wide(&self.producer)?), number: self.number })
    }
}

impl From<Point> for At {
    fn from(point: Point) -> At {
        At { sequence: point.sequence.0, hash: point.hash.0.to_le_bytes().to_vec() }
    }
}

impl At {
    fn point(&self) -> Option<Point> {
        Some(Point { sequence: Sequence(self.sequence), hash: ChainHash(wide(&self.hash)?) })
    }
}

impl From<&Head> for Front {
    fn from(head: &Head) -> Front {
        let lease = head.lease.map(|lease| Leased { run: lease.run.0, echo: lease.echo.0, sequence: lease.sequence.0 });
        let Head { epoch, stamp, begin, committed, .. } = *head;
        Front { epoch: epoch.0, stamp: stamp.0, begin: begin.into(), committed: committed.into(), lease }
    }
}

impl Front {
    fn head(&self) -> Option<Head> {
        let lease = |lease: Leased| Lease { run: Run(lease.run), echo: Moment(lease.echo), sequence: Sequence(lease.sequence) };
        Some(Head {
            epoch: Epoch(self.epoch),
            stamp: Moment(self.stamp),
            begin: self.begin.point()?,
            committed: self.committed.point()?,
            lease: self.lease.map(lease),
        })
    }
}

impl From<&Batch> for Batched {
    fn from(batch: &Batch) -> Batched {
        let change = |change: &Change| {
            let Changing { producer, number, body } = Changing::new(change.origin, change.body.clone());
            Changed { producer, number, body }
        };
        let changes = batch.changes.iter().map(change).collect();
        Batched { epoch: batch.epoch.0, prev: batch.prev.into(), point: batch.point.into(), changes }
    }
}

impl Batched {
    fn batch(&self) -> Option<Batch> {
        let change = |change: &Changed| {
            let origin = Origin { producer: ProducerId(wide(&change.producer)?), number: change.number };
            Some(Change { origin, body: change.body.clone() })
        };
        Some(Batch {
            epoch: Epoch(self.epoch),
            prev: self.prev.point()?,
            point: self.point.point()?,
            changes: self.changes.iter().map(change).collect::<Option<_>>()?,
        })
    }
}

impl From<&Message> for Said {
    fn from(message: &Message) -> Said {
        match message {
            Message::Append { head, prev, batches } => Said::Append(Appended {
                head: head.into(),
                prev: (*prev).into(),
                batches: batches.iter().map(Batched::from).collect(),
            }),
            Message::Behind { head } => Said::Behind(head.into()),
            Message::Parts { head, asked, at, parts, complete } => Said::Parts(Parted {
                head: head.into(),
                asked: asked.0,
                at: (*at).into(),
                parts: parts.iter().map(|part| OnePart { number: part.number, body: part.body.clone() }).collect(),
                complete: *complete,
            }),
            Message::Report(report) => {
                let Report { epoch, stamp, run, own, aligned, gap, tail, applied } = *report;
                let (epoch, stamp, run, own, tail, applied) = (epoch.0, stamp.0, run.0, own.0, tail.into(), applied.0);
                Said::Report(Reported { epoch, stamp, run, own, aligned, gap, tail, applied })
            }
            Message::Compare { epoch, asked, hashes } => {
                let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
                Said::Compare(Compared { epoch: epoch.0, asked: asked.0, hashes: bytes.into() })
            }
            Message::Stale { epoch } => Said::Stale(epoch.0),
            Message::Release { epoch } => Said::Release(epoch.0),
        }
    }
}

impl Said {
    fn message(&self) -> Option<Message> {
        Some(match self {
            Said::Append(Appended { head, prev, batches }) => Message::Append {
                head: head.head()?,
                prev: prev.point()?,
                batches: batches.iter().map(Batched::batch).collect::<Option<_>>()?,
            },
            Said::Behind(head) => Message::Behind { head: head.head()? },
            Said::Parts(Parted { head, asked, at, parts, complete }) => Message::Parts {
                head: head.head()?,
                asked: Moment(*asked),
                at: at.point()?,
                parts: parts.iter().map(|part| Part { number: part.number, body: part.body.clone() }).collect(),
                complete: *complete,
            },
            Said::Report(Reported { epoch, stamp, run, own, aligned, gap, tail, applied }) => Message::Report(Report {
                epoch: Epoch(*epoch),
                stamp: Moment(*stamp),
                run: Run(*run),
                own: Moment(*own),
                aligned: *aligned,
                gap: *gap,
                tail: tail.point()?,
                applied: Sequence(*applied),
            }),
            Said::Compare(Compared { epoch, asked, hashes }) => {
                let (hashes, rest) = hashes.as_chunks::<16>();
                rest.is_empty().then_some(())?;
                let hashes = hashes.iter().map(|hash| u128::from_le_bytes(*hash)).collect();
                Message::Compare { epoch: Epoch(*epoch), asked: Moment(*asked), hashes }
            }
            Said::Stale(epoch) => Message::Stale { epoch: Epoch(*epoch) },
            Said::Release(epoch) => Message::Release { epoch: Epoch(*epoch) },
        })
    }
}

impl Parcel {
    pub(super) fn new(from: ReplicaId, to: ReplicaId, message: &Message) -> Parcel {
        Parcel { from: from.into(), to: to.into(), said: Some(message.into()) }
    }

    /// None where it is of another release.
    pub(super) fn message(&self) -> Option<Message> {
        self.said.as_ref()?.message()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{NodeId, StoreId};

    #[test]
    fn messages_come_back() {
        let id = |node| ReplicaId { node: NodeId(node), store: StoreId(u128::from(node) << 99) };
        let origin = Origin { producer: ProducerId(1 << 80), number: 4 };
        let change = Change { origin, body: Bytes::from_static(b"body") };
        let batch = Batch::after(Point::default(), Epoch(2), vec![change]);
        let lease = Some(Lease { run: Run(u64::MAX), echo: Moment(6), sequence: Sequence(7) });
        let head = Head { epoch: Epoch(3), stamp: Moment(4), begin: Point::default(), committed: batch.point, lease };
        let part = Part { number: 3, body: Bytes::from_static(b"part") };
        let report = Report {
            epoch: Epoch(1),
            stamp: Moment(2),
            run: Run(3),
            own: Moment(4),
            aligned: true,
            gap: false,
            tail: batch.point,
            applied: Sequence(5),
        };
        let messages = [
            Message::Append { head, prev: Point::default(), batches: vec![batch.clone()] },
            Message::Append { head: Head { lease: None, ..head }, prev: batch.point, batches: Vec::new() },
            Message::Behind { head },
            Message::Parts { head, asked: Moment(8), at: batch.point, parts: vec![part], complete: true },
            Message::Report(report),
            Message::Compare { epoch: Epoch(9), asked: Moment(1), hashes: vec![5, 1 << 127] },
            Message::Stale { epoch: Epoch(4) },
            Message::Release { epoch: Epoch(5) },
        ];
        for message in messages {
            let parcel = Parcel::new(id(1), id(2), &message);
            let read = Parcel::decode(&*parcel.encode_to_vec()).expect("it parses");
            assert_eq!((read.from.replica(), read.to.replica()), (Some(id(1)), Some(id(2))));
            assert_eq!(read.message(), Some(message));
        }
    }
}
