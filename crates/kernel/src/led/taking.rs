//! Taking files: a replica that the log does not reach copies the file groups that differ, and equals an offer then.
//!
//! ```text
//!   prepare   what the log has is applied and flushed (unless its files depart from the primary's history) -> group versions
//!   keep      pieces of the other side's files, in incoming/slice-0007, as they come
//!   install   set aside what departs -> rows of copied groups, and of own groups that shared files with replaced ones,
//!             are written into files of their own -> a note in the log -> one manifest: files, groups, history, producers
//! ```
//! Versions are compared for equality: a group of one version is one content, so an own group of the offered version stays.
//! Of a group that differs only files beyond the point where the histories part are copied, where this replica's is a beginning
//! of the other's and nothing was deleted since: what was written up to there is in the own files, which stay; a file of the
//! other side that ends there or before has nothing else. Otherwise such a group is copied whole.
//! Files lie under seals of their store, so rows are read and written again, with the other side's deletions applied to
//! theirs. Samples that are held of thinned tags come with the manifest. A written file is said to cover versions up to the offer's last, so that no deletion that it had applied
//! is held against it.
//! Crash reasoning: until the manifest is durable the replica is as it was, log and all; from then on nothing of it in the
//! log counts that lies below the note. What lies in incoming/ is nobody's.
//! Promises: after `install` the replica equals the offer, durably, and its log is empty behind it.

use super::flushing::producer;
use super::format::{self, Note};
use super::pins::touches;
use super::records::Records;
use super::work::{Barrier, Op};
use super::{Led, LedSlice, Piece, note, refused};
use crate::core::Core;
use crate::record::RECORD_LED_NOTE;
use crate::slice::Slice;
use crate::state::State;
use crate::tombstones::{self, Grave};
use crate::{Error, held};
use log::{Body as LogBody, Position};
use parking_lot::Mutex;
use protocol::{History, Offer, ProducerRow, Record};
use series::file::{NoCache, SeriesFile};
use series::{Held, SliceFiles, Tombstone, ViewFile};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::{FileMeta, Manifest, SliceDirectory};
use types::{CommitNumber, Period, Sequence, SliceId, Timestamp, Version};
use world::{Access, DiskError, Lane, Promise, Ticket};

/// What a replica holds once it equals an offer.
type Taken = (History, Vec<ProducerRow>);
type Answer = Promise<Result<Taken, Error>>;

/// What the slice is to hold: its files, those that stay and those that were written; the samples that are held of thinned
/// tags; and the highest commit among what was taken over.
struct Content {
    files: Vec<Arc<ViewFile>>,
    held: Held,
    commit: CommitNumber,
    newest_deletion: Version,
}

/// Files with the deletions held against them, and the samples that are held of thinned tags.
struct Source {
    files: Arc<SliceFiles>,
    held: Held,
    commit: CommitNumber,
    /// The files are those beyond this write of a group; none where they are all of it.
    beyond: Option<Version>,
    /// The newest deletion that it knows of.
    newest_deletion: Version,
}

impl LedSlice {
    /// Before files are taken: applies and flushes what the log has, unless the files depart from the primary's history.
    /// Answers the group versions, to be compared with those that are offered. What came of earlier pieces goes.
    pub fn prepare(&self, departs: bool) -> Ticket<Result<Vec<(Period, Version)>, Error>> {
        let (promise, ticket) = Ticket::pair();
        let job: Barrier = Box::new(move |turn| match turn {
            Ok((core, slice)) => core.prepare(&slice, departs, promise),
            Err(fault) => promise.keep(Err(fault)),
        });
        self.core.led_submit(&self.slice, Op::Barrier(job));
        ticket
    }

    /// Keeps a part of a piece that came; offset 0 begins it anew. It is not durable: a process that ends begins with the
    /// first piece.
    ///
    /// # Errors
    /// `Error::DiskFull`, `Error::Read`.
    pub fn keep_piece(&self, piece: Piece, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let disk = &*self.core.world.disk;
        let path = self.core.incoming(self.slice.id).join(piece_name(piece));
        let open = || {
            if offset > 0 {
                return disk.open(&path, Access::Write);
            }
            match disk.remove(&path) {
                Err(fault) if !fault.is_missing() => Err(fault),
                _ => disk.create(&path),
            }
        };
        open().and_then(|file| file.write_at(offset, &[bytes])).map_err(disk_error)?;
        self.slice.copied_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Which pieces of groups that differ are needed, once the offer's manifest is kept: others need not come.
    ///
    /// # Errors
    /// `Error::Led` where what came is not what was offered; `Error::Read`, `Error::Damaged`.
    pub fn needed_pieces(&self, offer: &Offer, copied: &[Period]) -> Result<BTreeSet<Piece>, Error> {
        let manifest = self.core.offered_manifest(&self.slice, offer)?;
        let beyond = self.core.shared_up_to(&self.slice, offer, &manifest);
        let files = needed_files(&manifest, copied, beyond).map(|meta| Piece::File(meta.number));
        Ok(files.chain(std::iter::once(Piece::Manifest)).collect())
    }

    /// Takes over an offer: these groups came in pieces, others of the offer are here already.
    ///
    /// Answered `Error::Led` or `Error::Damaged` where the pieces are not what was offered; the replica is as it was before.
    pub fn install(&self, offer: Offer, copied: Vec<Period>) -> Ticket<Result<Taken, Error>> {
        let (promise, ticket) = Ticket::pair();
        let job: Barrier = Box::new(move |turn| match turn {
            Ok((core, slice)) => core.install(&slice, offer, copied, promise),
            Err(fault) => promise.keep(Err(fault)),
        });
        self.core.led_submit(&self.slice, Op::Barrier(job));
        ticket
    }
}

fn piece_name(piece: Piece) -> String {
    match piece {
        Piece::Manifest => "manifest".to_owned(),
        Piece::File(number) => format!("{number}.series"),
    }
}

fn disk_error(fault: DiskError) -> Error {
    storage::Error::from(fault).into()
}

/// The files of an offer that have what is wanted of these groups.
fn needed_files<'a>(
    manifest: &'a Manifest,
    copied: &'a [Period],
    beyond: Option<Version>,
) -> impl Iterator<Item = &'a FileMeta> + use<'a> {
    let is_new = move |meta: &&FileMeta| beyond.is_none_or(|beyond| meta.versions.1.sequence > beyond.sequence);
    manifest.files.iter().filter(|meta| copied.iter().any(|period| touches(meta, *period))).filter(is_new)
}

impl Core {
    fn incoming(&self, slice: SliceId) -> PathBuf {
        self.dir.join("incoming").join(format!("slice-{:04}", slice.0))
    }

    /// As the slice's one job.
    fn prepare(self: &Arc<Core>, slice: &Arc<Slice>, departs: bool, promise: Promise<Result<Vec<(Period, Version)>, Error>>) {
        let ready = self.clear_incoming(slice.id).and_then(|()| if departs { Ok(()) } else { self.publish_all(slice) });
        if let Err(fault) = ready {
            promise.keep(Err(fault));
            return self.led_over(slice);
        }
        let of = Arc::clone(slice);
        let answer = move |core: &Arc<Core>, flushed: Result<(), Error>| {
            let directory = of.filing.lock().directory.clone();
            let groups = directory.map(|directory| directory.manifest().groups.clone()).unwrap_or_default();
            promise.keep(flushed.map(|()| groups.into_iter().collect()));
            core.led_goes_on(&of);
        };
        if departs {
            answer(self, Ok(()));
            return self.finished(slice);
        }
        self.flush_slice(slice, answer);
    }

    /// It is a beginning of what is offered, so it is stable.
    fn publish_all(self: &Arc<Core>, slice: &Arc<Slice>) -> Result<(), Error> {
        let last = slice.with_led(|led| led.records.last());
        self.led_publish(slice, last)?;
        self.led_stable(slice, last)
    }

    fn clear_incoming(&self, slice: SliceId) -> Result<(), Error> {
        let (disk, dir) = (&*self.world.disk, self.incoming(slice));
        disk.make_dir(&dir).map_err(disk_error)?;
        for entry in disk.list(&dir).map_err(disk_error)? {
            disk.remove(&dir.join(entry.name)).map_err(disk_error)?;
        }
        Ok(())
    }

    /// As the slice's one job: first what departs from the offer is kept.
    fn install(self: &Arc<Core>, slice: &Arc<Slice>, offer: Offer, copied: Vec<Period>, promise: Answer) {
        let theirs = if copied.is_empty() { Ok(None) } else { self.open_incoming(slice, &offer, &copied).map(Some) };
        let theirs = match theirs {
            Ok(theirs) => theirs,
            Err(fault) => {
                promise.keep(Err(fault));
                return self.led_over(slice);
            }
        };
        let (departs, alone) = slice.with_led(|led| {
            let alone = led.records.beyond(Sequence(0)).filter(|kept| !offer.history.contains(kept.version()));
            (!offer.history.contains(led.flushed), alone.map(|kept| kept.record.clone()).collect::<Vec<Record>>())
        });
        if let Err(fault) = if departs { self.copy_files_aside(slice) } else { Ok(()) } {
            return self.led_broke(slice, fault, promise);
        }
        let then = move |core: Arc<Core>, slice: Arc<Slice>, kept: Result<(), Error>| match kept {
            Ok(()) => core.write_groups(&slice, offer, &copied, theirs, promise),
            Err(fault) => core.led_broke(&slice, fault, promise),
        };
        if alone.is_empty() {
            return then(Arc::clone(self), Arc::clone(slice), Ok(()));
        }
        self.copy_aside(slice, &alone, Box::new(then));
    }

    /// Opens what came, which must be what was offered.
    fn open_incoming(&self, slice: &Slice, offer: &Offer, copied: &[Period]) -> Result<Source, Error> {
        let (disk, dir) = (&*self.world.disk, self.incoming(slice.id));
        let manifest = self.offered_manifest(slice, offer)?;
        let beyond = self.shared_up_to(slice, offer, &manifest);
        let needed = needed_files(&manifest, copied, beyond);
        let open = |meta: &FileMeta| -> Result<Arc<ViewFile>, Error> {
            let path = dir.join(piece_name(Piece::File(meta.number)));
            let file = SeriesFile::open(disk, &path, Arc::new(NoCache))?;
            file.check_named(manifest.store, slice.id, meta)?;
            Ok(Arc::new(ViewFile::new(meta.clone(), file)))
        };
        let files = needed.map(open).collect::<Result<Vec<_>, Error>>()?;
        let (graves, _) = tombstones::load(&manifest, 0).map_err(Error::Damaged)?;
        let tombstones = graves.into_iter().map(|grave| grave.tombstone).collect();
        let held = held::load(&manifest).map_err(Error::Damaged)?;
        let (commit, newest_deletion) = (manifest.commit, tombstones::newest(&manifest));
        Ok(Source { files: SliceFiles::new(files, tombstones), held, commit, beyond, newest_deletion })
    }

    /// The manifest that came, which must be the offer's.
    fn offered_manifest(&self, slice: &Slice, offer: &Offer) -> Result<Manifest, Error> {
        let path = self.incoming(slice.id).join(piece_name(Piece::Manifest));
        let (manifest, _) = storage::inspect_manifest(&*self.world.disk, &path)?;
        let same = manifest.slice == slice.id
            && manifest.flushed == offer.history.last()
            && manifest.groups.iter().map(|(period, version)| (*period, *version)).eq(offer.groups.iter().copied());
        if same { Ok(manifest) } else { Err(refused(slice.id, "what came is not what was offered".to_owned())) }
    }

    /// Up to which write the own files have all that the offer's have, deletions included. None where that can't be told.
    fn shared_up_to(&self, slice: &Slice, offer: &Offer, manifest: &Manifest) -> Option<Version> {
        let flushed = slice.with_led(|led| led.flushed);
        let begins = offer.history.contains(flushed) && flushed.sequence > Sequence(0);
        (begins && tombstones::newest(manifest).sequence <= flushed.sequence).then_some(flushed)
    }

    /// All that departs is kept: the new files are written, then the log says that the slice begins anew.
    fn write_groups(
        self: &Arc<Core>,
        slice: &Arc<Slice>,
        offer: Offer,
        copied: &[Period],
        theirs: Option<Source>,
        promise: Answer,
    ) {
        if let Some(theirs) = &theirs {
            // Commits that this node numbers later stand above those that it takes over.
            let mut order = self.order.lock();
            order.commit = order.commit.max(theirs.commit);
        }
        let commit = theirs.as_ref().map_or(CommitNumber(0), |theirs| theirs.commit);
        let newest_deletion = theirs.as_ref().map(|theirs| theirs.newest_deletion).unwrap_or_default();
        let written = self.directory(slice).and_then(|directory| {
            let held = self.taken_held(slice, &directory, &offer, copied, theirs.as_ref())?;
            let mut files = Vec::new();
            let written = self.write_files(slice, &directory, &offer, copied, theirs.as_ref(), &mut files);
            if written.is_err() {
                self.remove_unpublished(&directory, &files);
            }
            let content = |kept: Vec<Arc<ViewFile>>| {
                let files = kept.into_iter().chain(files).collect();
                Content { files, held, commit, newest_deletion }
            };
            written.map(|kept| (directory, content(kept)))
        });
        let (directory, content) = match written {
            Ok(written) => written,
            Err(fault) => {
                promise.keep(Err(fault));
                return self.led_over(slice);
            }
        };
        let of = Arc::clone(slice);
        let noted = Arc::new(Mutex::new(Position(0)));
        let at = Arc::clone(&noted);
        let entry = (RECORD_LED_NOTE, format::encode_note(slice.id, Note::Anew), LogBody::new(Vec::new()));
        let done = move |core: &Arc<Core>, outcome: Result<(), Error>| {
            let (core, runner) = (Arc::clone(core), Arc::clone(&core.world.runner));
            let job = move || {
                let taken = outcome.and_then(|()| core.swap_manifests(&of, &directory, &offer, content, *at.lock()));
                match taken {
                    Ok(taken) => {
                        promise.keep(Ok(taken));
                        core.led_over(&of);
                    }
                    Err(fault) => core.led_broke(&of, fault, promise),
                }
            };
            runner.submit(Lane::Flush, Box::new(job));
        };
        slice.with_led(|led| self.led_put(slice, led, entry, move |_, position| *noted.lock() = position, done));
    }

    /// Writes the files of copied groups, and of own ones that share files with groups that go. Gives the own files that stay
    /// as they are.
    fn write_files(
        &self,
        slice: &Slice,
        directory: &SliceDirectory,
        offer: &Offer,
        copied: &[Period],
        theirs: Option<&Source>,
        written: &mut Vec<Arc<ViewFile>>,
    ) -> Result<Vec<Arc<ViewFile>>, Error> {
        let own = Arc::clone(&slice.state.lock().files);
        let beyond = theirs.and_then(|theirs| theirs.beyond);
        let stays = |period: &Period| beyond.is_some() || !copied.contains(period);
        let stay: BTreeSet<Period> = offer.groups.iter().map(|(period, _)| *period).filter(stays).collect();
        // A file that has rows of anything but groups that stay goes; what it has of those is written again, and with it
        // all of such a group.
        let mut again: BTreeSet<Period> = BTreeSet::new();
        let mut kept: Vec<Arc<ViewFile>> = own.files().to_vec();
        loop {
            let goes = |file: &Arc<ViewFile>| {
                let inside = stay.iter().filter(|period| touches(&file.meta, **period)).count() as u64;
                inside < periods_of(&file.meta) || again.iter().any(|period| touches(&file.meta, *period))
            };
            let (gone, left): (Vec<_>, Vec<_>) = std::mem::take(&mut kept).into_iter().partition(goes);
            kept = left;
            if gone.is_empty() {
                break;
            }
            again.extend(stay.iter().filter(|period| gone.iter().any(|file| touches(&file.meta, **period))));
        }
        let plan = self.flush_plan(slice, directory);
        let stop = || self.stopping();
        let last = offer.history.last();
        // Rows beyond what both have stand above the own files', whatever else came with them.
        let after = beyond.map(|beyond| Version { sequence: Sequence(beyond.sequence.0 + 1), ..beyond });
        let theirs = copied.iter().filter_map(|period| Some((period, &theirs?.files, after)));
        for (period, source, after) in again.iter().map(|period| (period, &own, None)).chain(theirs) {
            let files = of_period(source, *period);
            let Some(first) = files.iter().map(|file| file.meta.versions.0).min() else { continue };
            let versions = (after.unwrap_or(first).min(last), last);
            written.extend(series::extract(&files, source.tombstones(), *period, versions, &plan, &stop)?);
        }
        Ok(kept)
    }

    /// What is held of thinned tags: of groups that came what came, of groups that stay what is here. A sample that is held
    /// is of the group that its time lies in, and has raised that group's version as any other.
    fn taken_held(
        &self,
        slice: &Slice,
        directory: &SliceDirectory,
        offer: &Offer,
        copied: &[Period],
        theirs: Option<&Source>,
    ) -> Result<Held, Error> {
        let period = |time: Timestamp| Period::of(time, slice.period_us);
        let offered = |period: Period| offer.groups.iter().any(|(of, _)| *of == period);
        let own = held::load(&directory.manifest()).map_err(Error::Damaged)?;
        let mut held = own.within(|time| offered(period(time)) && !copied.contains(&period(time)));
        if let Some(theirs) = theirs {
            held.join(&theirs.held.within(|time| copied.contains(&period(time))));
        }
        Ok(held)
    }

    /// The manifest that equals the offer comes into force, and then into memory.
    fn swap_manifests(
        &self,
        slice: &Arc<Slice>,
        directory: &SliceDirectory,
        offer: &Offer,
        Content { files, held, commit, newest_deletion }: Content,
        anew: Position,
    ) -> Result<Taken, Error> {
        let mut manifest = Manifest::clone(&directory.manifest());
        let newest_deletion = tombstones::newest(&manifest).max(newest_deletion);
        tombstones::note_newest(&mut manifest, newest_deletion);
        manifest.files = files.iter().map(|file| file.meta.clone()).collect();
        manifest.files.sort_unstable_by_key(|file| file.number);
        manifest.flushed = offer.history.last();
        manifest.epochs = offer.history.starts().to_vec();
        manifest.groups = offer.groups.iter().copied().collect();
        manifest.producers = offer.producers.iter().map(producer).collect();
        (manifest.log_position, manifest.latest) = (anew.0, None);
        manifest.commit = manifest.commit.max(slice.state.lock().commit).max(commit);
        let graves = slice.state.lock().graves.clone();
        // Of a deletion that departs no group that stays knows.
        let graves: Vec<Grave> = graves.into_iter().filter(|grave| offer.history.contains(grave.tombstone.version())).collect();
        let graves = tombstones::store(&mut manifest, &graves, &[]);
        held::store(&mut manifest, &held);
        let epoch = slice.with_led(|led| led.epoch);
        note::store(&mut manifest, note::LedNote { exists: true, epoch, anew });
        let manifest = directory.publish(manifest)?;
        let mut guard = slice.led.lock();
        let tombstones: Vec<Tombstone> = graves.iter().map(|grave| grave.tombstone.clone()).collect();
        let next = State::of(&manifest, SliceFiles::new(files.clone(), tombstones), graves, held.clone());
        let room = {
            let _all = self.visibility.write();
            let mut state = slice.state.lock();
            let room = state.replace(next);
            slice.show(&mut state);
            room
        };
        let before = guard.as_mut().map(|led| led.begin_with(&manifest, offer, anew));
        drop(guard);
        drop((room, before));
        slice.doubt_all(&files, &held)?;
        slice.values.lock().deletions += 1;
        // What can't be read stays unknown, and readers look into the files.
        let _ = slice.recompute();
        let _ = self.clear_incoming(slice.id);
        self.cut_log();
        Ok((offer.history.clone(), offer.producers.clone()))
    }
}

/// How many periods a file has rows of.
fn periods_of(meta: &FileMeta) -> u64 {
    meta.periods.iter().map(|(first, last)| last.0.abs_diff(first.0) + 1).sum()
}

/// All files that have rows of a period, in order of version.
fn of_period(files: &SliceFiles, period: Period) -> Vec<Arc<ViewFile>> {
    files.files().iter().filter(|file| touches(&file.meta, period)).cloned().collect()
}

impl Led {
    /// The slice equals an offer now. Gives what it had at hand, to be dropped where no lock is held.
    fn begin_with(&mut self, manifest: &Manifest, offer: &Offer, anew: Position) -> Records {
        let last = offer.history.last();
        self.note_kept(manifest);
        self.anew = anew;
        self.history = offer.history.clone();
        self.producers.clone_from(&offer.producers);
        (self.logged, self.published, self.stable, self.flushed) = (last, last, last, last);
        self.pins.clear();
        std::mem::replace(&mut self.records, Records::after(last))
    }
}
