//! What is asked of a data node and what it answers, as it lies on the wire: protobuf.
//!
//! Promises: what was asked comes back as it was. May not know who asks.

use super::refused::Because;
use super::rows::{Thinned, Values};
use crate::fleet::entries::{Place, wide};
use bytes::Bytes;
use prost::{Message as Wire, Oneof};
use protocol::Consistency;
use types::{Epoch, Origin, ProducerId, Sequence, Version};

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Writing {
    #[prost(uint32, tag = "1")]
    pub slice: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub producer: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub number: u64,
    /// What the record is to bring, as `kernel::compose` lays it out.
    #[prost(bytes = "bytes", tag = "4")]
    pub body: Bytes,
    /// All tags are below.
    #[prost(uint64, tag = "5")]
    pub kinds_end: u64,
    /// Who sends it, where that is a process of the fleet.
    #[prost(uint64, optional, tag = "6")]
    pub sender: Option<u64>,
    /// How long the answer is waited for.
    #[prost(uint64, tag = "7")]
    pub limit_ms: u64,
    /// How its tags are thinned, those that are.
    #[prost(message, optional, tag = "8")]
    pub thinned: Option<Thinned>,
    /// The trace that it is a part of (`traces::Context`), or nothing.
    #[prost(bytes = "vec", tag = "9")]
    pub trace: Vec<u8>,
}

impl Writing {
    pub(super) fn origin(&self) -> Option<Origin> {
        Some(Origin { producer: ProducerId(wide(&self.producer)?), number: self.number })
    }
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Reading {
    #[prost(message, repeated, tag = "1")]
    pub slices: Vec<OfSlice>,
    #[prost(uint64, repeated, tag = "2")]
    pub tags: Vec<u64>,
    /// One a tag, or none: then the newest are asked for.
    #[prost(sfixed64, repeated, tag = "3")]
    pub times: Vec<i64>,
    #[prost(uint64, tag = "4")]
    pub limit_ms: u64,
    /// The trace that it is a part of (`traces::Context`), or nothing.
    #[prost(bytes = "vec", tag = "5")]
    pub trace: Vec<u8>,
}

/// How fresh a slice's copy must be.
#[derive(Clone, Copy, PartialEq, Wire)]
pub(super) struct OfSlice {
    #[prost(uint32, tag = "1")]
    pub slice: u32,
    #[prost(oneof = "How", tags = "4, 5, 6, 7")]
    pub how: Option<How>,
}

#[derive(Clone, Copy, PartialEq, Oneof)]
pub(super) enum How {
    #[prost(bool, tag = "4")]
    Primary(bool),
    #[prost(message, tag = "5")]
    Session(Seen),
    #[prost(uint64, tag = "6")]
    BoundedUs(u64),
    #[prost(bool, tag = "7")]
    Any(bool),
}

#[derive(Clone, Copy, PartialEq, Wire)]
pub(super) struct Seen {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
}

impl From<Version> for Seen {
    fn from(version: Version) -> Seen {
        Seen { epoch: version.epoch.0, sequence: version.sequence.0 }
    }
}

impl From<Seen> for Version {
    fn from(seen: Seen) -> Version {
        Version { epoch: Epoch(seen.epoch), sequence: Sequence(seen.sequence) }
    }
}

impl From<Consistency> for How {
    fn from(consistency: Consistency) -> How {
        match consistency {
            Consistency::Primary => How::Primary(true),
            Consistency::Session(version) => How::Session(version.into()),
            Consistency::Bounded { us } => How::BoundedUs(us),
            Consistency::Any => How::Any(true),
        }
    }
}

impl From<How> for Consistency {
    fn from(how: How) -> Consistency {
        match how {
            How::Primary(_) => Consistency::Primary,
            How::Session(seen) => Consistency::Session(seen.into()),
            How::BoundedUs(us) => Consistency::Bounded { us },
            How::Any(_) => Consistency::Any,
        }
    }
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Told {
    #[prost(oneof = "Answered", tags = "1, 2, 3")]
    pub answered: Option<Answered>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Answered {
    #[prost(message, tag = "1")]
    Written(Seen),
    #[prost(message, tag = "2")]
    Read(Found),
    #[prost(message, tag = "3")]
    Refused(Because),
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Found {
    /// The slices that were read, and a write of each beyond which nothing of it was seen.
    #[prost(message, repeated, tag = "1")]
    pub at: Vec<AtSlice>,
    /// Those that were not, and why.
    #[prost(message, repeated, tag = "2")]
    pub refused: Vec<NotSlice>,
    #[prost(message, required, tag = "3")]
    pub values: Values,
}

#[derive(Clone, Copy, PartialEq, Wire)]
pub(super) struct AtSlice {
    #[prost(uint32, tag = "1")]
    pub slice: u32,
    #[prost(message, required, tag = "2")]
    pub at: Seen,
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct NotSlice {
    #[prost(uint32, tag = "1")]
    pub slice: u32,
    #[prost(message, required, tag = "2")]
    pub because: Because,
}

/// An order to hand a slice over.
#[derive(Clone, PartialEq, Wire)]
pub(crate) struct HandingOver {
    #[prost(uint32, tag = "1")]
    pub slice: u32,
    /// Who is told.
    #[prost(message, required, tag = "2")]
    pub primary: Place,
    #[prost(message, required, tag = "3")]
    pub to: Place,
}
