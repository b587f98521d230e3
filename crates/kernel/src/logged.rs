//! The tags of which a store's log holds samples, for whoever checks or repairs the store at rest: of what was written
//! last no file tells.
//!
//! Promises: reads only. Every tag is told that a record names samples of, whether they lie in files too or not.
//! The log knows texts from numbers, and no other kind: what numbers are is guessed from their bits.
//! Records of led slices are passed over: whoever has those has no tag table of its own.

use crate::Error;
use crate::record::{self, PartKind, RECORD_COMMIT};
use crate::recovery::log_error;
use series::Section;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use types::{Kind, TagId};
use world::Disk;

/// What the values of a tag look like so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    Text,
    /// Zeros only.
    Nothing,
    Integer,
    Double,
}

/// The tags of which the log of the store in `dir` holds samples, and their kinds: text is sure, of numbers it is a
/// guess (`f64`, or `i64` where no value would make sense as a double).
///
/// # Errors
/// `Error::Open` where it can't be read, `Error::Damaged` where it is not whole.
pub fn logged_tags(disk: &Arc<dyn Disk>, dir: &Path) -> Result<BTreeMap<TagId, Kind>, Error> {
    let dir = dir.join("log");
    let mut tags = BTreeMap::new();
    if disk.list(&dir).is_err_and(|fault| fault.is_missing()) {
        return Ok(BTreeMap::new());
    }
    for record in log::read(disk, &dir).map_err(log_error)? {
        let record = record.map_err(log_error)?;
        if record.kind != RECORD_COMMIT {
            continue;
        }
        let damaged = |what: String| Error::Damaged(format!("log record at position {}: {what}", record.position));
        let (head, bodies) = record::decode(&record.head, &record.body).map_err(damaged)?;
        for (part, bytes) in head.parts.iter().zip(bodies) {
            if part.kind != PartKind::Deletion {
                let section = Section::parse(bytes).map_err(|fault| damaged(fault.to_string()))?;
                look(&section, &mut tags);
            }
        }
    }
    Ok(tags.into_iter().map(|(tag, looks)| (tag, kind(looks))).collect())
}

fn look(section: &Section, tags: &mut BTreeMap<TagId, Looks>) {
    for row in 0..section.rows() {
        let looks = tags.entry(section.tag(row)).or_insert(Looks::Nothing);
        *looks = match (*looks, section.bits().get(row)) {
            (_, None) => Looks::Text,
            (looks, Some(0)) => looks,
            (Looks::Nothing | Looks::Integer, Some(bits)) if is_integer(*bits) => Looks::Integer,
            _ => Looks::Double,
        };
    }
}

/// Whether bits would be a tiny number that nobody measures, or no number, as a double: so are those of integers.
fn is_integer(bits: u64) -> bool {
    matches!(bits >> 52, 0 | 0xFFF)
}

fn kind(looks: Looks) -> Kind {
    match looks {
        Looks::Text => Kind::Text,
        Looks::Integer => Kind::I64,
        Looks::Nothing | Looks::Double => Kind::F64,
    }
}
