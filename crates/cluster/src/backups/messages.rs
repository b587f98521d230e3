//! What a scheduler and nodes say to each other about a backup, as it lies on the wire: protobuf.
//!
//! May not know what is done about it.

use prost::Message as Wire;

pub(super) const SERVICE: &str = "meridian.Backup1";
pub(super) const HOLD: &str = "/meridian.Backup1/Hold";
pub(super) const CLOSE: &str = "/meridian.Backup1/Close";
pub(super) const CUT: &str = "/meridian.Backup1/Cut";
pub(super) const OPEN: &str = "/meridian.Backup1/Open";
pub(super) const COPY: &str = "/meridian.Backup1/Copy";
pub(super) const LOOK: &str = "/meridian.Backup1/Look";
pub(super) const END: &str = "/meridian.Backup1/End";

/// What is asked; which of it, the path says.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Order {
    /// Which backup's turn it is of, drawn at random: 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub turn: Vec<u8>,
    /// To hold: these slices.
    #[prost(uint32, repeated, tag = "2")]
    pub slices: Vec<u32>,
    /// To copy: into this repository.
    #[prost(string, tag = "3")]
    pub place: String,
    /// To copy: under this name, a backup's, or the key of a mark's head.
    #[prost(string, tag = "4")]
    pub backup: String,
    /// To copy: the backups before it, newest first.
    #[prost(string, repeated, tag = "5")]
    pub earlier: Vec<String>,
    /// Whether it is a mark, and no backup.
    #[prost(bool, tag = "6")]
    pub is_mark: bool,
    /// To hold for a mark: what it goes on from has the slices up to these writes.
    #[prost(message, repeated, tag = "7")]
    pub ends: Vec<End>,
    /// To hold for a mark: the key of the head that it goes on from.
    #[prost(string, tag = "8")]
    pub before: String,
    /// To copy for a mark: files of marks that end before this moment may be gone.
    #[prost(uint64, tag = "9")]
    pub since_us: u64,
}

/// The last write of a slice.
#[derive(Clone, Copy, PartialEq, Wire)]
pub(super) struct End {
    #[prost(uint32, tag = "1")]
    pub slice: u32,
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    #[prost(uint64, tag = "3")]
    pub sequence: u64,
}

/// What is answered.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Told {
    /// Of copying: bytes that are there.
    #[prost(uint64, tag = "1")]
    pub done: u64,
    /// Of so many.
    #[prost(uint64, tag = "2")]
    pub of: u64,
    /// Whether it is over.
    #[prost(bool, tag = "3")]
    pub over: bool,
    /// Why it failed.
    #[prost(string, optional, tag = "4")]
    pub failed: Option<String>,
    /// Of a cut: whether something is held that is new.
    #[prost(bool, tag = "5")]
    pub is_new: bool,
}
