//! The extended protocol: prepared statements, portals, rows in portions.
//!
//! Promises: a portal that has more rows than were asked for keeps its place, and its job waits;
//! in steady state a point statement's Bind and Execute allocate nothing here but its parameters.

mod moving;

use super::connection::{Ask, Connection};
use super::error::Report;
use super::frame::{Bind, Fields, Frame, FrameError};
use super::job::{Event, Job};
use super::output::{Description, Output};
use super::parameters;
use super::point::{Failure, Writer};
use super::report_of;
use super::socket::{End, FLUSH_BYTES};
use super::types::PgType;
use crate::counters::add;
use arrow::datatypes::Schema;
use query::{Block, NamedStatement, PortalName, Prepared, ScalarValue, Session, StatementClass, Zone};
use std::collections::HashMap;
use std::sync::Arc;

/// A prepared statement.
pub(crate) struct Statement {
    prepared: Prepared,
    /// Its place in the session's list, where it has a name: there DEALLOCATE may end it.
    named: Option<Arc<NamedStatement>>,
    /// Types of the parameters, as the client is told.
    types: Vec<u32>,
    columns: Option<Vec<(String, PgType)>>,
}

/// A statement with its parameters, perhaps running.
pub(crate) struct Portal {
    statement: Arc<Statement>,
    formats: Vec<u8>,
    values: Vec<u8>,
    result_formats: Vec<u8>,
    state: State,
    /// Its place in the session's list of cursors, where it has a name: there CLOSE may end it.
    listed: Option<PortalName>,
}

enum State {
    /// Not run yet.
    Bound,
    /// It has more rows.
    Running(Box<Running>),
    /// It has ended.
    Ended,
}

struct Running {
    job: Job,
    /// Rows that came but were not asked for yet: messages, where each ends, how many are sent.
    rows: (Vec<u8>, Vec<usize>, usize),
}

/// Names and types of the columns of a schema.
pub(super) fn columns_of(schema: &Schema) -> Vec<(String, PgType)> {
    schema.fields().iter().map(|field| (field.name().clone(), PgType::of_field(field))).collect()
}

pub(super) fn describe_rows(output: &mut Output, columns: &[(String, PgType)], formats: &[u8]) {
    output.row_description(columns.iter().enumerate().map(|(index, (name, of))| Description {
        name,
        oid: of.oid,
        size: of.size,
        binary: super::frame::is_binary(formats, index),
    }));
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(64).collect()
}

impl Statement {
    fn new(prepared: Prepared, named: Option<Arc<NamedStatement>>, given: &[u32]) -> Statement {
        let told = |(index, wanted)| match given.get(index) {
            Some(0) | None => PgType::of(wanted).oid,
            Some(oid) => *oid,
        };
        let types = prepared.parameters().iter().enumerate().map(told).collect();
        let columns = prepared.schema().map(|schema| columns_of(&schema));
        Statement { prepared, named, types, columns }
    }

    fn is_live(&self) -> bool {
        self.named.as_ref().is_none_or(|named| named.is_live())
    }
}

/// Sees to it that `statements` has what a name means now: it may have been deallocated, or made by PREPARE, or stand for
/// a cursor whose columns are others by now.
fn settle(statements: &mut HashMap<Box<[u8]>, Arc<Statement>>, session: &Arc<Session>, name: &[u8]) {
    match statements.get(name) {
        Some(statement) if !statement.is_live() => drop(statements.remove(name)),
        Some(statement) if statement.prepared.stands_for_another() => {
            let anew = Statement::new(statement.prepared.clone(), statement.named.clone(), &statement.types);
            statements.insert(name.into(), Arc::new(anew));
        }
        Some(_) => return,
        None => {}
    }
    if statements.contains_key(name) || name.is_empty() {
        return;
    }
    let found = std::str::from_utf8(name).ok().and_then(|name| session.named_statement(name));
    if let Some((named, prepared)) = found {
        statements.insert(name.into(), Arc::new(Statement::new(prepared, Some(named), &[])));
    }
}

/// Drops a portal that CLOSE has closed.
fn settle_portal(portals: &mut HashMap<Box<[u8]>, Portal>, name: &[u8]) {
    if portals.get(name).is_some_and(|portal| portal.listed.as_ref().is_some_and(|listed| !listed.is_open())) {
        portals.remove(name);
    }
}

fn no_portal(name: &[u8]) -> Report {
    Report::error("34000", format!("portal \"{}\" does not exist", shown(name)))
}

fn no_statement(name: &[u8]) -> Report {
    Report::error("26000", format!("prepared statement \"{}\" does not exist", shown(name)))
}

impl Connection {
    pub(super) async fn parse(&mut self, name: Box<[u8]>, sql: Vec<u8>, types: &[u32]) -> Result<(), End> {
        // Those that DEALLOCATE took from the session's list.
        if self.statements.len() > self.session.named_statements() + 1 {
            self.statements.retain(|_, statement| statement.is_live());
        }
        settle(&mut self.statements, &self.session, &name);
        if !name.is_empty() && self.statements.contains_key(&name) {
            let report = Report::error("42P05", format!("prepared statement \"{}\" already exists", shown(&name)));
            self.fail_extended(&report);
            return Ok(());
        }
        let (Ok(sql), Ok(text)) = (String::from_utf8(sql), std::str::from_utf8(&name)) else {
            self.fail_extended(&Report::error("22021", "invalid byte sequence for encoding \"UTF8\""));
            return Ok(());
        };
        let given = types.iter().map(|oid| PgType::arrow(*oid)).collect();
        match self.prepare(sql, given).await? {
            Err(report) => self.fail_extended(&report),
            Ok(prepared) => {
                let named = if name.is_empty() { Ok(None) } else { self.session.name_statement(text, &prepared).map(Some) };
                match named {
                    Err(error) => self.fail_extended(&report_of(&error)),
                    Ok(named) => {
                        self.statements.insert(name, Arc::new(Statement::new(prepared, named, types)));
                        self.wire.output.parse_complete();
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn bind(&mut self, frame: &Frame) -> Result<(), End> {
        let body = &self.wire.input[frame.body.clone()];
        let bind = Bind::parse(body)?;
        settle(&mut self.statements, &self.session, bind.statement);
        settle_portal(&mut self.portals, bind.portal);
        let failure = match self.statements.get(bind.statement) {
            None => Some(no_statement(bind.statement)),
            Some(statement) => {
                let wanted = statement.prepared.parameters().len();
                let columns = statement.columns.as_ref().map_or(0, Vec::len);
                if bind.values_count != wanted {
                    let message =
                        format!("bind message supplies {} parameters, but the statement requires {wanted}", bind.values_count);
                    Some(Report::error("08P01", message))
                } else if !fits(bind.formats, wanted) || !fits(bind.result_formats, columns) {
                    Some(Report::error("08P01", "bind message has formats for another number of parameters or columns"))
                } else if !bind.portal.is_empty() && self.portals.contains_key(bind.portal) {
                    Some(Report::error("42P03", format!("portal \"{}\" already exists", shown(bind.portal))))
                } else if self.portals.len() >= self.shared.settings.statements_max {
                    Some(Report::error("53400", format!("{} portals are open already", self.portals.len())))
                } else if let Some(portal) = self.portals.get_mut(bind.portal) {
                    portal.rebind(statement, &bind);
                    None
                } else {
                    match listed(&self.session, bind.portal, &statement.prepared) {
                        Err(report) => Some(report),
                        Ok(listed) => {
                            self.portals.insert(bind.portal.into(), Portal { listed, ..Portal::new(statement, &bind) });
                            None
                        }
                    }
                }
            }
        };
        match failure {
            Some(report) => self.fail_extended(&report),
            None => self.wire.output.bind_complete(),
        }
        Ok(())
    }

    pub(super) fn describe(&mut self, frame: &Frame) -> Result<(), End> {
        let mut fields = Fields::new(&self.wire.input[frame.body.clone()]);
        let (what, name) = (fields.u8()?, fields.text()?);
        fields.end()?;
        settle(&mut self.statements, &self.session, if what == b'S' { name } else { b"" });
        settle_portal(&mut self.portals, name);
        let (columns, formats) = match what {
            b'S' => match self.statements.get(name) {
                Some(statement) => {
                    self.wire.output.parameter_description(statement.types.iter().copied());
                    (&statement.columns, &[][..])
                }
                None => {
                    let report = no_statement(name);
                    self.fail_extended(&report);
                    return Ok(());
                }
            },
            b'P' => match self.portals.get(name) {
                Some(portal) => (&portal.statement.columns, &portal.result_formats[..]),
                None => {
                    // A cursor is a portal too; clients ask so for what DECLARE opened.
                    match std::str::from_utf8(name).ok().and_then(|name| self.session.cursor(name)) {
                        Some((schema, binary)) => {
                            let formats: &[u8] = if binary { &[0, 1] } else { &[] };
                            describe_rows(&mut self.wire.output, &columns_of(&schema), formats);
                        }
                        None => {
                            let report = no_portal(name);
                            self.fail_extended(&report);
                        }
                    }
                    return Ok(());
                }
            },
            _ => return Err(FrameError::Malformed("what is to be described").into()),
        };
        match columns {
            Some(columns) => describe_rows(&mut self.wire.output, columns, formats),
            None => self.wire.output.no_data(),
        }
        Ok(())
    }

    pub(super) fn close(&mut self, frame: &Frame) -> Result<(), End> {
        let mut fields = Fields::new(&self.wire.input[frame.body.clone()]);
        let (what, name) = (fields.u8()?, fields.text()?);
        fields.end()?;
        match what {
            b'S' => {
                self.statements.remove(name);
                std::str::from_utf8(name).into_iter().for_each(|name| self.session.forget_statement(name));
            }
            b'P' => {
                // A cursor is a portal too.
                if self.portals.remove(name).is_none() {
                    std::str::from_utf8(name).into_iter().for_each(|name| self.session.close_cursor(name));
                }
            }
            _ => return Err(FrameError::Malformed("what is to be closed").into()),
        }
        self.wire.output.close_complete();
        Ok(())
    }

    /// Portals end with their transaction; outside a block that is at each Sync. An unnamed one that
    /// runs nothing is left: the next Bind takes its place and its memory.
    pub(super) fn forget_portals(&mut self) {
        if self.session.block() == Block::Open || self.portals.is_empty() {
            return;
        }
        self.portals.retain(|name, portal| {
            if let State::Running(_) = portal.state {
                portal.state = State::Ended;
            }
            name.is_empty()
        });
    }

    /// Executes a portal at once, where it is on the point path and all of its rows are wanted.
    pub(super) fn execute_inline(&mut self, frame: &Frame) -> Result<Ask, End> {
        let mut fields = Fields::new(&self.wire.input[frame.body.clone()]);
        let (name, rows_max) = (fields.text()?, fields.i32()?);
        fields.end()?;
        // Negative means no limit, as zero does.
        let rows_max = usize::try_from(rows_max).unwrap_or(0);
        let later = |name: &[u8]| Ok(Ask::Execute { portal: name.into(), rows_max });
        let Some(portal) = self.portals.get_mut(name) else { return later(name) };
        let (Some(point), State::Bound, 0) = (portal.statement.prepared.point(), &portal.state, rows_max) else {
            return later(name);
        };
        let Some((zone, given)) = self.session.reads_freely() else { return later(name) };
        let values = &mut self.values;
        values.clear();
        let types = portal.statement.prepared.parameters();
        if let Err(report) = parameters::decode(types, &portal.formats, &portal.values, zone, values) {
            self.fail_extended(&report);
            return Ok(Ask::Nothing);
        }
        let mut writer = Writer::new(&mut self.wire.output.bytes, &portal.result_formats, zone);
        // None, and nothing made for it, unless this very run is recorded.
        let mut span = portal.statement.prepared.trace_point(given);
        let result = point.execute(values, &mut writer);
        if let (Some(span), Err(error)) = (&mut span, &result) {
            span.fail(error.to_string());
        }
        drop(span);
        match writer.finish(result) {
            Ok(rows) => {
                portal.state = State::Ended;
                portal.statement.prepared.note_point();
                add(&self.shared.counters.point_statements, 1);
                self.wire.output.select_complete(rows);
                Ok(Ask::Nothing)
            }
            // What fails is run once more as any other statement is: the register, the audit log and the client are told of it there.
            Err(Failure::TooMuch | Failure::Report(_)) => later(name),
        }
    }

    /// Executes a portal, or goes on with it.
    pub(super) async fn execute(&mut self, name: &[u8], rows_max: usize) -> Result<(), End> {
        // Taken out while it runs, so that the connection can be used meanwhile.
        settle_portal(&mut self.portals, name);
        let Some(mut portal) = self.portals.remove(name) else {
            let is_cursor = std::str::from_utf8(name).is_ok_and(|name| self.session.cursor(name).is_some());
            let report = if is_cursor {
                Report::error("0A000", "Execute of a cursor is not supported").hinted("use FETCH")
            } else {
                no_portal(name)
            };
            self.fail_extended(&report);
            return Ok(());
        };
        let timer = self.timer();
        let answer = self.execute_portal(&mut portal, rows_max).await?;
        self.log_slow(timer, &portal.statement.prepared);
        match answer {
            Err(report) => self.fail_extended(&report),
            Ok(()) => drop(self.portals.insert(name.into(), portal)),
        }
        Ok(())
    }

    /// Answers a point question whose answer lies at other nodes, without a job: the connection's thread asks them itself.
    async fn answer_far(&mut self, portal: &Portal, values: &[ScalarValue], zone: Zone) -> Result<Result<(), Failure>, End> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        let mut writer = Writer::new(&mut rows, &portal.result_formats, zone);
        let answer = self.answered(portal.statement.prepared.answer(values, &mut writer)).await?;
        let done = writer.finish(answer).map(|count| {
            add(&self.shared.counters.point_statements, 1);
            self.wire.output.bytes.extend_from_slice(&rows);
            self.wire.output.select_complete(count);
        });
        self.rows = rows;
        Ok(done)
    }

    async fn execute_portal(&mut self, portal: &mut Portal, rows_max: usize) -> Result<Result<(), Report>, End> {
        let mut running = match std::mem::replace(&mut portal.state, State::Ended) {
            State::Running(running) => running,
            State::Bound => {
                let mut values = Vec::new();
                let types = portal.statement.prepared.parameters();
                let zone = self.session.time_zone();
                if let Err(report) = parameters::decode(types, &portal.formats, &portal.values, zone, &mut values) {
                    return Ok(Err(report));
                }
                if portal.statement.prepared.asks_far() && rows_max == 0 && self.session.block() != Block::Failed {
                    match self.answer_far(portal, &values, zone).await? {
                        Ok(()) => return Ok(Ok(())),
                        Err(Failure::Report(report)) => return Ok(Err(report)),
                        Err(Failure::TooMuch) => {}
                    }
                }
                let job = self.start(portal.statement.prepared.clone(), values, portal.result_formats.clone());
                Box::new(Running { job, rows: (Vec::new(), Vec::new(), 0) })
            }
            State::Ended => {
                // PostgreSQL answers an ended query with no more rows, and refuses to run a command again.
                if portal.statement.prepared.class() == StatementClass::Read {
                    self.done(None, 0);
                    return Ok(Ok(()));
                }
                return Ok(Err(Report::error("55000", "the portal has been run already")));
            }
        };
        let limit = if rows_max == 0 { usize::MAX } else { rows_max };
        let (mut sent, mut copying) = (0, false);
        loop {
            sent += running.send(&mut self.wire.output, limit - sent);
            if self.wire.output.bytes.len() >= FLUSH_BYTES {
                self.flush().await?;
            }
            if sent == limit {
                portal.state = State::Running(running);
                self.tell_notices();
                self.wire.output.portal_suspended();
                return Ok(Ok(()));
            }
            match self.next_event(&mut running.job).await? {
                Event::Columns(_) => {}
                Event::Rows { bytes, ends } => running.rows = (bytes, ends, 0),
                Event::CopyOut(columns, binary) => {
                    copying = true;
                    self.tell_notices();
                    self.wire.output.copy_response(b'H', columns, binary);
                }
                Event::Data(lines) => lines.rows().for_each(|row| self.wire.output.copy_data(row)),
                Event::CopyIn(copy) => {
                    let answer = self.copy_in(*copy).await?;
                    return Ok(answer.map(|tag| self.done(Some(&tag), 0)));
                }
                Event::Done(tag) => {
                    if copying {
                        self.wire.output.copy_done();
                    }
                    self.done(tag.as_deref(), sent as u64);
                    return Ok(Ok(()));
                }
                Event::Failed(report) => return Ok(Err(report)),
            }
        }
    }
}

/// Lists a portal among the session's cursors, where it has a name.
fn listed(session: &Session, name: &[u8], prepared: &Prepared) -> Result<Option<PortalName>, Report> {
    if name.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(name).map_err(|_| Report::error("22021", "invalid byte sequence for encoding \"UTF8\""))?;
    session.name_portal(text, prepared).map(Some).map_err(|error| report_of(&error))
}

/// Whether formats are none, one for all, or one each.
fn fits(formats: &[u8], count: usize) -> bool {
    let given = formats.len() / 2;
    given <= 1 || given == count
}

impl Portal {
    fn new(statement: &Arc<Statement>, bind: &Bind<'_>) -> Portal {
        Portal {
            statement: Arc::clone(statement),
            formats: bind.formats.to_vec(),
            values: bind.values.to_vec(),
            result_formats: bind.result_formats.to_vec(),
            state: State::Bound,
            listed: None,
        }
    }

    /// Takes the place of the unnamed portal, in its memory.
    fn rebind(&mut self, statement: &Arc<Statement>, bind: &Bind<'_>) {
        self.statement = Arc::clone(statement);
        for (mine, given) in
            [(&mut self.formats, bind.formats), (&mut self.values, bind.values), (&mut self.result_formats, bind.result_formats)]
        {
            mine.clear();
            mine.extend_from_slice(given);
        }
        self.state = State::Bound;
    }
}

impl Running {
    /// Sends at most so many of the rows that are here; how many it were.
    fn send(&mut self, output: &mut Output, rows_max: usize) -> usize {
        let (bytes, ends, next) = &mut self.rows;
        let count = rows_max.min(ends.len() - *next);
        if count > 0 {
            let start = if *next == 0 { 0 } else { ends[*next - 1] };
            output.bytes.extend_from_slice(&bytes[start..ends[*next + count - 1]]);
            *next += count;
        }
        count
    }
}
