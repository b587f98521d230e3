//! What a data node says of itself, and what it is told to do at once: flush, merge.
//!
//! Promises: what was said comes back as it was; an answer holds at most `ROWS_MAX` file groups and files, the first ones. May
//! not know who asks.

use super::client::Client;
use super::node::DataNode;
use super::refused::{Because, Refused};
use super::service::{MAINTAIN, STATUS};
use crate::fleet::lines;
use crate::tickets::answered;
use kernel::{FileGroupStatus, FileStatus, Kernel, NodeStatus, SliceStatus};
use prost::Message as Wire;
use std::time::Duration;
use types::{CommitNumber, Epoch, Period, Sequence, SliceId, TimeRange, Timestamp, Version};

/// The most file groups and files that one answer holds.
const ROWS_MAX: usize = 100_000;

/// What a node says of itself.
#[derive(Clone, Debug)]
pub struct Status {
    /// Length of its file groups' period in microseconds.
    pub period_us: i64,
    /// How long it keeps samples; None = for ever.
    pub retention: Option<Duration>,
    /// Counters.
    pub node: NodeStatus,
    /// Its slices.
    pub slices: Vec<SliceStatus>,
    /// Its file groups.
    pub file_groups: Vec<FileGroupStatus>,
    /// Its files.
    pub files: Vec<FileStatus>,
}

#[derive(Clone, Copy, PartialEq, Wire)]
pub(super) struct Asking {
    /// What is to be done: 0 nothing, 1 flush, 2 merge.
    #[prost(uint32, tag = "1")]
    pub what: u32,
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Told {
    #[prost(message, optional, tag = "1")]
    pub refused: Option<Because>,
    #[prost(sint64, tag = "2")]
    period_us: i64,
    /// The counters, in the order of `NodeStatus`.
    #[prost(uint64, repeated, tag = "3")]
    node: Vec<u64>,
    #[prost(message, repeated, tag = "4")]
    slices: Vec<OfSlice>,
    #[prost(message, repeated, tag = "5")]
    groups: Vec<OfGroup>,
    #[prost(message, repeated, tag = "6")]
    files: Vec<OfFile>,
    /// 0: for ever.
    #[prost(uint64, tag = "7")]
    retention_us: u64,
}

#[derive(Clone, PartialEq, Wire)]
struct OfSlice {
    #[prost(uint32, tag = "1")]
    slice: u32,
    #[prost(uint64, repeated, tag = "2")]
    numbers: Vec<u64>,
}

#[derive(Clone, PartialEq, Wire)]
struct OfGroup {
    #[prost(uint32, tag = "1")]
    slice: u32,
    #[prost(sint64, tag = "2")]
    period: i64,
    #[prost(uint64, repeated, tag = "3")]
    numbers: Vec<u64>,
}

#[derive(Clone, PartialEq, Wire)]
struct OfFile {
    #[prost(uint32, tag = "1")]
    slice: u32,
    #[prost(string, tag = "2")]
    path: String,
    #[prost(sint64, tag = "3")]
    first: i64,
    #[prost(sint64, tag = "4")]
    last: i64,
    #[prost(uint64, repeated, tag = "5")]
    numbers: Vec<u64>,
}

fn version(epoch: u64, sequence: u64) -> Version {
    Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
}

fn said(kernel: &Kernel) -> Told {
    let own = |slice: &SliceStatus| slice.version != Version::default() || slice.file_groups > 0;
    let groups = kernel.file_groups().into_iter().take(ROWS_MAX);
    let files = kernel.files().into_iter().take(ROWS_MAX);
    Told {
        refused: None,
        period_us: kernel.period_us(),
        retention_us: kernel.settings().retention.map_or(0, |kept| u64::try_from(kept.as_micros()).unwrap_or(u64::MAX)),
        node: counters(&kernel.status()),
        slices: kernel.slices().iter().filter(|slice| own(slice)).map(OfSlice::from).collect(),
        groups: groups.map(|group| OfGroup::from(&group)).collect(),
        files: files.map(OfFile::from).collect(),
    }
}

fn counters(status: &NodeStatus) -> Vec<u64> {
    vec![
        status.visible.0,
        status.commits,
        status.rows_written,
        status.rows_thinned,
        status.log_syncs,
        status.log_bytes,
        status.buffered_bytes,
        status.cached_bytes,
        status.flushes,
        status.merges,
        status.flushed_bytes,
        status.merged_bytes,
        status.jobs,
    ]
}

fn node_status(numbers: &[u64]) -> Option<NodeStatus> {
    let [visible, commits, rows_written, rows_thinned, log_syncs, log_bytes, buffered_bytes, rest @ ..] = numbers else {
        return None;
    };
    let [cached_bytes, flushes, merges, flushed_bytes, merged_bytes, jobs] = *rest else { return None };
    Some(NodeStatus {
        visible: CommitNumber(*visible),
        commits: *commits,
        rows_written: *rows_written,
        rows_thinned: *rows_thinned,
        log_syncs: *log_syncs,
        log_bytes: *log_bytes,
        buffered_bytes: *buffered_bytes,
        cached_bytes,
        flushes,
        merges,
        flushed_bytes,
        merged_bytes,
        jobs,
    })
}

impl From<&SliceStatus> for OfSlice {
    fn from(slice: &SliceStatus) -> OfSlice {
        let numbers = vec![
            slice.version.epoch.0,
            slice.version.sequence.0,
            slice.file_groups,
            slice.files,
            slice.file_bytes,
            slice.buffered_rows,
            slice.buffered_bytes,
            slice.held_samples,
            slice.tombstones,
            slice.recorded_bytes,
            slice.copied_bytes,
        ];
        OfSlice { slice: slice.slice.0, numbers }
    }
}

impl OfSlice {
    fn status(&self) -> Option<SliceStatus> {
        let [epoch, sequence, file_groups, files, file_bytes, buffered_rows, buffered_bytes, rest @ ..] = self.numbers.as_slice()
        else {
            return None;
        };
        let [held_samples, tombstones, recorded_bytes, copied_bytes] = *rest else { return None };
        Some(SliceStatus {
            slice: SliceId(self.slice),
            version: version(*epoch, *sequence),
            file_groups: *file_groups,
            files: *files,
            file_bytes: *file_bytes,
            buffered_rows: *buffered_rows,
            buffered_bytes: *buffered_bytes,
            held_samples,
            tombstones,
            recorded_bytes,
            copied_bytes,
        })
    }
}

impl From<&FileGroupStatus> for OfGroup {
    fn from(group: &FileGroupStatus) -> OfGroup {
        let numbers = vec![group.version.epoch.0, group.version.sequence.0, group.files, group.rows, group.bytes];
        OfGroup { slice: group.slice.0, period: group.period.0, numbers }
    }
}

impl OfGroup {
    fn status(&self) -> Option<FileGroupStatus> {
        let [epoch, sequence, files, rows, bytes] = *self.numbers.as_slice() else { return None };
        let (slice, period) = (SliceId(self.slice), Period(self.period));
        Some(FileGroupStatus { slice, period, version: version(epoch, sequence), files, rows, bytes })
    }
}

impl From<FileStatus> for OfFile {
    fn from(file: FileStatus) -> OfFile {
        let (first, last) = file.versions;
        let versions = [first.epoch.0, first.sequence.0, last.epoch.0, last.sequence.0];
        let numbers = [file.bytes, file.rows, file.tags].into_iter().chain(versions).chain([u64::from(file.level)]);
        OfFile {
            slice: file.slice.0,
            numbers: numbers.collect(),
            path: file.path,
            first: file.range.first.0,
            last: file.range.last.0,
        }
    }
}

impl OfFile {
    fn status(self) -> Option<FileStatus> {
        let [bytes, rows, tags, a, b, c, d, level] = *self.numbers.as_slice() else { return None };
        Some(FileStatus {
            slice: SliceId(self.slice),
            path: self.path,
            table: "series",
            bytes,
            rows,
            tags,
            range: TimeRange { first: Timestamp(self.first), last: Timestamp(self.last) },
            versions: (version(a, b), version(c, d)),
            level: u32::try_from(level).ok()?,
        })
    }
}

impl Told {
    fn status(self) -> Option<Status> {
        Some(Status {
            period_us: self.period_us,
            retention: (self.retention_us > 0).then(|| Duration::from_micros(self.retention_us)),
            node: node_status(&self.node)?,
            slices: self.slices.iter().map(OfSlice::status).collect::<Option<_>>()?,
            file_groups: self.groups.iter().map(OfGroup::status).collect::<Option<_>>()?,
            files: self.files.into_iter().map(OfFile::status).collect::<Option<_>>()?,
        })
    }
}

/// Says how a node is.
pub(super) fn status(node: &DataNode) -> Told {
    said(node.kernel())
}

/// Flushes or merges, and answers when that is done.
pub(super) async fn maintain(node: &DataNode, asking: Asking) -> Told {
    let work = match asking.what {
        1 => node.kernel().flush(),
        2 => node.kernel().merge(),
        _ => return Told { refused: Some(Refused::Invalid("there is no such work".to_owned()).into()), ..Told::default() },
    };
    let failed = |text: String| Told { refused: Some(Refused::Unavailable(text).into()), ..Told::default() };
    match answered(work).await {
        Ok(Ok(())) => Told::default(),
        Ok(Err(fault)) => failed(fault.to_string()),
        Err(gone) => failed(gone.to_string()),
    }
}

impl Client {
    async fn ask_status(&self, path: &'static str, what: u32) -> Result<Told, Refused> {
        let told = lines::ask::<Asking, Told>(self.channel(), path, Asking { what }, self.limit()).await;
        let told = told.map_err(|status| Refused::Unavailable(status.to_string()))?;
        match told.refused {
            Some(because) => Err(because.into()),
            None => Ok(told),
        }
    }

    /// How a node is.
    ///
    /// # Errors
    /// `Refused::Unavailable`.
    pub async fn status(&self) -> Result<Status, Refused> {
        let told = self.ask_status(STATUS, 0).await?;
        told.status().ok_or_else(|| Refused::Unavailable("the answer is of another release".to_owned()))
    }

    /// Has a node write its buffers to files.
    ///
    /// # Errors
    /// `Refused::Unavailable`.
    pub async fn flush(&self) -> Result<(), Refused> {
        self.ask_status(MAINTAIN, 1).await.map(drop)
    }

    /// Has a node merge until nothing is left to be merged.
    ///
    /// # Errors
    /// `Refused::Unavailable`.
    pub async fn merge(&self) -> Result<(), Refused> {
        self.ask_status(MAINTAIN, 2).await.map(drop)
    }
}
