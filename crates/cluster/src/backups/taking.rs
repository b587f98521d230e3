//! A backup of the fleet, as the scheduler that was asked for it has nodes take it.
//!
//! Promises: a node that does not answer, or a slice that changes hands, begins it anew, so often; whatever comes of it, nodes are
//! told that it is over. May not know who asked.

use super::holding::Places;
use super::messages::{CLOSE, COPY, CUT, END, HOLD, LOOK, OPEN, Order, Told};
use crate::fleet::{FleetRecord, Lines};
use crate::manager::{Admin, AdminError};
use crate::tags::{self, TagTable};
use backup::{FleetSource, Head, Place, Progress, Stop};
use catalog::WholeTable;
use futures::future::join_all;
use meta::MetaId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use thiserror::Error;
use tonic::{Code, Status};
use types::{NodeId, SliceId};
use world::World;

/// How often it is begun.
const TRIES: usize = 8;
const PAUSE: Duration = Duration::from_millis(500);
/// How long nodes may flush.
const HOLD_LIMIT: Duration = Duration::from_secs(600);
/// How long a gate may take to close, and a moment to be seen.
const GATE_LIMIT: Duration = Duration::from_millis(900);
const LIMIT: Duration = Duration::from_secs(5);
/// How often nodes are asked how far they are, and how long one may be silent.
const LOOKS_EVERY: Duration = Duration::from_millis(250);
const SILENT_MAX: u32 = 40;

/// Why there is no backup.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The repository, or what lies there.
    #[error(transparent)]
    Repository(#[from] backup::Error),
    /// It can't be opened.
    #[error("{0}")]
    Place(String),
    /// The fleet can't be backed up now.
    #[error("the fleet can't be backed up now: {0}")]
    Unavailable(String),
    /// Another backup is under way.
    #[error("{0}")]
    Busy(String),
    /// A node could not copy what it has.
    #[error("node {node} could not copy its slices: {why}")]
    Node {
        /// Which.
        node: NodeId,
        /// Why.
        why: String,
    },
}

/// What is to be backed up where.
pub struct Wanted {
    /// The repository, as its name is given to nodes too.
    pub place: String,
    /// Files beside the slices and the tags.
    pub beside: Vec<(String, Vec<u8>)>,
    /// The release that asks.
    pub release: String,
    /// Set where it is to be given up.
    pub stop: Arc<AtomicBool>,
}

/// Backups of the fleet that a scheduler is of.
pub struct Backups {
    pub(super) fleet: MetaId,
    lines: Arc<Lines>,
    admin: Arc<Admin>,
    table: Arc<TagTable>,
    pub(super) places: Places,
    pub(super) world: World,
}

/// A moment of all slices.
pub(super) struct Moment {
    /// Microseconds since 1970.
    pub(super) us: i64,
    /// How long writes may have been held back for it.
    pub(super) held_back: Duration,
    /// The nodes that hold something new.
    pub(super) with_new: BTreeSet<NodeId>,
}

/// Who is told how far it is.
pub type Tell = Arc<dyn Fn(Progress) + Send + Sync>;

/// A try that failed.
pub(super) enum Failed {
    /// It may be tried anew.
    Anew(String),
    For(BackupError),
}

impl From<BackupError> for Failed {
    fn from(fault: BackupError) -> Failed {
        Failed::For(fault)
    }
}

impl From<AdminError> for Failed {
    fn from(fault: AdminError) -> Failed {
        Failed::Anew(fault.to_string())
    }
}

fn failed(node: NodeId, status: &Status) -> Failed {
    let said = format!("node {node}: {}", status.message());
    match status.code() {
        Code::ResourceExhausted => Failed::For(BackupError::Busy(status.message().to_owned())),
        _ => Failed::Anew(said),
    }
}

fn given_up() -> BackupError {
    BackupError::Repository(backup::Error::Cancelled)
}

/// Work that may wait for a disk or a network.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(|fault| BackupError::Unavailable(fault.to_string()))
}

impl Backups {
    /// Of the fleet of a meta.
    #[must_use]
    pub fn new(
        fleet: MetaId,
        (lines, admin): (Arc<Lines>, Arc<Admin>),
        table: Arc<TagTable>,
        places: Places,
        world: World,
    ) -> Backups {
        Backups { fleet, lines, admin, table, places, world }
    }

    /// Takes one.
    ///
    /// # Errors
    /// `BackupError`; the backups that were there still are.
    pub async fn take(&self, wanted: Wanted, tell: Tell) -> Result<Head, BackupError> {
        let (moment_us, random) = (self.world.clock.wall_us(), self.world.random.next_u64());
        let (places, fleet, to, stop) = (Arc::clone(&self.places), self.fleet.0, wanted.place.clone(), Arc::clone(&wanted.stop));
        let begun = blocking(move || {
            let place = open(&places, &to, &stop)?;
            Ok::<_, BackupError>(backup::begin_fleet(&*place, fleet, moment_us, random)?)
        });
        let (backup, earlier) = begun.await??;
        let mut why = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                tracing::info!(why, backup, "the backup begins anew");
                tokio::time::sleep(PAUSE).await;
            }
            let order = Order {
                turn: self.turn(),
                place: wanted.place.clone(),
                backup: backup.clone(),
                earlier: earlier.clone(),
                ..Order::default()
            };
            let mut asked = BTreeSet::new();
            let taken = self.once(&order, &wanted, &tell, &mut asked).await;
            self.over(&asked, &order).await;
            match taken {
                Ok(head) => return Ok(head),
                Err(Failed::Anew(said)) => why = said,
                Err(Failed::For(fault)) => {
                    self.forget(&wanted, &backup).await;
                    return Err(fault);
                }
            }
        }
        self.forget(&wanted, &backup).await;
        Err(BackupError::Unavailable(why))
    }

    /// Takes away what a backup that failed has left.
    async fn forget(&self, wanted: &Wanted, backup: &str) {
        let (places, to, backup) = (Arc::clone(&self.places), wanted.place.clone(), backup.to_owned());
        let never = Arc::new(AtomicBool::new(false));
        let forgotten = blocking(move || open(&places, &to, &never).map(|place| backup::forget_fleet(&*place, &backup))).await;
        if let Err(fault) = forgotten.and_then(|forgotten| forgotten) {
            tracing::warn!(%fault, "what a backup that failed has left stays until the next pruning");
        }
    }

    /// A turn's name.
    pub(super) fn turn(&self) -> Vec<u8> {
        let random = || self.world.random.next_u64().to_le_bytes();
        [random(), random()].concat()
    }

    /// Tells nodes that it is over, however.
    pub(super) async fn over(&self, asked: &BTreeSet<NodeId>, order: &Order) {
        join_all(asked.iter().map(|node| self.tell(*node, END, order.clone(), LIMIT))).await;
    }

    async fn tell(&self, node: NodeId, path: &'static str, order: Order, limit: Duration) -> Result<Told, Status> {
        self.lines.ask(node, path, order, limit).await
    }

    /// Tells all nodes at once; what each answers.
    async fn all(
        &self,
        nodes: &BTreeSet<NodeId>,
        path: &'static str,
        order: &Order,
        limit: Duration,
    ) -> Result<Vec<(NodeId, Told)>, Failed> {
        let told = join_all(nodes.iter().map(|node| async {
            let told = self.tell(*node, path, order.clone(), limit).await;
            told.map(|told| (*node, told)).map_err(|status| failed(*node, &status))
        }));
        told.await.into_iter().collect()
    }

    async fn once(&self, order: &Order, wanted: &Wanted, tell: &Tell, asked: &mut BTreeSet<NodeId>) -> Result<Head, Failed> {
        let (record, moment) = self.moment(order, &wanted.stop, asked).await?;
        tracing::info!(
            backup = order.backup,
            held_back_us = moment.held_back.as_micros() as u64,
            "all slices are held as they were at one moment"
        );
        let tags = self.tags().await?;
        self.copied(order, (&wanted.stop, tell), asked).await?;
        Ok(self.end(order, wanted, (record, moment.us), tags, asked).await?)
    }

    /// Has all slices held as they are at one moment, by those that lead them.
    pub(super) async fn moment(
        &self,
        order: &Order,
        stop: &AtomicBool,
        asked: &mut BTreeSet<NodeId>,
    ) -> Result<(FleetRecord, Moment), Failed> {
        let record = self.admin.fleet().await?.ok_or_else(|| Failed::Anew("the fleet has no rule yet".to_owned()))?;
        let mut leads = BTreeMap::<NodeId, Vec<u32>>::new();
        let map = self.admin.slice_map().await?;
        if (map.len() as u64) < u64::from(record.rule.buckets) {
            return Err(Failed::Anew("not all slices are placed yet".to_owned()));
        }
        map.iter().for_each(|(SliceId(slice), entry)| leads.entry(entry.primary.node).or_default().push(*slice));
        asked.extend(leads.keys().copied());
        let held = join_all(leads.into_iter().map(|(node, slices)| async move {
            let ends = order.ends.iter().filter(|end| slices.contains(&end.slice)).copied().collect();
            let order = Order { slices, ends, ..order.clone() };
            self.tell(node, HOLD, order, HOLD_LIMIT).await.map_err(|status| failed(node, &status))
        }));
        held.await.into_iter().try_for_each(|held| held.map(drop))?;
        if stop.load(Ordering::Relaxed) {
            return Err(given_up().into());
        }
        let closes_us = self.world.clock.monotonic_us();
        self.all(asked, CLOSE, order, GATE_LIMIT).await?;
        let us = self.world.clock.wall_us();
        let cut = self.all(asked, CUT, order, GATE_LIMIT).await?;
        self.all(asked, OPEN, order, LIMIT).await?;
        let held_back = Duration::from_micros(self.world.clock.monotonic_us().saturating_sub(closes_us));
        let with_new = cut.into_iter().filter(|(_, told)| told.is_new).map(|(node, _)| node).collect();
        Ok((record, Moment { us, held_back, with_new }))
    }

    /// The tag table, with all that was answered until now.
    pub(super) async fn tags(&self) -> Result<WholeTable, Failed> {
        self.table.readable().await.map_err(|fault: tags::Error| Failed::Anew(fault.to_string()))?;
        let catalog = Arc::clone(self.table.catalog());
        blocking(move || catalog.whole()).await?.map_err(|fault| Failed::Anew(fault.to_string()))
    }

    /// Has nodes copy, until all have.
    pub(super) async fn copied(
        &self,
        order: &Order,
        (stop, tell): (&AtomicBool, &Tell),
        nodes: &BTreeSet<NodeId>,
    ) -> Result<(), Failed> {
        self.all(nodes, COPY, order, LIMIT).await?;
        let mut far: BTreeMap<NodeId, (Told, u32)> = nodes.iter().map(|node| (*node, (Told::default(), 0))).collect();
        loop {
            tokio::time::sleep(LOOKS_EVERY).await;
            if stop.load(Ordering::Relaxed) {
                return Err(given_up().into());
            }
            let open: Vec<NodeId> = far.iter().filter(|(_, (told, _))| !told.over).map(|(node, _)| *node).collect();
            if open.is_empty() {
                return Ok(());
            }
            let looked = join_all(open.iter().map(|node| self.tell(*node, LOOK, order.clone(), LIMIT))).await;
            for (node, looked) in open.into_iter().zip(looked) {
                let (told, silent) = far.entry(node).or_default();
                match looked {
                    Ok(Told { failed: Some(why), .. }) => return Err(BackupError::Node { node, why }.into()),
                    Ok(now) => (*told, *silent) = (now, 0),
                    Err(status) if status.code() == Code::FailedPrecondition || *silent >= SILENT_MAX => {
                        return Err(failed(node, &status));
                    }
                    Err(_) => *silent += 1,
                }
            }
            let sum = |of: fn(&Told) -> u64| far.values().map(|(told, _)| of(told)).sum();
            tell(Progress { done: sum(|told| told.done), of: sum(|told| told.of) });
        }
    }

    async fn end(
        &self,
        order: &Order,
        wanted: &Wanted,
        (record, moment_us): (FleetRecord, i64),
        tags: WholeTable,
        nodes: &BTreeSet<NodeId>,
    ) -> Result<Head, BackupError> {
        let source = FleetSource {
            id: order.backup.clone(),
            fleet: self.fleet.0,
            rule: record.rule,
            period_us: record.period_us,
            tags,
            beside: wanted.beside.clone(),
            nodes: nodes.iter().map(|node| node.0).collect(),
            moment_us,
            release: wanted.release.clone(),
        };
        let (places, to, stop) = (Arc::clone(&self.places), wanted.place.clone(), Arc::clone(&wanted.stop));
        let ended = blocking(move || {
            let place = open(&places, &to, &stop)?;
            let go = |_| if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            Ok::<_, BackupError>(backup::take_fleet(&*place, source, &go)?)
        });
        ended.await?
    }
}

/// The repository, which is given up once that is set.
pub(super) fn open(places: &Places, to: &str, stop: &Arc<AtomicBool>) -> Result<Box<dyn Place>, BackupError> {
    let stop = Arc::clone(stop);
    let stop: Stop = Arc::new(move || stop.load(Ordering::Relaxed));
    places(to, stop).map_err(BackupError::Place)
}
