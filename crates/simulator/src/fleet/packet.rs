//! What goes over the simulated network.

use crate::data::{Key, Op};
use crate::store::CopiedGroup;
use protocol::membership::{NodeReport, View, Wanted};
use protocol::{Consistency, Message, Refusal, ReplicaId, SliceEntry};
use std::collections::BTreeMap;
use std::rc::Rc;
use types::{Epoch, Origin, Period, Revision, SliceId, Version};

/// What a client asks.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// A batch.
    Write { origin: Origin, ops: Vec<Op> },
    /// Some rows, and all snapshot values.
    Read { consistency: Consistency, keys: Vec<Key> },
}

/// What a client is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// It is written.
    Written { version: Version },
    /// It was read.
    Read { at: Version },
    /// It was refused.
    Refused(Refusal),
}

/// A packet.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// Replica to replica.
    Replica { slice: SliceId, from: ReplicaId, to: ReplicaId, message: Message },
    /// Client to node.
    Ask { slice: SliceId, token: u64, ask: Ask },
    /// Node to client.
    Told { token: u64, told: Told },
    /// Anyone to meta.
    MetaRead { slice: SliceId, seen: Option<Epoch> },
    /// A node to meta.
    MetaSwap { slice: SliceId, run: u64, expect: Revision, next: SliceEntry },
    /// Meta to whoever read.
    MetaIs { slice: SliceId, entry: SliceEntry, revision: Revision, seen: Option<Epoch> },
    /// Meta to whoever swapped: the revision it compared with; its own, where it happened; else what stands there.
    MetaSwapped { slice: SliceId, run: u64, expect: Revision, done: Option<Revision>, entry: SliceEntry, revision: Revision },
    /// A watch's hint.
    Hint { slice: SliceId, entry: SliceEntry, revision: Revision },
    /// One who takes files, to one who offered them.
    GroupsAsked { slice: SliceId, by: ReplicaId, token: u64, periods: Vec<Period> },
    /// The files; none where the pin is gone.
    GroupsAre { slice: SliceId, token: u64, groups: Option<BTreeMap<Period, CopiedGroup>> },
    /// A manager's order to a primary.
    HandOver { slice: SliceId, to: ReplicaId },
    /// A node to a manager.
    Report(NodeReport),
    /// A manager to meta.
    ViewRead,
    /// Meta to a manager.
    ViewIs(Rc<View>),
    /// A swap that a manager wants, or a node that registers its store.
    Wanted(Wanted),
}
