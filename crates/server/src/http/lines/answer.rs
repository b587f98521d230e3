//! A request to write lines, from its first byte to its answer.
//!
//! Promises: what is held of a body is bounded (`LINE_BYTES_MAX`, and some writes on their way), so that a long one is
//! written as it comes; 204 comes when all of it is durable, 400 when all of it is that could be kept.

use super::reader::{Precision, Reader};
use super::series::Target;
use super::wanted::Wanted;
use crate::counters::add;
use crate::http::reply::{self, Answer, Fault};
use crate::http::request::{Parameters, Upload};
use crate::http::{Door, WRITERS_MAX, influx, statement};
use crate::shared::Shared;
use hyper::StatusCode;
use kernel::Write;
use query::{Error as QueryError, Session, SessionSettings, Submitted};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use types::{Kind, TagDefinition, TagId};

/// Bytes of a body that are read at one go.
const READ_BYTES: usize = 128 << 10;
/// The longest line: a text of the longest sort, escaped, and its names.
const LINE_BYTES_MAX: usize = 4 << 20;
/// Rows, and bytes of texts, that are written at one go; a commit must fit the smallest log segment.
const WRITE_ROWS: usize = 32 << 10;
const WRITE_TEXT_BYTES: usize = 256 << 10;
/// Writes of one request that wait for the disk.
const WRITES_WAITING: usize = 4;
/// How often tags are tried to be made while others make some of them at the same time.
const RACES_MAX: usize = 100;

/// Answers a request to write lines.
pub(crate) async fn answer(
    door: &Door,
    user: String,
    peer: SocketAddr,
    path: &str,
    parameters: &Parameters,
    upload: &mut Upload,
) -> Answer {
    let written = async {
        let precision = Precision::of(parameters.get("precision")).ok_or_else(|| {
            let known = if path == "/write" { "ns, u, ms, s, m, h" } else { "ns, us, ms, s" };
            Fault::new(StatusCode::BAD_REQUEST, "22023", format!("invalid precision; precisions are {known}"))
        })?;
        let session = door.writer(user, peer);
        let now_us = door.shared.engine.settings().clock.wall_us();
        let attended = Arc::clone(&session);
        let mut lines = Lines { door, session, reader: Reader::new(precision, now_us), waiting: VecDeque::new(), paced: 0 };
        let written = attended.attended(&format!("POST {path}"), lines.take(upload)).await;
        lines.count();
        if let Err(fault) = &written
            && fault.status == StatusCode::FORBIDDEN
        {
            attended.refused(&format!("POST {path}"), &fault.report.message);
        }
        written.map(|()| lines.reader.faults)
    };
    match written.await {
        Ok(faults) if faults.count == 0 => reply::empty(StatusCode::NO_CONTENT),
        Ok(faults) => influx::failure(StatusCode::BAD_REQUEST, &faults.message()),
        Err(fault) => influx::refusal(&fault),
    }
}

impl Door {
    /// The session in which a user's lines are written. It has no settings of its own, so all their requests share it.
    fn writer(&self, user: String, peer: SocketAddr) -> Arc<Session> {
        let mut writers = self.writers.lock();
        // One that somebody has ended is nobody's any longer.
        if let Some(session) = writers.get(&user).filter(|session| !session.is_ended()) {
            return Arc::clone(session);
        }
        if writers.len() >= WRITERS_MAX {
            writers.clear();
        }
        let name = "line protocol".to_owned();
        let settings = SessionSettings {
            user: user.clone(),
            application_name: name,
            client: peer.to_string(),
            connected: false,
            ..SessionSettings::default()
        };
        let session = statement::session(&self.shared, settings);
        writers.insert(user, Arc::clone(&session));
        session
    }
}

struct Lines<'a> {
    door: &'a Door,
    session: Arc<Session>,
    reader: Reader,
    waiting: VecDeque<Submitted>,
    /// Rows at hand for which the writer's limits were asked.
    paced: usize,
}

impl Lines<'_> {
    async fn take(&mut self, upload: &mut Upload) -> Result<(), Fault> {
        let (mut bytes, mut ended, mut enough) = (Vec::new(), false, READ_BYTES);
        while !ended {
            while bytes.len() < enough && !ended {
                match upload.next().await? {
                    Some(piece) => bytes.extend_from_slice(&piece),
                    None => ended = true,
                }
            }
            if ended {
                bytes.push(b'\n');
            }
            let read = self.read(&bytes).await?;
            bytes.drain(..read);
            // A line that is longer than what was read: what is there of it is read again, so it has to be worth it.
            enough = if read == 0 { 2 * bytes.len() } else { READ_BYTES };
            if bytes.len() > LINE_BYTES_MAX {
                let message =
                    format!("line {} is longer than {LINE_BYTES_MAX} bytes, or a text in it has no end", self.reader.line);
                return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "54000", message));
            }
        }
        if !bytes.is_empty() {
            let line = self.reader.line;
            self.reader.faults.add(line, "a string has no end, up to the end of the body");
        }
        self.submit()?;
        while let Some(write) = self.waiting.pop_front() {
            write.wait().await?;
        }
        Ok(())
    }

    /// Reads the whole lines of these bytes; the answer is how many bytes they have.
    async fn read(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        self.session.begin_intake().await?;
        let read = self.read_known(bytes);
        if !self.reader.wanted.is_empty() {
            self.resolve().await?;
            // A fleet's first tag makes its distribution rule final: that is known before anything is written by it.
            self.session.begin_intake().await?;
            self.reader.settle();
        }
        // Meanwhile no more of the body is read, so that its sender waits too.
        let rows = self.reader.columns.rows();
        self.session.pace_written(rows.saturating_sub(self.paced) as u64).await;
        self.paced = rows;
        if self.reader.columns.rows() >= WRITE_ROWS || self.reader.columns.text_bytes() >= WRITE_TEXT_BYTES {
            self.submit()?;
            while self.waiting.len() >= WRITES_WAITING {
                let Some(oldest) = self.waiting.pop_front() else { break };
                oldest.wait().await?;
            }
        }
        Ok(read)
    }

    fn read_known(&mut self, bytes: &[u8]) -> usize {
        let unnamed = self.door.shared.engine.catalog().unnamed();
        {
            let series = self.door.shared.series.read();
            if series.holds(unnamed) {
                return self.reader.read(bytes, &series);
            }
        }
        let mut series = self.door.shared.series.write();
        if !series.holds(unnamed) {
            series.begin(unnamed);
        }
        self.reader.read(bytes, &series)
    }

    /// Hands the rows at hand to the store, which copies them.
    fn submit(&mut self) -> Result<(), Fault> {
        let rows = self.reader.columns.rows();
        if rows == 0 {
            return Ok(());
        }
        let batches = self.reader.columns.batches();
        let (samples, texts) =
            batches.map_err(|cause| Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "XX000", cause.to_string()))?;
        let write = Write { samples: samples.as_slice(), texts: texts.as_slice(), origin: None };
        self.waiting.push_back(self.session.submit(write)?);
        self.reader.columns.clear();
        self.paced = 0;
        add(&self.door.shared.counters.http_rows, rows as u64);
        Ok(())
    }

    /// Finds out what the wanted fields are, making tags where there are none.
    async fn resolve(&mut self) -> Result<(), Fault> {
        let unnamed = self.door.shared.engine.catalog().unnamed();
        let wanted = &mut self.reader.wanted;
        let shared = &self.door.shared;
        let mut missing = wanted.awaited();
        look(shared, wanted, &mut missing);
        wanted.plan();
        missing.retain(|want| wanted.wants[*want].planned.is_some());
        if shared.settings.http_create_tags {
            create(shared, &self.session, wanted, missing).await?;
        } else {
            for want in missing {
                let want = &mut wanted.wants[want];
                let why = format!("tag \"{}\" does not exist, and the setting http_create_tags is off", want.named.name);
                want.found = Some(Err(why.into()));
            }
        }
        let mut series = self.door.shared.series.write();
        if series.holds(unnamed) {
            for form in &wanted.forms {
                if let Some(Ok(target)) = wanted.wants[form.want].found {
                    series.learn(&form.key, &form.field, target);
                }
            }
        }
        Ok(())
    }

    fn count(&self) {
        let (counters, reader) = (&self.door.shared.counters, &self.reader);
        add(&counters.http_lines, reader.kept);
        add(&counters.http_lines_refused, reader.faults.count);
        add(&counters.http_series_hits, reader.hits);
        add(&counters.http_series_misses, reader.misses);
    }
}

/// Looks for wanted names in the catalog; leaves those in `missing` that are not there.
fn look(shared: &Shared, wanted: &mut Wanted, missing: &mut Vec<usize>) {
    let catalog = shared.engine.catalog();
    missing.retain(|want| wanted.wants[*want].found.is_none());
    let names: Vec<&str> = missing.iter().map(|want| wanted.wants[*want].named.name.as_str()).collect();
    let found = catalog.find_many(&names);
    let mut found = found.into_iter();
    missing.retain(|want| {
        let target = found.next().flatten().and_then(|tag| Some(Target { tag, kind: types::Kinds::kind(&**catalog, tag)? }));
        if let Some(target) = target {
            wanted.wants[*want].found = Some(Ok(target));
        }
        target.is_none()
    });
}

/// Makes the tags of wanted fields, each once. One that can't be made does not keep others from it.
async fn create(shared: &Shared, session: &Session, wanted: &mut Wanted, missing: Vec<usize>) -> Result<(), Fault> {
    let (mut groups, mut races) = (vec![missing], 0);
    while let Some(mut group) = groups.pop() {
        look(shared, wanted, &mut group);
        if group.is_empty() {
            continue;
        }
        let kind = |want: usize| wanted.wants[want].planned.unwrap_or(Kind::F64);
        let definition = |want: &usize| {
            let named = &wanted.wants[*want].named;
            TagDefinition { labels: named.labels.clone(), ..TagDefinition::new(named.name.clone(), kind(*want)) }
        };
        let (definitions, kinds): (Vec<_>, Vec<_>) = group.iter().map(|want| (definition(want), kind(*want))).unzip();
        match session.create_tags(definitions).await {
            Ok(ordinals) => {
                add(&shared.counters.http_tags_created, group.len() as u64);
                for ((want, ordinal), kind) in group.into_iter().zip(ordinals).zip(kinds) {
                    wanted.wants[want].found = Some(Ok(Target { tag: TagId(ordinal), kind }));
                }
            }
            // Somebody was first with one of them.
            Err(QueryError::DuplicateTag(_)) if races < RACES_MAX => {
                races += 1;
                groups.push(group);
            }
            Err(error @ QueryError::Check(_)) if group.len() == 1 => {
                wanted.wants[group[0]].found = Some(Err(error.message().to_owned().into()));
            }
            Err(QueryError::Check(_)) => {
                let half = group.split_off(group.len() / 2);
                groups.extend([group, half]);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
