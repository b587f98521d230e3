//! Bulk ingestion (`CommandStatementIngest`, ADBC's `adbc_ingest`): batches of Arrow columns into samples, integers, events or
//! tags, on the columnar way that `DoPut` of this door takes.
//!
//! Promises: rows are durable when the load is answered; up to `COMMIT_BYTES` of them are one commit, kept whole or not at all,
//! and of a larger load that fails the error says how many rows stay; errors name the row, counted from 0 over the load; at most
//! `COMMITS_WAITING` commits are under way.

use super::error;
use crate::counters::add;
use crate::flight::put::columns_of;
use crate::flight::samples::{Columns, Converter, Shape};
use crate::flight::tags;
use crate::shared::Shared;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType};
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use futures::future::BoxFuture;
use kernel::Write;
use query::{Bulk, Session};
use std::collections::VecDeque;
use std::sync::Arc;
use tonic::{Code, Status};
use types::{Kind, Samples, TagId, TextSamples};

/// About how much one commit takes. A part of a fleet's statement may have 32 MiB.
const COMMIT_BYTES: usize = 16 << 20;
/// Commits that wait to be durable.
const COMMITS_WAITING: usize = 4;
/// What a row takes beside its text.
const ROW_BYTES: usize = 25;

/// A load that goes on.
pub(crate) struct Ingest {
    shared: Arc<Shared>,
    session: Arc<Session>,
    bulk: Bulk,
    converter: Converter,
    /// Columns of the next commit.
    gathered: Vec<(Columns, bool)>,
    gathered_rows: usize,
    gathered_bytes: usize,
    waiting: VecDeque<BoxFuture<'static, Result<u64, Status>>>,
    /// Rows that were read.
    read: usize,
    /// Rows that are durable.
    done: u64,
}

impl Ingest {
    /// Begins a load; refuses what would change tables or make them.
    pub(crate) fn begin(
        shared: &Arc<Shared>,
        session: &Arc<Session>,
        command: &CommandStatementIngest,
    ) -> Result<Ingest, Status> {
        if command.transaction_id.as_ref().is_some_and(|id| !id.is_empty()) {
            return Err(super::no_transactions());
        }
        if command.temporary {
            return Err(error::new("0A000", "temporary tables are not supported"));
        }
        if let Some(catalog) = command.catalog.as_deref().filter(|catalog| !["", "meridian"].contains(catalog)) {
            let shown: String = catalog.chars().take(64).collect();
            return Err(error::new("42704", format!("database \"{shown}\" does not exist")));
        }
        if let Some(options) = &command.table_definition_options {
            let creates = options.if_not_exist == TableNotExistOption::Create as i32;
            let exists = TableExistsOption::try_from(options.if_exists).unwrap_or(TableExistsOption::Unspecified);
            match exists {
                TableExistsOption::Append | TableExistsOption::Unspecified => {}
                TableExistsOption::Replace => {
                    return Err(error::new(
                        "0A000",
                        "a load that replaces a table is not supported; hint: use mode append, after DELETE if need be",
                    ));
                }
                TableExistsOption::Fail if creates => {
                    return Err(error::new(
                        "0A000",
                        "a load can't create tables; hint: use mode append: samples, integers, events and tags are there",
                    ));
                }
                TableExistsOption::Fail => {
                    return Err(error::new("42P07", format!("relation \"{}\" already exists", command.table)));
                }
            }
        }
        let schema = command.schema.as_deref().filter(|schema| !schema.is_empty());
        let bulk = session.bulk(schema, &command.table).map_err(|cause| super::run::failed(shared, session, &cause))?;
        Ok(Ingest {
            shared: Arc::clone(shared),
            session: Arc::clone(session),
            bulk,
            converter: Converter::default(),
            gathered: Vec::new(),
            gathered_rows: 0,
            gathered_bytes: 0,
            waiting: VecDeque::new(),
            read: 0,
            done: 0,
        })
    }

    /// Takes a batch.
    pub(crate) async fn take(&mut self, batch: &RecordBatch) -> Result<(), Status> {
        self.bulk.ready().await.map_err(|cause| error::of(&cause))?;
        if self.bulk.table() == "tags" {
            return self.take_tags(batch).await;
        }
        let mut at = 0;
        while at < batch.num_rows() {
            let row_bytes = (batch.get_array_memory_size() / batch.num_rows()).max(ROW_BYTES);
            let rows = (COMMIT_BYTES / row_bytes).clamp(1, batch.num_rows() - at);
            let part = batch.slice(at, rows);
            self.bulk.pace(rows as u64).await.map_err(|cause| error::of(&cause))?;
            let (columns, texts) = self.columns(&part).map_err(|status| at_row(error::named(status), self.read))?;
            self.gathered_bytes += rows * ROW_BYTES + columns.texts.bytes.len();
            self.gathered_rows += rows;
            self.gathered.push((columns, texts));
            self.read += rows;
            at += rows;
            if self.gathered_bytes >= COMMIT_BYTES {
                self.commit().await?;
            }
        }
        Ok(())
    }

    async fn take_tags(&mut self, batch: &RecordBatch) -> Result<(), Status> {
        let batch = without_views(batch)?;
        let row = self.read;
        tags::check(&batch.schema()).map_err(error::named)?;
        let definitions = tags::definitions(&batch).map_err(|status| at_row(error::named(status), row))?;
        self.read += definitions.len();
        let rows = definitions.len() as u64;
        self.bulk.pace(rows).await.map_err(|cause| error::of(&cause))?;
        let created = self.bulk.create(definitions);
        self.wait(Box::pin(async move { created.await.map(|()| rows).map_err(|cause| error::of(&cause)) })).await
    }

    /// A part's columns as the kernel takes them, and whether its values are texts.
    fn columns(&mut self, part: &RecordBatch) -> Result<(Columns, bool), Status> {
        let part = adapted(part, &self.bulk, &self.session)?;
        let shape = Shape::of(&part.schema())?;
        let catalog = self.shared.engine.catalog();
        let bulk = &self.bulk;
        let admit = |row: usize, tag: TagId, kind: Kind| {
            bulk.admit(tag, kind).map_err(|cause| error::new(cause.sqlstate(), format!("row {row}: {}", cause.message())))
        };
        let rights = (&**self.session.access(), self.bulk.full_name());
        let columns = columns_of(&mut self.converter, catalog, rights, &shape, &part, Some(&admit))?;
        Ok((columns, shape.texts))
    }

    /// Hands what has gathered to the store as one commit.
    async fn commit(&mut self) -> Result<(), Status> {
        let gathered = std::mem::take(&mut self.gathered);
        let rows = std::mem::take(&mut self.gathered_rows) as u64;
        self.gathered_bytes = 0;
        let faulty = |cause: types::BatchError| error::new("XX000", format!("internal error: {cause}"));
        let (mut samples, mut texts) = (Vec::new(), Vec::new());
        for (columns, is_text) in &gathered {
            let (tags, times, qualities) = (columns.tags(), columns.times(), columns.qualities());
            if *is_text {
                texts.push(TextSamples::new(tags, times, &columns.texts, qualities).map_err(faulty)?);
            } else {
                samples.push(Samples::new(tags, times, &columns.bits, qualities).map_err(faulty)?);
            }
        }
        let written = self.bulk.write(Write { samples: &samples, texts: &texts, origin: None });
        self.wait(Box::pin(async move { written.await.map(|_| rows).map_err(|cause| error::of(&cause)) })).await
    }

    /// Waits for a commit later, but not for too many.
    async fn wait(&mut self, commit: BoxFuture<'static, Result<u64, Status>>) -> Result<(), Status> {
        self.waiting.push_back(commit);
        while self.waiting.len() > COMMITS_WAITING {
            self.settle().await?;
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Status> {
        if let Some(commit) = self.waiting.pop_front() {
            let rows = commit.await?;
            self.done += rows;
            add(&self.shared.counters.flight_batches, 1);
            add(&self.shared.counters.flight_rows, rows);
        }
        Ok(())
    }

    /// Ends the load: all rows are durable. The answer is how many there were.
    pub(crate) async fn finish(&mut self) -> Result<u64, Status> {
        if !self.gathered.is_empty() {
            self.commit().await?;
        }
        while !self.waiting.is_empty() {
            self.settle().await?;
        }
        Ok(self.done)
    }

    /// Ends a load that failed: the error says what of it stays.
    pub(crate) async fn fail(&mut self, mut status: Status) -> Status {
        while !self.waiting.is_empty() {
            if let Err(other) = self.settle().await {
                // What was asked for is no longer complete in any case; the first error is told.
                tracing::debug!(message = other.message(), "a commit of a load that failed, failed too");
            }
        }
        if self.done > 0 {
            status = retold(&status, format!("{}; {} rows before it are kept", status.message(), self.done));
        }
        status
    }
}

fn retold(status: &Status, message: String) -> Status {
    let mut retold = Status::new(status.code(), message);
    *retold.metadata_mut() = status.metadata().clone();
    retold
}

/// An error that names a row of a part, with the row of the load.
fn at_row(status: Status, before: usize) -> Status {
    let counted = status.message().strip_prefix("row ").and_then(|rest| rest.split_once(':'));
    match counted.and_then(|(row, rest)| Some((row.parse::<usize>().ok()?, rest))) {
        Some((row, rest)) => retold(&status, format!("row {}:{rest}", before + row)),
        None => status,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Views of texts as texts.
fn without_views(batch: &RecordBatch) -> Result<RecordBatch, Status> {
    let wanted = |data_type: &DataType| match data_type {
        DataType::Utf8View => DataType::Utf8,
        other => other.clone(),
    };
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let wanted = wanted(field.data_type());
        columns.push(converted(column, &wanted, field.name())?);
        fields.push(field.as_ref().clone().with_data_type(wanted));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(error::malformed)
}

fn converted(column: &ArrayRef, wanted: &DataType, name: &str) -> Result<ArrayRef, Status> {
    if column.data_type() == wanted {
        return Ok(Arc::clone(column));
    }
    cast_with_options(column, wanted, &CastOptions { safe: false, ..CastOptions::default() }).map_err(|cause| {
        let message = format!("column \"{name}\" of type {} can't be taken as {wanted}: {cause}", column.data_type());
        Status::new(Code::InvalidArgument, message)
    })
}

/// The columns of a part in types that the columnar door takes.
fn adapted(part: &RecordBatch, bulk: &Bulk, session: &Session) -> Result<RecordBatch, Status> {
    let value = if bulk.table() == "events" { "text" } else { "value" };
    let mut fields: Vec<Field> = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in part.schema_ref().fields().iter().zip(part.columns()) {
        let name = field.name().as_str();
        let column = match name {
            "tag" => tag_column(column)?,
            "time" => time_column(column, session)?,
            "quality" => converted(column, &DataType::UInt8, name)?,
            _ if name == value => value_column(column, name)?,
            _ => return Err(error::of(&bulk.unknown_column(name))),
        };
        if fields.iter().any(|known| known.name() == name) {
            return Err(error::new("42701", format!("column \"{name}\" specified more than once")));
        }
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    if let Some(absent) = ["tag", "time", value].into_iter().find(|name| !fields.iter().any(|field| field.name() == name)) {
        return Err(error::new("23502", format!("column \"{absent}\" of relation \"{}\" is needed", bulk.table())));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(error::malformed)
}

fn tag_column(column: &ArrayRef) -> Result<ArrayRef, Status> {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    match column.data_type() {
        DataType::UInt64 | DataType::UInt32 => Ok(Arc::clone(column)),
        DataType::Dictionary(_, values) if is_text(values) => converted(column, &dictionary, "tag"),
        data_type if is_text(data_type) => converted(column, &dictionary, "tag"),
        other => Err(error::new("42804", format!("column \"tag\" is of type {other}; it may be text, or UInt64 of ordinals"))),
    }
}

fn time_column(column: &ArrayRef, session: &Session) -> Result<ArrayRef, Status> {
    let local = DataType::Timestamp(TimeUnit::Microsecond, None);
    match column.data_type() {
        DataType::Timestamp(_, Some(_)) | DataType::Int64 => Ok(Arc::clone(column)),
        // The column's own unit is kept where no clock hangs between: then what is not whole is refused.
        DataType::Timestamp(_, None) if matches!(session.time_zone(), query::Zone::Utc) => Ok(Arc::clone(column)),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            let times = converted(column, &local, "time")?;
            let times = times.as_primitive::<TimestampMicrosecondType>();
            let zone = session.time_zone();
            let moments: TimestampMicrosecondArray = times.unary(|us| zone.moment(us));
            Ok(Arc::new(moments.with_timezone("UTC")))
        }
        data_type if is_text(data_type) => {
            let texts = converted(column, &DataType::Utf8, "time")?;
            let zone = session.time_zone();
            let times = texts.as_string::<i32>().iter().enumerate().map(|(row, text)| {
                let parse = |text| query::parse_time(text, zone);
                text.map(parse)
                    .transpose()
                    .map_err(|cause| error::new(cause.sqlstate(), format!("row {row}: {}", cause.message())))
            });
            let times = times.collect::<Result<TimestampMicrosecondArray, Status>>()?;
            Ok(Arc::new(times.with_timezone("UTC")))
        }
        other => Err(error::new("42804", format!("column \"time\" is of type {other}; it may be a timestamp, a date or text"))),
    }
}

fn value_column(column: &ArrayRef, name: &str) -> Result<ArrayRef, Status> {
    let wanted = match column.data_type() {
        DataType::Float64 | DataType::Float32 | DataType::Int64 | DataType::Int32 | DataType::UInt32 | DataType::Boolean
            if name == "value" =>
        {
            return Ok(Arc::clone(column));
        }
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 if name == "value" => DataType::Int32,
        DataType::UInt64 if name == "value" => DataType::Int64,
        DataType::Float16 | DataType::Decimal128(..) | DataType::Decimal256(..) if name == "value" => DataType::Float64,
        data_type if name == "text" && is_text(data_type) => DataType::Utf8,
        DataType::Dictionary(_, values) if name == "text" && is_text(values) => DataType::Utf8,
        other => {
            let may = if name == "text" { "text" } else { "a number or a boolean" };
            return Err(error::new("42804", format!("column \"{name}\" is of type {other}; it may be {may}")));
        }
    };
    converted(column, &wanted, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_over_the_whole_load() {
        let told = at_row(error::named(Status::invalid_argument("row 12: value 0.5 does not fit")), 30);
        assert_eq!(told.message(), "row 42: value 0.5 does not fit (SQLSTATE 22023)");
        assert!(told.metadata().get(error::TRAILER).is_some());
        assert_eq!(at_row(Status::invalid_argument("rowing"), 3).message(), "rowing");
    }
}
