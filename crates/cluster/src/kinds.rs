//! The kind of every tag, where the tag table is not: a data node's book of kinds.
//!
//! ```text
//!   write, parcel (all its tags are below N) ──> reach(N) ── book is shorter ──> pull ──> Kinds1/Read of who sent it,
//!        │                                                        │                       then schedulers, then nodes
//!        └──> delivered                        file (`file`) <── append, sync ──> readers see it
//! ```
//! The kind of an ordinal never changes and ordinals are given densely and never used again, so a book only grows at its
//! end, and whoever's is longer can be asked for the rest.
//! Promises: what a book holds is durable before anybody sees it, and is what the tag table said; a question takes no lock.
//! It may not know tags' names, nor which kinds are in use.

mod file;
mod pages;
mod pulling;

pub use pulling::{Keeper, KindsService, Unreached};

use file::BookFile;
use pages::Pages;
use parking_lot::Mutex;
use std::path::Path;
use thiserror::Error;
use types::{Kind, Kinds, TagId};
use world::{Disk, DiskError};

/// Where kinds can be read: a tag table, or a book.
pub trait KindSource: Send + Sync {
    /// Ordinals below have their kind here.
    fn end(&self) -> u64;

    /// The kinds of the ordinals from the first on, one byte each; at most so many, fewer at the end.
    fn read(&self, first: u64, most: usize) -> Vec<u8>;
}

/// Why a book could not be opened, or not grow.
#[derive(Debug, Error)]
pub enum BookError {
    /// The disk failed. After a failure of a write nothing more is taken until the book is opened again.
    #[error("the book of kinds: {0}")]
    Disk(#[from] DiskError),
    /// It was written by a newer release.
    #[error("{path} has format {format}; this release reads up to {}: open it with a newer release", file::FORMAT)]
    Format {
        /// Which file.
        path: String,
        /// Its format.
        format: u32,
    },
    /// A write failed before.
    #[error("the book of kinds takes nothing since a disk error; open the node again: {0}")]
    Closed(String),
    /// What was sent is no kind, leaves a gap, or is another one than is known.
    #[error("the kind of ordinal {ordinal} is told to be {told}, {what}")]
    Wrong {
        /// Of which ordinal.
        ordinal: u64,
        /// What was told.
        told: u8,
        /// What is wrong with it.
        what: String,
    },
}

/// A data node's book of kinds.
pub struct Book {
    pages: Pages,
    file: Mutex<Result<BookFile, String>>,
    /// Where it must reach before it is trusted: it was found damaged, or lost.
    owed: u64,
    /// Whether something was found damaged, or lost.
    lost: bool,
}

impl Book {
    /// Opens the book in a store's directory, making it where there is none. Blocks on the disk.
    ///
    /// # Errors
    /// `BookError::Disk`, `BookError::Format`. Damage is no error: what is not whole is left out, see `was_lost`.
    pub fn open(disk: &dyn Disk, dir: &Path) -> Result<Book, BookError> {
        let opened = file::open(disk, dir)?;
        let pages = Pages::new();
        pages.put(0, &opened.kinds);
        pages.show(opened.kinds.len() as u64);
        Ok(Book { pages, file: Mutex::new(Ok(opened.file)), owed: opened.owed, lost: opened.lost })
    }

    /// Whether it was found damaged, or was lost while its store was not: it must be filled from others before the store
    /// is opened, at least up to `owed`.
    #[must_use]
    pub fn was_lost(&self) -> bool {
        self.lost
    }

    /// Where a book that was lost had reached, at the least, as far as is known.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.owed
    }

    /// Adds kinds; those that are known already are compared. What this returns for is durable. Blocks on the disk.
    ///
    /// # Errors
    /// `BookError`.
    pub fn append(&self, first: u64, kinds: &[u8]) -> Result<(), BookError> {
        let wrong = |ordinal: u64, told: u8, what: String| Err(BookError::Wrong { ordinal, told, what });
        if let Some(at) = kinds.iter().position(|kind| Kind::from_u8(*kind).is_none()) {
            return wrong(first + at as u64, kinds[at], "which is none of this release".to_owned());
        }
        let mut file = self.file.lock();
        let open = file.as_mut().map_err(|fault| BookError::Closed(fault.clone()))?;
        let end = self.pages.end();
        if first > end {
            return wrong(first, kinds.first().copied().unwrap_or(0), format!("but the book ends at {end}"));
        }
        let known = ((end - first) as usize).min(kinds.len());
        let other = (0..known).find(|at| self.pages.byte(first + *at as u64) != Some(kinds[*at]));
        if let Some(at) = other {
            let kind = self.pages.byte(first + at as u64).and_then(Kind::from_u8);
            return wrong(first + at as u64, kinds[at], format!("but it is {kind:?}: is this another fleet's tag table?"));
        }
        let new = &kinds[known..];
        if new.is_empty() {
            return Ok(());
        }
        if end + new.len() as u64 > pages::TAGS_MAX {
            return wrong(end, new[0], format!("but there are at most {} tags", pages::TAGS_MAX));
        }
        if let Err(fault) = open.append(end, new) {
            *file = Err(fault.to_string());
            return Err(fault.into());
        }
        self.pages.put(end, new);
        self.pages.show(end + new.len() as u64);
        Ok(())
    }
}

impl KindSource for Book {
    fn end(&self) -> u64 {
        self.pages.end()
    }

    fn read(&self, first: u64, most: usize) -> Vec<u8> {
        self.pages.read(first, most)
    }
}

impl Kinds for Book {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        self.pages.byte(tag.0).and_then(Kind::from_u8)
    }

    fn first_misfit(&self, tags: &[TagId], bits: &[u64]) -> Option<usize> {
        self.pages.first_misfit(tags, bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use world::{Access, Faults, Simulation};

    const KINDS: [u8; 5] = [4, 4, 6, 0, 1];

    fn disk() -> std::sync::Arc<dyn Disk> {
        let disk = Simulation::new(1).world().disk;
        disk.make_dir(Path::new("/n")).unwrap();
        disk
    }

    fn open(disk: &dyn Disk) -> Book {
        Book::open(disk, Path::new("/n")).unwrap()
    }

    #[test]
    fn a_book_grows_and_comes_back() {
        let disk = disk();
        let book = open(&*disk);
        assert!(!book.was_lost());
        book.append(0, &KINDS[..3]).unwrap();
        book.append(1, &KINDS[1..]).unwrap();
        book.append(2, &KINDS[2..4]).unwrap();
        assert_eq!((book.end(), book.read(2, 9), book.read(9, 9)), (5, KINDS[2..].to_vec(), vec![]));
        assert_eq!((book.kind(TagId(2)), book.kind(TagId(5))), (Some(Kind::Text), None));
        assert_eq!(book.first_misfit(&[TagId(0), TagId(3)], &[7, 2]), Some(1));
        assert_eq!(book.first_misfit(&[TagId(0), TagId(5)], &[7, 0]), Some(1));
        assert_eq!(book.first_misfit(&[TagId(0), TagId(4), TagId(3)], &[7, 2, 1]), None);
        let again = open(&*disk);
        assert!(!again.was_lost());
        assert_eq!(again.read(0, 9), KINDS);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let disk = disk();
        let book = open(&*disk);
        book.append(0, &KINDS).unwrap();
        for (first, kinds) in [(6, &[4][..]), (0, &[4, 5]), (5, &[4, 7]), (4, &[0, 4])] {
            assert!(matches!(book.append(first, kinds), Err(BookError::Wrong { .. })), "{first} {kinds:?}");
        }
        assert_eq!(book.end(), 5);
    }

    #[test]
    fn damage_is_left_out_and_said() {
        // Kinds, each slot, the length.
        for (at, torn) in [(1024 + 2, 1), (16, 1), (512 + 16, 1), (0, 1024)] {
            let disk = disk();
            let book = open(&*disk);
            book.append(0, &KINDS[..2]).unwrap();
            book.append(2, &KINDS[2..]).unwrap();
            drop(book);
            let file = disk.open(Path::new("/n/kinds"), Access::Write).unwrap();
            file.write_at(at, &[&vec![0xEE; torn]]).unwrap();
            let book = open(&*disk);
            // The older slot says nothing that the newer one does not.
            assert_eq!(book.was_lost(), at != 512 + 16, "at {at}");
            assert_eq!(book.owed(), 5, "at {at}");
            assert_eq!(book.read(0, 9), KINDS[..book.end() as usize], "at {at}: a part of the truth, or nothing");
            book.append(0, &KINDS).unwrap();
            let again = open(&*disk);
            assert!(!again.was_lost(), "at {at}: it was filled again");
            assert_eq!(again.read(0, 9), KINDS);
        }
    }

    #[test]
    fn a_book_that_went_while_its_store_stayed_was_lost() {
        let disk = disk();
        disk.create(Path::new("/n/node")).unwrap();
        let book = open(&*disk);
        assert!(book.was_lost() && book.owed() == 0);
        assert!(open(&*disk).was_lost(), "until it was filled");
        book.append(0, &KINDS).unwrap();
        assert!(!open(&*disk).was_lost());
    }

    #[test]
    fn a_crash_between_the_syncs_leaves_what_was_told() {
        for seed in 0..41 {
            let simulation = Simulation::new(seed);
            let disk = simulation.world().disk;
            disk.make_dir(Path::new("/n")).unwrap();
            let book = open(&*disk);
            simulation.disk.set_faults(Faults { power_cut_after: Some(seed), ..Faults::NONE });
            let told = (0..20_u64).take_while(|ordinal| book.append(*ordinal, &[4]).is_ok()).count() as u64;
            assert!(told < 20, "the power fails before the end");
            assert!(matches!(book.append(told, &[4]), Err(BookError::Closed(_))), "nothing is taken after a failure");
            simulation.crash();
            simulation.disk.set_faults(Faults::NONE);
            let again = open(&*disk);
            assert!(again.end() >= told, "seed {seed}: of {told} that were told {} are there", again.end());
            // A slot that was torn is in doubt: it may have been told. Whoever told the kinds has them.
            let doubt = if again.was_lost() { again.owed() } else { again.end() };
            assert!(doubt <= told + 1, "seed {seed}: {told} were told, it is looked for {doubt}");
            again.append(0, &[4; 20]).unwrap();
            assert!(!open(&*disk).was_lost(), "seed {seed}: it was filled");
        }
    }
}
