//! Point reads: the newest sample of a tag at or before a time.
//!
//! Files are asked in the order of their ends, newest first, so that one file answers as a rule;
//! a file is left out by its range of tags and time before its index is looked at.

use super::SliceView;
use crate::file::Entry;
use crate::tombstone::Hidden;
use crate::{Datum, Error, Reading, ReadingColumns};
use types::{TagId, Timestamp};

impl SliceView {
    /// The newest sample of a tag at or before a time; `text` says whether the tag holds text.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn newest_until(&self, tag: TagId, time: Timestamp, text: bool) -> Result<Option<Reading>, Error> {
        self.newest_with(tag, time, text, &mut Vec::new())
    }

    /// For each (row, tag, time): writes the newest sample at or before that time into the row of
    /// `out`, whose columns are long enough and say "not found" there. Asked in order of tag, index
    /// blocks are decoded once.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn newest_until_many(&self, questions: &[(u32, TagId, Timestamp)], out: &mut ReadingColumns) -> Result<(), Error> {
        let mut order: Vec<u32> = (0..questions.len() as u32).collect();
        order.sort_unstable_by_key(|place| (questions[*place as usize].1, questions[*place as usize].2));
        let mut entries = Vec::new();
        let (mut last_tag, mut text) = (None, false);
        for place in order {
            let (row, tag, time) = questions[place as usize];
            if last_tag != Some(tag) {
                (last_tag, text) = (Some(tag), self.kind(tag).is_text());
            }
            let Some(reading) = self.newest_with(tag, time, text, &mut entries)? else { continue };
            let at = row as usize;
            out.found[at] = true;
            out.times[at] = reading.time;
            out.qualities[at] = reading.quality.0;
            match reading.value {
                Datum::Bits(bits) => out.bits[at] = bits,
                Datum::Text(text) => out.texts.push((row, text)),
            }
        }
        Ok(())
    }

    fn newest_with(&self, tag: TagId, time: Timestamp, text: bool, entries: &mut Vec<Entry>) -> Result<Option<Reading>, Error> {
        let mut best = self.buffer.newest_until(tag, time, text);
        let mut rank = u32::MAX;
        for place in &self.files.by_end {
            let file = &self.files.files[*place as usize];
            let range = file.meta.range;
            if best.as_ref().is_some_and(|best| range.last < best.time) {
                // Those that follow end earlier still.
                break;
            }
            if range.first > time || tag < file.meta.tag_range.0 || tag > file.meta.tag_range.1 {
                continue;
            }
            let beats = |found: Timestamp| match &best {
                None => true,
                Some(best) => found > best.time || (found == best.time && *place > rank && rank != u32::MAX),
            };
            if !beats(range.last.min(time)) {
                continue;
            }
            entries.clear();
            file.file.find(tag, entries)?;
            if let Some(found) = self.newest_in(*place, tag, time, text, entries)?
                && beats(found.time)
            {
                (best, rank) = (Some(found), *place);
            }
        }
        Ok(best)
    }

    /// The newest sample of these entries of a file that no tombstone hides.
    fn newest_in(
        &self,
        place: u32,
        tag: TagId,
        mut time: Timestamp,
        text: bool,
        entries: &[Entry],
    ) -> Result<Option<Reading>, Error> {
        let file = &self.files.files[place as usize];
        let hidden: Vec<Hidden<'_>> = self.hidden(place, tag);
        for entry in entries.iter().rev().filter(|entry| entry.kind.is_text() == text) {
            while entry.first_time <= time {
                let Some(found) = file.file.newest_until(entry, time)? else { break };
                let before = match hidden.iter().find(|part| part.contains(found.time)) {
                    None => return Ok(Some(found)),
                    Some(Hidden::Range(range)) => range.first,
                    Some(Hidden::Points(_)) => found.time,
                };
                let Some(earlier) = before.0.checked_sub(1) else { return Ok(None) };
                time = Timestamp(earlier);
            }
        }
        Ok(None)
    }

    /// What later tombstones hide of a tag in a file.
    pub(super) fn hidden(&self, place: u32, tag: TagId) -> Vec<Hidden<'_>> {
        let version = self.files.files[place as usize].meta.versions.1;
        let all = self.files.tombstones.iter().chain(self.buffer.tombstones());
        all.filter(|tombstone| tombstone.version() > version).filter_map(|tombstone| tombstone.of_tag(tag)).collect()
    }
}
