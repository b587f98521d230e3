//! Opening: the checkpoint, then the log behind it, which must be the one that the checkpoint names.
//!
//! What it promises: the table as the last durable write left it, or an error that names what is damaged.

use crate::checkpoint::Checkpoints;
use crate::core::{Commit, Core};
use crate::kind_table::KindTable;
use crate::led::Replaying;
use crate::record::{self, Joiner, apply};
use crate::table::Table;
use crate::{Error, Settings};
use log::{Durability, Hold, Known, Log, LogCheck, Options, Position, Replay};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use world::{Disk, World};

/// A log that was never cut begins below this: behind the header of its first segment.
const LOG_START_MAX: u64 = 4096;

/// Opens a catalog.
/// The hold is on the whole log, from the first moment on.
pub fn open(world: World, dir: &Path, settings: Settings) -> Result<(Arc<Core>, Hold), Error> {
    world.disk.make_dir(dir).map_err(|error| Error::Open(error.to_string()))?;
    let mut checkpoints = Checkpoints::open(&world.disk, dir)?;
    let (log, replay) = open_log(&world, dir, &settings, &checkpoints)?;
    let hold = log.hold();
    let mut time = 0;
    let manifest = checkpoints.manifest();
    let (contained, position) = (manifest.sequence, manifest.position);
    let mut sequence = contained;
    let kinds = KindTable::new();
    let mut table = Table::new(world.random.next_u64(), manifest.rows as usize);
    checkpoints.load(&mut table, &kinds)?;
    let mut led = manifest.led.clone().map(Replaying::new);
    let mut joiner = Joiner::default();
    for record in replay {
        let record = record.map_err(translate)?;
        let at = |what: &str| Error::Damaged(format!("{} at position {}: {what}", dir.join("log").display(), record.position));
        let Some(write) = joiner.take(record.kind, &record.head, &record.body).map_err(at)? else { continue };
        if let Some(led) = &mut led {
            led.take(write, record.position.0).map_err(at)?;
            continue;
        }
        if write.kind > record::KIND_DELETE {
            return Err(at("a fleet's batch lies in the log of a catalog that is no fleet's"));
        }
        time = time.max(write.time);
        if write.sequence <= contained {
            continue;
        }
        if write.sequence != sequence + 1 {
            return Err(at(&format!("write {} follows write {sequence}: writes are missing", write.sequence)));
        }
        apply(&write, &mut table, &kinds).map_err(at)?;
        sequence = write.sequence;
    }
    check_end(log.end(), Position(position), dir)?;
    checkpoints.clean()?;
    checkpoints.begin_with(log.id())?;
    table.begin_run();
    kinds.show(table.rows());
    let core = assemble(world, settings, log, table, kinds, checkpoints, (sequence, position));
    if let Some((led, applied)) = led.map(Replaying::finish) {
        // What lies behind a fleet's table in the log is not in the table yet.
        core.commit.lock().position = position;
        drop(core.led.set(led));
        core.apply_up_to(applied);
    }
    *core.time.lock() = time;
    core.checkpoint_if_due();
    Ok((core, hold))
}

/// Opens the log that a checkpoint names; where there is no manifest yet, whatever log there is, making it where
/// there is none.
pub fn open_log(world: &World, dir: &Path, settings: &Settings, checkpoints: &Checkpoints) -> Result<(Arc<Log>, Replay), Error> {
    let options = options(settings);
    let first = Position(checkpoints.manifest().position);
    let (log, replay) = match checkpoints.log() {
        Some(id) => Log::open_known(world, &dir.join("log"), options, Known { id, first }),
        None => Log::open(world, &dir.join("log"), options),
    }
    .map_err(translate)?;
    check_start(checkpoints, log.first().0, dir)?;
    Ok((log, replay))
}

/// Opens what is left of the log, for a repair: it may lack its beginning or its end, and where there is none, one
/// is made. Another log is refused.
pub fn open_log_left(
    world: &World,
    dir: &Path,
    settings: &Settings,
    checkpoints: &Checkpoints,
) -> Result<(Arc<Log>, Replay), Error> {
    let log_dir = dir.join("log");
    let found = log_at_rest(&*world.disk, dir, checkpoints.log())?;
    if let (Some(id), Some(_)) = (checkpoints.log(), found.id) {
        found.is_known(&log_dir, Known { id, first: Position(u64::MAX) }).map_err(translate)?;
    }
    check_start(checkpoints, found.first().unwrap_or_default().0, dir)?;
    Log::open(world, &log_dir, options(settings)).map_err(translate)
}

/// Whether a log at rest is the one that a checkpoint names, and has all that came after it.
pub fn check_log(disk: &dyn Disk, dir: &Path, checkpoints: &Checkpoints) -> Result<(), Error> {
    let log = log_at_rest(disk, dir, checkpoints.log())?;
    let Some(id) = checkpoints.log() else { return check_start(checkpoints, log.first().unwrap_or_default().0, dir) };
    let position = Position(checkpoints.manifest().position);
    log.is_known(&dir.join("log"), Known { id, first: position }).map_err(translate)?;
    check_end(log.segments.last().map_or(Position(0), |segment| segment.end), position, dir)
}

/// The log of a catalog as it lies, whose id the manifest keeps; an empty one where there is none.
fn log_at_rest(disk: &dyn Disk, dir: &Path, kept: Option<u64>) -> Result<LogCheck, Error> {
    let dir = dir.join("log");
    match disk.list(&dir) {
        Err(error) if error.is_missing() => Ok(LogCheck::default()),
        _ => log::check(disk, &dir, kept).map_err(translate),
    }
}

fn options(settings: &Settings) -> Options {
    let record_bytes_max = (settings.segment_bytes / 2).min(64 << 20);
    Options { segment_bytes: settings.segment_bytes, record_bytes_max, durability: Durability::Commit, ..Options::default() }
}

fn check_end(log_end: Position, position: Position, dir: &Path) -> Result<(), Error> {
    if log_end < position {
        return Err(Error::Damaged(format!("{}: the log ends before the checkpoint", dir.join("log").display())));
    }
    Ok(())
}

/// Without a manifest the log must still hold all: else what was cut off it would be silently gone.
fn check_start(checkpoints: &Checkpoints, log_first: u64, dir: &Path) -> Result<(), Error> {
    if checkpoints.log().is_none() && log_first > LOG_START_MAX {
        return Err(Error::Damaged(format!("{}: the log was cut, but no whole manifest says what it held", dir.display())));
    }
    Ok(())
}

/// A catalog of a table that was read: as of a write, with a checkpoint that holds the log up to a position.
pub fn assemble(
    world: World,
    settings: Settings,
    log: Arc<Log>,
    table: Table,
    kinds: KindTable,
    checkpoints: Checkpoints,
    (sequence, checkpoint_position): (u64, u64),
) -> Arc<Core> {
    let commit = Commit {
        queue: VecDeque::new(),
        busy: false,
        closed: false,
        poison: None,
        sequence,
        position: log.end().0,
        checkpoint_position: checkpoint_position.max(log.first().0),
        checkpointing: false,
        checkpoint_full: None,
    };
    let (live, version) = (AtomicU64::new(table.live()), AtomicU64::new(sequence));
    Arc::new(Core {
        world,
        settings,
        log,
        kinds,
        table: RwLock::new(table),
        commit: Mutex::new(commit),
        checkpoints: Mutex::new(checkpoints),
        time: Mutex::new(0),
        live,
        version,
        led: OnceLock::new(),
    })
}

/// What the log says of a failure, in the catalog's words.
pub fn translate(error: log::Error) -> Error {
    match error {
        log::Error::Damaged { .. } => Error::Damaged(error.to_string()),
        log::Error::Lost { .. } | log::Error::Foreign { .. } | log::Error::Headless { .. } => {
            Error::Damaged(format!("{error}; put the catalog's own log files back, or restore the whole store from a copy"))
        }
        log::Error::Full(disk) => Error::DiskFull(format!("the log could not grow: {disk}")),
        _ => Error::Open(error.to_string()),
    }
}
