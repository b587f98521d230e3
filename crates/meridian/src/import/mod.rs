//! `meridian import`: CSV, Parquet and Arrow files into a node, through its PostgreSQL door.
//!
//! Promises: bounded memory whatever the file's size; a bad row is counted, told with its number
//! and kept in a reject file where asked for, and never ends the import; Ctrl-C ends it between two
//! commits, a failure wherever it comes; both say up to which row all is committed and how to go on.
//! Running it again doubles nothing, since the same (tag, time) is the same sample.
//!
//! ```text
//! file -> source (rows) -> shape (samples) -> tags (kinds) -> batch (COPY text) -> node
//! ```

mod arrow_rows;
mod batch;
mod ipc_file;
mod kinds;
mod parquet_file;
mod refused;
mod shape;
mod source;
mod tag_table;
mod tags;
#[cfg(test)]
mod tests;
mod time;

use crate::client::{Pending, Session};
use crate::progress::Progress;
use crate::table::thousands;
use crate::terminal::say;
use crate::{Error, interrupt};
use arrow_rows::Wanted;
use batch::{Batch, Texts};
use refused::Refused;
use shape::{Names, Shape};
use source::{Row, Source};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tags::{Making, Tags};
pub use time::{TimeReader, write_time};
use types::Kind;

const EXAMPLES: &str = "\
Examples:
  # wide: every column but the time is a tag named prefix + column
  meridian import ETTh1.csv --to postgres://meridian@127.0.0.1:5432/meridian --time date --prefix ett.
  # long: a column of tags, one of values, one of qualities
  meridian import log.csv.gz --to ... --time ts --tag point --value val --quality q --time-format ms
  # over TLS, the password from PGPASSWORD or ~/.pgpass
  meridian import a.csv --to 'postgres://me@db:5432/meridian?sslmode=verify-full&sslrootcert=ca.pem' --time date
  # digital states by name; tags that are not there are made with these states
  meridian import valves.csv --to ... --time t --states shut,open
  # odd times, some columns only, other names
  meridian import a.csv --to ... --time Zeit --time-format '%d.%m.%Y %H:%M' --time-zone Europe/Berlin \\
      --columns T1,T2 --map T1=boiler.temperature --reject bad.csv
  # what meridian export wrote: the columns are the table's own; what tags are comes first
  meridian import tags.csv --to ... --table tags
  meridian import samples.parquet --to ... --table samples
  # thinned tags of another store: lossless until all its samples are in, or they would be thinned once more
  meridian import tags.csv --to ... --table tags --lossless
  meridian import samples.arrow --to ... --table samples
  meridian import tags.csv --to ... --table tags --update

Exit status: 0 every row is in, 3 done but some rows were refused, 130 interrupted (what was committed is
said), 1 it failed.";

/// A table whose columns a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Table {
    /// tag, time, value, quality
    Samples,
    /// tag, time, value, quality; tags that are made are of kind i64
    Integers,
    /// tag, time, text, quality
    Events,
    /// What tags are: name, kind, unit, labels and so on
    Tags,
}

/// Import a CSV, Parquet or Arrow file
#[derive(Clone, Debug, clap::Args)]
#[command(about = "Import a CSV, Parquet or Arrow file into a node", after_help = EXAMPLES)]
pub struct Arguments {
    /// The file: CSV (also .gz), .parquet, .arrow, .feather or .arrows
    pub file: PathBuf,
    /// The node: postgres://user@host:port/database, with sslmode and sslrootcert as in psql
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// The column that holds the time
    #[arg(long, value_name = "COLUMN", required_unless_present = "table")]
    pub time: Option<String>,
    /// The file's columns are those of this table, as `meridian export --table` writes them
    #[arg(long, value_name = "TABLE", value_enum, conflicts_with_all = ["time", "tag", "value"])]
    pub table: Option<Table>,
    /// Of --table tags: make them lossless, whatever the file says
    #[arg(long)]
    pub lossless: bool,
    /// Of --table tags: change tags that are there to what the file says
    #[arg(long)]
    pub update: bool,
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
    /// Wide file, and --table tags: only these columns, separated by commas
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
    /// Names of the states, by index, of tags that are made; makes them of kind state
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub states: Vec<String>,
    /// Make no tags: rows of unknown tags are refused
    #[arg(long)]
    pub no_create: bool,
    /// Pass over the rows before this one (CSV: the line), to go on with an import that was ended early
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub from_row: u64,
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

/// Bytes of values, and of rows kept for the reject file, in one batch at most (and what one row may bring over it).
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
    if arguments.table == Some(Table::Tags) {
        return tag_table::run(arguments);
    }
    if arguments.lossless || arguments.update {
        return Err(Error::Usage("--lossless and --update are for --table tags".to_owned()));
    }
    let report = import(arguments)?;
    let seconds = report.elapsed.as_secs_f64().max(1e-9);
    say(&format!(
        "{} rows with {} samples of {} tags ({} made) in {:.1} s: {} samples/s; {} rows refused\n",
        thousands(report.rows),
        thousands(report.samples),
        thousands(report.tags),
        thousands(report.tags_created),
        seconds,
        thousands((report.samples as f64 / seconds) as u64),
        thousands(report.refused),
    ));
    tell_refused(arguments, report.refused, &report.refused_shown);
    if report.interrupted {
        eprintln!("interrupted: {}", report.standing());
        return Ok(ExitCode::from(130));
    }
    Ok(ExitCode::from(if report.refused > 0 { 3 } else { 0 }))
}

fn tell_refused(arguments: &Arguments, count: u64, shown: &[(u64, String)]) {
    for (number, reason) in shown {
        eprintln!("  row {number}: {reason}");
    }
    if count > shown.len() as u64 {
        let kept = if arguments.reject.is_some() { "all are in the reject file" } else { "--reject FILE keeps them" };
        eprintln!("  and {} more; {kept}", thousands(count - shown.len() as u64));
    }
}

impl Arguments {
    fn delimiter(&self) -> Result<Option<u8>, Error> {
        let wrong = |c: char| Error::Usage(format!("--delimiter '{c}' is more than one byte"));
        self.delimiter.map(|c| u8::try_from(c).map_err(|_| wrong(c))).transpose()
    }

    /// The same with what a table says of its columns, and of the kind of tags that are made.
    fn filled(&self, heads: &[String]) -> Arguments {
        let mut filled = self.clone();
        let (value, kind) = match self.table {
            None | Some(Table::Tags) => return filled,
            Some(Table::Samples) => ("value", "f64"),
            Some(Table::Integers) => ("value", "i64"),
            Some(Table::Events) => ("text", "text"),
        };
        (filled.tag, filled.value) = (Some("tag".to_owned()), Some(value.to_owned()));
        if filled.quality.is_none() && heads.iter().any(|head| head == "quality") {
            filled.quality = Some("quality".to_owned());
        }
        if filled.states.is_empty() {
            filled.kind.get_or_insert(kind.to_owned());
        }
        filled
    }
}

impl Report {
    /// What an import that was ended early leaves, and how to go on.
    fn standing(&self) -> String {
        if self.last_row == 0 {
            return "no row is committed; run it again".to_owned();
        }
        format!(
            "{} rows are committed: all up to row {} that were not refused; go on with --from-row {}, or run it again (it doubles nothing)",
            thousands(self.rows),
            self.last_row,
            self.last_row + 1
        )
    }
}

/// Imports a file.
///
/// # Errors
/// Whatever ends an import early; `Error::Import` where it had begun: what was committed before stays.
pub fn import(arguments: &Arguments) -> Result<Report, Error> {
    let mut work = Work::open(arguments)?;
    let ended = work.go();
    let outcome = ended.and(work.refused.finish());
    work.progress.end();
    let Work { mut report, refused, tags, progress, .. } = work;
    report.elapsed = progress.elapsed();
    report.refused = refused.count();
    report.refused_shown = refused.shown().to_vec();
    report.tags_created = tags.created();
    report.tags = tags.known() as u64;
    match outcome {
        Ok(()) => Ok(report),
        Err(cause) => {
            tell_refused(arguments, report.refused, &report.refused_shown);
            Err(Error::Import { standing: report.standing(), cause: Box::new(cause) })
        }
    }
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
    from_row: u64,
}

/// A COPY under way: rows, samples and the last row that it commits.
type Sent = (Pending, u64, u64, u64);

impl Work {
    fn go(&mut self) -> Result<(), Error> {
        let mut pending: Vec<Sent> = Vec::new();
        loop {
            // Before anything else of this batch is done: the one before may still be committed.
            let read = self.read().and_then(|(batch, more)| Ok((self.texts(&batch)?, more)));
            // The next batch is read while the one before is committed; two are never under way.
            self.settle(&mut pending)?;
            let (texts, more) = read?;
            if interrupt::asked() {
                self.report.interrupted = true;
                return Ok(());
            }
            self.send(texts, &mut pending);
            if !more {
                return self.settle(&mut pending);
            }
        }
    }

    fn open(arguments: &Arguments) -> Result<Work, Error> {
        let time_column = arguments.time.as_deref().unwrap_or("time");
        let source = Source::open(&arguments.file, arguments.delimiter()?, Wanted { time_column, lists: false })?;
        let arguments = &arguments.filled(source.heads());
        let times = TimeReader::new(&arguments.time_format, &arguments.time_zone).map_err(Error::Usage)?;
        let mut kind = arguments.kind.as_deref().map(Kind::parse).transpose().map_err(|error| Error::Usage(error.to_string()))?;
        if !arguments.states.is_empty() && *kind.get_or_insert(Kind::State) != Kind::State {
            return Err(Error::Usage("--states are of tags of kind state; --kind gives another one".to_owned()));
        }
        let mut names = Names::default();
        let shape = Shape::of(arguments, source.heads(), &mut names)
            .map_err(|problem| Error::Input { path: arguments.file.clone(), problem })?;
        let session = Session::connect(&arguments.to, "meridian import")?;
        // Made last: a file that is left by an import that never began would refuse the next one.
        let refused = Refused::new(arguments.reject_shown, arguments.reject.as_deref(), source.heads())?;
        let (_, total, unit) = source.position();
        let progress = Progress::start("import", unit, Some(total));
        let making = Making { create: !arguments.no_create, kind, states: arguments.states.clone() };
        let (batch_samples, from_row) = (arguments.batch as usize, arguments.from_row);
        let (tags, report) = (Tags::default(), Report::default());
        Ok(Work { source, shape, times, names, tags, making, refused, session, progress, report, batch_samples, from_row })
    }

    /// Reads the next batch; false when the file is at its end.
    fn read(&mut self) -> Result<(Batch, bool), Error> {
        let mut batch = Batch::default();
        let mut row = Row::default();
        while !batch.is_full(self.batch_samples, BATCH_BYTES_MAX) {
            if !self.source.next(&mut row)? {
                return Ok((batch, false));
            }
            // A row that runs to the end of the file holds rows that were not to be passed over.
            if row.number < self.from_row && row.broken.is_none() {
                if interrupt::asked() {
                    return Ok((batch, false));
                }
                continue;
            }
            let taken = self.shape.take(&row, &self.times, &mut self.names, &mut batch.samples, &mut batch.texts);
            batch.end_row(&row, self.refused.keeps_rows(), taken.err());
        }
        Ok((batch, true))
    }

    /// What is sent of a batch, its new tags being found or made first.
    fn texts(&mut self, batch: &Batch) -> Result<Texts, Error> {
        if batch.is_empty() {
            return Ok(Texts::default());
        }
        if self.tags.known() < self.names.all().len() {
            self.tags.resolve(&self.session, self.names.all(), &self.making, |tag| batch.values_of(tag))?;
        }
        batch.write(&self.tags, &self.names, &mut self.refused)
    }

    fn send(&mut self, texts: Texts, pending: &mut Vec<Sent>) {
        let Texts { samples, events, rows, values, last_row } = texts;
        let mut counts = (rows, values, last_row);
        if samples.is_empty() && events.is_empty() {
            // Rows without a value: there is nothing to commit.
            self.report.rows += rows;
            self.report.last_row = self.report.last_row.max(last_row);
        }
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

    fn settle(&mut self, pending: &mut Vec<Sent>) -> Result<(), Error> {
        // Counted only when all of the batch is there: a row's samples may be in two statements.
        let mut whole = (0, 0, 0);
        for (copy, rows, values, last_row) in pending.drain(..) {
            self.session.finish(copy)?;
            whole = (whole.0 + rows, whole.1 + values, whole.2.max(last_row));
        }
        self.report.rows += whole.0;
        self.report.samples += whole.1;
        self.report.last_row = self.report.last_row.max(whole.2);
        let note = format!("{} samples, {} rows refused", thousands(self.report.samples), thousands(self.refused.count()));
        self.progress.at(self.source.position().0, &note);
        Ok(())
    }
}
