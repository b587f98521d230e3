//! The rows of one tag from many sources, in order of time, a window at a time.
//!
//! A window is a stretch of time in which nothing is left to be loaded. Entries are loaded in order
//! of their beginning; rows before the beginning of the next entry are complete and go out. An
//! entry that nothing overlaps goes out as it is, and may be answered from its statistics. For
//! descending order everything is mirrored. Memory: the entries that overlap at one moment.

use super::ViewFile;
use super::walk::Item;
use crate::file::Entry;
use crate::rows::{Order, extend_qualities, remove_hidden};
use crate::tombstone::Hidden;
use crate::{Direction, Error, Projection, ScanStatistics, SeriesColumns};
use std::sync::Arc;
use types::{TimeRange, Timestamp};

/// Where rows come from, and what is hidden in each source; sources are in order of version.
pub(crate) struct Sources<'a> {
    pub files: &'a [Arc<ViewFile>],
    /// What later tombstones hide of the tag at hand, by source; empty where there are none.
    pub hidden: &'a [Vec<Hidden<'a>>],
}

/// What is wanted of a tag's rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub text: bool,
    pub projection: Projection,
    pub direction: Direction,
    /// How many more rows may be of use, if that is bounded.
    pub rows_max: Option<u64>,
}

/// What a step gave.
pub(crate) enum Step {
    /// Rows were added.
    Rows,
    /// A whole entry that stands alone; its rows were not read.
    Alone(Box<Entry>),
    /// Nothing is left.
    Done,
}

/// Rows in memory; `at..end` have not gone out.
struct Loaded {
    source: u32,
    rows: SeriesColumns,
    at: usize,
    end: usize,
}

/// The rows of one tag that have not gone out yet. Used again for the next tag.
#[derive(Default)]
pub(crate) struct TagWindows {
    /// The next to be loaded last.
    items: Vec<Item>,
    /// In order of version.
    loaded: Vec<Loaded>,
    spare: Vec<SeriesColumns>,
    window: SeriesColumns,
    order: Order,
}

/// Rows of a buffer are newer than those of every file.
const BUFFER: u32 = u32::MAX;
/// Rows of an entry that are read anyway; smaller reads are not worth a cut.
const ROWS_WORTH_A_CUT: u64 = 1_024;

impl TagWindows {
    /// Begins a tag: its entries (emptied), and its rows in the buffer.
    pub fn begin(&mut self, items: &mut Vec<Item>, buffered: Option<SeriesColumns>, wanted: &Wanted) {
        self.items.clear();
        self.items.append(items);
        match wanted.direction {
            Direction::Ascending => self.items.sort_by_key(|item| std::cmp::Reverse(item.range.first)),
            Direction::Descending => self.items.sort_by_key(|item| item.range.last),
        }
        self.spare.extend(self.loaded.drain(..).map(|loaded| loaded.rows));
        if let Some(mut rows) = buffered
            && !rows.is_empty()
        {
            if !wanted.projection.qualities {
                rows.qualities = None;
            }
            self.load(BUFFER, rows, wanted.text);
        }
    }

    /// Room for a tag's rows in the buffer.
    pub fn room(&mut self) -> SeriesColumns {
        let mut rows = self.spare.pop().unwrap_or_default();
        rows.clear();
        rows
    }

    fn load(&mut self, source: u32, mut rows: SeriesColumns, text: bool) {
        if text {
            // Texts stay where they are; their row numbers travel.
            rows.bits.clear();
            rows.bits.extend(0..rows.len() as u64);
        }
        let end = rows.len();
        let place = self.loaded.partition_point(|loaded| loaded.source <= source);
        self.loaded.insert(place, Loaded { source, rows, at: 0, end });
    }

    /// Adds the next rows to `out`, or hands out an entry that stands alone, where `statistics_do`
    /// says that its statistics will do.
    pub fn next(
        &mut self,
        sources: &Sources<'_>,
        wanted: &Wanted,
        statistics_do: &dyn Fn(&Entry) -> bool,
        statistics: &mut ScanStatistics,
        out: &mut SeriesColumns,
    ) -> Result<Step, Error> {
        loop {
            let edge = self.items.last().map(|item| near(&item.range, wanted.direction));
            if self.emit(edge, wanted, out) {
                return Ok(Step::Rows);
            }
            let Some(mut item) = self.items.pop() else { return Ok(Step::Done) };
            let hidden = sources.hidden.get(item.source as usize).map_or(&[][..], Vec::as_slice);
            // What is hidden as a whole (by retention, as a rule) is not read.
            if hidden.iter().any(|part| part.covers(&item.range)) {
                continue;
            }
            let is_hidden = hidden.iter().any(|part| part.touches(&item.range));
            if self.stands_alone(&item, wanted.direction) && !(is_hidden && wanted.text) {
                if item.whole && !is_hidden && statistics_do(&item.entry) {
                    statistics.chunks_from_statistics += 1;
                    return Ok(Step::Alone(Box::new(item.entry)));
                }
                self.cut(&mut item, wanted);
                let from = out.len();
                self.read_alone(sources, &item, wanted, statistics, out)?;
                if is_hidden {
                    remove_hidden(out, from, hidden);
                }
                if out.len() > from {
                    return Ok(Step::Rows);
                }
                continue;
            }
            let mut rows = self.room();
            read(sources, &item, wanted.projection, statistics, &mut rows)?;
            self.load(item.source, rows, wanted.text);
            if is_hidden && let Some(loaded) = self.loaded.iter_mut().rfind(|loaded| loaded.source == item.source) {
                remove_hidden(&mut loaded.rows, 0, hidden);
                loaded.end = loaded.rows.len();
            }
        }
    }

    /// Whether no other row lies between this item's first and last. Items that follow begin
    /// beyond the next one's beginning.
    fn stands_alone(&self, item: &Item, direction: Direction) -> bool {
        let far = match direction {
            Direction::Ascending => self.items.last().is_none_or(|next| next.range.first > item.range.last),
            Direction::Descending => self.items.last().is_none_or(|next| next.range.last < item.range.first),
        };
        far && self.loaded.iter().all(|loaded| {
            let times = &loaded.rows.times[loaded.at..loaded.end];
            let from = times.partition_point(|time| *time < item.range.first);
            times.get(from).is_none_or(|time| *time > item.range.last)
        })
    }

    /// Where only few rows are wanted of a long entry, leaves most of it for later.
    fn cut(&mut self, item: &mut Item, wanted: &Wanted) {
        let rows = u64::from(item.entry.rows);
        let Some(most) = wanted.rows_max.filter(|most| item.whole && *most < rows / 4 && rows > ROWS_WORTH_A_CUT) else { return };
        let (first, last) = (i128::from(item.range.first.0), i128::from(item.range.last.0));
        // Rows are spread evenly as a rule; where not, the rest follows.
        let span = (last - first) * i128::from(most + most / 4 + 1) / i128::from(rows);
        let mut rest = item.clone();
        (rest.whole, item.whole) = (false, false);
        match wanted.direction {
            Direction::Ascending => {
                item.range.last = Timestamp((first + span) as i64);
                rest.range.first = Timestamp((first + span) as i64 + 1);
            }
            Direction::Descending => {
                item.range.first = Timestamp((last - span) as i64);
                rest.range.last = Timestamp((last - span) as i64 - 1);
            }
        }
        self.items.push(rest);
    }

    fn read_alone(
        &mut self,
        sources: &Sources<'_>,
        item: &Item,
        wanted: &Wanted,
        statistics: &mut ScanStatistics,
        out: &mut SeriesColumns,
    ) -> Result<(), Error> {
        if wanted.direction == Direction::Ascending {
            return read(sources, item, wanted.projection, statistics, out);
        }
        let mut rows = self.room();
        read(sources, item, wanted.projection, statistics, &mut rows)?;
        append(out, &rows, 0..rows.len(), wanted);
        self.spare.push(rows);
        Ok(())
    }

    /// Adds the loaded rows this side of the edge to `out`; whether there were any.
    fn emit(&mut self, edge: Option<Timestamp>, wanted: &Wanted, out: &mut SeriesColumns) -> bool {
        let direction = wanted.direction;
        let ready = |loaded: &Loaded| {
            let times = &loaded.rows.times[loaded.at..loaded.end];
            match (edge, direction) {
                (None, _) => loaded.at..loaded.end,
                (Some(edge), Direction::Ascending) => loaded.at..loaded.at + times.partition_point(|time| *time < edge),
                (Some(edge), Direction::Descending) => loaded.at + times.partition_point(|time| *time <= edge)..loaded.end,
            }
        };
        let mut parts =
            self.loaded.iter().enumerate().map(|(place, loaded)| (place, ready(loaded))).filter(|(_, rows)| !rows.is_empty());
        let Some((first, rows)) = parts.next() else {
            self.drop_empty();
            return false;
        };
        if parts.next().is_none() {
            append(out, &self.loaded[first].rows, rows.clone(), wanted);
            self.loaded[first].advance(&rows, direction);
        } else {
            self.window.clear();
            for (place, loaded) in self.loaded.iter_mut().enumerate() {
                let rows = ready(loaded);
                self.window.times.extend_from_slice(&loaded.rows.times[rows.clone()]);
                if wanted.text {
                    self.window.bits.extend(loaded.rows.bits[rows.clone()].iter().map(|row| (place as u64) << 32 | row));
                } else if wanted.projection.values {
                    self.window.bits.extend_from_slice(&loaded.rows.bits[rows.clone()]);
                }
                extend_qualities(&mut self.window, loaded.rows.qualities.as_ref().map(|column| &column[rows.clone()]));
                loaded.advance(&rows, direction);
            }
            self.order.settle(&mut self.window, 0);
            if wanted.text && wanted.projection.values {
                for place in &self.window.bits {
                    let rows = &self.loaded[(place >> 32) as usize].rows;
                    self.window.texts.push(rows.texts.get((place & 0xFFFF_FFFF) as usize));
                }
            }
            if wanted.text {
                self.window.bits.clear();
                self.window.bits.extend(0..self.window.times.len() as u64);
            }
            append(out, &self.window, 0..self.window.times.len(), wanted);
        }
        self.drop_empty();
        true
    }

    fn drop_empty(&mut self) {
        while let Some(place) = self.loaded.iter().position(|loaded| loaded.at == loaded.end) {
            self.spare.push(self.loaded.remove(place).rows);
        }
    }
}

impl Loaded {
    fn advance(&mut self, rows: &std::ops::Range<usize>, direction: Direction) {
        match direction {
            Direction::Ascending => self.at = rows.end,
            Direction::Descending => self.end = rows.start,
        }
    }
}

/// The end of a range that comes first.
fn near(range: &TimeRange, direction: Direction) -> Timestamp {
    match direction {
        Direction::Ascending => range.first,
        Direction::Descending => range.last,
    }
}

fn read(
    sources: &Sources<'_>,
    item: &Item,
    projection: Projection,
    statistics: &mut ScanStatistics,
    out: &mut SeriesColumns,
) -> Result<(), Error> {
    let cost = sources.files[item.source as usize].file.read(&item.entry, item.range, projection, out)?;
    statistics.bytes_read += cost.bytes;
    statistics.rows_decoded += cost.rows;
    Ok(())
}

/// Adds rows to `out`, mirrored where newest come first. Rows of a text tag that were loaded carry
/// the number of their text in `bits`; those that were just read stand in order.
fn append(out: &mut SeriesColumns, rows: &SeriesColumns, part: std::ops::Range<usize>, wanted: &Wanted) {
    let text = |row: usize| rows.bits.get(row).map_or(row, |number| *number as usize);
    let values = wanted.projection.values;
    match wanted.direction {
        Direction::Ascending => {
            out.times.extend_from_slice(&rows.times[part.clone()]);
            if wanted.text && values {
                part.clone().for_each(|row| out.texts.push(rows.texts.get(text(row))));
            } else if values {
                out.bits.extend_from_slice(&rows.bits[part.clone()]);
            }
            extend_qualities(out, rows.qualities.as_ref().map(|column| &column[part]));
        }
        Direction::Descending => {
            out.times.extend(rows.times[part.clone()].iter().rev());
            if wanted.text && values {
                part.clone().rev().for_each(|row| out.texts.push(rows.texts.get(text(row))));
            } else if values {
                out.bits.extend(rows.bits[part.clone()].iter().rev());
            }
            let mirrored: Option<Vec<u8>> = rows.qualities.as_ref().map(|column| column[part].iter().rev().copied().collect());
            extend_qualities(out, mirrored.as_deref());
        }
    }
}
