//! Rows on their way into the kernel: columns of one commit, filled row by row.
//!
//! Promises: every value is checked against its tag's kind as it comes, so that an error names its
//! row; nothing reaches the kernel before `commit`, and in a transaction block not before its COMMIT.

use crate::access::{Missing, Privileges, Rights, refused};
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::scan::Sort;
use crate::session::{Session, State};
use crate::store::Asker;
use datafusion::execution::memory_pool::MemoryReservation;
use kernel::{Committed, Write};
use parking_lot::Mutex;
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

/// Rows that were checked, as columns: `bits` of numeric tags, or `texts` of text tags.
pub(crate) struct Gathered {
    tags: Vec<TagId>,
    times: Vec<Timestamp>,
    bits: Vec<u64>,
    texts: TextColumn,
    qualities: Vec<u8>,
    /// Whether some quality is not good.
    some_bad: bool,
    /// What they hold of the memory of whoever writes them, where that is limited.
    room: Option<MemoryReservation>,
}

impl Default for Gathered {
    fn default() -> Self {
        // A column of texts that was made by its `default` has not even the first offset.
        let texts = TextColumn::new();
        let (tags, times, bits, qualities) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Gathered { tags, times, bits, texts, qualities, some_bad: false, room: None }
    }
}

impl Gathered {
    pub(crate) fn rows(&self) -> usize {
        self.tags.len()
    }

    /// The tag of each row.
    pub(crate) fn tags(&self) -> &[TagId] {
        &self.tags
    }

    /// The time of each row.
    pub(crate) fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// The bits of a row of a numeric tag.
    pub(crate) fn bits(&self, row: usize) -> u64 {
        self.bits[row]
    }

    /// The text of a row of a text tag.
    pub(crate) fn text(&self, row: usize) -> &[u8] {
        self.texts.get(row)
    }

    /// The quality byte of a row.
    pub(crate) fn quality(&self, row: usize) -> u8 {
        self.qualities[row]
    }

    /// Puts other tags in the place of some.
    pub(crate) fn retag(&mut self, other: impl Fn(TagId) -> TagId) {
        self.tags.iter_mut().for_each(|tag| *tag = other(*tag));
    }

    /// About how many bytes they take.
    pub(crate) fn bytes(&self) -> u64 {
        (self.tags.len() * 25 + self.texts.bytes.len()) as u64
    }

    /// Adds rows at the end.
    pub(crate) fn append(&mut self, mut other: Gathered) -> Result<(), Error> {
        if self.rows() == 0 {
            *self = other;
            return Ok(());
        }
        if self.texts.bytes.len() + other.texts.bytes.len() > u32::MAX as usize {
            return Err(too_long());
        }
        self.tags.append(&mut other.tags);
        self.times.append(&mut other.times);
        self.bits.append(&mut other.bits);
        (0..other.texts.len()).for_each(|at| self.texts.push(other.texts.get(at)));
        self.qualities.append(&mut other.qualities);
        self.some_bad |= other.some_bad;
        match (&self.room, other.room.take()) {
            (Some(mine), Some(others)) => mine.grow(others.free()),
            (None, others) => self.room = others,
            (Some(_), None) => {}
        }
        Ok(())
    }

    /// Keeps the first rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.tags.truncate(rows);
        self.times.truncate(rows);
        self.bits.truncate(rows);
        self.texts.offsets.truncate(rows + 1);
        self.texts.bytes.truncate(self.texts.offsets.last().map_or(0, |end| *end as usize));
        self.qualities.truncate(rows);
    }

    fn qualities(&self) -> Option<&[u8]> {
        self.some_bad.then_some(self.qualities.as_slice())
    }
}

fn too_long() -> Error {
    raise(Error::TooLarge, "the texts of one commit are longer than 4 GiB").with_hint("send fewer rows at once")
}

/// Commits rows of numeric and of text tags as one; the answer comes when they are durable and visible.
pub(crate) fn send(engine: &Engine, asker: &Asker, numbers: &Gathered, texts: &Gathered) -> Result<Answer<Committed>, Error> {
    let fault = |error: types::BatchError| raise(Error::Internal, error.to_string());
    let samples = Samples::new(&numbers.tags, &numbers.times, &numbers.bits, numbers.qualities()).map_err(fault)?;
    let texts = TextSamples::new(&texts.tags, &texts.times, &texts.texts, texts.qualities()).map_err(fault)?;
    let (samples, texts) = ([samples], [texts]);
    let some = |rows: usize| usize::from(rows > 0);
    let write = Write { samples: &samples[..some(numbers.rows())], texts: &texts[..some(texts[0].len())], origin: None };
    Ok(engine.write(write, asker))
}

/// Columns of one commit.
pub(crate) struct Ingest {
    engine: Arc<Engine>,
    asker: Asker,
    state: Arc<Mutex<State>>,
    /// What the statement may write.
    rights: Arc<Rights>,
    pub sort: Sort,
    known: FxHashMap<Box<str>, Target>,
    last: Option<(String, Target)>,
    gathered: Gathered,
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
            state: Arc::clone(&session.state),
            rights,
            sort,
            known: FxHashMap::default(),
            last: None,
            gathered: Gathered { room: session.room_of_rows(), ..Gathered::default() },
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
        let (mut found, mut made) = (found, None);
        if found.is_none() {
            made = self.state.lock().made(name).map(|(tag, definition)| (tag, definition.clone()));
            found = made.as_ref().map(|(tag, definition)| Target { tag: *tag, kind: definition.kind });
        }
        let Some(target) = found else {
            if let Missing::Refused(error) = self.rights.missing(table, insert, name) {
                return Err(error);
            }
            return Err(raise(Error::UnknownTag, format!("tag \"{}\" does not exist", shown()))
                .with_hint("create it first: INSERT INTO tags (name, kind) VALUES ('..', 'f64')"));
        };
        // Before anything else is told of it.
        match &made {
            Some((_, definition)) if !self.rights.has_definition(table, insert, definition) => return Err(refused(name)),
            Some(_) => {}
            None => self.rights.admit_tag(&self.engine.catalog, table, insert, target.tag, name)?,
        }
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

    /// The states of a tag of such a kind.
    pub(crate) fn states(&self, tag: TagId) -> Vec<String> {
        let state = self.state.lock();
        match state.definition(tag) {
            Some(definition) => definition.states.clone(),
            None => self.engine.catalog.get(tag).map(|tag| tag.definition.states).unwrap_or_default(),
        }
    }

    /// Adds a row of a numeric kind.
    pub(crate) fn push_bits(&mut self, target: Target, time: i64, bits: u64, quality: u8) {
        self.gathered.bits.push(bits);
        self.push(target, time, quality);
    }

    /// Adds a row of a text kind.
    pub(crate) fn push_text(&mut self, target: Target, time: i64, text: &str, quality: u8) -> Result<(), Error> {
        if text.len() > Kind::TEXT_BYTES_MAX {
            let message = format!("a text of {} bytes is longer than the {} allowed", text.len(), Kind::TEXT_BYTES_MAX);
            return Err(raise(Error::OutOfRange, message));
        }
        if text.contains('\0') {
            return Err(raise(Error::Encoding, "invalid byte sequence for encoding \"UTF8\": 0x00")
                .with_detail("a text can't hold a zero byte"));
        }
        if self.gathered.texts.bytes.len() + text.len() > u32::MAX as usize {
            return Err(too_long());
        }
        self.gathered.texts.push(text.as_bytes());
        self.push(target, time, quality);
        Ok(())
    }

    fn push(&mut self, target: Target, time: i64, quality: u8) {
        self.gathered.tags.push(target.tag);
        self.gathered.times.push(Timestamp(time));
        self.gathered.some_bad |= quality != Quality::GOOD.0;
        self.gathered.qualities.push(quality);
    }

    /// How many rows wait.
    pub(crate) fn rows(&self) -> usize {
        self.gathered.rows()
    }

    /// About how many bytes they take.
    pub(crate) fn bytes(&self) -> u64 {
        self.gathered.bytes()
    }

    /// Takes memory for the rows that wait, where it is limited.
    ///
    /// # Errors
    /// `Error::OutOfMemory`.
    pub(crate) fn hold(&self) -> Result<(), Error> {
        let bytes = usize::try_from(self.bytes()).unwrap_or(usize::MAX);
        Ok(self.gathered.room.as_ref().map_or(Ok(()), |room| room.try_resize(bytes))?)
    }

    /// Commits the rows and forgets them; the answer comes when they are durable and visible. In a transaction block they
    /// are handed to it.
    pub(crate) async fn commit(&mut self) -> Result<u64, Error> {
        let rows = self.rows() as u64;
        if rows == 0 {
            return Ok(0);
        }
        self.hold()?;
        let room = self.gathered.room.as_ref().map(MemoryReservation::new_empty);
        let gathered = std::mem::replace(&mut self.gathered, Gathered { room, ..Gathered::default() });
        let limit = self.engine.settings.copy_bytes_max;
        let Some(gathered) = self.state.lock().hold_rows(gathered, self.sort, limit)? else { return Ok(rows) };
        let (numbers, texts) =
            if self.sort == Sort::Texts { (Gathered::default(), gathered) } else { (gathered, Gathered::default()) };
        let answer = send(&self.engine, &self.asker, &numbers, &texts)?;
        drop((numbers, texts));
        answer.wait().await?;
        Ok(rows)
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
            Answer::Here(ticket) => {
                let _span = traces::child("log commit", traces::Kind::Internal);
                wait(ticket).await
            }
            // The requests to nodes are spans of their own.
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
    // A client that went away no longer asks, and what waits for room is then not done.
    let asks = Arc::new(());
    let still = Arc::downgrade(&asks);
    ticket.on_done_while(move || still.strong_count() > 0, move |result| drop(done.send(result)));
    let answer = answer.await;
    drop(asks);
    match answer {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(abandoned)) => Err(abandoned.into()),
        Err(_) => Err(world::Abandoned.into()),
    }
}
