//! What a kernel says of itself: the rows of the tables in schema `meridian`.
use crate::HistogramCounts;
use crate::core::Core;
use memory::{CacheStatus, ShareStatus};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use storage::{FileMeta, FilePlace};
use types::{CommitNumber, Period, SliceId, TimeRange, Version};

/// A slice.
#[derive(Clone, Debug)]
pub struct SliceStatus {
    /// Which.
    pub slice: SliceId,
    /// Its version.
    pub version: Version,
    /// File groups that it has.
    pub file_groups: u64,
    /// Files that it has.
    pub files: u64,
    /// Bytes of its files.
    pub file_bytes: u64,
    /// Rows in its write buffer.
    pub buffered_rows: u64,
    /// Bytes of its write buffer.
    pub buffered_bytes: u64,
    /// Newest samples of thinned tags: they may yet be left out.
    pub held_samples: u64,
    /// Deletions not yet merged into all older files.
    pub tombstones: u64,
    /// Bytes of records that were logged of it since opening, where it is led from outside (by this node, too).
    pub recorded_bytes: u64,
    /// Bytes of files that were copied from another replica since opening.
    pub copied_bytes: u64,
}

/// A file group: the files of one table in one slice for one period (paper, figure 7).
#[derive(Clone, Debug)]
pub struct FileGroupStatus {
    /// In which slice.
    pub slice: SliceId,
    /// Of which period.
    pub period: Period,
    /// Its version.
    pub version: Version,
    /// Its files (a file that holds several periods counts for each).
    pub files: u64,
    /// Rows in its files, as far as known by file.
    pub rows: u64,
    /// Bytes of its own files.
    pub bytes: u64,
}

/// A file.
#[derive(Clone, Debug)]
pub struct FileStatus {
    /// In which slice.
    pub slice: SliceId,
    /// Its path below the store's directory.
    pub path: String,
    /// What is in it: "series".
    pub table: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Its tags.
    pub tags: u64,
    /// From the oldest to the newest sample.
    pub range: TimeRange,
    /// First and last version that it covers.
    pub versions: (Version, Version),
    /// How often it was merged; 0 = as flushed.
    pub level: u32,
}

/// The node as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeStatus {
    /// The newest commit that reads see.
    pub visible: CommitNumber,
    /// Commits since opening.
    pub commits: u64,
    /// Rows taken since opening, those left out of thinned tags included.
    pub rows_written: u64,
    /// Rows of thinned tags left out since opening.
    pub rows_thinned: u64,
    /// Log syncs since opening.
    pub log_syncs: u64,
    /// Bytes of log segments.
    pub log_bytes: u64,
    /// Bytes of write buffers.
    pub buffered_bytes: u64,
    /// Bytes of cached blocks.
    pub cached_bytes: u64,
    /// Flushes since opening.
    pub flushes: u64,
    /// Merges since opening.
    pub merges: u64,
    /// Bytes that flushes wrote.
    pub flushed_bytes: u64,
    /// Bytes that merges wrote.
    pub merged_bytes: u64,
    /// Jobs of flush and merge that wait or run now.
    pub jobs: u64,
}

/// What only this process shows of its kernel: how long things took, and how full its memory is.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Commits, from the call to the answer.
    pub commit_times: HistogramCounts,
    /// Flushes.
    pub flush_times: HistogramCounts,
    /// Merges.
    pub merge_times: HistogramCounts,
    /// The cache of blocks of files.
    pub cache: CacheStatus,
    /// The memory budget in bytes, and what is taken of it.
    pub budget_bytes: (u64, u64),
    /// The shares of the budget.
    pub shares: Vec<ShareStatus>,
    /// Why the store refuses writes, if it does.
    pub refuses_writes: Option<String>,
}

impl NodeStatus {
    /// Adds another node's counters; the newest commit is the newer of both.
    pub fn add(&mut self, other: &NodeStatus) {
        self.visible = self.visible.max(other.visible);
        self.commits += other.commits;
        self.rows_written += other.rows_written;
        self.rows_thinned += other.rows_thinned;
        self.log_syncs += other.log_syncs;
        self.log_bytes += other.log_bytes;
        self.buffered_bytes += other.buffered_bytes;
        self.cached_bytes += other.cached_bytes;
        self.flushes += other.flushes;
        self.merges += other.merges;
        self.flushed_bytes += other.flushed_bytes;
        self.merged_bytes += other.merged_bytes;
        self.jobs += other.jobs;
    }
}

impl Core {
    pub(crate) fn slice_statuses(&self) -> Vec<SliceStatus> {
        let ground = self.ground();
        let status = |slice: &std::sync::Arc<crate::slice::Slice>| {
            let state = slice.state.lock();
            SliceStatus {
                slice: slice.id,
                version: state.version,
                file_groups: state.groups.len() as u64,
                files: state.files.files().len() as u64,
                file_bytes: state.files.files().iter().map(|file| file.meta.bytes).sum(),
                buffered_rows: state.buffer.rows() as u64,
                buffered_bytes: state.buffer.bytes() as u64,
                held_samples: state.buffer.held().len() as u64,
                tombstones: (state.graves.len() + state.deletions.len()) as u64,
                recorded_bytes: slice.recorded_bytes.load(Ordering::Relaxed),
                copied_bytes: slice.copied_bytes.load(Ordering::Relaxed),
            }
        };
        ground.slices.iter().map(status).collect()
    }

    pub(crate) fn file_group_statuses(&self) -> Vec<FileGroupStatus> {
        let ground = self.ground();
        let mut out = Vec::new();
        for slice in &ground.slices {
            let state = slice.state.lock();
            let fresh = |period: &Period, version: &Version| FileGroupStatus {
                slice: slice.id,
                period: *period,
                version: *version,
                files: 0,
                rows: 0,
                bytes: 0,
            };
            let mut groups: BTreeMap<Period, FileGroupStatus> =
                state.groups.iter().map(|(period, version)| (*period, fresh(period, version))).collect();
            for file in state.files.files().iter() {
                count_file(&file.meta, &mut groups, ground.period_us);
            }
            out.extend(groups.into_values());
        }
        out
    }

    pub(crate) fn file_statuses(&self) -> Vec<FileStatus> {
        let ground = self.ground();
        let mut out = Vec::new();
        for slice in &ground.slices {
            let files = std::sync::Arc::clone(&slice.state.lock().files);
            out.extend(files.files().iter().map(|file| FileStatus {
                slice: slice.id,
                path: format!("slices/{:04}/{}", slice.id.0, file.meta.path().display()),
                table: "series",
                bytes: file.meta.bytes,
                rows: file.meta.rows,
                tags: file.meta.tags,
                range: file.meta.range,
                versions: file.meta.versions,
                level: file.meta.level,
            }));
        }
        out
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let budget = &self.shares.budget;
        Metrics {
            commit_times: self.counters.commit_times.counts(),
            flush_times: self.counters.flush_times.counts(),
            merge_times: self.counters.merge_times.counts(),
            cache: self.shares.cache_status(),
            budget_bytes: (budget.bytes_max(), budget.bytes()),
            shares: budget.shares(),
            refuses_writes: self.poison.get().cloned().or_else(|| self.jobs.disk_full.lock().clone().filter(|_| self.is_short())),
        }
    }

    pub(crate) fn node_status(&self) -> NodeStatus {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        NodeStatus {
            visible: self.visible(),
            commits: count(&self.counters.commits),
            rows_written: count(&self.counters.rows_written),
            rows_thinned: count(&self.counters.rows_thinned),
            log_syncs: self.log.syncs(),
            log_bytes: self.log.bytes(),
            buffered_bytes: self.shares.buffers.status().bytes,
            cached_bytes: self.shares.cached_bytes(),
            flushes: count(&self.counters.flushes),
            merges: count(&self.counters.merges),
            flushed_bytes: count(&self.counters.flushed_bytes),
            merged_bytes: count(&self.counters.merged_bytes),
            jobs: count(&self.jobs.count),
        }
    }
}

/// Counts a file for the groups that it is part of. A mixed file's rows are not known by group.
fn count_file(meta: &FileMeta, groups: &mut BTreeMap<Period, FileGroupStatus>, period_us: i64) {
    match meta.place {
        FilePlace::Period(period) => {
            if let Some(group) = groups.get_mut(&period) {
                group.files += 1;
                group.rows += meta.rows;
                group.bytes += meta.bytes;
            }
        }
        FilePlace::Mixed => {
            let touched = groups.iter_mut().filter(|(period, _)| period.range(period_us).overlaps(&meta.range));
            touched.for_each(|(_, group)| group.files += 1);
        }
    }
}
