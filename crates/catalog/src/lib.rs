//! Floor 5: tags (tables, roles and the slice map come with later work).
//!
//! What it is: the tag table: definitions by ordinal, names to ordinals, labels, durable in its own log.
//! What it promises: each call is atomic and durable when answered; ordinals are dense, given at
//! creation and never reused; ten million tags open in seconds and lie within the memory budget.
//! What it may not know: samples, SQL, the network.

mod catalog;
mod error;
mod filter;

pub use catalog::{Catalog, Settings};
pub use error::Error;
pub use filter::TagFilter;
