//! A fleet's backups by SQL: `meridian_backup(place [, keep])` at any scheduler, which has every node copy the slices that it leads.
//!
//! Promises: one backup at a time of each scheduler's; a statement that is cancelled ends it. May not know how a moment is agreed on.

use super::archiver::{self, Archiver, Plan};
use crate::backup::asked::{self, Asked, Running, Turn, Waiting, report};
use crate::backup::place;
use ::meta::Meta;
use arrow::array::RecordBatch;
use cluster::backups::{BackupError, BackupService, Backups, Places, Wanted};
use cluster::data::DataNode;
use cluster::fleet::{Lines, all_logins};
use cluster::manager::Admin;
use cluster::tags::TagTable;
use query::{Error, Figure, ScalarValue};
use server::Users;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use types::NodeId;
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

/// Whom a scheduler's operators ask.
pub struct FleetBackups {
    backups: Arc<Backups>,
    meta: Arc<dyn Meta>,
    places: Places,
    world: World,
    turn: Turn,
    archive: OnceLock<Arc<archiver::Shared>>,
}

/// What lies beside the slices: the roles, where there are any.
pub(super) async fn beside(meta: &Arc<dyn Meta>) -> Result<Vec<(String, Vec<u8>)>, String> {
    let roles = all_logins(meta).await.map_err(|fault| format!("the fleet's roles: {fault}"))?;
    Ok(if roles.is_empty() { Vec::new() } else { vec![Users::file_of(&roles)] })
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

impl FleetBackups {
    /// Of the fleet of a meta.
    #[must_use]
    pub fn new(meta: Arc<dyn Meta>, of: (Arc<Lines>, Arc<Admin>), table: Arc<TagTable>, world: &World) -> Arc<FleetBackups> {
        let backups = Arc::new(Backups::new(meta.witness().id, of, table, places(world), world.clone()));
        let (turn, archive) = (Turn::default(), OnceLock::new());
        Arc::new(FleetBackups { backups, meta, places: places(world), world: world.clone(), turn, archive })
    }

    /// Begins to archive the fleet, where it is this scheduler's turn.
    #[must_use]
    pub fn archive(&self, plan: Plan, me: NodeId, runtime: &Handle) -> Archiver {
        let (backups, meta) = (Arc::clone(&self.backups), Arc::clone(&self.meta));
        let archiver = Archiver::start(plan, me, backups, meta, &self.world, runtime);
        // It is begun once.
        let _ = self.archive.set(archiver.shared());
        archiver
    }

    /// How archiving stands, of whichever scheduler does it.
    ///
    /// # Errors
    /// `Error::Unavailable`.
    pub async fn archive_rows(&self) -> Result<RecordBatch, Error> {
        archiver::rows(&self.meta).await
    }

    /// What is counted here.
    pub fn figures(&self) -> Vec<Figure> {
        self.archive.get().map(|archive| archive.figures()).unwrap_or_default()
    }

    /// The one that runs here.
    pub fn running(&self) -> Option<Running> {
        self.turn.running()
    }

    /// Takes one.
    ///
    /// # Errors
    /// `Error::InvalidParameter`, `Error::CantChange`, `Error::Unavailable`, `Error::Io`, `Error::DiskFull`, `Error::Cancelled`.
    pub async fn take(&self, arguments: &[ScalarValue]) -> Result<String, Error> {
        let Asked { to, keep } = Asked::of(arguments)?;
        let stop = Arc::new(AtomicBool::new(false));
        let _waiting = Waiting(Arc::clone(&stop));
        let ends = self.turn.begin(to.clone(), self.world.clock.wall_us())?;
        let beside = beside(&self.meta).await.map_err(|fault| Error::Unavailable(report(fault)))?;
        let release = env!("CARGO_PKG_VERSION").to_owned();
        let turn = self.turn.clone();
        let tell = Arc::new(move |progress| turn.tell(progress));
        let wanted = Wanted { place: to.clone(), beside, release, stop: Arc::clone(&stop) };
        let backups = Arc::clone(&self.backups);
        // A task of its own: where the statement is gone, nodes are told, and what was written is taken away.
        let taking = tokio::spawn(async move {
            let _ends = ends;
            backups.take(wanted, tell).await
        });
        let gone = |fault| Error::Internal(report(format!("the backup's task ended: {fault}")));
        let head = taking.await.map_err(gone)?.map_err(told)?;
        tracing::info!(backup = head.id, place = to, bytes = head.bytes, new_bytes = head.new_bytes, "the fleet is backed up");
        let places = Arc::clone(&self.places);
        let pruned = tokio::task::spawn_blocking(move || {
            let place = places(&to, Arc::new(|| false)).map_err(|text| Error::InvalidParameter(report(text)))?;
            Ok(asked::said(&head, &place.name()) + &asked::pruned(&*place, keep)?)
        });
        pruned.await.unwrap_or_else(|fault| Err(Error::Internal(report(format!("the backup's thread ended: {fault}")))))
    }
}
