//! `meridian export`: a table or the answer of a query into a CSV, Parquet or Arrow file, through a node's PostgreSQL door.
//!
//! Promises: one statement, so the data of one moment (in a fleet, of one moment a slice); bounded memory whatever comes; a file
//! has its name only when it is whole: Ctrl-C and every failure leave none. What `meridian import` reads back is the same, bit
//! for bit.
//! What it may not know: the node's insides; it is a client like any other.
//!
//! ```text
//! arguments -> question (SQL) -> node -> CSV as it comes                   -> place (FILE.part, then FILE)
//!                                     -> columns (Arrow batches) -> sheets -> place
//! ```

mod columns;
mod form;
mod numeric;
mod place;
mod question;
mod sheets;
#[cfg(test)]
mod tests;

use crate::client::{Defaults, Session};
use crate::config::units::round_size;
use crate::progress::Progress;
use crate::table::thousands;
use crate::terminal::say;
use crate::{Error, interrupt, sql};
use columns::Columns;
use flate2::write::GzEncoder;
use form::Form;
use place::{Output, Place};
use question::{Question, Table};
use sheets::Sheets;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  meridian export --table samples --tags 'boiler.%' --since 2026-01-01 --to boiler.parquet
  meridian export --table events --to - | grep alarm                      CSV on standard output
  meridian export --to means.csv.gz --query \"SELECT date_bin('1 hour', time) AS hour, avg(value)
      FROM samples WHERE tag = 'boiler.level' GROUP BY hour ORDER BY hour\"
  meridian export --table latest --to - --format arrows | python3 -c 'import pyarrow as pa, sys
  print(pa.ipc.open_stream(sys.stdin.buffer).read_pandas())'
  # A whole store to another one, bit for bit: tags first, thinning last (docs/operations.md says why)
  meridian export --from $A --table tags --to tags.parquet
  meridian export --from $A --table samples --kind f32,f64 --to samples.parquet
  meridian export --from $A --table integers --to integers.parquet
  meridian export --from $A --table events --to events.parquet
  meridian import tags.parquet --to $B --table tags --lossless
  for table in samples integers events; do meridian import $table.parquet --to $B --table $table; done
  meridian import tags.parquet --to $B --table tags --update

Integers beyond 2^53 are no doubles: the table samples refuses them (22003), integers has them.
In Parquet and Arrow a numeric, an interval or a uuid is text, as SQL shows it.
Without --from: PGHOST, PGPORT, PGUSER, PGDATABASE and so on, then 127.0.0.1:5432/meridian.

Exit status: 0 the file is whole, 1 it failed, 2 wrong command line, 130 interrupted; only with 0 there is a file.";

/// Export to a file
#[derive(Debug, clap::Args)]
#[command(about = "Export a table or a query to a CSV, Parquet or Arrow file", after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["query", "table"]))]
pub struct Arguments {
    /// The node, or any of a fleet: postgres://user@host:port/database, with sslmode and sslrootcert as in psql
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// What to export: any query
    #[arg(long, value_name = "SQL", allow_hyphen_values = true)]
    pub query: Option<String>,
    /// What to export: this table, as `meridian import --table` reads it
    #[arg(long, value_name = "TABLE", value_enum)]
    pub table: Option<Table>,
    /// Of the table, tags whose name is LIKE this ('boiler.%')
    #[arg(long, value_name = "PATTERN", conflicts_with = "query")]
    pub tags: Option<String>,
    /// Of the table, tags of these kinds (bool, i32, i64, f32, f64, state, text)
    #[arg(long, value_name = "KINDS", value_delimiter = ',', conflicts_with = "query")]
    pub kind: Vec<String>,
    /// Of the table, from this time on (2026-01-01, '2026-01-01 08:00:00+08'; UTC without an offset)
    #[arg(long, value_name = "TIME", conflicts_with = "query")]
    pub since: Option<String>,
    /// Of the table, before this time
    #[arg(long, value_name = "TIME", conflicts_with = "query")]
    pub until: Option<String>,
    /// The file, which is made; - is standard output
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// What the file holds; where not given, its name tells (.csv, .csv.gz, .parquet, .arrow, .arrows), and - is CSV
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<Form>,
    /// Take the place of a file of that name, once the new one is whole
    #[arg(long)]
    pub replace: bool,
}

/// How an export went.
#[derive(Debug, Default)]
struct Report {
    rows: u64,
    bytes: u64,
    elapsed: Duration,
    /// What is to be known of the file.
    notes: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Whatever ends an export early; there is no file then.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    interrupt::listen();
    let on_stdout = is_stdout(&arguments.to);
    let report = match export(arguments) {
        Err(Error::Interrupted) => {
            let left =
                if on_stdout { "what came is not whole".to_owned() } else { format!("{} is not written", name(arguments)) };
            eprintln!("interrupted: {left}");
            return Ok(ExitCode::from(130));
        }
        other => other?,
    };
    for note in &report.notes {
        eprintln!("note: {note}");
    }
    let seconds = report.elapsed.as_secs_f64().max(1e-9);
    let rate = thousands((report.rows as f64 / seconds) as u64);
    let (rows, bytes) = (thousands(report.rows), round_size(report.bytes));
    let told = format!("{rows} rows in {seconds:.1} s: {rate} rows/s; {bytes} in {}\n", name(arguments));
    if on_stdout {
        eprint!("{told}")
    } else {
        say(&told)
    }
    Ok(ExitCode::SUCCESS)
}

fn is_stdout(to: &Path) -> bool {
    to.as_os_str() == "-"
}

fn name(arguments: &Arguments) -> String {
    if is_stdout(&arguments.to) { "standard output".to_owned() } else { arguments.to.display().to_string() }
}

fn export(arguments: &Arguments) -> Result<Report, Error> {
    let form = Form::of(arguments)?;
    let question = Question::of(arguments)?;
    if is_stdout(&arguments.to) && !form.is_text() && std::io::stdout().is_terminal() {
        return Err(Error::Usage("what would come is no text, and standard output is a terminal; give --to FILE".to_owned()));
    }
    let (place, output) = Place::open(&arguments.to, arguments.replace)?;
    let target = sql::target(arguments.from.as_deref(), &Defaults::default())?;
    let session = Session::connect_to(target, "meridian export")?;
    if question.in_utc {
        session.query("SET TimeZone = 'UTC'")?;
    }
    let progress = Progress::start("export", "rows", None);
    let mut work = Work { session, place, progress, report: Report::default() };
    match form {
        Form::Csv | Form::CsvGz => work.text(&question.sql, output, form)?,
        Form::Parquet | Form::Arrow | Form::Arrows => work.sheets(&question.sql, output, form)?,
    }
    let Work { place, mut progress, mut report, .. } = work;
    progress.end();
    (report.elapsed, report.bytes) = (progress.elapsed(), place.written());
    place.finish()?;
    Ok(report)
}

/// An export under way.
struct Work {
    session: Session,
    place: Place,
    progress: Progress,
    report: Report,
}

/// Where CSV goes.
enum Text {
    Plain(BufWriter<Output>),
    Gzip(GzEncoder<BufWriter<Output>>),
}

/// Bytes of CSV that are written at once.
const TEXT_BYTES: usize = 256 << 10;

impl Work {
    /// CSV, as the node writes it.
    fn text(&mut self, sql: &str, output: Output, form: Form) -> Result<(), Error> {
        // A line's end behind it: a query may end with a comment.
        let mut coming = self.session.copy_out(&format!("COPY ({sql}\n) TO STDOUT WITH (FORMAT csv, HEADER)"))?;
        let buffered = BufWriter::with_capacity(TEXT_BYTES, output);
        let mut into = match form {
            Form::CsvGz => Text::Gzip(GzEncoder::new(buffered, flate2::Compression::default())),
            _ => Text::Plain(buffered),
        };
        let mut lines = 0;
        loop {
            let part = self.session.next(&mut coming)?;
            if part.is_empty() {
                break;
            }
            for line in &part {
                let written = match &mut into {
                    Text::Plain(into) => into.write_all(line),
                    Text::Gzip(into) => into.write_all(line),
                };
                written.map_err(|cause| self.place.failed(cause))?;
            }
            // The node sends a message a row; the first is the head.
            lines += part.len() as u64;
            self.went(lines.saturating_sub(1));
        }
        let ended = match into {
            Text::Plain(mut into) => into.flush(),
            Text::Gzip(into) => into.finish().and_then(|mut into| into.flush()),
        };
        ended.map_err(|cause| self.place.failed(cause))
    }

    /// Parquet and Arrow, of rows in binary form.
    fn sheets(&mut self, sql: &str, output: Output, form: Form) -> Result<(), Error> {
        let statement = self.session.prepare(sql)?;
        let mut columns = Columns::of(statement.columns()).map_err(Error::Usage)?;
        self.report.notes.extend(columns.notes());
        let wrong = |problem: String| Error::Node { doing: "reading the answer", problem };
        let mut coming = self.session.rows(&statement)?;
        let mut sheets = Sheets::new(form, output, columns.schema()).map_err(|error| self.place.failed(error))?;
        let mut rows = 0;
        loop {
            let part = self.session.next(&mut coming)?;
            for row in &part {
                columns.push(row).map_err(|why| wrong(format!("row {}: {why}", rows + 1)))?;
                rows += 1;
                if columns.are_full() {
                    let batch = columns.take().map_err(|error| wrong(error.to_string()))?;
                    sheets.write(&batch).map_err(|error| self.place.failed(error))?;
                }
            }
            self.went(rows);
            if part.is_empty() {
                break;
            }
        }
        if !columns.are_empty() {
            let batch = columns.take().map_err(|error| wrong(error.to_string()))?;
            sheets.write(&batch).map_err(|error| self.place.failed(error))?;
        }
        sheets.finish().map_err(|error| self.place.failed(error))
    }

    fn went(&mut self, rows: u64) {
        self.report.rows = rows;
        self.progress.at(rows, &format!("{} written", round_size(self.place.written())));
    }
}
