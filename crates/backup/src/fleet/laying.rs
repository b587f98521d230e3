//! Stores laid of a fleet's backup: one that goes on alone, with everything; or what a process of a new fleet begins with.
//!
//! ```text
//!   the tag table, of its parts ──> kinds ──> an empty kernel: each slice takes its files as a copy takes its primary's, group by
//!   group, then the writes behind them ──> flushed, closed ──> alone: its own from now on; a fleet's: led, and marked
//! ```
//! The store is a new one: nothing in it is named as in the fleet that was, so both may live on side by side.
//! Promises: everything is compared with its digest as it passes; a directory in which laying was cut short says so (`marks`).
//! Waits for the kernel: call it where that may be. May not know how a fleet begins with what was laid.

use super::{FleetHead, Restored, SliceHead, marks, part_path, records, slice_path};
use crate::copying::{Meter, get, lay_file};
use crate::head::{FileEntry, Head};
use crate::place::{Place, sha256, whole};
use crate::{Error, Report};
use catalog::Catalog;
use kernel::{Kernel, LedSlice, Piece, Settings, offer_of};
use protocol::tags::{ChainHash, Part, Point};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use types::{Kind, Kinds, Period, Sequence, TagId};
use world::{Ticket, World};

/// Records that are handed to the kernel at once, and bytes after which they are flushed.
const RECORDS_AT_ONCE: usize = 1_024;
const FLUSH_BYTES: u64 = 64 << 20;

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

    fn has(self, slice: u32) -> bool {
        match self {
            Target::Alone => true,
            Target::Fleet(Roles { data: Some((nth, of)), .. }) => slice % of.max(1) == nth,
            Target::Fleet(_) => false,
        }
    }
}

/// Who keeps kinds in a data node's directory, which is empty yet.
pub type KeepKinds<'a> = &'a dyn Fn(&Path, &[Kind]) -> Result<(), String>;

/// Lays a store of a fleet's backup in a new or empty directory. `settings` are the kernel's, but for rule and period; a data node's
/// store begins once its kinds are kept: those of all tags, by ordinal.
///
/// # Errors
/// `Error::NotEmpty`, `Error::Damaged`, `Error::Place`, `Error::Disk`, `Error::Cancelled`, `Error::Store`: remove what is there then.
pub fn lay_fleet(
    place: &dyn Place,
    head: &Head,
    (world, dir): (&World, &Path),
    (target, settings, keep): (Target, Settings, KeepKinds<'_>),
    report: Report<'_>,
) -> Result<(), Error> {
    let disk = &world.disk;
    let Some(fleet) = &head.fleet else { return Err(Error::Store(format!("backup {} is of a store that is alone", head.id))) };
    disk.make_dir(dir)?;
    if disk.list(dir)?.iter().any(|entry| entry.name != "lost+found") {
        return Err(Error::NotEmpty(dir.display().to_string()));
    }
    marks::begin(&**disk, dir)?;
    let laying = Laying { place, head, fleet, meter: Meter::new(head.bytes, report), world, dir };
    laying.all(target, settings, keep)?;
    if let Target::Fleet(_) = target {
        let written = fleet.slices.iter().filter(|slice| slice.sequence > 0).map(|slice| slice.slice).collect();
        marks::write(&**disk, dir, &Restored::new(head.id.clone(), fleet.rule, fleet.period_us, written))?;
    }
    marks::end(&**disk, dir)?;
    Ok(())
}

/// The end of something that the kernel or the tag table does.
fn ended<T: Send + 'static, E: std::fmt::Display + Send + 'static>(ticket: Ticket<Result<T, E>>) -> Result<T, Error> {
    let done = ticket.wait().map_err(|gone| Error::Store(gone.to_string()))?;
    done.map_err(|fault| Error::Store(fault.to_string()))
}

fn of_kernel(fault: kernel::Error) -> Error {
    Error::Store(fault.to_string())
}

struct Laying<'a> {
    place: &'a dyn Place,
    head: &'a Head,
    fleet: &'a FleetHead,
    meter: Meter<'a>,
    world: &'a World,
    dir: &'a Path,
}

impl Laying<'_> {
    fn all(&self, target: Target, settings: Settings, keep: KeepKinds<'_>) -> Result<(), Error> {
        let disk = &self.world.disk;
        let beside = self.head.files.iter().filter(|file| !file.path.contains('/'));
        for file in beside.filter(|_| target.has_tags()) {
            lay_file(self.place, file, &**disk, self.dir, &self.meter)?;
        }
        let point = matches!(target, Target::Fleet(_)).then(|| self.point()).transpose()?;
        // Of a data node only the kinds of tags are needed, and those while its slices are laid.
        let table = self.dir.join(if target.has_tags() { "catalog" } else { "restoring-tags" });
        if target.has_tags() || target.has_data() {
            let parts = (0..).map_while(|number| self.head.file(&part_path(number)).map(|entry| self.part(number, entry)));
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

    fn damaged(&self, what: String) -> Error {
        Error::Damaged { key: crate::head::key(&self.head.id), what }
    }

    fn point(&self) -> Result<Point, Error> {
        let hash = u128::from_str_radix(&self.fleet.point.hash, 16);
        let hash = hash.map_err(|fault| self.damaged(format!("the tag table's hash: {fault}")))?;
        Ok(Point { sequence: Sequence(self.fleet.point.sequence), hash: ChainHash(hash) })
    }

    /// An object that is small enough to be held.
    fn bytes(&self, entry: &FileEntry) -> Result<Vec<u8>, Error> {
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
        let mut slices = self.fleet.slices.iter().filter(|slice| target.has(slice.slice) && slice.sequence > 0);
        let laid = slices.try_for_each(|slice| self.slice(&kernel, slice));
        let flushed = laid.and_then(|()| ended(kernel.flush()));
        ended(kernel.close())?;
        flushed
    }

    fn slice(&self, kernel: &Arc<Kernel>, slice: &SliceHead) -> Result<(), Error> {
        let led = kernel.lead(types::SliceId(slice.slice)).map_err(of_kernel)?;
        let path = slice_path(slice.slice, "manifest");
        let entry = self.head.file(&path).ok_or_else(|| self.damaged(format!("it names no {path}")))?;
        let bytes = self.bytes(entry)?;
        let read = storage::decode_manifest(&bytes, Path::new(&entry.key));
        let (manifest, _) = read.map_err(|fault| Error::Damaged { key: entry.key.clone(), what: fault.to_string() })?;
        if manifest.flushed.sequence > Sequence(0) {
            self.files(&led, &manifest, &bytes)?;
        }
        self.records(&led, slice)
    }

    /// The slice takes its files.
    fn files(&self, led: &LedSlice, manifest: &storage::Manifest, encoded: &[u8]) -> Result<(), Error> {
        ended(led.prepare(false))?;
        led.keep_piece(Piece::Manifest, 0, encoded).map_err(of_kernel)?;
        for meta in &manifest.files {
            let path = super::slices::series_path(manifest.slice.0, meta);
            let entry = self.head.file(&path).ok_or_else(|| self.damaged(format!("it names no {path}")))?;
            let mut into = Piecewise { led, piece: Piece::File(meta.number), at: 0 };
            get(self.place, entry, &mut into, &self.meter)?;
        }
        let offer = offer_of(manifest);
        let groups: Vec<Period> = offer.groups.iter().map(|(period, _)| *period).collect();
        ended(led.install(offer, groups)).map(drop)
    }

    /// The writes behind its files, up to the moment.
    fn records(&self, led: &LedSlice, slice: &SliceHead) -> Result<(), Error> {
        let Some(entry) = self.head.file(&slice_path(slice.slice, "records")) else { return self.check_end(led, slice) };
        let damaged = |what: String| Error::Damaged { key: entry.key.clone(), what };
        let records = records::decode(&self.bytes(entry)?).map_err(damaged)?;
        let mut unflushed = 0;
        for some in records.chunks(RECORDS_AT_ONCE) {
            let Some(last) = some.last().map(|record| record.version) else { break };
            unflushed += some.iter().map(protocol::Record::bytes).sum::<u64>();
            ended(led.log(some.to_vec()))?;
            led.publish(last).and_then(|()| led.stable(last)).map_err(of_kernel)?;
            if unflushed > FLUSH_BYTES {
                ended(led.flush())?;
                unflushed = 0;
            }
        }
        self.check_end(led, slice)
    }

    /// The slice is what the head says.
    fn check_end(&self, led: &LedSlice, slice: &SliceHead) -> Result<(), Error> {
        let (is, should) = (led.recovered().history.last(), slice.version());
        if is != should {
            return Err(self.damaged(format!("slice {} ends with write {is}, and should with {should}", slice.slice)));
        }
        Ok(())
    }
}

/// Keeps a piece as it comes.
struct Piecewise<'a> {
    led: &'a LedSlice,
    piece: Piece,
    at: u64,
}

impl Write for Piecewise<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.led.keep_piece(self.piece, self.at, bytes).map_err(|fault| std::io::Error::other(fault.to_string()))?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl From<catalog::Error> for Error {
    fn from(fault: catalog::Error) -> Error {
        Error::Store(format!("the tag table: {fault}"))
    }
}
