//! The head of a backup: what the store was, and which objects hold it. JSON, one object in one line, then a line with the digest
//! of the first.
//!
//! ```text
//!   backups/ID/head          this; written last: a backup counts once it is whole
//!   backups/ID/..            what is this backup's own: manifests, snapshot values, log, node file, users
//!   files/..                 series files and blocks of tags, shared by backups: written once, never changed
//! ```
//! Promises: a head that reads is whole. May not know how files are made of it.

use crate::Error;
use crate::place::{Place, sha256, whole};
use serde::{Deserialize, Serialize};

/// The format that this release writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

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
    /// How many bytes were written for it, and how many objects of earlier backups it needs.
    pub new_bytes: u64,
    /// Bytes of all that it names.
    pub bytes: u64,
    /// Tags that there were.
    pub tags: u64,
    /// The files.
    pub files: Vec<FileEntry>,
    /// The logs: the samples', the tag table's.
    pub logs: Vec<LogEntry>,
}

impl Head {
    /// The bytes of its object.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let line = serde_json::to_string(self).map_err(|fault| Error::Store(format!("a backup's head: {fault}")))?;
        Ok(format!("{line}\n{}\n", sha256(line.as_bytes())).into_bytes())
    }

    fn decode(key: &str, bytes: &[u8]) -> Result<Head, Error> {
        let damaged = |what: String| Error::Damaged { key: key.to_owned(), what };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not UTF-8".to_owned()))?;
        let mut lines = text.split('\n');
        let (line, digest) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        if digest != sha256(line.as_bytes()) || lines.next() != Some("") || lines.next().is_some() {
            return Err(damaged("it does not end with the digest of what is in it: it was cut off or changed".to_owned()));
        }
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let format = serde_json::from_str::<Format>(line).map_err(|fault| damaged(fault.to_string()))?.format;
        if format > FORMAT {
            return Err(Error::Format { key: key.to_owned(), format, known: FORMAT });
        }
        serde_json::from_str(line).map_err(|fault| damaged(fault.to_string()))
    }

    /// The file at a path.
    pub(crate) fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok().map(|at| &self.files[at])
    }

    /// All objects that it names.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let pieces = self.logs.iter().flat_map(|log| &log.pieces).map(|piece| piece.key.as_str());
        self.files.iter().map(|file| file.key.as_str()).chain(pieces)
    }
}

/// A backup's name: the second of its moment in UTC, as in 20260131T235959Z, and some random digits.
pub(crate) fn name(moment_us: i64, random: u64) -> BackupId {
    let (days, second) = (moment_us.div_euclid(86_400_000_000), moment_us.rem_euclid(86_400_000_000) / 1_000_000);
    // Days since 0000-03-01 in eras of 400 years, each year beginning in March: a leap day is a year's last.
    let (era, day) = ((days + 719_468).div_euclid(146_097), (days + 719_468).rem_euclid(146_097));
    let of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * of_era + of_era / 4 - of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{:06x}", random & 0xff_ffff)
}

/// Where a backup's own objects lie.
pub(crate) fn own(id: &str) -> String {
    format!("backups/{id}/")
}

pub(crate) fn key(id: &str) -> String {
    format!("{}head", own(id))
}

pub(crate) fn list(place: &dyn Place) -> Result<Vec<Head>, Error> {
    let mut heads = Vec::new();
    for key in place.list("backups/")?.iter().filter(|key| key.ends_with("/head")) {
        match whole(place, key)?.map(|bytes| Head::decode(key, &bytes)) {
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
        return Head::decode(&key, &bytes);
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
