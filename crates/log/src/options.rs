//! The settings of a log.

use crate::format;
use std::time::Duration;

/// When a record is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on disk.
    Commit,
    /// Once it is written; it is on disk at most about this long afterwards. What was written since
    /// is lost by a power cut, not by the end of the process.
    Interval(Duration),
}

/// The settings of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a segment's file, reserved when it is made; rounded down to a multiple of 8. 128 MiB by default.
    pub segment_bytes: u64,
    /// Most bytes of a record's head and body together. 64 MiB by default.
    pub record_bytes_max: u64,
    /// Bytes after which a group takes no further record. 16 MiB by default.
    pub group_bytes_max: u64,
    /// When a record is answered. `Durability::Commit` by default.
    pub durability: Durability,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            segment_bytes: 128 << 20,
            record_bytes_max: 64 << 20,
            group_bytes_max: 16 << 20,
            durability: Durability::Commit,
        }
    }
}

impl Options {
    /// # Panics
    /// Where the largest record does not fit into a segment: a setting of ours, not of the world.
    pub(crate) fn check(&self) {
        assert!(self.record_bytes_max <= u64::from(u32::MAX), "a record's lengths are 32 bits");
        let needed = format::SEGMENT_HEADER_BYTES + format::record_bytes(self.record_bytes_max) + format::END_BYTES;
        assert!(needed <= self.segment_bytes & !7, "the largest record must fit into a segment");
    }
}
