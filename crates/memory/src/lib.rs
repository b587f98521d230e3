//! Floor 2: the memory layer. One budget for the process, cut into shares.
//!
//! What it is: a counter of bytes with a ceiling, shares of it for write buffers, caches and
//! queries, waiting for room by ticket, and a cache of file blocks.
//! What it promises: the shares together never grant more than the budget.
//! What it may not know: what the bytes are for.
