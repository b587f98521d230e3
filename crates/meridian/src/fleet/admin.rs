//! What an operator sees of the fleet, by SQL (docs/fleet.md); what is told it is in `orders`.
//!
//! Promises: what is shown is read from meta and managers when it is asked for. May not know how anything is carried out.

use super::backups::FleetBackups;
use super::orders;
use crate::backup::{archive_schema, asked};
use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use cluster::manager::{Admin, AdminError, Checked, NodeStatus, Operation, Step};
use cluster::tags::{Standing, TagTable};
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::SetAside;
use protocol::{Mode, SliceEntry};
use query::{Error, Figure, OperatorFunction, OperatorTable, Report, ScalarValue};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{NodeId, SliceId};

/// Whom operators ask.
pub struct Operator {
    admin: Arc<Admin>,
    tags: Arc<TagTable>,
    backups: Arc<FleetBackups>,
}

impl Operator {
    /// Over the fleet's administration, this scheduler's tag table, and the backups that it takes.
    #[must_use]
    pub fn new(admin: Arc<Admin>, tags: Arc<TagTable>, backups: Arc<FleetBackups>) -> Operator {
        Operator { admin, tags, backups }
    }
}

/// An administration's error in SQL's words.
pub fn told(fault: AdminError) -> Error {
    let report = Box::new(Report { message: fault.to_string(), ..Report::default() });
    match fault.sqlstate() {
        "22023" => Error::InvalidParameter(report),
        "55000" => Error::CantChange(report),
        _ => Error::Unavailable(report),
    }
}

fn field(name: &str, of: DataType) -> Field {
    Field::new(name, of, true)
}

fn texts() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

fn nodes_schema() -> SchemaRef {
    let number = |name| field(name, DataType::Int64);
    let text = |name| field(name, DataType::Utf8);
    Arc::new(Schema::new(vec![
        number("node"),
        text("state"),
        field("drains", DataType::Boolean),
        text("roles"),
        text("address"),
        text("clients"),
        text("region"),
        text("zone"),
        number("weight"),
        number("primaries"),
        number("backups"),
        number("busy_permille"),
        number("cpu_permille"),
        number("network_permille"),
        number("disk_permille"),
        number("memory_permille"),
        number("silent_ms"),
        text("store"),
    ]))
}

fn slices_schema() -> SchemaRef {
    let number = |name| field(name, DataType::Int64);
    Arc::new(Schema::new(vec![
        number("slice"),
        number("epoch"),
        number("primary"),
        field("backups", texts()),
        field("members", texts()),
        field("mode", DataType::Utf8),
        number("lag_records_max"),
        number("min_in_sync"),
    ]))
}

pub fn operations_schema() -> SchemaRef {
    let text = |name| field(name, DataType::Utf8);
    let number = |name| field(name, DataType::Int64);
    Arc::new(Schema::new(vec![
        text("operation"),
        number("slice"),
        number("node"),
        text("why"),
        field("before", texts()),
        field("after", texts()),
        text("step"),
        number("done"),
        number("total"),
        field("since", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        text("cancel"),
    ]))
}

fn schedulers_schema() -> SchemaRef {
    let number = |name| field(name, DataType::Int64);
    Arc::new(Schema::new(vec![
        number("node"),
        field("normal", DataType::Boolean),
        field("leads", DataType::Boolean),
        field("here", DataType::Boolean),
        number("epoch"),
        number("committed"),
        number("shown"),
    ]))
}

fn numbers(values: impl IntoIterator<Item = Option<u64>>) -> ArrayRef {
    let values = values.into_iter().map(|value| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
    Arc::new(values.collect::<Int64Array>())
}

fn words<T: AsRef<str>>(values: impl IntoIterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

fn lists(values: impl IntoIterator<Item = Option<Vec<String>>>) -> ArrayRef {
    let mut out = ListBuilder::new(StringBuilder::new());
    for value in values {
        match value {
            Some(value) => out.append_value(value.into_iter().map(Some)),
            None => out.append_null(),
        }
    }
    Arc::new(out.finish())
}

/// Nodes as texts.
pub fn names(nodes: impl IntoIterator<Item = NodeId>) -> Vec<String> {
    nodes.into_iter().map(|node| node.0.to_string()).collect()
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
    RecordBatch::try_new(schema, columns)
        .map_err(|fault| Error::Internal(Box::new(Report { message: fault.to_string(), ..Report::default() })))
}

fn nodes(all: &[NodeStatus]) -> Result<RecordBatch, Error> {
    let roles = |node: &NodeStatus| {
        let roles = node.record.roles;
        let words = [(roles.manager, "manager"), (roles.scheduler, "scheduler"), (roles.data, "data")];
        words.iter().filter(|(plays, _)| *plays).map(|(_, word)| *word).collect::<Vec<_>>().join(",")
    };
    let busy = |of: fn(&protocol::membership::Busyness) -> u32| {
        numbers(all.iter().map(|node| node.busyness.as_ref().map(|(parts, _)| u64::from(of(parts)))))
    };
    let text = |of: &dyn Fn(&NodeStatus) -> String| words(all.iter().map(|node| Some(of(node))));
    batch(
        nodes_schema(),
        vec![
            numbers(all.iter().map(|node| Some(node.node.0))),
            text(&|node| format!("{:?}", node.record.entry.state)),
            Arc::new(all.iter().map(|node| Some(node.record.entry.drains)).collect::<BooleanArray>()),
            text(&roles),
            text(&|node| node.record.address.clone()),
            words(all.iter().map(|node| Some(node.record.clients.clone()).filter(|clients| !clients.is_empty()))),
            text(&|node| node.record.entry.region.clone()),
            text(&|node| node.record.entry.rack.clone()),
            numbers(all.iter().map(|node| Some(node.record.entry.weight.into()))),
            numbers(all.iter().map(|node| Some(node.primaries))),
            numbers(all.iter().map(|node| Some(node.backups))),
            numbers(all.iter().map(|node| node.busyness.as_ref().map(|(_, all)| u64::from(*all)))),
            busy(|parts| parts.cpu),
            busy(|parts| parts.network),
            busy(|parts| parts.disk),
            busy(|parts| parts.memory),
            numbers(all.iter().map(|node| node.silence_ms)),
            text(&|node| format!("{:032x}", node.record.entry.store.0)),
        ],
    )
}

fn slices(map: &BTreeMap<SliceId, SliceEntry>) -> Result<RecordBatch, Error> {
    let entries = || map.values();
    let members = |of: fn(&SliceEntry) -> Vec<NodeId>| lists(entries().map(|entry| Some(names(of(entry)))));
    let lag = |entry: &SliceEntry| match entry.policy.mode {
        Mode::Sync => None,
        Mode::Async { lag_records_max } => Some(lag_records_max),
    };
    batch(
        slices_schema(),
        vec![
            numbers(map.keys().map(|slice| Some(slice.0.into()))),
            numbers(entries().map(|entry| Some(entry.epoch.0))),
            numbers(entries().map(|entry| Some(entry.primary.node.0))),
            members(|entry| entry.backups.iter().map(|id| id.node).collect()),
            members(|entry| entry.members.iter().map(|id| id.node).collect()),
            words(entries().map(|entry| Some(if lag(entry).is_some() { "async" } else { "sync" }))),
            numbers(entries().map(lag)),
            numbers(entries().map(|entry| Some(entry.policy.min_in_sync.into()))),
        ],
    )
}

/// A row of `meridian.operations`.
#[derive(Default)]
struct Row {
    operation: &'static str,
    slice: Option<u64>,
    node: Option<u64>,
    why: Option<String>,
    before: Option<Vec<String>>,
    after: Option<Vec<String>>,
    step: Option<&'static str>,
    done: Option<u64>,
    total: Option<u64>,
    since_us: Option<i64>,
    cancel: Option<String>,
}

fn step(step: Step) -> &'static str {
    match step {
        Step::Adding => "adding",
        Step::Copying => "copying",
        Step::Switching => "switching",
        Step::Removing => "removing",
        Step::Ending => "ending",
    }
}

fn row(operation: &Operation) -> Row {
    match operation {
        Operation::Move { slice, why, before, after, since_us, step: at, progress } => Row {
            operation: "move",
            slice: Some(slice.0.into()),
            why: Some(why.clone()),
            before: Some(names(before.iter().copied())),
            after: Some(names(after.iter().copied())),
            step: Some(step(*at)),
            done: Some(progress.done),
            total: Some(progress.of),
            since_us: Some(*since_us),
            cancel: Some(format!("SELECT meridian_cancel({})", slice.0)),
            ..Row::default()
        },
        Operation::Drain { node, left } => Row {
            operation: "drain",
            node: Some(node.0),
            step: Some(if *left == 0 { "ending" } else { "moving" }),
            total: Some(*left),
            cancel: Some(format!("SELECT meridian_undrain({})", node.0)),
            ..Row::default()
        },
        Operation::Replicate { policy, progress } => Row {
            operation: "replication",
            why: Some(match policy.mode {
                Mode::Sync => format!("sync, at least {} in sync", policy.min_in_sync),
                Mode::Async { lag_records_max } => {
                    format!("async, {lag_records_max} records behind at most, at least {} in sync", policy.min_in_sync)
                }
            }),
            step: Some("changing"),
            done: Some(progress.done),
            total: Some(progress.of),
            cancel: Some("SELECT meridian_set_replication(..) as it was".to_owned()),
            ..Row::default()
        },
        Operation::Stuck { slice, entry } => Row {
            operation: "stuck",
            slice: Some(slice.0.into()),
            node: Some(entry.primary.node.0),
            why: Some(
                "no store that has all that was acknowledged is there: bring one of its members back, or meridian_force(slice, node), which may lose writes"
                    .to_owned(),
            ),
            before: Some(names(entry.members.iter().map(|id| id.node))),
            ..Row::default()
        },
    }
}

fn backup_row(running: asked::Running) -> Row {
    Row {
        operation: "backup",
        why: Some(running.place),
        step: Some("copying"),
        done: Some(running.progress.done),
        total: Some(running.progress.of),
        since_us: Some(running.since_us),
        ..Row::default()
    }
}

fn operations(all: &[Operation], backup: Option<asked::Running>) -> Result<RecordBatch, Error> {
    let rows: Vec<Row> = all.iter().map(row).chain(backup.map(backup_row)).collect();
    let since = rows.iter().map(|row| row.since_us).collect::<TimestampMicrosecondArray>().with_timezone("UTC");
    batch(
        operations_schema(),
        vec![
            words(rows.iter().map(|row| Some(row.operation))),
            numbers(rows.iter().map(|row| row.slice)),
            numbers(rows.iter().map(|row| row.node)),
            words(rows.iter().map(|row| row.why.as_deref())),
            lists(rows.iter().map(|row| row.before.clone())),
            lists(rows.iter().map(|row| row.after.clone())),
            words(rows.iter().map(|row| row.step)),
            numbers(rows.iter().map(|row| row.done)),
            numbers(rows.iter().map(|row| row.total)),
            Arc::new(since),
            words(rows.iter().map(|row| row.cancel.as_deref())),
        ],
    )
}

fn schedulers(standing: &Standing, me: NodeId) -> Result<RecordBatch, Error> {
    let all = || standing.registered.iter();
    let flags = |of: &dyn Fn(NodeId) -> bool| Arc::new(all().map(|id| Some(of(id.node))).collect::<BooleanArray>()) as ArrayRef;
    let here = |value: u64| numbers(all().map(move |id| (id.node == me).then_some(value)));
    batch(
        schedulers_schema(),
        vec![
            numbers(all().map(|id| Some(id.node.0))),
            flags(&|node| standing.normal.iter().any(|id| id.node == node)),
            flags(&|node| standing.leader.is_some_and(|id| id.node == node)),
            flags(&|node| node == me),
            numbers(all().map(|_| Some(standing.epoch.0))),
            here(standing.committed.0),
            here(standing.shown.0),
        ],
    )
}

fn replicas_schema() -> SchemaRef {
    let (number, text) = (|name| field(name, DataType::Int64), |name| field(name, DataType::Utf8));
    let columns = [number("slice"), number("node"), text("state"), text("version"), number("lag_records"), text("differs")];
    Arc::new(Schema::new(columns.to_vec()))
}

fn replicas(all: &[Checked]) -> Result<RecordBatch, Error> {
    batch(
        replicas_schema(),
        vec![
            numbers(all.iter().map(|copy| Some(copy.slice.0.into()))),
            numbers(all.iter().map(|copy| Some(copy.node.0))),
            words(all.iter().map(|copy| Some(orders::word(copy.state)))),
            words(all.iter().map(|copy| copy.version.map(|version| version.to_string()))),
            numbers(all.iter().map(|copy| copy.lag_records)),
            words(all.iter().map(|copy| copy.differs.as_deref())),
        ],
    )
}

fn set_aside_schema() -> SchemaRef {
    let (number, text) = (|name| field(name, DataType::Int64), |name| field(name, DataType::Utf8));
    let columns = [
        number("node"),
        number("slice"),
        text("directory"),
        number("bytes"),
        number("records"),
        text("first_version"),
        text("last_version"),
    ];
    Arc::new(Schema::new(columns.to_vec()))
}

fn set_aside(all: &[(NodeId, SetAside)]) -> Result<RecordBatch, Error> {
    let records = || all.iter().map(|(_, aside)| aside.records);
    batch(
        set_aside_schema(),
        vec![
            numbers(all.iter().map(|(node, _)| Some(node.0))),
            numbers(all.iter().map(|(_, aside)| Some(aside.slice.0.into()))),
            words(all.iter().map(|(_, aside)| Some(aside.directory.display().to_string()))),
            numbers(all.iter().map(|(_, aside)| Some(aside.bytes))),
            numbers(records().map(|records| records.map(|(count, ..)| count))),
            words(records().map(|records| records.map(|(_, first, _)| first.to_string()))),
            words(records().map(|records| records.map(|(.., last)| last.to_string()))),
        ],
    )
}

impl query::Operator for Operator {
    fn tables(&self) -> Vec<OperatorTable> {
        vec![
            OperatorTable { name: "nodes", schema: nodes_schema() },
            OperatorTable { name: "slice_map", schema: slices_schema() },
            OperatorTable { name: "operations", schema: operations_schema() },
            OperatorTable { name: "schedulers", schema: schedulers_schema() },
            OperatorTable { name: "replicas", schema: replicas_schema() },
            OperatorTable { name: "set_aside", schema: set_aside_schema() },
            OperatorTable { name: "archive", schema: archive_schema() },
        ]
    }

    fn rows(&self, table: &'static str) -> BoxFuture<'static, Result<RecordBatch, Error>> {
        let (admin, tags, backup) = (Arc::clone(&self.admin), Arc::clone(&self.tags), self.backups.running());
        let backups = Arc::clone(&self.backups);
        async move {
            match table {
                "nodes" => nodes(&admin.nodes().await.map_err(told)?),
                "slice_map" => slices(&admin.slice_map().await.map_err(told)?),
                "operations" => operations(&admin.operations().await.map_err(told)?, backup),
                "replicas" => replicas(&admin.check(None).await.map_err(told)?),
                "archive" => backups.archive_rows().await,
                "set_aside" => set_aside(&admin.set_aside().await.map_err(told)?),
                _ => schedulers(&tags.standing(), tags.me().node),
            }
        }
        .boxed()
    }

    fn functions(&self) -> Vec<OperatorFunction> {
        orders::functions().into_iter().chain([asked::function()]).collect()
    }

    fn call(&self, function: &'static str, arguments: Vec<ScalarValue>) -> BoxFuture<'static, Result<String, Error>> {
        let (admin, backups) = (Arc::clone(&self.admin), Arc::clone(&self.backups));
        if function == asked::FUNCTION {
            return async move { backups.take(&arguments).await }.boxed();
        }
        async move { orders::call(&admin, function, &arguments).await }.boxed()
    }

    fn figures(&self) -> Vec<Figure> {
        self.backups.figures()
    }
}
