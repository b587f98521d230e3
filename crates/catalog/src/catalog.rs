//! The catalog's face.
//!
//! What it promises: the crate's head says it. What it may not know: how anything is kept.

use crate::block::{BLOCK_BITS, BLOCK_ROWS};
use crate::call::{Call, Creation};
use crate::core::Core;
use crate::{Error, TagFilter, opening};
use log::Hold;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{Compression, Kind, Kinds, Tag, TagDefinition, TagId, Timestamp};
use world::{Ticket, World};

/// What can be set of a catalog.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Length at which a segment of the catalog's log is ended, in bytes.
    pub segment_bytes: u64,
    /// Bytes of log after which a checkpoint is made. At four times as much, changes wait for it.
    pub checkpoint_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { segment_bytes: 64 << 20, checkpoint_bytes: 64 << 20 }
    }
}

/// The tag table.
pub struct Catalog {
    core: Arc<Core>,
}

impl Catalog {
    /// Opens the catalog in a directory, making it where there is none.
    ///
    /// # Errors
    /// `Error::Open`, `Error::Damaged`, `Error::DiskFull`.
    pub fn open(world: World, dir: &Path, settings: Settings) -> Result<Arc<Catalog>, Error> {
        opening::open(world, dir, settings).map(|(core, _)| Arc::new(Catalog { core }))
    }

    /// As `open`, and holds the whole log from the first moment on, so that none of what is still to be kept elsewhere is cut.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_held(world: World, dir: &Path, settings: Settings) -> Result<(Arc<Catalog>, Hold), Error> {
        opening::open(world, dir, settings).map(|(core, hold)| (Arc::new(Catalog { core }), hold))
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.core.world.clock.wall_us())
    }

    /// Makes tags; all or none. The answer is the range of their ordinals, in order.
    pub fn create(&self, definitions: Vec<TagDefinition>) -> Ticket<Result<Range<u64>, Error>> {
        if definitions.is_empty() {
            let end = self.ordinals();
            return Ticket::ready(Ok(end..end));
        }
        let (promise, ticket) = Ticket::pair();
        match Creation::encode(&definitions, self.now()) {
            Ok(run) => self.core.submit(Call::Create(Creation { run, rows: definitions.len() as u64, promise })),
            Err(error) => promise.keep(Err(error)),
        }
        ticket
    }

    /// Changes tags (renaming among them); all or none. The kind can't be changed.
    pub fn change(&self, changes: Vec<(TagId, TagDefinition)>) -> Ticket<Result<(), Error>> {
        if changes.is_empty() {
            return Ticket::ready(Ok(()));
        }
        let (promise, ticket) = Ticket::pair();
        self.core.submit(Call::Change(changes, self.now(), promise));
        ticket
    }

    /// Deletes tags; all or none. Their ordinals are never given again; their kinds stay known.
    pub fn delete(&self, tags: Vec<TagId>) -> Ticket<Result<(), Error>> {
        if tags.is_empty() {
            return Ticket::ready(Ok(()));
        }
        let (promise, ticket) = Ticket::pair();
        self.core.submit(Call::Delete(tags, promise));
        ticket
    }

    /// The tag of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TagId> {
        let found = self.core.table.read().find(name);
        found.filter(|ordinal| *ordinal < self.core.kinds.visible()).map(TagId)
    }

    /// The tags of these names, row by row.
    #[must_use]
    pub fn find_many(&self, names: &[&str]) -> Vec<Option<TagId>> {
        let mut out = Vec::with_capacity(names.len());
        let table = self.core.table.read();
        let visible = self.core.kinds.visible();
        for names in names.chunks(16) {
            // Hashes first, so that the memory behind several names is fetched at once.
            let mut hashes = [0; 16];
            names.iter().zip(&mut hashes).for_each(|(name, hash)| *hash = table.hash(name));
            let found = names.iter().zip(hashes).map(|(name, hash)| table.find_hashed(hash, name));
            out.extend(found.map(|ordinal| ordinal.filter(|ordinal| *ordinal < visible).map(TagId)));
        }
        out
    }

    /// A tag as it stands.
    #[must_use]
    pub fn get(&self, id: TagId) -> Option<Tag> {
        let table = self.core.table.read();
        if id.0 >= self.core.kinds.visible() {
            return None;
        }
        table.place(id.0).map(|(block, _)| table.tag(block, id.0))
    }

    /// Calls `each` with the name of every tag asked for, in the order asked; None where it is deleted or
    /// unknown. `each` must not ask the catalog.
    pub fn names(&self, ids: &[TagId], mut each: impl FnMut(Option<&str>)) {
        let table = self.core.table.read();
        let visible = self.core.kinds.visible();
        for id in ids {
            let place = if id.0 < visible { table.place(id.0) } else { None };
            each(place.map(|(block, at)| block.name_text(at)));
        }
    }

    /// The tags that a filter names, in rising order of ordinal.
    #[must_use]
    pub fn select(&self, filter: &TagFilter) -> Vec<TagId> {
        self.core.select(filter)
    }

    /// Live tags from an ordinal on, at most `rows_max`, in rising order: for reading the table piece by piece.
    /// Each tag is as it was at one moment; different tags may be of different moments.
    #[must_use]
    pub fn page(&self, from: TagId, rows_max: usize) -> Vec<Tag> {
        let mut out = Vec::new();
        let mut ordinal = from.0;
        // The lock is held for a block at most.
        while out.len() < rows_max {
            let table = self.core.table.read();
            let visible = self.core.kinds.visible();
            if ordinal >= visible {
                break;
            }
            let end = (((ordinal >> BLOCK_BITS) + 1) << BLOCK_BITS).min(visible);
            let block = &table.blocks()[(ordinal >> BLOCK_BITS) as usize];
            while ordinal < end && out.len() < rows_max {
                if block.is_live(ordinal as usize & (BLOCK_ROWS - 1)) {
                    out.push(table.tag(block, ordinal));
                }
                ordinal += 1;
            }
        }
        out
    }

    /// How many live tags there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.core.live.load(Ordering::Acquire)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next ordinal to be given; every ordinal below was given once.
    #[must_use]
    pub fn ordinals(&self) -> u64 {
        self.core.kinds.visible()
    }

    /// Grows with every change: what was resolved at an older version must be resolved again.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.core.version.load(Ordering::Acquire)
    }

    /// Grows whenever a name ceases to lead to its tag (deleted, renamed): until then, what a name was resolved to
    /// still holds. Creating tags leaves it as it is.
    #[must_use]
    pub fn unnamed(&self) -> u64 {
        self.core.table.read().unnamed()
    }

    /// Bytes of memory that the tag table takes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.core.table.read().memory_bytes() + self.core.kinds.memory_bytes()
    }

    /// Stops taking changes; answers when what was taken is durable.
    pub fn close(&self) -> Ticket<Result<(), Error>> {
        let (promise, ticket) = Ticket::pair();
        self.core.submit(Call::Close(promise));
        ticket
    }
}

impl Kinds for Catalog {
    #[inline]
    fn kind(&self, tag: TagId) -> Option<Kind> {
        self.core.kinds.get(tag)
    }

    fn first_misfit(&self, tags: &[TagId], bits: &[u64]) -> Option<usize> {
        self.core.kinds.first_misfit(tags, bits)
    }

    fn compression(&self, tag: TagId) -> Compression {
        let table = self.core.table.read();
        table.compression(tag.0).filter(|_| tag.0 < self.core.kinds.visible()).unwrap_or_default()
    }

    fn is_thinned(&self, tag: TagId) -> bool {
        self.core.kinds.is_thinned(tag)
    }

    fn any_is_thinned(&self, tags: &[TagId]) -> bool {
        self.core.kinds.any_is_thinned(tags)
    }

    fn compressions(&self) -> u64 {
        self.core.kinds.compressions()
    }
}
