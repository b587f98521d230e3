//! Gathering: the rows of a commit's batches, cut by slice straight into sections.
//!
//! The hot path of ingest. Rows are first cut into segments (neighbours in a batch that lie in one
//! slice: 1,024 rows where tags come in order, 1 where they come at random), segments are put in
//! order of slice by counting, then each slice's rows are copied once. A slice's rows keep the
//! order in which they were given, since of two with one (tag, time) the later stands.

use super::Section;
use super::layout::{FLAG_ORDERED, FLAG_WIDE_ORDINALS, FLAG_WIDE_TIMES, Head, QualityForm, ROWS_MAX, TEXT_BYTES_MAX};
use crate::{Error, Placement};
use types::{Kind, Kinds, Quality, Samples, SliceId, TagId, TextSamples, Timestamp};

/// Neighbouring rows of a batch that lie in one slice.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    batch: u32,
    start: u32,
    rows: u32,
}

/// Cuts a commit by slice: at most one numeric and one text section a slice, numeric ones first,
/// in order of slice. Every value is checked against its tag's kind before anything is made.
///
/// # Errors
/// `Error::UnknownTag`, `Error::WrongKind`, `Error::TextTooLong`, `Error::TextNotUtf8`,
/// `Error::CommitTooLarge`.
pub fn gather<K: Kinds + ?Sized>(
    placement: &Placement,
    kinds: &K,
    samples: &[Samples<'_>],
    texts: &[TextSamples<'_>],
) -> Result<Vec<(SliceId, Section)>, Error> {
    for batch in samples {
        if let Some(row) = kinds.first_misfit(batch.tags(), batch.bits()) {
            let tag = batch.tags()[row];
            return Err(kinds.kind(tag).map_or(Error::UnknownTag(tag), |kind| Error::WrongKind { tag, kind }));
        }
    }
    for batch in texts {
        check_texts(kinds, batch)?;
    }
    let numeric: Vec<_> = samples.iter().map(|batch| Keys { tags: batch.tags(), times: batch.times() }).collect();
    let textual: Vec<_> = texts.iter().map(|batch| Keys { tags: batch.tags(), times: batch.times() }).collect();
    let mut sections = Vec::new();
    let mut scratch = Scratch::default();
    by_slice(placement, &numeric, |slice, segments, rows| {
        let quality = |batch: usize| samples[batch].qualities();
        scratch.take(&numeric, quality, segments, rows)?;
        let copy = |words: &mut Vec<u64>| {
            for segment in segments {
                let (start, rows) = (segment.start as usize, segment.rows as usize);
                let bits = samples[segment.batch as usize].bits();
                if rows == 1 { words.push(bits[start]) } else { words.extend_from_slice(&bits[start..start + rows]) }
            }
        };
        sections.push((slice, scratch.section(None, copy)));
        Ok(())
    })?;
    by_slice(placement, &textual, |slice, segments, rows| {
        scratch.take(&textual, |batch| texts[batch].qualities(), segments, rows)?;
        let column = text_column(texts, segments, rows)?;
        let copy = |words: &mut Vec<u64>| push_narrow(words, column.0.iter().copied());
        sections.push((slice, scratch.section(Some(&column.1), copy)));
        Ok(())
    })?;
    Ok(sections)
}

impl Section {
    /// The first row that does not lie in a slice.
    #[must_use]
    pub fn first_stray(&self, placement: &Placement, slice: SliceId) -> Option<usize> {
        let (block_len, day_len) = (placement.block_len(), placement.day_len());
        // The first tag of a block that lies there, and the first moment of its day where the rule looks at time: rows come in runs.
        let mut run: Option<(u64, i128)> = None;
        let mut lies = |tag: TagId, time: Timestamp| {
            let in_day =
                |first: i128| placement.ignores_time() || (0..i128::from(day_len)).contains(&(i128::from(time.0) - first));
            if run.is_some_and(|(first, day)| tag.0.wrapping_sub(first) < block_len && in_day(day)) {
                return true;
            }
            let (point, first) = placement.point(tag);
            let (day, day_first) = if placement.ignores_time() { (0, 0) } else { placement.day(time) };
            run = Some((first, day_first));
            placement.slice(point, day) == slice.0
        };
        let (lowest, highest) = self.tags();
        if placement.ignores_time() && placement.point(lowest).1 == placement.point(highest).1 {
            return (!lies(lowest, self.time(0))).then_some(0);
        }
        (0..self.rows()).find(|row| !lies(self.tag(*row), self.time(*row)))
    }

    /// The section of numeric samples that lie in one slice, in their order; None where there are none. The
    /// caller vouches that values are of their tags' kinds.
    #[must_use]
    pub fn of_samples(samples: &Samples<'_>) -> Option<Section> {
        if samples.is_empty() {
            return None;
        }
        let scratch = Scratch {
            tags: samples.tags().iter().map(|tag| tag.0).collect(),
            times: samples.times().iter().map(|time| time.0).collect(),
            qualities: samples.qualities().unwrap_or_default().to_vec(),
        };
        Some(scratch.section(None, |words| words.extend_from_slice(samples.bits())))
    }
}

/// The keys of a batch.
struct Keys<'a> {
    tags: &'a [TagId],
    times: &'a [Timestamp],
}

fn check_texts<K: Kinds + ?Sized>(kinds: &K, batch: &TextSamples<'_>) -> Result<(), Error> {
    if let Some(row) = kinds.first_not_text(batch.tags()) {
        let tag = batch.tags()[row];
        return Err(kinds.kind(tag).map_or(Error::UnknownTag(tag), |kind| Error::WrongKind { tag, kind }));
    }
    let texts = batch.texts();
    for (row, tag) in batch.tags().iter().enumerate() {
        let text = texts.get(row);
        if text.len() > Kind::TEXT_BYTES_MAX {
            return Err(Error::TextTooLong { tag: *tag, bytes: text.len() });
        }
        if std::str::from_utf8(text).is_err() {
            return Err(Error::TextNotUtf8 { tag: *tag });
        }
    }
    Ok(())
}

/// Calls `each` with every slice's segments and their rows, in order of slice.
fn by_slice(
    placement: &Placement,
    batches: &[Keys<'_>],
    mut each: impl FnMut(SliceId, &[Segment], u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut segments: Vec<(u32, Segment)> = Vec::new();
    for (batch, keys) in batches.iter().enumerate() {
        if placement.ignores_time() {
            cut_by_tag(placement, batch as u32, keys, &mut segments);
        } else {
            cut_by_tag_and_time(placement, batch as u32, keys, &mut segments);
        }
    }
    let mut counts = vec![(0_u32, 0_u64); placement.buckets() + 1];
    for (slice, segment) in &segments {
        let count = &mut counts[*slice as usize];
        count.0 += 1;
        count.1 += u64::from(segment.rows);
    }
    let mut from = 0;
    let mut next: Vec<u32> = counts.iter().map(|(count, _)| (from, from += count).0).collect();
    let mut sorted = vec![Segment::default(); segments.len()];
    for (slice, segment) in &segments {
        let place = &mut next[*slice as usize];
        sorted[*place as usize] = *segment;
        *place += 1;
    }
    let mut from = 0;
    for (slice, (count, rows)) in counts.iter().enumerate() {
        if *count > 0 {
            each(SliceId(slice as u32), &sorted[from..from + *count as usize], *rows)?;
            from += *count as usize;
        }
    }
    Ok(())
}

fn cut_by_tag(placement: &Placement, batch: u32, keys: &Keys<'_>, segments: &mut Vec<(u32, Segment)>) {
    let (tags, block_len) = (keys.tags, placement.block_len());
    let mut start = 0;
    while start < tags.len() {
        let (point, first) = placement.point(tags[start]);
        let same = |tag: &TagId| tag.0.wrapping_sub(first) < block_len;
        let mut end = start + 1;
        while end < tags.len() && same(&tags[end]) {
            end += 1;
        }
        segments.push((placement.slice(point, 0), Segment { batch, start: start as u32, rows: (end - start) as u32 }));
        start = end;
    }
}

fn cut_by_tag_and_time(placement: &Placement, batch: u32, keys: &Keys<'_>, segments: &mut Vec<(u32, Segment)>) {
    let day_len = i128::from(placement.day_len());
    let mut start = 0;
    while start < keys.tags.len() {
        let (point, first) = placement.point(keys.tags[start]);
        let (day, day_first) = placement.day(keys.times[start]);
        let same = |row: usize| {
            keys.tags[row].0.wrapping_sub(first) < placement.block_len()
                && (0..day_len).contains(&(i128::from(keys.times[row].0) - day_first))
        };
        let end = (start + 1..keys.tags.len()).find(|row| !same(*row)).unwrap_or(keys.tags.len());
        segments.push((placement.slice(point, day), Segment { batch, start: start as u32, rows: (end - start) as u32 }));
        start = end;
    }
}

type Offsets = Vec<u32>;

fn text_column(texts: &[TextSamples<'_>], segments: &[Segment], rows: u64) -> Result<(Offsets, Vec<u8>), Error> {
    let mut offsets: Vec<u32> = Vec::with_capacity(rows as usize + 1);
    let mut bytes = Vec::new();
    offsets.push(0);
    for segment in segments {
        let column = texts[segment.batch as usize].texts();
        for row in segment.start as usize..(segment.start + segment.rows) as usize {
            bytes.extend_from_slice(column.get(row));
            let end = u32::try_from(bytes.len());
            offsets.push(end.map_err(|_| too_large(rows, bytes.len() as u64))?);
        }
    }
    Ok((offsets, bytes))
}

fn too_large(rows: u64, bytes: u64) -> Error {
    Error::CommitTooLarge { rows, bytes, rows_max: ROWS_MAX, bytes_max: TEXT_BYTES_MAX }
}

/// One slice's keys and qualities, before their widths are known. Its room is used for each slice.
#[derive(Default)]
struct Scratch {
    tags: Vec<u64>,
    times: Vec<i64>,
    qualities: Vec<u8>,
}

impl Scratch {
    fn take<'a>(
        &mut self,
        batches: &[Keys<'_>],
        qualities: impl Fn(usize) -> Option<&'a [u8]>,
        segments: &[Segment],
        rows: u64,
    ) -> Result<(), Error> {
        if rows > ROWS_MAX {
            return Err(too_large(rows, 0));
        }
        self.tags.clear();
        self.times.clear();
        self.qualities.clear();
        for segment in segments {
            let keys = &batches[segment.batch as usize];
            let (start, rows) = (segment.start as usize, segment.rows as usize);
            if rows == 1 {
                self.tags.push(keys.tags[start].0);
                self.times.push(keys.times[start].0);
            } else {
                self.tags.extend(keys.tags[start..start + rows].iter().map(|tag| tag.0));
                self.times.extend(keys.times[start..start + rows].iter().map(|time| time.0));
            }
        }
        if (0..batches.len()).any(|batch| qualities(batch).is_some()) {
            for segment in segments {
                let (start, rows) = (segment.start as usize, segment.rows as usize);
                match qualities(segment.batch as usize) {
                    Some(column) => self.qualities.extend_from_slice(&column[start..start + rows]),
                    None => self.qualities.resize(self.qualities.len() + rows, Quality::GOOD.0),
                }
            }
        }
        Ok(())
    }

    /// The section of what was taken; `values` writes the value or offset column.
    fn section(&self, text: Option<&[u8]>, values: impl FnOnce(&mut Vec<u64>)) -> Section {
        let head = self.head(text.map(<[u8]>::len));
        let mut words = Vec::with_capacity(head.places().end / 8);
        words.extend_from_slice(&head.words());
        values(&mut words);
        assert_eq!(words.len() * 8, head.places().times, "one value a row");
        if head.is_wide_times() {
            words.extend(self.times.iter().map(|time| *time as u64));
        } else {
            let first = head.time_first;
            let offsets = self.times.iter().map(|time| time.wrapping_sub(first) as u64);
            // Constant divisors, so that the compiler can turn them into multiplications.
            match head.unit_us {
                1 => push_narrow(&mut words, offsets.map(|offset| offset as u32)),
                1_000 => push_narrow(&mut words, offsets.map(|offset| (offset / 1_000) as u32)),
                _ => push_narrow(&mut words, offsets.map(|offset| (offset / 1_000_000) as u32)),
            }
        }
        if head.is_wide_ordinals() {
            words.extend_from_slice(&self.tags);
        } else {
            push_narrow(&mut words, self.tags.iter().map(|tag| (tag - head.tag_first) as u32));
        }
        match head.quality {
            QualityForm::Good => {}
            QualityForm::Column => push_bytes(&mut words, &self.qualities),
            QualityForm::List => self.push_exceptions(&mut words, head.exceptions),
        }
        push_bytes(&mut words, text.unwrap_or_default());
        Section::of_words(words, head)
    }

    fn head(&self, text_bytes: Option<usize>) -> Head {
        let rows = self.tags.len();
        let (mut tag_first, mut tag_last) = (u64::MAX, 0);
        let (mut time_first, mut time_last) = (i64::MAX, i64::MIN);
        for (tag, time) in self.tags.iter().zip(&self.times) {
            tag_first = tag_first.min(*tag);
            tag_last = tag_last.max(*tag);
            time_first = time_first.min(*time);
            time_last = time_last.max(*time);
        }
        let keys = self.tags.iter().zip(&self.times);
        let ordered = keys.clone().zip(keys.skip(1)).all(|(a, b)| a < b);
        let unit_us = self.unit(time_first, time_last);
        let exceptions = self.qualities.iter().filter(|quality| **quality != Quality::GOOD.0).count();
        let quality = match exceptions {
            0 => QualityForm::Good,
            some if some * 5 < rows => QualityForm::List,
            _ => QualityForm::Column,
        };
        let mut flags = if ordered { FLAG_ORDERED } else { 0 };
        if tag_last - tag_first > u64::from(u32::MAX) {
            flags |= FLAG_WIDE_ORDINALS;
        }
        if unit_us.is_none() {
            flags |= FLAG_WIDE_TIMES;
        }
        Head {
            text: text_bytes.is_some(),
            flags,
            quality,
            rows: rows as u32,
            tag_first,
            tag_last,
            time_first,
            time_last,
            unit_us: unit_us.unwrap_or(1),
            exceptions: if quality == QualityForm::List { exceptions as u32 } else { 0 },
            text_bytes: text_bytes.unwrap_or_default() as u64,
        }
    }

    /// The finest unit in which all times fit 32 bits exactly.
    fn unit(&self, first: i64, last: i64) -> Option<u32> {
        let span = last.wrapping_sub(first) as u64;
        let whole = |unit: u64| self.times.iter().all(|time| (time.wrapping_sub(first) as u64).is_multiple_of(unit));
        match span {
            _ if span <= u64::from(u32::MAX) => Some(1),
            _ if span / 1_000 <= u64::from(u32::MAX) && whole(1_000) => Some(1_000),
            _ if span / 1_000_000 <= u64::from(u32::MAX) && whole(1_000_000) => Some(1_000_000),
            _ => None,
        }
    }

    fn push_exceptions(&self, words: &mut Vec<u64>, exceptions: u32) {
        let mut list = Vec::with_capacity(5 * exceptions as usize);
        let rows = || self.qualities.iter().enumerate().filter(|(_, quality)| **quality != Quality::GOOD.0);
        rows().for_each(|(row, _)| list.extend_from_slice(&(row as u32).to_le_bytes()));
        rows().for_each(|(_, quality)| list.push(*quality));
        push_bytes(words, &list);
    }
}

/// Two numbers a word, the last word filled with zeros.
fn push_narrow(words: &mut Vec<u64>, column: impl ExactSizeIterator<Item = u32>) {
    let count = column.len();
    let from = words.len();
    words.resize(from + count.div_ceil(2), 0);
    let narrow: &mut [u32] = bytemuck::cast_slice_mut(&mut words[from..]);
    narrow.iter_mut().zip(column).for_each(|(place, number)| *place = number);
}

/// Eight bytes a word, the last word filled with zeros.
fn push_bytes(words: &mut Vec<u64>, bytes: &[u8]) {
    let from = words.len();
    words.resize(from + bytes.len().div_ceil(8), 0);
    bytemuck::cast_slice_mut::<u64, u8>(&mut words[from..])[..bytes.len()].copy_from_slice(bytes);
}
