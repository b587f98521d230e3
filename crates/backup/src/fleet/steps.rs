//! The slices that a node leads, as a mark has them: the writes since the one before, or, where those are not at hand any more, files.
//!
//! Promises: those of `slices`. Files that were copied before are named again where whoever calls vouches that they stay, and that
//! they are of this very store's past.
//! May not know other nodes.

use super::mark::{MarkName, Step, records_path};
use super::records;
use super::slices::{Base, HeldSlice, Putting, words};
use crate::copying::{Meter, put};
use crate::head::{FORMAT, FileEntry};
use crate::place::{Place, whole};
use crate::sealed::{sealed, unsealed};
use crate::{Error, Report};
use protocol::Record;
use serde::{Deserialize, Serialize};
use storage::StoreId;

/// Bytes beyond which a node's writes go on in another object.
const PIECE_BYTES: usize = 16 << 20;

/// What a node copied for a mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkPart {
    /// The format's number.
    pub format: u32,
    /// The last write of each of its slices.
    pub ends: Vec<(u32, u64, u64)>,
    /// Those in which something was written.
    pub steps: Vec<Step>,
    /// Its objects, and those of before that it names.
    pub files: Vec<FileEntry>,
}

fn part_key(name: &MarkName, node: u64) -> String {
    format!("{}part-{node}", name.own())
}

impl MarkPart {
    pub(super) fn read(place: &dyn Place, name: &MarkName, node: u64) -> Result<Option<MarkPart>, Error> {
        let key = part_key(name, node);
        whole(place, &key)?.map(|bytes| unsealed(&key, &bytes)).transpose()
    }

    pub(super) fn forget(place: &dyn Place, name: &MarkName, node: u64) {
        // What stays behind is removed with the mark.
        drop(place.remove(&part_key(name, node)));
    }
}

/// Whether something of it is new, behind what it stands behind.
#[must_use]
pub fn is_new(held: &HeldSlice) -> bool {
    matches!(held.base, Base::Files(_)) || !held.records.is_empty()
}

/// Copies slices for a mark, and tells of them under the node's number. `earlier` gives what was copied before to a path, and may be
/// named again.
///
/// # Errors
/// `Error::Place`, `Error::Store`, `Error::Cancelled`.
pub fn put_steps(
    place: &dyn Place,
    (name, node): (&MarkName, u64),
    earlier: &dyn Fn(&str) -> Option<FileEntry>,
    (store, held): (StoreId, Vec<HeldSlice>),
    report: Report<'_>,
) -> Result<MarkPart, Error> {
    let putting = Putting { place, own: name.own(), shared: format!("{}files/", name.own()), store: words(store), earlier };
    let meter = Meter::new(held.iter().map(|slice| putting.bytes_to_go(slice)).sum(), report);
    let mut part = MarkPart { format: FORMAT, ends: Vec::new(), steps: Vec::new(), files: Vec::new() };
    let (mut pieces, mut files) = (Pieces { node, piece: 0, writes: Vec::new() }, Vec::new());
    for held in held {
        let (is_new, HeldSlice { slice, base, records, version }) = (is_new(&held), held);
        part.ends.push((slice.0, version.epoch.0, version.sequence.0));
        if !is_new {
            continue;
        }
        let after = match base {
            Base::After(after) => Some((after.epoch.0, after.sequence.0)),
            Base::Files(of) => {
                files.push(of);
                None
            }
        };
        part.steps.push(pieces.step((slice.0, after), &records)?);
        if pieces.writes.len() > PIECE_BYTES {
            part.files.push(pieces.put(&putting, &meter)?);
        }
    }
    if !pieces.writes.is_empty() {
        part.files.push(pieces.put(&putting, &meter)?);
    }
    for held in files {
        putting.slice(held, &mut part.files, &meter)?;
    }
    let bytes = sealed(&part)?;
    place.put(&part_key(name, node), bytes.len() as u64, &mut &bytes[..])?;
    Ok(part)
}

/// A node's writes, of one slice after another, as they become objects.
struct Pieces {
    node: u64,
    piece: u64,
    writes: Vec<u8>,
}

impl Pieces {
    /// Adds a slice's writes.
    fn step(&mut self, (slice, after): (u32, Option<(u64, u64)>), records: &[Record]) -> Result<Step, Error> {
        let offset = self.writes.len() as u64;
        self.writes.extend_from_slice(&records::encode(records)?);
        let bytes = self.writes.len() as u64 - offset;
        Ok(Step { slice, node: self.node, piece: self.piece, after, records: records.len() as u64, offset, bytes })
    }

    /// Writes what there is.
    fn put(&mut self, putting: &Putting<'_>, meter: &Meter<'_>) -> Result<FileEntry, Error> {
        let (path, writes) = (records_path(self.node, self.piece), std::mem::take(&mut self.writes));
        self.piece += 1;
        let key = format!("{}{path}", putting.own);
        put(putting.place, (path, key), writes.len() as u64, &mut &writes[..], meter)
    }
}
