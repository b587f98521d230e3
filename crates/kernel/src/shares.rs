//! The node's memory: one budget, its shares, and the cache of file blocks.
//!
//! Promises: write buffers and cached blocks stay within their shares, and all shares within the budget.

use crate::Settings;
use memory::{Budget, Cache, CacheKey, CacheStatus, Share};
use series::file::{Block, BlockCache};
use std::sync::Arc;

/// Look-ups of cached blocks that can run side by side.
const CACHE_SHARDS: usize = 16;

/// The memory of the node, cut into shares.
pub(crate) struct Shares {
    pub(crate) budget: Arc<Budget>,
    pub(crate) buffers: Arc<Share>,
    cache: Arc<FileCache>,
}

/// Blocks of files, kept within a share.
struct FileCache {
    share: Arc<Share>,
    blocks: Arc<Cache<Arc<Block>>>,
}

impl BlockCache for FileCache {
    fn get(&self, file: u64, offset: u64) -> Option<Arc<Block>> {
        self.blocks.get(CacheKey { file, offset })
    }

    fn insert(&self, file: u64, offset: u64, block: Arc<Block>) {
        let bytes = block.bytes() as u64;
        self.blocks.insert(CacheKey { file, offset }, block, bytes);
    }
}

impl Shares {
    pub(crate) fn new(settings: &Settings) -> Shares {
        let budget = Budget::new(settings.memory_bytes);
        let buffers = budget.share("write buffers", settings.buffer_bytes_max);
        let share = budget.share("cache of files", settings.cache_bytes_max);
        let blocks = Cache::new(Arc::clone(&share), CACHE_SHARDS);
        Shares { budget, buffers, cache: Arc::new(FileCache { share, blocks }) }
    }

    pub(crate) fn block_cache(&self) -> Arc<dyn BlockCache> {
        Arc::<FileCache>::clone(&self.cache)
    }

    pub(crate) fn cache_status(&self) -> CacheStatus {
        self.cache.blocks.status()
    }

    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cache.share.status().bytes
    }
}
