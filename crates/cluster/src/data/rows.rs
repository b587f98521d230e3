//! What is written on its way to a data node, and values on their way back, as they lie on the wire.
//!
//! Promises: what was decoded is checked for its lengths before it is used. May not know tags' names, nor slices.

use bytes::Bytes;
use kernel::ReadingColumns;
use prost::Message as Wire;
use std::sync::Arc;
use types::{Compression, TagId, Timestamp};

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
    /// Samples and deletions, all of them of the slice, as `kernel::compose` lays them out.
    pub body: Bytes,
    /// How its tags are thinned, those that are.
    pub thinned: Vec<(TagId, Compression)>,
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
        let times = self.times.into_iter().map(Timestamp).collect();
        Some(ReadingColumns { found, times, bits: self.bits, qualities: self.qualities, texts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_and_values_come_back() {
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
        let thinned = |hows: &[u32], deviation| Thinned {
            tags: vec![1],
            hows: hows.to_vec(),
            deviations: vec![deviation],
            spans_us: vec![0],
        };
        let senseless = [thinned(&[], 1.0), thinned(&[3], 1.0), thinned(&[1], f64::NAN), thinned(&[2], -1.0)];
        assert!(senseless.into_iter().all(|thinned| thinned.compressions().is_none()));
    }
}
