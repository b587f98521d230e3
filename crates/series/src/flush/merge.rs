//! Merging: the files of one piece of work, tag by tag, into new files.
//!
//! Rows come through `view::Merged`: in windows of time, of equal times the later source's. A tag
//! whose rows fit `ROWS_AT_ONCE` is written in one go, a longer one in parts, so memory is bounded
//! however long a tag is. Where the rows span more periods than there may be files open at once,
//! the work is done in several walks, each over a window of periods.

use super::outputs::Outputs;
use super::{FlushPlan, ViewFile};
use crate::view::Merged;
use crate::{Error, MergeTarget, MergeWork, SeriesColumns, Tombstone};
use std::sync::Arc;
use storage::FilePlace;
use types::{Kind, Period, TagId, TimeRange, Version};

/// Periods whose files may be open at once.
const PERIODS_OPEN_MAX: usize = 64;
/// The level of a file that holds all of a period.
const EXTRACT_LEVEL: u32 = 1;
/// Rows of a tag that are gathered before they are written.
const ROWS_AT_ONCE: usize = 64 << 10;
/// Bytes of texts of a tag that are gathered before they are written.
const TEXT_BYTES_AT_ONCE: usize = 8 << 20;

/// Merges files into new ones. `files` are the work's, in its order (of version); `tombstones` are
/// all that the slice's files need. Gives no file where no row is left. `stop` is asked now and then (at each tag, and
/// within long ones) whether to end early.
///
/// # Errors
/// `Error::File`, `Error::Stopped`; nothing stays of the new files then.
pub fn merge(
    files: &[Arc<ViewFile>],
    tombstones: &[Tombstone],
    work: &MergeWork,
    plan: &FlushPlan<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Arc<ViewFile>>, Error> {
    let mut outputs = Outputs::new(plan, work.versions, work.level);
    let mut merging = Merging { files, tombstones, target: work.target, period_us: plan.period_us, stop };
    let worked = merging.run(&mut outputs);
    outputs.end(worked)
}

/// Writes the rows that these files (all of the slice's of that period, in order of version) have in one period into a
/// file of its own, which is said to cover `versions`. Gives none where no row is left.
///
/// # Errors
/// As `merge`.
pub fn extract(
    files: &[Arc<ViewFile>],
    tombstones: &[Tombstone],
    period: Period,
    versions: (Version, Version),
    plan: &FlushPlan<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Arc<ViewFile>>, Error> {
    let mut outputs = Outputs::new(plan, versions, EXTRACT_LEVEL);
    let mut merging = Merging { files, tombstones, target: MergeTarget::Periods, period_us: plan.period_us, stop };
    let worked = merging.walk(period.range(plan.period_us), &mut outputs);
    outputs.end(worked)
}

struct Merging<'a> {
    files: &'a [Arc<ViewFile>],
    tombstones: &'a [Tombstone],
    target: MergeTarget,
    period_us: i64,
    stop: &'a dyn Fn() -> bool,
}

impl Merging<'_> {
    fn run(&mut self, outputs: &mut Outputs<'_>) -> Result<(), Error> {
        if self.target == MergeTarget::Mixed {
            return self.walk(TimeRange::ALL, outputs);
        }
        let mut held: Vec<(Period, Period)> = self.files.iter().flat_map(|file| file.meta.periods.iter().copied()).collect();
        held.sort_unstable();
        let mut next = held.first().map(|(first, _)| *first);
        while let Some(first) = next {
            let mut last = first;
            for _ in 1..PERIODS_OPEN_MAX {
                match period_after(&held, last) {
                    Some(after) => last = after,
                    None => break,
                }
            }
            let window = TimeRange { first: first.range(self.period_us).first, last: last.range(self.period_us).last };
            self.walk(window, outputs)?;
            outputs.finish_open()?;
            next = period_after(&held, last);
        }
        Ok(())
    }

    /// One walk over all sources, for the rows in a window of time.
    fn walk(&mut self, window: TimeRange, outputs: &mut Outputs<'_>) -> Result<(), Error> {
        let mut merged = Merged::new(self.files, self.tombstones, window);
        let mut rows = SeriesColumns::default();
        while let Some((tag, kind)) = merged.next_tag()? {
            rows.clear();
            let mut parts = 0;
            self.go_on()?;
            while merged.next_rows(&mut rows)? {
                if rows.len() >= ROWS_AT_ONCE || rows.texts.bytes.len() >= TEXT_BYTES_AT_ONCE {
                    self.put(tag, kind, &rows, false, outputs)?;
                    self.go_on()?;
                    rows.clear();
                    parts += 1;
                }
            }
            self.put(tag, kind, &rows, parts == 0, outputs)?;
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), Error> {
        if (self.stop)() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Writes rows where they belong; `whole` where they are all of the tag's.
    fn put(&self, tag: TagId, kind: Kind, rows: &SeriesColumns, whole: bool, outputs: &mut Outputs<'_>) -> Result<(), Error> {
        let rows = rows.rows(kind);
        if self.target == MergeTarget::Mixed {
            return outputs.append(FilePlace::Mixed, tag, kind, rows, whole);
        }
        let mut from = 0;
        while from < rows.len() {
            let period = Period::of(rows.times[from], self.period_us);
            let last = period.range(self.period_us).last;
            let to = from + rows.times[from..].partition_point(|time| *time <= last);
            outputs.append(FilePlace::Period(period), tag, kind, rows.part(from, to), whole)?;
            from = to;
        }
        Ok(())
    }
}

/// The first period above one, of these ranges (in order of their beginning).
fn period_after(held: &[(Period, Period)], period: Period) -> Option<Period> {
    let next = Period(period.0.checked_add(1)?);
    held.iter().filter(|(_, last)| *last >= next).map(|(first, _)| (*first).max(next)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_walked_without_gaps_between_them() {
        let held: Vec<_> = [(-5, -4), (-4, 0), (7, 7), (i64::MAX - 1, i64::MAX)].map(|(a, b)| (Period(a), Period(b))).into();
        let mut walked = vec![held[0].0];
        while let Some(next) = period_after(&held, walked[walked.len() - 1]) {
            walked.push(next);
        }
        assert_eq!(walked.iter().map(|period| period.0).collect::<Vec<_>>(), [-5, -4, -3, -2, -1, 0, 7, i64::MAX - 1, i64::MAX]);
    }
}
