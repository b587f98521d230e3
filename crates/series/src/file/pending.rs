//! Index entries of a file that is being written: they wait for their chunks' places, then become
//! blocks.
//!
//! Promises: entries become blocks in the order in which they came; only whole tags make a block,
//! but for a tag with more entries than a block may have.

use super::index::{self, BLOCK_ENTRIES_MAX, RawEntry};
use std::collections::{HashMap, VecDeque};
use types::TagId;

/// An encoded index block.
pub struct IndexBlock {
    /// Its payload.
    pub payload: Vec<u8>,
    /// Lowest tag.
    pub first: TagId,
    /// Highest tag.
    pub last: TagId,
}

#[derive(Clone, Copy)]
struct Chunk {
    offset: u64,
    bytes: u32,
    header_bytes: u32,
}

/// What a tag counts whose entries have statistics; one without counts 1, being far smaller, so that
/// blocks cost about the same room and time to decode.
const TAG_WEIGHT: usize = 4;

fn weight(entry: &RawEntry) -> usize {
    if entry.exact { TAG_WEIGHT } else { 1 }
}

/// Entries on their way into blocks.
pub struct Pending {
    block_weight: usize,
    /// Entries with the numbers of their chunks, oldest first.
    waiting: VecDeque<(RawEntry, usize)>,
    weight_waiting: usize,
    /// Places of closed chunks that waiting entries may name.
    places: HashMap<usize, Chunk>,
    blocks: Vec<IndexBlock>,
    last_tag: Option<TagId>,
}

impl Pending {
    /// For blocks of so many tags (four times as many where they have no statistics).
    #[must_use]
    pub fn new(block_tags: usize) -> Self {
        Pending {
            block_weight: block_tags * TAG_WEIGHT,
            waiting: VecDeque::new(),
            weight_waiting: 0,
            places: HashMap::new(),
            blocks: Vec::new(),
            last_tag: None,
        }
    }

    /// The tag of the newest entry.
    #[must_use]
    pub fn last_tag(&self) -> Option<TagId> {
        self.last_tag
    }

    /// Adds an entry whose chunk has that number.
    pub fn push(&mut self, entry: RawEntry, chunk: usize) {
        if self.last_tag != Some(entry.tag) {
            self.last_tag = Some(entry.tag);
            self.weight_waiting += weight(&entry);
        }
        self.waiting.push_back((entry, chunk));
    }

    /// How many blocks wait for places of chunks.
    #[must_use]
    pub fn blocks_waiting(&self) -> usize {
        self.weight_waiting / self.block_weight
    }

    /// A chunk got its place. Makes blocks of the entries that need nothing more.
    pub fn place(&mut self, chunk: usize, offset: u64, bytes: u32, header_bytes: u32) {
        self.places.insert(chunk, Chunk { offset, bytes, header_bytes });
        while self.weight_waiting > self.block_weight || self.waiting.len() >= BLOCK_ENTRIES_MAX {
            if !self.make_block() {
                break;
            }
        }
    }

    /// Makes a block of the oldest entries, if they all have places.
    fn make_block(&mut self) -> bool {
        let (mut entries, mut total) = (0, 0);
        let mut last = None;
        for (entry, chunk) in &self.waiting {
            if last != Some(entry.tag) {
                if total + weight(entry) > self.block_weight {
                    break;
                }
                last = Some(entry.tag);
                total += weight(entry);
            }
            if entries == BLOCK_ENTRIES_MAX {
                break;
            }
            if !self.places.contains_key(chunk) {
                return false;
            }
            entries += 1;
        }
        let taken: Vec<RawEntry> = self
            .waiting
            .drain(..entries)
            .map(|(entry, chunk)| {
                let place = self.places[&chunk];
                RawEntry { offset: place.offset, bytes: place.bytes, header_bytes: place.header_bytes, ..entry }
            })
            .collect();
        let (Some(first), Some(last)) = (taken.first(), taken.last()) else { return false };
        self.blocks.push(IndexBlock { payload: index::encode(&taken), first: first.tag, last: last.tag });
        // A tag that goes on in the next block counts there again.
        let again = self.waiting.front().filter(|(entry, _)| entry.tag == last.tag).map_or(0, |(entry, _)| weight(entry));
        self.weight_waiting = self.weight_waiting + again - total;
        if self.places.len() > 4 * BLOCK_ENTRIES_MAX {
            let oldest = self.waiting.iter().map(|(_, chunk)| *chunk).min().unwrap_or(usize::MAX);
            self.places.retain(|chunk, _| *chunk >= oldest);
        }
        true
    }

    /// All blocks. Every chunk has its place.
    pub fn finish(&mut self) -> Vec<IndexBlock> {
        while self.make_block() {}
        assert!(self.waiting.is_empty(), "every chunk was closed before the index is written");
        std::mem::take(&mut self.blocks)
    }
}
