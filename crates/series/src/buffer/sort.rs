//! Sorting sections into a run, and merging runs: what the background does so that readers find
//! few, ordered parts.
//!
//! Sections are sorted by counting: rows are counted by tag, then put straight where their tag's
//! rows lie, in the order of writing. Rows of a tag that were written in order of time (the usual
//! case) are then done; others are sorted by time. Where tags are strewn too thinly for counting,
//! keys are sorted instead. Tombstones hide rows of parts that are older.

use super::run::SortedRun;
use crate::rows::{Order, extend_qualities, remove_hidden};
use crate::{Section, SeriesColumns, Tombstone};
use std::sync::Arc;
use types::{Quality, TagId, Timestamp, Version};

/// Tags a page of counters; pages without rows cost nothing.
const PAGE_TAGS: u64 = 256;
/// The widest span of ordinals for which there is a table of pages.
const SPAN_MAX: u64 = PAGE_TAGS << 20;
/// Counters a row that are worth clearing and adding up.
const COUNTERS_PER_ROW_MAX: usize = 64;

/// Rows as they were written, sections end to end; texts as numbers of rows.
#[derive(Default)]
struct Written {
    tags: Vec<u64>,
    times: Vec<Timestamp>,
    bits: Vec<u64>,
    qualities: Option<Vec<u8>>,
}

/// The run of these sections (oldest first, all of one sort, at least one), less what later
/// tombstones hide.
pub(crate) fn sort_sections(sections: &[(Section, Version)], tombstones: &[Tombstone]) -> SortedRun {
    let text = sections[0].0.is_text();
    if let [(section, version)] = sections
        && section.is_ordered()
        && tombstones.iter().all(|tombstone| tombstone.version() < *version)
    {
        return SortedRun::of_ordered(section);
    }
    let written = written(sections, tombstones, text);
    let (tags, starts, mut columns) = by_tag(&written);
    let (tags, starts) = settle_all(tags, starts, &mut columns);
    if text {
        let ends: Vec<usize> = sections
            .iter()
            .scan(0, |end, (section, _)| {
                *end += section.rows();
                Some(*end)
            })
            .collect();
        for number in std::mem::take(&mut columns.bits) {
            let part = ends.partition_point(|end| *end <= number as usize);
            let before = if part == 0 { 0 } else { ends[part - 1] };
            columns.texts.push(sections[part].0.text(number as usize - before));
        }
    }
    SortedRun::new(text, tags, starts, columns)
}

fn written(sections: &[(Section, Version)], tombstones: &[Tombstone], text: bool) -> Written {
    let rows = sections.iter().map(|(section, _)| section.rows()).sum();
    let mut written = Written {
        tags: Vec::with_capacity(rows),
        times: Vec::with_capacity(rows),
        bits: Vec::with_capacity(rows),
        qualities: sections.iter().any(|(section, _)| !section.all_good()).then(|| Vec::with_capacity(rows)),
    };
    let mut number = 0;
    for (section, version) in sections {
        let from = written.tags.len();
        section.copy_tags(&mut written.tags);
        section.copy_times(&mut written.times);
        if text {
            written.bits.extend(number..number + section.rows() as u64);
        } else {
            written.bits.extend_from_slice(section.bits());
        }
        if let Some(qualities) = &mut written.qualities {
            section.copy_qualities(qualities);
        }
        number += section.rows() as u64;
        let later: Vec<_> = tombstones.iter().filter(|tombstone| tombstone.version() > *version).collect();
        if !later.is_empty() {
            written.retain(from, |tag, time| !later.iter().any(|tombstone| tombstone.hides(TagId(tag), time)));
        }
    }
    written
}

impl Written {
    fn retain(&mut self, from: usize, keep: impl Fn(u64, Timestamp) -> bool) {
        let mut kept = from;
        for row in from..self.tags.len() {
            if keep(self.tags[row], self.times[row]) {
                self.tags[kept] = self.tags[row];
                self.times[kept] = self.times[row];
                self.bits[kept] = self.bits[row];
                if let Some(qualities) = &mut self.qualities {
                    qualities[kept] = qualities[row];
                }
                kept += 1;
            }
        }
        self.tags.truncate(kept);
        self.times.truncate(kept);
        self.bits.truncate(kept);
        if let Some(qualities) = &mut self.qualities {
            qualities.truncate(kept);
        }
    }
}

type Grouped = (Vec<TagId>, Vec<u32>, SeriesColumns);

/// Rows grouped by tag, tags rising, the rows of a tag as they were written.
fn by_tag(written: &Written) -> Grouped {
    let low = written.tags.iter().copied().min().unwrap_or_default();
    let high = written.tags.iter().copied().max().unwrap_or_default();
    if high - low < SPAN_MAX
        && let Some(grouped) = by_counting(written, low, high)
    {
        return grouped;
    }
    by_keys(written)
}

fn by_counting(written: &Written, low: u64, high: u64) -> Option<Grouped> {
    const NONE: u32 = u32::MAX;
    let rows = written.tags.len();
    let pages_max = (rows * COUNTERS_PER_ROW_MAX / PAGE_TAGS as usize).max(64);
    let mut pages = vec![NONE; ((high - low) / PAGE_TAGS) as usize + 1];
    let mut counters: Vec<u32> = Vec::new();
    let mut used = 0;
    for tag in &written.tags {
        let (page, within) = ((tag - low) / PAGE_TAGS, (tag - low) % PAGE_TAGS);
        let slot = &mut pages[page as usize];
        if *slot == NONE {
            if used as usize >= pages_max {
                return None;
            }
            *slot = used;
            used += 1;
            counters.resize(used as usize * PAGE_TAGS as usize, 0);
        }
        counters[*slot as usize * PAGE_TAGS as usize + within as usize] += 1;
    }
    let (mut tags, mut starts) = (Vec::new(), Vec::new());
    let mut from = 0;
    for (page, slot) in pages.iter().enumerate().filter(|(_, slot)| **slot != NONE) {
        for within in 0..PAGE_TAGS {
            let counter = &mut counters[*slot as usize * PAGE_TAGS as usize + within as usize];
            if *counter > 0 {
                tags.push(TagId(low + page as u64 * PAGE_TAGS + within));
                starts.push(from);
                (from, *counter) = (from + *counter, from);
            }
        }
    }
    starts.push(from);
    let mut columns = SeriesColumns { times: vec![Timestamp(0); rows], bits: vec![0; rows], ..SeriesColumns::default() };
    let mut place_of = |tag: u64| {
        let (page, within) = ((tag - low) / PAGE_TAGS, (tag - low) % PAGE_TAGS);
        let counter = &mut counters[pages[page as usize] as usize * PAGE_TAGS as usize + within as usize];
        let place = *counter as usize;
        *counter += 1;
        place
    };
    match &written.qualities {
        None => {
            for ((tag, time), bits) in written.tags.iter().zip(&written.times).zip(&written.bits) {
                let place = place_of(*tag);
                columns.times[place] = *time;
                columns.bits[place] = *bits;
            }
        }
        Some(qualities) => {
            let mut column = vec![Quality::GOOD.0; rows];
            for (row, tag) in written.tags.iter().enumerate() {
                let place = place_of(*tag);
                columns.times[place] = written.times[row];
                columns.bits[place] = written.bits[row];
                column[place] = qualities[row];
            }
            columns.qualities = Some(column);
        }
    }
    Some((tags, starts, columns))
}

fn by_keys(written: &Written) -> Grouped {
    let mut keys: Vec<(u64, u32)> = written.tags.iter().copied().zip(0_u32..).collect();
    keys.sort_unstable();
    let rows = || keys.iter().map(|(_, row)| *row as usize);
    let columns = SeriesColumns {
        times: rows().map(|row| written.times[row]).collect(),
        bits: rows().map(|row| written.bits[row]).collect(),
        qualities: written.qualities.as_ref().map(|column| rows().map(|row| column[row]).collect()),
        ..SeriesColumns::default()
    };
    let (mut tags, mut starts) = (Vec::new(), Vec::new());
    for (place, (tag, _)) in keys.iter().enumerate() {
        if tags.last() != Some(&TagId(*tag)) {
            tags.push(TagId(*tag));
            starts.push(place as u32);
        }
    }
    starts.push(keys.len() as u32);
    (tags, starts, columns)
}

/// Puts each tag's rows in order of time.
fn settle_all(tags: Vec<TagId>, mut starts: Vec<u32>, columns: &mut SeriesColumns) -> (Vec<TagId>, Vec<u32>) {
    let times = &columns.times;
    let in_order = |part: &[u32]| times[part[0] as usize..part[1] as usize].is_sorted_by(|a, b| a < b);
    let Some(first) = starts.windows(2).position(|part| !in_order(part)) else {
        return (tags, starts);
    };
    let from = starts[first] as usize;
    let unsettled = SeriesColumns {
        times: columns.times.split_off(from),
        bits: columns.bits.split_off(from),
        qualities: columns.qualities.as_mut().map(|column| column.split_off(from)),
        ..SeriesColumns::default()
    };
    let mut order = Order::default();
    let mut next = from;
    for place in first..tags.len() {
        let rows = next - from..starts[place + 1] as usize - from;
        next = starts[place + 1] as usize;
        starts[place] = columns.len() as u32;
        columns.times.extend_from_slice(&unsettled.times[rows.clone()]);
        columns.bits.extend_from_slice(&unsettled.bits[rows.clone()]);
        extend_qualities(columns, unsettled.qualities.as_ref().map(|column| &column[rows.clone()]));
        order.settle(columns, starts[place] as usize);
    }
    starts[tags.len()] = columns.len() as u32;
    (tags, starts)
}

/// One run of many (oldest first, all of one sort, at least one), less what later tombstones hide.
pub(crate) fn merge_runs(runs: &[(Arc<SortedRun>, Version)], tombstones: &[Tombstone]) -> SortedRun {
    let text = runs[0].0.text;
    let rows = runs.iter().map(|(run, _)| run.rows()).sum();
    let mut columns =
        SeriesColumns { times: Vec::with_capacity(rows), bits: Vec::with_capacity(rows), ..SeriesColumns::default() };
    let (mut tags, mut starts) = (Vec::new(), Vec::new());
    let mut places = vec![0; runs.len()];
    let mut order = Order::default();
    loop {
        let heads = runs.iter().zip(&places).filter_map(|((run, _), place)| run.tags.get(*place));
        let Some(tag) = heads.min().copied() else { break };
        let from = columns.len();
        for (number, ((run, version), place)) in runs.iter().zip(&mut places).enumerate() {
            if run.tags.get(*place) != Some(&tag) {
                continue;
            }
            let (rows, start) = (run.rows_at(*place), columns.len());
            *place += 1;
            columns.times.extend_from_slice(&run.columns.times[rows.clone()]);
            if text {
                columns.bits.extend(rows.clone().map(|row| (number as u64) << 32 | row as u64));
            } else {
                columns.bits.extend_from_slice(&run.columns.bits[rows.clone()]);
            }
            extend_qualities(&mut columns, run.columns.qualities.as_ref().map(|column| &column[rows.clone()]));
            if !tombstones.is_empty() {
                let hidden: Vec<_> = tombstones.iter().filter(|t| t.version() > *version).filter_map(|t| t.of_tag(tag)).collect();
                remove_hidden(&mut columns, start, &hidden);
            }
        }
        order.settle(&mut columns, from);
        if columns.len() > from {
            tags.push(tag);
            starts.push(from as u32);
        }
    }
    starts.push(columns.len() as u32);
    if text {
        for place in std::mem::take(&mut columns.bits) {
            columns.texts.push(runs[(place >> 32) as usize].0.columns.texts.get((place & 0xFFFF_FFFF) as usize));
        }
    }
    SortedRun::new(text, tags, starts, columns)
}
