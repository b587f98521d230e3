//! Marks: what was written to a fleet since the mark before, as of one moment of all slices; its archive is made of them.
//!
//! ```text
//!   archive/FLEET/NUMBER-FROM-TO-RANDOM/head                      sealed JSON, written last: a mark counts once it is whole
//!   archive/FLEET/NUMBER-FROM-TO-RANDOM/part-NODE                 what a node told that it copied, until the head does
//!   archive/FLEET/../records/NODE-N                               the writes of the slices that it led, one slice after another
//!   archive/FLEET/../slices/NNNN/manifest, files/..               of a slice whose writes were not at hand any more
//!   archive/FLEET/../tags/.., users-..                            where they changed
//! ```
//! A mark goes on from another one, or from a backup, by name. So two schedulers that archive at the same time, each believing that
//! it does alone, make two ways of one past: each leads to moments that were.
//! Promises: what reads is whole. May not know how marks are made.

use super::{Rule, TablePoint};
use crate::Error;
use crate::head::{FileEntry, file_at};
use crate::parcel::{ARCHIVE, ParcelName};
use crate::place::Place;
use crate::sealed::read_sealed;
use serde::{Deserialize, Serialize};
use types::{Epoch, Sequence, Version};

/// What its keys are named by; the line is the fleet.
pub type MarkName = ParcelName;

/// The head of a mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The format's number.
    pub format: u32,
    /// The fleet, as the heads of its backups name it.
    pub store: String,
    /// The release that wrote it.
    pub release: String,
    /// How many marks lead here from the first one.
    pub number: u64,
    /// The moment of what it goes on from, microseconds since 1970.
    pub from_us: u64,
    /// Its own: what was answered before is in it.
    pub to_us: u64,
    /// The key of the head that it goes on from.
    pub after: String,
    /// Which slice a sample lies in.
    pub rule: Rule,
    /// Length of a period in microseconds.
    pub period_us: i64,
    /// Of which point the tag table is.
    pub point: TablePoint,
    /// The last write of each slice, in order: slice, epoch, sequence.
    pub ends: Vec<(u32, u64, u64)>,
    /// The slices in which something was written, in order.
    pub steps: Vec<Step>,
    /// The objects, in order of path; parts of the tag table and files beside it where they changed.
    pub files: Vec<FileEntry>,
    /// Bytes that were written for it.
    pub new_bytes: u64,
}

/// What a mark has of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number.
    pub slice: u32,
    /// The node that led it.
    pub node: u64,
    /// Which of the node's objects has the writes, from 0 on.
    pub piece: u64,
    /// The write that they stand behind, where that is the end of what it goes on from; none where files stand before them.
    pub after: Option<(u64, u64)>,
    /// How many writes there are.
    pub records: u64,
    /// Where they lie in the object, in bytes.
    pub offset: u64,
    /// How many bytes they take there.
    pub bytes: u64,
}

impl Mark {
    pub(super) fn file(&self, path: &str) -> Option<&FileEntry> {
        file_at(&self.files, path)
    }

    pub(super) fn step(&self, slice: u32) -> Option<&Step> {
        self.steps.binary_search_by_key(&slice, |step| step.slice).ok().map(|at| &self.steps[at])
    }

    /// The last write of a slice.
    #[must_use]
    pub fn end(&self, slice: u32) -> Version {
        let end = self.ends.binary_search_by_key(&slice, |end| end.0).ok().map(|at| self.ends[at]);
        end.map_or_else(Version::default, |(_, epoch, sequence)| version((epoch, sequence)))
    }
}

pub(super) fn version((epoch, sequence): (u64, u64)) -> Version {
    Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
}

/// Where a node's writes belong.
pub(super) fn records_path(node: u64, piece: u64) -> String {
    format!("records/{node}-{piece}")
}

/// The marks of a fleet whose heads are there, in order.
pub(crate) fn names(place: &dyn Place, fleet: &str) -> Result<Vec<MarkName>, Error> {
    crate::parcel::names(place, &format!("{ARCHIVE}{fleet}/"))
}

/// A mark, by the key of its head; none where there is none.
pub(crate) fn read(place: &dyn Place, key: &str) -> Result<Option<Mark>, Error> {
    let damaged = |what: &str| Error::Damaged { key: key.to_owned(), what: what.to_owned() };
    let Some(mark) = read_sealed::<Mark>(place, key)? else { return Ok(None) };
    let named = MarkName::of(key).map(|(name, _)| name).ok_or_else(|| damaged("it is no mark's name"))?;
    let told = (mark.store.as_str(), mark.number, mark.from_us, mark.to_us);
    if told != (named.line.as_str(), named.number, named.from_us, named.to_us) {
        return Err(damaged("it is another one under this name"));
    }
    Ok(Some(mark))
}
