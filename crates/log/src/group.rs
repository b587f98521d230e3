//! What waits for the log lane: records with their checksums done, and the queue they stand in.

use crate::{Error, Position, format};
use bytes::Bytes;

/// Who is told what became of a record.
pub type Answer = Box<dyn FnOnce(Result<Position, Error>) + Send>;

/// A record's body: parts that lie one after the other in the log, never copied before that. Its
/// checksum is computed when it is made, so make it before taking a lock.
#[derive(Clone, Debug)]
pub struct Body {
    parts: Vec<Bytes>,
    bytes: u64,
    checksum: u64,
}

impl Body {
    /// A body of these parts.
    #[must_use]
    pub fn new(parts: Vec<Bytes>) -> Body {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        let checksum = format::body_checksum(parts.iter().map(|part| &part[..]));
        Body { parts, bytes, checksum }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(parts: Vec<Bytes>) -> Body {
        Body::new(parts)
    }
}

/// A record on its way.
pub(crate) struct Pending {
    pub kind: u8,
    pub head: Bytes,
    pub body: Body,
    pub checksum: u64,
    pub answer: Answer,
}

impl Pending {
    pub(crate) fn new(kind: u8, head: Bytes, body: Body, answer: Answer) -> Pending {
        let checksum = format::payload_checksum(&head, body.checksum);
        Pending { kind, head, body, checksum, answer }
    }

    /// A record without head and body.
    pub(crate) fn empty(kind: u8, answer: Answer) -> Pending {
        Pending::new(kind, Bytes::new(), Body::new(Vec::new()), answer)
    }

    pub(crate) fn payload(&self) -> u64 {
        self.head.len() as u64 + self.body.bytes
    }

    /// Bytes it takes in the log.
    pub(crate) fn bytes(&self) -> u64 {
        format::record_bytes(self.payload())
    }

    /// Its header at a position. The lengths fit: `append` refuses more than `record_bytes_max`.
    pub(crate) fn header(&self, position: u64, synced: u64) -> format::RecordHeader {
        format::RecordHeader {
            position,
            synced,
            head_len: self.head.len() as u32,
            body_len: self.body.bytes as u32,
            checksum: self.checksum,
            kind: self.kind,
        }
    }

    /// Its parts, without header and padding.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.head[..]).chain(self.body.parts.iter().map(|part| &part[..]))
    }
}

/// What stands in the queue.
pub(crate) enum Item {
    /// To be written.
    Record(Pending),
    /// To be answered when all before it is on disk.
    Sync(Answer),
    /// To be answered in its turn, with an error that is known already.
    Refused(Error, Answer),
}

impl Item {
    /// Bytes it will take in the log.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Item::Record(record) => record.bytes(),
            Item::Sync(_) | Item::Refused(..) => 0,
        }
    }

    pub(crate) fn answer(self, answer: Result<Position, Error>) {
        match self {
            Item::Record(Pending { answer: tell, .. }) | Item::Sync(tell) => tell(answer),
            Item::Refused(error, tell) => tell(Err(error)),
        }
    }
}

/// In the place of a record: that it is refused.
pub(crate) fn refuse(item: Item, error: Error) -> Item {
    match item {
        Item::Record(Pending { answer, .. }) | Item::Sync(answer) => Item::Refused(error, answer),
        refused @ Item::Refused(..) => refused,
    }
}

/// One failure for all.
pub(crate) fn fail(items: Vec<Item>, error: &Error) -> Vec<(Item, u64, Result<Position, Error>)> {
    items
        .into_iter()
        .map(|item| {
            let bytes = item.bytes();
            (item, bytes, Err(error.clone()))
        })
        .collect()
}
