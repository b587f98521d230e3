//! The merge plan: which files of a slice are merged next, and into what. A pure function of the manifest.
//!
//! Promises:
//! - **Order survives.** What is merged covers one interval of versions, and no file outside of the work has a
//!   version within it where its periods and tags overlap: so of two files that hold the same (tag, time), one is
//!   wholly newer, before the merge and after it.
//! - **Bounded write amplification.** In the background a row is written once by its flush, at most once out of each
//!   level of mixed files, and once a level of its period: levels grow by a factor of `fan` in files, so about
//!   log(files) / log(fan) times in all. (Closure, below, may add one more for rows flushed in the same interval as late rows.)
//! - **Bounded disk use.** One piece of work reads at most `work_bytes_max`, unless two files alone are larger, and needs
//!   about as much room until its sources go.
//!
//! How: mixed files (rows of many periods) gather until `fan` of a level stand side by side; they become one mixed file
//! while a period's share would be tiny, else one file a period. A period's files merge when `fan` of a level stand
//! side by side; a closed period (not the newest two) is tidied when two do. Whatever else shares the work's periods, tags and
//! versions joins it (closure): that is how a mixed file between two files of a period is taken along.
//!
//! It may not know what is in the files, nor who runs the work.

use std::collections::BTreeSet;
use storage::{FileMeta, FileNumber, FilePlace};
use types::{Period, TagId, Version};

/// What bounds merging.
#[derive(Clone, Copy, Debug)]
pub struct MergeOptions {
    /// How many files of a level stand side by side before they are merged, at least 2.
    pub fan: usize,
    /// The most bytes that one piece of work reads (two files are merged whatever their size is below twice this).
    pub work_bytes_max: u64,
    /// Mixed files are split into periods once a period's share is about this many bytes.
    pub split_bytes_min: u64,
}

impl Default for MergeOptions {
    fn default() -> Self {
        MergeOptions { fan: 8, work_bytes_max: 1 << 30, split_bytes_min: 64 << 10 }
    }
}

/// What the caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeGoal {
    /// Only what pays while the store is at work.
    Background,
    /// One file a period in the end.
    Everything,
}

/// Where the rows of a merge go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeTarget {
    /// One mixed file.
    Mixed,
    /// One file a period.
    Periods,
}

/// A piece of work: these files, and only these, become new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeWork {
    /// The sources, in order of version.
    pub files: Vec<FileNumber>,
    /// Where the rows go.
    pub target: MergeTarget,
    /// The level of the new files.
    pub level: u32,
    /// The interval of versions that each new file covers.
    pub versions: (Version, Version),
}

/// How often mixed files are merged into mixed files before they are split, whatever their size.
const MIXED_LEVELS_MAX: u32 = 3;

/// The next piece of work, or None where nothing pays. `deleted_from` are files that still hold rows which a deletion
/// hides: they are rewritten when nothing else is to be done.
#[must_use]
pub fn next_merge(
    files: &[FileMeta],
    deleted_from: &BTreeSet<FileNumber>,
    options: &MergeOptions,
    goal: MergeGoal,
) -> Option<MergeWork> {
    let mut files: Vec<&FileMeta> = files.iter().collect();
    files.sort_unstable_by_key(|file| (file.versions, file.number));
    let work = match goal {
        MergeGoal::Background => mixed(&files, options).or_else(|| periods(&files, options)),
        MergeGoal::Everything => everything(&files, options),
    };
    work.or_else(|| {
        let file = files.iter().find(|file| deleted_from.contains(&file.number))?;
        let target = if file.place == FilePlace::Mixed { MergeTarget::Mixed } else { MergeTarget::Periods };
        Some(MergeWork { files: vec![file.number], target, level: file.level, versions: file.versions })
    })
}

/// Mixed files, once enough of them stand side by side.
fn mixed(files: &[&FileMeta], options: &MergeOptions) -> Option<MergeWork> {
    let chain: Vec<&FileMeta> = files.iter().copied().filter(|file| file.place == FilePlace::Mixed).collect();
    let run = level_run(&chain, options.fan, options)?;
    let all = closure(run.clone(), files);
    let hull = Hull::of(&run)?;
    let periods: u128 = hull.periods.iter().map(|(first, last)| (i128::from(last.0) - i128::from(first.0) + 1) as u128).sum();
    let bytes: u64 = run.iter().map(|file| file.bytes).sum();
    let tiny = u128::from(bytes) < periods.saturating_mul(options.split_bytes_min.into());
    let level = run.iter().map(|file| file.level).max()? + 1;
    if tiny && all.len() == run.len() && level <= MIXED_LEVELS_MAX {
        return Some(work(&run, MergeTarget::Mixed, level));
    }
    Some(work(&all, MergeTarget::Periods, 1))
}

/// A period's files, once enough of a level stand side by side; the oldest period first.
fn periods(files: &[&FileMeta], options: &MergeOptions) -> Option<MergeWork> {
    let chains = chains(files);
    let newest = chains.last().map(|(period, _)| period.0)?;
    for (period, chain) in &chains {
        let fan = if period.0.saturating_add(1) < newest { 2 } else { options.fan };
        if let Some(run) = level_run(chain, fan, options) {
            let level = run.iter().map(|file| file.level).max()? + 1;
            return Some(work(&closure(run, files), MergeTarget::Periods, level));
        }
    }
    None
}

/// Whatever is not yet one file a period.
fn everything(files: &[&FileMeta], options: &MergeOptions) -> Option<MergeWork> {
    let mixed: Vec<&FileMeta> = files.iter().copied().filter(|file| file.place == FilePlace::Mixed).collect();
    if !mixed.is_empty() {
        // Piece by piece where there is much: the oldest first, so that intervals stay side by side.
        let some = fitting(&mixed, options.work_bytes_max).max(1);
        return Some(work(&closure(mixed[..some].to_vec(), files), MergeTarget::Periods, 1));
    }
    for (_, chain) in chains(files) {
        for at in 0..chain.len() {
            let some = fitting(&chain[at..], options.work_bytes_max);
            if some >= 2 {
                let run = chain[at..at + some].to_vec();
                let level = run.iter().map(|file| file.level).max()? + 1;
                return Some(work(&closure(run, files), MergeTarget::Periods, level));
            }
        }
    }
    None
}

/// The files of each period, in order of version.
fn chains<'a>(files: &[&'a FileMeta]) -> Vec<(Period, Vec<&'a FileMeta>)> {
    let mut out: std::collections::BTreeMap<Period, Vec<&FileMeta>> = std::collections::BTreeMap::new();
    for file in files {
        if let FilePlace::Period(period) = file.place {
            out.entry(period).or_default().push(file);
        }
    }
    out.into_iter().collect()
}

/// The first run of a chain, lowest level first, that holds at least `fan` files of a level and none above it.
fn level_run<'a>(chain: &[&'a FileMeta], fan: usize, options: &MergeOptions) -> Option<Vec<&'a FileMeta>> {
    let levels: BTreeSet<u32> = chain.iter().map(|file| file.level).collect();
    for level in levels {
        let low = |file: &&FileMeta| file.level <= level;
        for run in chain.chunk_by(|a, b| low(a) == low(b)).filter(|run| low(&run[0])) {
            let mut rest = run;
            while rest.len() >= 2 {
                let some = fitting(rest, options.work_bytes_max).max(1);
                let piece = &rest[..some];
                if some >= 2 && piece.iter().filter(|file| file.level == level).count() >= fan.max(2) {
                    return Some(piece.to_vec());
                }
                // A piece that is full with fewer files than the fan has grown enough: it stays.
                rest = &rest[if some < rest.len() { some } else { rest.len() }..];
            }
        }
    }
    None
}

/// How many files from the front of a chain one piece of work may read.
fn fitting(chain: &[&FileMeta], bytes_max: u64) -> usize {
    let mut bytes = 0_u64;
    chain
        .iter()
        .take_while(|file| {
            bytes = bytes.saturating_add(file.bytes);
            bytes <= bytes_max
        })
        .count()
}

/// What some files span.
struct Hull {
    /// Ranges of periods, in order, apart from each other.
    periods: Vec<(Period, Period)>,
    tags: (TagId, TagId),
    versions: (Version, Version),
}

impl Hull {
    fn of(files: &[&FileMeta]) -> Option<Hull> {
        let mut ranges: Vec<(Period, Period)> = files.iter().flat_map(|file| file.periods.iter().copied()).collect();
        ranges.sort_unstable();
        let mut periods: Vec<(Period, Period)> = Vec::new();
        for range in ranges {
            match periods.last_mut() {
                Some(last) if range.0 <= Period(last.1.0.saturating_add(1)) => last.1 = last.1.max(range.1),
                _ => periods.push(range),
            }
        }
        Some(Hull {
            periods,
            tags: (files.iter().map(|file| file.tag_range.0).min()?, files.iter().map(|file| file.tag_range.1).max()?),
            versions: (files.iter().map(|file| file.versions.0).min()?, files.iter().map(|file| file.versions.1).max()?),
        })
    }

    fn meets(&self, file: &FileMeta) -> bool {
        let shared = |(first, last): &(Period, Period)| {
            let at = self.periods.partition_point(|(_, end)| end < first);
            self.periods.get(at).is_some_and(|(begin, _)| begin <= last)
        };
        file.periods.iter().any(shared)
            && self.tags.0 <= file.tag_range.1
            && file.tag_range.0 <= self.tags.1
            && self.versions.0 <= file.versions.1
            && file.versions.0 <= self.versions.1
    }
}

/// The work's files and all that share a period, tags and versions with them, in order of version.
fn closure<'a>(mut work: Vec<&'a FileMeta>, files: &[&'a FileMeta]) -> Vec<&'a FileMeta> {
    loop {
        let Some(hull) = Hull::of(&work) else { return work };
        let before = work.len();
        let taken: BTreeSet<FileNumber> = work.iter().map(|file| file.number).collect();
        work.extend(files.iter().filter(|file| !taken.contains(&file.number) && hull.meets(file)));
        if work.len() == before {
            work.sort_unstable_by_key(|file| (file.versions, file.number));
            return work;
        }
    }
}

fn work(files: &[&FileMeta], target: MergeTarget, level: u32) -> MergeWork {
    let hull = Hull::of(files).expect("a piece of work has files");
    let level = files.iter().map(|file| file.level).max().map_or(level, |highest| level.max(highest));
    MergeWork { files: files.iter().map(|file| file.number).collect(), target, level, versions: hull.versions }
}

#[cfg(test)]
mod tests;
