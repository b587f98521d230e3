//! What of a file is kept in memory: decoded tops, and index blocks as they lie in the file, in a cache
//! handed in. Index blocks stay packed because their entries with statistics are some twenty times as large,
//! and a single question needs one entry of 128: more blocks stay, and little is decoded.
//!
//! Promises: a block in the cache was whole when it was read; the cache may forget anything at any time.

use super::footer::TopEntry;
use super::index::{self, GroupPlace, RawEntry};
use std::sync::Arc;
use types::TagId;

/// A block, as the cache holds it.
pub struct Block {
    content: Content,
}

enum Content {
    Top(Vec<TopEntry>),
    Index { payload: Vec<u8>, groups: Vec<GroupPlace> },
}

impl Block {
    pub(super) fn of_top(top: Vec<TopEntry>) -> Block {
        Block { content: Content::Top(top) }
    }

    /// An index block, which is decoded once to see that it is whole.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of_index(payload: &[u8]) -> Result<Block, &'static str> {
        let mut groups = Vec::new();
        index::decode(payload, |place| groups.push(place))?;
        groups.shrink_to_fit();
        Ok(Block { content: Content::Index { payload: payload.to_vec(), groups } })
    }

    pub(super) fn top(&self) -> &[TopEntry] {
        if let Content::Top(top) = &self.content { top } else { &[] }
    }

    /// The entries of an index block, in order of (tag, time), with their statistics.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn entries(&self) -> Result<Vec<RawEntry>, &'static str> {
        match &self.content {
            Content::Top(_) => Ok(Vec::new()),
            Content::Index { payload, .. } => index::decode(payload, |_| {}),
        }
    }

    /// Adds the entries of one tag of an index block, with their statistics only where `statistics` says so.
    pub(super) fn find(&self, tag: TagId, statistics: bool, found: &mut Vec<RawEntry>) {
        if let Content::Index { payload, groups } = &self.content {
            index::find(payload, groups, tag, statistics, found).expect("the block was decoded whole before it was kept");
        }
    }

    /// How many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Top(top) => std::mem::size_of_val(top.as_slice()),
            Content::Index { payload, groups } => payload.len() + groups.iter().map(GroupPlace::bytes).sum::<usize>(),
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
