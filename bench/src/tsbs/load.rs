//! Loading: the same rows to all sides, in the order in which they arrive.

use super::rows::{Row, Rows};
use super::{Measurement, Model};
use crate::failed;
use crate::peer::engine::{Engine, Kind};
use crate::peer::server::{agent, post};
use crate::peer::{Server, victoria};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use meridian::Session;
use meridian::flight::{Stream, runtime, sample_batch, sample_schema};
use meridian::grid::Columns;
use meridian::node::Node;
use meridian::progress::{Progress, now};
use meridian::{Error, interrupt};
use parquet::arrow::ArrowWriter;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const STEPS_AT_ONCE: u64 = 100;
const GOOD: u8 = 192;

/// Who takes rows over a door.
pub struct Sides<'a> {
    /// Ours.
    pub node: &'a Node,
    /// A session of it.
    pub session: &'a Session,
    /// VictoriaMetrics, if it takes part.
    pub victoria: Option<&'a Server>,
}

/// Loads all; gives the number of points, a row's fields each one.
///
/// # Errors
/// What a side failed with.
pub fn all(model: &Model, mut rows: Rows, sides: &Sides<'_>, engines: &mut [Engine], dir: &Path) -> Result<u64, Error> {
    let ordinals = make_tags(model, sides.session)?;
    let mut files = if engines.is_empty() { Vec::new() } else { files(model, dir)? };
    let labels: Vec<String> = model.labels.iter().map(|values| line_labels(model, values)).collect();
    let (mut points, agent) = (0, agent());
    let mut progress = Progress::start("loading all sides", "points", None);
    runtime()?.block_on(async {
        let mut stream = Stream::samples(&sides.node.flight, "bench").await?;
        loop {
            interrupt::check()?;
            let more = rows.next(STEPS_AT_ONCE);
            if more.is_empty() {
                break;
            }
            let columns = columns(model, &more, &ordinals);
            points += columns.len() as u64;
            stream.send(&sample_batch(&sample_schema(), columns, 0)).await?;
            if let Some(peer) = sides.victoria {
                post(&agent, &format!("{}/write", peer.url), &[], lines(model, &more, &labels).as_bytes())?;
            }
            for (measurement, (_, writer, schema)) in files.iter_mut().enumerate() {
                let batch = batch(model, measurement, &more, schema)?;
                writer.write(&batch).map_err(|error| failed("writing Parquet", error))?;
            }
            progress.at(points, "");
        }
        stream.finish().await
    })?;
    drop(progress);
    for statement in ["SELECT meridian_flush()", "SELECT meridian_merge()"] {
        sides.session.query(statement)?;
    }
    let counted = sides.session.number("SELECT count(*) FROM samples")?;
    if u64::try_from(counted) != Ok(points) {
        return Err(Error::Wrong(format!("{points} points were acknowledged, {counted} are counted")));
    }
    if let Some(peer) = sides.victoria {
        victoria::settle(peer)?;
    }
    for (measurement, (path, writer, _)) in model.measurements.iter().zip(files) {
        writer.close().map_err(|error| failed("writing Parquet", error))?;
        for engine in engines.iter_mut() {
            take(engine, model, measurement, &path)?;
        }
        std::fs::remove_file(&path).map_err(|cause| Error::File { path, cause })?;
    }
    Ok(points)
}

/// Makes a tag a field of a series; gives the ordinal of each measurement's first, of which the others follow.
fn make_tags(model: &Model, session: &Session) -> Result<Vec<u64>, Error> {
    let mut ordinals = Vec::new();
    for measurement in model.measurements {
        let mut text = String::new();
        let mut first = String::new();
        for values in &model.labels {
            let mut labels = serde_json::Map::new();
            labels.extend(model.keys.iter().zip(values).map(|(key, value)| ((*key).to_owned(), value.clone().into())));
            labels.insert("_measurement".to_owned(), measurement.name.into());
            for field in measurement.fields {
                labels.insert("_field".to_owned(), (*field).into());
                let name = format!("{}.{}.{field}", measurement.name, values[0]);
                let _ = writeln!(text, "{name}\tf64\t{}", serde_json::Value::from(labels.clone()));
                if first.is_empty() {
                    first = name;
                }
            }
        }
        session.copy("COPY tags (name, kind, labels) FROM STDIN", text)?;
        let ordinal = session.number(&format!("SELECT ordinal FROM tags WHERE name = '{first}'"))?;
        ordinals.push(u64::try_from(ordinal).unwrap_or(0));
    }
    Ok(ordinals)
}

fn columns(model: &Model, rows: &[Row], ordinals: &[u64]) -> Columns {
    let mut columns = Columns::with_room(rows.len() * 10);
    for row in rows {
        let fields = model.measurements[row.measurement].fields.len();
        let first = ordinals[row.measurement] + (row.series * fields) as u64;
        for (field, value) in row.values[..fields].iter().enumerate() {
            columns.tags.push(first + field as u64);
            columns.times.push(row.time_us);
            columns.values.push(*value);
            columns.qualities.push(GOOD);
        }
    }
    columns
}

fn line_labels(model: &Model, values: &[String]) -> String {
    let mut out = String::new();
    for (key, value) in model.keys.iter().zip(values) {
        let _ = write!(out, ",{key}={value}");
    }
    out
}

fn lines(model: &Model, rows: &[Row], labels: &[String]) -> String {
    let mut out = String::with_capacity(rows.len() * 300);
    for row in rows {
        let measurement = &model.measurements[row.measurement];
        let _ = write!(out, "{}{} ", measurement.name, labels[row.series]);
        for (i, (field, value)) in measurement.fields.iter().zip(row.values).enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{field}={value}");
        }
        let _ = writeln!(out, " {}000", row.time_us);
    }
    out
}

type Written = (PathBuf, ArrowWriter<File>, SchemaRef);

/// A file a measurement, with labels beside the fields, as columnar stores like it.
fn files(model: &Model, dir: &Path) -> Result<Vec<Written>, Error> {
    let file = |measurement: &Measurement| {
        let mut fields = vec![Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, None), false)];
        fields.extend(model.keys.iter().map(|key| Field::new(*key, DataType::Utf8, false)));
        fields.extend(measurement.fields.iter().map(|field| Field::new(*field, DataType::Float64, false)));
        let schema = Arc::new(Schema::new(fields));
        let path = dir.join(format!("{}.parquet", measurement.name));
        let out = File::create(&path).map_err(|cause| Error::File { path: path.clone(), cause })?;
        let writer = ArrowWriter::try_new(out, Arc::clone(&schema), None).map_err(|error| failed("writing Parquet", error))?;
        Ok((path, writer, schema))
    };
    model.measurements.iter().map(file).collect()
}

fn batch(model: &Model, measurement: usize, rows: &[Row], schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.measurement == measurement).collect();
    let mut arrays: Vec<ArrayRef> =
        vec![Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.time_us)))];
    for key in 0..model.keys.len() {
        arrays.push(Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &model.labels[row.series][key]))));
    }
    for field in 0..model.measurements[measurement].fields.len() {
        arrays.push(Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.values[field]))));
    }
    RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|error| failed("making a batch", error))
}

fn take(engine: &mut Engine, model: &Model, measurement: &Measurement, path: &Path) -> Result<(), Error> {
    let started = now();
    let (table, path, key) = (measurement.name, path.display(), model.keys[0]);
    let statements = match engine.kind {
        Kind::Duck => vec![format!("CREATE TABLE {table} AS SELECT * FROM read_parquet('{path}')"), "CHECKPOINT".to_owned()],
        Kind::Click => {
            let labels: Vec<String> = model.keys.iter().map(|key| format!("{key} LowCardinality(String)")).collect();
            let fields: Vec<String> = measurement.fields.iter().map(|field| format!("{field} Float64")).collect();
            vec![
                "CREATE DATABASE IF NOT EXISTS bench".to_owned(),
                "USE bench".to_owned(),
                format!(
                    "CREATE TABLE {table} (time DateTime64(6, 'UTC'), {}, {}) ENGINE = MergeTree ORDER BY ({key}, time)",
                    labels.join(", "),
                    fields.join(", ")
                ),
                format!("INSERT INTO {table} SELECT * FROM file('{path}', Parquet)"),
                format!("OPTIMIZE TABLE {table} FINAL"),
            ]
        }
    };
    for statement in statements {
        engine.run(&statement, false)?;
    }
    eprintln!("{}: {table} loaded in {:.1} s", engine.kind.name(), started.elapsed().as_secs_f64());
    Ok(())
}
