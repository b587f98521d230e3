//! The system's files: pread, pwritev, preadv, fallocate, fdatasync.

use super::disk::failed;
use crate::{DiskError, File, Operation, ReadRange};
use std::io::{Error, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How many parts one system call takes (IOV_MAX of Linux).
const PARTS_MAX: usize = 1024;

/// An open file of the system.
#[derive(Debug)]
pub(super) struct RealFile {
    file: std::fs::File,
    path: PathBuf,
}

impl RealFile {
    pub(super) fn new(file: std::fs::File, path: &Path) -> RealFile {
        RealFile { file, path: path.to_path_buf() }
    }

    fn write_parts(&self, mut offset: u64, parts: &[&[u8]]) -> Result<(), Error> {
        let mut vectors: Vec<libc::iovec> = Vec::with_capacity(parts.len().min(PARTS_MAX));
        for parts in parts.chunks(PARTS_MAX) {
            vectors.clear();
            vectors.extend(
                parts
                    .iter()
                    .filter(|part| !part.is_empty())
                    .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() }),
            );
            let mut rest = &mut vectors[..];
            while !rest.is_empty() {
                // SAFETY: each vector is a part that the caller lent for this call; pwritev only reads it.
                let put = unsafe {
                    libc::pwritev(self.file.as_raw_fd(), rest.as_ptr(), rest.len() as libc::c_int, offset.cast_signed())
                };
                let put = moved(put, ErrorKind::WriteZero)?;
                offset += put as u64;
                rest = beyond(rest, put);
            }
        }
        Ok(())
    }

    /// Reads ranges that adjoin by as few calls as possible.
    fn read_run(&self, run: &mut [ReadRange<'_>]) -> Result<(), Error> {
        if let [only] = run {
            return self.file.read_exact_at(only.into, only.offset);
        }
        let Some(first) = run.first() else { return Ok(()) };
        let mut offset = first.offset;
        for run in run.chunks_mut(PARTS_MAX) {
            let mut vectors: Vec<libc::iovec> = run
                .iter_mut()
                .filter(|range| !range.into.is_empty())
                .map(|range| libc::iovec { iov_base: range.into.as_mut_ptr().cast(), iov_len: range.into.len() })
                .collect();
            let mut rest = &mut vectors[..];
            while !rest.is_empty() {
                // SAFETY: each vector is memory that the caller lent, mutably and alone, for this call.
                let got = unsafe {
                    libc::preadv(self.file.as_raw_fd(), rest.as_ptr(), rest.len() as libc::c_int, offset.cast_signed())
                };
                let got = moved(got, ErrorKind::UnexpectedEof)?;
                offset += got as u64;
                rest = beyond(rest, got);
            }
        }
        Ok(())
    }
}

/// What a call moved: an error of the system, `nothing` where it moved none, 0 where a signal came between.
fn moved(answer: isize, nothing: ErrorKind) -> Result<usize, Error> {
    match usize::try_from(answer) {
        Ok(0) => Err(Error::from(nothing)),
        Ok(bytes) => Ok(bytes),
        Err(_) => match Error::last_os_error() {
            cause if cause.kind() == ErrorKind::Interrupted => Ok(0),
            cause => Err(cause),
        },
    }
}

/// What is left of the vectors behind the first `bytes`.
fn beyond(mut rest: &mut [libc::iovec], mut bytes: usize) -> &mut [libc::iovec] {
    while let Some(first) = rest.first_mut() {
        if bytes < first.iov_len {
            first.iov_base = first.iov_base.wrapping_byte_add(bytes);
            first.iov_len -= bytes;
            break;
        }
        bytes -= first.iov_len;
        rest = &mut rest[1..];
    }
    rest
}

impl File for RealFile {
    fn len(&self) -> Result<u64, DiskError> {
        self.file.metadata().map(|data| data.len()).map_err(failed(Operation::Measure, &self.path))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.file.read_exact_at(into, offset).map_err(failed(Operation::Read, &self.path))
    }

    fn read_ranges(&self, ranges: &mut [ReadRange<'_>]) -> Result<(), DiskError> {
        let mut rest = ranges;
        while !rest.is_empty() {
            let mut count = 1;
            while count < rest.len() && rest[count - 1].offset + rest[count - 1].into.len() as u64 == rest[count].offset {
                count += 1;
            }
            let (run, after) = rest.split_at_mut(count);
            self.read_run(run).map_err(failed(Operation::Read, &self.path))?;
            rest = after;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        match parts {
            [only] => self.file.write_all_at(only, offset),
            parts => self.write_parts(offset, parts),
        }
        .map_err(failed(Operation::Write, &self.path))
    }

    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.file.set_len(len).map_err(failed(Operation::Truncate, &self.path))
    }

    fn reserve(&self, len: u64) -> Result<(), DiskError> {
        let bytes = i64::try_from(len).map_err(|_| Error::from(ErrorKind::FileTooLarge));
        let reserve = |bytes: i64| loop {
            // SAFETY: only numbers are handed over; the descriptor is open as long as `self`.
            match unsafe { libc::posix_fallocate(self.file.as_raw_fd(), 0, bytes) } {
                0 => return Ok(()),
                libc::EINTR => {}
                code => return Err(Error::from_raw_os_error(code)),
            }
        };
        bytes.and_then(reserve).map_err(failed(Operation::Reserve, &self.path))
    }

    fn sync(&self) -> Result<(), DiskError> {
        // fdatasync: the bytes and what is needed to find them, the length included; not the times.
        self.file.sync_data().map_err(failed(Operation::Sync, &self.path))
    }
}
