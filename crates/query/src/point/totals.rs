//! Aggregates of samples of some tags: the kernel's partial ones, added up without a plan.
//!
//! Promises: what is held is bounded, since a question with more groups than `GROUPS_MAX` goes through a plan; it is read on
//! the blocking pool, reserved of queries' memory, and ends soon after nobody waits for it.

use super::gathered::Gathered;
use super::operands::{names, rows_limit};
use super::question::{Item, Plan, Question, Totals};
use super::resolved::Many;
use super::run::one_nan;
use super::{Cell, PointPlan, RowSink};
use crate::error::{Error, from_datafusion};
use crate::outcome::Rows;
use crate::scan::leaf::{Outlet, blocking};
use crate::session::Session;
use crate::value;
use datafusion::common::ScalarValue;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::StreamExt;
use kernel::{AggregateBatch, AggregateRequest, Bins, Snapshot, TagSelection};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use types::{TagId, TimeRange, Timestamp};

/// Groups at most, by the times between which there are samples.
const GROUPS_MAX: u64 = 20_000;

/// What is to be read: tags, a range, and how many rows of the answer are wanted.
struct Asked {
    many: Many,
    range: Option<TimeRange>,
    most: usize,
}

/// A group as it grows.
struct Group {
    tag: usize,
    bin: Timestamp,
    count: u64,
    sum: f64,
    least: f64,
    greatest: f64,
    first: (Timestamp, f64),
    last: (Timestamp, f64),
}

impl Group {
    /// `values`: whether any are shown; what a double can't hold is refused then, and only then.
    fn of(batch: &AggregateBatch, row: usize, tag: usize, values: bool) -> Result<Group, Error> {
        let kind = batch.kinds[row];
        let double = |bits| if values { value::double(kind, bits).map(one_nan) } else { Ok(0.0) };
        Ok(Group {
            tag,
            bin: batch.bins[row],
            count: batch.counts[row],
            sum: if kind.is_integer() { batch.integer_sums[row] as f64 } else { batch.sums[row] },
            least: double(batch.mins[row])?,
            greatest: double(batch.maxs[row])?,
            first: (batch.first_times[row], double(batch.firsts[row])?),
            last: (batch.last_times[row], double(batch.lasts[row])?),
        })
    }

    fn add(&mut self, other: &Group) {
        self.count += other.count;
        self.sum += other.sum;
        // NaN stands above all, as in PostgreSQL; there is but one here.
        if other.least.total_cmp(&self.least) == Ordering::Less {
            self.least = other.least;
        }
        if other.greatest.total_cmp(&self.greatest) == Ordering::Greater {
            self.greatest = other.greatest;
        }
        if other.first.0 < self.first.0 {
            self.first = other.first;
        }
        if other.last.0 > self.last.0 {
            self.last = other.last;
        }
    }
}

/// The cell of a group; of what has no samples where there is none.
fn cell<'a>(item: Item, group: Option<&Group>, many: &'a Many) -> Cell<'a> {
    let Some(group) = group else { return if item == Item::Count { Cell::Integer(0) } else { Cell::Null } };
    match item {
        Item::Tag => Cell::Text(many.name(group.tag)),
        Item::Bin => Cell::Time(group.bin.0),
        Item::Count => Cell::Integer(group.count as i64),
        Item::Sum => Cell::Double(one_nan(group.sum)),
        Item::Average => Cell::Double(one_nan(group.sum / group.count as f64)),
        Item::Least => Cell::Double(group.least),
        Item::Greatest => Cell::Double(group.greatest),
        Item::FirstTime => Cell::Time(group.first.0.0),
        Item::LastTime => Cell::Time(group.last.0.0),
        Item::First => Cell::Double(group.first.1),
        Item::Last => Cell::Double(group.last.1),
    }
}

/// How many groups there may be; None where they are too many to be counted.
fn groups_max(snapshot: &Snapshot, tags: &TagSelection, range: TimeRange, asked: &Totals, tags_count: usize) -> Option<u64> {
    let of_time = match asked.bins {
        None => 1,
        Some(Bins { width_us, .. }) => {
            let width = u64::try_from(width_us).ok()?.max(1);
            let bins = |range: &TimeRange| range.last.0.abs_diff(range.first.0) / width + 2;
            snapshot.time_ranges(tags, range).iter().map(bins).try_fold(0_u64, u64::checked_add)?
        }
    };
    of_time.checked_mul(if asked.by_tag { tags_count as u64 } else { 1 })
}

impl Plan {
    fn totals(&self) -> Option<&Totals> {
        if let Question::Totals(totals) = &self.question { Some(totals) } else { None }
    }

    fn asked(&self, totals: &Totals, params: &[ScalarValue]) -> Result<Asked, Error> {
        let bound = self.bound()?;
        let names = names(&totals.tags, params)?.unwrap_or_else(|| Vec::<Option<&str>>::new().into());
        let many = Many::of(&self.engine, bound.as_deref(), self.table, names);
        let range = self.within(&totals.lows, &totals.highs, params)?;
        let limit = rows_limit(totals.limit.as_ref(), params)?.unwrap_or(u64::MAX);
        Ok(Asked { many, range, most: usize::try_from(limit).unwrap_or(usize::MAX) })
    }

    /// All groups, in the order that was asked for; None where nobody waits for them any longer.
    fn groups(
        &self,
        totals: &Totals,
        (snapshot, many): (&Snapshot, &Many),
        (tags, range): (TagSelection, TimeRange),
        out: &Outlet,
    ) -> Result<Option<Vec<Group>>, Error> {
        let mut ordinals: Vec<(TagId, usize)> = many.tags.iter().copied().zip(0..).collect();
        ordinals.sort_unstable();
        let values = totals.items.iter().any(|item| item.is_of_values());
        let request = AggregateRequest { tags, range, bins: totals.bins, good_only: false };
        let mut groups: Vec<Group> = Vec::new();
        let mut places: HashMap<(usize, Timestamp), usize> = HashMap::new();
        for mut part in snapshot.aggregate(&request, 1) {
            while let Some(batch) = part.next_batch()? {
                if !out.is_wanted() {
                    return Ok(None);
                }
                for (row, tag) in batch.tags.iter().enumerate() {
                    let Ok(found) = ordinals.binary_search_by_key(tag, |(tag, _)| *tag) else { continue };
                    let tag = if totals.by_tag { ordinals[found].1 } else { 0 };
                    let group = Group::of(&batch, row, tag, values)?;
                    let at = *places.entry((tag, group.bin)).or_insert(groups.len());
                    match groups.get_mut(at) {
                        Some(known) => known.add(&group),
                        None => groups.push(group),
                    }
                }
            }
        }
        groups.sort_by(|a, b| {
            let by = |(item, descending): &(Item, bool)| {
                let order = if *item == Item::Tag { a.tag.cmp(&b.tag) } else { a.bin.cmp(&b.bin) };
                if *descending { order.reverse() } else { order }
            };
            totals.order.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        Ok(Some(groups))
    }
}

impl PointPlan {
    /// The totals as a stream of one batch; None where a plan must find them.
    pub(super) fn stream_totals(&self, session: &Session, params: &[ScalarValue], sql: &Arc<str>) -> Result<Option<Rows>, Error> {
        let plan = Arc::clone(&self.inner);
        let (Some(totals), Some(kernel)) = (plan.totals(), &plan.engine.local) else { return Ok(None) };
        let asked = plan.asked(totals, params)?;
        let snapshot = kernel.snapshot();
        let tags = TagSelection::of(asked.many.tags.clone());
        if let Some(range) = asked.range
            && groups_max(&snapshot, &tags, range, totals, asked.many.tags.len()).is_none_or(|groups| groups > GROUPS_MAX)
        {
            return Ok(None);
        }
        let (reader, schema) = (Arc::clone(&plan), Arc::clone(&self.schema));
        let read = move |out: &mut Outlet| {
            let Some(totals) = reader.totals() else { return Ok(()) };
            let known = asked.range.filter(|_| !asked.many.tags.is_empty());
            let found = known.map(|range| reader.groups(totals, (&snapshot, &asked.many), (tags, range), out)).transpose()?;
            let Some(groups) = found.unwrap_or_else(|| Some(Vec::new())) else { return Ok(()) };
            let mut gathered = Gathered::new(&schema)?;
            let rows: Vec<Option<&Group>> =
                if groups.is_empty() && !totals.is_grouped() { vec![None] } else { groups.iter().map(Some).collect() };
            for group in rows.into_iter().take(asked.most) {
                let cells: Vec<Cell<'_>> = totals.items.iter().map(|item| cell(*item, group, &asked.many)).collect();
                gathered.row(&cells)?;
            }
            out.give(gathered.finish(&schema)?);
            Ok(())
        };
        let shown = |error, sql: &str| from_datafusion(&error, sql);
        let metrics = ExecutionPlanMetricsSet::new();
        let context = session.task_context();
        let batches = blocking(&self.schema, &metrics, (0, 1), &context, read).map_err(|error| shown(error, sql))?;
        let text = Arc::clone(sql);
        let batches = batches.map(move |batch| batch.map_err(|error| shown(error, &text))).boxed();
        Ok(Some(Rows { schema: Arc::clone(&self.schema), batches, command: "SELECT" }))
    }
}
