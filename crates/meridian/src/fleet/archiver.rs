//! A fleet's archive: a task of each scheduler that has `archive_to`, of which one at a time has the turn. Every `archive_every` it
//! makes a mark of what was written since the last one, into the repository of the fleet's backups.
//!
//! States: waiting for its turn, waiting for a first backup, archiving, failing (tried again ever more seldom, at least once a minute),
//! stopping (one mark more, where it has the turn and was not failing). Each change is logged once.
//! Promises: a failure never stops writes. What is told at any door is what whoever has the turn said last.

use super::backups::beside;
use crate::Error;
use crate::backup::place;
use crate::backup::{ArchiveFigures, ArchiveRow, archive_rows};
use crate::config::Config;
use ::meta::Meta;
use arrow::array::RecordBatch;
use cluster::backups::{ArchiveRecord, ArchiveTurn, BackupError, Backups, Marked, Marking, Wanted};
use cluster::fleet::Roles;
use parking_lot::Mutex;
use query::Figure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::NodeId;
use world::{RealClock, RealDisk, World};

/// How often it is seen whose turn it is.
const LOOK: Duration = Duration::from_millis(500);
/// After how long a failure is tried again: the first time, and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// How often a first backup is looked for.
const BACKUP_LOOKS: Duration = Duration::from_secs(5);
/// How long slices may change hands before it counts as a failure.
const CHANGES_MAX: Duration = Duration::from_secs(30);

/// What the settings say.
#[derive(Clone, Debug)]
pub struct Plan {
    to: String,
    every: Duration,
    stop_max: Duration,
}

impl Plan {
    /// Of a process with these roles; none where nothing is to be archived.
    ///
    /// # Errors
    /// `Error::Usage`.
    pub fn of(config: &Config, roles: Roles) -> Result<Option<Plan>, Error> {
        let Some(to) = place::archive(config)? else { return Ok(None) };
        if !roles.scheduler {
            let text = "setting archive_to: schedulers archive a fleet; set it for those, and leave it out elsewhere";
            return Err(Error::Usage(text.to_owned()));
        }
        // What can't be one is refused before anything begins.
        place::open(&to, &(Arc::new(RealDisk) as _), Arc::new(RealClock::start()), Arc::new(|| false))?;
        Ok(Some(Plan { to, every: config.archive_every, stop_max: config.stop_max }))
    }
}

/// How it stands here.
#[derive(Clone, Debug, Default)]
struct Standing {
    has_turn: bool,
    moment: Option<u64>,
    marks: u64,
    failures: u64,
    held_back: Duration,
    /// What was written before is archived, microseconds since 1970.
    well_us: Option<i64>,
    fault: Option<String>,
}

/// What the task and those who ask share.
pub struct Shared {
    meta: Arc<dyn Meta>,
    world: World,
    standing: Mutex<Standing>,
}

/// The task.
pub struct Archiver {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    give_up: Arc<AtomicBool>,
    stop_max: Duration,
    task: JoinHandle<()>,
}

struct Work {
    shared: Arc<Shared>,
    plan: Plan,
    backups: Arc<Backups>,
    me: NodeId,
    turn: ArchiveTurn,
    give_up: Arc<AtomicBool>,
    marking: Marking,
    /// When it is to be done, by the monotonic clock; at once where it is none.
    due_us: Option<u64>,
    again: Duration,
    /// Since when slices change hands.
    changing_us: Option<u64>,
    waits_for_backup: bool,
}

impl Archiver {
    /// Begins to look for its turn.
    #[must_use]
    pub fn start(
        plan: Plan,
        me: NodeId,
        backups: Arc<Backups>,
        meta: Arc<dyn Meta>,
        world: &World,
        runtime: &Handle,
    ) -> Archiver {
        let shared = Arc::new(Shared { meta: Arc::clone(&meta), world: world.clone(), standing: Mutex::default() });
        let (stop, stopping) = watch::channel(false);
        let (give_up, stop_max) = (Arc::new(AtomicBool::new(false)), plan.stop_max);
        let work = Work {
            shared: Arc::clone(&shared),
            plan,
            backups,
            me,
            turn: ArchiveTurn::start(meta, Arc::clone(&world.clock), me, runtime),
            give_up: Arc::clone(&give_up),
            marking: Marking::default(),
            due_us: None,
            again: AGAIN,
            changing_us: None,
            waits_for_backup: false,
        };
        let task = runtime.spawn(work.run(stopping));
        Archiver { shared, stop, give_up, stop_max, task }
    }

    /// Whom operators ask.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Archives what is left, where it is this one's turn, and ends.
    pub async fn stop(mut self) {
        // A task that ended has said why.
        let _ = self.stop.send(true);
        if tokio::time::timeout(self.stop_max, &mut self.task).await.is_err() {
            self.give_up.store(true, Ordering::Relaxed);
            let _ = tokio::time::timeout(AGAIN, &mut self.task).await;
        }
    }
}

impl Work {
    fn now_us(&self) -> u64 {
        self.shared.world.clock.monotonic_us()
    }

    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            let ends = tokio::select! {
                _ = stopping.changed() => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let (has_turn, had_turn) = (self.turn.is_held(), self.shared.standing.lock().has_turn);
            if !has_turn {
                if had_turn {
                    // Whoever goes on may be another; what is remembered counts no more.
                    (self.marking, self.due_us) = (Marking::default(), None);
                    *self.shared.standing.lock() = Standing::default();
                }
            } else if self.due_us.is_none_or(|due| self.now_us() >= due) || (ends && self.shared.standing.lock().fault.is_none())
            {
                self.shared.standing.lock().has_turn = true;
                let pause = self.archive().await;
                self.due_us = Some(self.now_us().saturating_add(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX)));
            }
            if ends {
                return;
            }
        }
    }

    /// Makes a mark; how long to wait then.
    async fn archive(&mut self) -> Duration {
        let begun_us = self.shared.world.clock.wall_us();
        let marked = match self.wanted().await {
            Ok(wanted) => self
                .backups
                .mark(&wanted, &mut self.marking)
                .await
                .map_err(|fault| (matches!(fault, BackupError::Unavailable(_) | BackupError::Busy(_)), fault.to_string())),
            Err(fault) => Err((true, fault)),
        };
        let tells = match marked {
            Ok(marked) => {
                (self.again, self.changing_us) = (AGAIN, None);
                self.shared.standing.lock().well_us = (marked != Marked::NoBackup).then_some(begun_us);
                self.well(&marked)
            }
            Err((may_pass, fault)) => {
                let since = *self.changing_us.get_or_insert(self.now_us());
                if may_pass && self.now_us().saturating_sub(since) < CHANGES_MAX.as_micros() as u64 {
                    tracing::info!(fault, "archiving waits for the fleet");
                    return AGAIN;
                }
                self.failed(&fault);
                true
            }
        };
        if tells {
            self.tell().await;
        }
        let failing = self.shared.standing.lock().fault.is_some();
        if !failing {
            return if self.waits_for_backup { self.plan.every.min(BACKUP_LOOKS) } else { self.plan.every };
        }
        let pause = self.again;
        self.again = (self.again * 2).min(AGAIN_MAX);
        pause
    }

    async fn wanted(&self) -> Result<Wanted, String> {
        let beside = beside(&self.shared.meta).await?;
        let (place, stop) = (self.plan.to.clone(), Arc::clone(&self.give_up));
        Ok(Wanted { place, beside, release: env!("CARGO_PKG_VERSION").to_owned(), stop })
    }

    /// Whether there is something new to tell.
    fn well(&mut self, marked: &Marked) -> bool {
        let mut standing = self.shared.standing.lock();
        let (was_failing, place) = (standing.fault.take().is_some(), &self.plan.to);
        if was_failing {
            tracing::info!(place, "archiving goes on");
        }
        let before = standing.moment;
        let waits = *marked == Marked::NoBackup;
        if waits && !self.waits_for_backup {
            tracing::info!(place, "archiving begins with the fleet's first backup to the same place: take one");
        }
        let first = !waits && standing.moment.is_none();
        match marked {
            Marked::NoBackup => standing.moment = None,
            Marked::Nothing { moment_us } => standing.moment = Some(*moment_us),
            Marked::Mark { moment_us, held_back } => {
                (standing.moment, standing.held_back) = (Some(*moment_us), *held_back);
                standing.marks += 1;
                tracing::debug!(place, held_back_us = held_back.as_micros() as u64, "what was written is archived");
            }
        }
        if first {
            tracing::info!(place, "the fleet is archived by this scheduler");
        }
        let begins = std::mem::replace(&mut self.waits_for_backup, waits) != waits;
        was_failing || begins || standing.moment != before
    }

    fn failed(&self, fault: &str) {
        let mut standing = self.shared.standing.lock();
        standing.failures += 1;
        if standing.fault.replace(fault.to_owned()).is_none() {
            tracing::error!(place = self.plan.to, fault, "archiving fails; it is tried again");
        }
    }

    /// Tells all schedulers.
    async fn tell(&self) {
        let Standing { moment, marks, failures, fault, .. } = self.shared.standing.lock().clone();
        let record = ArchiveRecord {
            node: self.me.0,
            place: self.plan.to.clone(),
            moment_us: moment,
            marks,
            failures,
            fault,
            ..ArchiveRecord::default()
        };
        if let Err(fault) = record.write(&self.shared.meta).await {
            tracing::debug!(%fault, "how archiving stands could not be told");
        }
    }
}

/// `meridian.archive`, as whoever archives said last.
///
/// # Errors
/// `query::Error::Unavailable` where meta can't be asked.
pub async fn rows(meta: &Arc<dyn Meta>) -> Result<RecordBatch, query::Error> {
    let told =
        ArchiveRecord::read(meta).await.map_err(|fault| query::Error::unavailable(format!("how archiving stands: {fault}")))?;
    let row = told.map(|(record, is_held)| ArchiveRow {
        place: record.place,
        line: format!("{:032x}", meta.witness().id.0),
        state: match (is_held, record.fault.is_some()) {
            (false, _) => "stopped",
            (true, true) => "failing",
            (true, false) => "archiving",
        },
        archived_until: record.moment_us,
        waiting_bytes: None,
        parcels: record.marks,
        failures: record.failures,
        gaps: 0,
        fault: record.fault,
    });
    archive_rows(row)
}

impl Shared {
    /// What it counts, where it is this one's turn.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let standing = self.standing.lock().clone();
        if !standing.has_turn {
            return Vec::new();
        }
        let lag = standing.well_us.map_or(0, |well| self.world.clock.wall_us().saturating_sub(well).max(0));
        let shared = ArchiveFigures {
            lag: Duration::from_micros(lag.unsigned_abs()),
            fails: standing.fault.is_some(),
            failures: standing.failures,
            parcels: standing.marks,
        };
        let held_back = Figure {
            name: "meridian_archive_held_back_seconds",
            kind: "gauge",
            help: "How long writes may have been held back for the last mark.",
            value: standing.held_back.as_secs_f64(),
        };
        shared.figures().into_iter().chain([held_back]).collect()
    }
}
