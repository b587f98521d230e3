//! A fleet's backups by SQL: `meridian_backup(place [, keep])` at any scheduler, which has every node copy the slices that it leads.
//!
//! Promises: one backup at a time of each scheduler's; a statement that is cancelled ends it. May not know how a moment is agreed on.

use crate::backup::asked::{self, Asked, Waiting, report};
use crate::backup::place;
use ::backup::Progress;
use ::meta::Meta;
use cluster::backups::{BackupError, BackupService, Backups, Places, Wanted};
use cluster::data::DataNode;
use cluster::fleet::{Lines, all_logins};
use cluster::manager::Admin;
use cluster::tags::TagTable;
use parking_lot::Mutex;
use query::{Error, ScalarValue};
use server::Users;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use world::World;

/// How processes of this program open a repository.
fn places(world: &World) -> Places {
    let (disk, clock) = (Arc::clone(&world.disk), Arc::clone(&world.clock));
    Arc::new(move |text, stop| place::open(text, &disk, Arc::clone(&clock), stop).map_err(|fault| fault.to_string()))
}

/// The side of a data node.
pub fn service(node: &Arc<DataNode>, world: &World, dir: &Path) -> BackupService {
    BackupService::new(Arc::clone(node), places(world), (Arc::clone(&world.disk), dir.to_path_buf()))
}

/// A backup that runs.
#[derive(Clone)]
pub struct Running {
    /// Where to.
    pub place: String,
    /// Since when, in microseconds since 1970.
    pub since_us: i64,
    /// How far it is.
    pub progress: Progress,
}

/// Whom a scheduler's operators ask.
pub struct FleetBackups {
    backups: Backups,
    meta: Arc<dyn Meta>,
    places: Places,
    world: World,
    running: Arc<Mutex<Option<Running>>>,
}

fn told(fault: BackupError) -> Error {
    match fault {
        BackupError::Repository(fault) => asked::told(fault),
        BackupError::Place(text) => Error::InvalidParameter(report(text)),
        BackupError::Busy(_) => Error::CantChange(report(fault.to_string())),
        BackupError::Node { .. } => Error::Io(report(fault.to_string())),
        BackupError::Unavailable(_) => Error::Unavailable(report(fault.to_string())),
    }
}

/// The backup that runs is over, however.
struct Ends(Arc<Mutex<Option<Running>>>);

impl Drop for Ends {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

impl FleetBackups {
    /// Of the fleet of a meta.
    #[must_use]
    pub fn new(meta: Arc<dyn Meta>, of: (Arc<Lines>, Arc<Admin>), table: Arc<TagTable>, world: &World) -> Arc<FleetBackups> {
        let backups = Backups::new(meta.witness().id, of, table, places(world), world.clone());
        Arc::new(FleetBackups { backups, meta, places: places(world), world: world.clone(), running: Arc::default() })
    }

    /// The one that runs here.
    pub fn running(&self) -> Option<Running> {
        self.running.lock().clone()
    }

    /// Takes one.
    ///
    /// # Errors
    /// `Error::InvalidParameter`, `Error::CantChange`, `Error::Unavailable`, `Error::Io`, `Error::DiskFull`, `Error::Cancelled`.
    pub async fn take(&self, arguments: &[ScalarValue]) -> Result<String, Error> {
        let Asked { to, keep } = Asked::of(arguments)?;
        let stop = Arc::new(AtomicBool::new(false));
        let _waiting = Waiting(Arc::clone(&stop));
        let _ends = self.begin(&to)?;
        let roles =
            all_logins(&self.meta).await.map_err(|fault| Error::Unavailable(report(format!("the fleet's roles: {fault}"))))?;
        let beside = if roles.is_empty() { Vec::new() } else { vec![Users::file_of(&roles)] };
        let release = env!("CARGO_PKG_VERSION").to_owned();
        let running = Arc::clone(&self.running);
        let tell = Arc::new(move |progress| {
            if let Some(running) = running.lock().as_mut() {
                running.progress = progress;
            }
        });
        let wanted = Wanted { place: to.clone(), beside, release, stop: Arc::clone(&stop) };
        let head = self.backups.take(wanted, tell).await.map_err(told)?;
        tracing::info!(backup = head.id, place = to, bytes = head.bytes, new_bytes = head.new_bytes, "the fleet is backed up");
        let places = Arc::clone(&self.places);
        let pruned = tokio::task::spawn_blocking(move || {
            let place = places(&to, Arc::new(|| false)).map_err(|text| Error::InvalidParameter(report(text)))?;
            Ok(asked::said(&head, &place.name()) + &asked::pruned(&*place, keep)?)
        });
        pruned.await.unwrap_or_else(|fault| Err(Error::Internal(report(format!("the backup's thread ended: {fault}")))))
    }

    fn begin(&self, to: &str) -> Result<Ends, Error> {
        let mut running = self.running.lock();
        if let Some(other) = &*running {
            let message = format!("a backup to {} runs already; wait for it, or cancel it", other.place);
            return Err(Error::CantChange(report(message)));
        }
        *running = Some(Running { place: to.to_owned(), since_us: self.world.clock.wall_us(), progress: Progress::default() });
        Ok(Ends(Arc::clone(&self.running)))
    }
}
