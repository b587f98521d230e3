//! Schema `meridian`: what the node says of itself, as it stands when a query reads it.

use super::source::made_anew;
use crate::engine::Engine;
use crate::store::NodeReport;
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use std::fmt;
use std::sync::Arc;
use tokio::runtime::Handle;
use types::TimeRange;

/// One column and its values.
pub(super) type Column = (&'static str, ArrayRef);

/// Makes the columns of a table from what nodes say of themselves.
pub(super) type Columns = Arc<dyn Fn(&Engine, &[NodeReport]) -> Vec<Column> + Send + Sync>;

/// A table made anew for each query.
pub(crate) struct NodeTable {
    engine: Arc<Engine>,
    name: &'static str,
    columns: Columns,
    /// Whether nodes are asked.
    of_nodes: bool,
    schema: SchemaRef,
}

impl fmt::Debug for NodeTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

fn schema_of(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

impl NodeTable {
    fn new(engine: &Arc<Engine>, name: &'static str, of_nodes: bool, columns: Columns) -> Self {
        let schema = schema_of(&columns(engine, &[]));
        NodeTable { engine: Arc::clone(engine), name, schema, columns, of_nodes }
    }
}

#[async_trait]
impl TableProvider for NodeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (engine, make_columns, whole) = (Arc::clone(&self.engine), Arc::clone(&self.columns), Arc::clone(&self.schema));
        let of_nodes = self.of_nodes;
        made_anew(self.name, &self.schema, projection, move || {
            // On the blocking pool: a lone node's answer is there at once.
            let reports = if of_nodes { Handle::current().block_on(engine.store.reports())? } else { Vec::new() };
            let arrays = make_columns(&engine, &reports).into_iter().map(|(_, array)| array).collect();
            Ok(RecordBatch::try_new(Arc::clone(&whole), arrays)?)
        })
    }
}

pub(super) fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(values.map(|value| i64::try_from(value).unwrap_or(i64::MAX)).collect::<Int64Array>())
}

pub(super) fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

pub(super) fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

/// Of a fleet: whose the rows are.
fn with_node<'a>(engine: &Engine, mut columns: Vec<Column>, nodes: impl Iterator<Item = &'a str>) -> Vec<Column> {
    if engine.local.is_none() {
        columns.push(("node", texts(nodes.map(str::to_owned))));
    }
    columns
}

fn slices(engine: &Engine, reports: &[NodeReport]) -> Vec<Column> {
    let all: Vec<_> = reports.iter().flat_map(|report| report.slices.iter().map(|slice| (report.node.as_str(), slice))).collect();
    let nodes = all.iter().map(|(node, _)| *node);
    let all: Vec<&kernel::SliceStatus> = all.iter().map(|(_, slice)| *slice).collect();
    let of = |value: &dyn Fn(&kernel::SliceStatus) -> u64| numbers(all.iter().map(|slice| value(slice)));
    let columns = vec![
        ("slice", of(&|slice| u64::from(slice.slice.0))),
        ("version", texts(all.iter().map(|slice| slice.version.to_string()))),
        ("file_groups", of(&|slice| slice.file_groups)),
        ("files", of(&|slice| slice.files)),
        ("file_bytes", of(&|slice| slice.file_bytes)),
        ("buffered_rows", of(&|slice| slice.buffered_rows)),
        ("buffered_bytes", of(&|slice| slice.buffered_bytes)),
        ("held_samples", of(&|slice| slice.held_samples)),
        ("tombstones", of(&|slice| slice.tombstones)),
        ("recorded_bytes", of(&|slice| slice.recorded_bytes)),
        ("copied_bytes", of(&|slice| slice.copied_bytes)),
    ];
    with_node(engine, columns, nodes)
}

fn file_groups(engine: &Engine, reports: &[NodeReport]) -> Vec<Column> {
    let all: Vec<_> = reports.iter().flat_map(|report| report.file_groups.iter().map(move |group| (report, group))).collect();
    let nodes = all.iter().map(|(report, _)| report.node.as_str());
    let ranges: Vec<TimeRange> = all.iter().map(|(report, group)| group.period.range(report.period_us)).collect();
    let all: Vec<&kernel::FileGroupStatus> = all.iter().map(|(_, group)| *group).collect();
    let of = |value: &dyn Fn(&kernel::FileGroupStatus) -> u64| numbers(all.iter().map(|group| value(group)));
    let columns = vec![
        ("slice", of(&|group| u64::from(group.slice.0))),
        ("first_time", times(ranges.iter().map(|range| range.first.0))),
        ("last_time", times(ranges.iter().map(|range| range.last.0))),
        ("version", texts(all.iter().map(|group| group.version.to_string()))),
        ("files", of(&|group| group.files)),
        ("rows", of(&|group| group.rows)),
        ("bytes", of(&|group| group.bytes)),
    ];
    with_node(engine, columns, nodes)
}

fn files(engine: &Engine, reports: &[NodeReport]) -> Vec<Column> {
    let all: Vec<_> = reports.iter().flat_map(|report| report.files.iter().map(|file| (report.node.as_str(), file))).collect();
    let nodes = all.iter().map(|(node, _)| *node);
    let all: Vec<&kernel::FileStatus> = all.iter().map(|(_, file)| *file).collect();
    let of = |value: &dyn Fn(&kernel::FileStatus) -> u64| numbers(all.iter().map(|file| value(file)));
    let columns = vec![
        ("slice", of(&|file| u64::from(file.slice.0))),
        ("path", texts(all.iter().map(|file| file.path.clone()))),
        ("layout", texts(all.iter().map(|file| file.table.to_owned()))),
        ("bytes", of(&|file| file.bytes)),
        ("rows", of(&|file| file.rows)),
        ("tags", of(&|file| file.tags)),
        ("first_time", times(all.iter().map(|file| file.range.first.0))),
        ("last_time", times(all.iter().map(|file| file.range.last.0))),
        ("first_version", texts(all.iter().map(|file| file.versions.0.to_string()))),
        ("last_version", texts(all.iter().map(|file| file.versions.1.to_string()))),
        ("level", of(&|file| u64::from(file.level))),
    ];
    with_node(engine, columns, nodes)
}

fn settings(engine: &Engine) -> Vec<Column> {
    let all = &engine.settings.settings;
    let of = |value: &dyn Fn(&crate::engine::Setting) -> &String| texts(all.iter().map(|setting| value(setting).clone()));
    vec![
        ("name", of(&|setting| &setting.name)),
        ("value", of(&|setting| &setting.value)),
        ("unit", of(&|setting| &setting.unit)),
        ("source", of(&|setting| &setting.source)),
        ("description", of(&|setting| &setting.description)),
    ]
}

fn queries(engine: &Engine) -> Vec<Column> {
    let all = engine.running.list();
    let now_us = engine.settings.clock.wall_us();
    vec![
        ("id", numbers(all.iter().map(|query| query.id))),
        ("pid", Arc::new(all.iter().map(|query| Some(query.session)).collect::<Int32Array>())),
        ("user", texts(all.iter().map(|query| query.user.clone()))),
        ("started", times(all.iter().map(|query| query.started_us))),
        ("ms", numbers(all.iter().map(|query| (now_us.saturating_sub(query.started_us) / 1000).max(0) as u64))),
        ("query", texts(all.iter().map(|query| query.sql.to_string()))),
        ("trace_id", Arc::new(all.iter().map(|query| query.trace.map(|trace| trace.to_string())).collect::<StringArray>())),
    ]
}

/// This node; of a fleet, this scheduler and the sums of all data nodes.
fn node(engine: &Engine, reports: &[NodeReport]) -> Vec<Column> {
    let mut status = kernel::NodeStatus::default();
    for report in reports {
        status.add(&report.status);
    }
    let one = |value: u64| numbers(std::iter::once(value));
    vec![
        ("name", texts(std::iter::once(engine.settings.node.clone()))),
        ("release", texts(std::iter::once(engine.settings.release.clone()))),
        ("started", times(std::iter::once(engine.started_us))),
        ("tags", one(engine.catalog.len())),
        ("tag_bytes", one(engine.catalog.memory_bytes())),
        ("visible_commit", one(status.visible.0)),
        ("commits", one(status.commits)),
        ("rows_written", one(status.rows_written)),
        ("rows_thinned", one(status.rows_thinned)),
        ("log_syncs", one(status.log_syncs)),
        ("log_bytes", one(status.log_bytes)),
        ("buffered_bytes", one(status.buffered_bytes)),
        ("cached_bytes", one(status.cached_bytes)),
        ("query_bytes", one(engine.runtime.memory_pool.reserved() as u64)),
        ("flushes", one(status.flushes)),
        ("merges", one(status.merges)),
        ("flushed_bytes", one(status.flushed_bytes)),
        ("merged_bytes", one(status.merged_bytes)),
        ("jobs", one(status.jobs)),
    ]
}

pub(super) type Named = (&'static str, Arc<dyn TableProvider>);

pub(super) fn tables(engine: &Arc<Engine>, made: Vec<(&'static str, Columns)>) -> Vec<Named> {
    let of_nodes = |name| ["slices", "file_groups", "files", "node", "retention"].contains(&name);
    let table =
        |(name, columns)| (name, Arc::new(NodeTable::new(engine, name, of_nodes(name), columns)) as Arc<dyn TableProvider>);
    made.into_iter().map(table).collect()
}

/// The names of the tables of the schema.
pub(super) const NAMES: [&str; 7] = ["slices", "file_groups", "files", "settings", "queries", "node", "retention"];

/// The tables of the schema.
pub(crate) fn all(engine: &Arc<Engine>) -> Vec<Named> {
    let made: Vec<(&'static str, Columns)> = vec![
        ("slices", Arc::new(slices)),
        ("file_groups", Arc::new(file_groups)),
        ("files", Arc::new(files)),
        ("settings", Arc::new(|engine: &Engine, _: &[NodeReport]| settings(engine))),
        ("queries", Arc::new(|engine: &Engine, _: &[NodeReport]| queries(engine))),
        ("node", Arc::new(node)),
        ("retention", Arc::new(crate::retention::columns)),
    ];
    tables(engine, made)
}
