//! Floor 1: the words of Meridian.
//!
//! What it is: the plain values that every other crate speaks in: identities, time, quality,
//! kinds of value, tags, columnar batches of samples and the distribution rule.
//! What it promises: no state, no I/O, no allocation beyond the values themselves; every
//! conversion that can lose something says so in its type.
//! What it may not know: disks, logs, files, SQL, the network, and any other crate of ours.
//!
//! Terms are those of the design (`docs/ARCHITECTURE.md`); sources are named where an item
//! comes from the paper "distributed real-time store".

mod batch;
mod identity;
mod kind;
mod quality;
mod rule;
mod tag;
mod time;

pub use batch::{BatchError, Samples, TextColumn, TextSamples};
pub use identity::{
    CommitNumber, Epoch, EpochStart, NodeId, Origin, ProducerId, Revision, Sequence, SliceId, StoreId, TagId, Version,
};
pub use kind::{Kind, KindError, Kinds, Value};
pub use quality::Quality;
pub use rule::{DistributionRule, RuleError};
pub use tag::{Compression, Limits, Tag, TagDefinition};
pub use time::{Period, TimeRange, Timestamp};
