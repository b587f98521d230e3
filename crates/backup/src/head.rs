//! The head of a backup: what the store was, and which objects hold it. JSON, one object in one line, then a line with the digest
//! of the first.
//!
//! ```text
//!   backups/ID/head          this; written last: a backup counts once it is whole
//!   backups/ID/..            what is this backup's own: manifests, snapshot values, log, node file, users
//!   files/ID/..              series files and files of tags that this backup brought; later ones may name them too
//! ```
//! Promises: a head that reads is whole. May not know how files are made of it.

use crate::Error;
use crate::fleet::FleetHead;
use crate::line::Line;
use crate::place::{Place, whole};
use crate::sealed::unsealed;
use serde::{Deserialize, Serialize};

/// The newest format that this release reads: that of a fleet's marks.
pub const FORMAT: u32 = 3;
/// The format of a fleet's backups.
pub const FORMAT_FLEET: u32 = 2;
/// The format of what a store that is alone writes: releases before fleets had backups read it.
pub const FORMAT_LONE: u32 = 1;

/// A backup's name: the moment in UTC, and some random digits, so that names sort by time.
pub type BackupId = String;

/// A file of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it belongs below the store's directory.
    pub path: String,
    /// The object that holds it.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// A stretch of a log: zstd of bytes of one segment's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPiece {
    /// The object that holds it.
    pub key: String,
    /// Bytes of the object.
    pub bytes: u64,
    /// SHA-256 of the object.
    pub sha256: String,
    /// The segment's base and capacity, and where in its file the bytes begin.
    pub base: u64,
    /// See `base`.
    pub capacity: u64,
    /// See `base`.
    pub offset: u64,
    /// Where the next piece begins.
    pub next: u64,
}

/// A log, up to the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its directory below the store's.
    pub path: String,
    /// Its id, in hexadecimal digits: a JSON number is not exact.
    pub id: String,
    /// The position where it ends: the moment.
    pub to: u64,
    /// Its stretches, in order.
    pub pieces: Vec<LogPiece>,
}

/// The head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The format's number.
    pub format: u32,
    /// The backup's name.
    pub id: BackupId,
    /// Which store it is of, in hexadecimal digits.
    pub store: String,
    /// The release that wrote it.
    pub release: String,
    /// The moment by the store's clock: microseconds since 1970.
    pub moment_us: i64,
    /// All commits up to this one are in it at least.
    pub commit: u64,
    /// All that was committed or changed up to this moment is in it, microseconds since 1970; 0 where that was not told yet.
    #[serde(default)]
    pub closed: u64,
    /// Nothing in it, sample or tag, is of a later moment than this.
    #[serde(default)]
    pub last: u64,
    /// The line of the store; none where it had none yet.
    #[serde(default)]
    pub line: Option<Line>,
    /// How many bytes were written for it, and how many objects of earlier backups it needs.
    pub new_bytes: u64,
    /// Bytes of all that it names.
    pub bytes: u64,
    /// Tags that there were.
    pub tags: u64,
    /// The files.
    pub files: Vec<FileEntry>,
    /// The logs: the samples', the tag table's; none of a fleet.
    pub logs: Vec<LogEntry>,
    /// Where it is of a fleet, what that was; `store` is its meta then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetHead>,
}

impl Head {
    /// The file at a path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        file_at(&self.files, path)
    }

    /// Where the two logs end: the samples', the tag table's.
    pub(crate) fn ends(&self) -> Option<(u64, u64)> {
        match &self.logs[..] {
            [samples, tags] => Some((samples.to, tags.to)),
            _ => None,
        }
    }

    /// All objects that it names.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let pieces = self.logs.iter().flat_map(|log| &log.pieces).map(|piece| piece.key.as_str());
        self.files.iter().map(|file| file.key.as_str()).chain(pieces)
    }
}

/// The file at a path, of files in order.
pub(crate) fn file_at<'a>(files: &'a [FileEntry], path: &str) -> Option<&'a FileEntry> {
    files.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok().map(|at| &files[at])
}

/// A backup's name: the second of its moment in UTC, as in 20260131T235959Z, and some random digits.
pub(crate) fn name(moment_us: i64, random: u64) -> BackupId {
    let (year, month, day, second) = crate::moments::date(moment_us);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{:06x}", random & 0xff_ffff)
}

/// Where a backup's own objects lie.
pub(crate) fn own(id: &str) -> String {
    format!("backups/{id}/")
}

/// Where those of its objects lie that later backups may name too.
pub(crate) fn shared(id: &str) -> String {
    format!("files/{id}/")
}

pub(crate) fn key(id: &str) -> String {
    format!("{}head", own(id))
}

pub(crate) fn list(place: &dyn Place) -> Result<Vec<Head>, Error> {
    let mut heads = Vec::new();
    for key in place.list("backups/")?.iter().filter(|key| key.ends_with("/head")) {
        match whole(place, key)?.map(|bytes| unsealed::<Head>(key, &bytes)) {
            // One that was cut short never counted; a later release's may.
            Some(Err(Error::Damaged { .. })) | None => {}
            Some(head) => heads.push(head?),
        }
    }
    heads.sort_unstable_by(|a, b| (b.moment_us, &b.id).cmp(&(a.moment_us, &a.id)));
    Ok(heads)
}

pub(crate) fn find(place: &dyn Place, id: &str) -> Result<Head, Error> {
    let key = key(id);
    if let Some(bytes) = whole(place, &key)? {
        return unsealed(&key, &bytes);
    }
    let there: Vec<String> = list(place)?.into_iter().map(|head| head.id).collect();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    Err(Error::Unknown { id: id.to_owned(), place: place.name(), there })
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_tell_the_moment() {
        assert_eq!(name(0, 1), "19700101T000000Z-000001");
        assert_eq!(name(1_709_251_199_999_999, 0xabc_def0), "20240229T235959Z-bcdef0");
        assert_eq!(name(951_868_800_000_000, 0), "20000301T000000Z-000000");
        assert_eq!(name(-1, 0), "19691231T235959Z-000000");
    }
}
