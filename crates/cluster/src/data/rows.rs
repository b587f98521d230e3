//! Samples and deletions on their way to a data node, and values on their way back: columns, as they lie on the wire.
//!
//! Promises: what was decoded is checked for its lengths before it is used. May not know tags' names, nor slices.

use bytes::Bytes;
use kernel::{Deletion, ReadingColumns, TagSelection};
use prost::Message as Wire;
use std::sync::Arc;
use types::{Compression, TagId, TextColumn, TimeRange, Timestamp};

/// Numeric samples, column by column: all columns are of one length, except that no qualities mean good ones.
#[derive(Clone, PartialEq, Wire)]
pub struct Rows {
    /// Ordinals.
    #[prost(uint64, repeated, tag = "1")]
    pub tags: Vec<u64>,
    /// Microseconds since 1970-01-01 UTC.
    #[prost(sfixed64, repeated, tag = "2")]
    pub times: Vec<i64>,
    /// Values, as the tag's kind has them in 64 bits.
    #[prost(fixed64, repeated, tag = "3")]
    pub bits: Vec<u64>,
    /// OPC quality bytes.
    #[prost(bytes = "bytes", tag = "4")]
    pub qualities: Bytes,
}

/// Text samples, column by column, as `Rows`.
#[derive(Clone, PartialEq, Wire)]
pub struct Texts {
    /// Ordinals.
    #[prost(uint64, repeated, tag = "1")]
    pub tags: Vec<u64>,
    /// Microseconds since 1970-01-01 UTC.
    #[prost(sfixed64, repeated, tag = "2")]
    pub times: Vec<i64>,
    /// How many bytes each text has.
    #[prost(uint32, repeated, tag = "3")]
    pub lengths: Vec<u32>,
    /// All texts, end to end, UTF-8.
    #[prost(bytes = "bytes", tag = "4")]
    pub texts: Bytes,
    /// OPC quality bytes.
    #[prost(bytes = "bytes", tag = "5")]
    pub qualities: Bytes,
}

/// A deletion.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Removal {
    /// Of which tags; all of the slice where `all` says so.
    #[prost(uint64, repeated, tag = "1")]
    tags: Vec<u64>,
    #[prost(bool, tag = "2")]
    all: bool,
    /// Of points: one a tag. Of a range: its first and last.
    #[prost(sfixed64, repeated, tag = "3")]
    times: Vec<i64>,
    #[prost(bool, tag = "4")]
    points: bool,
}

/// How tags are thinned, column by column. Data nodes keep no tag table, so each write says it, as of its sender's.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Thinned {
    #[prost(uint64, repeated, tag = "1")]
    tags: Vec<u64>,
    /// 1 deadband, 2 swinging door.
    #[prost(uint32, repeated, tag = "2")]
    hows: Vec<u32>,
    #[prost(double, repeated, tag = "3")]
    deviations: Vec<f64>,
    #[prost(int64, repeated, tag = "4")]
    spans_us: Vec<i64>,
}

impl From<&[(TagId, Compression)]> for Thinned {
    fn from(tags: &[(TagId, Compression)]) -> Thinned {
        let mut thinned = Thinned::default();
        for (tag, compression) in tags {
            let (how, deviation, span_us) = match *compression {
                Compression::Lossless => continue,
                Compression::Deadband { deviation, span_us } => (1, deviation, span_us),
                Compression::SwingingDoor { deviation, span_us } => (2, deviation, span_us),
            };
            thinned.tags.push(tag.0);
            thinned.hows.push(how);
            thinned.deviations.push(deviation);
            thinned.spans_us.push(span_us);
        }
        thinned
    }
}

impl Thinned {
    /// None where it makes no sense.
    pub(super) fn compressions(self) -> Option<Vec<(TagId, Compression)>> {
        if [self.hows.len(), self.deviations.len(), self.spans_us.len()] != [self.tags.len(); 3] {
            return None;
        }
        let numbers = self.deviations.into_iter().zip(self.spans_us);
        let of = |((tag, how), (deviation, span_us)): ((u64, u32), (f64, i64))| {
            let compression = match how {
                1 => Compression::Deadband { deviation, span_us },
                2 => Compression::SwingingDoor { deviation, span_us },
                _ => return None,
            };
            (deviation >= 0.0 && deviation.is_finite() && span_us >= 0).then_some((TagId(tag), compression))
        };
        self.tags.into_iter().zip(self.hows).zip(numbers).map(of).collect()
    }
}

/// What one slice is to take in one record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Numeric samples, all of them of the slice.
    pub rows: Rows,
    /// Text samples, all of them of the slice.
    pub texts: Texts,
    /// Deletions: what of them lies in the slice. They hide what earlier records brought, never the samples beside them.
    pub deletions: Vec<Deletion>,
    /// How its tags are thinned, those that are.
    pub thinned: Vec<(TagId, Compression)>,
}

pub(super) fn tags(numbers: Vec<u64>) -> Vec<TagId> {
    numbers.into_iter().map(TagId).collect()
}

pub(super) fn times(numbers: Vec<i64>) -> Vec<Timestamp> {
    numbers.into_iter().map(Timestamp).collect()
}

impl Texts {
    /// The texts as a column; None where lengths and bytes don't fit.
    pub(super) fn column(&self) -> Option<TextColumn> {
        let mut offsets = Vec::with_capacity(self.lengths.len() + 1);
        let mut end = 0_u32;
        offsets.push(end);
        for length in &self.lengths {
            end = end.checked_add(*length)?;
            offsets.push(end);
        }
        (end as usize == self.texts.len()).then(|| TextColumn { offsets, bytes: self.texts.to_vec() })
    }
}

impl From<&Deletion> for Removal {
    fn from(deletion: &Deletion) -> Removal {
        match deletion {
            Deletion::Range { tags, range } => {
                let times = vec![range.first.0, range.last.0];
                let (tags, all) = match tags {
                    TagSelection::All => (Vec::new(), true),
                    TagSelection::List(list) => (list.iter().map(|tag| tag.0).collect(), false),
                };
                Removal { tags, all, times, points: false }
            }
            Deletion::Points(points) => {
                let (tags, times) = points.iter().map(|(tag, time)| (tag.0, time.0)).unzip();
                Removal { tags, all: false, times, points: true }
            }
        }
    }
}

impl Removal {
    /// None where it makes no sense. Tags of a list need not be in order.
    pub(super) fn deletion(self) -> Option<Deletion> {
        if self.points {
            let fits = self.tags.len() == self.times.len() && !self.all;
            let points = self.tags.iter().zip(&self.times).map(|(tag, time)| (TagId(*tag), Timestamp(*time))).collect();
            return fits.then_some(Deletion::Points(points));
        }
        let [first, last] = *self.times else { return None };
        let mut list = tags(self.tags);
        list.sort_unstable();
        list.dedup();
        let tags = if self.all { TagSelection::All } else { TagSelection::List(list.into()) };
        Some(Deletion::Range { tags, range: TimeRange { first: Timestamp(first), last: Timestamp(last) } })
    }
}

/// Values that were found, a row a question.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Values {
    /// A byte a question: 1 where a sample was found.
    #[prost(bytes = "vec", tag = "1")]
    found: Vec<u8>,
    #[prost(sfixed64, repeated, tag = "2")]
    times: Vec<i64>,
    #[prost(fixed64, repeated, tag = "3")]
    bits: Vec<u64>,
    #[prost(bytes = "vec", tag = "4")]
    qualities: Vec<u8>,
    /// The rows that have a text, and the texts.
    #[prost(uint32, repeated, tag = "5")]
    text_rows: Vec<u32>,
    #[prost(uint32, repeated, tag = "6")]
    text_lengths: Vec<u32>,
    #[prost(bytes = "vec", tag = "7")]
    texts: Vec<u8>,
}

impl From<ReadingColumns> for Values {
    fn from(columns: ReadingColumns) -> Values {
        let ReadingColumns { found, times, bits, qualities, texts } = columns;
        Values {
            found: found.into_iter().map(u8::from).collect(),
            times: times.into_iter().map(|time| time.0).collect(),
            bits,
            qualities,
            text_rows: texts.iter().map(|(row, _)| *row).collect(),
            text_lengths: texts.iter().map(|(_, text)| text.len() as u32).collect(),
            texts: texts.iter().flat_map(|(_, text)| text.iter().copied()).collect(),
        }
    }
}

impl Values {
    /// The columns of so many answers; None where they don't fit together.
    pub(super) fn columns(self, rows: usize) -> Option<ReadingColumns> {
        let lengths = [self.found.len(), self.times.len(), self.bits.len(), self.qualities.len()];
        if lengths != [rows; 4] || self.text_rows.len() != self.text_lengths.len() {
            return None;
        }
        let mut texts: Vec<(u32, Arc<[u8]>)> = Vec::with_capacity(self.text_rows.len());
        let mut rest: &[u8] = &self.texts;
        for (row, length) in self.text_rows.iter().zip(&self.text_lengths) {
            let (text, behind) = rest.split_at_checked(*length as usize)?;
            if *row as usize >= rows {
                return None;
            }
            texts.push((*row, text.into()));
            rest = behind;
        }
        let found = self.found.into_iter().map(|found| found == 1).collect();
        Some(ReadingColumns { found, times: times(self.times), bits: self.bits, qualities: self.qualities, texts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_and_values_come_back() {
        let range = TimeRange { first: Timestamp(-5), last: Timestamp::MAX };
        let deletions = [
            Deletion::Range { tags: TagSelection::All, range },
            Deletion::Range { tags: TagSelection::List([TagId(1), TagId(9)].into()), range },
            Deletion::Points(vec![(TagId(9), Timestamp(1)), (TagId(1), Timestamp(-1))]),
        ];
        for deletion in deletions {
            let bytes = Removal::from(&deletion).encode_to_vec();
            assert_eq!(Removal::decode(&*bytes).unwrap().deletion(), Some(deletion));
        }
        let compressions = vec![
            (TagId(9), Compression::Deadband { deviation: 0.5, span_us: 0 }),
            (TagId(1), Compression::SwingingDoor { deviation: 0.0, span_us: i64::MAX }),
        ];
        let bytes = Thinned::from(&*compressions).encode_to_vec();
        assert_eq!(Thinned::decode(&*bytes).unwrap().compressions(), Some(compressions));
        let text: Arc<[u8]> = b"closed".as_slice().into();
        let columns = ReadingColumns {
            found: vec![true, false, true],
            times: vec![Timestamp(-1), Timestamp(0), Timestamp(i64::MAX)],
            bits: vec![u64::MAX, 0, 0],
            qualities: vec![192, 192, 0],
            texts: vec![(2, text)],
        };
        let bytes = Values::from(columns.clone()).encode_to_vec();
        let back = Values::decode(&*bytes).unwrap();
        assert!(back.clone().columns(2).is_none());
        let back = back.columns(3).unwrap();
        assert_eq!((back.found, back.times, back.bits), (columns.found, columns.times, columns.bits));
        assert_eq!((back.qualities, back.texts), (columns.qualities, columns.texts));
    }

    #[test]
    fn lengths_that_do_not_fit_are_no_columns() {
        let texts = |lengths: &[u32], bytes: &'static [u8]| Texts {
            lengths: lengths.to_vec(),
            texts: Bytes::from_static(bytes),
            ..Texts::default()
        };
        assert_eq!(texts(&[2, 0, 1], b"abc").column().unwrap().offsets, [0, 2, 2, 3]);
        assert!(texts(&[2], b"abc").column().is_none());
        assert!(texts(&[u32::MAX, u32::MAX], b"abc").column().is_none());
        let thinned = |hows: &[u32], deviation| Thinned {
            tags: vec![1],
            hows: hows.to_vec(),
            deviations: vec![deviation],
            spans_us: vec![0],
        };
        let senseless = [thinned(&[], 1.0), thinned(&[3], 1.0), thinned(&[1], f64::NAN), thinned(&[2], -1.0)];
        assert!(senseless.into_iter().all(|thinned| thinned.compressions().is_none()));
        let removal = |points, times: &[i64]| Removal { tags: vec![1], all: false, times: times.to_vec(), points };
        assert!(removal(true, &[]).deletion().is_none() && removal(false, &[1]).deletion().is_none());
    }
}
