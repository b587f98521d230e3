//! What of a file is kept in memory: decoded tops and index blocks, in a cache handed in.
//!
//! Promises: a block in the cache was whole when it was read; the cache may forget anything at any time.

use std::sync::Arc;

/// A decoded block, as the cache holds it.
pub struct Block {
    bytes: usize,
}

impl Block {
    /// How many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
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

/// A cache that keeps nothing.
pub struct NoCache;

impl BlockCache for NoCache {
    fn get(&self, _file: u64, _offset: u64) -> Option<Arc<Block>> {
        None
    }

    fn insert(&self, _file: u64, _offset: u64, _block: Arc<Block>) {}
}
