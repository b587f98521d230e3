//! `meridian import`: CSV and Parquet files into a node, through its PostgreSQL door.
//!
//! Promises: bounded memory whatever the file's size; a bad row is counted, told with its number
//! and kept in a reject file where asked for, and never ends the import; Ctrl-C ends it between two
//! commits, and running it again doubles nothing, since the same (tag, time) is the same sample.
//!
//! ```text
//! file -> source (rows) -> shape (samples) -> tags (kinds) -> batch (COPY text) -> node
//! ```

mod batch;
mod kinds;
mod parquet_file;
mod refused;
mod shape;
mod source;
mod tags;
#[cfg(test)]
mod tests;
mod time;

use crate::client::{Pending, Session};
use crate::progress::Progress;
use crate::table::thousands;
use crate::{Error, interrupt};
use batch::{Batch, Texts};
use refused::Refused;
use shape::{Names, Shape};
use source::{Row, Source};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tags::{Making, Tags};
use time::TimeReader;
use types::Kind;

const EXAMPLES: &str = "\
Examples:
  # wide: every column but the time is a tag named prefix + column
  meridian import ETTh1.csv --to postgres://meridian@127.0.0.1:5432/meridian --time date --prefix ett.
  # long: a column of tags, one of values, one of qualities
  meridian import log.csv.gz --to ... --time ts --tag point --value val --quality q --time-format ms
  # odd times, some columns only, other names
  meridian import a.csv --to ... --time Zeit --time-format '%d.%m.%Y %H:%M' --time-zone Europe/Berlin \\
      --columns T1,T2 --map T1=boiler.temperature --reject bad.csv

Exit status: 0 every row is in, 3 done but some rows were refused, 130 interrupted (what was committed is
said), 1 it failed.";

/// Import a CSV or Parquet file
#[derive(Debug, clap::Args)]
#[command(about = "Import a CSV or Parquet file into a node", after_help = EXAMPLES)]
pub struct Arguments {
    /// The file: CSV (also .gz) or .parquet
    pub file: PathBuf,
    /// The node: postgres://user@host:port/database
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// The column that holds the time
    #[arg(long, value_name = "COLUMN")]
    pub time: String,
    /// Set before every tag's name
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub prefix: String,
    /// Long file: the column that names the tag
    #[arg(long, value_name = "COLUMN")]
    pub tag: Option<String>,
    /// Long file: the column that holds the value
    #[arg(long, value_name = "COLUMN")]
    pub value: Option<String>,
    /// The column that holds the quality (a name such as good, or 0 to 255) of the row
    #[arg(long, value_name = "COLUMN")]
    pub quality: Option<String>,
    /// Wide file: only these columns, separated by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// The tag for a column (wide) or for a tag of the file (long), instead of prefix + name; may be repeated
    #[arg(long, value_name = "NAME=TAG")]
    pub map: Vec<String>,
    /// How times are written: auto (RFC 3339, YYYY-mm-dd HH:MM:SS), s, ms, us, ns, or a strftime pattern
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub time_format: String,
    /// Zone of times without an offset: UTC, +08:00, Asia/Shanghai
    #[arg(long, value_name = "ZONE", default_value = "UTC", allow_hyphen_values = true)]
    pub time_zone: String,
    /// Kind of the tags that are made (bool, i32, i64, f32, f64, state, text); guessed from the values where not given
    #[arg(long)]
    pub kind: Option<String>,
    /// Make no tags: rows of unknown tags are refused
    #[arg(long)]
    pub no_create: bool,
    /// CSV delimiter; guessed from the head where not given
    #[arg(long, value_name = "CHARACTER")]
    pub delimiter: Option<char>,
    /// Samples a commit
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Write refused rows, with number and reason, to this file (CSV)
    #[arg(long, value_name = "FILE")]
    pub reject: Option<PathBuf>,
    /// How many refused rows are told
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub reject_shown: usize,
}

/// Text of values in one batch, at most (and what one row may bring over it).
const BATCH_BYTES_MAX: usize = 16 << 20;

/// How an import went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rows committed.
    pub rows: u64,
    /// Samples committed.
    pub samples: u64,
    /// Rows refused.
    pub refused: u64,
    /// The first of them.
    pub refused_shown: Vec<(u64, String)>,
    /// Tags made.
    pub tags_created: u64,
    /// Tags in the file.
    pub tags: u64,
    /// The last row committed.
    pub last_row: u64,
    /// Whether Ctrl-C ended it early.
    pub interrupted: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// Runs the command.
///
/// # Errors
/// Whatever ends an import early.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    interrupt::listen();
    let report = import(arguments)?;
    let seconds = report.elapsed.as_secs_f64().max(1e-9);
    println!(
        "{} rows with {} samples of {} tags ({} made) in {:.1} s: {} samples/s; {} rows refused",
        thousands(report.rows),
        thousands(report.samples),
        thousands(report.tags),
        thousands(report.tags_created),
        seconds,
        thousands((report.samples as f64 / seconds) as u64),
        thousands(report.refused),
    );
    for (number, reason) in &report.refused_shown {
        eprintln!("  row {number}: {reason}");
    }
    if report.refused > report.refused_shown.len() as u64 {
        let kept = if arguments.reject.is_some() { "all are in the reject file" } else { "--reject FILE keeps them" };
        eprintln!("  and {} more; {kept}", thousands(report.refused - report.refused_shown.len() as u64));
    }
    if report.interrupted {
        eprintln!(
            "interrupted: all rows up to row {} are committed, none after it; running it again doubles nothing",
            report.last_row
        );
        return Ok(ExitCode::from(130));
    }
    Ok(ExitCode::from(if report.refused > 0 { 3 } else { 0 }))
}

/// Imports a file.
///
/// # Errors
/// Whatever ends an import early; what was committed before stays.
pub fn import(arguments: &Arguments) -> Result<Report, Error> {
    let mut work = Work::open(arguments)?;
    let mut pending: Vec<(Pending, u64, u64, u64)> = Vec::new();
    loop {
        let (batch, more) = work.read()?;
        let texts = if batch.is_empty() { Texts::default() } else { work.resolve(&batch)? };
        // The next batch is read while the one before is committed; two are never under way.
        work.settle(&mut pending)?;
        if interrupt::asked() {
            work.report.interrupted = true;
            break;
        }
        work.send(texts, &mut pending);
        if !more {
            work.settle(&mut pending)?;
            break;
        }
    }
    work.refused.finish()?;
    work.report.elapsed = work.progress.elapsed();
    work.progress.end();
    work.report.refused = work.refused.count();
    work.report.refused_shown = work.refused.shown().to_vec();
    work.report.tags_created = work.tags.created();
    work.report.tags = work.tags.known() as u64;
    Ok(work.report)
}

/// An import under way.
struct Work {
    source: Source,
    shape: Shape,
    times: TimeReader,
    names: Names,
    tags: Tags,
    making: Making,
    refused: Refused,
    session: Session,
    progress: Progress,
    report: Report,
    batch_samples: usize,
}

impl Work {
    fn open(arguments: &Arguments) -> Result<Work, Error> {
        let times = TimeReader::new(&arguments.time_format, &arguments.time_zone).map_err(Error::Usage)?;
        let kind = arguments.kind.as_deref().map(Kind::parse).transpose().map_err(|error| Error::Usage(error.to_string()))?;
        let delimiter = match arguments.delimiter {
            None => None,
            Some(c) => Some(u8::try_from(c).map_err(|_| Error::Usage(format!("--delimiter '{c}' is more than one byte")))?),
        };
        let source = Source::open(&arguments.file, delimiter, &arguments.time)?;
        let mut names = Names::default();
        let shape = Shape::of(arguments, source.heads(), &mut names)
            .map_err(|problem| Error::Input { path: arguments.file.clone(), problem })?;
        let refused = Refused::new(arguments.reject_shown, arguments.reject.as_deref(), source.heads())?;
        let session = Session::connect(&arguments.to, "meridian import")?;
        let unit = if matches!(source, Source::Csv(_)) { "bytes" } else { "rows" };
        let progress = Progress::start("import", unit, Some(source.position().1));
        let making = Making { create: !arguments.no_create, kind };
        let batch_samples = arguments.batch as usize;
        let (tags, report) = (Tags::default(), Report::default());
        Ok(Work { source, shape, times, names, tags, making, refused, session, progress, report, batch_samples })
    }

    /// Reads the next batch; false when the file is at its end.
    fn read(&mut self) -> Result<(Batch, bool), Error> {
        let mut batch = Batch::default();
        let mut row = Row::default();
        while batch.samples.len() < self.batch_samples && batch.texts.len() < BATCH_BYTES_MAX {
            if !self.source.next(&mut row)? {
                return Ok((batch, false));
            }
            let taken = self.shape.take(&row, &self.times, &mut self.names, &mut batch.samples, &mut batch.texts);
            match taken {
                Ok(()) => batch.end_row(&row, self.refused.keeps_rows()),
                Err(reason) => self.refused.add(&row, reason)?,
            }
        }
        Ok((batch, true))
    }

    fn resolve(&mut self, batch: &Batch) -> Result<Texts, Error> {
        if self.tags.known() < self.names.all().len() {
            self.tags.resolve(&self.session, self.names.all(), self.making, |tag| batch.values_of(tag))?;
        }
        batch.write(&self.tags, &self.names, &mut self.refused)
    }

    fn send(&self, texts: Texts, pending: &mut Vec<(Pending, u64, u64, u64)>) {
        let Texts { samples, events, rows, values, last_row } = texts;
        let mut counts = (rows, values, last_row);
        let parts = [
            ("COPY samples (tag, time, value, quality) FROM STDIN", samples),
            ("COPY events (tag, time, text, quality) FROM STDIN", events),
        ];
        for (sql, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
            // Rows are counted once, however many statements their samples need.
            let (rows, values, last_row) = std::mem::take(&mut counts);
            pending.push((self.session.start_copy(sql, text), rows, values, last_row));
        }
    }

    fn settle(&mut self, pending: &mut Vec<(Pending, u64, u64, u64)>) -> Result<(), Error> {
        for (copy, rows, values, last_row) in pending.drain(..) {
            self.session.finish(copy)?;
            self.report.rows += rows;
            self.report.samples += values;
            self.report.last_row = self.report.last_row.max(last_row);
        }
        let note = format!("{} samples, {} rows refused", thousands(self.report.samples), thousands(self.refused.count()));
        self.progress.at(self.source.position().0, &note);
        Ok(())
    }
}
