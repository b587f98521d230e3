//! One segment file: its name, making it, opening it.

use crate::Error;
use crate::format::{HeaderRead, SEGMENT_HEADER_BYTES, SegmentHeader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use world::{Access, Disk, DiskError, File};

/// An open segment.
#[derive(Clone)]
pub(crate) struct Segment {
    pub file: Arc<dyn File>,
    pub path: PathBuf,
    pub header: SegmentHeader,
}

/// What opening found.
pub(crate) enum Opened {
    Whole(Segment),
    /// The file was never made whole: nothing was ever written behind its header.
    Unmade,
}

pub(crate) fn path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

/// The base position that a name stands for; None for files that are not segments.
pub(crate) fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

impl Segment {
    /// Makes a segment, its room reserved, itself and its name durable. Where that fails, nothing of
    /// it counts: a file that stays behind is removed by the next try or the next opening.
    pub(crate) fn create(disk: &dyn Disk, dir: &Path, header: SegmentHeader) -> Result<Segment, DiskError> {
        let path = path(dir, header.base);
        let file = match disk.create(&path) {
            Err(error) if error.cause.kind() == std::io::ErrorKind::AlreadyExists => {
                disk.remove(&path)?;
                disk.create(&path)?
            }
            other => other?,
        };
        let fill = || {
            file.reserve(header.capacity)?;
            file.write_at(0, &[&header.encode()])?;
            file.sync()?;
            disk.sync_dir(dir)
        };
        if let Err(error) = fill() {
            // Gives the room back at once where it can; the error that counts is the first.
            drop(disk.remove(&path));
            return Err(error);
        }
        Ok(Segment { file, path, header })
    }

    pub(crate) fn open(disk: &dyn Disk, dir: &Path, base: u64, access: Access) -> Result<Opened, Error> {
        let path = path(dir, base);
        let file = disk.open(&path, access).map_err(Error::read)?;
        let len = file.len().map_err(Error::read)?;
        let damaged = |what| Error::Damaged { file: path.clone(), offset: 0, what };
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        let read = if len < SEGMENT_HEADER_BYTES {
            HeaderRead::Broken
        } else {
            file.read_at(0, &mut bytes).map_err(Error::read)?;
            SegmentHeader::decode(&bytes)
        };
        match read {
            HeaderRead::Unknown { format } => Err(Error::UnknownFormat { file: path, format }),
            HeaderRead::Known(header) if header.base != base => Err(damaged("its header tells another position than its name")),
            HeaderRead::Known(header) => Ok(Opened::Whole(Segment { file, path, header })),
            HeaderRead::Broken => match last_byte_set(&*file, SEGMENT_HEADER_BYTES, len).map_err(Error::read)? {
                None => Ok(Opened::Unmade),
                Some(_) => Err(damaged("its header is broken, and there is something behind it")),
            },
        }
    }

    /// The position behind its last byte: the next segment's base.
    pub(crate) fn limit(&self) -> u64 {
        self.header.base + self.header.capacity
    }

    pub(crate) fn damaged(&self, position: u64, what: &'static str) -> Error {
        Error::Damaged { file: self.path.clone(), offset: position - self.header.base, what }
    }
}

/// Bytes that are looked at together.
const BLOCK: usize = 4 << 10;

/// Where the last byte that is not zero lies in a range of a file.
pub(crate) fn last_byte_set(file: &dyn File, from: u64, to: u64) -> Result<Option<u64>, DiskError> {
    let mut chunk = vec![0; 1 << 20];
    let mut end = to;
    while end > from {
        let start = end.saturating_sub(chunk.len() as u64).max(from);
        let into = &mut chunk[..(end - start) as usize];
        file.read_at(start, into)?;
        // Nearly all of a segment's room is zeros: blocks are or-ed together, which takes many bytes at a time.
        for (block, bytes) in into.chunks(BLOCK).enumerate().rev() {
            if bytes.iter().fold(0, |all, byte| all | byte) != 0
                && let Some(at) = bytes.iter().rposition(|byte| *byte != 0)
            {
                return Ok(Some(start + (block * BLOCK + at) as u64));
            }
        }
        end = start;
    }
    Ok(None)
}
