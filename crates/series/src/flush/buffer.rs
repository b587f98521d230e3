//! Flushing: a sealed buffer's rows, tag by tag, into the files of a flush.
//!
//! Where at least half of the rows lie in one period, that period's rows get a file of their own and
//! the rest a mixed one; else all go into the mixed file.

use super::outputs::Outputs;
use super::{FlushPlan, ViewFile};
use crate::buffer::SortedRun;
use crate::file::SeriesRows;
use crate::rows::Order;
use crate::{BufferView, Error, SeriesColumns};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use storage::FilePlace;
use types::{Kind, Period, TagId, TimeRange, Timestamp};

/// Writes the rows of a view of a sealed buffer into files; none where all is deleted. Held samples stay where they are.
///
/// # Errors
/// `Error::File`; nothing stays of the files then.
pub fn flush(view: &BufferView, plan: &FlushPlan<'_>) -> Result<Vec<Arc<ViewFile>>, Error> {
    let Some(first) = view.first() else { return Ok(Vec::new()) };
    let bare = (!view.held().is_empty()).then(|| view.without_held());
    let view = bare.as_ref().unwrap_or(view);
    let current = current_period(view, plan.period_us);
    let mut outputs = Outputs::new(plan, (first, view.last()), 0);
    let worked = write(view, plan, current, &mut outputs);
    outputs.end(worked)
}

/// The period in which at least half of the rows lie.
fn current_period(view: &BufferView, period_us: i64) -> Option<Period> {
    let mut counts: FxHashMap<Period, usize> = FxHashMap::default();
    let mut rows = 0;
    for text in [false, true] {
        for (run, _) in view.runs(text) {
            rows += run.rows();
            count_periods(&run.columns.times, period_us, &mut counts);
        }
    }
    let (period, count) = counts.into_iter().max_by_key(|(period, count)| (*count, *period))?;
    (count * 2 >= rows).then_some(period)
}

/// Counts times by period; neighbours mostly lie in one.
fn count_periods(times: &[Timestamp], period_us: i64, counts: &mut FxHashMap<Period, usize>) {
    let mut from = 0;
    while from < times.len() {
        let period = Period::of(times[from], period_us);
        let held = period.range(period_us);
        let count = times[from..].iter().take_while(|time| held.contains(**time)).count();
        *counts.entry(period).or_default() += count;
        from += count;
    }
}

fn write(view: &BufferView, plan: &FlushPlan<'_>, current: Option<Period>, outputs: &mut Outputs<'_>) -> Result<(), Error> {
    let split = current.map(|period| (period, period.range(plan.period_us)));
    let (numeric, texts) = (view.tags(false), view.tags(true));
    let mut sorts = [(false, &numeric[..]), (true, &texts[..])];
    let (mut order, mut rows) = (Order::default(), SeriesColumns::default());
    loop {
        // Numeric and text tags by turns, so that tags rise in the files.
        let next = sorts.iter_mut().filter(|(_, tags)| !tags.is_empty()).min_by_key(|(_, tags)| tags[0]);
        let Some((text, tags)) = next else { return Ok(()) };
        let (text, tag) = (*text, tags[0]);
        *tags = &tags[1..];
        let kind = plan.kinds.kind(tag).unwrap_or(if text { Kind::Text } else { Kind::F64 });
        if let [(run, version)] = view.runs(text)
            && view.tombstones().iter().all(|tombstone| tombstone.version() <= *version)
        {
            put(outputs, split.as_ref(), tag, kind, of_run(run, tag, kind))?;
            continue;
        }
        view.tag_rows(tag, &TimeRange::ALL, text, &mut order, &mut rows);
        put(outputs, split.as_ref(), tag, kind, rows.rows(kind))?;
    }
}

fn of_run(run: &SortedRun, tag: TagId, kind: Kind) -> SeriesRows<'_> {
    let rows = run.rows_of(tag).unwrap_or(0..0);
    run.columns.rows(kind).part(rows.start, rows.end)
}

fn put(
    outputs: &mut Outputs<'_>,
    split: Option<&(Period, TimeRange)>,
    tag: TagId,
    kind: Kind,
    rows: SeriesRows<'_>,
) -> Result<(), Error> {
    let Some((period, range)) = split else { return outputs.append(FilePlace::Mixed, tag, kind, rows, true) };
    let from = rows.times.partition_point(|time| *time < range.first);
    let to = rows.times.partition_point(|time| *time <= range.last);
    outputs.append(FilePlace::Mixed, tag, kind, rows.part(0, from), to == rows.len())?;
    outputs.append(FilePlace::Period(*period), tag, kind, rows.part(from, to), true)?;
    outputs.append(FilePlace::Mixed, tag, kind, rows.part(to, rows.len()), from == 0)
}
