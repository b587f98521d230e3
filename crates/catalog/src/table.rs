//! The tag table in memory: blocks of rows, the index of names, and the dictionaries.
//!
//! What it promises: rows are added (staged), shown when they are durable, or taken back; changes and
//! deletions come only when they are durable. One writer at a time changes it; it checks nothing twice.
//! What it may not know: the log, checkpoints, tickets.

use crate::block::{BLOCK_BITS, BLOCK_ROWS, Block, Numbers};
use crate::dictionary::Dictionary;
use crate::hash_index::HashIndex;
use crate::kind_table::KindTable;
use crate::profile::{next_label, profile_compression, read_label, read_profile};
use crate::row::{Entry, Row, RowReader, RowWriter, Same};
use std::sync::Arc;
use storage::wire::{Reader, put_varint};
use types::{Compression, Kind, Tag, TagDefinition, TagId, Timestamp};

/// Why a row can't come into the table.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its name is taken.
    Taken,
    /// Its bytes are not what a row's are.
    Malformed,
    /// All ordinals are given.
    TooMany,
}

/// The tables.
pub struct Table {
    blocks: Vec<Arc<Block>>,
    /// The number of the last write that changed a block.
    written: Vec<u64>,
    /// Rows, staged ones included.
    rows: u64,
    live: u64,
    names: HashIndex,
    profiles: Dictionary,
    labels: Dictionary,
    /// Of the row staged last: its profile's number and labels.
    profile_last: u32,
    labels_last: Vec<u32>,
    /// Whether the last row of the last block is that row, so that places in its block can be shared.
    follows: bool,
    /// How often a name ceased to lead to its tag.
    unnamed: u64,
}

impl Table {
    /// An empty table with room for the names of that many tags.
    pub fn new(seed: u64, tags: usize) -> Table {
        Table {
            blocks: Vec::new(),
            written: Vec::new(),
            rows: 0,
            live: 0,
            names: HashIndex::new(seed, tags),
            profiles: Dictionary::new(seed),
            labels: Dictionary::new(seed),
            profile_last: u32::MAX,
            labels_last: Vec::new(),
            follows: false,
            unnamed: 0,
        }
    }

    /// Rows, staged ones included.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Live rows, staged ones included.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// The blocks as they are, to be read without any lock.
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// The number of the last write that changed a block.
    pub fn written(&self) -> &[u64] {
        &self.written
    }

    /// The dictionary of labels.
    pub fn label_dictionary(&self) -> &Dictionary {
        &self.labels
    }

    /// The ordinal of a name, staged ones included.
    #[inline]
    pub fn find(&self, name: &str) -> Option<u64> {
        let hash = self.names.hash(name.as_bytes());
        self.find_hashed(hash, name)
    }

    /// As `find`, for a hash from `hash`.
    #[inline]
    pub fn find_hashed(&self, hash: u64, name: &str) -> Option<u64> {
        self.names.find(hash, |ordinal| self.name_bytes(ordinal) == name.as_bytes()).map(u64::from)
    }

    /// A name's hash.
    #[inline]
    pub fn hash(&self, name: &str) -> u64 {
        self.names.hash(name.as_bytes())
    }

    #[inline]
    fn name_bytes(&self, ordinal: u32) -> &[u8] {
        self.blocks[(ordinal >> BLOCK_BITS) as usize].name(ordinal as usize & (BLOCK_ROWS - 1))
    }

    /// The block and row of an ordinal whose tag is there (staged or not).
    #[inline]
    pub fn place(&self, ordinal: u64) -> Option<(&Block, usize)> {
        let block = self.blocks.get(usize::try_from(ordinal >> BLOCK_BITS).ok()?)?;
        let at = ordinal as usize & (BLOCK_ROWS - 1);
        (at < block.rows() && block.is_live(at)).then_some((block, at))
    }

    /// Adds a row.
    pub fn push(&mut self, row: &Row<'_>, kinds: &KindTable, number: u64) -> Result<(), Refusal> {
        let hash = self.hash(row.name);
        if self.find_hashed(hash, row.name).is_some() {
            return Err(Refusal::Taken);
        }
        self.push_unnamed(row, kinds, number)?;
        self.names.insert(hash, self.rows as u32 - 1);
        Ok(())
    }

    /// Adds a row, but not its name: until `name_from` it can't be found, nor taken back.
    pub fn push_unnamed(&mut self, row: &Row<'_>, kinds: &KindTable, number: u64) -> Result<(), Refusal> {
        if self.rows >= KindTable::TAGS_MAX {
            return Err(Refusal::TooMany);
        }
        let same = Same { profile: row.same.profile && self.profile_last != u32::MAX, ..row.same };
        let profile = self.intern(row, same)?;
        let at = self.rows as usize & (BLOCK_ROWS - 1);
        if at == 0 {
            self.blocks.push(Arc::new(Block::new()));
            self.written.push(number);
        }
        // Places are shared with the row before only within a run and a block.
        let follows = self.follows && at > 0;
        let labels = if same.labels && follows { None } else { Some(&self.labels_last[..]) };
        let same = Same { description: row.same.description && follows, ..same };
        let block = Arc::make_mut(self.blocks.last_mut().expect("one was pushed"));
        block.push(&Row { same, ..*row }, &Numbers { profile, labels });
        if at + 1 == BLOCK_ROWS {
            block.seal();
        }
        let (kind, compression) = profile_compression(row.profile).ok_or(Refusal::Malformed)?;
        kinds.set(self.rows, kind, compression.thins(kind));
        *self.written.last_mut().expect("one a block") = number;
        self.profile_last = profile;
        self.follows = true;
        self.rows += 1;
        self.live += 1;
        Ok(())
    }

    /// Adds the names of the rows from `first` on, which were added without. An ordinal whose name is taken
    /// is refused: then the table is good for nothing.
    pub fn name_from(&mut self, first: u64) -> Result<(), u64> {
        let unnamed = (first..self.rows).filter(|ordinal| self.place(*ordinal).is_some()).map(|ordinal| ordinal as u32);
        let entries: Vec<(u64, u32)> = unnamed.map(|ordinal| (self.names.hash(self.name_bytes(ordinal)), ordinal)).collect();
        let mut names = std::mem::replace(&mut self.names, HashIndex::new(0, 0));
        let added = names.insert_many(&entries, |a, b| self.name_bytes(a) == self.name_bytes(b));
        self.names = names;
        added.map_err(u64::from)
    }

    /// Adds a row whose name may be taken: only a table that is being replaced by parts is such.
    pub fn push_again(&mut self, row: &Row<'_>, kinds: &KindTable, number: u64) -> Result<(), Refusal> {
        self.push_unnamed(row, kinds, number)?;
        let hash = self.hash(row.name);
        self.names.insert(hash, self.rows as u32 - 1);
        Ok(())
    }

    /// Puts another block in a block's place, or behind the last one. A block that is not full is the last one then.
    pub fn replace_block(
        &mut self,
        index: usize,
        run: &[u8],
        rows: usize,
        kinds: &KindTable,
        number: u64,
    ) -> Result<(), &'static str> {
        let first = (index as u64) << BLOCK_BITS;
        if first > self.rows || first + rows as u64 > KindTable::TAGS_MAX {
            return Err("a block does not follow the blocks before");
        }
        let block = self.build(run, rows, first, kinds)?;
        if rows < BLOCK_ROWS {
            self.cut_back(first + BLOCK_ROWS as u64, number);
        }
        if index == self.blocks.len() {
            self.blocks.push(Arc::new(Block::new()));
            self.written.push(number);
        }
        let before = Arc::clone(&self.blocks[index]);
        for at in (0..before.rows()).filter(|at| before.is_live(*at)) {
            self.unname(first + at as u64);
            self.live -= 1;
        }
        for at in (0..rows).filter(|at| block.is_live(*at)) {
            self.names.insert(self.names.hash(block.name(at)), first as u32 + at as u32);
            self.live += 1;
        }
        self.blocks[index] = Arc::new(block);
        self.written[index] = number;
        if index + 1 == self.blocks.len() {
            self.rows = first + rows as u64;
        }
        self.begin_run();
        Ok(())
    }

    /// A block of these rows, which is nobody's yet.
    fn build(&mut self, run: &[u8], rows: usize, first: u64, kinds: &KindTable) -> Result<Block, &'static str> {
        let (mut entries, mut block) = (RowReader::new(run), Block::new());
        self.begin_run();
        for at in 0..rows {
            let ordinal = first + at as u64;
            match entries.next().ok_or("a row is malformed")? {
                Entry::Dead(kind) => {
                    block.push_dead();
                    kinds.set(ordinal, kind, false);
                    self.follows = false;
                }
                Entry::Live(row) => {
                    let same = Same { profile: row.same.profile && self.profile_last != u32::MAX, ..row.same };
                    let profile = self.intern(&row, same).map_err(|_| "a row is malformed")?;
                    let labels = if same.labels && self.follows { None } else { Some(&self.labels_last[..]) };
                    let same = Same { description: row.same.description && self.follows, ..same };
                    block.push(&Row { same, ..row }, &Numbers { profile, labels });
                    let (kind, compression) = profile_compression(row.profile).ok_or("a row is malformed")?;
                    kinds.set(ordinal, kind, compression.thins(kind));
                    (self.profile_last, self.follows) = (profile, true);
                }
            }
        }
        block.seal();
        if entries.is_empty() { Ok(block) } else { Err("a block has more bytes than rows") }
    }

    /// Takes rows away that were there, down to that many.
    pub fn cut_back(&mut self, rows: u64, number: u64) {
        if rows < self.rows {
            self.take_back(rows);
            if let Some(last) = self.written.last_mut() {
                *last = number;
            }
        }
    }

    /// Begins a run of rows: nothing is as in the row before.
    pub fn begin_run(&mut self) {
        self.profile_last = u32::MAX;
        self.labels_last.clear();
        self.follows = false;
    }

    /// Adds the row of a deleted tag.
    pub fn push_dead(&mut self, kind: Kind, kinds: &KindTable, number: u64) -> Result<(), Refusal> {
        if self.rows >= KindTable::TAGS_MAX {
            return Err(Refusal::TooMany);
        }
        if self.rows as usize & (BLOCK_ROWS - 1) == 0 {
            self.blocks.push(Arc::new(Block::new()));
            self.written.push(number);
        }
        Arc::make_mut(self.blocks.last_mut().expect("one was pushed")).push_dead();
        kinds.set(self.rows, kind, false);
        self.rows += 1;
        self.follows = false;
        Ok(())
    }

    /// Takes rows back that were added last, down to that many.
    pub fn take_back(&mut self, rows: u64) {
        for ordinal in rows..self.rows {
            if self.place(ordinal).is_some() {
                self.unname(ordinal);
                self.live -= 1;
            }
        }
        self.rows = rows;
        let blocks = (rows as usize).div_ceil(BLOCK_ROWS);
        self.blocks.truncate(blocks);
        self.written.truncate(blocks);
        let kept = rows as usize & (BLOCK_ROWS - 1);
        if kept != 0
            && let Some(last) = self.blocks.last_mut()
        {
            Arc::make_mut(last).truncate(kept);
        }
        self.begin_run();
    }

    /// Takes a name out of the index, before its tag is renamed or deleted.
    pub fn unname(&mut self, ordinal: u64) {
        self.unnamed += 1;
        let hash = self.names.hash(self.name_bytes(ordinal as u32));
        self.names.remove(hash, ordinal as u32);
    }

    /// The compression of a tag that is there.
    pub fn compression(&self, ordinal: u64) -> Option<Compression> {
        let (block, at) = self.place(ordinal)?;
        profile_compression(self.profiles.get(block.profile(at))).map(|(_, compression)| compression)
    }

    /// Puts other contents into a row; its name must be out of the index (`renamed`) or unchanged.
    pub fn replace(&mut self, ordinal: u64, row: &Row<'_>, renamed: bool, number: u64) -> Result<(), Refusal> {
        let profile = self.intern(row, Same { profile: row.same.profile && self.profile_last != u32::MAX, ..row.same })?;
        self.profile_last = profile;
        let index = (ordinal >> BLOCK_BITS) as usize;
        let block = Arc::make_mut(&mut self.blocks[index]);
        block.replace(ordinal as usize & (BLOCK_ROWS - 1), row, &Numbers { profile, labels: Some(&self.labels_last) });
        self.written[index] = number;
        if renamed {
            let hash = self.hash(row.name);
            self.names.insert(hash, ordinal as u32);
        }
        Ok(())
    }

    /// Deletes a row.
    pub fn kill(&mut self, ordinal: u64, number: u64) {
        self.unname(ordinal);
        let index = (ordinal >> BLOCK_BITS) as usize;
        Arc::make_mut(&mut self.blocks[index]).kill(ordinal as usize & (BLOCK_ROWS - 1));
        self.written[index] = number;
        self.live -= 1;
    }

    /// The row's profile as a number, and its labels in `labels_last`.
    fn intern(&mut self, row: &Row<'_>, same: Same) -> Result<u32, Refusal> {
        if !same.labels {
            self.labels_last.clear();
            let mut reader = Reader::new(row.labels);
            let mut before = None;
            while !reader.is_empty() {
                let bytes = next_label(&mut reader).ok_or(Refusal::Malformed)?;
                let check = |bytes: &[u8]| read_label(bytes).map(|_| ()).ok_or(Refusal::Malformed);
                let label = self.labels.intern(bytes, check)?;
                let key = read_label(bytes).map(|(key, _)| key);
                if before >= key {
                    return Err(Refusal::Malformed);
                }
                before = key;
                self.labels_last.push(label);
            }
        }
        if same.profile {
            return Ok(self.profile_last);
        }
        self.profiles.intern(row.profile, |bytes| read_profile(bytes).map(|_| ()).ok_or(Refusal::Malformed))
    }

    /// A tag, from a block that may be older than the table.
    pub fn tag(&self, block: &Block, ordinal: u64) -> Tag {
        let at = ordinal as usize & (BLOCK_ROWS - 1);
        let profile = read_profile(self.profiles.get(block.profile(at))).expect("profiles were checked when they came");
        let label = |number: &u32| {
            let (key, value) = read_label(self.labels.get(*number)).expect("labels were checked when they came");
            (key.to_owned(), value.to_owned())
        };
        let (created, changed) = block.times(at);
        Tag {
            id: TagId(ordinal),
            definition: TagDefinition {
                name: block.name_text(at).to_owned(),
                description: block.description(at).to_owned(),
                unit: profile.unit,
                kind: profile.kind,
                states: profile.states,
                labels: block.labels(at).iter().map(label).collect(),
                limits: block.limits(at),
                cadence_us: profile.cadence_us,
                compression: profile.compression,
            },
            created: Timestamp(created),
            changed: Timestamp(changed),
        }
    }

    /// Writes the rows of a block, down to `rows`, as a run. `first` is the block's first ordinal.
    pub fn write_rows(&self, block: &Block, first: u64, rows: usize, kinds: &KindTable, out: &mut RowWriter) {
        let mut labels = Vec::new();
        for at in 0..rows {
            if !block.is_live(at) {
                out.put_dead(kinds.staged(first + at as u64).expect("every row has a kind"));
                continue;
            }
            labels.clear();
            for label in block.labels(at) {
                let bytes = self.labels.get(*label);
                put_varint(&mut labels, bytes.len() as u64);
                labels.extend_from_slice(bytes);
            }
            let (created, changed) = block.times(at);
            out.put(&Row {
                name: block.name_text(at),
                description: block.description(at),
                profile: self.profiles.get(block.profile(at)),
                labels: &labels,
                created,
                changed,
                limits: block.limits(at),
                same: Same::default(),
            });
        }
    }

    /// How often a name ceased to lead to its tag: it was deleted, renamed, or taken back.
    pub fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> u64 {
        let blocks: u64 = self.blocks.iter().map(|block| block.memory_bytes() + 16 + 8).sum();
        let rest = self.written.capacity() * 8;
        blocks + rest as u64 + self.names.memory_bytes() + self.profiles.memory_bytes() + self.labels.memory_bytes()
    }
}
