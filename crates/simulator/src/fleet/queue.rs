//! What will happen, in order of time; of two things at one time the one that was put in first is first.
//!
//! Promises: the order is a function of what was put in. May not know what happens.

use super::packet::Packet;
use protocol::{Event, RequestId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use types::SliceId;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A packet arrives.
    Deliver { from: usize, to: usize, packet: Packet },
    /// A machine's deadline.
    Tick { node: usize, run: u64, slice: SliceId },
    /// A disk finishes the next work.
    Work { node: usize, run: u64 },
    /// A process answers itself: a snapshot, records of the log.
    Inner { node: usize, run: u64, slice: SliceId, event: Event },
    /// A process takes a snapshot.
    Snapshot { node: usize, run: u64, slice: SliceId, request: RequestId },
    /// A process starts.
    Start { node: usize },
    /// A process goes on.
    Resume { node: usize },
    /// A client's deadline, by the number of what it waits for.
    Client { client: usize, token: u64 },
    /// Files are asked for again.
    AskGroups { node: usize, run: u64, slice: SliceId, token: u64 },
    /// A fault begins, or ends.
    Fault { index: usize, ends: bool },
    /// The operator looks at the fleet.
    Operator,
    /// Clients stop and faults are mended.
    Calm,
}

impl Happening {
    /// The node whose process must run for it.
    pub(crate) fn process(&self) -> Option<usize> {
        match self {
            Happening::Deliver { to, .. } => Some(*to),
            Happening::Tick { node, .. }
            | Happening::Work { node, .. }
            | Happening::AskGroups { node, .. }
            | Happening::Snapshot { node, .. }
            | Happening::Inner { node, .. } => Some(*node),
            _ => None,
        }
    }
}

/// The order of what will happen.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    slots: Vec<Option<Happening>>,
    free: Vec<usize>,
    count: u64,
}

impl Queue {
    /// Puts something in.
    pub(crate) fn put(&mut self, at_us: u64, happening: Happening) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(happening);
        self.count += 1;
        self.heap.push(Reverse((at_us, self.count, slot)));
    }

    /// Takes what is next.
    pub(crate) fn take(&mut self) -> Option<(u64, Happening)> {
        let Reverse((at_us, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.slots[slot].take().map(|happening| (at_us, happening))
    }
}
