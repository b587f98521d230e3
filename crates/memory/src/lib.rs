//! Floor 2: the memory layer. One budget for the process, cut into shares.
//!
//! What it is: a counter of bytes with a ceiling, shares of it for write buffers, caches and
//! queries, waiting for room by ticket, and a cache of file blocks.
//! What it promises: the shares together never hold more than the budget, nor one more than its
//! own bound; who waits is served in order; room comes back however a grant or ticket ends.
//! What it may not know: what the bytes are for.
//!
//! ```text
//!  Budget ──┬── Share "buffers"  take ──► Ticket<Grant>   (waits its turn)
//!           ├── Share "queries"  try_take ──► Option<Grant>
//!           └── Share "cache" ◄── Cache: fills what nobody else needs, gives way at once
//! ```
//!
//! ```
//! use memory::{Budget, Cache, CacheKey};
//! let budget = Budget::new(1 << 20);
//! let buffers = budget.share("buffers", 1 << 20);
//! let cache: std::sync::Arc<Cache<u32>> = Cache::new(budget.share("cache", 1 << 20), 4);
//! cache.insert(CacheKey { file: 1, offset: 0 }, 7, 4096);
//! assert_eq!(cache.get(CacheKey { file: 1, offset: 0 }), Some(7));
//!
//! let most = buffers.try_take(900 << 10).expect("the cache gives way");
//! let waits = buffers.take(900 << 10).expect("it can fit one day");
//! drop(most);
//! assert_eq!(waits.wait().unwrap().bytes(), 900 << 10);
//! ```

mod budget;
mod cache;
mod grant;
mod shard;

pub use budget::{Budget, Reclaim, ShareStatus};
pub use cache::{Cache, CacheKey, CacheStatus};
pub use grant::{Grant, Share, TooLarge};
