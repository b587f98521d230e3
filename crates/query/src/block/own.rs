//! A block's own queries see what it holds: each scan of a table that it changes becomes what is stored, less what is replaced or
//! gone, and what is held.
//!
//! Promises: the plan gives the rows that it would give after COMMIT, of tags that its reader may read, but for what others commit
//! meanwhile. May not know what is asked of the tables. What it gives up: a scan so changed is answered row by row, not from statistics
//! of chunks, and not without a plan.

use super::held::{Alone, Held, Other};
use super::hidden::Hidden;
use super::rows::OwnRows;
use crate::access::{Privileges, Reach, Rights};
use crate::engine::Engine;
use crate::error::Error;
use crate::ingest::Gathered;
use crate::point::{as_text, span};
use crate::query::Tables;
use crate::scan::Sort;
use crate::schema;
use crate::session::Session;
use crate::store::Asker;
use crate::tables::latest::LatestTable;
use crate::tables::series::{ORDINAL, SeriesTable, with_ordinal};
use crate::tables::tags::{TagTable, batch as batch_of_tags};
use arrow::array::{
    ArrayRef, Int16Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray, UInt8Array, UInt64Array,
};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableSource};
use kernel::Deletion;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use types::{Kind, Kinds, Tag, TagId, Timestamp};

/// What lies over the scans of a table.
struct Layer {
    /// What is left of what is stored, where not all is.
    still: Option<Expr>,
    rows: Option<Arc<OwnRows>>,
}

/// What lies over the scans of one statement.
#[derive(Default)]
struct Own {
    series: FxHashMap<&'static str, Layer>,
    latest: Option<Layer>,
    tags: Option<Layer>,
}

/// The plan of a query as the session's block sees it.
///
/// # Errors
/// `Error::OutOfMemory` where what it holds does not fit beside it once more.
pub(crate) async fn with_own(session: &Session, plan: LogicalPlan) -> Result<LogicalPlan, Error> {
    if session.holds_nothing() {
        return Ok(plan);
    }
    let read = Tables::of(&plan)?;
    let reader = Reader::of(session);
    let (mut own, newest) = reader.held(session, read)?;
    if !newest.is_empty() {
        own.latest = reader.latest(newest).await?;
    }
    let laid = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) => own.laid_over(scan),
        node => Ok(Transformed::no(node)),
    });
    laid.map(|laid| laid.data).map_err(|fault| crate::error::from_datafusion(&fault, ""))
}

impl Own {
    fn laid_over(&self, scan: TableScan) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let provider = source_as_provider(&scan.source)?;
        let mut source = Arc::clone(&scan.source);
        let layer = if let Some(table) = provider.downcast_ref::<SeriesTable>() {
            let whole = SeriesTable { schema: with_ordinal(table.sort), ..table.clone() };
            source = provider_as_source(Arc::new(whole));
            self.series.get(table.sort.name())
        } else if provider.downcast_ref::<LatestTable>().is_some() {
            self.latest.as_ref()
        } else if provider.downcast_ref::<TagTable>().is_some() {
            self.tags.as_ref()
        } else {
            None
        };
        let Some(Layer { still, rows }) = layer else { return Ok(Transformed::no(LogicalPlan::TableScan(scan))) };
        let name = &scan.table_name;
        let column = |field: &str| Expr::Column(Column::new(Some(name.clone()), field));
        let part = |source: Arc<dyn TableSource>, condition: Option<Expr>| {
            let read = LogicalPlanBuilder::scan(name.clone(), source, None)?;
            let read =
                condition.into_iter().chain(conjunction(scan.filters.clone())).try_fold(read, LogicalPlanBuilder::filter)?;
            read.project(scan.projected_schema.fields().iter().map(|field| column(field.name())))?.build()
        };
        let mut laid = LogicalPlanBuilder::from(part(source, still.clone())?);
        if let Some(rows) = rows {
            laid = laid.union(part(provider_as_source(Arc::<OwnRows>::clone(rows)), None)?)?;
        }
        if scan.fetch.is_some() {
            laid = laid.limit(0, scan.fetch)?;
        }
        Ok(Transformed::yes(laid.alias(name.clone())?.build()?))
    }
}

/// Who reads, and what it needs for it.
struct Reader {
    engine: Arc<Engine>,
    rights: Arc<Rights>,
    asker: Asker,
    now_us: i64,
    room: Arc<MemoryReservation>,
}

/// The newest sample of a tag in what is held.
struct Newest {
    tag: TagId,
    name: String,
    kind: Kind,
    time: Timestamp,
    bits: u64,
    text: Option<String>,
    quality: u8,
}

fn columns(names: &[&str]) -> Vec<Expr> {
    names.iter().map(|name| Expr::Column(Column::from_name(*name))).collect()
}

/// The row that counts of each sample, by tag and time: the last one written.
fn last_rows(rows: &Gathered) -> Vec<usize> {
    let mut last: FxHashMap<(u64, i64), usize> = FxHashMap::default();
    for (row, (tag, time)) in rows.tags().iter().zip(rows.times()).enumerate() {
        last.insert((tag.0, time.0), row);
    }
    let mut kept: Vec<usize> = last.into_values().collect();
    kept.sort_unstable_by_key(|row| (rows.tags()[*row], rows.times()[*row]));
    kept
}

impl Reader {
    fn of(session: &Session) -> Reader {
        Reader {
            engine: Arc::clone(&session.engine),
            rights: session.access.rights(),
            asker: session.asker(),
            now_us: session.engine.settings.clock.wall_us(),
            room: Arc::new(MemoryConsumer::new("what a transaction block wrote").register(&session.memory())),
        }
    }

    /// A condition; for some keys of so many bytes.
    fn still(&self, hidden: Hidden, keys: Vec<Expr>, bytes: usize) -> Result<Option<Expr>, Error> {
        self.room.try_grow(bytes)?;
        Ok(Some(hidden.not(keys, Arc::clone(&self.room))))
    }

    /// What lies over all but `latest`, and what may lie over that.
    fn held(&self, session: &Session, read: Tables) -> Result<(Own, Vec<Newest>), Error> {
        let state = session.state.lock();
        let held = &state.open.held;
        let mut own = Own { tags: if read.tags { self.tags(held)? } else { None }, ..Own::default() };
        for sort in [Sort::Doubles, Sort::Integers, Sort::Texts] {
            if read.has(sort)
                && let Some(layer) = self.series(held, sort)?
            {
                own.series.insert(sort.name(), layer);
            }
        }
        let mut newest = Vec::new();
        match &held.other {
            Other::Alone(Alone::Drops(tags)) if read.latest => {
                let mut names = FxHashSet::default();
                self.engine.catalog.names(tags, |name| names.extend(name.map(str::to_owned)));
                let still = self.still(Hidden::Names(names), columns(&["tag"]), 64 * tags.len())?;
                own.latest = Some(Layer { still, rows: None });
            }
            Other::Nothing if read.latest => {
                self.newest(held, &held.rows.0, false, &mut newest)?;
                self.newest(held, &held.rows.1, true, &mut newest)?;
            }
            _ => {}
        }
        Ok((own, newest))
    }

    /// What a tag is called and holds, where it is there and its rows in a table may be read.
    fn told(&self, held: &Held, (table, reach): (&str, &Reach), tag: TagId) -> Option<(String, Kind)> {
        if held.made.get(tag).is_some()
            && let Some(made) = held.definition(tag)
        {
            let seen = self.rights.has_definition(table, Privileges::SELECT, made);
            return seen.then(|| (made.name.clone(), made.kind));
        }
        let mut name = None;
        self.engine.catalog.names(&[tag], |found| name = found.filter(|_| reach.has(tag)).map(str::to_owned));
        Some((name?, self.engine.catalog.kind(tag)?))
    }

    fn reach(&self, table: &str) -> Result<Reach, Error> {
        self.rights.reach(&self.engine.catalog, table, Privileges::SELECT)
    }

    fn series(&self, held: &Held, sort: Sort) -> Result<Option<Layer>, Error> {
        let keys = || columns(&[ORDINAL, "time"]);
        let still = match &held.other {
            Other::Alone(Alone::Deletion(deletion)) => {
                let bytes = if let Deletion::Points(keys) = deletion { size_of_val(keys.as_slice()) } else { 0 };
                self.room.try_grow(bytes)?;
                let mut deletion = deletion.clone();
                if let Deletion::Points(keys) = &mut deletion {
                    keys.sort_unstable();
                }
                self.still(Hidden::Deleted(deletion), keys(), 0)?
            }
            Other::Alone(Alone::Drops(tags)) => {
                let gone = tags.iter().map(|tag| tag.0).collect();
                self.still(Hidden::Tags(gone), columns(&[ORDINAL]), 16 * tags.len())?
            }
            _ => None,
        };
        if still.is_some() {
            return Ok(Some(Layer { still, rows: None }));
        }
        let rows = if sort == Sort::Texts { &held.rows.1 } else { &held.rows.0 };
        if rows.rows() == 0 {
            return Ok(None);
        }
        // The hash table of keys, and each row once more.
        self.room.try_grow(rows.rows() * 64 + usize::try_from(rows.bytes()).unwrap_or(usize::MAX))?;
        let last = last_rows(rows);
        let hidden = last.iter().map(|row| (rows.tags()[*row].0, rows.times()[*row].0)).collect();
        let still = self.still(Hidden::Samples(hidden), keys(), 0)?;
        Ok(Some(Layer { still, rows: Some(Arc::new(self.rows(held, rows, sort, &last)?)) }))
    }

    /// Rows as a table shows them, its ordinals last.
    fn rows(&self, held: &Held, rows: &Gathered, sort: Sort, last: &[usize]) -> Result<OwnRows, Error> {
        let reach = self.reach(sort.full_name())?;
        let (mut kept, mut names, mut kinds) = (Vec::new(), StringViewBuilder::new(), Vec::new());
        let mut of: Option<(TagId, Option<(String, Kind)>)> = None;
        for row in last {
            let tag = rows.tags()[*row];
            if of.as_ref().is_none_or(|(known, _)| *known != tag) {
                let told = self.told(held, (sort.full_name(), &reach), tag);
                of = Some((tag, told.filter(|(_, kind)| sort.holds(*kind))));
            }
            let Some((_, Some((name, kind)))) = &of else { continue };
            kept.push(*row);
            names.append_value(name);
            kinds.push(*kind as u8);
        }
        let values: ArrayRef = match sort {
            Sort::Doubles => Arc::new(UInt64Array::from_iter_values(kept.iter().map(|row| rows.bits(*row)))),
            Sort::Integers => Arc::new(Int64Array::from_iter_values(kept.iter().map(|row| rows.bits(*row) as i64))),
            Sort::Texts => {
                let mut texts = StringViewBuilder::new();
                kept.iter().try_for_each(|row| as_text(rows.text(*row)).map(|text| texts.append_value(text)))?;
                Arc::new(texts.finish())
            }
        };
        let times = TimestampMicrosecondArray::from_iter_values(kept.iter().map(|row| rows.times()[*row].0));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(names.finish()),
            Arc::new(times.with_timezone("UTC")),
            values,
            Arc::new(Int16Array::from_iter_values(kept.iter().map(|row| i16::from(rows.quality(*row))))),
            Arc::new(UInt64Array::from_iter_values(kept.iter().map(|row| rows.tags()[*row].0))),
        ];
        if sort != Sort::Doubles {
            return Ok(OwnRows::new(RecordBatch::try_new(with_ordinal(sort), columns)?));
        }
        columns.push(Arc::new(UInt8Array::from(kinds)));
        OwnRows::of_bits(with_ordinal(sort), columns)
    }

    /// The newest of each tag that may be read.
    fn newest(&self, held: &Held, rows: &Gathered, texts: bool, out: &mut Vec<Newest>) -> Result<(), Error> {
        let table = "public.latest";
        let reach = self.reach(table)?;
        let mut last: FxHashMap<TagId, usize> = FxHashMap::default();
        for (row, tag) in rows.tags().iter().enumerate() {
            let known = last.entry(*tag).or_insert(row);
            if rows.times()[row] >= rows.times()[*known] {
                *known = row;
            }
        }
        self.room.try_grow(last.len() * 192)?;
        for (tag, row) in last {
            let Some((name, kind)) = self.told(held, (table, &reach), tag) else { continue };
            let (bits, text) = if texts { (0, Some(as_text(rows.text(row))?.to_owned())) } else { (rows.bits(row), None) };
            out.push(Newest { tag, name, kind, time: rows.times()[row], bits, text, quality: rows.quality(row) });
        }
        Ok(())
    }

    /// What lies over `latest`: those that are not older than what is stored.
    async fn latest(&self, mut newest: Vec<Newest>) -> Result<Option<Layer>, Error> {
        newest.sort_unstable_by_key(|one| one.tag);
        let tags: Vec<TagId> = newest.iter().map(|one| one.tag).filter(|tag| super::made::index(*tag).is_none()).collect();
        let stored = self.engine.store.latest_many(tags.clone(), &self.asker).await?;
        let older = tags.iter().zip(stored.found.iter().zip(&stored.times)).filter(|(_, (found, _))| **found);
        let older: FxHashMap<TagId, Timestamp> = older.map(|(tag, (_, time))| (*tag, *time)).collect();
        newest.retain(|one| older.get(&one.tag).is_none_or(|stored| *stored <= one.time));
        if newest.is_empty() {
            return Ok(None);
        }
        let names = newest.iter().map(|one| one.name.clone()).collect();
        let still = self.still(Hidden::Names(names), columns(&["tag"]), 0)?;
        let bits = newest.iter().map(|one| one.text.is_none().then_some(one.bits)).collect::<UInt64Array>();
        let times = TimestampMicrosecondArray::from_iter_values(newest.iter().map(|one| one.time.0));
        let ages = newest.iter().map(|one| span(self.now_us.saturating_sub(one.time.0)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from_iter_values(newest.iter().map(|one| one.name.as_str()))),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(bits),
            Arc::new(StringViewArray::from_iter(newest.iter().map(|one| one.text.as_deref()))),
            Arc::new(Int16Array::from_iter_values(newest.iter().map(|one| i16::from(one.quality)))),
            Arc::new(IntervalMonthDayNanoArray::from_iter_values(ages)),
            Arc::new(newest.iter().map(|one| Some(one.kind as u8)).collect::<UInt8Array>()),
        ];
        let rows = OwnRows::of_bits(Arc::clone(&schema::LATEST), columns)?;
        Ok(Some(Layer { still, rows: Some(Arc::new(rows)) }))
    }

    /// New tags, and those that were changed, as they will be.
    fn tags(&self, held: &Held) -> Result<Option<Layer>, Error> {
        let now = Timestamp(self.now_us);
        let (mut gone, mut tags) = (Vec::new(), Vec::new());
        match &held.other {
            Other::Alone(Alone::Drops(dropped)) => gone.extend(dropped.iter().map(|tag| tag.0)),
            _ => {
                for (id, _, definition) in held.changed.of_stored() {
                    let Some(tag) = self.engine.catalog.get(id) else { continue };
                    gone.push(id.0);
                    tags.push(Tag { definition, changed: now, ..tag });
                }
                let definition = |(id, made)| (id, held.definition(id).unwrap_or(made).clone());
                let made = held.made.all().map(definition);
                tags.extend(made.map(|(id, definition)| Tag { id, definition, created: now, changed: now }));
            }
        }
        if gone.is_empty() && tags.is_empty() {
            return Ok(None);
        }
        self.room.try_grow(tags.len() * 1024 + gone.len() * 16)?;
        tags.retain(|tag| self.rights.has_definition("public.tags", Privileges::SELECT, &tag.definition));
        let still = match gone.is_empty() {
            true => None,
            false => self.still(Hidden::Tags(gone.into_iter().collect()), columns(&["ordinal"]), 0)?,
        };
        let every: Vec<usize> = (0..schema::TAGS.fields().len()).collect();
        let rows = if tags.is_empty() { None } else { Some(batch_of_tags(&schema::TAGS, &every, &tags)?) };
        Ok(Some(Layer { still, rows: rows.map(|rows| Arc::new(OwnRows::new(rows))) }))
    }
}
