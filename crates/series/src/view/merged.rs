//! Many files read as one: tag by tag, each tag's rows in order of time, a window at a time.
//!
//! What merging stands on. Memory is bounded by the entries that overlap at one moment of one tag.

use super::{Sources, Step, TagWalk, TagWindows, ViewFile, Wanted, walk::Item};
use crate::tombstone::Hidden;
use crate::{Direction, Error, Projection, ScanStatistics, SeriesColumns, TagSelection, Tombstone};
use std::sync::Arc;
use types::{Kind, TagId, TimeRange};

/// Files in order of version, read as one, less what tombstones hide.
pub(crate) struct Merged<'a> {
    files: &'a [Arc<ViewFile>],
    tombstones: &'a [Tombstone],
    walk: TagWalk,
    windows: TagWindows,
    items: Vec<Item>,
    hidden: Vec<Vec<Hidden<'a>>>,
    text: bool,
    statistics: ScanStatistics,
}

impl<'a> Merged<'a> {
    /// These files' rows in a range of time.
    pub fn new(files: &'a [Arc<ViewFile>], tombstones: &'a [Tombstone], range: TimeRange) -> Self {
        let mut statistics = ScanStatistics::default();
        let tags = (TagId(0), TagId(u64::MAX));
        let walk = TagWalk::new(files, [].into(), &TagSelection::All, tags, range, None, &mut statistics);
        let (windows, items, hidden) = Default::default();
        Merged { files, tombstones, walk, windows, items, hidden, text: false, statistics }
    }

    /// Goes on to the next tag; None at the end. A tag may turn out to have no rows.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn next_tag(&mut self) -> Result<Option<(TagId, Kind)>, Error> {
        loop {
            let Some(tag) = self.walk.next(self.files, &mut self.statistics, &mut self.items)? else { return Ok(None) };
            // All of its entries lie outside of the range.
            let Some(kind) = self.items.first().map(|item| item.entry.kind) else { continue };
            self.text = kind.is_text();
            self.hidden.clear();
            if !self.tombstones.is_empty() {
                let of_file = |file: &Arc<ViewFile>| {
                    let later = self.tombstones.iter().filter(|tombstone| tombstone.version() > file.meta.versions.1);
                    later.filter_map(|tombstone| tombstone.of_tag(tag)).collect()
                };
                self.hidden = self.files.iter().map(of_file).collect();
            }
            let wanted = self.wanted();
            self.windows.begin(&mut self.items, None, &wanted);
            return Ok(Some((tag, kind)));
        }
    }

    /// Adds the next rows of the tag at hand to `out`; false where it has no more.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn next_rows(&mut self, out: &mut SeriesColumns) -> Result<bool, Error> {
        let sources = Sources { files: self.files, hidden: &self.hidden };
        let wanted = self.wanted();
        let step = self.windows.next(&sources, &wanted, &|_| false, &mut self.statistics, out)?;
        Ok(matches!(step, Step::Rows))
    }

    fn wanted(&self) -> Wanted {
        Wanted { text: self.text, projection: Projection::ALL, direction: Direction::Ascending, rows_max: None }
    }
}
