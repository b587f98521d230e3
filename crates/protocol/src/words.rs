//! The words of the fleet's protocols: who, when, and what is written.
//!
//! They promise nothing but their order; what each means is said on the type. They may not know how
//! anything is sent or stored.

use bytes::Bytes;
use std::fmt;
use types::{NodeId, Origin, ProducerId, Sequence, StoreId, Version};

/// A replica's place: a store of a node. A wiped disk is another store, and so another replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId {
    /// The node.
    pub node: NodeId,
    /// Its store.
    pub store: StoreId,
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{:x}", self.node, self.store.0)
    }
}

/// A moment of one process's monotonic clock, in microseconds. Moments of two processes say nothing
/// about each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The end of time.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// So many microseconds later.
    #[must_use]
    pub fn after(self, us: u64) -> Moment {
        Moment(self.0.saturating_add(us))
    }

    /// Microseconds since an earlier moment; 0 where it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One run of a process: drawn at random at its start, so that moments of an earlier run are never
/// taken for moments of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Run(pub u64);

/// A request of a client to this process; chosen by who hands it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One write of a slice as it stands in the log: atomic, opaque to the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its version.
    pub version: Version,
    /// The version of the record before it. Equal versions mean equal records, so this names all that came before.
    pub prev: Version,
    /// Whose batch it is.
    pub origin: Option<Origin>,
    /// A digest of the body, so that a store can prove what the version promises.
    pub digest: u64,
    /// The section's bytes; what they mean is the kernel's matter.
    pub body: Bytes,
}

impl Record {
    /// What it takes of a message.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.body.len() as u64 + 80
    }
}

/// A producer's highest number in a slice and the write that brought it: replicated state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerRow {
    /// The producer.
    pub producer: ProducerId,
    /// The highest number of it that the log holds.
    pub number: u64,
    /// The write that brought it.
    pub sequence: Sequence,
}
