//! Stores laid of a fleet's backup, and of the marks from there on: one that goes on alone, with everything; or what a process of a
//! new fleet begins with.
//!
//! ```text
//!   the tag table, of its parts ──> kinds ──> an empty kernel: the slices (`data`) ──> flushed, closed ──> alone: its own from now on;
//!   a fleet's: led, and marked
//! ```
//! The store is a new one: nothing in it is named as in the fleet that was, so both may live on side by side.
//! Promises: everything is compared with its digest as it passes; a directory in which laying was cut short says so (`restored`).
//! Waits for the kernel: call it where that may be. May not know how a fleet begins with what was laid.

use super::reaching::{FleetWay, is_written};
use super::{FleetHead, Restored, TablePoint, part_path, restored};
use crate::copying::{Meter, lay_file};
use crate::head::FileEntry;
use crate::place::{Place, sha256, whole};
use crate::{Error, Report};
use catalog::Catalog;
use kernel::{Kernel, Settings};
use protocol::tags::{ChainHash, Part, Point, hash_bytes};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use types::{Kind, Kinds, Sequence, TagId};
use world::{Ticket, World};

/// What a process of a new fleet is to begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// The tag table and the roles of people: a scheduler.
    pub tags: bool,
    /// Of so many data nodes the how manieth, from 0 on: it gets every slice whose number leaves that rest.
    pub data: Option<(u32, u32)>,
}

/// What is to be laid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A store that goes on alone, with everything.
    Alone,
    /// A process of a new fleet.
    Fleet(Roles),
}

impl Target {
    fn has_tags(self) -> bool {
        matches!(self, Target::Alone | Target::Fleet(Roles { tags: true, .. }))
    }

    fn has_data(self) -> bool {
        matches!(self, Target::Alone | Target::Fleet(Roles { data: Some(_), .. }))
    }

    pub(super) fn has(self, slice: u32) -> bool {
        match self {
            Target::Alone => true,
            Target::Fleet(Roles { data: Some((nth, of)), .. }) => slice % of.max(1) == nth,
            Target::Fleet(_) => false,
        }
    }
}

/// Who keeps kinds in a data node's directory, which is empty yet.
pub type KeepKinds<'a> = &'a dyn Fn(&Path, &[Kind]) -> Result<(), String>;

/// Lays a store at the end of a way in a new or empty directory. `settings` are the kernel's, but for rule and period; a data node's
/// store begins once its kinds are kept: those of all tags, by ordinal.
///
/// # Errors
/// `Error::NotEmpty`, `Error::Damaged`, `Error::Place`, `Error::Disk`, `Error::Cancelled`, `Error::Store`: remove what is there then.
pub fn lay_fleet(
    place: &dyn Place,
    way: &FleetWay,
    (world, dir): (&World, &Path),
    (target, settings, keep): (Target, Settings, KeepKinds<'_>),
    report: Report<'_>,
) -> Result<(), Error> {
    let (disk, head) = (&world.disk, &way.head);
    let Some(fleet) = &head.fleet else { return Err(Error::Store(format!("backup {} is of a store that is alone", head.id))) };
    disk.make_dir(dir)?;
    if disk.list(dir)?.iter().any(|entry| entry.name != "lost+found") {
        return Err(Error::NotEmpty(dir.display().to_string()));
    }
    restored::begin(&**disk, dir)?;
    let laying = Laying { place, way, fleet, meter: Meter::new(way.bytes(), report), world, dir };
    laying.all(target, settings, keep)?;
    if let Target::Fleet(_) = target {
        let written = laying.written()?;
        restored::write(&**disk, dir, &Restored::new(head.id.clone(), fleet.rule, fleet.period_us, written))?;
    }
    restored::end(&**disk, dir)?;
    Ok(())
}

/// The end of something that the kernel or the tag table does.
pub(super) fn ended<T: Send + 'static, E: std::fmt::Display + Send + 'static>(ticket: Ticket<Result<T, E>>) -> Result<T, Error> {
    let done = ticket.wait().map_err(|gone| Error::Store(gone.to_string()))?;
    done.map_err(|fault| Error::Store(fault.to_string()))
}

pub(super) fn of_kernel(fault: kernel::Error) -> Error {
    Error::Store(fault.to_string())
}

pub(super) struct Laying<'a> {
    pub(super) place: &'a dyn Place,
    pub(super) way: &'a FleetWay,
    pub(super) fleet: &'a FleetHead,
    pub(super) meter: Meter<'a>,
    world: &'a World,
    dir: &'a Path,
}

impl Laying<'_> {
    fn all(&self, target: Target, settings: Settings, keep: KeepKinds<'_>) -> Result<(), Error> {
        let disk = &self.world.disk;
        for file in self.beside().into_iter().filter(|_| target.has_tags()) {
            lay_file(self.place, file, &**disk, self.dir, &self.meter)?;
        }
        let point = matches!(target, Target::Fleet(_)).then(|| self.point()).transpose()?;
        // Of a data node only the kinds of tags are needed, and those while its slices are laid.
        let table = self.dir.join(if target.has_tags() { "catalog" } else { "restoring-tags" });
        if target.has_tags() || target.has_data() {
            let mut blended = self.blended()?;
            let parts = (0..).map_while(|number| match blended.remove(&number) {
                Some(part) => Some(Ok(part)),
                None => self.part_entry(number, self.way.marks.len()).map(|entry| self.part(number, entry)),
            });
            catalog::lay(self.world.clone(), &table, catalog::Settings::default(), point, parts)?;
        }
        if target.has_data() {
            let catalog = Catalog::open(self.world.clone(), &table, catalog::Settings::default())?;
            let kept = if target == Target::Alone { Ok(()) } else { self.kinds(&catalog, keep) };
            let laid = kept.and_then(|()| self.data(target, settings, &catalog));
            ended(catalog.close())?;
            laid?;
        }
        if target.has_data() && !target.has_tags() {
            self.remove(&table.join("log"))?;
            self.remove(&table)?;
        }
        if target == Target::Alone {
            kernel::own(disk, self.dir).map_err(of_kernel)?;
        }
        Ok(())
    }

    fn kinds(&self, catalog: &Catalog, keep: KeepKinds<'_>) -> Result<(), Error> {
        let kind = |tag| catalog.kind(TagId(tag)).ok_or_else(|| self.damaged(format!("its tag table has no tag {tag}")));
        let kinds = (0..catalog.ordinals()).map(kind).collect::<Result<Vec<Kind>, Error>>()?;
        keep(self.dir, &kinds).map_err(Error::Store)
    }

    /// A directory of files.
    fn remove(&self, dir: &Path) -> Result<(), Error> {
        let disk = &self.world.disk;
        disk.list(dir)?.into_iter().try_for_each(|entry| disk.remove(&dir.join(entry.name)))?;
        disk.remove_dir(dir)?;
        Ok(())
    }

    pub(super) fn damaged(&self, what: String) -> Error {
        Error::Damaged { key: crate::head::key(&self.way.head.id), what }
    }

    /// The tag table's point after so many marks.
    fn table_point(&self, marks: usize) -> &TablePoint {
        self.way.marks[..marks].last().map_or(&self.fleet.point, |mark| &mark.point)
    }

    fn point(&self) -> Result<Point, Error> {
        let TablePoint { sequence, hash } = self.table_point(self.way.marks.len());
        let hash = u128::from_str_radix(hash, 16);
        let mut hash = hash.map_err(|fault| self.damaged(format!("the tag table's hash: {fault}")))?;
        if let Some(cut) = self.way.cut.filter(|_| self.is_blended()) {
            // A table of its own: schedulers that were restored to different moments must not believe that theirs is the same.
            hash = hash_bytes(cut, &hash.to_le_bytes());
        }
        Ok(Point { sequence: Sequence(*sequence), hash: ChainHash(hash) })
    }

    /// Files beside the slices and the tag table, as of the moment.
    fn beside(&self) -> Vec<&FileEntry> {
        let by_then = self.way.marks.len() - usize::from(self.way.cut.is_some());
        let marks = self.way.marks[..by_then].iter().rev().map(|mark| &mark.files);
        let files = marks.chain(std::iter::once(&self.way.head.files));
        let beside = |files: &'_ Vec<FileEntry>| files.iter().any(|file| !file.path.contains('/'));
        let files = files.into_iter().find(|files| beside(files));
        files.into_iter().flatten().filter(|file| !file.path.contains('/')).collect()
    }

    /// A part of the tag table, as of so many marks.
    fn part_entry(&self, number: u64, marks: usize) -> Option<&FileEntry> {
        let path = part_path(number);
        let of_marks = self.way.marks[..marks].iter().rev().find_map(|mark| mark.file(&path));
        of_marks.or_else(|| self.way.head.file(&path))
    }

    /// Whether the tag table is as of a moment between two of its points.
    fn is_blended(&self) -> bool {
        let marks = self.way.marks.len();
        self.way.cut.is_some() && marks > 0 && self.table_point(marks) != self.table_point(marks - 1)
    }

    /// The blocks of the tag table that changed between two points, as of the moment.
    fn blended(&self) -> Result<BTreeMap<u64, Part>, Error> {
        let (Some(cut), Some(last)) = (self.way.cut.filter(|_| self.is_blended()), self.way.marks.last()) else {
            return Ok(BTreeMap::new());
        };
        let number = |entry: &FileEntry| entry.path.strip_prefix("tags/")?.parse::<u64>().ok().filter(|number| *number > 0);
        let mut changed = Vec::new();
        for (number, entry) in last.files.iter().filter_map(|entry| Some((number(entry)?, entry))) {
            let before = self.part_entry(number, self.way.marks.len() - 1);
            let before = before.map(|entry| self.part(number, entry)).transpose()?;
            changed.push((before, self.part(number, entry)?));
        }
        let parts = catalog::as_of(&changed, i64::try_from(cut).unwrap_or(i64::MAX))?;
        Ok(parts.into_iter().map(|part| (part.number, part)).collect())
    }

    /// An object that is small enough to be held.
    pub(super) fn bytes(&self, entry: &FileEntry) -> Result<Vec<u8>, Error> {
        let damaged = |what: String| Error::Damaged { key: entry.key.clone(), what };
        let bytes = whole(self.place, &entry.key)?.ok_or_else(|| damaged("it is missing".to_owned()))?;
        if bytes.len() as u64 != entry.bytes || sha256(&bytes) != entry.sha256 {
            return Err(damaged("its digest is another one: it was changed".to_owned()));
        }
        self.meter.pass(bytes.len() as u64)?;
        Ok(bytes)
    }

    fn part(&self, number: u64, entry: &FileEntry) -> Result<Part, Error> {
        Ok(Part { number, body: self.bytes(entry)?.into() })
    }

    fn data(&self, target: Target, settings: Settings, catalog: &Arc<Catalog>) -> Result<(), Error> {
        let settings = Settings { rule: self.fleet.rule.into(), period_us: self.fleet.period_us, ..settings };
        let kernel = Kernel::open(self.world.clone(), self.dir, settings, Arc::<Catalog>::clone(catalog)).map_err(of_kernel)?;
        let laid = self.slices(target, &kernel);
        let flushed = laid.and_then(|()| ended(kernel.flush()));
        ended(kernel.close())?;
        flushed
    }

    /// The slices in which something was written by the moment.
    fn written(&self) -> Result<Vec<u32>, Error> {
        let mut written = Vec::new();
        for slice in 0..self.fleet.rule.buckets {
            if is_written(self.way, slice, |last| self.begins_in_time(last, slice))? {
                written.push(slice);
            }
        }
        Ok(written)
    }
}

impl From<catalog::Error> for Error {
    fn from(fault: catalog::Error) -> Error {
        Error::Store(format!("the tag table: {fault}"))
    }
}
