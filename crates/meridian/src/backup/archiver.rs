//! A lone node's archive: a thread that ships what was committed to the repository `archive_to`, every `archive_every`.
//!
//! States: archiving, failing (tried again ever more seldom, at least once a minute), stopping (once more, where it was not failing).
//! Each change of state is logged once. A failure never stops writes: log that waits is kept, up to `archive_hold_max`; beyond that
//! it is let go, which is a gap that only the next backup closes.
//! Promises: what is archived was closed as a moment; at the end of a graceful stop all that was acknowledged is archived, or the
//! log says that it is not.

use super::operator;
use super::place;
use super::standing::{ArchiveFigures, ArchiveRow, archive_rows};
use crate::Error;
use crate::config::units::round_size;
use ::backup::{Archive, Over, Place, Shipped, Shipper};
use arrow::array::RecordBatch;
use catalog::Catalog;
use kernel::Kernel;
use parking_lot::{Condvar, Mutex};
use query::Figure;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use world::World;

/// How often what waits is counted.
const LOOK: Duration = Duration::from_secs(1);
/// After how long a failure is tried again: the first time, and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// What the settings say.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The repository.
    pub to: String,
    /// How often.
    pub every: Duration,
    /// Bytes of log that are kept for it.
    pub hold_max: u64,
    /// How long a stop waits for the last parcel.
    pub stop_max: Duration,
}

/// The store that is archived, with holds on its two logs.
pub struct Subject {
    /// Its samples.
    pub kernel: Arc<Kernel>,
    /// Its tags.
    pub catalog: Arc<Catalog>,
    /// Where it lives.
    pub world: World,
    /// Its directory.
    pub dir: PathBuf,
    /// Holds on the samples' log and the tag table's.
    pub holds: (log::Hold, log::Hold),
}

/// How archiving stands.
#[derive(Clone, Debug, Default)]
struct Standing {
    line: String,
    /// All up to here is archived.
    moment: Option<u64>,
    waiting: u64,
    parcels: u64,
    bytes: u64,
    failures: u64,
    gaps: u64,
    fault: Option<String>,
    stopping: bool,
}

/// What the thread and those who ask share.
pub struct Shared {
    place: String,
    world: World,
    standing: Mutex<Standing>,
    wake: Condvar,
    /// By the monotonic clock: when work with the repository is to be given up. The largest number where it isn't.
    give_up_us: AtomicU64,
}

/// The thread.
pub struct Archiver {
    shared: Arc<Shared>,
    stop_max: Duration,
    thread: JoinHandle<()>,
}

struct Work {
    shared: Arc<Shared>,
    plan: Plan,
    kernel: Arc<Kernel>,
    catalog: Arc<Catalog>,
    world: World,
    dir: PathBuf,
    place: Box<dyn Place>,
    shipper: Shipper,
}

impl Archiver {
    /// Begins to archive.
    ///
    /// # Errors
    /// `Error::Usage` where the repository can't be one; `Error::Open` where the store's own note can't be read or written.
    pub fn start(plan: Plan, subject: Subject) -> Result<Archiver, Error> {
        let Subject { kernel, catalog, world, dir, holds: (log, tags) } = subject;
        let shared = Arc::new(Shared {
            place: plan.to.clone(),
            world: world.clone(),
            standing: Mutex::default(),
            wake: Condvar::new(),
            give_up_us: AtomicU64::new(u64::MAX),
        });
        let stop = {
            let shared = Arc::downgrade(&shared);
            move || shared.upgrade().is_none_or(|shared| shared.gives_up())
        };
        let place = place::open(&plan.to, &world.disk, Arc::clone(&world.clock), Arc::new(stop))?;
        let (store, release) = (kernel.store(), env!("CARGO_PKG_VERSION").to_owned());
        let home = (Arc::clone(&world.disk), dir.clone());
        let archive = Archive { home, store, release, random: Arc::clone(&world.random), log, tags };
        let failed = |fault: ::backup::Error| Error::Open { dir: dir.clone(), problem: fault.to_string(), advice: "" };
        let shipper = Shipper::new(archive).map_err(failed)?;
        let stop_max = plan.stop_max;
        let work = Work { shared: Arc::clone(&shared), plan, kernel, catalog, world, dir, place, shipper };
        work.look();
        let thread = std::thread::Builder::new().name("archive".to_owned()).spawn(move || work.run());
        Ok(Archiver { shared, stop_max, thread: thread.map_err(Error::system("starting a thread"))? })
    }

    /// Whom operators ask.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Archives what is left, and ends.
    pub fn stop(self) {
        let limit = u64::try_from(self.stop_max.as_micros()).unwrap_or(u64::MAX);
        let until = self.shared.world.clock.monotonic_us().saturating_add(limit);
        self.shared.give_up_us.store(until, Ordering::Relaxed);
        self.shared.standing.lock().stopping = true;
        self.shared.wake.notify_all();
        // A thread that panicked has said so in the log.
        let _ = self.thread.join();
    }
}

impl Work {
    fn run(mut self) {
        let mut again = AGAIN;
        let mut due_us = 0;
        loop {
            let stopping = self.shared.wait(LOOK, due_us == 0);
            self.look();
            let failing = self.shared.standing.lock().fault.is_some();
            if self.world.clock.monotonic_us() >= due_us || (stopping && !failing) {
                let pause = match self.ship() {
                    Ok(()) => {
                        again = AGAIN;
                        self.plan.every
                    }
                    Err(fault) => {
                        self.failed(&fault);
                        let pause = again;
                        again = (again * 2).min(AGAIN_MAX);
                        pause
                    }
                };
                let pause = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
                due_us = self.world.clock.monotonic_us().saturating_add(pause).max(1);
                self.look();
            }
            self.bound();
            if stopping {
                let standing = self.shared.standing.lock();
                if standing.fault.is_some() && standing.waiting > 0 {
                    tracing::warn!(
                        waiting = round_size(standing.waiting),
                        "stopped before all was archived; it is once the node runs again"
                    );
                }
                return;
            }
        }
    }

    /// Counts what waits.
    fn look(&self) {
        let mut standing = self.shared.standing.lock();
        self.shipper.line().clone_into(&mut standing.line);
        (standing.moment, standing.waiting) = (self.shipper.moment(), self.shipper.waiting());
    }

    fn ship(&mut self) -> Result<(), String> {
        let over = self.over()?;
        let report = |_| if self.shared.gives_up() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let shipped = self.shipper.ship(&*self.place, &over, &report).map_err(|fault| fault.to_string())?;
        let mut standing = self.shared.standing.lock();
        match shipped {
            Shipped::Begun => tracing::info!(
                place = self.shared.place,
                line = self.shipper.line(),
                "archiving begins here: take a backup to the same place, with which restoring to a moment begins"
            ),
            Shipped::Parcel(bytes) => (standing.parcels, standing.bytes) = (standing.parcels + 1, standing.bytes + bytes),
            Shipped::Nothing => {}
        }
        if standing.fault.take().is_some() {
            tracing::info!(place = self.shared.place, "archiving goes on");
        }
        Ok(())
    }

    /// Closes the present moment: the samples first, so that every sample has its tag.
    fn over(&self) -> Result<Over, String> {
        let closing = || "the store is being closed".to_owned();
        let closed = self.kernel.close_moment().wait().map_err(|_| closing())?.map_err(|fault| fault.to_string())?;
        let tags = self.catalog.close_moment(closed.moment.0).wait().map_err(|_| closing())?;
        let tags_to = tags.map_err(|fault| fault.to_string())?;
        let beside = operator::users(&*self.world.disk, &self.dir)?;
        Ok(Over { moment: closed.moment.0, log_to: closed.log_to, tags_to, beside })
    }

    fn failed(&self, fault: &str) {
        let mut standing = self.shared.standing.lock();
        standing.failures += 1;
        if standing.fault.replace(fault.to_owned()).is_none() {
            tracing::error!(
                place = self.shared.place,
                fault,
                "archiving fails; log is kept meanwhile, up to archive_hold_max, and it is tried again"
            );
        }
    }

    /// Lets go of what has waited for too long.
    fn bound(&mut self) {
        let waiting = self.shipper.waiting();
        if waiting <= self.plan.hold_max {
            return;
        }
        let noted = self.shipper.let_go();
        tracing::error!(
            place = self.shared.place,
            let_go = round_size(waiting),
            archive_hold_max = round_size(self.plan.hold_max),
            "log was let go that is not archived: there is a gap, and no moment from the last archived one to the next backup can be \
             restored; take a backup as soon as the repository is reached"
        );
        if let Err(fault) = noted {
            tracing::error!(%fault, "the gap could not be noted in the store");
        }
        self.shared.standing.lock().gaps += 1;
        self.look();
    }
}

impl Shared {
    fn gives_up(&self) -> bool {
        self.world.clock.monotonic_us() >= self.give_up_us.load(Ordering::Relaxed)
    }

    /// Waits, not at all where `at_once`; whether the end was asked for.
    fn wait(&self, limit: Duration, at_once: bool) -> bool {
        let mut standing = self.standing.lock();
        if !standing.stopping && !at_once {
            self.wake.wait_for(&mut standing, limit);
        }
        standing.stopping
    }

    /// The row of `meridian.archive`.
    ///
    /// # Errors
    /// `query::Error` where the columns don't fit, which they do.
    pub fn row(&self) -> Result<RecordBatch, query::Error> {
        let standing = self.standing.lock().clone();
        let state = if standing.fault.is_some() { "failing" } else { "archiving" };
        let told = ArchiveRow {
            place: self.place.clone(),
            line: standing.line,
            state,
            archived_until: standing.moment,
            waiting_bytes: Some(standing.waiting),
            parcels: standing.parcels,
            failures: standing.failures,
            gaps: standing.gaps,
            fault: standing.fault,
        };
        archive_rows(Some(told))
    }

    /// What it counts.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let standing = self.standing.lock().clone();
        let now = u64::try_from(self.world.clock.wall_us()).unwrap_or(0);
        let lag = standing.moment.filter(|_| standing.waiting > 0).map_or(0, |moment| now.saturating_sub(moment));
        let shared = ArchiveFigures {
            lag: Duration::from_micros(lag),
            fails: standing.fault.is_some(),
            failures: standing.failures,
            parcels: standing.parcels,
        };
        let figure = |name, kind, help, value| Figure { name, kind, help, value };
        let own = [
            figure("meridian_archive_lag_bytes", "gauge", "Bytes of log that are not archived yet.", standing.waiting as f64),
            figure("meridian_archive_gaps_total", "counter", "Times that log was let go unarchived.", standing.gaps as f64),
            figure("meridian_archive_bytes_total", "counter", "Bytes of log archived.", standing.bytes as f64),
        ];
        shared.figures().into_iter().chain(own).collect()
    }
}
