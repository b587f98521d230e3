//! The slices that a node leads, as a mark has them: the writes since the one before, or, where those are not at hand any more, files.
//!
//! Promises: those of `slices`. Files that were copied before are named again where whoever calls vouches that they stay, and that
//! they are of this very store's past.
//! May not know other nodes.

use super::mark::{MarkName, Step, records_path};
use super::records;
use super::slices::{Base, HeldSlice, Putting};
use super::taking::words;
use crate::copying::Meter;
use crate::head::{FORMAT, FileEntry};
use crate::place::Place;
use crate::sealed::{put_sealed, read_sealed};
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
        read_sealed(place, &part_key(name, node))
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
    let putting = Putting { place, own: name.own(), shared: format!("{}files/", name.own()), store: words(store.0), earlier };
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
    put_sealed(place, &part_key(name, node), &part)?;
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
        putting.own(&path, &writes, meter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::{Directory, whole};
    use bytes::Bytes;
    use types::{Epoch, Sequence, SliceId, Version};
    use world::Simulation;

    fn at(sequence: u64) -> Version {
        Version { epoch: Epoch(1), sequence: Sequence(sequence) }
    }

    #[test]
    fn many_writes_go_on_in_another_object() {
        let simulation = Simulation::new(1);
        let (world, dir) = (simulation.world(), std::path::Path::new("/repository"));
        let place = Directory::new(world.disk, dir);
        let held = |slice: u32| {
            // Nothing that zstd could pack.
            let body: Vec<u8> = (0..PIECE_BYTES / 16).flat_map(|_| world.random.next_u64().to_le_bytes()).collect();
            let record = Record { version: at(8), prev: at(7), origin: None, digest: slice.into(), body: Bytes::from(body) };
            HeldSlice { slice: SliceId(slice), base: Base::After(at(7)), records: vec![record], version: at(8) }
        };
        let unchanged = HeldSlice { slice: SliceId(9), base: Base::After(at(5)), records: Vec::new(), version: at(5) };
        let all: Vec<HeldSlice> = (0..4).map(held).chain([unchanged]).collect();
        let records: Vec<Vec<Record>> = all.iter().map(|held| held.records.clone()).collect();
        let name = MarkName::new("0a", 1, (1, 2), 3);
        let go = |_| std::ops::ControlFlow::Continue(());
        let part = put_steps(&place, (&name, 6), &|_| None, (StoreId(5), all), &go).unwrap();
        assert_eq!(part.steps.iter().map(|step| step.piece).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert_eq!(part.ends.len(), 5, "{:?}", part.ends);
        assert_eq!(MarkPart::read(&place, &name, 6).unwrap().as_ref(), Some(&part));
        for (step, records) in part.steps.iter().zip(records) {
            let entry = part.files.iter().find(|file| file.path == records_path(6, step.piece)).unwrap();
            let object = whole(&place, &entry.key).unwrap().unwrap();
            let bytes = &object[step.offset as usize..][..step.bytes as usize];
            assert_eq!(super::records::decode(bytes).unwrap(), records);
        }
    }
}
