//! Files being written side by side, one a place, removed again where the work fails.

use super::{FlushPlan, ViewFile};
use crate::Error;
use crate::file::{FileOrigin, SeriesFile, SeriesFileWriter, SeriesRows};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use storage::{FileNumber, FilePlace, file_path};
use types::{Kind, Period, TagId, Timestamp, Version};

/// Files that are being written, and those that are done.
pub(super) struct Outputs<'a> {
    plan: &'a FlushPlan<'a>,
    versions: (Version, Version),
    level: u32,
    writers: BTreeMap<FilePlace, Output>,
    /// Every path that was begun.
    begun: Vec<PathBuf>,
    done: Vec<Arc<ViewFile>>,
}

/// A file that is being written.
struct Output {
    number: FileNumber,
    writer: SeriesFileWriter,
    /// The periods that it has rows of.
    periods: BTreeSet<Period>,
}

impl Output {
    /// Notes the periods of rows in order of time.
    fn note(&mut self, times: &[Timestamp], period_us: i64) {
        let mut from = 0;
        while from < times.len() {
            let period = Period::of(times[from], period_us);
            self.periods.insert(period);
            let last = period.range(period_us).last;
            from += times[from..].partition_point(|time| *time <= last);
        }
    }
}

/// Periods as ranges of neighbours.
fn ranges(periods: &BTreeSet<Period>) -> Vec<(Period, Period)> {
    let mut ranges: Vec<(Period, Period)> = Vec::new();
    for period in periods {
        match ranges.last_mut() {
            Some((_, last)) if last.0.checked_add(1) == Some(period.0) => *last = *period,
            _ => ranges.push((*period, *period)),
        }
    }
    ranges
}

impl<'a> Outputs<'a> {
    pub fn new(plan: &'a FlushPlan<'a>, versions: (Version, Version), level: u32) -> Self {
        Outputs { plan, versions, level, writers: BTreeMap::new(), begun: Vec::new(), done: Vec::new() }
    }

    /// Appends rows of a tag to the file of a place; `whole` where they are all that it gets.
    pub fn append(&mut self, place: FilePlace, tag: TagId, kind: Kind, rows: SeriesRows<'_>, whole: bool) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        if !self.writers.contains_key(&place) {
            let number = self.plan.directory.next_number();
            let path = self.plan.directory.prepare(&file_path(place, number)).map_err(crate::file::Error::from)?;
            self.begun.push(path.clone());
            let origin = FileOrigin {
                store: self.plan.store,
                slice: self.plan.directory.slice(),
                number,
                versions: self.versions,
                level: self.level,
            };
            let writer = SeriesFileWriter::create(self.plan.disk, &path, origin)?;
            self.writers.insert(place, Output { number, writer, periods: BTreeSet::new() });
        }
        let output = self.writers.get_mut(&place).expect("it was put there just now, if it was not there");
        output.note(rows.times, self.plan.period_us);
        if whole {
            return Ok(output.writer.append_whole(tag, kind, rows)?);
        }
        Ok(output.writer.append(tag, kind, rows)?)
    }

    /// Ends the files that are open.
    pub fn finish_open(&mut self) -> Result<(), Error> {
        for (place, Output { number, writer, periods }) in std::mem::take(&mut self.writers) {
            let path = writer.path().to_path_buf();
            let meta = writer.finish()?.meta(number, place, ranges(&periods));
            let file = SeriesFile::open(&**self.plan.disk, &path, Arc::clone(&self.plan.cache))?;
            self.done.push(Arc::new(ViewFile::new(meta, file)));
        }
        Ok(())
    }

    /// What was written; or, where the work failed, its failure, and nothing stays.
    pub fn end(mut self, worked: Result<(), Error>) -> Result<Vec<Arc<ViewFile>>, Error> {
        let worked = worked.and_then(|()| self.finish_open());
        let Err(fault) = worked else { return Ok(self.done) };
        self.writers.clear();
        for path in &self.begun {
            // What can't be removed is nobody's, and goes when the slice is opened again.
            let _ = self.plan.disk.remove(path);
        }
        Err(fault)
    }
}
