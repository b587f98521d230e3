//! Identities: one type a kind of number, so that none is ever taken for another.
//!
//! They promise nothing but their order; what a number means is said on each type.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    };
}

number! {
    /// A tag's ordinal: given at creation, dense from 0, never reused (paper 1.2, 2.1).
    TagId(u64)
}
number! {
    /// A slice: what is placed, replicated, versioned and moved (paper 2.1, figure 7).
    SliceId(u32)
}
number! {
    /// One run of one primary process of a slice. Only grows.
    Epoch(u64)
}
number! {
    /// The number of a write within a slice; runs on across epochs. 0 = nothing written yet.
    Sequence(u64)
}
number! {
    /// max(clock in µs, last + 1): one number a commit, across slices and layouts.
    CommitNumber(u64)
}
number! {
    /// A node of the fleet: given when it first joins, never reused.
    NodeId(u64)
}
number! {
    /// The number of a change of `meta`, as etcd numbers them: an entry's is that of its last change.
    Revision(u64)
}
number! {
    /// Who sent a batch: chosen by the producer, at random or by name, and kept across its restarts.
    ProducerId(u128)
}

/// The last write applied to a slice or a file group: (epoch, sequence number).
/// A read never changes it (paper, section 3 and 4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The epoch in which the write was logged.
    pub epoch: Epoch,
    /// The number of the write in its slice.
    pub sequence: Sequence,
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.epoch, self.sequence)
    }
}

/// Where a batch comes from. A producer numbers its batches upwards; a number at or below the
/// highest one applied for that producer is answered as done and not applied again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The producer.
    pub producer: ProducerId,
    /// The producer's number of this batch, from 1.
    pub number: u64,
}

/// The identity of a store: drawn at random when the store is made. A wiped disk is a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// Where an epoch began in a slice's sequence of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: Epoch,
    /// The last sequence number before it.
    pub after: Sequence,
}
