//! Archiving: what a store's two logs have beyond what was archived goes to a place, parcel by parcel, while the store goes on.
//!
//! ```text
//!   close the moment -> samples' log up to there -> tags' log up to there -> head -> note in the store's directory -> let go
//! ```
//! The tags' log is closed after the samples': so every sample of a parcel has its tag in it, or before.
//! Promises: a parcel is whole or not there, nothing is overwritten, and there is no gap between parcels but one that `let_go` made.
//! What another process archived under the name of this line (from a copy of the directory, or of before a disk was set back) is
//! never gone on from: the line is left then, at the last place that both had.
//! May not know when it is called, nor what the files beside the logs are.

use crate::copying::{Meter, get_piece, put_log, put_own};
use crate::head::{FORMAT_LONE, FileEntry, LogEntry};
use crate::line::{self, Archived, Line, Note};
use crate::parcel::{self, Parcel, ParcelName};
use crate::place::{Place, sha256};
use crate::pruning::forget_parcel;
use crate::sealed::put_sealed;
use crate::{Error, Report};
use log::{Hold, Position};
use std::path::PathBuf;
use std::sync::Arc;
use storage::StoreId;
use world::{Disk, Random};

/// The store whose log is archived.
pub struct Archive {
    /// Its directory.
    pub home: (Arc<dyn Disk>, PathBuf),
    /// Which it is.
    pub store: StoreId,
    /// The release that writes.
    pub release: String,
    /// For names.
    pub random: Arc<dyn Random>,
    /// Keeps of the samples' log what is not archived yet.
    pub log: Hold,
    /// The same of the tag table's log.
    pub tags: Hold,
}

/// A moment that is over: nothing is committed or changed any more that counts as of it or before.
pub struct Over {
    /// Microseconds since 1970.
    pub moment: u64,
    /// The samples' log has all of it, and is synced up to here.
    pub log_to: Position,
    /// The same of the tag table's log; closed after the samples'.
    pub tags_to: Position,
    /// What others keep in the store's directory: path below it, and bytes.
    pub beside: Vec<(String, Vec<u8>)>,
}

/// What became of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shipped {
    /// Nothing was archived without a gap up to now: from here on it is, and the next backup is the first to go on from.
    Begun,
    /// There was nothing new.
    Nothing,
    /// A parcel of so many bytes of log.
    Parcel(u64),
}

/// Archives a store.
pub struct Shipper {
    archive: Archive,
    note: Note,
}

impl Shipper {
    /// Goes on from where the store stood.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Format`: of the store's own directory.
    pub fn new(archive: Archive) -> Result<Shipper, Error> {
        let (disk, dir) = &archive.home;
        let random = u128::from(archive.random.next_u64()) << 64 | u128::from(archive.random.next_u64());
        let mut note = line::named(&**disk, dir, random)?;
        let there = |hold: &Hold, id: &str, at: u64| id == hex(hold.id()) && hold.begin().0 <= at && at <= hold.end().0;
        let goes_on = |at: &Archived| there(&archive.log, &at.log_id, at.log) && there(&archive.tags, &at.tags_id, at.tags);
        if note.archived.as_ref().is_some_and(|at| !goes_on(at)) {
            note.leave_gap();
        }
        let shipper = Shipper { archive, note };
        shipper.advance();
        Ok(shipper)
    }

    /// The line's name.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.note.line.id
    }

    /// The moment up to which all is archived; none where that is yet to begin.
    #[must_use]
    pub fn moment(&self) -> Option<u64> {
        self.note.archived.as_ref().map(|at| at.moment)
    }

    /// Bytes of log that are kept because they are not archived yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let behind = |hold: &Hold, at: u64| hold.end().0.saturating_sub(at);
        self.note.archived.as_ref().map_or(0, |at| behind(&self.archive.log, at.log) + behind(&self.archive.tags, at.tags))
    }

    /// Lets go of what is not archived: a gap, behind which the next backup is the first to go on from.
    ///
    /// # Errors
    /// `Error::Disk`: it is let go all the same, and kept again from now on.
    pub fn let_go(&mut self) -> Result<(), Error> {
        self.note.leave_gap();
        self.archive.log.advance(self.archive.log.end());
        self.archive.tags.advance(self.archive.tags.end());
        self.keep()
    }

    /// Archives what was committed up to a moment.
    ///
    /// # Errors
    /// `Error::Place`, `Error::Full`, `Error::Foreign`, `Error::Store`, `Error::Disk`, `Error::Cancelled`: nothing of it counts, and
    /// the next moment has it.
    pub fn ship(&mut self, place: &dyn Place, over: &Over, report: Report<'_>) -> Result<Shipped, Error> {
        let store = format!("{:032x}", self.archive.store.0);
        let Some(at) = self.note.archived.clone() else {
            self.begin(over);
            self.keep()?;
            self.advance();
            return Ok(Shipped::Begun);
        };
        let files_same = same_files(&at.files, &over.beside);
        if (at.log, at.tags) == (over.log_to.0, over.tags_to.0) && files_same {
            return Ok(Shipped::Nothing);
        }
        let Some(at) = self.settle(place, at, &store)? else { return self.ship(place, over, report) };
        let (number, bytes) = (self.note.number + 1, over.log_to.0 - at.log + (over.tags_to.0 - at.tags));
        let name = ParcelName::new(&self.note.line.id, number, (at.moment, over.moment), self.archive.random.next_u64());
        let meter = Meter::new(bytes, report);
        let written = self.write(place, &name, (&at, over), (files_same, store), &meter);
        let files = match written {
            Ok(files) => files,
            Err(fault) => {
                forget_parcel(place, &name);
                return Err(fault);
            }
        };
        let (log, tags, moment) = (over.log_to.0, over.tags_to.0, over.moment);
        self.note.number = number;
        self.note.archived = Some(Archived { log, tags, moment, files: files.unwrap_or(at.files.clone()), ..at });
        self.keep()?;
        self.advance();
        Ok(Shipped::Parcel(bytes))
    }

    fn begin(&mut self, over: &Over) {
        let (log_id, tags_id) = (hex(self.archive.log.id()), hex(self.archive.tags.id()));
        let (log, tags, moment) = (over.log_to.0, over.tags_to.0, over.moment);
        self.note.archived = Some(Archived { log_id, tags_id, log, tags, moment, files: Vec::new() });
    }

    /// Looks whether the next number is taken: by a parcel of ours whose answer was lost, or by another process's. None where that
    /// changed from where it goes on.
    fn settle(&mut self, place: &dyn Place, at: Archived, store: &str) -> Result<Option<Archived>, Error> {
        for name in parcel::listed(place, &parcel::numbered(&self.note.line.id, self.note.number + 1))? {
            if parcel::is_torn(place, &name)? {
                forget_parcel(place, &name);
                continue;
            }
            let found = match parcel::read(place, &name) {
                // It was changed since: whoever restores is told.
                Err(Error::Damaged { .. }) => continue,
                found => found?,
            };
            if found.store != store {
                return Err(Error::Foreign { place: place.name(), found: found.store });
            }
            if let Some((log, tags)) = self.is_ours(place, &found, &at)? {
                let files = found.files.unwrap_or(at.files);
                self.note.number = found.number;
                self.note.archived = Some(Archived { log, tags, moment: found.to_us, files, ..at });
            } else {
                let Line { past, .. } = self.note.line.left_at(at.log, at.tags, at.moment);
                let random = [self.archive.random.next_u64(), self.archive.random.next_u64()];
                let id = format!("{:016x}{:016x}", random[0], random[1]);
                self.note.line = Line { id, past };
                self.note.number = 0;
                self.note.archived = Some(Archived { files: Vec::new(), ..at });
            }
            self.keep()?;
            self.advance();
            return Ok(None);
        }
        Ok(Some(at))
    }

    /// Whether a parcel that goes on from where we stand is of our own log; where the logs end in it.
    fn is_ours(&self, place: &dyn Place, found: &Parcel, at: &Archived) -> Result<Option<(u64, u64)>, Error> {
        let Some((log_to, tags_to)) = found.ends() else { return Ok(None) };
        let (log, tags) = (&self.archive.log, &self.archive.tags);
        let follows = (found.log_from, found.tags_from, found.from_us) == (at.log, at.tags, at.moment);
        if !follows || found.line != self.note.line || log_to > log.end().0 || tags_to > tags.end().0 {
            return Ok(None);
        }
        let meter = Meter::new(found.bytes(), &|_| std::ops::ControlFlow::Continue(()));
        for (entry, hold) in found.logs.iter().zip([log, tags]) {
            for piece in &entry.pieces {
                match get_piece(place, entry, piece, &meter) {
                    Ok(stretch) if is_of(hold, &stretch)? => {}
                    Ok(_) | Err(Error::Damaged { .. }) => return Ok(None),
                    Err(fault) => return Err(fault),
                }
            }
        }
        Ok(Some((log_to, tags_to)))
    }

    /// Writes a parcel; gives its files, where they changed.
    fn write(
        &self,
        place: &dyn Place,
        name: &ParcelName,
        (at, over): (&Archived, &Over),
        (files_same, store): (bool, String),
        meter: &Meter<'_>,
    ) -> Result<Option<Vec<FileEntry>>, Error> {
        let own = name.own();
        let samples = (Position(at.log), over.log_to);
        let samples = put_log(place, &self.archive.log, samples, ("log", &format!("{own}log")), meter)?;
        let tags = (Position(at.tags), over.tags_to);
        let tags = put_log(place, &self.archive.tags, tags, ("catalog/log", &format!("{own}catalog-log")), meter)?;
        let bring = |(path, bytes): &(String, Vec<u8>)| put_own(place, &own, path, bytes, meter);
        let files = match files_same {
            true => None,
            false => Some(over.beside.iter().map(bring).collect::<Result<Vec<FileEntry>, Error>>()?),
        };
        let logs: Vec<LogEntry> = vec![samples, tags];
        let head = Parcel {
            format: FORMAT_LONE,
            store,
            release: self.archive.release.clone(),
            line: self.note.line.clone(),
            number: name.number,
            from_us: name.from_us,
            to_us: name.to_us,
            log_from: at.log,
            tags_from: at.tags,
            logs,
            files: files.clone(),
        };
        put_sealed(place, &name.key(), &head)?;
        Ok(files)
    }

    fn keep(&self) -> Result<(), Error> {
        let (disk, dir) = &self.archive.home;
        line::keep(&**disk, dir, &self.note)
    }

    fn advance(&self) {
        if let Some(at) = &self.note.archived {
            self.archive.log.advance(Position(at.log));
            self.archive.tags.advance(Position(at.tags));
        }
    }
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}

fn same_files(known: &[FileEntry], files: &[(String, Vec<u8>)]) -> bool {
    let same = |(entry, (path, bytes)): (&FileEntry, &(String, Vec<u8>))| {
        entry.path == *path && entry.bytes == bytes.len() as u64 && entry.sha256 == sha256(bytes)
    };
    known.len() == files.len() && known.iter().zip(files).all(same)
}

/// Whether bytes are those of a log that is held.
fn is_of(hold: &Hold, stretch: &log::Stretch) -> Result<bool, Error> {
    let (mut at, mut left) = (stretch.begin(), &stretch.bytes[..]);
    while !left.is_empty() {
        let own = hold.read(at, left.len()).map_err(|fault| Error::Store(fault.to_string()))?;
        let Some(own) = own.filter(|own| (own.log, own.base, own.begin()) == (stretch.log, stretch.base, at)) else {
            return Ok(false);
        };
        if !left.starts_with(&own.bytes) {
            return Ok(false);
        }
        left = &left[own.bytes.len()..];
        at = Position(at.0 + own.bytes.len() as u64);
    }
    Ok(true)
}
