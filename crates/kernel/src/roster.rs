//! The roster: the slices that a store has directories of, listed in the node file behind its slots, so that a
//! directory that was lost is told from a slice that was never written.
//!
//! Drawn (little endian): 8 bytes a slice, one after the other.
//! ```text
//!   0  slice u32   4  crc-32c of store id u128 and slice u32
//! ```
//! Crash reasoning: a slice is noted, and the note synced, once its directory is durable and before any of its files
//! counts. So a note that a power cut tore is of a slice in which nothing lies: its place is used again. Notes
//! never move and never go, so writing them again changes no byte that another one needs.
//! It may not know what lies in a slice.

use hashbrown::HashSet;
use storage::StoreId;
use types::SliceId;
use world::{DiskError, File};

const ENTRY_BYTES: usize = 8;
/// As many entries as there can be slices.
const BYTES_MAX: u64 = 65_536 * ENTRY_BYTES as u64;

/// The slices of a store, in their places.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// None where an entry is torn or damaged.
    places: Vec<Option<SliceId>>,
    slices: HashSet<SliceId>,
}

fn entry(store: StoreId, slice: SliceId) -> [u8; ENTRY_BYTES] {
    let mut sealed = [0; 20];
    sealed[..16].copy_from_slice(&store.0.to_le_bytes());
    sealed[16..].copy_from_slice(&slice.0.to_le_bytes());
    let mut out = [0; ENTRY_BYTES];
    out[..4].copy_from_slice(&slice.0.to_le_bytes());
    out[4..].copy_from_slice(&storage::block::crc32c(&sealed).to_le_bytes());
    out
}

impl Roster {
    /// Reads the entries from an offset of a file to its end.
    pub(crate) fn read(file: &dyn File, from: u64, store: StoreId) -> Result<Roster, DiskError> {
        let mut bytes = vec![0; file.len()?.saturating_sub(from).min(BYTES_MAX) as usize];
        // A file that is shorter has none, and can't be read from there.
        if !bytes.is_empty() {
            file.read_at(from, &mut bytes)?;
        }
        let decode = |bytes: &[u8]| {
            let slice = SliceId(u32::from_le_bytes(bytes[..4].try_into().expect("four bytes are four bytes")));
            (entry(store, slice) == bytes).then_some(slice)
        };
        let places: Vec<Option<SliceId>> = bytes.chunks_exact(ENTRY_BYTES).map(decode).collect();
        Ok(Roster { slices: places.iter().flatten().copied().collect(), places })
    }

    /// Of these slices, in this order.
    pub(crate) fn of(slices: &[SliceId]) -> Roster {
        Roster { places: slices.iter().copied().map(Some).collect(), slices: slices.iter().copied().collect() }
    }

    /// Its bytes.
    pub(crate) fn encode(&self, store: StoreId) -> Vec<u8> {
        let entries = self.places.iter().map(|slice| slice.map_or([0; ENTRY_BYTES], |slice| entry(store, slice)));
        entries.flatten().collect()
    }

    /// Writes all entries again, from an offset on; the caller syncs.
    pub(crate) fn write(&self, file: &dyn File, from: u64, store: StoreId) -> Result<(), DiskError> {
        let bytes = self.encode(store);
        if bytes.is_empty() { Ok(()) } else { file.write_at(from, &[&bytes]) }
    }

    pub(crate) fn slices(&self) -> &HashSet<SliceId> {
        &self.slices
    }

    /// Writes entries of slices that are not in it yet, and syncs; they are in it once that is done.
    pub(crate) fn add(&mut self, file: &dyn File, from: u64, store: StoreId, slices: &[SliceId]) -> Result<(), DiskError> {
        let free = self.places.iter().enumerate().filter(|(_, place)| place.is_none()).map(|(at, _)| at);
        let placed: Vec<(usize, SliceId)> = free.chain(self.places.len()..).zip(slices.iter().copied()).collect();
        for (at, slice) in &placed {
            file.write_at(from + (at * ENTRY_BYTES) as u64, &[&entry(store, *slice)])?;
        }
        file.sync()?;
        for (at, slice) in placed {
            self.places.resize(self.places.len().max(at + 1), None);
            self.places[at] = Some(slice);
            self.slices.insert(slice);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use world::{Disk, Simulation};

    #[test]
    fn a_torn_entry_is_none_and_its_place_is_used_again() {
        let (store, from) = (StoreId(7), 1024);
        let disk = Simulation::new(1).disk;
        let file = disk.create(Path::new("/node")).expect("a working disk");
        let mut roster = Roster::read(&*file, from, store).expect("nothing is there");
        let slices = [3, 0, 65_535].map(SliceId);
        roster.add(&*file, from, store, &slices).expect("a working disk");
        assert_eq!(*roster.slices(), HashSet::from(slices));
        for (at, lost) in [(0, 3), (9, 0), (23, 65_535)] {
            file.write_at(from + at, &[&[0x55]]).expect("a working disk");
            let mut read = Roster::read(&*file, from, store).expect("a working disk");
            assert_eq!(*read.slices(), slices.into_iter().filter(|slice| slice.0 != lost).collect());
            read.add(&*file, from, store, &[SliceId(9), SliceId(lost)]).expect("a working disk");
            assert_eq!(file.len().expect("a working disk"), from + 32, "the place of the torn one is used");
            let again = Roster::read(&*file, from, store).expect("a working disk");
            assert_eq!(again.slices(), read.slices());
            assert_eq!(again.slices().len(), 4);
            file.truncate(from).expect("a working disk");
            roster.write(&*file, from, store).expect("a working disk");
        }
        let other = Roster::read(&*file, from, StoreId(8)).expect("a working disk");
        assert!(other.slices().is_empty(), "another store's entries are none");
    }
}
