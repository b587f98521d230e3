//! What EXPLAIN says of a scan before it runs: which slices, file groups, files and chunks it must look at.
//! Chunks are counted by the files' indexes, up to a bound; nothing else is read.

use crate::scan::{Sort, Target};
use crate::time::{Zone, format};
use kernel::TagSelection;
use std::collections::BTreeSet;
use std::fmt;
use types::{SliceId, TimeRange, Timestamp};

/// Chunks that are looked at, at most: some milliseconds of index.
const CHUNKS_MAX: u64 = 100_000;

/// Slices that can hold the wanted tags in the wanted time; None = all of them.
fn slices(target: &Target) -> Option<BTreeSet<SliceId>> {
    let rule = target.engine.kernel.rule();
    let TagSelection::List(tags) = &target.tags else { return None };
    if rule.ignores_time() {
        return Some(tags.iter().map(|tag| rule.slice(*tag, Timestamp(0))).collect());
    }
    // Days are walked only where there are fewer than slices; beyond that all can be met.
    let days = (i128::from(target.range.last.0) - i128::from(target.range.first.0)) / i128::from(rule.day_us) + 2;
    if days > i128::from(rule.buckets) {
        return None;
    }
    let step = |day: i128| {
        Timestamp((i128::from(target.range.first.0) + day * i128::from(rule.day_us)).min(i128::from(target.range.last.0)) as i64)
    };
    Some(tags.iter().flat_map(|tag| (0..days).map(move |day| rule.slice(*tag, step(day)))).collect())
}

fn shown(time: Timestamp, open: Timestamp) -> String {
    let mut out = String::new();
    if time != open {
        format(time.0, Zone::Utc, &mut out);
    }
    out
}

fn range_shown(range: TimeRange) -> String {
    if range.is_empty() {
        return "nothing".to_owned();
    }
    if range == TimeRange::ALL {
        return "all".to_owned();
    }
    format!("{} .. {}", shown(range.first, Timestamp::MIN), shown(range.last, Timestamp::MAX))
}

/// Writes what a scan will look at.
pub(crate) fn describe(target: &Target, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let kernel = &target.engine.kernel;
    let wanted = slices(target);
    let total = kernel.rule().buckets as usize;
    let holds = |slice: SliceId| wanted.as_ref().is_none_or(|wanted| wanted.contains(&slice));
    let groups = kernel.file_groups();
    let period_us = kernel.settings().period_us;
    let kept_groups =
        groups.iter().filter(|group| holds(group.slice) && group.period.range(period_us).overlaps(&target.range)).count();
    let files = kernel.files();
    let kept_files = files.iter().filter(|file| holds(file.slice) && file.range.overlaps(&target.range)).count();
    write!(
        out,
        "tags={}, time={}, slices={} of {total}, file_groups={kept_groups} of {}, files={kept_files} of {}",
        target.tags_shown(),
        range_shown(target.range),
        wanted.map_or(total, |wanted| wanted.len()),
        groups.len(),
        files.len(),
    )?;
    chunks(target, out)?;
    if target.good_only {
        out.write_str(", quality=good")?;
    }
    Ok(())
}

fn chunks(target: &Target, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let texts = target.sort == Sort::Texts;
    let range = if target.is_empty() { TimeRange { first: Timestamp::MAX, last: Timestamp::MIN } } else { target.range };
    match target.snapshot.count_chunks(&target.tags, range, texts, CHUNKS_MAX) {
        Ok((counts, true)) => write!(out, ", chunks={} of {}", counts.chunks - counts.chunks_pruned, counts.chunks),
        Ok((counts, false)) => write!(out, ", chunks=more than {}", counts.chunks - counts.chunks_pruned),
        // Whoever runs the statement is told what is wrong with which file.
        Err(_) => out.write_str(", chunks=unknown"),
    }
}
