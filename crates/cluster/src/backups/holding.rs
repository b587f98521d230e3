//! What a data node holds for a backup or a mark, and how it copies that.
//!
//! Shared state: one turn of each at a time, under a mutex that is held for a moment. Promises: what is held is let go of when the turn ends,
//! when another begins after this one fell silent, and when nobody asks for it any more; copying stops then. May not know who asks.

use super::copied::Copied;
use super::messages::{End, Order, Told};
use crate::data::DataNode;
use crate::fleet::entries::wide;
use crate::tickets::answered;
use backup::{Base, HeldSlice, MarkName, Place, Stop, is_new};
use kernel::{FrozenSlice, LedSlice};
use parking_lot::Mutex;
use protocol::{Consistency, ReplicaId};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::Status;
use types::{Epoch, NodeId, Sequence, SliceId, StoreId, Version};
use world::Disk;

/// How long a gate is closed at most.
const CLOSED_MAX: Duration = Duration::from_secs(1);
/// How long the primaries' word is waited for.
const CUT_LIMIT: Duration = Duration::from_millis(800);
/// Whoever did not ask for so long is gone.
const SILENT_MAX: Duration = Duration::from_secs(30);
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// How long copying may take to stop.
const ENDS_MAX: Duration = Duration::from_secs(4);

/// How many bytes of a slice's writes that files hold are kept for the next mark; where there are more, it is of files.
const LOG_HELD_MAX: u64 = 8 << 20;

/// How many bytes of a slice's writes a mark has; where there are more, it is of files, which take less.
const STEP_MAX: u64 = 64 << 20;

/// How a repository is opened, by its name; the second is asked whether to give up.
pub type Places = Arc<dyn Fn(&str, Stop) -> Result<Box<dyn Place>, String> + Send + Sync>;

/// A data node as whoever backs it up sees it.
pub(super) struct Keeper {
    node: Arc<DataNode>,
    places: Places,
    disk: Arc<dyn Disk>,
    home: PathBuf,
    /// A backup's, and a mark's.
    turns: Mutex<[Option<Turn>; 2]>,
    copied: Mutex<Copied>,
}

/// What is held for one backup or mark.
struct Turn {
    id: u128,
    backup: String,
    slices: Vec<LedSlice>,
    /// Those of which only the writes behind these are held.
    after: BTreeMap<SliceId, Version>,
    held: Vec<HeldSlice>,
    copying: Option<Arc<Copying>>,
    asked: Instant,
}

/// How far copying is.
#[derive(Default)]
struct Copying {
    done: AtomicU64,
    of: AtomicU64,
    stop: AtomicBool,
    ended: Mutex<Option<Result<(), String>>>,
    /// Told once it has ended.
    over: Notify,
}

/// The slice is not here, or not led, or changed too fast: it is to be asked for anew.
fn moved(what: impl Into<String>) -> Status {
    Status::failed_precondition(what.into())
}

fn peer(turn: u128) -> ReplicaId {
    ReplicaId { node: NodeId(u64::MAX), store: StoreId(turn) }
}

/// For whom writes are held between marks.
fn archive() -> ReplicaId {
    peer(u128::MAX)
}

fn id(order: &Order) -> Result<u128, Status> {
    wide(&order.turn).ok_or_else(|| Status::invalid_argument("a turn has 16 bytes"))
}

impl Turn {
    fn new(id: u128, backup: String, (slices, after): (Vec<LedSlice>, BTreeMap<SliceId, Version>)) -> Turn {
        Turn { id, backup, slices, after, held: Vec::new(), copying: None, asked: Instant::now() }
    }

    fn end(self, node: &DataNode) {
        if let Some(copying) = &self.copying {
            copying.stop.store(true, Ordering::Relaxed);
        }
        self.slices.iter().for_each(|led| led.unpin(peer(self.id)));
        node.open_gate(self.id);
    }
}

impl Keeper {
    pub(super) fn new(node: Arc<DataNode>, places: Places, (disk, home): (Arc<dyn Disk>, PathBuf)) -> Arc<Keeper> {
        Arc::new(Keeper { node, places, disk, home, turns: Mutex::default(), copied: Mutex::default() })
    }

    /// Something of the turn, which was asked for now.
    fn with<T>(&self, id: u128, work: impl FnOnce(&mut Turn) -> T) -> Result<T, Status> {
        let mut turns = self.turns.lock();
        match turns.iter_mut().flatten().find(|turn| turn.id == id) {
            Some(turn) => {
                turn.asked = Instant::now();
                Ok(work(turn))
            }
            None => Err(moved("the node holds nothing for that backup any more")),
        }
    }

    /// Holds slices that are led here: for a mark their writes since the one before, where those are at hand; else flushed, so that
    /// few writes are behind their files.
    pub(super) async fn hold(self: Arc<Self>, order: Order) -> Result<Told, Status> {
        let id = id(&order)?;
        let led = order.slices.iter().map(|slice| self.leads(SliceId(*slice))).collect::<Result<Vec<_>, Status>>()?;
        let after = if order.is_mark { self.at_hand(&order, &led) } else { BTreeMap::new() };
        let by_files: Vec<LedSlice> = led.iter().filter(|led| !after.contains_key(&led.id())).cloned().collect();
        self.begin(Turn::new(id, order.backup, (led, after)), usize::from(order.is_mark))?;
        let failed = |fault: String| Status::unavailable(format!("holding slices: {fault}"));
        let flushes: Vec<_> = by_files.iter().map(LedSlice::flush).collect();
        for flush in flushes {
            let flushed = self.attended(id, answered(flush)).await?;
            flushed.map_err(|gone| failed(gone.to_string()))?.map_err(|fault| failed(fault.to_string()))?;
        }
        let pins: Vec<_> = by_files.iter().map(|led| led.pin(peer(id))).collect();
        for pin in pins {
            answered(pin).await.map_err(|gone| failed(gone.to_string()))?.map_err(|fault| failed(fault.to_string()))?;
        }
        self.with(id, |_| Told::default())
    }

    /// The slices whose writes since the mark before are at hand, and not too many; they are held. And where each ended.
    fn at_hand(&self, order: &Order, led: &[LedSlice]) -> BTreeMap<SliceId, Version> {
        self.copied.lock().count(&order.before, (&order.earlier, order.since_us));
        let version = |end: &End| Version { epoch: Epoch(end.epoch), sequence: Sequence(end.sequence) };
        let ends: BTreeMap<SliceId, Version> = order.ends.iter().map(|end| (SliceId(end.slice), version(end))).collect();
        let held = |led: &LedSlice| {
            let after = *ends.get(&led.id())?;
            let is_small = led.log_bytes(after).is_some_and(|bytes| bytes <= STEP_MAX);
            (is_small && led.hold_log(archive(), after, LOG_HELD_MAX)).then_some((led.id(), after))
        };
        led.iter().filter_map(held).collect()
    }

    /// Waits for something that the turn waits for: whoever asked is there as long as this is.
    async fn attended<T>(&self, id: u128, done: impl Future<Output = T>) -> Result<T, Status> {
        tokio::pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return Ok(done),
                () = tokio::time::sleep(LOOKS_EVERY) => self.with(id, |_| ())?,
            }
        }
    }

    fn leads(&self, slice: SliceId) -> Result<LedSlice, Status> {
        let led = self.node.led_here(slice);
        led.ok_or_else(|| moved(format!("slice {slice} is not led by node {}", self.node.me().node)))
    }

    fn begin(self: &Arc<Self>, turn: Turn, of: usize) -> Result<(), Status> {
        let (id, mut turns) = (turn.id, self.turns.lock());
        // A backup that begins anew takes the place of its own last turn.
        let is_anothers = |other: &&Turn| other.backup != turn.backup && other.asked.elapsed() < SILENT_MAX;
        if let Some(other) = turns[of].as_ref().filter(is_anothers) {
            let copies = if other.copying.is_some() { "copies" } else { "holds" };
            return Err(Status::resource_exhausted(format!("node {} {copies} slices for another backup", self.node.me().node)));
        }
        let before = turns[of].replace(turn);
        drop(turns);
        if let Some(before) = before {
            before.end(&self.node);
        }
        let keeper = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOKS_EVERY).await;
                let Some(keeper) = keeper.upgrade() else { return };
                match keeper.turns.lock().iter().flatten().find(|turn| turn.id == id) {
                    None => return,
                    Some(turn) if turn.asked.elapsed() < SILENT_MAX => continue,
                    Some(_) => {}
                }
                tracing::warn!("whoever asked for a backup is gone; what was held for it is let go of");
                return keeper.end_turn(id);
            }
        });
        Ok(())
    }

    pub(super) fn close(&self, order: &Order) -> Result<Told, Status> {
        let id = id(order)?;
        self.with(id, |_| ())?;
        match self.node.close_gate(id, CLOSED_MAX) {
            true => Ok(Told::default()),
            false => Err(Status::resource_exhausted("another backup closed the gate")),
        }
    }

    /// What the slices are at this moment: the gate is closed, and they are led here.
    pub(super) async fn cut(&self, order: Order) -> Result<Told, Status> {
        let id = id(&order)?;
        let (led, after) = self.with(id, |turn| (turn.slices.clone(), turn.after.clone()))?;
        let slices: Vec<SliceId> = led.iter().map(LedSlice::id).collect();
        if slices.is_empty() {
            return Ok(Told::default());
        }
        let read = tokio::time::timeout(CUT_LIMIT, self.node.readable(&slices, Consistency::Primary)).await;
        let read = read.map_err(|_| moved("the primaries did not vouch for their slices in time"))?;
        let (at, _) = read.map_err(|refused| moved(refused.to_string()))?;
        let mut held = Vec::with_capacity(led.len());
        for (led, (slice, version)) in led.iter().zip(at) {
            let base = match after.get(&slice) {
                Some(after) => Base::After(*after),
                None => Base::Files(pinned(led, peer(id))?),
            };
            if order.is_mark && matches!(base, Base::Files(_)) {
                // For the next mark; one that changes hands meanwhile is of files once more.
                let _ = led.hold_log(archive(), version, LOG_HELD_MAX);
            }
            held.push(held_slice(led, slice, (base, version))?);
        }
        if !self.node.is_gate_closed(id) {
            return Err(moved("the gate opened before all slices were seen"));
        }
        let is_new = held.iter().any(is_new);
        self.with(id, |turn| {
            turn.slices.iter().for_each(|led| led.unpin(peer(id)));
            turn.held = held;
            Told { is_new, ..Told::default() }
        })
    }

    pub(super) fn open(&self, order: &Order) -> Result<Told, Status> {
        self.node.open_gate(id(order)?);
        Ok(Told::default())
    }

    /// Begins to copy what is held.
    pub(super) fn copy(self: &Arc<Self>, order: Order) -> Result<Told, Status> {
        let id = id(&order)?;
        let copying = Arc::new(Copying::default());
        let begun = self.with(id, |turn| match turn.copying {
            // Asked again, as the answer was lost.
            Some(_) => None,
            None => {
                turn.copying = Some(Arc::clone(&copying));
                Some(std::mem::take(&mut turn.held))
            }
        })?;
        let Some(held) = begun else { return Ok(Told::default()) };
        let keeper = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let of = Arc::clone(&copying);
            let stop: Stop = Arc::new(move || of.stop.load(Ordering::Relaxed));
            let report = |progress: backup::Progress| {
                copying.done.store(progress.done, Ordering::Relaxed);
                copying.of.store(progress.of, Ordering::Relaxed);
                if copying.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let copied = (keeper.places)(&order.place, stop).and_then(|place| keeper.put(&*place, &order, held, &report));
            *copying.ended.lock() = Some(copied);
            copying.over.notify_one();
        });
        Ok(Told::default())
    }

    fn put(&self, place: &dyn Place, order: &Order, held: Vec<HeldSlice>, report: backup::Report<'_>) -> Result<(), String> {
        let (me, home) = (self.node.me(), (&self.disk, self.home.clone()));
        let words = |fault: backup::Error| fault.to_string();
        if !order.is_mark {
            let named = (&*order.backup, me.node.0);
            return backup::put_slices(place, named, &order.earlier, home, (me.store, held), report).map_err(words);
        }
        let name = MarkName::of(&order.backup).map(|(name, _)| name).ok_or_else(|| format!("{} is no mark", order.backup))?;
        let by_files = held.iter().any(|held| matches!(held.base, Base::Files(_)));
        let known = by_files.then(|| backup::known_backup(place, home, &order.earlier)).transpose().map_err(words)?.flatten();
        let copied = if by_files { self.copied.lock().clone() } else { Copied::default() };
        let earlier = |path: &str| copied.file(path).or_else(|| known.as_ref().and_then(|head| head.file(path))).cloned();
        let part = backup::put_steps(place, (&name, me.node.0), &earlier, (me.store, held), report).map_err(words)?;
        self.copied.lock().wait(order.backup.clone(), part.files);
        Ok(())
    }

    /// How far copying is.
    pub(super) fn look(&self, order: &Order) -> Result<Told, Status> {
        let copying = self.with(id(order)?, |turn| turn.copying.clone())?;
        let copying = copying.ok_or_else(|| moved("nothing is copied here"))?;
        let (done, of) = (copying.done.load(Ordering::Relaxed), copying.of.load(Ordering::Relaxed));
        let ended = copying.ended.lock().clone();
        let (over, failed) = (ended.is_some(), ended.and_then(Result::err));
        Ok(Told { done, of, over, failed, ..Told::default() })
    }

    /// Nothing is held any more, and, but for a repository that does not answer, nothing is written.
    pub(super) async fn end(&self, order: &Order) -> Result<Told, Status> {
        let id = id(order)?;
        let copying = self.with(id, |turn| turn.copying.clone()).ok().flatten();
        self.end_turn(id);
        if let Some(copying) = copying.filter(|copying| copying.ended.lock().is_none()) {
            drop(tokio::time::timeout(ENDS_MAX, copying.over.notified()).await);
        }
        Ok(Told::default())
    }

    fn end_turn(&self, id: u128) {
        let ended = {
            let mut turns = self.turns.lock();
            let turn = turns.iter_mut().find(|turn| turn.as_ref().is_some_and(|turn| turn.id == id));
            turn.and_then(Option::take)
        };
        if let Some(ended) = ended {
            ended.end(&self.node);
        }
    }
}

fn too_fast(led: &LedSlice) -> Status {
    moved(format!("more was written to slice {} than is held of it", led.id()))
}

/// A slice's files.
fn pinned(led: &LedSlice, peer: ReplicaId) -> Result<FrozenSlice, Status> {
    let files = led.pinned_slice(peer).map_err(|fault| Status::internal(fault.to_string()))?;
    files.ok_or_else(|| too_fast(led))
}

/// A slice's writes behind something, up to a version, which the last of them is.
fn held_slice(led: &LedSlice, slice: SliceId, (base, version): (Base, Version)) -> Result<HeldSlice, Status> {
    let after = match &base {
        Base::Files(files) => files.manifest.flushed,
        Base::After(after) => *after,
    };
    let mut records = led.read_log(after, usize::MAX, u64::MAX).ok_or_else(|| too_fast(led))?;
    records.retain(|record| record.version.sequence <= version.sequence);
    if records.last().map_or(after, |record| record.version) != version {
        return Err(moved(format!("slice {slice} changed hands")));
    }
    Ok(HeldSlice { slice, base, records, version })
}
