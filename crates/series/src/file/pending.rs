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

/// Entries on their way into blocks.
pub struct Pending {
    block_tags: usize,
    /// Entries with the numbers of their chunks, oldest first.
    waiting: VecDeque<(RawEntry, usize)>,
    tags_waiting: usize,
    /// Places of closed chunks that waiting entries may name.
    places: HashMap<usize, Chunk>,
    blocks: Vec<IndexBlock>,
    last_tag: Option<TagId>,
}

impl Pending {
    /// For blocks of so many tags.
    #[must_use]
    pub fn new(block_tags: usize) -> Self {
        Pending {
            block_tags,
            waiting: VecDeque::new(),
            tags_waiting: 0,
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
            self.tags_waiting += 1;
        }
        self.waiting.push_back((entry, chunk));
    }

    /// How many blocks wait for places of chunks.
    #[must_use]
    pub fn blocks_waiting(&self) -> usize {
        self.tags_waiting / self.block_tags
    }

    /// A chunk got its place. Makes blocks of the entries that need nothing more.
    pub fn place(&mut self, chunk: usize, offset: u64, bytes: u32, header_bytes: u32) {
        self.places.insert(chunk, Chunk { offset, bytes, header_bytes });
        while self.tags_waiting > self.block_tags || self.waiting.len() >= BLOCK_ENTRIES_MAX {
            if !self.make_block() {
                break;
            }
        }
    }

    /// Makes a block of the oldest entries, if they all have places.
    fn make_block(&mut self) -> bool {
        let (mut entries, mut tags) = (0, 0);
        let mut last = None;
        for (entry, chunk) in &self.waiting {
            if last != Some(entry.tag) {
                if tags == self.block_tags {
                    break;
                }
                last = Some(entry.tag);
                tags += 1;
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
        let split = self.waiting.front().is_some_and(|(entry, _)| entry.tag == last.tag);
        self.tags_waiting -= tags - usize::from(split);
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
