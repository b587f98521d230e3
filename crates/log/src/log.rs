//! The log: the queue that any thread may join, and the job that empties it.
//!
//! Shared state. `queue`: any thread, briefly, never while another lock is taken. `writer`: only jobs
//! of `Lane::Log`, which run one at a time. `spans`: pushed by those jobs, popped by `cut`, read by
//! anyone, briefly. The counters only tell; nothing is decided by them. `scheduled` in the queue is
//! true exactly while a job that empties it is submitted or runs.

use crate::copying::{Hold, Holds};
use crate::format::{KIND_MARK, KIND_MAX, SEGMENT_HEADER_BYTES};
use crate::group::{Item, Pending, fail, refuse};
use crate::recovery::recover;
use crate::writer::Writer;
use crate::{Body, Durability, Error, Options, Position, Replay, segment};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use world::{Disk, Lane, World};

/// A log. See the crate's head for what it promises.
pub struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    world: World,
    dir: PathBuf,
    id: u64,
    options: Options,
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
    /// Base and limit of each segment on disk, oldest first.
    spans: Mutex<VecDeque<(u64, u64)>>,
    /// Held by the one who cuts.
    cutting: Mutex<()>,
    /// Where those begin to need the log who copy it, by number.
    holds: Mutex<Holds>,
    /// Up to where cuts were asked for, held or not.
    unneeded: AtomicU64,
    queued_bytes: AtomicU64,
    end: AtomicU64,
    synced: AtomicU64,
    syncs: AtomicU64,
    /// Whether a sync by interval is under way.
    sync_due: AtomicBool,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    scheduled: bool,
    closed: bool,
    /// How often all that waited was refused for want of room, and why the last time.
    refusals: Refusals,
    refused: Option<Error>,
}

/// What tells a log from others, for whoever keeps it beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: u64,
    /// Where it begins at the latest: as high as `cut_target` ever was before a cut.
    pub first: Position,
}

/// How often a log has refused what waited, as told by `Log::append_since`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusals(u64);

impl Log {
    /// Opens the log in a directory, making it where there is none: cuts off a torn tail and makes
    /// what it keeps durable. Records may be appended at once; the replay ends where the log ended.
    ///
    /// # Errors
    /// `Error::Damaged` where bytes that were synced are not whole (in older segments the replay
    /// finds that), `UnknownFormat`, `Full` where a new log has no room, `Open`, `Read`.
    ///
    /// # Panics
    /// Where the options do not fit each other.
    pub fn open(world: &World, dir: &Path, options: Options) -> Result<(Arc<Log>, Replay), Error> {
        Log::open_any(world, dir, options, None)
    }

    /// Opens the log that is known, and never makes one: for whoever keeps what tells its log, so that a log
    /// that was lost or replaced is told from a new one. A log that is refused is left as it lies.
    ///
    /// # Errors
    /// `Error::Lost`, `Error::Foreign`, `Error::Headless`; else as `open`.
    ///
    /// # Panics
    /// As `open`.
    pub fn open_known(world: &World, dir: &Path, options: Options, known: Known) -> Result<(Arc<Log>, Replay), Error> {
        Log::open_any(world, dir, options, Some(known))
    }

    fn open_any(world: &World, dir: &Path, options: Options, known: Option<Known>) -> Result<(Arc<Log>, Replay), Error> {
        options.check();
        let options = Options { segment_bytes: options.segment_bytes & !7, ..options };
        let found = recover(world, dir, &options, known)?;
        let bases = found.spans.iter().map(|(base, _)| *base).collect();
        let replay = Replay::new(Arc::clone(&world.disk), dir.to_path_buf(), bases, Position(found.end));
        let id = found.current.header.id;
        let writer = Writer::new(Arc::clone(&world.disk), dir.to_path_buf(), options.segment_bytes, found.current, found.end);
        let shared = Shared {
            world: world.clone(),
            dir: dir.to_path_buf(),
            id,
            options,
            queue: Mutex::default(),
            writer: Mutex::new(writer),
            spans: Mutex::new(found.spans.into()),
            cutting: Mutex::new(()),
            holds: Mutex::default(),
            unneeded: AtomicU64::new(0),
            queued_bytes: AtomicU64::new(0),
            end: AtomicU64::new(found.end),
            synced: AtomicU64::new(found.end),
            syncs: AtomicU64::new(0),
            sync_due: AtomicBool::new(false),
        };
        Ok((Arc::new(Log { shared: Arc::new(shared) }), replay))
    }

    /// Appends a record. Never waits. The order of calls is the order in the log and the order of
    /// answers; `done` is always called on `Lane::Log`, with the place where the record begins,
    /// once it is as durable as the options say. Where the runner stops first, it is dropped uncalled.
    ///
    /// It is answered `Error::TooLarge`, `Full` (with everything queued at that moment; the log
    /// goes on), `Poisoned` or `Closed`; in each of these cases but `Poisoned` it is sure that
    /// the record was not kept. Where the runner has stopped already, `done` may be dropped inside
    /// this call.
    ///
    /// # Panics
    /// Where `kind` is above `KIND_MAX`: those are the log's own.
    pub fn append(&self, kind: u8, head: Bytes, body: Body, done: impl FnOnce(Result<Position, Error>) + Send + 'static) {
        self.append_since(None, kind, head, body, done);
    }

    /// As `append`, for records that must not stand without those appended before them: gives how
    /// often the log had refused what waited when this record took its place in the queue. Where
    /// `since` is such an answer to an earlier record and the log has refused anything since then,
    /// this record is answered `Full` too.
    ///
    /// # Panics
    /// As `append`.
    pub fn append_since(
        &self,
        since: Option<Refusals>,
        kind: u8,
        head: Bytes,
        body: Body,
        done: impl FnOnce(Result<Position, Error>) + Send + 'static,
    ) -> Refusals {
        assert!(kind <= KIND_MAX, "record kind {kind} is the log's own");
        let (bytes, limit) = (head.len() as u64 + body.bytes(), self.shared.options.record_bytes_max);
        let item = if bytes > limit {
            Item::Refused(Error::TooLarge { bytes, limit }, Box::new(done))
        } else {
            Item::Record(Pending::new(kind, head, body, Box::new(done)))
        };
        self.shared.push(item, since)
    }

    /// Answers, in order with appends and on `Lane::Log`, when all that was appended before is on
    /// disk, whatever the durability setting; with the end of the log then.
    pub fn sync(&self, done: impl FnOnce(Result<Position, Error>) + Send + 'static) {
        self.shared.push(Item::Sync(Box::new(done)), None);
    }

    /// Refuses records appended later (`sync` still answers), makes durable what was appended before, and marks the end, so
    /// that at the next opening any damage is told from a torn tail.
    pub fn close(&self, done: impl FnOnce(Result<Position, Error>) + Send + 'static) {
        self.shared.push(Item::Sync(Box::new(|_| ())), None);
        // Written after that sync, so its header tells that all before it is on disk.
        self.shared.push(Item::Record(Pending::empty(KIND_MARK, Box::new(|_| ()))), None);
        let mut queue = self.shared.queue.lock();
        queue.items.push_back(Item::Sync(Box::new(done)));
        queue.closed = true;
        self.shared.schedule(queue);
    }

    /// Bytes appended and not answered yet. Whoever appends holds back when there are too many.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }

    /// Bytes from the beginning of the oldest segment to the end: what a bound on the log bounds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end().0.saturating_sub(self.first().0)
    }

    /// The same without the segments that stay only because somebody holds them: what cuts could make shorter.
    #[must_use]
    pub fn bytes_needed(&self) -> u64 {
        let unneeded = self.shared.unneeded.load(Ordering::Acquire);
        let spans = self.shared.spans.lock();
        let first = spans.iter().find(|(_, limit)| *limit > unneeded).or(spans.back());
        let first = first.map_or(0, |(base, _)| base + SEGMENT_HEADER_BYTES);
        drop(spans);
        self.end().0.saturating_sub(first)
    }

    /// Where the oldest record kept begins, or will begin.
    #[must_use]
    pub fn first(&self) -> Position {
        let base = self.shared.spans.lock().front().map_or(0, |(base, _)| *base);
        Position(base + SEGMENT_HEADER_BYTES)
    }

    /// Where the next record begins, as far as records were written (not: appended). A record that
    /// does not fit into the segment begins in the next one.
    #[must_use]
    pub fn end(&self) -> Position {
        Position(self.shared.end.load(Ordering::Acquire))
    }

    /// All below is on disk.
    #[must_use]
    pub fn synced(&self) -> Position {
        Position(self.shared.synced.load(Ordering::Acquire))
    }

    /// How often the log was synced since it was opened.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.shared.syncs.load(Ordering::Relaxed)
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Random, given when the log was made. Keep it beside every position that is kept: positions
    /// mean nothing in another log.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Where the log would begin after `cut(before)`; None where nothing would go. Whoever keeps it, durably
    /// and before each cut, can tell at the next opening whether segments are missing at the front.
    #[must_use]
    pub fn cut_target(&self, before: Position) -> Option<Position> {
        self.shared.unneeded.fetch_max(before.0, Ordering::AcqRel);
        let before = self.shared.holds.lock().bound(before);
        let spans = self.shared.spans.lock();
        let kept = spans.iter().position(|span| span.1 > before.0).unwrap_or(spans.len()).min(spans.len().saturating_sub(1));
        (kept > 0).then(|| Position(spans[kept].0 + SEGMENT_HEADER_BYTES))
    }

    /// Removes the segments that lie wholly below `before`, oldest first, each durably before the
    /// next, so that no crash leaves a gap. The newest one stays. Returns the bytes of log that went. Works on the
    /// disk: call it from a job.
    ///
    /// # Errors
    /// `Error::Cut`; the next cut tries again.
    pub fn cut(&self, before: Position) -> Result<u64, Error> {
        let shared = &*self.shared;
        let _cutting = shared.cutting.lock();
        let before = shared.holds.lock().bound(before);
        let mut bytes = 0;
        loop {
            let (base, limit) = {
                let spans = shared.spans.lock();
                match spans.front() {
                    Some(span) if spans.len() > 1 && span.1 <= before.0 => *span,
                    _ => return Ok(bytes),
                }
            };
            match shared.world.disk.remove(&segment::path(&shared.dir, base)) {
                // Removed by a cut that failed afterwards.
                Err(error) if !error.is_missing() => return Err(Error::Cut(Arc::new(error))),
                _ => {}
            }
            shared.world.disk.sync_dir(&shared.dir).map_err(|error| Error::Cut(Arc::new(error)))?;
            shared.spans.lock().pop_front();
            bytes += limit - base;
        }
    }
}

impl Log {
    /// Keeps all segments that there are now until the answer is dropped, or lets go of them: for whoever copies the log.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Hold {
        // A cut under way goes on first: what it removes is not held.
        let _cutting = self.shared.cutting.lock();
        let first = self.spans().first().map_or(0, |(base, _)| *base);
        let number = self.shared.holds.lock().add(Position(first));
        Hold::new(Arc::clone(self), number)
    }

    pub(crate) fn move_hold(&self, number: u64, to: Option<Position>) {
        self.shared.holds.lock().put(number, to);
    }

    /// Base and limit of each segment on disk, oldest first.
    pub(crate) fn spans(&self) -> Vec<(u64, u64)> {
        self.shared.spans.lock().iter().copied().collect()
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.shared.world.disk
    }
}

impl Shared {
    fn push(self: &Arc<Self>, item: Item, since: Option<Refusals>) -> Refusals {
        let mut queue = self.queue.lock();
        let refusals = queue.refusals;
        // What only waits for a sync has it: closing synced all there was.
        let is_record = matches!(item, Item::Record(_));
        let refusal = if queue.closed {
            Some(Error::Closed)
        } else {
            queue.refused.clone().filter(|_| since.is_some_and(|since| since != refusals))
        };
        let item = match refusal {
            Some(error) if is_record => refuse(item, error),
            _ => item,
        };
        self.queued_bytes.fetch_add(item.bytes(), Ordering::Relaxed);
        queue.items.push_back(item);
        self.schedule(queue);
        refusals
    }

    fn schedule(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        if !queue.scheduled {
            queue.scheduled = true;
            drop(queue);
            let commit = Commit(Some(Arc::clone(self)));
            self.world.runner.submit(Lane::Log, Box::new(move || commit.run()));
        }
    }

    /// One group, then, where more has come, another job.
    fn commit(self: &Arc<Self>) {
        let answers = self.commit_group();
        for (item, bytes, answer) in answers {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            item.answer(answer);
        }
        let mut queue = self.queue.lock();
        queue.scheduled = false;
        if !queue.items.is_empty() {
            self.schedule(queue);
        }
    }

    fn commit_group(self: &Arc<Self>) -> Vec<(Item, u64, Result<Position, Error>)> {
        let mut writer = self.writer.lock();
        if let Some(error) = writer.poison() {
            return fail(self.take_all(), &error);
        }
        let mut group = self.take_group(writer.room());
        if group.is_empty() {
            // Nothing was written yet, so a full disk costs nobody more than a refusal: of all that
            // waits, so that nothing later stands without what came before it.
            if let Err(error) = writer.roll() {
                return self.refuse_all(&mut writer, &error);
            }
            self.spans.lock().push_back(writer.span());
            self.syncs.fetch_add(1, Ordering::Relaxed);
            group = self.take_group(writer.room());
        }
        let done = self.write_group(&mut writer, &group);
        self.end.store(writer.end(), Ordering::Release);
        self.synced.store(writer.synced(), Ordering::Release);
        match done {
            Err(error) => fail(group, &error),
            Ok(positions) => group
                .into_iter()
                .zip(positions)
                .map(|(item, position)| {
                    let answer = if matches!(item, Item::Sync(_)) { Position(writer.synced()) } else { position };
                    let bytes = item.bytes();
                    (item, bytes, Ok(answer))
                })
                .collect(),
        }
    }

    /// Fails all records that wait; what only waits for a sync has it.
    fn refuse_all(&self, writer: &mut Writer, error: &Error) -> Vec<(Item, u64, Result<Position, Error>)> {
        let items = {
            let mut queue = self.queue.lock();
            queue.refusals.0 += 1;
            queue.refused = Some(error.clone());
            queue.items.drain(..).collect()
        };
        let mut answers = fail(items, error);
        for (item, _, answer) in &mut answers {
            if matches!(item, Item::Sync(_)) {
                *answer = self.sync_writer(writer).map(|()| Position(writer.synced()));
            }
        }
        self.synced.store(writer.synced(), Ordering::Release);
        answers
    }

    fn write_group(self: &Arc<Self>, writer: &mut Writer, group: &[Item]) -> Result<Vec<Position>, Error> {
        let positions = writer.write(group)?;
        let now = match self.options.durability {
            Durability::Commit => true,
            Durability::Interval(_) => group.iter().any(|item| matches!(item, Item::Sync(_))),
        };
        if now {
            self.sync_writer(writer)?;
        } else if let Durability::Interval(delay) = self.options.durability
            && writer.synced() < writer.end()
            && !self.sync_due.swap(true, Ordering::SeqCst)
        {
            let shared = Arc::clone(self);
            self.world.runner.submit_after(delay, Lane::Log, Box::new(move || shared.sync_by_interval()));
        }
        Ok(positions)
    }

    fn sync_writer(&self, writer: &mut Writer) -> Result<(), Error> {
        let did = writer.sync()?;
        self.syncs.fetch_add(u64::from(did), Ordering::Relaxed);
        Ok(())
    }

    /// A failure poisons the writer: whoever appends next is told.
    fn sync_by_interval(&self) {
        let mut writer = self.writer.lock();
        self.sync_due.store(false, Ordering::SeqCst);
        drop(self.sync_writer(&mut writer));
        self.synced.store(writer.synced(), Ordering::Release);
    }

    /// The next items that fit into `room`, up to the bytes of a group; none where the first does
    /// not fit. Ends before a record that follows a sync, which is to be written after it.
    fn take_group(&self, room: u64) -> Vec<Item> {
        let (mut bytes, mut synced, mut count) = (0, false, 0);
        let mut queue = self.queue.lock();
        for item in &queue.items {
            let is_record = matches!(item, Item::Record(_));
            if bytes + item.bytes() > room || (is_record && (synced || bytes >= self.options.group_bytes_max)) {
                break;
            }
            synced |= matches!(item, Item::Sync(_));
            bytes += item.bytes();
            count += 1;
        }
        queue.items.drain(..count).collect()
    }

    fn take_all(&self) -> Vec<Item> {
        self.queue.lock().items.drain(..).collect()
    }
}

/// The job that empties the queue. A runner that stops drops it unrun: then what waits is given up
/// too, which abandons the tickets that its answers would have kept.
struct Commit(Option<Arc<Shared>>);

impl Commit {
    fn run(mut self) {
        if let Some(shared) = self.0.take() {
            shared.commit();
        }
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            let mut queue = shared.queue.lock();
            queue.scheduled = false;
            let items = std::mem::take(&mut queue.items);
            drop(queue);
            let bytes = items.iter().map(Item::bytes).sum();
            shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            drop(items);
        }
    }
}
