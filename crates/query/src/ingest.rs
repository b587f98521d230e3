//! Rows on their way into the kernel: columns of one commit, filled row by row.
//!
//! Promises: every value is checked against its tag's kind as it comes, so that an error names its
//! row; nothing reaches the kernel before `commit`.

use crate::access::{Missing, Privileges, Rights};
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::scan::Sort;
use crate::session::Session;
use crate::store::Asker;
use kernel::{Committed, Write};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use types::{Kind, Kinds, Quality, Samples, TagId, TextColumn, TextSamples, Timestamp};
use world::Ticket;

/// A tag as writers need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub tag: TagId,
    pub kind: Kind,
}

/// How many names are remembered before the memory of them is begun anew.
const NAMES_MAX: usize = 1 << 20;

/// Columns of one commit.
pub(crate) struct Ingest {
    engine: Arc<Engine>,
    asker: Asker,
    /// What the statement may write.
    rights: Arc<Rights>,
    pub sort: Sort,
    known: FxHashMap<Box<str>, Target>,
    last: Option<(String, Target)>,
    tags: Vec<TagId>,
    times: Vec<Timestamp>,
    bits: Vec<u64>,
    texts: TextColumn,
    qualities: Vec<u8>,
    all_good: bool,
}

impl Ingest {
    /// # Errors
    /// `Error::Forbidden` where nothing may be written to the table.
    pub(crate) fn new(session: &Session, sort: Sort) -> Result<Self, Error> {
        let rights = session.access.rights();
        rights.alive()?;
        rights.admit(sort.full_name(), Privileges::INSERT)?;
        Ok(Ingest {
            engine: Arc::clone(&session.engine),
            asker: session.asker(),
            rights,
            sort,
            known: FxHashMap::default(),
            last: None,
            tags: Vec::new(),
            times: Vec::new(),
            bits: Vec::new(),
            texts: TextColumn::new(),
            qualities: Vec::new(),
            all_good: true,
        })
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The tag of a name, which must be of the table's kinds.
    pub(crate) fn tag(&mut self, name: &str) -> Result<Target, Error> {
        if let Some((last, target)) = &self.last
            && last == name
        {
            return Ok(*target);
        }
        let target = match self.known.get(name) {
            Some(target) => *target,
            None => self.look_up(name)?,
        };
        match &mut self.last {
            Some((last, known)) => {
                last.clear();
                last.push_str(name);
                *known = target;
            }
            None => self.last = Some((name.to_owned(), target)),
        }
        Ok(target)
    }

    fn look_up(&mut self, name: &str) -> Result<Target, Error> {
        let shown = || name.chars().take(128).collect::<String>();
        let found = self.engine.catalog.find(name).and_then(|tag| Some(Target { tag, kind: self.engine.catalog.kind(tag)? }));
        let (table, insert) = (self.sort.full_name(), Privileges::INSERT);
        let Some(target) = found else {
            if let Missing::Refused(error) = self.rights.missing(table, insert, name) {
                return Err(error);
            }
            return Err(raise(Error::UnknownTag, format!("tag \"{}\" does not exist", shown()))
                .with_hint("create it first: INSERT INTO tags (name, kind) VALUES ('..', 'f64')"));
        };
        // Before anything else is told of it.
        self.rights.admit_tag(&self.engine.catalog, table, insert, target.tag, name)?;
        if !self.sort.holds(target.kind) {
            let table = if target.kind.is_text() { "events" } else { "samples" };
            let message =
                format!("tag \"{}\" of kind {} does not belong into table {}", shown(), target.kind.name(), self.sort.name());
            return Err(raise(Error::Type, message).with_hint(format!("write it to table {table}")));
        }
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        self.known.insert(name.into(), target);
        Ok(target)
    }

    /// Adds a row of a numeric kind.
    pub(crate) fn push_bits(&mut self, target: Target, time: i64, bits: u64, quality: u8) {
        self.tags.push(target.tag);
        self.times.push(Timestamp(time));
        self.bits.push(bits);
        self.quality(quality);
    }

    /// Adds a row of a text kind.
    pub(crate) fn push_text(&mut self, target: Target, time: i64, text: &str, quality: u8) -> Result<(), Error> {
        if text.len() > Kind::TEXT_BYTES_MAX {
            let message = format!("a text of {} bytes is longer than the {} allowed", text.len(), Kind::TEXT_BYTES_MAX);
            return Err(raise(Error::OutOfRange, message));
        }
        if self.texts.bytes.len() + text.len() > u32::MAX as usize {
            return Err(
                raise(Error::TooLarge, "the texts of one statement are longer than 4 GiB").with_hint("send fewer rows at once")
            );
        }
        self.tags.push(target.tag);
        self.times.push(Timestamp(time));
        self.texts.push(text.as_bytes());
        self.quality(quality);
        Ok(())
    }

    fn quality(&mut self, quality: u8) {
        self.all_good &= quality == Quality::GOOD.0;
        self.qualities.push(quality);
    }

    /// How many rows wait.
    pub(crate) fn rows(&self) -> usize {
        self.tags.len()
    }

    /// About how many bytes they take.
    pub(crate) fn bytes(&self) -> u64 {
        (self.tags.len() * 25 + self.texts.bytes.len()) as u64
    }

    /// Commits the rows and forgets them; the answer comes when they are durable and visible.
    pub(crate) async fn commit(&mut self) -> Result<u64, Error> {
        let rows = self.rows() as u64;
        if rows == 0 {
            return Ok(0);
        }
        let answer = self.submit()?;
        self.tags.clear();
        self.times.clear();
        self.bits.clear();
        self.texts = TextColumn::new();
        self.qualities.clear();
        self.all_good = true;
        answer.wait().await?;
        Ok(rows)
    }

    fn submit(&self) -> Result<Answer<Committed>, Error> {
        let qualities = (!self.all_good).then_some(self.qualities.as_slice());
        let fault = |error: types::BatchError| raise(Error::Internal, error.to_string());
        if self.sort == Sort::Texts {
            let batch = TextSamples::new(&self.tags, &self.times, &self.texts, qualities).map_err(fault)?;
            return Ok(self.engine.write(Write { texts: &[batch], ..Write::default() }, &self.asker));
        }
        let batch = Samples::new(&self.tags, &self.times, &self.bits, qualities).map_err(fault)?;
        Ok(self.engine.write(Write { samples: &[batch], ..Write::default() }, &self.asker))
    }
}

/// The answer to a write that comes later: of the kernel here, or of a fleet's store.
pub(crate) enum Answer<T> {
    Here(Ticket<Result<T, kernel::Error>>),
    Away(Ticket<Result<T, Error>>),
}

impl<T: Send + 'static> Answer<T> {
    /// Waits for it without blocking the thread.
    pub(crate) async fn wait(self) -> Result<T, Error> {
        match self {
            Answer::Here(ticket) => wait(ticket).await,
            Answer::Away(ticket) => wait(ticket).await,
        }
    }
}

/// Waits for a ticket without blocking the thread.
pub(crate) async fn wait<T, E>(ticket: Ticket<Result<T, E>>) -> Result<T, Error>
where
    T: Send + 'static,
    E: Send + 'static,
    Error: From<E>,
{
    let (done, answer) = tokio::sync::oneshot::channel();
    // A client that went away no longer asks.
    ticket.on_done(move |result| drop(done.send(result)));
    match answer.await {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(abandoned)) => Err(abandoned.into()),
        Err(_) => Err(world::Abandoned.into()),
    }
}
