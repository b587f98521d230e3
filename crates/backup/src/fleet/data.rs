//! The slices of a store that is laid: each takes the files that its way begins with, and then the writes, mark by mark.
//!
//! ```text
//!   each slice   files of the backup, and the writes behind them; or files of the last mark that has some of it
//!   each mark    its nodes' writes, in order: what a slice has already is passed over, what is later than the moment is not taken
//! ```
//! A slice takes files as a copy takes its primary's, group by group (0010).
//! Promises: writes follow one another without a hole, or there is an error; a slice ends where the head, or the last mark, says.

use super::laying::{Laying, Target, ended, of_kernel};
use super::mark::{Mark, Step, records_path, version};
use super::{records, slice_path, slices};
use crate::Error;
use crate::copying::get;
use crate::head::{FileEntry, file_at};
use kernel::{Kernel, LedSlice, Piece, commit_of, offer_of};
use protocol::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use types::{Period, Sequence, SliceId, Version};

/// Records that are handed to the kernel at once, and bytes after which they are flushed.
const RECORDS_AT_ONCE: usize = 1_024;
const FLUSH_BYTES: u64 = 64 << 20;

/// A slice that is laid.
struct Laid {
    led: LedSlice,
    /// How many marks it is beyond.
    marks: usize,
    /// Whether it is as of the moment: what comes later is not taken.
    is_over: bool,
}

impl Laying<'_> {
    pub(super) fn slices(&self, target: Target, kernel: &Arc<Kernel>) -> Result<(), Error> {
        let mut laid = BTreeMap::new();
        for slice in (0..self.fleet.rule.buckets).filter(|slice| target.has(*slice)) {
            let one = self.base(kernel, slice)?;
            laid.insert(slice, one);
        }
        let mut unflushed = 0;
        for (number, mark) in self.way.marks.iter().enumerate() {
            let cut = self.way.cut.filter(|_| number + 1 == self.way.marks.len());
            let pieces: BTreeSet<(u64, u64)> = mark.steps.iter().map(|step| (step.node, step.piece)).collect();
            for piece in pieces {
                let steps = mark.steps.iter().filter(|step| (step.node, step.piece) == piece);
                let wanted: Vec<&Step> =
                    steps.filter(|step| laid.get(&step.slice).is_some_and(|one| one.marks <= number)).collect();
                if wanted.is_empty() {
                    continue;
                }
                let object = self.object(mark, wanted[0])?;
                for step in wanted {
                    let Some(one) = laid.get_mut(&step.slice) else { continue };
                    unflushed += self.follow(one, &self.step(mark, step, &object)?, cut)?;
                    one.marks = number + 1;
                    if unflushed > FLUSH_BYTES {
                        ended(kernel.flush())?;
                        unflushed = 0;
                    }
                }
            }
        }
        laid.iter().try_for_each(|(slice, one)| self.check_end(*slice, one))
    }

    /// A slice as the files have it that its way begins with: the last mark's that has some, else the backup's, with their writes.
    fn base(&self, kernel: &Arc<Kernel>, slice: u32) -> Result<Laid, Error> {
        let led = kernel.lead(SliceId(slice)).map_err(of_kernel)?;
        let has_files = |mark: &Mark| mark.step(slice).is_some_and(|step| step.after.is_none());
        let mut one = Laid { led, marks: 0, is_over: false };
        if let Some(number) = self.way.marks.iter().rposition(has_files) {
            // The writes behind them come with the other slices' of that mark.
            one.marks = number;
            self.files(&one.led, slice, &self.way.marks[number].files)?;
        } else if self.fleet.slices.iter().any(|one| one.slice == slice && one.sequence > 0) {
            self.files(&one.led, slice, &self.way.head.files)?;
            self.follow(&mut one, &self.head_records(slice)?, None)?;
        }
        Ok(one)
    }

    fn entry<'a>(&self, files: &'a [FileEntry], path: &str) -> Result<&'a FileEntry, Error> {
        file_at(files, path).ok_or_else(|| self.damaged(format!("there is no {path}")))
    }

    /// The slice takes its files.
    fn files(&self, led: &LedSlice, slice: u32, files: &[FileEntry]) -> Result<(), Error> {
        let entry = self.entry(files, &slice_path(slice, "manifest"))?;
        let bytes = self.bytes(entry)?;
        let read = storage::decode_manifest(&bytes, Path::new(&entry.key));
        let (manifest, _) = read.map_err(|fault| Error::Damaged { key: entry.key.clone(), what: fault.to_string() })?;
        if manifest.flushed.sequence == Sequence(0) {
            return Ok(());
        }
        ended(led.prepare(false))?;
        led.keep_piece(Piece::Manifest, 0, &bytes).map_err(of_kernel)?;
        for meta in &manifest.files {
            let entry = self.entry(files, &slices::series_path(manifest.slice.0, meta))?;
            let mut into = Piecewise { led, piece: Piece::File(meta.number), at: 0 };
            get(self.place, entry, &mut into, &self.meter)?;
        }
        let offer = offer_of(&manifest);
        let groups: Vec<Period> = offer.groups.iter().map(|(period, _)| *period).collect();
        ended(led.install(offer, groups)).map(drop)
    }

    /// The writes behind a backup's files.
    fn head_records(&self, slice: u32) -> Result<Vec<Record>, Error> {
        let Some(entry) = self.way.head.file(&slice_path(slice, "records")) else { return Ok(Vec::new()) };
        records::decode(&self.bytes(entry)?).map_err(|what| Error::Damaged { key: entry.key.clone(), what })
    }

    /// The object of a mark that has a step's writes.
    fn object(&self, mark: &Mark, step: &Step) -> Result<Vec<u8>, Error> {
        self.bytes(self.entry(&mark.files, &records_path(step.node, step.piece))?)
    }

    /// A slice's writes, of a node's object.
    fn step(&self, mark: &Mark, step: &Step, object: &[u8]) -> Result<Vec<Record>, Error> {
        let damaged = |what: String| match self.entry(&mark.files, &records_path(step.node, step.piece)) {
            Ok(entry) => Error::Damaged { key: entry.key.clone(), what },
            Err(fault) => fault,
        };
        let range = usize::try_from(step.offset).ok().zip(usize::try_from(step.bytes).ok());
        let bytes = range.and_then(|(from, bytes)| object.get(from..from.checked_add(bytes)?));
        let bytes = bytes.ok_or_else(|| damaged(format!("slice {} lies beyond its end", step.slice)))?;
        let records = records::decode(bytes).map_err(damaged)?;
        if records.len() as u64 != step.records {
            return Err(damaged(format!("it has {} writes of slice {}, not {}", records.len(), step.slice, step.records)));
        }
        Ok(records)
    }

    /// A slice takes writes, but for those that it has, and those that are later than the moment. How many bytes it took.
    fn follow(&self, one: &mut Laid, records: &[Record], cut: Option<u64>) -> Result<u64, Error> {
        let end = one.led.recovered().history.last();
        let known = records.iter().take_while(|record| record.version.sequence <= end.sequence).count();
        let is_late = |record: &Record| cut.is_some_and(|cut| commit_of(&record.body).is_none_or(|commit| commit.0 > cut));
        let in_time = records[known..].iter().take_while(|record| !is_late(record)).count();
        if one.is_over || in_time == 0 {
            return Ok(0);
        }
        let new = &records[known..known + in_time];
        if new[0].prev != end {
            let slice = one.led.id();
            return Err(
                self.damaged(format!("slice {slice} ends with write {end}, and what follows stands behind {}", new[0].prev))
            );
        }
        one.is_over = known + in_time < records.len();
        let mut bytes = 0;
        for some in new.chunks(RECORDS_AT_ONCE) {
            let last = some[some.len() - 1].version;
            bytes += some.iter().map(Record::bytes).sum::<u64>();
            ended(one.led.log(some.to_vec()))?;
            one.led.publish(last).and_then(|()| one.led.stable(last)).map_err(of_kernel)?;
        }
        Ok(bytes)
    }

    /// The slice is what the head, or the last mark, says.
    fn check_end(&self, slice: u32, one: &Laid) -> Result<(), Error> {
        let is = one.led.recovered().history.last();
        let head = self.fleet.slices.iter().find(|one| one.slice == slice).map(super::SliceHead::version);
        let after = |marks: &[Mark]| marks.last().map_or(head.unwrap_or_default(), |mark| mark.end(slice));
        let should: Version = after(&self.way.marks);
        // Where it ends within the last mark, no write is missing; and it has all up to that mark.
        let least = after(&self.way.marks[..self.way.marks.len() - usize::from(self.way.cut.is_some())]);
        let is_well =
            if self.way.cut.is_some() { least.sequence <= is.sequence && is.sequence <= should.sequence } else { is == should };
        if !is_well {
            return Err(self.damaged(format!("slice {slice} ends with write {is}, and should with {should}")));
        }
        Ok(())
    }

    /// Whether a slice's first write in a mark is not later than the moment.
    pub(super) fn begins_in_time(&self, mark: &Mark, slice: u32) -> Result<bool, Error> {
        let (Some(step), Some(cut)) = (mark.step(slice), self.way.cut) else { return Ok(false) };
        let records = self.step(mark, step, &self.object(mark, step)?)?;
        let begins = step.after.map(version).unwrap_or_default();
        let first = records.iter().find(|record| record.version.sequence > begins.sequence);
        Ok(first.and_then(|record| commit_of(&record.body)).is_some_and(|commit| commit.0 <= cut))
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
