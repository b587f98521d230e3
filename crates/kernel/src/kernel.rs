//! The kernel's face. THIS BODY IS THE MODEL: an ordered map in memory, with the final signatures,
//! so that higher floors can be built while the real one is; it then becomes the tests' oracle.

use crate::{
    AggregateBatch, AggregateRequest, Datum, Deletion, Direction, Error, FileGroupStatus, FileStatus, NodeStatus, Reading,
    ReadingColumns, Run, ScanBatch, ScanRequest, ScanStatistics, Settings, SliceStatus, TagSelection,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use types::{
    CommitNumber, DistributionRule, Kind, Kinds, Origin, ProducerId, Quality, Samples, TagId, TextColumn, TextSamples, TimeRange,
    Timestamp,
};
use world::{Ticket, World};

/// One commit: numeric and text samples, and where they come from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Write<'a> {
    /// Batches of numeric samples, in order.
    pub samples: &'a [Samples<'a>],
    /// Batches of text samples, in order.
    pub texts: &'a [TextSamples<'a>],
    /// The producer and its number; a number seen before is answered and not applied again.
    pub origin: Option<Origin>,
}

/// The answer to a commit that is durable and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub commit: CommitNumber,
    /// Rows written.
    pub rows: u64,
    /// Whether the producer's number had been seen, so that nothing was applied.
    pub duplicate: bool,
}

type Map = BTreeMap<(TagId, Timestamp), (Datum, Quality)>;

struct State {
    rows: Arc<Map>,
    commit: u64,
    origins: HashMap<ProducerId, u64>,
    rule: DistributionRule,
}

/// A data node's database.
pub struct Kernel {
    state: Mutex<State>,
    kinds: Arc<dyn Kinds>,
    settings: Settings,
}

impl Kernel {
    /// Opens the store in a directory, making it where there is none.
    ///
    /// # Errors
    /// `Error::Open`, `Error::Damaged`.
    pub fn open(_world: World, _dir: &Path, settings: Settings, kinds: Arc<dyn Kinds>) -> Result<Arc<Kernel>, Error> {
        let state = State { rows: Arc::default(), commit: 0, origins: HashMap::new(), rule: settings.rule };
        Ok(Arc::new(Kernel { state: Mutex::new(state), kinds, settings }))
    }

    /// Stops taking writes, makes what was taken durable, and answers when no job runs any more.
    pub fn close(&self) -> Ticket<Result<(), Error>> {
        Ticket::ready(Ok(()))
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The distribution rule in force.
    #[must_use]
    pub fn rule(&self) -> DistributionRule {
        self.state.lock().rule
    }

    /// Sets the distribution rule. The caller vouches that there is no tag yet.
    ///
    /// # Errors
    /// `Error::Rule`, `Error::RuleIsSet` when anything was ever written.
    pub fn set_rule(&self, rule: DistributionRule) -> Result<(), Error> {
        rule.check()?;
        let mut state = self.state.lock();
        if state.commit > 0 {
            return Err(Error::RuleIsSet);
        }
        state.rule = rule;
        Ok(())
    }

    /// Commits samples. The batches are copied before this returns; the ticket resolves when the
    /// commit is durable and visible. Checked before anything is kept: tags exist, kinds fit.
    pub fn write(&self, write: Write<'_>) -> Ticket<Result<Committed, Error>> {
        Ticket::ready(self.apply(write))
    }

    fn apply(&self, write: Write<'_>) -> Result<Committed, Error> {
        let mut rows = Vec::new();
        for batch in write.samples {
            for i in 0..batch.len() {
                let tag = batch.tags()[i];
                let kind = self.kinds.kind(tag).ok_or(Error::UnknownTag(tag))?;
                if !kind.is_valid(batch.bits()[i]) {
                    return Err(Error::WrongKind { tag, kind });
                }
                let quality = Quality(batch.qualities().map_or(192, |q| q[i]));
                rows.push(((tag, batch.times()[i]), (Datum::Bits(batch.bits()[i]), quality)));
            }
        }
        for batch in write.texts {
            for i in 0..batch.len() {
                let tag = batch.tags()[i];
                let kind = self.kinds.kind(tag).ok_or(Error::UnknownTag(tag))?;
                if !kind.is_text() {
                    return Err(Error::WrongKind { tag, kind });
                }
                let quality = Quality(batch.qualities().map_or(192, |q| q[i]));
                rows.push(((tag, batch.times()[i]), (Datum::Text(batch.texts().get(i).into()), quality)));
            }
        }
        let mut state = self.state.lock();
        if let Some(origin) = write.origin {
            let seen = state.origins.entry(origin.producer).or_default();
            if origin.number <= *seen {
                return Ok(Committed { commit: CommitNumber(state.commit), rows: 0, duplicate: true });
            }
            *seen = origin.number;
        }
        state.commit += 1;
        let count = rows.len() as u64;
        Arc::make_mut(&mut state.rows).extend(rows);
        Ok(Committed { commit: CommitNumber(state.commit), rows: count, duplicate: false })
    }

    /// Deletes samples: one commit. `rows` of the answer is 0 (what was there is not counted).
    pub fn delete(&self, deletion: Deletion) -> Ticket<Result<Committed, Error>> {
        let mut state = self.state.lock();
        state.commit += 1;
        let map = Arc::make_mut(&mut state.rows);
        match deletion {
            Deletion::Range { tags, range } => map.retain(|(tag, time), _| !(tags.contains(*tag) && range.contains(*time))),
            Deletion::Points(points) => points.iter().for_each(|key| {
                map.remove(key);
            }),
        }
        Ticket::ready(Ok(Committed { commit: CommitNumber(state.commit), rows: 0, duplicate: false }))
    }

    /// The snapshot value of a tag: always from memory.
    #[must_use]
    pub fn latest(&self, tag: TagId) -> Option<Reading> {
        self.snapshot().newest_until(tag, Timestamp::MAX)
    }

    /// The snapshot values of many tags, one row each: always from memory.
    #[must_use]
    pub fn latest_many(&self, tags: &[TagId]) -> ReadingColumns {
        let snapshot = self.snapshot();
        columns(tags.iter().map(|tag| snapshot.newest_until(*tag, Timestamp::MAX)))
    }

    /// For each (tag, time): the newest sample at or before that time. Reads the newest commit.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn values_at(&self, questions: &[(TagId, Timestamp)]) -> Result<ReadingColumns, Error> {
        let snapshot = self.snapshot();
        Ok(columns(questions.iter().map(|(tag, time)| snapshot.newest_until(*tag, *time))))
    }

    /// The newest sample of a tag at or before a time. Reads the newest commit.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn value_at(&self, tag: TagId, time: Timestamp) -> Result<Option<Reading>, Error> {
        Ok(self.snapshot().newest_until(tag, time))
    }

    /// A view of the newest commit that later commits and merges don't change.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.lock();
        Snapshot { rows: Arc::clone(&state.rows), kinds: Arc::clone(&self.kinds), commit: CommitNumber(state.commit) }
    }

    /// Writes all buffers to files; answers when what was committed before lies in files.
    pub fn flush(&self) -> Ticket<Result<(), Error>> {
        Ticket::ready(Ok(()))
    }

    /// Merges until nothing is left that merging would make smaller or faster to read.
    pub fn merge(&self) -> Ticket<Result<(), Error>> {
        Ticket::ready(Ok(()))
    }

    /// The slices of this node.
    #[must_use]
    pub fn slices(&self) -> Vec<SliceStatus> {
        Vec::new()
    }

    /// The file groups of this node.
    #[must_use]
    pub fn file_groups(&self) -> Vec<FileGroupStatus> {
        Vec::new()
    }

    /// The files of this node.
    #[must_use]
    pub fn files(&self) -> Vec<FileStatus> {
        Vec::new()
    }

    /// Counters of the node.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        NodeStatus::default()
    }
}

fn columns(readings: impl Iterator<Item = Option<Reading>>) -> ReadingColumns {
    let mut out = ReadingColumns::default();
    for reading in readings {
        let row = out.found.len() as u32;
        out.found.push(reading.is_some());
        let (time, value, quality) =
            reading.map_or((Timestamp(0), Datum::Bits(0), Quality::GOOD), |r| (r.time, r.value, r.quality));
        out.times.push(time);
        out.qualities.push(quality.0);
        match value {
            Datum::Bits(bits) => out.bits.push(bits),
            Datum::Text(text) => {
                out.bits.push(0);
                out.texts.push((row, text));
            }
        }
    }
    out
}

/// A view of one commit.
#[derive(Clone)]
pub struct Snapshot {
    rows: Arc<Map>,
    kinds: Arc<dyn Kinds>,
    commit: CommitNumber,
}

impl Snapshot {
    /// The newest commit that it sees.
    #[must_use]
    pub fn commit(&self) -> CommitNumber {
        self.commit
    }

    fn newest_until(&self, tag: TagId, time: Timestamp) -> Option<Reading> {
        let ((_, time), (value, quality)) = self.rows.range((tag, Timestamp::MIN)..=(tag, time)).next_back()?;
        Some(Reading { time: *time, value: value.clone(), quality: *quality })
    }

    /// Cuts a scan into at most about `parts` parts that can run side by side. Each tag's rows come
    /// whole and in order from one part where the rule ignores time.
    #[must_use]
    pub fn scan(&self, request: &ScanRequest, parts: usize) -> Vec<ScanPart> {
        let _ = parts;
        vec![ScanPart { batches: self.batches(request).into_iter(), statistics: ScanStatistics::default() }]
    }

    fn batches(&self, request: &ScanRequest) -> Vec<ScanBatch> {
        let mut out: Vec<ScanBatch> = Vec::new();
        let mut by_tag: BTreeMap<TagId, Vec<(Timestamp, Datum, Quality)>> = BTreeMap::new();
        for ((tag, time), (value, quality)) in self.rows.iter() {
            if request.tags.contains(*tag) && request.range.contains(*time) && matches!(value, Datum::Text(_)) == request.texts {
                by_tag.entry(*tag).or_default().push((*time, value.clone(), *quality));
            }
        }
        for (tag, mut rows) in by_tag {
            if request.direction == Direction::Descending {
                rows.reverse();
            }
            rows.truncate(request.rows_per_tag_max.map_or(usize::MAX, |max| max as usize));
            let kind = self.kinds.kind(tag).unwrap_or(Kind::F64);
            for part in rows.chunks(request.batch_rows.max(1)) {
                let mut batch = ScanBatch { texts: TextColumn::new(), ..ScanBatch::default() };
                batch.runs.push(Run { tag, kind, rows: part.len() as u32 });
                for (time, value, quality) in part {
                    batch.times.push(*time);
                    match value {
                        Datum::Bits(bits) => batch.bits.push(*bits),
                        Datum::Text(text) => batch.texts.push(text),
                    }
                    batch.qualities.get_or_insert_with(Vec::new).push(quality.0);
                }
                out.push(batch);
            }
        }
        out
    }

    /// Cuts an aggregate into at most about `parts` parts that can run side by side.
    #[must_use]
    pub fn aggregate(&self, request: &AggregateRequest, parts: usize) -> Vec<AggregatePart> {
        let _ = parts;
        let scan = ScanRequest {
            tags: request.tags.clone(),
            texts: false,
            range: request.range,
            projection: crate::Projection::ALL,
            direction: Direction::Ascending,
            rows_per_tag_max: None,
            batch_rows: usize::MAX,
        };
        let mut out = AggregateBatch::default();
        for batch in self.batches(&scan) {
            let run = batch.runs[0];
            let qualities = batch.qualities.as_deref().unwrap_or_default();
            let mut key = None;
            for (i, time) in batch.times.iter().enumerate() {
                if request.good_only && !Quality(qualities[i]).is_good() {
                    continue;
                }
                let bin = request.bins.map_or(Timestamp::MIN, |bins| {
                    let from = i128::from(time.0) - i128::from(bins.origin.0);
                    let bin = i128::from(bins.origin.0) + from.div_euclid(bins.width_us.into()) * i128::from(bins.width_us);
                    Timestamp(bin.max(i64::MIN.into()) as i64)
                });
                let bits = batch.bits[i];
                let float = run.kind.bits_to_f64(bits);
                if key != Some(bin) {
                    key = Some(bin);
                    out.tags.push(run.tag);
                    out.kinds.push(run.kind);
                    out.bins.push(bin);
                    out.counts.push(0);
                    out.sums.push(0.0);
                    out.integer_sums.push(0);
                    out.mins.push(bits);
                    out.maxs.push(bits);
                    out.first_times.push(*time);
                    out.firsts.push(bits);
                    out.last_times.push(*time);
                    out.lasts.push(bits);
                }
                let row = out.tags.len() - 1;
                out.counts[row] += 1;
                out.sums[row] += float;
                if run.kind.is_integer() {
                    out.integer_sums[row] += i128::from(bits as i64);
                }
                let less = |a: u64, b: u64| {
                    if run.kind.is_integer() {
                        (a as i64) < (b as i64)
                    } else {
                        run.kind.bits_to_f64(a).total_cmp(&run.kind.bits_to_f64(b)).is_lt()
                    }
                };
                if less(bits, out.mins[row]) {
                    out.mins[row] = bits;
                }
                if less(out.maxs[row], bits) {
                    out.maxs[row] = bits;
                }
                out.last_times[row] = *time;
                out.lasts[row] = bits;
            }
        }
        vec![AggregatePart { batches: vec![out].into_iter(), statistics: ScanStatistics::default() }]
    }

    /// The smallest ranges of time, newest first and apart from each other, that together hold every
    /// sample of these tags in the range: what a reader walks who wants the newest first.
    #[must_use]
    pub fn time_ranges(&self, tags: &TagSelection, range: TimeRange) -> Vec<TimeRange> {
        let times = self.rows.keys().filter(|(tag, time)| tags.contains(*tag) && range.contains(*time)).map(|(_, time)| *time);
        let (mut first, mut last) = (Timestamp::MAX, Timestamp::MIN);
        for time in times {
            first = first.min(time);
            last = last.max(time);
        }
        if first > last { Vec::new() } else { vec![TimeRange { first, last }] }
    }
}

/// A part of a scan.
pub struct ScanPart {
    batches: std::vec::IntoIter<ScanBatch>,
    statistics: ScanStatistics,
}

impl ScanPart {
    /// The next batch; None at the end. Reads files on the calling thread.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn next_batch(&mut self) -> Result<Option<ScanBatch>, Error> {
        Ok(self.batches.next())
    }

    /// What it looked at so far.
    #[must_use]
    pub fn statistics(&self) -> ScanStatistics {
        self.statistics
    }
}

/// A part of an aggregate.
pub struct AggregatePart {
    batches: std::vec::IntoIter<AggregateBatch>,
    statistics: ScanStatistics,
}

impl AggregatePart {
    /// The next batch; None at the end. Reads files on the calling thread.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn next_batch(&mut self) -> Result<Option<AggregateBatch>, Error> {
        Ok(self.batches.next())
    }

    /// What it looked at so far.
    #[must_use]
    pub fn statistics(&self) -> ScanStatistics {
        self.statistics
    }
}
