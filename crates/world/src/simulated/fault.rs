//! What a simulated disk does wrong, and what it counts.

/// The plan of faults. A rate of `n` means once in `n` operations on average, 0 means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Writes that fail with EIO; any part of theirs may have been written.
    pub write_error_one_in: u64,
    /// Reads that fail with EIO.
    pub read_error_one_in: u64,
    /// Syncs of files and directories that fail with EIO. What was not synced is partly on disk; the
    /// rest is still read, but no later sync writes it (it counts as clean), unless it is written again.
    pub sync_error_one_in: u64,
    /// Calls that need new room (create, reserve, writes to places that were never written nor
    /// reserved) and fail with ENOSPC.
    pub full_one_in: u64,
    /// The disk's size in bytes. Beyond it ENOSPC, after as much was written as fits.
    pub capacity_bytes: u64,
    /// The power fails during the operation that comes after so many: it and all later ones fail
    /// until `crash` is called (it may have done part of its work).
    pub power_cut_after: Option<u64>,
}

impl Faults {
    /// A disk that works.
    pub const NONE: Faults = Faults {
        write_error_one_in: 0,
        read_error_one_in: 0,
        sync_error_one_in: 0,
        full_one_in: 0,
        capacity_bytes: u64::MAX,
        power_cut_after: None,
    };
}

/// What a simulated disk has done since it was made; failed calls count too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// All calls that a power cut can hit.
    pub operations: u64,
    /// Reads (a call for many ranges counts once).
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Syncs of directories.
    pub dir_syncs: u64,
    /// Faults that were served, power cuts included.
    pub faults: u64,
}
