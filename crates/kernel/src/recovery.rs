//! Opening: manifests first, then the log beyond what lies in files.
//!
//! Steps: lock and read the node file -> open each slice's directory (takes its manifest, removes
//! leftovers; one that the node file lists must be there) -> open the log, which must be the one that the node file names (a torn tail is cut there) ->
//! replay: parts above their slice's flushed
//! version go into buffers and snapshot values, in log order; records of led slices are kept and not applied (`led::opening`) -> the next epoch -> recompute what
//! deletions took.
//! Why nothing acknowledged is lost: a log segment is cut only when the manifests that made it
//! unneeded are durable. Why nothing comes twice: a part at or below the flushed version is skipped.
//! Promises: damage is refused, naming file and place; nothing is written before all was read but
//! the cut tail and removed leftovers.

use crate::commit::Body;
use crate::core::{Core, Counters, Ground, Order};
use crate::jobs::Jobs;
use crate::node::Node;
use crate::origins::Origins;
use crate::record::{self, PartKind};
use crate::shares::Shares;
use crate::slice::Slice;
use crate::{Durability, Error, Settings};
use bytes::Bytes;
use log::{Log, Position, Record};
use parking_lot::{Mutex, RwLock};
use series::{Placement, Section};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::SliceDirectory;
use types::{CommitNumber, DistributionRule, Epoch, Kinds, Origin, SliceId};
use world::World;

/// Where a slice lies below the store's directory.
pub(crate) fn slice_dir(dir: &Path, slice: SliceId) -> PathBuf {
    dir.join("slices").join(format!("{:04}", slice.0))
}

impl Core {
    /// Opens or makes the store.
    ///
    /// # Errors
    /// `Error::Open`, `Error::Damaged`, `Error::Rule`.
    pub(crate) fn open(
        world: World,
        dir: &Path,
        settings: Settings,
        kinds: Arc<dyn Kinds>,
        holds: bool,
    ) -> Result<Arc<Core>, Error> {
        let mut node = Node::open(&world, dir, settings.rule, settings.period_us)?;
        let shares = Shares::new(&settings);
        let ground = open_slices(&world, &node, &shares, &kinds)?;
        // Those that earlier releases made, and those whose making was cut short.
        let there = ground.slices.iter().filter(|slice| slice.filing.lock().directory.is_some()).map(|slice| slice.id);
        node.note_slices(&*world.disk, there).map_err(|fault| Error::Open(fault.to_string()))?;
        let (log, mut replay) = open_log(&world, &node, &settings)?;
        let held = Mutex::new(holds.then(|| log.hold()));
        let mut origins = Origins::new(settings.producers_max);
        let mut commit = CommitNumber(0);
        for slice in &ground.slices {
            let state = slice.state.lock();
            commit = commit.max(state.commit);
            // A led slice's producers are its own: whoever leads it asks for them.
            let own = if slice.is_led.load(Ordering::Acquire) { None } else { Some(&state.producers) };
            for (producer, (number, used)) in own.into_iter().flatten() {
                origins.applied(Origin { producer: *producer, number: *number }, *used);
            }
        }
        let sequences = vec![0; ground.slices.len()];
        let leads = ground.slices.iter().any(|slice| slice.is_led.load(Ordering::Acquire));
        let (in_flight, waiting_idle, closed, thins) = (0, Vec::new(), false, false);
        let over = CommitNumber(0);
        let order = Order { commit, over, sequences, origins, in_flight, waiting_idle, closed, thins, leads };
        let mut core = Core {
            dir: dir.to_path_buf(),
            store: node.file.store,
            settings,
            kinds,
            node: Mutex::new(node),
            epoch: Epoch(0),
            log,
            thinning: Mutex::default(),
            order: Mutex::new(order),
            ground: RwLock::new(Arc::new(ground)),
            visibility: RwLock::new(()),
            visible: AtomicU64::new(commit.0),
            visible_led: AtomicU64::new(0),
            shares,
            applied: AtomicU64::new(0),
            flushing_bytes: AtomicU64::new(0),
            counters: Counters::default(),
            jobs: Jobs::default(),
            poison: std::sync::OnceLock::new(),
            listener: std::sync::OnceLock::new(),
            held,
            world,
        };
        let epoch = core.replay_all(&mut replay)?;
        check_log_end(&core.log, replay.reached(), &core.ground())?;
        check_tags(&core.ground(), &*core.kinds)?;
        core.begin_epoch(epoch);
        let noted = core.node.lock().note_log(&*core.world.disk, core.log.id(), core.log.first());
        noted.map_err(|fault| Error::Open(fault.to_string()))?;
        let core = Arc::new(core);
        core.begin_jobs();
        Ok(core)
    }

    /// What waits to be done from the first moment on.
    fn begin_jobs(self: &Arc<Core>) {
        for slice in &self.ground().slices {
            // What can't be read is named when it is asked for; the rest of the store serves.
            let _ = slice.recompute();
        }
        self.sort_where_wanted((0..self.ground().rule.buckets).map(SliceId));
        self.watch_quiet();
        self.watch_retention();
        self.watch_graves();
        self.relieve();
    }

    /// Takes in what the log holds. Gives the highest epoch of slices that are numbered here.
    fn replay_all(&self, replay: &mut log::Replay) -> Result<Epoch, Error> {
        let mut epoch = Epoch(0);
        for record in replay {
            let record = record.map_err(log_error)?;
            match record.kind {
                record::RECORD_LED | record::RECORD_LED_NOTE => self.replay_led(&record)?,
                _ => self.replay(&record, &mut epoch)?,
            }
            self.applied.fetch_max(record.position.0, Ordering::AcqRel);
        }
        self.settle_led()?;
        Ok(epoch)
    }

    /// Applies a record of the log to the slices whose files lack it.
    fn replay(&self, record: &Record, epoch: &mut Epoch) -> Result<(), Error> {
        let damaged = |what: String| Error::Damaged(format!("log record at position {}: {what}", record.position));
        if record.kind != record::RECORD_COMMIT {
            return Err(damaged(format!("it is of kind {}, which this release does not know", record.kind)));
        }
        let (mut head, bodies) = record::decode(&record.head, &record.body).map_err(damaged)?;
        *epoch = (*epoch).max(head.epoch);
        let ground = self.ground();
        let mut parts = Vec::with_capacity(head.parts.len());
        let mut kept = Vec::with_capacity(head.parts.len());
        for (part, bytes) in head.parts.drain(..).zip(bodies) {
            let Some(slice) = ground.slices.get(part.slice.0 as usize) else {
                return Err(damaged(format!("it names slice {}, and there are {}", part.slice, ground.slices.len())));
            };
            if slice.is_led.load(Ordering::Acquire) {
                return Err(damaged(format!("it numbers a write of slice {}, which is led from outside", part.slice)));
            }
            if part.sequence <= slice.state.lock().version.sequence {
                continue;
            }
            let body = match part.kind {
                PartKind::Samples | PartKind::Held => {
                    let section = Section::parse(Bytes::copy_from_slice(&bytes)).map_err(|fault| damaged(fault.to_string()))?;
                    let periods = section.periods(ground.period_us);
                    match part.kind {
                        PartKind::Held if section.is_text() => return Err(damaged("it holds texts back".to_owned())),
                        PartKind::Held => Body::Held { section, periods },
                        _ => Body::Samples { section, periods },
                    }
                }
                PartKind::Deletion => {
                    let deletion = Arc::new(record::decode_deletion(&bytes).map_err(damaged)?);
                    Body::Deletion { deletion, bytes }
                }
            };
            parts.push(part);
            kept.push(body);
        }
        head.parts = parts;
        {
            let mut order = self.order.lock();
            order.commit = order.commit.max(head.commit);
            if let Some(origin) = head.origin {
                order.origins.applied(origin, head.commit);
            }
        }
        let room: u64 = kept.iter().map(Body::memory_bytes).sum();
        // What was in memory before the crash fits again; where the settings were made smaller, flushes
        // begin as soon as the store is open.
        let grant = self.shares.buffers.try_take(room);
        self.apply(&head, kept, record.position, grant);
        Ok(())
    }

    /// The epoch of this run: above all that any file or record names.
    fn begin_epoch(&mut self, logged: Epoch) {
        let ground = self.ground();
        let mut order = self.order.lock();
        let mut highest = logged;
        for slice in &ground.slices {
            let state = slice.state.lock();
            order.sequences[slice.id.0 as usize] = state.version.sequence.0;
            highest = highest.max(state.epoch()).max(state.version.epoch);
        }
        drop(order);
        self.epoch = Epoch(highest.0 + 1);
        self.visible.fetch_max(self.order.lock().commit.0, Ordering::AcqRel);
    }
}

/// Opens the store's log. Only where none was ever noted it is made, or taken as it is.
fn open_log(world: &World, node: &Node, settings: &Settings) -> Result<(Arc<Log>, log::Replay), Error> {
    let (dir, options) = (node.dir.join("log"), log_options(settings));
    match node.file.log {
        None => Log::open(world, &dir, options),
        Some(known) => Log::open_known(world, &dir, options, known),
    }
    .map_err(log_error)
}

/// A log that lacks the last record that a slice's files hold was cut short or exchanged for an older copy of
/// itself: acknowledged writes of other slices would be missing, and new records would be taken for old ones.
/// `reached` is where its last record ends: a mark of the log's own at that place is none.
fn check_log_end(log: &Log, reached: Position, ground: &Ground) -> Result<(), Error> {
    for slice in &ground.slices {
        let Some(directory) = slice.filing.lock().directory.clone() else { continue };
        // Where that record begins; 0 where the files hold none.
        let seen = Position(directory.manifest().log_position);
        // One below the log's beginning was cut off with its segment.
        if seen >= log.first() && seen >= reached {
            return Err(Error::Damaged(format!(
                "the log ends before position {seen}, but slice {} has the record there in its files: \
                 the log in {} was cut short; {PUT_BACK}",
                slice.id,
                log.dir().display()
            )));
        }
    }
    Ok(())
}

/// Samples of tags that the tag table never had: it was lost, and a new one would give their ordinals to other tags.
fn check_tags(ground: &Ground, kinds: &dyn Kinds) -> Result<(), Error> {
    for slice in &ground.slices {
        if let Some(tag) = slice.view().last_tag().filter(|tag| kinds.kind(*tag).is_none()) {
            return Err(Error::Damaged(format!(
                "slice {} holds samples of the tag with ordinal {tag}, which the tag table does not know: \
                 the tag table was lost or is another store's; restore the whole store from a copy",
                slice.id
            )));
        }
    }
    Ok(())
}

/// What to do about a log that is not the one that it should be.
const PUT_BACK: &str = "put the store's own log files back, or restore the whole store from a copy";

fn log_options(settings: &Settings) -> log::Options {
    let durability = match settings.durability {
        Durability::Commit => log::Durability::Commit,
        Durability::Interval(every) => log::Durability::Interval(every),
    };
    let segment_bytes = settings.segment_bytes.max(SEGMENT_BYTES_MIN);
    log::Options { segment_bytes, record_bytes_max: record_bytes_max(settings), durability, ..log::Options::default() }
}

const SEGMENT_BYTES_MIN: u64 = 16 << 10;

/// The largest record: it must fit into a segment, with room for headers.
pub(crate) fn record_bytes_max(settings: &Settings) -> u64 {
    (settings.segment_bytes.max(SEGMENT_BYTES_MIN) - (4 << 10)).min(1 << 30)
}

pub(crate) fn log_error(fault: log::Error) -> Error {
    match fault {
        log::Error::Damaged { .. } => Error::Damaged(fault.to_string()),
        log::Error::Lost { .. } | log::Error::Foreign { .. } | log::Error::Headless { .. } => {
            Error::Damaged(format!("{fault}; {PUT_BACK}"))
        }
        other => Error::Open(other.to_string()),
    }
}

/// Opens the slices of a rule that have directories; the others are made by their first flush. One that is noted must be
/// there, and in it a manifest.
fn open_slices(world: &World, node: &Node, shares: &Shares, kinds: &Arc<dyn Kinds>) -> Result<Ground, Error> {
    let (rule, period_us) = (node.file.rule, node.file.period_us);
    let placement = Placement::new(&rule);
    let dir = node.dir.join("slices");
    world.disk.make_dir(&dir).map_err(|fault| Error::Open(fault.to_string()))?;
    let names = world.disk.list(&dir).map_err(|fault| Error::Open(fault.to_string()))?;
    let there = |slice: SliceId| names.iter().any(|entry| entry.name == format!("{:04}", slice.0));
    let noted = node.roster.slices();
    let slices = (0..rule.buckets).map(SliceId).map(|id| {
        let slice = Slice::new(id, placement, period_us, Arc::clone(kinds));
        let place = slice_dir(&node.dir, id);
        if there(id) {
            let open = if noted.contains(&id) { SliceDirectory::open } else { SliceDirectory::open_or_create };
            let directory = open(&world.disk, &place, node.file.store, id).map_err(Error::opening)?;
            slice.load(world, directory, node.file.store, shares)?;
        } else if noted.contains(&id) {
            return Err(Error::Damaged(format!(
                "slice {id} is missing: {} is not there, though samples were written to it; \
                 put the directory back, or restore the whole store from a copy",
                place.display()
            )));
        }
        Ok(Arc::new(slice))
    });
    let slices = slices.collect::<Result<Vec<_>, Error>>()?;
    Ok(Ground { rule, period_us, placement, slices, underway: Arc::default() })
}

impl Ground {
    /// The ground of another rule, before anything was written: slices that both rules have go on, with all who hold them.
    pub(crate) fn relaid(&self, rule: DistributionRule, kinds: &Arc<dyn Kinds>) -> Ground {
        let (placement, period_us) = (Placement::new(&rule), self.period_us);
        let slice = |id: SliceId| match self.slices.get(id.0 as usize) {
            Some(kept) => {
                kept.latest.lay_out(placement);
                Arc::clone(kept)
            }
            None => Arc::new(Slice::new(id, placement, period_us, Arc::clone(kinds))),
        };
        let slices = (0..rule.buckets).map(SliceId).map(slice).collect();
        Ground { rule, period_us, placement, slices, underway: Arc::default() }
    }
}
