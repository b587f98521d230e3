//! Whose turn it is to archive, of a fleet's schedulers; and how archiving stands, for all of them to tell.
//!
//! ```text
//!   archiving        who archives: a lease
//!   archive          ArchiveRecord: how it stands
//! ```
//! Promises: what was written is read back as it was. Two may archive at once where a lease ended unnoticed: each makes marks that
//! lead to what was. May not know what is archived.

use crate::fleet::following::gone;
use crate::fleet::tenure::Tenure;
use crate::tickets::answered;
use meta::{Error, Key, Meta, Swap};
use prost::Message as Wire;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use types::NodeId;
use world::Clock;

const LEASE: &str = "archiving";
const RECORD: &str = "archive";
const LAYOUT: u32 = 1;
/// How often the lease is looked at: it lasts some seconds.
const LOOKS_EVERY: Duration = Duration::from_millis(500);

/// How archiving stands, as whoever does it said last.
#[derive(Clone, PartialEq, Wire)]
pub struct ArchiveRecord {
    /// How it is laid out; set as it is written.
    #[prost(uint32, tag = "1")]
    pub layout: u32,
    /// Which scheduler archives.
    #[prost(uint64, tag = "2")]
    pub node: u64,
    /// The repository.
    #[prost(string, tag = "3")]
    pub place: String,
    /// All up to this moment is archived, microseconds since 1970; none where that is yet to begin.
    #[prost(uint64, optional, tag = "4")]
    pub moment_us: Option<u64>,
    /// Marks that this scheduler made.
    #[prost(uint64, tag = "5")]
    pub marks: u64,
    /// Tries of it that failed.
    #[prost(uint64, tag = "6")]
    pub failures: u64,
    /// Why the last one failed, where it did.
    #[prost(string, optional, tag = "7")]
    pub fault: Option<String>,
}

fn key(text: &str) -> Key {
    Key::new(text).expect("the text is short and plain")
}

impl ArchiveRecord {
    /// What stands there, and whether somebody has the turn; none where nobody archived yet, or a later release did.
    ///
    /// # Errors
    /// Of meta.
    pub async fn read(meta: &Arc<dyn Meta>) -> Result<Option<(ArchiveRecord, bool)>, Error> {
        let found = answered(meta.get(&[key(RECORD), key(LEASE)])).await.map_err(gone)??;
        let mut entries = found.entries.into_iter();
        let (record, lease) = (entries.next().flatten(), entries.next().flatten());
        let record = record.and_then(|entry| ArchiveRecord::decode(entry.value).ok());
        Ok(record.filter(|record| record.layout == LAYOUT).map(|record| (record, lease.is_some())))
    }

    /// Puts it there.
    ///
    /// # Errors
    /// Of meta.
    pub async fn write(mut self, meta: &Arc<dyn Meta>) -> Result<(), Error> {
        self.layout = LAYOUT;
        answered(meta.swap(Swap::new().put(&key(RECORD), self.encode_to_vec()))).await.map_err(gone)?.map(drop)
    }
}

/// A scheduler's wish to archive. Dropping it lets another do it at once.
pub struct ArchiveTurn {
    is_held: Arc<AtomicBool>,
    _alive: watch::Sender<()>,
}

impl ArchiveTurn {
    /// Looks for the lease from now on, and keeps it.
    #[must_use]
    pub fn start(meta: Arc<dyn Meta>, clock: Arc<dyn Clock>, me: NodeId, runtime: &Handle) -> ArchiveTurn {
        let (alive, mut ended) = watch::channel(());
        let is_held = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&is_held);
        runtime.spawn(async move {
            let mut tenure = Tenure::new(LEASE, meta, clock, me);
            loop {
                tells.store(tenure.is_held().await, Ordering::Relaxed);
                tokio::select! {
                    _ = ended.changed() => break,
                    () = tokio::time::sleep(LOOKS_EVERY) => {}
                }
            }
            tells.store(false, Ordering::Relaxed);
            tenure.give_up().await;
        });
        ArchiveTurn { is_held, _alive: alive }
    }

    /// Whether it is this one's turn.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }
}
