//! Rows of the tag table as bytes: one form for the log and for checkpoints.
//!
//! ```text
//!   row    flags u8
//!          name         shared varint | rest text      shared = bytes that it begins with as the name before
//!          description  text            unless SAME_DESCRIPTION
//!          profile      length | bytes  unless SAME_PROFILE
//!          labels       length | bytes  unless SAME_LABELS
//!          times        created signed varint, from the one before | changed signed varint, from created
//!                                       unless SAME_TIMES
//!          limits       mask u8 | f64 LE for each bit (low_low, low, high, high_high)   with LIMITS
//!   dead   flags u8 = DEAD | kind u8
//! ```
//! SAME means: as in the row before. Before the first row of a run all is empty, and times are 0.
//!
//! Promises: `RowReader` reads what `RowWriter` wrote; of anything else it says `None`: it never
//! panics, and allocates no more than a name. It checks lengths and UTF-8 and names' rules; profiles
//! and labels are checked by whoever meets them for the first time.

use crate::profile::{put_labels, put_profile, put_text, read_text};
use crate::rules;
use storage::wire::{Reader, put_signed, put_varint};
use types::{Kind, Limits, TagDefinition};

const SAME_DESCRIPTION: u8 = 1;
const SAME_PROFILE: u8 = 2;
const SAME_LABELS: u8 = 4;
const SAME_TIMES: u8 = 8;
const LIMITS: u8 = 16;
const DEAD: u8 = 32;

/// A profile's bytes at most: 65,536 states of 256 bytes and what goes with them.
const PROFILE_BYTES_MAX: usize = 18 << 20;
/// The bytes of all labels of a tag at most.
const LABELS_BYTES_MAX: usize = rules::LABELS_MAX * (rules::LABEL_KEY_BYTES_MAX + rules::LABEL_VALUE_BYTES_MAX + 4);

/// A row's fields, borrowed.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub profile: &'a [u8],
    pub labels: &'a [u8],
    pub created: i64,
    pub changed: i64,
    pub limits: Limits,
    /// Whether description, profile and labels are those of the row before.
    pub same: Same,
}

/// Which fields are as in the row before.
#[derive(Clone, Copy, Default)]
pub struct Same {
    pub description: bool,
    pub profile: bool,
    pub labels: bool,
}

/// A row as it is read.
pub enum Entry<'a> {
    /// A tag.
    Live(Row<'a>),
    /// An ordinal whose tag was deleted.
    Dead(Kind),
}

/// Writes a run of rows.
#[derive(Default)]
pub struct RowWriter {
    /// The bytes so far.
    pub out: Vec<u8>,
    name: Vec<u8>,
    description: Vec<u8>,
    profile: Vec<u8>,
    labels: Vec<u8>,
    times: (i64, i64),
    profile_next: Vec<u8>,
    labels_next: Vec<u8>,
}

impl RowWriter {
    /// Begins a run with room for that many bytes.
    pub fn with_capacity(bytes: usize) -> RowWriter {
        RowWriter { out: Vec::with_capacity(bytes), ..RowWriter::default() }
    }

    /// Appends a definition that keeps the rules.
    pub fn put_definition(&mut self, definition: &TagDefinition, created: i64, changed: i64) {
        let mut profile = std::mem::take(&mut self.profile_next);
        let mut labels = std::mem::take(&mut self.labels_next);
        profile.clear();
        labels.clear();
        put_profile(&mut profile, definition);
        put_labels(&mut labels, &definition.labels);
        self.put(&Row {
            name: &definition.name,
            description: &definition.description,
            profile: &profile,
            labels: &labels,
            created,
            changed,
            limits: definition.limits,
            same: Same::default(),
        });
        self.profile_next = profile;
        self.labels_next = labels;
    }

    /// Appends a row; finds out itself what is the same.
    pub fn put(&mut self, row: &Row<'_>) {
        let out = &mut self.out;
        let mask = limits_mask(&row.limits);
        let same_description = self.description == row.description.as_bytes();
        let same_profile = self.profile == row.profile;
        let same_labels = self.labels == row.labels;
        let same_times = self.times == (row.created, row.changed);
        let flag = |holds: bool, flag: u8| if holds { flag } else { 0 };
        out.push(
            flag(same_description, SAME_DESCRIPTION)
                | flag(same_profile, SAME_PROFILE)
                | flag(same_labels, SAME_LABELS)
                | flag(same_times, SAME_TIMES)
                | flag(mask != 0, LIMITS),
        );
        let name = row.name.as_bytes();
        let shared = shared_bytes(&self.name, name);
        put_varint(out, shared as u64);
        put_varint(out, (name.len() - shared) as u64);
        out.extend_from_slice(&name[shared..]);
        self.name.truncate(shared);
        self.name.extend_from_slice(&name[shared..]);
        if !same_description {
            put_text(out, row.description);
            replace(&mut self.description, row.description.as_bytes());
        }
        for (same, bytes, before) in [(same_profile, row.profile, &mut self.profile), (same_labels, row.labels, &mut self.labels)]
        {
            if !same {
                put_varint(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
                replace(before, bytes);
            }
        }
        if !same_times {
            put_signed(out, row.created.wrapping_sub(self.times.0));
            put_signed(out, row.changed.wrapping_sub(row.created));
            self.times = (row.created, row.changed);
        }
        if mask != 0 {
            out.push(mask);
            let Limits { low_low, low, high, high_high } = row.limits;
            [low_low, low, high, high_high].into_iter().flatten().for_each(|limit| out.extend_from_slice(&limit.to_le_bytes()));
        }
    }

    /// Appends the row of a deleted tag.
    pub fn put_dead(&mut self, kind: Kind) {
        self.out.extend_from_slice(&[DEAD, kind as u8]);
    }
}

fn replace(before: &mut Vec<u8>, bytes: &[u8]) {
    before.clear();
    before.extend_from_slice(bytes);
}

/// How many bytes two names begin with alike.
fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    let len = a.len().min(b.len());
    let mut at = 0;
    while at + 8 <= len && a[at..at + 8] == b[at..at + 8] {
        at += 8;
    }
    while at < len && a[at] == b[at] {
        at += 1;
    }
    at
}

fn limits_mask(limits: &Limits) -> u8 {
    let Limits { low_low, low, high, high_high } = limits;
    let bit = |limit: &Option<f64>, at: u8| u8::from(limit.is_some()) << at;
    bit(low_low, 0) | bit(low, 1) | bit(high, 2) | bit(high_high, 3)
}

/// Reads a run of rows.
pub struct RowReader<'a> {
    reader: Reader<'a>,
    name: Vec<u8>,
    description: &'a str,
    profile: &'a [u8],
    labels: &'a [u8],
    times: (i64, i64),
}

impl<'a> RowReader<'a> {
    /// Reads a run from its beginning.
    pub fn new(bytes: &'a [u8]) -> RowReader<'a> {
        let (name, times) = (Vec::with_capacity(64), (0, 0));
        RowReader { reader: Reader::new(bytes), name, description: "", profile: &[], labels: &[], times }
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    /// The name read last.
    pub fn last_name(&self) -> &str {
        std::str::from_utf8(&self.name).unwrap_or_default()
    }

    /// A number that stands between rows (a changed tag's ordinal).
    pub fn number(&mut self) -> Option<u64> {
        self.reader.varint()
    }

    /// The next row.
    pub fn next(&mut self) -> Option<Entry<'_>> {
        let reader = &mut self.reader;
        let flags = reader.u8()?;
        if flags == DEAD {
            return Kind::from_u8(reader.u8()?).map(Entry::Dead);
        }
        if flags & !(SAME_DESCRIPTION | SAME_PROFILE | SAME_LABELS | SAME_TIMES | LIMITS) != 0 {
            return None;
        }
        let shared = reader.count(self.name.len())?;
        let rest = reader.count(TagDefinition::NAME_BYTES_MAX - shared)?;
        self.name.truncate(shared);
        self.name.extend_from_slice(reader.bytes(rest)?);
        let same = Same {
            description: flags & SAME_DESCRIPTION != 0,
            profile: flags & SAME_PROFILE != 0,
            labels: flags & SAME_LABELS != 0,
        };
        if !same.description {
            self.description = read_text(reader, rules::DESCRIPTION_BYTES_MAX)?;
        }
        if !same.profile {
            let len = reader.count(PROFILE_BYTES_MAX)?;
            self.profile = reader.bytes(len)?;
        }
        if !same.labels {
            let len = reader.count(LABELS_BYTES_MAX)?;
            self.labels = reader.bytes(len)?;
        }
        if flags & SAME_TIMES == 0 {
            let created = self.times.0.wrapping_add(reader.signed()?);
            self.times = (created, created.wrapping_add(reader.signed()?));
        }
        let limits = if flags & LIMITS == 0 { Limits::default() } else { read_limits(reader)? };
        let name = std::str::from_utf8(&self.name).ok().filter(|name| rules::name_fits(name))?;
        Some(Entry::Live(Row {
            name,
            description: self.description,
            profile: self.profile,
            labels: self.labels,
            created: self.times.0,
            changed: self.times.1,
            limits,
            same,
        }))
    }
}

fn read_limits(reader: &mut Reader<'_>) -> Option<Limits> {
    let mask = reader.u8()?;
    (mask != 0 && mask < 16).then_some(())?;
    let mut values = [None; 4];
    for (bit, value) in values.iter_mut().enumerate() {
        if mask & (1 << bit) != 0 {
            *value = Some(f64::from_le_bytes(reader.array()?)).filter(|limit| !limit.is_nan());
            (*value)?;
        }
    }
    let [low_low, low, high, high_high] = values;
    Some(Limits { low_low, low, high, high_high })
}
