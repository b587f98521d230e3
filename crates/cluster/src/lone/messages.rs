//! What a lone manager and its askers say to each other: protobuf, service `meridian.Meta1`.
//!
//! ```text
//!   Ask    Question -> Told       one answer
//!   Watch  Watching -> Hinted ..  a stream, until either side ends it
//! ```
//! The number in the service's name is the layout's: another layout is another service.
//!
//! Promises: what is decoded is turned into our words only where it keeps their limits. May not know
//! who asks or answers.

use bytes::Bytes;
use meta::{Entry, Error, Found, Is, Key, Lease, LeaseId, MetaId, Page, Range, Revision, Swap, Swapped, Write};
use prost::{Message, Oneof};
use std::time::Duration;

/// A question, and which meta it is meant for.
#[derive(Clone, PartialEq, Message)]
pub struct Question {
    /// 16 bytes; empty where any is meant.
    #[prost(bytes = "vec", tag = "1")]
    pub meta: Vec<u8>,
    #[prost(oneof = "Asked", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub asked: Option<Asked>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Asked {
    #[prost(message, tag = "2")]
    Identify(Nothing),
    #[prost(message, tag = "3")]
    Get(Keys),
    #[prost(message, tag = "4")]
    Range(AskedRange),
    #[prost(message, tag = "5")]
    Swap(AskedSwap),
    #[prost(uint64, tag = "6")]
    GrantMs(u64),
    #[prost(uint64, tag = "7")]
    KeepAlive(u64),
    #[prost(uint64, tag = "8")]
    Revoke(u64),
}

#[derive(Clone, PartialEq, Message)]
pub struct Nothing {}

#[derive(Clone, PartialEq, Message)]
pub struct Keys {
    #[prost(string, repeated, tag = "1")]
    pub keys: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AskedRange {
    #[prost(string, tag = "1")]
    pub from: String,
    #[prost(string, tag = "2")]
    pub to: String,
    #[prost(uint64, tag = "3")]
    pub limit: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct AskedSwap {
    #[prost(message, repeated, tag = "1")]
    pub conditions: Vec<Condition>,
    #[prost(message, repeated, tag = "2")]
    pub writes: Vec<Written>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Condition {
    #[prost(string, tag = "1")]
    pub key: String,
    /// Absent where neither is there.
    #[prost(uint64, optional, tag = "2")]
    pub modified: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub value: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Written {
    #[prost(string, tag = "1")]
    pub key: String,
    /// Deleted where it is not there.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub value: Option<Bytes>,
    /// 0 = none.
    #[prost(uint64, tag = "3")]
    pub lease: u64,
}

/// An answer, and whose.
#[derive(Clone, PartialEq, Message)]
pub struct Told {
    #[prost(bytes = "vec", tag = "1")]
    pub meta: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    #[prost(oneof = "Answered", tags = "3, 4, 5, 6, 7")]
    pub answered: Option<Answered>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Answered {
    #[prost(message, tag = "3")]
    Done(Nothing),
    #[prost(message, tag = "4")]
    Entries(Entries),
    /// Of a swap: what stands under the compared keys.
    #[prost(message, tag = "5")]
    Conflict(Entries),
    #[prost(message, tag = "6")]
    Lease(Granted),
    #[prost(message, tag = "7")]
    Failed(Failed),
}

/// One for each key that was asked for, or a page.
#[derive(Clone, PartialEq, Message)]
pub struct Entries {
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<MaybeEntry>,
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct MaybeEntry {
    /// Nothing stands there where it is empty.
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    #[prost(uint64, tag = "3")]
    pub modified: u64,
    #[prost(uint64, tag = "4")]
    pub lease: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Granted {
    #[prost(uint64, tag = "1")]
    pub lease: u64,
    #[prost(uint64, tag = "2")]
    pub ms: u64,
}

/// `kind` is a number of `Failed::KIND_..`.
#[derive(Clone, PartialEq, Message)]
pub struct Failed {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(string, tag = "2")]
    pub text: String,
    #[prost(uint64, tag = "3")]
    pub lease: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Watching {
    #[prost(bytes = "vec", tag = "1")]
    pub meta: Vec<u8>,
    #[prost(string, tag = "2")]
    pub from: String,
    #[prost(string, tag = "3")]
    pub to: String,
    #[prost(uint64, tag = "4")]
    pub after: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Hinted {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// Anything where it is set; else these keys.
    #[prost(bool, tag = "2")]
    pub anything: bool,
    #[prost(string, repeated, tag = "3")]
    pub keys: Vec<String>,
}

impl Failed {
    const INVALID: u32 = 1;
    const LEASE_GONE: u32 = 2;
    const UNAVAILABLE: u32 = 3;
    const IN_DOUBT: u32 = 4;
    const FULL: u32 = 5;
    const FOREIGN: u32 = 6;

    /// What the asker is told of a failure. Failures of the store itself mean to him that meta is away.
    pub fn from_error(error: &Error) -> Failed {
        let (kind, text, lease) = match error {
            Error::Invalid(text) => (Self::INVALID, text.clone(), 0),
            Error::LeaseGone(lease) => (Self::LEASE_GONE, String::new(), lease.0),
            Error::Unavailable(text) => (Self::UNAVAILABLE, text.clone(), 0),
            Error::InDoubt(text) => (Self::IN_DOUBT, text.clone(), 0),
            Error::Full(text) => (Self::FULL, text.clone(), 0),
            Error::Foreign { .. } => (Self::FOREIGN, String::new(), 0),
            Error::Denied(_) | Error::Older { .. } | Error::Damaged(_) | Error::Open(_) | Error::Poisoned(_) => {
                (Self::UNAVAILABLE, error.to_string(), 0)
            }
        };
        Failed { kind, text, lease }
    }

    /// The failure that it tells of. A kind that is not known leaves everything open.
    pub fn into_error(self, expected: MetaId, found: Option<MetaId>) -> Error {
        match self.kind {
            Self::INVALID => Error::Invalid(self.text),
            Self::LEASE_GONE => Error::LeaseGone(LeaseId(self.lease)),
            Self::UNAVAILABLE => Error::Unavailable(self.text),
            Self::FULL => Error::Full(self.text),
            Self::FOREIGN => Error::Foreign { expected, found },
            _ => Error::InDoubt(self.text),
        }
    }
}

/// A meta's id as it is carried.
pub fn id_bytes(id: MetaId) -> Vec<u8> {
    id.0.to_le_bytes().to_vec()
}

/// A meta's id; none where the bytes are not 16.
pub fn id(bytes: &[u8]) -> Option<MetaId> {
    Some(MetaId(u128::from_le_bytes(bytes.try_into().ok()?)))
}

impl From<&Swap> for AskedSwap {
    fn from(swap: &Swap) -> AskedSwap {
        let condition = |(key, is): &(Key, Is)| {
            let (modified, value) = match is {
                Is::Absent => (None, None),
                Is::Modified(revision) => (Some(revision.0), None),
                Is::Value(value) => (None, Some(value.clone())),
            };
            Condition { key: key.text().to_owned(), modified, value }
        };
        let write = |(key, write): &(Key, Write)| {
            let (value, lease) = match write {
                Write::Put(value, lease) => (Some(value.clone()), lease.map_or(0, |lease| lease.0)),
                Write::Delete => (None, 0),
            };
            Written { key: key.text().to_owned(), value, lease }
        };
        AskedSwap { conditions: swap.conditions.iter().map(condition).collect(), writes: swap.writes.iter().map(write).collect() }
    }
}

impl TryFrom<AskedSwap> for Swap {
    type Error = Error;

    fn try_from(asked: AskedSwap) -> Result<Swap, Error> {
        let condition = |condition: Condition| {
            let is = match (condition.modified, condition.value) {
                (None, None) => Is::Absent,
                (Some(revision), None) => Is::Modified(Revision(revision)),
                (None, Some(value)) => Is::Value(value),
                (Some(_), Some(_)) => return Err(Error::Invalid("a condition asks for one thing".to_owned())),
            };
            Ok((Key::new(&condition.key)?, is))
        };
        let write = |written: Written| {
            let write = written.value.map_or(Write::Delete, |value| Write::Put(value, lease(written.lease)));
            Ok((Key::new(&written.key)?, write))
        };
        let conditions = asked.conditions.into_iter().map(condition).collect::<Result<_, Error>>()?;
        let writes = asked.writes.into_iter().map(write).collect::<Result<_, Error>>()?;
        Ok(Swap { conditions, writes })
    }
}

fn lease(number: u64) -> Option<LeaseId> {
    (number != 0).then_some(LeaseId(number))
}

fn maybe(entry: Option<Entry>) -> MaybeEntry {
    entry.map_or_else(MaybeEntry::default, |entry| MaybeEntry {
        key: entry.key.text().to_owned(),
        value: entry.value,
        modified: entry.modified.0,
        lease: entry.lease.map_or(0, |lease| lease.0),
    })
}

fn entry(entry: MaybeEntry) -> Result<Option<Entry>, Error> {
    if entry.key.is_empty() {
        return Ok(None);
    }
    let key = Key::new(&entry.key)?;
    Ok(Some(Entry { key, value: entry.value, modified: Revision(entry.modified), lease: lease(entry.lease) }))
}

impl Entries {
    /// One for each key.
    pub fn of(entries: Vec<Option<Entry>>) -> Entries {
        Entries { entries: entries.into_iter().map(maybe).collect(), more: false }
    }

    /// One for each of so many keys.
    pub fn each(self, count: usize) -> Result<Vec<Option<Entry>>, Error> {
        if self.entries.len() != count {
            return Err(Error::InDoubt("another number of answers than of questions".to_owned()));
        }
        self.entries.into_iter().map(entry).collect()
    }
}

impl From<Found> for Answered {
    fn from(found: Found) -> Answered {
        Answered::Entries(Entries::of(found.entries))
    }
}

impl From<Page> for Answered {
    fn from(page: Page) -> Answered {
        Answered::Entries(Entries { more: page.more, ..Entries::of(page.entries.into_iter().map(Some).collect()) })
    }
}

impl From<Swapped> for Answered {
    fn from(swapped: Swapped) -> Answered {
        match swapped {
            Swapped::Done { .. } => Answered::Done(Nothing {}),
            Swapped::Conflict { found, .. } => Answered::Conflict(Entries::of(found)),
        }
    }
}

impl From<Lease> for Answered {
    fn from(lease: Lease) -> Answered {
        Answered::Lease(Granted { lease: lease.id.0, ms: lease.lasts.as_millis() as u64 })
    }
}

/// A page's entries.
pub fn page(entries: Entries, revision: Revision) -> Result<Page, Error> {
    let more = entries.more;
    let entries = entries.entries.into_iter().filter_map(|one| entry(one).transpose()).collect::<Result<_, _>>()?;
    Ok(Page { revision, entries, more })
}

impl AskedRange {
    /// The range that is meant.
    pub fn range(&self) -> Range {
        Range::between(&self.from, &self.to)
    }
}

impl Granted {
    /// The lease that it tells of.
    pub fn lease(&self) -> Lease {
        Lease { id: LeaseId(self.lease), lasts: Duration::from_millis(self.ms) }
    }
}
