//! Backups of a fleet: each slice by the node that leads it, at one moment, and the tag table; marks, of what was written since; and
//! stores laid of them.
//!
//! ```text
//!   each node    its slices' files and the writes behind them -> files/ID/.., backups/ID/slices/..   then  backups/ID/part-NODE
//!   a scheduler  the tag table's parts, roles                 -> files/ID/tags/.., backups/ID/..      then  backups/ID/head
//! ```
//! Promises: those of the crate's head. A file of a store that an earlier backup of the fleet has from the same store is not
//! copied again, nor is a part of the tag table that says the same. A mark (`mark`) is small: it goes on from another one, or from a
//! backup, by the writes of each slice. A restored store is a new one, with files of its own.
//! May not know how nodes agree on the moment, or what a node is.

mod data;
mod laying;
pub(crate) mod mark;
mod marking;
pub(crate) mod reaching;
mod records;
mod restored;
mod slices;
mod steps;
mod taking;

pub use laying::{KeepKinds, Roles, Target, lay_fleet};
pub use mark::{Mark, MarkName, Step};
pub use marking::{Before, MarkSource, backup_names, before, forget_mark, mark_of, take_mark};
pub use reaching::{FleetWay, fleet_way, is_of_fleet};
pub use restored::{Restored, is_cut_short, restored};
pub use slices::{Base, HeldSlice, NodePart, known_backup, put_slices};
pub use steps::{MarkPart, is_new, put_steps};
pub use taking::{FleetSource, begin_fleet, forget_fleet, take_fleet};

use protocol::tags::Point;
use serde::{Deserialize, Serialize};
use types::{DistributionRule, Version};

/// What a head says of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetHead {
    /// Which slice a sample lies in.
    pub rule: Rule,
    /// Length of a period in microseconds.
    pub period_us: i64,
    /// Of which point the tag table is.
    pub point: TablePoint,
    /// The slices, in order.
    pub slices: Vec<SliceHead>,
}

/// A distribution rule (paper 2.1), as JSON: the numbers of `DistributionRule`, each under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is told of where the rule is")]
pub struct Rule {
    pub w1: u32,
    pub b1: u64,
    pub w2: u32,
    pub b2: u64,
    pub buckets: u32,
    pub day_us: i64,
}

/// A point of the tag table's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePoint {
    /// The number of the last batch.
    pub sequence: u64,
    /// The hash of all, in hexadecimal digits.
    pub hash: String,
}

impl From<Point> for TablePoint {
    fn from(point: Point) -> TablePoint {
        TablePoint { sequence: point.sequence.0, hash: format!("{:032x}", point.hash.0) }
    }
}

/// A slice, as it was at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceHead {
    /// Its number.
    pub slice: u32,
    /// The store that it was copied from, in hexadecimal digits.
    pub store: String,
    /// Its last write: the epoch.
    pub epoch: u64,
    /// Its last write: the number.
    pub sequence: u64,
    /// Writes behind its files.
    pub records: u64,
}

impl SliceHead {
    /// Its last write.
    #[must_use]
    pub fn version(&self) -> Version {
        Version { epoch: types::Epoch(self.epoch), sequence: types::Sequence(self.sequence) }
    }
}

impl From<DistributionRule> for Rule {
    fn from(rule: DistributionRule) -> Rule {
        let DistributionRule { w1, b1, w2, b2, buckets, day_us } = rule;
        Rule { w1, b1, w2, b2, buckets, day_us }
    }
}

impl From<Rule> for DistributionRule {
    fn from(rule: Rule) -> DistributionRule {
        let Rule { w1, b1, w2, b2, buckets, day_us } = rule;
        DistributionRule { w1, b1, w2, b2, buckets, day_us }
    }
}

/// Where a slice's objects belong.
pub(crate) fn slice_path(slice: u32, what: &str) -> String {
    format!("slices/{slice:04}/{what}")
}

/// Where a part of the tag table belongs.
pub(crate) fn part_path(number: u64) -> String {
    format!("tags/{number:08}")
}

/// Where a node tells what it copied, until the head does.
pub(crate) fn part_key(id: &str, node: u64) -> String {
    format!("{}part-{node}", crate::head::own(id))
}
