//! What happens to a fleet of data nodes.
//!
//! It promises to say whose process must run for it. May not know what follows from it.

use super::packet::Packet;
use protocol::{Event, RequestId};
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
    /// A node reports to managers.
    Report { node: usize },
    /// A manager tends the fleet.
    Tend { manager: usize, run: u64 },
    /// A manager starts.
    StartManager { manager: usize },
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
