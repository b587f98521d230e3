//! Backups of a fleet: a moment of all slices, each copied by the node that leads it, and the tag table as of not earlier.
//!
//! ```text
//!   scheduler                      each node that leads
//!   HOLD  ───────────────────────> flush, pin: files as they are, and the writes behind them
//!   CLOSE (all have answered) ───> no write gets a place from now on
//!   CUT   ───────────────────────> what a reader of primaries would see now: the slice's last write. The moment
//!   OPEN  ───────────────────────> writes go on                                          some thousandths of a second later
//!   the tag table, as it is now
//!   COPY, LOOK .. ───────────────> crate `backup`: files and writes into the repository
//!   the head ──> repository
//! ```
//! Why it is one moment: all gates are closed before the first cut. A write in some cut has had its place before; whatever was
//! answered before it was asked for had been seen by readers before; and a primary that a reader may still read at the time of
//! its cut has all that was answered until then. So no cut lacks what another one rests on, whatever clocks say.
//! A mark (`marking`) is the same, of what was written since the mark before: writes as they are, where they are at hand.
//! Promises: what was answered before the backup was asked for is in it; what was asked for after it was answered is not. A slice
//! that changes hands meanwhile begins the moment anew. Whoever goes away has what is held for it let go of.
//! May not know where a repository lies, or who asks.

mod archiving;
mod copied;
mod holding;
mod marking;
mod messages;
mod service;
mod taking;

pub use archiving::{ArchiveRecord, ArchiveTurn};
pub use holding::Places;
pub use marking::{Marked, Marking};
pub use service::BackupService;
pub use taking::{BackupError, Backups, Wanted};
