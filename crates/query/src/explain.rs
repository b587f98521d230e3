//! What EXPLAIN says of a scan before it runs: which slices, file groups, files and chunks it must look at.
//! Chunks are counted by the files' indexes, up to a bound; nothing else is read.

use crate::fleet::Away;
use crate::scan::{Place, Sort, Target};
use crate::time::{Zone, format};
use kernel::{Kernel, Snapshot, TagSelection};
use std::collections::BTreeSet;
use std::fmt;
use types::{DistributionRule, SliceId, TimeRange, Timestamp};

/// Chunks that are looked at, at most: some milliseconds of index.
const CHUNKS_MAX: u64 = 100_000;

/// Slices that can hold the wanted tags in the wanted time; None = all of them.
pub(crate) fn slices_of(rule: &DistributionRule, tags: &TagSelection, range: TimeRange) -> Option<BTreeSet<SliceId>> {
    let TagSelection::List(tags) = tags else { return None };
    if rule.ignores_time() {
        return Some(tags.iter().map(|tag| rule.slice(*tag, Timestamp(0))).collect());
    }
    // Days are walked only where there are fewer than slices; beyond that all can be met.
    let days = (i128::from(range.last.0) - i128::from(range.first.0)) / i128::from(rule.day_us) + 2;
    if days > i128::from(rule.buckets) {
        return None;
    }
    let step =
        |day: i128| Timestamp((i128::from(range.first.0) + day * i128::from(rule.day_us)).min(i128::from(range.last.0)) as i64);
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
    match &target.place {
        Place::Here(..) if target.bound => {
            // How much there is of others' tags is not told either.
            write!(out, "tags={}, time={}", target.tags_shown(), range_shown(target.range))?;
        }
        Place::Here(engine, snapshot) => {
            if let Some(kernel) = &engine.local {
                describe_here(target, kernel, out)?;
            }
            chunks(target, snapshot, out)?;
        }
        Place::Fleet(away) => {
            write!(out, "tags={}, time={}", target.tags_shown(), range_shown(target.range))?;
            nodes(away, out)?;
        }
        Place::Node(part) => {
            write!(out, "node={}, slices=[{}], ", part.node, listed(part.slices.iter().copied()))?;
            write!(out, "tags={}, time={}", target.tags_shown(), range_shown(target.range))?;
        }
    }
    if target.good_only {
        out.write_str(", quality=good")?;
    }
    Ok(())
}

/// Slices as they are written: runs of neighbours by their ends.
fn listed(slices: impl Iterator<Item = SliceId>) -> String {
    let all: Vec<u32> = slices.map(|slice| slice.0).collect();
    let runs = all.chunk_by(|a, b| a + 1 == *b);
    let run = |run: &[u32]| match run {
        [one] => one.to_string(),
        run => format!("{}-{}", run[0], run[run.len() - 1]),
    };
    runs.map(run).collect::<Vec<_>>().join(" ")
}

/// Which nodes of a fleet a scan will touch, and why the others are not.
fn nodes(away: &Away, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let total = away.engine.store.rule().buckets as usize;
    write!(out, ", slices={} of {total}", away.slices.len())?;
    let Some(route) = away.route.get() else { return Ok(()) };
    let of_leaf = |slice: &SliceId| away.slices.binary_search(slice).is_ok();
    let mut nodes = Vec::new();
    for owner in &route.owners {
        let slices: Vec<SliceId> = owner.slices.iter().map(|(slice, _)| *slice).filter(of_leaf).collect();
        if !slices.is_empty() {
            nodes.push(format!("{}: {}", owner.node, listed(slices.into_iter())));
        }
    }
    write!(out, ", nodes={} [{}], map={}", nodes.len(), nodes.join("; "), route.revision)?;
    if away.slices.len() < total {
        write!(out, ", others hold no slice of these tags and times")?;
    }
    Ok(())
}

fn describe_here(target: &Target, kernel: &Kernel, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let wanted = slices_of(&kernel.rule(), &target.tags, target.range);
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
    )
}

fn chunks(target: &Target, snapshot: &Snapshot, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let texts = target.sort == Sort::Texts;
    let range = if target.is_empty() { TimeRange { first: Timestamp::MAX, last: Timestamp::MIN } } else { target.range };
    match snapshot.count_chunks(&target.tags, range, texts, CHUNKS_MAX) {
        Ok((counts, true)) => write!(out, ", chunks={} of {}", counts.chunks - counts.chunks_pruned, counts.chunks),
        Ok((counts, false)) => write!(out, ", chunks=more than {}", counts.chunks - counts.chunks_pruned),
        // Whoever runs the statement is told what is wrong with which file.
        Err(_) => out.write_str(", chunks=unknown"),
    }
}
