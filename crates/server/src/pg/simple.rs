//! The simple protocol: a text of statements, each run as it comes; the first error ends the text.

use super::connection::Connection;
use super::error::Report;
use super::extended::{columns_of, describe_rows};
use super::job::{Event, Job};
use super::point::Writer;
use super::socket::{End, FLUSH_BYTES};
use crate::counters::add;
use query::{Prepared, StatementText};
use std::time::Duration;

impl Connection {
    /// Runs a text of statements and says that the next may come.
    pub(super) async fn query(&mut self, sql: Vec<u8>) -> Result<(), End> {
        // The unnamed statement and its portal end with a simple query.
        self.statements.remove(&b""[..]);
        self.portals.remove(&b""[..]);
        let statements = match String::from_utf8(sql) {
            Ok(sql) => self.split(sql).await?,
            Err(_) => Err(Report::error("22021", "invalid byte sequence for encoding \"UTF8\"")),
        };
        match statements {
            Err(report) => self.fail(&report),
            Ok(statements) if statements.is_empty() => self.wire.output.empty_query(),
            Ok(statements) => {
                for statement in statements {
                    if let Err(mut report) = self.statement(&statement).await? {
                        report.position = report.position.map(|position| position + statement.position);
                        self.fail(&report);
                        break;
                    }
                }
            }
        }
        self.forget_portals();
        self.ready();
        Ok(())
    }

    async fn statement(&mut self, statement: &StatementText) -> Result<Result<(), Report>, End> {
        let prepared = match self.session.prepare_point(&statement.text) {
            Some(prepared) => prepared,
            None => match self.prepare(statement.text.clone(), Vec::new()).await? {
                Ok(prepared) => prepared,
                Err(report) => return Ok(Err(report)),
            },
        };
        if let count @ 1.. = prepared.parameters().len() {
            let message = format!("there is no parameter ${count}: the simple protocol has none");
            return Ok(Err(Report::error("42P02", message)));
        }
        // A portal of the wire has its rows here.
        if let Some((name, rows)) = prepared.moves_on()
            && self.portals.contains_key(name.as_bytes())
        {
            return self.move_portal(name.as_bytes(), usize::try_from(rows).unwrap_or(usize::MAX)).await;
        }
        let timer = self.timer();
        if self.answer_here(&prepared) {
            self.log_slow(timer, &prepared);
            return Ok(Ok(()));
        }
        // One format for all columns.
        let formats = if prepared.is_binary() { vec![0, 1] } else { Vec::new() };
        let mut job = self.start(prepared.clone(), Vec::new(), formats.clone());
        let answer = self.relay(&mut job, &formats).await?;
        // Its own text: without passwords.
        self.log_slow(timer, &prepared);
        Ok(answer)
    }

    /// Answers a point question here and now. Where that can't be, nothing is told: it is no such question, may have to wait, has
    /// many rows, or fails, and is to be run as a job.
    fn answer_here(&mut self, prepared: &Prepared) -> bool {
        let Some(point) = prepared.point() else { return false };
        let Some((zone, given)) = self.session.reads_freely() else { return false };
        let start = self.wire.output.bytes.len();
        describe_rows(&mut self.wire.output, &columns_of(point.schema()), &[]);
        let mut writer = Writer::new(&mut self.wire.output.bytes, &[], zone);
        // None, and nothing made for it, unless this very run is recorded.
        let mut span = prepared.trace_point(given);
        let result = point.execute(&[], &mut writer);
        if let (Some(span), Err(error)) = (&mut span, &result) {
            span.fail(error.to_string());
        }
        drop(span);
        let Ok(rows) = writer.finish(result) else {
            self.wire.output.bytes.truncate(start);
            return false;
        };
        prepared.note_point();
        add(&self.shared.counters.point_statements, 1);
        self.done(None, rows);
        true
    }

    /// Hands on everything that a job says.
    async fn relay(&mut self, job: &mut Job, formats: &[u8]) -> Result<Result<(), Report>, End> {
        let (mut count, mut copying) = (0, false);
        loop {
            match self.next_event(job).await? {
                Event::Columns(schema) => describe_rows(&mut self.wire.output, &columns_of(&schema), formats),
                Event::Rows { bytes, ends } => {
                    count += ends.len() as u64;
                    self.wire.output.bytes.extend_from_slice(&bytes);
                }
                Event::CopyOut(columns, binary) => {
                    copying = true;
                    self.tell_notices();
                    self.wire.output.copy_response(b'H', columns, binary);
                }
                Event::Data(lines) => lines.rows().for_each(|row| self.wire.output.copy_data(row)),
                Event::CopyIn(copy) => match self.copy_in(*copy).await? {
                    Ok(tag) => {
                        self.done(Some(&tag), 0);
                        return Ok(Ok(()));
                    }
                    Err(report) => return Ok(Err(report)),
                },
                Event::Done(tag) => {
                    if copying {
                        self.wire.output.copy_done();
                    }
                    self.done(tag.as_deref(), count);
                    return Ok(Ok(()));
                }
                Event::Failed(report) => return Ok(Err(report)),
            }
            if self.wire.output.bytes.len() >= FLUSH_BYTES {
                self.flush().await?;
            }
        }
    }

    /// Ends a statement: notices, the command tag.
    pub(super) fn done(&mut self, tag: Option<&str>, rows: u64) {
        self.tell_notices();
        match tag {
            None => self.wire.output.select_complete(rows),
            Some("") => self.wire.output.empty_query(),
            Some(tag) => self.wire.output.command_complete(tag),
        }
    }

    pub(super) fn timer(&self) -> tokio::time::Instant {
        tokio::time::Instant::now()
    }

    pub(super) fn log_slow(&self, timer: tokio::time::Instant, prepared: &Prepared) {
        let took = timer.elapsed();
        if self.shared.settings.slow_statement.is_some_and(|limit: Duration| took >= limit) {
            let plan = prepared.slow_plan();
            let text: String = prepared.sql().chars().take(500).collect();
            let (session, trace_id) = (self.session.id(), prepared.trace_id().map(tracing::field::display));
            tracing::warn!(session, ms = took.as_millis() as u64, statement = %text, plan, trace_id, "slow statement");
        }
    }
}
