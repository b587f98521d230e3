//! Rows of lines as columns, in the order in which they came; samples and texts apart.

use super::cursor::{Value, unescaped_text};
use std::borrow::Cow;
use types::{Kind, Samples, TagId, TextColumn, TextSamples, Timestamp};

/// What stands for a tag that is not known yet.
pub(crate) const UNKNOWN: TagId = TagId(u64::MAX);

/// A value that its tag does not hold.
pub(crate) type Misfit = Cow<'static, str>;

/// The columns.
pub(crate) struct Columns {
    tags: Vec<TagId>,
    times: Vec<Timestamp>,
    bits: Vec<u64>,
    text_tags: Vec<TagId>,
    text_times: Vec<Timestamp>,
    texts: TextColumn,
}

/// A place between rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) samples: usize,
    pub(crate) texts: usize,
}

impl Default for Columns {
    fn default() -> Self {
        Columns {
            tags: Vec::new(),
            times: Vec::new(),
            bits: Vec::new(),
            text_tags: Vec::new(),
            text_times: Vec::new(),
            texts: TextColumn::new(),
        }
    }
}

/// The value as bits of a kind.
#[inline]
pub(crate) fn bits_of(kind: Kind, value: Value<'_>) -> Result<u64, Misfit> {
    match (value, kind) {
        (Value::Float(value), Kind::F64) => Ok(value.to_bits()),
        (Value::Integer(value), Kind::I64) => Ok(value as u64),
        (Value::Bool(value), Kind::Bool) => Ok(u64::from(value)),
        (Value::Float(value), Kind::F32) => kind.bits_from_f64(value).ok_or_else(|| beyond(kind)),
        (Value::Integer(value), Kind::I32 | Kind::State) => kind.bits_from_i64(value).ok_or_else(|| beyond(kind)),
        (value, kind) => Err(conflict(value, kind)),
    }
}

#[cold]
fn beyond(kind: Kind) -> Misfit {
    format!("value out of range (22003): the tag holds {}", kind.name()).into()
}

/// What is told of a value of another type than its tag's.
#[cold]
pub(crate) fn conflict(value: Value<'_>, kind: Kind) -> Misfit {
    let found = match value {
        Value::Float(_) => "float",
        Value::Integer(_) => "integer",
        Value::Bool(_) => "boolean",
        Value::Text(_) => "string",
    };
    format!("field type conflict: the value is of type {found}, the tag holds {}", kind.name()).into()
}

/// The kind of a tag that is made for a value.
pub(crate) fn kind_for(value: Value<'_>) -> Kind {
    match value {
        Value::Float(_) => Kind::F64,
        Value::Integer(_) => Kind::I64,
        Value::Bool(_) => Kind::Bool,
        Value::Text(_) => Kind::Text,
    }
}

impl Columns {
    pub(crate) fn mark(&self) -> Mark {
        Mark { samples: self.tags.len(), texts: self.text_tags.len() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.tags.len() + self.text_tags.len()
    }

    pub(crate) fn text_bytes(&self) -> usize {
        self.texts.bytes.len()
    }

    /// Forgets all rows, and keeps the memory for others.
    pub(crate) fn clear(&mut self) {
        self.cut(Mark::default());
    }

    /// Adds a number, without its time.
    #[inline]
    pub(crate) fn push(&mut self, tag: TagId, bits: u64) {
        self.tags.push(tag);
        self.bits.push(bits);
    }

    /// Adds a text, without its time.
    pub(crate) fn push_text(&mut self, tag: TagId, raw: &[u8]) -> Result<(), Misfit> {
        let text = unescaped_text(raw);
        if text.len() > Kind::TEXT_BYTES_MAX {
            return Err(
                format!("a text of {} bytes is longer than the {} allowed (22003)", text.len(), Kind::TEXT_BYTES_MAX).into()
            );
        }
        if std::str::from_utf8(&text).is_err() || text.contains(&0) {
            return Err("the text is not valid UTF-8, or holds a zero byte (22021)".into());
        }
        self.text_tags.push(tag);
        self.texts.push(&text);
        Ok(())
    }

    /// Gives all rows that have none yet their time.
    #[inline]
    pub(crate) fn set_time(&mut self, time: Timestamp) {
        self.times.resize(self.tags.len(), time);
        self.text_times.resize(self.text_tags.len(), time);
    }

    /// Takes back all rows from a place on.
    pub(crate) fn cut(&mut self, mark: Mark) {
        self.tags.truncate(mark.samples);
        self.bits.truncate(mark.samples);
        self.times.truncate(mark.samples);
        self.text_tags.truncate(mark.texts);
        self.text_times.truncate(mark.texts);
        self.texts.offsets.truncate(mark.texts + 1);
        self.texts.bytes.truncate(self.texts.offsets.last().map_or(0, |end| *end as usize));
    }

    /// Says what a number's row is of.
    pub(crate) fn settle(&mut self, row: usize, tag: TagId, bits: u64) {
        (self.tags[row], self.bits[row]) = (tag, bits);
    }

    /// Says what a text's row is of.
    pub(crate) fn settle_text(&mut self, row: usize, tag: TagId) {
        self.text_tags[row] = tag;
    }

    /// Takes out the rows of these ranges, which rise and don't touch each other.
    pub(crate) fn take_out(&mut self, ranges: &[(Mark, Mark)]) {
        let Some((first, _)) = ranges.first() else { return };
        let mut kept = Columns::default();
        for (at, (_, end)) in ranges.iter().enumerate() {
            let until = ranges.get(at + 1).map_or(self.mark(), |(start, _)| *start);
            kept.copy(self, *end, until);
        }
        self.cut(*first);
        let whole = kept.mark();
        self.copy(&kept, Mark::default(), whole);
    }

    fn copy(&mut self, of: &Columns, from: Mark, until: Mark) {
        self.tags.extend_from_slice(&of.tags[from.samples..until.samples]);
        self.bits.extend_from_slice(&of.bits[from.samples..until.samples]);
        self.times.extend_from_slice(&of.times[from.samples..until.samples]);
        self.text_tags.extend_from_slice(&of.text_tags[from.texts..until.texts]);
        self.text_times.extend_from_slice(&of.text_times[from.texts..until.texts]);
        (from.texts..until.texts).for_each(|row| self.texts.push(of.texts.get(row)));
    }

    /// The rows as the kernel takes them.
    pub(crate) fn batches(&self) -> Result<(Option<Samples<'_>>, Option<TextSamples<'_>>), types::BatchError> {
        let samples = (!self.tags.is_empty()).then(|| Samples::new(&self.tags, &self.times, &self.bits, None)).transpose()?;
        let texts = (!self.text_tags.is_empty())
            .then(|| TextSamples::new(&self.text_tags, &self.text_times, &self.texts, None))
            .transpose()?;
        Ok((samples, texts))
    }

    #[cfg(test)]
    pub(crate) fn shown(&self) -> Vec<(u64, i64, Result<u64, String>)> {
        let samples = (0..self.tags.len()).map(|row| (self.tags[row].0, self.times[row].0, Ok(self.bits[row])));
        let text = |row| String::from_utf8(self.texts.get(row).to_vec()).unwrap();
        samples
            .chain((0..self.text_tags.len()).map(|row| (self.text_tags[row].0, self.text_times[row].0, Err(text(row)))))
            .collect()
    }
}
