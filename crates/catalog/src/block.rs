//! 4,096 ordinals of the tag table, by column.
//!
//! What it promises: rows are added at the end and replaced in place; shared by `Arc`, so that who
//! reads a whole table holds the blocks as they were, and a change copies a block that is being read.
//! What it may not know: names' uniqueness, the dictionaries, what is durable.

use crate::row::Row;
use std::sync::OnceLock;
use storage::wire::{Reader, put_varint};
use types::Limits;

/// Ordinals of a block, as a power of two.
pub const BLOCK_BITS: u32 = 12;
/// Ordinals of a block.
pub const BLOCK_ROWS: usize = 1 << BLOCK_BITS;

/// Garbage that a block may hold before it is considered for a rebuild.
const GARBAGE_BYTES: usize = 16 << 10;

/// The columns. A place 0 in an arena is the empty text, or no labels.
#[derive(Clone)]
pub struct Block {
    names: Vec<u8>,
    name_at: Vec<u32>,
    descriptions: Vec<u8>,
    description_at: Vec<u32>,
    profile: Vec<u32>,
    /// Runs of: count, then the numbers of labels.
    labels: Vec<u32>,
    label_at: Vec<u32>,
    times: Vec<(i64, i64)>,
    /// In order of row; most tags have none.
    limits: Vec<(u16, Limits)>,
    dead: Vec<u64>,
    garbage: usize,
    /// What can't be in it; worked out when somebody asks, forgotten when a row is added or changed.
    digest: OnceLock<Digest>,
    /// What it says, hashed; as with `digest`.
    hash: OnceLock<u128>,
}

/// What a block holds of names and labels, for passing it over.
#[derive(Clone)]
pub struct Digest {
    /// Rows of the first and the last name in order of bytes; None where no row is live.
    names: Option<(u16, u16)>,
    /// The numbers of all labels, rising; None where there are too many for looking through to pay.
    labels: Option<Box<[u32]>>,
}

/// Labels that a digest holds at most.
const DIGEST_LABELS_MAX: usize = 512;

/// What a row holds beside its texts: numbers of the dictionaries.
pub struct Numbers<'a> {
    /// The profile's number.
    pub profile: u32,
    /// The labels' numbers; None = those of the row before, in this block.
    pub labels: Option<&'a [u32]>,
}

impl Block {
    /// A block without rows. It has room for all the rows that it can have: columns that grow are copied
    /// several times over, and most blocks become full.
    pub fn new() -> Block {
        Block {
            names: vec![0],
            name_at: Vec::with_capacity(BLOCK_ROWS),
            descriptions: vec![0],
            description_at: Vec::with_capacity(BLOCK_ROWS),
            profile: Vec::with_capacity(BLOCK_ROWS),
            labels: vec![0],
            label_at: Vec::with_capacity(BLOCK_ROWS),
            times: Vec::with_capacity(BLOCK_ROWS),
            limits: Vec::new(),
            dead: Vec::with_capacity(BLOCK_ROWS / 64),
            garbage: 0,
            digest: OnceLock::new(),
            hash: OnceLock::new(),
        }
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.name_at.len()
    }

    /// Adds a row.
    pub fn push(&mut self, row: &Row<'_>, numbers: &Numbers<'_>) {
        self.forget();
        let at = self.rows();
        self.name_at.push(put(&mut self.names, row.name.as_bytes()));
        let description = match self.description_at.last() {
            Some(before) if row.same.description => *before,
            _ => put(&mut self.descriptions, row.description.as_bytes()),
        };
        self.description_at.push(description);
        self.profile.push(numbers.profile);
        let labels = match (numbers.labels, self.label_at.last()) {
            (Some(labels), _) => put_numbers(&mut self.labels, labels),
            (None, before) => *before.expect("a row stands before, says the caller"),
        };
        self.label_at.push(labels);
        self.times.push((row.created, row.changed));
        if row.limits != Limits::default() {
            self.limits.push((at as u16, row.limits));
        }
        if at.is_multiple_of(64) {
            self.dead.push(0);
        }
    }

    /// Adds the row of a deleted tag.
    pub fn push_dead(&mut self) {
        self.forget();
        let at = self.rows();
        self.name_at.push(0);
        self.description_at.push(0);
        self.profile.push(u32::MAX);
        self.label_at.push(0);
        self.times.push((0, 0));
        if at.is_multiple_of(64) {
            self.dead.push(0);
        }
        self.dead[at / 64] |= 1 << (at % 64);
    }

    /// Puts other contents into a row; when it was created stays.
    pub fn replace(&mut self, at: usize, row: &Row<'_>, numbers: &Numbers<'_>) {
        self.forget();
        self.garbage += self.texts_bytes(at);
        if self.name(at) != row.name.as_bytes() {
            self.name_at[at] = put(&mut self.names, row.name.as_bytes());
        }
        if text(&self.descriptions, self.description_at[at]) != row.description.as_bytes() {
            self.description_at[at] = put(&mut self.descriptions, row.description.as_bytes());
        }
        self.profile[at] = numbers.profile;
        if let Some(labels) = numbers.labels
            && self.labels(at) != labels
        {
            self.label_at[at] = put_numbers(&mut self.labels, labels);
        }
        self.times[at].1 = row.changed;
        self.limits.retain(|(row, _)| usize::from(*row) != at);
        if row.limits != Limits::default() {
            let place = self.limits.partition_point(|(row, _)| usize::from(*row) < at);
            self.limits.insert(place, (at as u16, row.limits));
        }
        self.rebuild_if_wasteful();
    }

    /// Deletes a row: its ordinal stays.
    pub fn kill(&mut self, at: usize) {
        self.forget();
        self.garbage += self.texts_bytes(at);
        self.name_at[at] = 0;
        self.description_at[at] = 0;
        self.profile[at] = u32::MAX;
        self.label_at[at] = 0;
        self.limits.retain(|(row, _)| usize::from(*row) != at);
        self.dead[at / 64] |= 1 << (at % 64);
        self.rebuild_if_wasteful();
    }

    /// Takes the last rows away, which nobody has seen.
    pub fn truncate(&mut self, rows: usize) {
        self.forget();
        self.name_at.truncate(rows);
        self.description_at.truncate(rows);
        self.profile.truncate(rows);
        self.label_at.truncate(rows);
        self.times.truncate(rows);
        self.limits.retain(|(row, _)| usize::from(*row) < rows);
        self.dead.truncate(rows.div_ceil(64));
        // The arenas' ends are garbage now; the next rebuild drops it.
        self.garbage += GARBAGE_BYTES;
        self.rebuild_if_wasteful();
    }

    fn forget(&mut self) {
        self.digest.take();
        self.hash.take();
    }

    /// The hash of what it says, which `make` works out where nobody asked since the last change.
    pub fn hash(&self, make: impl FnOnce() -> u128) -> u128 {
        *self.hash.get_or_init(make)
    }

    /// Whether a live row's name can begin with the prefix.
    pub fn may_have_prefix(&self, prefix: &[u8]) -> bool {
        self.digest().names.is_some_and(|(first, last)| {
            let (first, last) = (self.name(usize::from(first)), self.name(usize::from(last)));
            last >= prefix && (first <= prefix || first.starts_with(prefix))
        })
    }

    /// Whether a live row can have a label for which `is_it` holds.
    pub fn may_have_label(&self, is_it: impl FnMut(&u32) -> bool) -> bool {
        self.digest().labels.as_ref().is_none_or(|labels| labels.iter().any(is_it))
    }

    fn digest(&self) -> &Digest {
        self.digest.get_or_init(|| {
            let live = || (0..self.rows()).filter(|at| self.is_live(*at));
            let by_name = |at: &usize| self.name(*at);
            let names = live().min_by_key(by_name).zip(live().max_by_key(by_name));
            let names = names.map(|(first, last)| (first as u16, last as u16));
            let mut labels: Vec<u32> = Vec::new();
            let mut before: &[u32] = &[];
            for at in live() {
                // Neighbours mostly have the same labels.
                if std::mem::replace(&mut before, self.labels(at)) != self.labels(at) {
                    labels.extend(self.labels(at));
                }
            }
            labels.sort_unstable();
            labels.dedup();
            Digest { names, labels: (labels.len() <= DIGEST_LABELS_MAX).then(|| labels.into()) }
        })
    }

    /// Gives back room that was kept for growing.
    pub fn seal(&mut self) {
        self.names.shrink_to_fit();
        self.name_at.shrink_to_fit();
        self.descriptions.shrink_to_fit();
        self.description_at.shrink_to_fit();
        self.profile.shrink_to_fit();
        self.labels.shrink_to_fit();
        self.label_at.shrink_to_fit();
        self.times.shrink_to_fit();
        self.limits.shrink_to_fit();
        self.dead.shrink_to_fit();
    }

    /// Whether the row's tag was not deleted.
    #[inline]
    pub fn is_live(&self, at: usize) -> bool {
        self.dead[at / 64] >> (at % 64) & 1 == 0
    }

    /// A row's name, UTF-8.
    #[inline]
    pub fn name(&self, at: usize) -> &[u8] {
        text(&self.names, self.name_at[at])
    }

    /// A row's name.
    #[inline]
    pub fn name_text(&self, at: usize) -> &str {
        std::str::from_utf8(self.name(at)).expect("names came in as UTF-8")
    }

    /// A row's description.
    pub fn description(&self, at: usize) -> &str {
        std::str::from_utf8(text(&self.descriptions, self.description_at[at])).expect("descriptions came in as UTF-8")
    }

    /// The number of a row's profile.
    #[inline]
    pub fn profile(&self, at: usize) -> u32 {
        self.profile[at]
    }

    /// The numbers of a row's labels.
    #[inline]
    pub fn labels(&self, at: usize) -> &[u32] {
        let place = self.label_at[at] as usize;
        &self.labels[place + 1..][..self.labels[place] as usize]
    }

    /// When a row was created and changed.
    pub fn times(&self, at: usize) -> (i64, i64) {
        self.times[at]
    }

    /// A row's limits.
    pub fn limits(&self, at: usize) -> Limits {
        let found = self.limits.binary_search_by_key(&at, |(row, _)| usize::from(*row));
        found.map_or(Limits::default(), |place| self.limits[place].1)
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> u64 {
        let bytes = self.names.capacity() + self.descriptions.capacity();
        let fours = [&self.name_at, &self.description_at, &self.profile, &self.labels, &self.label_at];
        let fours: usize = fours.iter().map(|column| column.capacity() * 4).sum();
        let rest = self.times.capacity() * 16 + self.limits.capacity() * size_of::<(u16, Limits)>() + self.dead.capacity() * 8;
        let digest = self.digest.get().and_then(|digest| digest.labels.as_ref()).map_or(0, |labels| labels.len() * 4);
        (bytes + fours + rest + digest + size_of::<Block>()) as u64
    }

    fn texts_bytes(&self, at: usize) -> usize {
        self.name(at).len() + text(&self.descriptions, self.description_at[at]).len() + 4 + self.labels(at).len() * 4
    }

    fn rebuild_if_wasteful(&mut self) {
        if self.garbage <= GARBAGE_BYTES || self.garbage * 2 < self.names.len() + self.descriptions.len() + self.labels.len() * 4
        {
            return;
        }
        let old = std::mem::replace(self, Block::new());
        for at in 0..old.rows() {
            self.name_at.push(put(&mut self.names, old.name(at)));
            let same = at > 0 && old.description_at[at] == old.description_at[at - 1];
            let description = match self.description_at.last() {
                Some(before) if same => *before,
                _ => put(&mut self.descriptions, text(&old.descriptions, old.description_at[at])),
            };
            self.description_at.push(description);
            let same = at > 0 && old.label_at[at] == old.label_at[at - 1];
            let labels = match self.label_at.last() {
                Some(before) if same => *before,
                _ => put_numbers(&mut self.labels, old.labels(at)),
            };
            self.label_at.push(labels);
        }
        self.profile = old.profile;
        self.times = old.times;
        self.limits = old.limits;
        self.dead = old.dead;
        self.seal();
    }
}

/// Appends a text with its length; the empty one stands at 0. A block's texts stay below 4 GiB:
/// 4,096 rows of at most 66 KiB, and at most as much garbage again.
#[inline]
fn put(arena: &mut Vec<u8>, bytes: &[u8]) -> u32 {
    if bytes.is_empty() {
        return 0;
    }
    let place = arena.len() as u32;
    put_varint(arena, bytes.len() as u64);
    arena.extend_from_slice(bytes);
    place
}

fn put_numbers(arena: &mut Vec<u32>, numbers: &[u32]) -> u32 {
    if numbers.is_empty() {
        return 0;
    }
    let place = arena.len() as u32;
    arena.push(numbers.len() as u32);
    arena.extend_from_slice(numbers);
    place
}

#[inline]
fn text(arena: &[u8], place: u32) -> &[u8] {
    let bytes = &arena[place as usize..];
    let first = bytes[0];
    if first < 0x80 {
        return &bytes[1..][..usize::from(first)];
    }
    let mut reader = Reader::new(bytes);
    let len = reader.varint().expect("a length was written here") as usize;
    &reader.rest()[..len]
}
