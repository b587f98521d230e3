//! What can be set of a kernel. Names, defaults and ranges of the user's side are declared in `meridian`.
use std::time::Duration;
use types::DistributionRule;

/// When a commit is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When its record is on disk (the default).
    Commit,
    /// When its record is in memory; the log is synced this often. A crash loses at most what the
    /// last interval brought.
    Interval(Duration),
}

/// What can be set of a kernel.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The distribution rule; only counts when the store is made, then the store's own is kept.
    pub rule: DistributionRule,
    /// Length of a file group's period in microseconds; only counts when the store is made.
    pub period_us: i64,
    /// When a commit is answered.
    pub durability: Durability,
    /// The memory budget of the whole process, in bytes.
    pub memory_bytes: u64,
    /// How much of it write buffers may take before writers wait.
    pub buffer_bytes_max: u64,
    /// How much of it caches of files may take.
    pub cache_bytes_max: u64,
    /// How much log may pile up before the oldest slice is flushed.
    pub log_bytes_max: u64,
    /// Length at which a log segment is ended.
    pub segment_bytes: u64,
    /// Samples older than this are dropped by whole file groups; None = kept for ever.
    pub retention: Option<Duration>,
    /// Whether somebody else has that done, who knows whose samples are kept longer: then it is only told.
    pub retention_told_only: bool,
    /// How many producers' numbers are remembered; the one used longest ago is forgotten first.
    pub producers_max: usize,
    /// How many bytes of records a led slice keeps at hand for its backups after files hold them.
    pub led_tail_bytes_max: u64,
    /// How many bytes of records and files a led slice keeps for a backup that copies its files, which would be gone
    /// without it; beyond that the backup must begin anew.
    pub led_pin_bytes_max: u64,
    /// A slice that holds a record in memory for this long is flushed, however little it holds.
    pub flush_quiet: Duration,
    /// How long deleted rows may stay in files before a merge takes them out, however few deletions there are.
    pub deletion_age_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            rule: DistributionRule::default(),
            period_us: 86_400_000_000,
            durability: Durability::Commit,
            memory_bytes: 4 << 30,
            buffer_bytes_max: 1 << 30,
            cache_bytes_max: 512 << 20,
            log_bytes_max: 4 << 30,
            segment_bytes: 256 << 20,
            retention: None,
            retention_told_only: false,
            producers_max: 10_000,
            led_tail_bytes_max: 1 << 20,
            led_pin_bytes_max: 256 << 20,
            flush_quiet: Duration::from_secs(600),
            deletion_age_max: Duration::from_secs(3_600),
        }
    }
}
