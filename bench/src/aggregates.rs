//! `bench aggregates`: aggregation over many points, ours beside DuckDB and ClickHouse.
//!
//! Promises: all hold the same points, on disk, merged or sorted as suits each best; every question is asked of all in turns and the
//! answers are compared; the time is from the statement to all rows at the client. Ours answers over a socket, the others within
//! their process.

use crate::asked::{Asked, Question, ROUNDS};
use crate::peer::engine::{Engine, Kind};
use crate::report::Report;
use crate::{Setup, failed, grid};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, TimestampMicrosecondArray, UInt8Array, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use meridian::Session;
use meridian::flight::{Stream, runtime, sample_batch, sample_schema};
use meridian::grid::{Columns, Part};
use meridian::node::{Node, Scratch};
use meridian::progress::{Progress, now};
use meridian::table::thousands;
use meridian::{Error, interrupt};
use std::path::Path;
use std::sync::Arc;

const TAGS_A_GROUP: u64 = 50;

/// Aggregation over many points, beside DuckDB and ClickHouse
#[derive(clap::Args)]
pub struct Arguments {
    /// Tags, each a sample a second, in 100 areas
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1000..))]
    tags: u64,
    /// Points
    #[arg(long, default_value_t = 100_000_000)]
    points: u64,
    #[command(flatten)]
    setup: Setup,
}

/// Runs it.
///
/// # Errors
/// Whatever ends it early, and answers that differ.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let scratch = Scratch::new("bench-aggregates", arguments.setup.dir.as_deref())?;
    let steps = (arguments.points / arguments.tags).max(120);
    let node = Node::start(&scratch.dir.join("node"), &arguments.setup.serve)?;
    let session = Session::connect(&node.url(), "bench")?;
    load_ours(arguments, &node, &session, steps)?;
    let mut engines = Vec::new();
    let wanted: Vec<Kind> = [Kind::Duck, Kind::Click].into_iter().filter(|kind| arguments.setup.wants(kind.word())).collect();
    if !wanted.is_empty() {
        let file = scratch.dir.join("samples.parquet");
        write_parquet(arguments, steps, &file)?;
        for kind in wanted {
            let mut engine = Engine::start(kind, &scratch.dir.join(kind.word()))?;
            load_engine(&mut engine, &file)?;
            engines.push(engine);
        }
        std::fs::remove_file(&file).map_err(|cause| Error::File { path: file, cause })?;
    }
    let mut report = Report::new(format!(
        "Aggregation over {} points of {} tags in {} areas; seconds, the median of {} turns",
        thousands(steps * arguments.tags),
        thousands(arguments.tags),
        grid::AREAS,
        ROUNDS - 1
    ));
    let mut field = Asked { session: &session, engines: &mut engines, victoria: None, goal: Some(1.0) };
    for question in questions(steps) {
        field.ask(&question, &mut report)?;
    }
    field.held(&node, steps * arguments.tags, &mut report)?;
    report.end(arguments.setup.json.as_deref())
}

fn questions(steps: u64) -> Vec<Question> {
    // The middle tenth of the time.
    let (from, to) = (grid::START_US / 1_000_000 + steps as i64 * 9 / 20, grid::START_US / 1_000_000 + steps as i64 * 11 / 20);
    let one = 4_242 % 1000;
    let name = grid::name(one);
    let question = |what: &str, ours: &str, duck: &str, click: &str| Question {
        what: what.to_owned(),
        ours: ours.to_owned(),
        duck: duck.to_owned(),
        click: click.to_owned(),
        victoria: None,
    };
    vec![
        question(
            "by area",
            "SELECT label(tag, 'area')::int AS area, count(*), avg(value), max(value) FROM samples GROUP BY 1 ORDER BY 1",
            "SELECT area, count(*), avg(value), max(value) FROM samples GROUP BY 1 ORDER BY 1",
            "SELECT area, count(), avg(value), max(value) FROM samples GROUP BY 1 ORDER BY 1",
        ),
        question(
            "by minute",
            "SELECT date_bin('1 minute', time) AS at, count(*), avg(value), max(value) FROM samples GROUP BY 1 ORDER BY 1",
            "SELECT time_bucket(INTERVAL '1 minute', time) AS at, count(*), avg(value), max(value) FROM samples GROUP BY 1 ORDER BY 1",
            "SELECT toStartOfMinute(time) AS at, count(), avg(value), max(value) FROM samples GROUP BY 1 ORDER BY 1",
        ),
        question(
            "by area and minute",
            "SELECT label(tag, 'area')::int AS area, date_bin('1 minute', time) AS at, count(*), avg(value) FROM samples GROUP BY 1, 2 ORDER BY 1, 2",
            "SELECT area, time_bucket(INTERVAL '1 minute', time) AS at, count(*), avg(value) FROM samples GROUP BY 1, 2 ORDER BY 1, 2",
            "SELECT area, toStartOfMinute(time) AS at, count(), avg(value) FROM samples GROUP BY 1, 2 ORDER BY 1, 2",
        ),
        question(
            "a range of time by area",
            &format!(
                "SELECT label(tag, 'area')::int AS area, count(*), avg(value), max(value) FROM samples WHERE time >= to_timestamp({from}) AND time < to_timestamp({to}) GROUP BY 1 ORDER BY 1"
            ),
            &format!(
                "SELECT area, count(*), avg(value), max(value) FROM samples WHERE time >= make_timestamp({from}000000) AND time < make_timestamp({to}000000) GROUP BY 1 ORDER BY 1"
            ),
            &format!(
                "SELECT area, count(), avg(value), max(value) FROM samples WHERE time >= toDateTime64({from}, 6, 'UTC') AND time < toDateTime64({to}, 6, 'UTC') GROUP BY 1 ORDER BY 1"
            ),
        ),
        question(
            "last value of every tag",
            "SELECT substr(tag, 2)::int AS tag, value FROM latest ORDER BY 1",
            "SELECT tag, arg_max(value, time) FROM samples GROUP BY 1 ORDER BY 1",
            "SELECT tag, argMax(value, time) FROM samples GROUP BY 1 ORDER BY 1",
        ),
        question(
            "one tag by minute",
            &format!(
                "SELECT date_bin('1 minute', time) AS at, count(*), avg(value), max(value) FROM samples WHERE tag = '{name}' GROUP BY 1 ORDER BY 1"
            ),
            &format!(
                "SELECT time_bucket(INTERVAL '1 minute', time) AS at, count(*), avg(value), max(value) FROM samples WHERE tag = {one} GROUP BY 1 ORDER BY 1"
            ),
            &format!(
                "SELECT toStartOfMinute(time) AS at, count(), avg(value), max(value) FROM samples WHERE tag = {one} GROUP BY 1 ORDER BY 1"
            ),
        ),
    ]
}

fn load_ours(arguments: &Arguments, node: &Node, session: &Session, steps: u64) -> Result<(), Error> {
    let shape = grid::shape(arguments.setup.seed, 1_000_000);
    let ordinal = grid::make_tags(session, shape, arguments.tags, "")?;
    let mut parts = grid::parts(shape, arguments.tags, 1);
    let mut progress = Progress::start("ours", "points", Some(steps * arguments.tags));
    let started = now();
    runtime()?.block_on(async {
        let mut stream = Stream::samples(&node.flight, "bench").await?;
        let mut done = 0;
        while done < steps {
            interrupt::check()?;
            let more = (100_000 / arguments.tags).max(1).min(steps - done);
            for columns in grid::batches(&mut parts, more, u64::MAX).into_iter().flatten() {
                stream.send(&sample_batch(&sample_schema(), columns, ordinal)).await?;
            }
            done += more;
            progress.at(done * arguments.tags, "");
        }
        stream.finish().await
    })?;
    drop(progress);
    session.query("SELECT meridian_flush()")?;
    session.query("SELECT meridian_merge()")?;
    eprintln!("Meridian: loaded, flushed and merged in {:.1} s", started.elapsed().as_secs_f64());
    let counted = session.number("SELECT count(*) FROM samples")?;
    if counted as u64 == steps * arguments.tags { Ok(()) } else { Err(Error::Wrong(format!("{counted} points are counted"))) }
}

fn parquet_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("tag", DataType::UInt32, false),
        Field::new("area", DataType::UInt8, false),
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("value", DataType::Float64, false),
        Field::new("quality", DataType::UInt8, false),
    ]))
}

/// All points, by tag, then time: the order in which columnar stores like them best.
fn write_parquet(arguments: &Arguments, steps: u64, file: &Path) -> Result<(), Error> {
    let made = |cause| Error::File { path: file.to_path_buf(), cause };
    let shape = grid::shape(arguments.setup.seed, 1_000_000);
    let out = std::fs::File::create(file).map_err(made)?;
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(out, parquet_schema(), None).map_err(|error| failed("writing Parquet", error))?;
    let mut progress = Progress::start("a file for the peers", "points", Some(steps * arguments.tags));
    for first in (0..arguments.tags).step_by(TAGS_A_GROUP as usize) {
        interrupt::check()?;
        let mut columns = Columns::with_room((TAGS_A_GROUP * steps) as usize);
        for tag in first..(first + TAGS_A_GROUP).min(arguments.tags) {
            let mut part = Part::new(shape, tag, 1);
            (0..steps).for_each(|_| part.next_step(&mut columns));
        }
        let tags = columns.tags.iter().map(|tag| *tag as u32);
        let areas = columns.tags.iter().map(|tag| grid::area(*tag) as u8);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_iter_values(tags)),
            Arc::new(UInt8Array::from_iter_values(areas)),
            Arc::new(TimestampMicrosecondArray::from(columns.times)),
            Arc::new(Float64Array::from(columns.values)),
            Arc::new(UInt8Array::from(columns.qualities)),
        ];
        let batch = RecordBatch::try_new(parquet_schema(), arrays).map_err(|error| failed("making a batch", error))?;
        writer.write(&batch).map_err(|error| failed("writing Parquet", error))?;
        progress.at((first + TAGS_A_GROUP) * steps, "");
    }
    writer.close().map(drop).map_err(|error| failed("writing Parquet", error))
}

fn load_engine(engine: &mut Engine, file: &Path) -> Result<(), Error> {
    let started = now();
    let file = file.display();
    let statements = match engine.kind {
        // The file is in order already; DuckDB keeps it, and skips row groups by their bounds.
        Kind::Duck => vec![format!("CREATE TABLE samples AS SELECT * FROM read_parquet('{file}')"), "CHECKPOINT".to_owned()],
        Kind::Click => vec![
            "CREATE DATABASE IF NOT EXISTS bench".to_owned(),
            "USE bench".to_owned(),
            "CREATE TABLE samples (tag UInt32, area UInt8, time DateTime64(6, 'UTC'), value Float64, quality UInt8) \
             ENGINE = MergeTree ORDER BY (tag, time)"
                .to_owned(),
            format!("INSERT INTO samples SELECT * FROM file('{file}', Parquet)"),
            "OPTIMIZE TABLE samples FINAL".to_owned(),
        ],
    };
    for statement in statements {
        engine.run(&statement, false)?;
    }
    eprintln!("{}: loaded in {:.1} s", engine.kind.name(), started.elapsed().as_secs_f64());
    Ok(())
}
