//! COPY FROM STDIN: bytes in, samples, events or tags out.
//!
//! A COPY is one commit: its rows are held until the data are complete, up to `copy_bytes_max`, and
//! a bad row, a full limit or a client that goes away keeps nothing. For loads beyond that,
//! `SET meridian.copy_batch_rows = n` commits every n rows; an error then says how many stay.

use crate::block::Writing;
use crate::copy::binary;
use crate::copy::options::Options;
use crate::copy::reader::{Fields, Reader};
use crate::error::{Error, raise};
use crate::ingest::Ingest;
use crate::outcome::Completion;
use crate::running::{Ongoing, cancelled, unless_cancelled};
use crate::scan::Sort;
use crate::session::Session;
use crate::time::{Zone, parse};
use crate::write::{
    Draft, Given, Row, TagValue, Written, check_column, create_tags, push, span_us, tag_columns, unknown_column, written,
};
use datafusion::sql::sqlparser::ast::{CopySource, CopyTarget, Statement as Tree};
use std::sync::Arc;
use types::TagDefinition;

/// What a COPY FROM STDIN asks for.
pub(crate) struct Request {
    target: Written,
    columns: Vec<String>,
    options: Options,
    sql: Arc<str>,
}

impl Request {
    pub(crate) fn of(tree: &Tree, sql: &str) -> Result<Self, Error> {
        let Tree::Copy { source, target, options, legacy_options, .. } = tree else {
            return Err(raise(Error::Internal, "only COPY is copied"));
        };
        if !matches!(target, CopyTarget::Stdin) {
            return Err(raise(Error::Unsupported, "COPY from a file of the server is not supported")
                .with_hint("use \\copy of psql, or COPY FROM STDIN"));
        }
        let CopySource::Table { table_name, columns } = source else {
            return Err(raise(Error::Syntax, "COPY FROM needs a table"));
        };
        let target = written(table_name, "COPY", sql)?;
        let mut names: Vec<String> = columns.iter().map(|name| name.value.to_lowercase()).collect();
        for name in &names {
            match target {
                Written::Tags => check_column(name, sql)?,
                Written::Series(sort) if sort.schema().index_of(name).is_err() => return Err(unknown_column(sort, name, sql)),
                Written::Series(_) => {}
            }
        }
        if names.is_empty() {
            names = match target {
                Written::Tags => tag_columns(),
                Written::Series(sort) => sort.schema().fields().iter().map(|field| field.name().clone()).collect(),
            };
        }
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(raise(Error::AmbiguousColumn, format!("column \"{}\" specified more than once", twice.1)));
        }
        Ok(Request { target, columns: names, options: Options::of(options, legacy_options)?, sql: sql.into() })
    }

    pub(crate) fn begin(self: &Arc<Self>, session: &Arc<Session>) -> Result<CopyIn, Error> {
        let batch_rows = session.state.lock().variables.number("meridian.copy_batch_rows");
        if batch_rows > 0 && session.in_block() {
            return Err(raise(Error::ActiveTransaction, "COPY that commits as it goes cannot run inside a transaction block")
                .with_hint("RESET meridian.copy_batch_rows, or copy in autocommit mode"));
        }
        session.admit_write("COPY FROM", if self.target == Written::Tags { Writing::NewTags } else { Writing::Rows })?;
        let sink = match self.target {
            Written::Tags => {
                session.access.rights().admit_making()?;
                Sink::Tags { definitions: Vec::new(), bytes: 0, columns: self.columns.clone() }
            }
            Written::Series(sort) => {
                let place = |name: &str| self.columns.iter().position(|column| column == name);
                let value = sort.schema().field(2).name();
                let places = [place("tag"), place("time"), place(value), place("quality")];
                let ingest = Ingest::new(session, sort)?;
                let (zone, now_us) = (session.time_zone(), session.engine.settings.clock.wall_us());
                Sink::Series(Box::new(Series { ingest, places, zone, now_us }))
            }
        };
        Ok(CopyIn {
            reader: if self.options.binary {
                Format::Binary(binary::Reader::default())
            } else {
                Format::Text(Box::new(Reader::new(self.options.clone())))
            },
            batch_rows,
            session: Arc::clone(session),
            request: Arc::clone(self),
            ongoing: None,
            sink,
            kept: 0,
            paced: 0,
        })
    }
}

struct Series {
    ingest: Ingest,
    places: [Option<usize>; 4],
    zone: Zone,
    now_us: i64,
}

impl Series {
    fn binary_row(&mut self, fields: &binary::Fields<'_>) -> Result<(), Error> {
        let field = |column: usize| self.places[column].map(|place| fields.get(place));
        let sort = self.ingest.sort;
        let named = |column: usize| move |error: Error| in_column(error, sort.schema().field(column).name());
        let tag = field(0).flatten().map(binary::text).transpose().map_err(named(0))?;
        let time = match field(1) {
            None => Some(self.now_us),
            Some(bytes) => bytes.map(binary::moment).transpose().map_err(named(1))?,
        };
        let value = field(2).flatten().map_or(Ok(Given::Null), |bytes| binary_value(sort, bytes)).map_err(named(2))?;
        let quality = field(3).map(binary_quality).transpose().map_err(named(3))?;
        push(&mut self.ingest, &Row { tag, time, value, quality })
    }

    fn row(&mut self, row: &str, fields: &Fields) -> Result<(), Error> {
        let field = |column: usize| self.places[column].map(|place| fields.get(row, place));
        let time = match field(1) {
            None => Some(self.now_us),
            Some(text) => text.map(|text| parse(text, self.zone)).transpose()?,
        };
        let value = field(2).flatten().map_or(Given::Null, Given::Text);
        let quality = field(3).map(|text| text.map_or(Given::Null, Given::Text));
        push(&mut self.ingest, &Row { tag: field(0).flatten(), time, value, quality })
    }
}

enum Sink {
    Series(Box<Series>),
    Tags { definitions: Vec<TagDefinition>, bytes: u64, columns: Vec<String> },
}

fn binary_value(sort: Sort, bytes: &[u8]) -> Result<Given<'_>, Error> {
    Ok(match sort {
        Sort::Doubles => Given::Double(binary::double(bytes)?),
        Sort::Integers => Given::Integer(binary::big(bytes)?),
        Sort::Texts => Given::Text(binary::text(bytes)?),
    })
}

fn binary_quality(bytes: Option<&[u8]>) -> Result<Given<'_>, Error> {
    bytes.map_or(Ok(Given::Null), |bytes| Ok(Given::Integer(binary::small(bytes)?.into())))
}

/// The error with the column in which it is.
fn in_column(error: Error, column: &str) -> Error {
    let place = format!("column {column}");
    let detail = error.detail().map_or_else(|| place.clone(), |detail| format!("{place}: {detail}"));
    error.with_detail(detail)
}

/// A tag's column in the binary format of the type that `tags` shows it as.
fn tag_value(column: &str, bytes: &[u8]) -> Result<TagValue, Error> {
    Ok(match column {
        "states" => TagValue::Texts(binary::texts(bytes)?),
        "low_low" | "low" | "high" | "high_high" | "deviation" => TagValue::Number(binary::double(bytes)?),
        "cadence" | "span" => TagValue::SpanUs(span_us(binary::interval(bytes)?)?),
        _ => TagValue::Text(binary::text(bytes)?.to_owned()),
    })
}

impl Sink {
    fn binary_row(&mut self, fields: &binary::Fields<'_>) -> Result<(), Error> {
        match self {
            Sink::Series(series) => series.binary_row(fields),
            Sink::Tags { definitions, bytes, columns } => {
                let mut draft = Draft::new();
                for (index, column) in columns.iter().enumerate() {
                    let value = fields.get(index).map_or(Ok(TagValue::Null), |bytes| tag_value(column, bytes));
                    value.and_then(|value| draft.set(column, value)).map_err(|error| in_column(error, column))?;
                    *bytes += fields.get(index).map_or(0, <[u8]>::len) as u64;
                }
                definitions.push(draft.finish()?);
                *bytes += 256;
                Ok(())
            }
        }
    }

    fn row(&mut self, row: &str, fields: &Fields) -> Result<(), Error> {
        match self {
            Sink::Series(series) => series.row(row, fields),
            Sink::Tags { definitions, bytes, columns } => {
                let mut draft = Draft::new();
                for (index, column) in columns.iter().enumerate() {
                    draft.set(column, fields.get(row, index).map_or(TagValue::Null, |text| TagValue::Text(text.to_owned())))?;
                }
                definitions.push(draft.finish()?);
                *bytes += row.len() as u64 + 256;
                Ok(())
            }
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Sink::Series(series) => series.ingest.rows() as u64,
            Sink::Tags { definitions, .. } => definitions.len() as u64,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Sink::Series(series) => series.ingest.bytes(),
            Sink::Tags { bytes, .. } => *bytes,
        }
    }
}

/// What cuts the data into rows.
enum Format {
    Text(Box<Reader>),
    Binary(binary::Reader),
}

/// A COPY FROM STDIN that waits for data. Dropping it gives it up, and nothing more of it is kept.
pub struct CopyIn {
    session: Arc<Session>,
    request: Arc<Request>,
    pub(crate) ongoing: Option<Ongoing>,
    reader: Format,
    sink: Sink,
    batch_rows: u64,
    kept: u64,
    /// Rows that its limits were asked for.
    paced: u64,
}

impl CopyIn {
    /// How many columns a row has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.request.columns.len()
    }

    /// Whether the data are PostgreSQL's binary format.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.request.options.binary
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.ongoing.as_ref().is_some_and(Ongoing::is_cancelled)
    }

    /// Takes some data, cut anywhere.
    ///
    /// # Errors
    /// The first bad row, with its line number; the COPY has then failed and takes nothing more.
    pub async fn push(&mut self, data: &[u8]) -> Result<(), Error> {
        let outcome = self.take(Some(data)).await;
        self.noted(outcome)
    }

    /// The data are complete: commits them.
    ///
    /// # Errors
    /// A last row that is not whole, or a commit that failed.
    pub async fn finish(mut self) -> Result<Completion, Error> {
        let taken = self.take(None).await;
        self.noted(taken)?;
        let committed = self.commit().await;
        self.noted(committed)?;
        Ok(Completion::counted("COPY", self.kept))
    }

    async fn take(&mut self, data: Option<&[u8]>) -> Result<(), Error> {
        if self.is_cancelled() {
            return Err(cancelled());
        }
        self.session.engine.readable().await?;
        let wanted = self.request.columns.len();
        let sink = &mut self.sink;
        let read = match &mut self.reader {
            Format::Text(reader) => {
                let mut each = |row: &str, fields: &Fields| {
                    check_width(fields.len(), wanted)?;
                    sink.row(row, fields)
                };
                match data {
                    Some(data) => reader.push(data, &mut each),
                    None => reader.finish(&mut each),
                }
            }
            Format::Binary(reader) => match data {
                Some(data) => reader.push(data, wanted, &mut |fields| sink.binary_row(fields)),
                None => reader.finish(),
            },
        };
        read.map_err(|error| self.at_line(error))?;
        if let Sink::Series(series) = &self.sink {
            series.ingest.hold()?;
        }
        self.pace().await?;
        if self.batch_rows > 0 && self.sink.rows() >= self.batch_rows {
            self.commit().await?;
        }
        let limit = self.session.engine.settings.copy_bytes_max;
        if self.sink.bytes() > limit {
            return Err(raise(Error::TooLarge, format!("one COPY may hold {limit} bytes before it commits"))
                .with_hint("cut the data, or commit as it goes: SET meridian.copy_batch_rows = 1000000"));
        }
        Ok(())
    }

    /// Waits until the rows that have come may be written: meanwhile no more is taken, so that the client waits too.
    async fn pace(&mut self) -> Result<(), Error> {
        let rows = self.kept + self.sink.rows();
        let more = rows.saturating_sub(self.paced);
        self.paced = rows;
        let session = Arc::clone(&self.session);
        let paced = async move {
            session.pace_written(more).await;
            Ok(())
        };
        match &mut self.ongoing {
            Some(ongoing) => unless_cancelled(paced, ongoing.renew()).await,
            None => paced.await,
        }
    }

    async fn commit(&mut self) -> Result<(), Error> {
        self.kept += match &mut self.sink {
            Sink::Series(series) => series.ingest.commit().await?,
            Sink::Tags { definitions, bytes, .. } => {
                *bytes = 0;
                create_tags(&self.session, std::mem::take(definitions), false).await?
            }
        };
        Ok(())
    }

    fn at_line(&self, error: Error) -> Error {
        let table = match self.request.target {
            Written::Tags => "tags",
            Written::Series(sort) => sort.name(),
        };
        let row = match &self.reader {
            Format::Text(reader) => reader.line(),
            Format::Binary(reader) => reader.row(),
        };
        let place = if row == 0 { format!("COPY {table}") } else { format!("COPY {table}, line {row}") };
        let detail = error.detail().map_or_else(|| place.clone(), |detail| format!("{place}: {detail}"));
        error.with_detail(detail)
    }

    fn noted(&self, outcome: Result<(), Error>) -> Result<(), Error> {
        outcome.map_err(|error| {
            self.session.fail();
            self.session.audit_refusal(&self.request.sql, &error);
            if self.kept == 0 { error } else { error.with_hint(format!("{} rows were committed before and stay", self.kept)) }
        })
    }
}

fn check_width(found: usize, wanted: usize) -> Result<(), Error> {
    if found < wanted {
        return Err(raise(Error::CopyFormat, format!("missing data: {found} fields, but the row has {wanted} columns")));
    }
    if found > wanted {
        return Err(raise(
            Error::CopyFormat,
            format!("extra data after last expected column: {found} fields for {wanted} columns"),
        ));
    }
    Ok(())
}
