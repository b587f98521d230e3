//! Floor 6: backups. A running store is copied to another place, and laid from there again.
//!
//! What it is: the format of a repository (`docs/formats/backup.md`), taking a backup of a kernel and a catalog, archiving their logs
//! meanwhile, checking both, laying a store in an empty directory as it was at a moment, and removing what is old.
//! What it promises: a backup is the store at one moment, with everything that was answered before it; a file that a backup of this
//! store's own past brought is not copied again, nor is a file group whose version is the same; an object is written once; a backup
//! counts once its head is whole, and then all that it names was written before; what was changed or lost since is named, and never
//! laid.
//! What it may not know: SQL, users, and, but for `place/s3`, the network: a place is handed in.

mod copying;
mod error;
mod fleet;
mod head;
mod laying;
mod line;
mod lineage;
mod moments;
mod parcel;
mod place;
mod pruning;
mod reaching;
mod reuse;
mod sealed;
mod shipping;
mod taking;

pub use error::Error;
pub use fleet::{
    Base, Before, FleetHead, FleetSource, FleetWay, HeldSlice, KeepKinds, Mark, MarkName, MarkPart, MarkSource, NodePart,
    Restored, Roles, Rule, SliceHead, Step, TablePoint, Target, backup_names, before, begin_fleet, fleet_way, forget_fleet,
    forget_mark, is_cut_short, is_new, is_of_fleet, known_backup, lay_fleet, mark_of, put_slices, put_steps, restored,
    take_fleet, take_mark,
};
pub use head::{BackupId, FileEntry, Head, LogEntry, LogPiece};
pub use laying::{lay, recover, verify, verify_parcels};
pub use line::{Fork, Line, moment};
pub use moments::words;
pub use place::{Credentials, Directory, Place, S3, S3Settings, Stop};
pub use pruning::{Pruned, keep_newest};
pub use reaching::{Range, Until, Way, ranges, way};
pub use shipping::{Archive, Over, Shipped, Shipper};
pub use taking::{Source, Taken, take};

/// How far work is, for whoever shows it; an answer of `Break` ends the work with `Error::Cancelled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes dealt with.
    pub done: u64,
    /// Of so many.
    pub of: u64,
}

/// Who is told of progress.
pub type Report<'a> = &'a (dyn Fn(Progress) -> std::ops::ControlFlow<()> + Sync);

/// The newest whole backup of a repository, and all others: newest first.
///
/// # Errors
/// `Error::Place`. Heads that are not whole are left out: they never counted.
pub fn list(place: &dyn Place) -> Result<Vec<Head>, Error> {
    head::list(place)
}

/// The head of a backup.
///
/// # Errors
/// `Error::Unknown`, `Error::Damaged`, `Error::Place`.
pub fn find(place: &dyn Place, id: &str) -> Result<Head, Error> {
    head::find(place, id)
}
