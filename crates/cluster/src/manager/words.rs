//! What an operator is told: processes, operations and how far they are, and why something was not done.
//!
//! Promises: an error says what was wrong and what to do, its SQLSTATE, and whether asking again can help. They may not know
//! how operators ask.

use crate::fleet::NodeRecord;
use crate::tags;
use protocol::membership::Busyness;
use protocol::moves::PlanError;
use protocol::{EntryError, Policy, SliceEntry};
use thiserror::Error;
use types::{NodeId, RuleError, SliceId};

/// A process, as meta has it and as a manager heard of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its number.
    pub node: NodeId,
    /// What stands in meta.
    pub record: NodeRecord,
    /// Slices that it leads.
    pub primaries: u64,
    /// Other copies that it holds or is to hold.
    pub backups: u64,
    /// How busy each part is, and the weighed mean, in thousandths; none where no manager heard of it.
    pub busyness: Option<(Busyness, u32)>,
    /// How long it has been silent, in milliseconds; none where no manager heard of it.
    pub silence_ms: Option<u64>,
}

/// What a slice on its way waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its turn, as only so many slices move at once; then new copies are noted.
    Adding,
    /// New copies take over what there is.
    Copying,
    /// Another copy is to lead.
    Switching,
    /// Copies that are not wanted any more are given up.
    Removing,
    /// All is as it should be.
    Ending,
}

/// How far something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes, or slices of a drain, that are done.
    pub done: u64,
    /// Of so many.
    pub of: u64,
}

/// Something that is under way, or waits for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A slice is on its way. Cancelled by its slice.
    Move {
        /// Which.
        slice: SliceId,
        /// Why: `move`, `switch`, `even`, `mend`.
        why: String,
        /// Who held it, the primary first.
        before: Vec<NodeId>,
        /// Who is to hold it, the primary first.
        after: Vec<NodeId>,
        /// When it began, microseconds since 1970.
        since_us: i64,
        /// What it waits for.
        step: Step,
        /// Bytes of new copies.
        progress: Progress,
    },
    /// A node is to end empty. Cancelled by `undrain`.
    Drain {
        /// Which.
        node: NodeId,
        /// Copies that it still holds.
        left: u64,
    },
    /// Slices are replicated in another way, one after another. Changed by `set_replication`.
    Replicate {
        /// How they are to be.
        policy: Policy,
        /// Slices.
        progress: Progress,
    },
    /// No store that has all that was acknowledged is there any more: bring one back, or force the slice.
    Stuck {
        /// Which.
        slice: SliceId,
        /// Its entry.
        entry: SliceEntry,
    },
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdminError {
    /// Meta did not do it.
    #[error(transparent)]
    Meta(#[from] meta::Error),
    /// The rule's numbers make no sense.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// There is no such plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The law of entries.
    #[error("slice {slice}: {error}")]
    Entry {
        /// The slice.
        slice: SliceId,
        /// What breaks it.
        error: EntryError,
    },
    /// The rule is set.
    #[error("the fleet's rule and copies were set before, to others; they can't be changed")]
    IsSet,
    /// The rule is not set yet.
    #[error("the fleet has no distribution rule yet; set it first")]
    NotSet,
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// It can't be done as things stand.
    #[error("{0}")]
    State(String),
    /// What was asked for changed all the time, or meta answers too slowly.
    #[error("it was not settled in time whether it was done: {0}; ask the same again, that does no harm")]
    Unsettled(String),
}

impl From<tags::Error> for AdminError {
    fn from(fault: tags::Error) -> AdminError {
        match fault {
            tags::Error::Meta(fault) => AdminError::Meta(fault),
            other => AdminError::State(other.to_string()),
        }
    }
}

impl AdminError {
    /// Its SQLSTATE.
    #[must_use]
    pub fn sqlstate(&self) -> &'static str {
        match self {
            AdminError::Meta(fault) => fault.sqlstate(),
            AdminError::Rule(_) | AdminError::Plan(_) | AdminError::Invalid(_) => "22023",
            AdminError::Entry { .. } | AdminError::IsSet | AdminError::NotSet | AdminError::State(_) => "55000",
            AdminError::Unsettled(_) => "57P03",
        }
    }

    /// Whether asking the same again can help.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        match self {
            AdminError::Meta(fault) => fault.can_retry(),
            AdminError::Unsettled(_) => true,
            _ => false,
        }
    }
}
