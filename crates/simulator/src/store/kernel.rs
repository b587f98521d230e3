//! The kernel as a node's store, on a simulated disk: what is simulated is what a fleet will run on.
//!
//! ```text
//!   Task ──> LedSlice (a ticket) ──> the kernel's jobs, stepped by `work` ──> Done, in the order of the tasks
//!   Op   ──> rows and deletions in the kernel's own form      tag t of slice s is the kernel's tag t * slices + s
//! ```
//! Promises: those of `Store`. The disk forgets what was not synced when the power goes; it has no other faults here (the
//! kernel's own model tests have them).

use super::{CopiedGroup, Done, Store, Task, small::FileGone};
use crate::data::{Group, Key, Op, PERIOD_TIMES, PRODUCERS_MAX, State};
use crate::dice::Dice;
use bytes::Bytes;
use kernel::{
    Deletion, Direction, Draft, Kernel, LedNews, LedSlice, Piece, Pinned, Projection, ScanRequest, Settings, TagSelection, Write,
};
use parking_lot::Mutex;
use protocol::{History, Offer, ProducerRow, Producers, Record, Recovered, ReplicaId};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use types::{
    DistributionRule, Epoch, Kind, Kinds, Period, Samples, Sequence, SliceId, StoreId, TagId, TimeRange, Timestamp, Version,
};
use world::{Clock, Disk, SimulatedDisk, Simulation, Ticket};

/// About what a record takes.
const RECORD_BYTES: u64 = 250;
const DIR: &str = "/store";

struct WholeNumbers;

impl Kinds for WholeNumbers {
    fn kind(&self, _: TagId) -> Option<Kind> {
        Some(Kind::I64)
    }
}

/// Something that was asked of the kernel.
enum Waiting {
    Epoch(Ticket<Result<Epoch, kernel::Error>>),
    Log(Ticket<Result<Version, kernel::Error>>),
    SetAside(Ticket<Result<(Version, Vec<ProducerRow>), kernel::Error>>),
    Flush(Version, Ticket<Result<Version, kernel::Error>>),
    Merge(Ticket<Result<(), kernel::Error>>),
    Delete(Ticket<Result<(), kernel::Error>>),
    Pin(ReplicaId, Ticket<Result<Pinned, kernel::Error>>),
    Prepare(Ticket<Result<Vec<(Period, Version)>, kernel::Error>>),
    Install(Ticket<Result<(History, Vec<ProducerRow>), kernel::Error>>),
}

type News = Arc<Mutex<Vec<(SliceId, LedNews)>>>;

/// The store.
pub struct KernelStore {
    id: StoreId,
    slices: u64,
    /// Tags of each slice.
    tags: u8,
    tail_bytes_max: u64,
    simulation: Simulation,
    dice: Dice,
    kernel: Option<Arc<Kernel>>,
    led: BTreeMap<SliceId, LedSlice>,
    waiting: VecDeque<(SliceId, Waiting)>,
    /// What the kernel told unasked.
    news: News,
    /// What the slices' logs held when the process ended last.
    ended_with: BTreeMap<SliceId, History>,
}

fn settings(slices: u64, led_tail_bytes_max: u64) -> Settings {
    Settings {
        rule: DistributionRule { b1: 1, buckets: slices as u32, ..DistributionRule::default() },
        period_us: i64::from(PERIOD_TIMES),
        memory_bytes: 32 << 20,
        buffer_bytes_max: 4 << 20,
        cache_bytes_max: 1 << 20,
        segment_bytes: 16 << 10,
        log_bytes_max: 64 << 10,
        producers_max: PRODUCERS_MAX,
        led_tail_bytes_max,
        led_pin_bytes_max: 64 << 10,
        ..Settings::default()
    }
}

/// An answer that came. The disk has no faults, so none is told.
fn told<T: Send + 'static>(ticket: &mut Ticket<Result<T, kernel::Error>>) -> Option<T> {
    let answer = ticket.try_take()?.expect("the store is open");
    Some(answer.unwrap_or_else(|fault| panic!("the kernel: {fault}")))
}

/// Hands in what came of an offer.
fn install(
    led: &LedSlice,
    offer: Offer,
    copied: BTreeMap<Period, CopiedGroup>,
) -> Ticket<Result<(History, Vec<ProducerRow>), kernel::Error>> {
    let periods: Vec<Period> = copied.keys().copied().collect();
    let mut came = BTreeMap::new();
    for group in copied.into_values() {
        let CopiedGroup::Kernel(pieces) = group else { panic!("stores of one sort make a fleet") };
        came.extend(pieces);
    }
    if let Some(manifest) = came.remove(&Piece::Manifest) {
        led.keep_piece(Piece::Manifest, 0, &manifest).expect("the disk works");
        // What is not needed is not there: nothing may count on it.
        let needed = led.needed_pieces(&offer, &periods).unwrap_or_default();
        for (piece, bytes) in came.into_iter().filter(|(piece, _)| needed.contains(piece)) {
            led.keep_piece(piece, 0, &bytes).expect("the disk works");
        }
    }
    led.install(offer, periods)
}

impl KernelStore {
    /// An empty store for so many slices of so many tags, which keeps about so many records of each at hand behind a flush.
    #[must_use]
    pub fn new(id: StoreId, slices: usize, tags: u8, log_keeps: usize) -> KernelStore {
        let seed = id.0 as u64;
        KernelStore {
            id,
            slices: slices as u64,
            tags,
            tail_bytes_max: log_keeps as u64 * RECORD_BYTES,
            simulation: Simulation::new(seed),
            dice: Dice::new(seed, 9),
            kernel: None,
            led: BTreeMap::new(),
            waiting: VecDeque::new(),
            news: News::default(),
            ended_with: BTreeMap::new(),
        }
    }

    fn kernel(&self) -> &Arc<Kernel> {
        self.kernel.as_ref().expect("the process runs")
    }

    fn tag(&self, slice: SliceId, tag: u8) -> TagId {
        TagId(u64::from(tag) * self.slices + u64::from(slice.0))
    }

    /// The wall's clock of the node is the kernel's.
    fn set_wall(&self, wall: i64) {
        self.simulation.clock.jump_wall(wall - self.simulation.clock.wall_us());
    }

    fn deletion(&self, slice: SliceId, op: Op) -> Option<Deletion> {
        let all = || TagSelection::of((0..self.tags).map(|tag| self.tag(slice, tag)).collect());
        let range = |from: i64, to: i64| TimeRange { first: Timestamp(from), last: Timestamp(to) };
        let (tags, range) = match op {
            Op::Put(..) => return None,
            Op::Delete(tag, from, to) => {
                let tags = tag.map_or_else(all, |tag| TagSelection::of(vec![self.tag(slice, tag)]));
                (tags, range(i64::from(from), i64::from(to)))
            }
            Op::Retain(before) => (all(), range(i64::MIN, i64::from(before) - 1)),
        };
        Some(Deletion::Range { tags, range })
    }

    /// The outcome of what was asked first, where it came.
    fn outcome(&mut self) -> Option<(SliceId, Option<Done>)> {
        let (slice, waiting) = self.waiting.front_mut()?;
        let slice = *slice;
        let done = match waiting {
            Waiting::Epoch(ticket) => Some(Done::Epoch(told(ticket)?)),
            Waiting::Log(ticket) => Some(Done::Logged(told(ticket)?)),
            Waiting::SetAside(ticket) => told(ticket).map(|(at, producers)| Some(Done::SetAside(at, producers)))?,
            Waiting::Flush(before, ticket) => {
                // A flush that took something is told as news.
                let (before, flushed) = (*before, told(ticket)?);
                (flushed == before).then_some(Done::Nothing)
            }
            Waiting::Pin(peer, ticket) => Some(Done::Pinned(*peer, told(ticket)?.offer)),
            Waiting::Prepare(ticket) => Some(Done::Prepared(told(ticket)?)),
            Waiting::Install(ticket) => match ticket.try_take()?.expect("the store is open") {
                Ok((history, producers)) => Some(Done::Installed(history, producers)),
                Err(kernel::Error::Led { .. }) => Some(Done::Refused),
                Err(fault) => panic!("the kernel: {fault}"),
            },
            Waiting::Merge(ticket) => {
                told(ticket)?;
                None
            }
            Waiting::Delete(ticket) => {
                told(ticket)?;
                self.led.remove(&slice);
                Some(Done::Deleted)
            }
        };
        self.waiting.pop_front();
        Some((slice, done))
    }

    fn told_unasked(&self, slice: SliceId, news: LedNews) -> Done {
        match news {
            LedNews::Flushed { flushed, log_after } => {
                let after = self.led.get(&slice).and_then(|led| led.recovered().history.version_at(log_after));
                Done::Flushed(flushed, after.unwrap_or_default())
            }
            LedNews::PinLost { peer } => Done::PinLost(peer),
        }
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::<SimulatedDisk>::clone(&self.simulation.disk)
    }

    /// Histories and versions of what was set aside of a slice: of files that were copied, of records.
    fn aside(&self, slice: SliceId) -> (Vec<History>, Vec<Version>) {
        let (disk, place) = (self.disk(), Path::new(DIR).join("set-aside"));
        let (mut histories, mut versions) = (Vec::new(), Vec::new());
        let prefix = format!("slice-{:04}-", slice.0);
        for entry in disk.list(&place).unwrap_or_default().into_iter().filter(|entry| entry.name.starts_with(&prefix)) {
            let copy = place.join(&entry.name);
            let manifests = disk.list(&copy).unwrap_or_default().into_iter().filter(|entry| entry.name.starts_with("manifest-"));
            for manifest in manifests {
                if let Ok((manifest, _)) = storage::inspect_manifest(&*disk, &copy.join(manifest.name)) {
                    histories.push(History::new(manifest.epochs, manifest.flushed));
                }
            }
            let records = kernel::read_set_aside(&disk, &copy).unwrap_or_default();
            versions.extend(records.iter().map(|(_, record)| record.version));
        }
        (histories, versions)
    }

    fn rows(&self, slice: SliceId) -> Vec<(Key, u64)> {
        let request = ScanRequest {
            tags: TagSelection::of((0..self.tags).map(|tag| self.tag(slice, tag)).collect()),
            texts: false,
            range: TimeRange::ALL,
            projection: Projection::ALL,
            direction: Direction::Ascending,
            rows_per_tag_max: None,
            batch_rows: 100,
        };
        let mut rows = Vec::new();
        for mut part in self.kernel().snapshot().scan(&request, 1) {
            while let Some(batch) = part.next_batch().expect("the disk works") {
                let tags = batch.runs.iter().flat_map(|run| std::iter::repeat_n(run.tag.0, run.rows as usize));
                let key = |(tag, time): (u64, &Timestamp)| Key { tag: (tag / self.slices) as u8, time: time.0 as u8 };
                rows.extend(tags.zip(&batch.times).map(key).zip(batch.bits.iter().copied()));
            }
        }
        rows
    }
}

impl Store for KernelStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn open(&mut self, wall: i64) -> Vec<(SliceId, Recovered)> {
        self.set_wall(wall);
        let opened = Kernel::open(
            self.simulation.world(),
            Path::new(DIR),
            settings(self.slices, self.tail_bytes_max),
            Arc::new(WholeNumbers),
        );
        let kernel = opened.unwrap_or_else(|fault| panic!("the kernel can't be opened: {fault}"));
        self.news = News::default();
        let news = Arc::clone(&self.news);
        kernel.listen_to_led(Box::new(move |slice, told| news.lock().push((slice, told))));
        self.led = kernel.led_slices().into_iter().map(|led| (led.id(), led)).collect();
        self.kernel = Some(kernel);
        self.led.iter().map(|(slice, led)| (*slice, led.recovered())).collect()
    }

    fn create(&mut self, slice: SliceId) -> Recovered {
        let led = self.kernel().lead(slice).unwrap_or_else(|fault| panic!("the kernel: {fault}"));
        let recovered = led.recovered();
        self.led.insert(slice, led);
        recovered
    }

    fn compose(&self, slice: SliceId, ops: &[Op]) -> Bytes {
        let (mut deletions, mut rows) = (Vec::new(), Vec::new());
        for op in ops {
            match *op {
                Op::Put(key, value) => rows.push((key, value)),
                // The kernel's deletions hide earlier records only: what the batch itself brought goes at once.
                op => {
                    rows.retain(|(key, _)| !op.deletes(*key));
                    deletions.extend(self.deletion(slice, op));
                }
            }
        }
        let tags: Vec<TagId> = rows.iter().map(|(key, _)| self.tag(slice, key.tag)).collect();
        let times: Vec<Timestamp> = rows.iter().map(|(key, _)| Timestamp(i64::from(key.time))).collect();
        let bits: Vec<u64> = rows.iter().map(|(_, value)| *value).collect();
        let samples = [Samples::new(&tags, &times, &bits, None).expect("columns of one length")];
        let drafts = self.kernel().led_drafts(Write { samples: &samples, ..Write::default() }, &deletions, &[]);
        let drafts = drafts.unwrap_or_else(|fault| panic!("the kernel: {fault}"));
        let draft = drafts.into_iter().find(|(of, _)| *of == slice).map(|(_, draft)| draft);
        let draft = draft.or_else(|| self.led.get(&slice).map(|led| led.deletion(Deletion::Points(Vec::new()))));
        draft.map(Draft::whole).unwrap_or_default()
    }

    fn submit(&mut self, slice: SliceId, task: Task) {
        let Some(led) = self.led.get(&slice) else { return };
        let waiting = match task {
            Task::PersistEpoch(epoch) => Waiting::Epoch(led.keep_epoch(epoch)),
            Task::Log(records) => Waiting::Log(led.log(records)),
            Task::SetAside(beyond) => Waiting::SetAside(led.set_aside(beyond)),
            Task::Flush => Waiting::Flush(led.recovered().flushed, led.flush()),
            Task::Merge => Waiting::Merge(self.kernel().merge()),
            Task::Delete { forced } => Waiting::Delete(led.delete(forced)),
            Task::Pin(peer) => Waiting::Pin(peer, led.pin(peer)),
            Task::Unpin(peer) => return led.unpin(peer),
            Task::Prepare { departs } => Waiting::Prepare(led.prepare(departs)),
            Task::Install { offer, copied } => Waiting::Install(install(led, offer, copied)),
        };
        self.waiting.push_back((slice, waiting));
    }

    fn publish(&mut self, slice: SliceId, up_to: Version, _wall: i64) {
        if let Some(led) = self.led.get(&slice) {
            led.publish(up_to).unwrap_or_else(|fault| panic!("the kernel: {fault}"));
        }
    }

    fn set_stable(&mut self, slice: SliceId, up_to: Version) {
        if let Some(led) = self.led.get(&slice) {
            led.stable(up_to).unwrap_or_else(|fault| panic!("the kernel: {fault}"));
        }
    }

    fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn work(&mut self, wall: i64, full: bool, done: &mut Vec<(SliceId, Done)>) {
        self.set_wall(wall);
        if let (true, Some((slice, waiting))) = (full, self.waiting.front())
            && !matches!(waiting, Waiting::Delete(_))
        {
            return done.push((*slice, Done::Full));
        }
        // Mostly all there is to do, sometimes a few steps: then a crash finds the kernel in the middle of it.
        let steps = if self.dice.one_in(3) { self.dice.between(1, 6) } else { u64::MAX };
        let ran = (0..steps).take_while(|_| self.simulation.runner.step()).count() as u64;
        for (slice, news) in std::mem::take(&mut *self.news.lock()) {
            done.push((slice, self.told_unasked(slice, news)));
        }
        while let Some((slice, outcome)) = self.outcome() {
            done.extend(outcome.map(|outcome| (slice, outcome)));
        }
        assert!(ran == steps || self.waiting.is_empty(), "something waits, and nothing is left to be done");
    }

    fn read_log(&self, slice: SliceId, after: Version, records_max: usize) -> Option<Vec<Record>> {
        self.led.get(&slice)?.read_log(after, records_max, u64::MAX)
    }

    fn shown(&self, slice: SliceId) -> Option<Version> {
        self.led.get(&slice).map(LedSlice::published)
    }

    fn state(&self, slice: SliceId) -> Option<Cow<'_, State>> {
        let led = self.led.get(&slice)?;
        let kernel = self.kernel();
        let own = kernel.file_groups().into_iter().filter(|group| group.slice == slice);
        let group = |version| Group { version, ..Group::default() };
        let mut groups: BTreeMap<Period, Group> = own.map(|of| (of.period, group(of.version))).collect();
        for (key, value) in self.rows(slice) {
            // Files keep no version a row: equal groups are told by their values, which are never used twice.
            let group = groups.get_mut(&key.period()).expect("a row's group has a version");
            group.rows.insert(key, (Version::default(), value));
        }
        let latest = (0..self.tags).filter_map(|tag| {
            let reading = kernel.latest(self.tag(slice, tag)).expect("the disk works")?;
            let kernel::Datum::Bits(value) = reading.value else { return None };
            Some((tag, (reading.time.0 as u8, value)))
        });
        let producers = Producers::new(&led.recovered().producers, PRODUCERS_MAX);
        Some(Cow::Owned(State { at: led.published(), groups, latest: latest.collect(), producers }))
    }

    fn pinned_group(&self, slice: SliceId, pin: ReplicaId, period: Period) -> Option<Result<CopiedGroup, FileGone>> {
        let led = self.led.get(&slice)?;
        let read = |(piece, bytes): (Piece, u64)| {
            let read = led.read_pinned(pin, piece, 0, bytes as usize).expect("the disk works");
            (piece, read.expect("it was held a moment ago"))
        };
        Some(Ok(CopiedGroup::Kernel(led.pinned_pieces(pin, period)?.into_iter().map(read).collect())))
    }

    fn crash(&mut self, power: bool, _keep: &mut dyn FnMut(usize) -> usize) {
        self.waiting.clear();
        self.ended_with =
            std::mem::take(&mut self.led).into_iter().map(|(slice, led)| (slice, led.recovered().history)).collect();
        self.kernel = None;
        if power {
            self.simulation.crash();
        } else {
            self.simulation.kill();
        }
    }

    fn keeps(&self, slice: SliceId, version: Version) -> bool {
        let here = self.led.get(&slice).is_some_and(|led| led.recovered().history.contains(version));
        let aside = || {
            let (histories, versions) = self.aside(slice);
            versions.contains(&version) || histories.iter().any(|history| history.contains(version))
        };
        here || aside()
    }

    fn versions(&self, slice: SliceId) -> Vec<Version> {
        let (mut histories, versions) = self.aside(slice);
        histories.extend(self.led.get(&slice).map(|led| led.recovered().history));
        histories.extend(self.ended_with.get(&slice).filter(|_| self.kernel.is_none()).cloned());
        let of = |history: &History| {
            (1..=history.last().sequence.0).filter_map(|n| history.version_at(Sequence(n))).collect::<Vec<_>>()
        };
        histories.iter().flat_map(of).chain(versions).collect()
    }
}
