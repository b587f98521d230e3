//! Walking over tags: which tag comes next, and which entries of which files hold its rows.
//!
//! Promises: tags come in rising order, each once; entries outside of the range of time are left
//! out (and counted). Files are left out by their ranges before they are opened for walking.

use super::ViewFile;
use crate::file::{Entries, Entry, SeriesFile};
use crate::{Error, ScanStatistics, TagSelection};
use rustc_hash::FxHashSet;
use std::sync::Arc;
use types::{TagId, TimeRange};

/// Rows of a tag that lie in a file, and which of them are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub entry: Entry,
    /// The file's place among the sources.
    pub source: u32,
    /// Where its wanted rows lie in time.
    pub range: TimeRange,
    /// Whether `range` leaves out none of the entry's rows.
    pub whole: bool,
}

struct Cursor {
    source: u32,
    entries: Option<Entries>,
    ahead: Option<Entry>,
    from: TagId,
}

/// A walk over the tags of some files and a buffer.
pub(crate) struct TagWalk {
    list: Option<Arc<[TagId]>>,
    /// Tags of the buffer, where all tags are wanted.
    buffered: Arc<[TagId]>,
    place: usize,
    tags: (TagId, TagId),
    range: TimeRange,
    text: Option<bool>,
    /// Whether entries are wanted with their statistics.
    summaries: bool,
    cursors: Vec<Cursor>,
    found: Vec<Entry>,
}

impl TagWalk {
    /// A walk over `selection` within `tags` (both ends included). `text` leaves out tags of the
    /// other sort; None wants both.
    pub fn new(
        files: &[Arc<ViewFile>],
        buffered: Arc<[TagId]>,
        selection: &TagSelection,
        tags: (TagId, TagId),
        range: TimeRange,
        text: Option<bool>,
        statistics: &mut ScanStatistics,
    ) -> Self {
        let list = match selection {
            TagSelection::All => None,
            TagSelection::List(list) => Some(Arc::clone(list)),
        };
        let place = list.as_ref().unwrap_or(&buffered).partition_point(|tag| *tag < tags.0);
        let (cursors, found) = <(Vec<Cursor>, Vec<Entry>)>::default();
        let mut walk = TagWalk { list, buffered, place, tags, range, text, summaries: false, cursors, found };
        let (mut groups, mut kept) = (FxHashSet::default(), FxHashSet::default());
        for (source, file) in files.iter().enumerate() {
            groups.insert(file.meta.place);
            if walk.may_hold(file) {
                kept.insert(file.meta.place);
                walk.cursors.push(Cursor { source: source as u32, entries: None, ahead: None, from: tags.0 });
            }
        }
        statistics.file_groups += groups.len() as u64;
        statistics.file_groups_pruned += (groups.len() - kept.len()) as u64;
        statistics.files += walk.cursors.len() as u64;
        statistics.files_pruned += (files.len() - walk.cursors.len()) as u64;
        walk
    }

    /// The same walk, whose entries have their statistics; otherwise those of a list may lack them.
    pub fn with_summaries(self) -> Self {
        TagWalk { summaries: true, ..self }
    }

    /// Leaves out entries beyond this range from now on.
    pub fn narrow(&mut self, range: TimeRange) {
        self.range = self.range.intersect(&range);
    }

    fn may_hold(&self, file: &ViewFile) -> bool {
        let (low, high) = (file.meta.tag_range.0.max(self.tags.0), file.meta.tag_range.1.min(self.tags.1));
        if file.meta.rows == 0 || low > high || !file.meta.range.overlaps(&self.range) {
            return false;
        }
        match &self.list {
            None => true,
            Some(list) => list.get(list.partition_point(|tag| *tag < low)).is_some_and(|tag| *tag <= high),
        }
    }

    /// The next tag, its entries written to `items` (emptied first). With a list, tags come whether
    /// they have rows or not.
    pub fn next(
        &mut self,
        files: &[Arc<ViewFile>],
        statistics: &mut ScanStatistics,
        items: &mut Vec<Item>,
    ) -> Result<Option<TagId>, Error> {
        items.clear();
        let known = self.list.as_ref().unwrap_or(&self.buffered).get(self.place).copied();
        let mut tag = known;
        if self.list.is_none() {
            for cursor in &mut self.cursors {
                let from = cursor.from;
                let ahead = cursor.peek(files, from, self.text)?;
                tag = [tag, ahead].into_iter().flatten().min();
            }
        }
        let Some(tag) = tag.filter(|tag| *tag <= self.tags.1) else { return Ok(None) };
        if known == Some(tag) {
            self.place += 1;
        }
        for cursor in &mut self.cursors {
            let held = files[cursor.source as usize].meta.tag_range;
            if tag < held.0 || tag > held.1 {
                continue;
            }
            if self.list.is_some() {
                let file = &files[cursor.source as usize].file;
                cursor.entries(file, tag)?.of(tag, self.summaries, &mut self.found)?;
            } else {
                while cursor.peek(files, tag, self.text)? == Some(tag) {
                    self.found.extend(cursor.ahead.take());
                }
            }
            for entry in self.found.drain(..) {
                if self.text.is_some_and(|text| text != entry.kind.is_text()) {
                    continue;
                }
                statistics.chunks += 1;
                let range = entry.range().intersect(&self.range);
                if range.is_empty() {
                    statistics.chunks_pruned += 1;
                } else {
                    items.push(Item { whole: range == entry.range(), source: cursor.source, range, entry });
                }
            }
        }
        Ok(Some(tag))
    }
}

impl Cursor {
    /// The file's entries, from `tag` on where they were not asked for before.
    fn entries(&mut self, file: &Arc<SeriesFile>, tag: TagId) -> Result<&mut Entries, Error> {
        match &mut self.entries {
            Some(entries) => Ok(entries),
            none => Ok(none.insert(file.entries(tag)?)),
        }
    }

    /// The tag of the first entry of `tag` or higher that has not been taken.
    fn peek(&mut self, files: &[Arc<ViewFile>], tag: TagId, text: Option<bool>) -> Result<Option<TagId>, Error> {
        loop {
            if let Some(ahead) = &self.ahead
                && ahead.tag >= tag
            {
                return Ok(Some(ahead.tag));
            }
            let (from, file) = (self.from, &files[self.source as usize].file);
            let entries = self.entries(file, tag)?;
            if tag > from {
                entries.seek(tag);
            }
            self.ahead = entries.next()?;
            self.from = self.from.max(tag);
            match &self.ahead {
                None => return Ok(None),
                Some(ahead) if text.is_some_and(|text| text != ahead.kind.is_text()) => self.ahead = None,
                Some(_) => {}
            }
        }
    }
}
