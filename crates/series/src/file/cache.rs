//! What of a file is kept in memory: decoded tops and index blocks, in a cache handed in.
//!
//! Promises: a block in the cache was whole when it was read; the cache may forget anything at any time.

use super::footer::TopEntry;
use super::index::RawEntry;
use std::sync::Arc;

/// A decoded block, as the cache holds it.
pub struct Block {
    content: Content,
}

enum Content {
    Top(Vec<TopEntry>),
    Index(Vec<RawEntry>),
}

impl Block {
    pub(super) fn of_top(top: Vec<TopEntry>) -> Block {
        Block { content: Content::Top(top) }
    }

    pub(super) fn of_index(entries: Vec<RawEntry>) -> Block {
        Block { content: Content::Index(entries) }
    }

    pub(super) fn top(&self) -> &[TopEntry] {
        if let Content::Top(top) = &self.content { top } else { &[] }
    }

    pub(super) fn index(&self) -> &[RawEntry] {
        if let Content::Index(entries) = &self.content { entries } else { &[] }
    }

    /// How many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Top(top) => std::mem::size_of_val(top.as_slice()),
            Content::Index(entries) => std::mem::size_of_val(entries.as_slice()),
        };
        content + size_of::<Block>()
    }
}

/// A cache of blocks, bounded in bytes by whoever made it. Keys: the file's identity
/// (`FileHead::identity`) and the block's offset.
pub trait BlockCache: Send + Sync {
    /// The block, if it is there.
    fn get(&self, file: u64, offset: u64) -> Option<Arc<Block>>;

    /// Keeps a block, if there is room.
    fn insert(&self, file: u64, offset: u64, block: Arc<Block>);
}

impl BlockCache for memory::Cache<Arc<Block>> {
    fn get(&self, file: u64, offset: u64) -> Option<Arc<Block>> {
        self.get(memory::CacheKey { file, offset })
    }

    fn insert(&self, file: u64, offset: u64, block: Arc<Block>) {
        let bytes = block.bytes() as u64;
        self.insert(memory::CacheKey { file, offset }, block, bytes);
    }
}

/// A cache that keeps nothing.
pub struct NoCache;

impl BlockCache for NoCache {
    fn get(&self, _file: u64, _offset: u64) -> Option<Arc<Block>> {
        None
    }

    fn insert(&self, _file: u64, _offset: u64, _block: Arc<Block>) {}
}
