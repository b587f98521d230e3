//! Byte strings kept once each and named by number: profiles and labels.
//!
//! What it promises: a string keeps its number while the process runs; numbers are dense from 0.
//! What it may not know: what the strings mean. Strings that nothing names any more stay until the
//! catalog is opened again (checkpoints hold only what is used).

use crate::hash_index::HashIndex;

/// A chunk's bytes; a longer string gets a chunk of its own.
const CHUNK_BYTES: usize = 1 << 18;

/// The strings.
pub struct Dictionary {
    chunks: Vec<Vec<u8>>,
    /// Chunk, and where in it the string begins and how long it is.
    places: Vec<Place>,
    index: HashIndex,
}

#[derive(Clone, Copy)]
struct Place {
    chunk: u32,
    at: u32,
    len: u32,
}

impl Dictionary {
    /// An empty one.
    pub fn new(seed: u64) -> Dictionary {
        Dictionary { chunks: Vec::new(), places: Vec::new(), index: HashIndex::new(seed, 0) }
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The string of that number.
    #[inline]
    pub fn get(&self, number: u32) -> &[u8] {
        let place = self.places[number as usize];
        &self.chunks[place.chunk as usize][place.at as usize..][..place.len as usize]
    }

    /// The number of a string, if it is there.
    pub fn find(&self, bytes: &[u8]) -> Option<u32> {
        self.index.find(self.index.hash(bytes), |number| self.get(number) == bytes)
    }

    /// The number of a string, which is added where it is not there; `check` may refuse it first.
    pub fn intern<E>(&mut self, bytes: &[u8], check: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<u32, E> {
        let hash = self.index.hash(bytes);
        if let Some(number) = self.index.find(hash, |number| self.get(number) == bytes) {
            return Ok(number);
        }
        check(bytes)?;
        let room = self.chunks.last().map_or(0, |chunk| chunk.capacity() - chunk.len());
        if room < bytes.len() {
            self.chunks.push(Vec::with_capacity(bytes.len().max(CHUNK_BYTES.min(1024 << self.chunks.len().min(10)))));
        }
        let number = u32::try_from(self.places.len()).expect("memory ends before four billion strings");
        let chunk = self.chunks.len() - 1;
        let into = &mut self.chunks[chunk];
        // Lengths fit: a string is a definition's part, at most some 16 MiB.
        self.places.push(Place { chunk: chunk as u32, at: into.len() as u32, len: bytes.len() as u32 });
        into.extend_from_slice(bytes);
        self.index.insert(hash, number);
        Ok(number)
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> u64 {
        let chunks: usize = self.chunks.iter().map(Vec::capacity).sum();
        (chunks + self.places.len() * size_of::<Place>()) as u64 + self.index.memory_bytes()
    }
}
