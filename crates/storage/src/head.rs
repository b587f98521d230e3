//! The first 48 bytes of every file of a slice: what it is, in which layout, and whose.
//!
//! ```text
//!    0  "MERIDIAN"
//!    8  what it is, four letters: "MANI" manifest, "SERI" series file, "LATE" snapshot values
//!   12  format   u32 LE   the layout's number
//!   16  store    u128 LE
//!   32  slice    u32 LE
//!   36  number   u64 LE   of the file within its slice (or of the manifest)
//!   44  crc      u32 LE   CRC-32C of bytes 0..44
//! ```
//! Promises: a head that parses is whole.

use crate::{Error, StoreId, block, wire::Reader};
use std::path::Path;
use types::SliceId;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A manifest.
    Manifest,
    /// A file of samples.
    Series,
    /// A file of snapshot values.
    Latest,
}

impl FileType {
    const ALL: [FileType; 3] = [FileType::Manifest, FileType::Series, FileType::Latest];

    /// Its four letters.
    #[must_use]
    pub fn letters(self) -> &'static [u8; 4] {
        match self {
            FileType::Manifest => b"MANI",
            FileType::Series => b"SERI",
            FileType::Latest => b"LATE",
        }
    }
}

/// The first bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHead {
    /// What it is.
    pub file_type: FileType,
    /// The number of its layout.
    pub format: u32,
    /// Of which store.
    pub store: StoreId,
    /// Of which slice.
    pub slice: SliceId,
    /// Its number within the slice.
    pub number: u64,
}

impl FileHead {
    /// How long a head is.
    pub const BYTES: usize = 48;

    const MAGIC: &'static [u8; 8] = b"MERIDIAN";

    /// The identity for the seals of the file's blocks.
    #[must_use]
    pub fn identity(&self) -> u64 {
        block::file_identity(self.store.0, self.slice.0, self.number)
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..8].copy_from_slice(Self::MAGIC);
        out[8..12].copy_from_slice(self.file_type.letters());
        out[12..16].copy_from_slice(&self.format.to_le_bytes());
        out[16..32].copy_from_slice(&self.store.0.to_le_bytes());
        out[32..36].copy_from_slice(&self.slice.0.to_le_bytes());
        out[36..44].copy_from_slice(&self.number.to_le_bytes());
        let crc = block::crc32c(&out[..44]);
        out[44..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a head from the front of a file's bytes.
    ///
    /// # Errors
    /// `Error::Damaged` naming `path`.
    pub fn decode(bytes: &[u8], path: &Path) -> Result<FileHead, Error> {
        let damaged = |what: &str| Error::Damaged { path: path.to_path_buf(), offset: 0, what: what.to_owned() };
        let head: &[u8; Self::BYTES] = bytes.first_chunk().ok_or_else(|| damaged("shorter than a file's head"))?;
        if head[..8] != *Self::MAGIC {
            return Err(damaged("it does not begin as a file of Meridian"));
        }
        let mut reader = Reader::new(&head[8..]);
        let parsed = (|| {
            let letters = reader.array::<4>()?;
            let format = reader.u32()?;
            let head = (letters, format, StoreId(reader.u128()?), SliceId(reader.u32()?), reader.u64()?);
            Some((head, reader.u32()?))
        })();
        let Some(((letters, format, store, slice, number), crc)) = parsed else {
            return Err(damaged("shorter than a file's head"));
        };
        if crc != block::crc32c(&head[..44]) {
            return Err(damaged("the checksum of its head does not fit"));
        }
        let file_type = FileType::ALL.into_iter().find(|known| *known.letters() == letters);
        let file_type = file_type.ok_or_else(|| damaged("a file of an unknown type"))?;
        Ok(FileHead { file_type, format, store, slice, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_and_any_flipped_bit_is_seen() {
        let head =
            FileHead { file_type: FileType::Series, format: 1, store: StoreId(u128::MAX - 5), slice: SliceId(63), number: 77 };
        let bytes = head.encode();
        assert_eq!(FileHead::decode(&bytes, Path::new("f")).unwrap(), head);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHead::decode(&bad, Path::new("f")).unwrap_err().to_string().contains("f is damaged"), "bit {bit}");
        }
        assert!(FileHead::decode(&bytes[..47], Path::new("f")).is_err());
    }
}
