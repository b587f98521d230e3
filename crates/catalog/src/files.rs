//! The catalog's own files: their heads, names, and how one is written whole and removed.
//!
//! ```text
//!    0  "MERIDIAN"
//!    8  what it is, four letters: "CTAG" blocks of tags, "CMAN" manifest
//!   12  format   u32 LE   the layout's number
//!   16  log      u64 LE   the id of the catalog's log
//!   24  number   u64 LE   of the file; never given twice
//!   32  crc      u32 LE   CRC-32C of bytes 0..32
//! ```
//! Promises: a head that parses is whole. What it may not know: what tags are.

use crate::Error;
use std::path::{Path, PathBuf};
use storage::block::{Seal, crc32c, file_identity};
use storage::wire::Reader;

/// The layout's number, of both files and of the log's records.
pub const FORMAT: u32 = 1;

/// The number in a manifest's head where the log's records tell their times: a release that does not know them says so,
/// instead of taking the log for damaged.
pub const FORMAT_TIMES: u32 = 2;

/// Length of a head.
pub const HEAD_BYTES: usize = 36;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Blocks of tags.
    Tags,
    /// A manifest.
    Manifest,
}

/// The first bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub what: What,
    pub format: u32,
    pub log: u64,
    pub number: u64,
}

impl What {
    pub fn letters(self) -> &'static [u8; 4] {
        match self {
            What::Tags => b"CTAG",
            What::Manifest => b"CMAN",
        }
    }

    /// The highest layout's number that is known.
    fn format_max(self) -> u32 {
        match self {
            What::Tags => FORMAT,
            What::Manifest => FORMAT_TIMES,
        }
    }

    /// The path of file `number`.
    pub fn path(self, dir: &Path, number: u64) -> PathBuf {
        match self {
            What::Tags => dir.join(format!("{number:010}.tags")),
            What::Manifest => dir.join(format!("manifest-{number:010}")),
        }
    }

    /// The number in a file's name, if it is such a file.
    pub fn number(self, name: &str) -> Option<u64> {
        let digits = match self {
            What::Tags => name.strip_suffix(".tags")?,
            What::Manifest => name.strip_prefix("manifest-")?,
        };
        (digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
    }
}

impl Head {
    /// The place of a block of this file.
    pub fn seal(&self, offset: u64) -> Seal {
        Seal { file: file_identity(u128::from(self.log), self.what as u32, self.number), offset }
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        out[..8].copy_from_slice(b"MERIDIAN");
        out[8..12].copy_from_slice(self.what.letters());
        out[12..16].copy_from_slice(&self.format.to_le_bytes());
        out[16..24].copy_from_slice(&self.log.to_le_bytes());
        out[24..32].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32c(&out[..32]);
        out[32..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the head of the file `path`, which should be file `number` of its sort.
    pub fn decode(bytes: &[u8], what: What, number: u64, path: &Path) -> Result<Head, Error> {
        let head = Head::read(bytes, path)?;
        match head {
            Head { what: found, .. } if found != what => Err(damaged(path, 8, "it is a file of another sort")),
            Head { number: found, .. } if found != number => Err(damaged(path, 24, "it is another file under this name")),
            head => Ok(head),
        }
    }

    /// Whether these bytes begin as a file of the catalog does.
    pub fn is_ours(bytes: &[u8]) -> bool {
        bytes.get(..8) == Some(b"MERIDIAN")
            && [What::Tags, What::Manifest].iter().any(|what| bytes.get(8..12) == Some(what.letters()))
    }

    /// Reads the head of the file `path`, whatever its sort and number.
    pub fn read(bytes: &[u8], path: &Path) -> Result<Head, Error> {
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk().ok_or_else(|| damaged(path, 0, "it is shorter than a head"))?;
        let mut reader = Reader::new(&head[12..]);
        let fields = (|| Some((reader.u32()?, reader.u64()?, reader.u64()?, reader.u32()?)))();
        let what = if head[8..12] == *What::Tags.letters() { What::Tags } else { What::Manifest };
        let Some((format, log, number, crc)) = fields.filter(|_| Head::is_ours(head)) else {
            return Err(damaged(path, 0, "it does not begin as such a file does"));
        };
        if crc != crc32c(&head[..32]) {
            return Err(damaged(path, 0, "the checksum of its head does not fit"));
        }
        let known = what.format_max();
        if format > known {
            let text =
                format!("{} has format {format}; this release reads up to {known}: open it with a newer release", path.display());
            return Err(Error::Open(text));
        }
        if format < FORMAT {
            return Err(damaged(path, 12, "there is no such format"));
        }
        Ok(Head { what, format, log, number })
    }
}

/// The error that names a damaged file.
pub fn damaged(path: &Path, offset: u64, what: &str) -> Error {
    Error::Damaged(format!("{} at byte {offset}: {what}", path.display()))
}
