//! The file of a slice's snapshot values, specified in `docs/formats/latest.md`. Change both.
//!
//! ```text
//!   head (storage::FileHead, "LATE")
//!   blocks, each: payload bytes u32 | checksum u32 | payload
//!     payload, zstd of: page number u64 | entries u32 | entries x place u16 | entries x state u8
//!                       | entries x quality u8 | entries x time i64 | entries x bits u64
//!                       | for each text: length u32 | bytes
//!   the last block: payload "END" | pages u64
//! ```
//! All numbers little endian; each block's checksum is sealed to its place in this file.
//! Promises: what was written comes back; anything else is an error that names the file and the place.

use super::{BITS, Latest, PAGE_TAGS, Page, TEXT};
use crate::file::Error;
use crate::{Datum, Reading};
use std::path::Path;
use storage::block::{self, Seal};
use storage::wire::Reader;
use storage::{FileHead, FileType};
use types::{Quality, Timestamp};
use world::{Access, Disk, File};

/// The layout that this release writes.
pub const FORMAT: u32 = 1;
const END: &[u8; 3] = b"END";
const ZSTD_LEVEL: i32 = 1;
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;
/// The most bytes that a page can unpack to: 1,024 texts of the longest kind.
const PAGE_BYTES_MAX: usize = PAGE_TAGS * (types::Kind::TEXT_BYTES_MAX + 32);

impl Latest {
    /// Writes all values to a new file and syncs it. Values may change meanwhile: each tag's is one
    /// that it had in that time. `head` says whose the file is; its type and format are set here.
    ///
    /// # Errors
    /// `Error::Disk`.
    pub fn write(&self, disk: &dyn Disk, path: &Path, head: FileHead) -> Result<u64, Error> {
        let head = FileHead { file_type: FileType::Latest, format: FORMAT, ..head };
        let file = disk.create(path)?;
        let mut writer = Writer { file: &*file, at: 0, identity: head.identity(), pending: head.encode().to_vec() };
        let pages = self.pages.read().all();
        let (mut written, mut payload) = (0_u64, Vec::new());
        for (number, page) in pages {
            payload.clear();
            if encode(number, &page.read(), &mut payload) {
                let packed = zstd::bulk::compress(&payload, ZSTD_LEVEL);
                let packed = packed.map_err(|_| damaged(path, writer.place(), "a page could not be compressed"))?;
                writer.block(&packed)?;
                written += 1;
            }
        }
        let mut end = END.to_vec();
        end.extend_from_slice(&written.to_le_bytes());
        writer.block(&end)?;
        writer.flush()?;
        file.sync()?;
        Ok(writer.at)
    }

    /// Reads values from a file into this one, which has none of them yet.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Damaged`.
    pub fn read(&self, disk: &dyn Disk, path: &Path, head: FileHead) -> Result<(), Error> {
        let file = disk.open(path, Access::Read)?;
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        let damaged = |place: usize, what| damaged(path, place as u64, what);
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes)?;
        let found = FileHead::decode(&bytes, path).map_err(|_| damaged(0, "its head is not whole"))?;
        if found != (FileHead { file_type: FileType::Latest, format: FORMAT, ..head }) {
            return Err(damaged(0, "it is of another slice, another file or another format"));
        }
        let (mut at, mut pages) = (FileHead::BYTES, 0_u64);
        loop {
            let cut = || damaged(at, "it ends within a block");
            let size = bytes.get(at..at + 4).ok_or_else(cut)?;
            let size = u32::from_le_bytes(size.try_into().expect("four bytes are four bytes")) as usize;
            let sealed = bytes.get(at + 4..at + 4 + block::BLOCK_OVERHEAD + size).ok_or_else(cut)?;
            let payload = block::open(sealed, Seal { file: found.identity(), offset: at as u64 });
            let payload = payload.ok_or_else(|| damaged(at, "the checksum of a block does not fit"))?;
            let end = at + 4 + sealed.len();
            if let Some(count) = payload.strip_prefix(END).filter(|count| count.len() == 8) {
                let whole = count == pages.to_le_bytes() && end == bytes.len();
                return if whole { Ok(()) } else { Err(damaged(at, "its end does not fit its pages")) };
            }
            let size = zstd::zstd_safe::get_frame_content_size(payload).ok().flatten().unwrap_or(u64::MAX);
            let size = usize::try_from(size).ok().filter(|size| *size <= PAGE_BYTES_MAX);
            let size = size.ok_or_else(|| damaged(at, "a page has no believable size"))?;
            let page = zstd::bulk::decompress(payload, size).map_err(|_| damaged(at, "a page can't be unpacked"))?;
            self.load(&page).ok_or_else(|| damaged(at, "a page is not laid out as it should be"))?;
            pages += 1;
            at = end;
        }
    }

    /// Takes in a page's payload; None where it is not one.
    fn load(&self, payload: &[u8]) -> Option<()> {
        let mut reader = Reader::new(payload);
        let number = reader.u64()?;
        let count = reader.u32()? as usize;
        if count == 0 || count > PAGE_TAGS {
            return None;
        }
        let places = reader.bytes(2 * count)?;
        let states = reader.bytes(count)?;
        let qualities = reader.bytes(count)?;
        let times = reader.bytes(8 * count)?;
        let bits = reader.bytes(8 * count)?;
        let word = |column: &[u8], i: usize| u64::from_le_bytes(column[8 * i..8 * i + 8].try_into().expect("eight bytes"));
        let lock = self.pages.write().add(number);
        let mut page = lock.write();
        for i in 0..count {
            let place = usize::from(u16::from_le_bytes([places[2 * i], places[2 * i + 1]]));
            if place >= PAGE_TAGS {
                return None;
            }
            let (time, quality) = (Timestamp(word(times, i) as i64), Quality(qualities[i]));
            match states[i] {
                BITS => page.put_bits(place, time, word(bits, i), quality),
                TEXT => {
                    let len = reader.u32()? as usize;
                    page.put_text(place, time, reader.bytes(len)?.into(), quality);
                }
                _ => return None,
            }
        }
        reader.is_empty().then_some(())
    }
}

fn damaged(path: &Path, offset: u64, what: &str) -> Error {
    let (path, what) = (path.to_path_buf(), what.to_owned());
    Error::Damaged { path, offset, block: "snapshot values", what, tag: None, range: None }
}

/// A page's payload; false where it holds nothing.
fn encode(number: u64, page: &Page, out: &mut Vec<u8>) -> bool {
    let held: Vec<(u16, Reading)> = (0..PAGE_TAGS).filter_map(|place| Some((place as u16, page.get(place)?))).collect();
    if held.is_empty() {
        return false;
    }
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&(held.len() as u32).to_le_bytes());
    held.iter().for_each(|(place, _)| out.extend_from_slice(&place.to_le_bytes()));
    held.iter().for_each(|(_, reading)| out.push(if matches!(reading.value, Datum::Bits(_)) { BITS } else { TEXT }));
    held.iter().for_each(|(_, reading)| out.push(reading.quality.0));
    held.iter().for_each(|(_, reading)| out.extend_from_slice(&reading.time.0.to_le_bytes()));
    let bits = |value: &Datum| if let Datum::Bits(bits) = value { *bits } else { 0 };
    held.iter().for_each(|(_, reading)| out.extend_from_slice(&bits(&reading.value).to_le_bytes()));
    for (_, reading) in &held {
        if let Datum::Text(text) = &reading.value {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text);
        }
    }
    true
}

/// Writes blocks one after the other.
struct Writer<'a> {
    file: &'a dyn File,
    /// Bytes written.
    at: u64,
    identity: u64,
    pending: Vec<u8>,
}

impl Writer<'_> {
    fn place(&self) -> u64 {
        self.at + self.pending.len() as u64
    }

    fn block(&mut self, payload: &[u8]) -> Result<(), Error> {
        let offset = self.place();
        self.pending.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        let start = block::begin(&mut self.pending);
        self.pending.extend_from_slice(payload);
        block::end(&mut self.pending, start, Seal { file: self.identity, offset });
        if self.pending.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file.write_at(self.at, &[&self.pending])?;
        self.at += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}
