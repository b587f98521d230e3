//! Parcels: what is archived of a store's log at one time, and how they are found.
//!
//! ```text
//!   archive/LINE/NUMBER-FROM-TO-RANDOM/head           sealed JSON; written last: a parcel counts once it is whole
//!   archive/LINE/NUMBER-FROM-TO-RANDOM/log-NNNNNN ..  stretches of the two logs, and files beside them that changed
//! ```
//! NUMBER counts a line's parcels; FROM and TO are moments: all that was committed after the one and up to the other is in it. So a
//! listing tells what can be restored. The random digits are another's where two stores archive as one line: none overwrites.
//! Promises: a parcel is found whole or not at all. May not know how it is made of a log.

use crate::Error;
use crate::head::{FileEntry, LogEntry};
use crate::line::Line;
use crate::place::{Place, whole};
use crate::sealed::{is_cut, unsealed};
use serde::{Deserialize, Serialize};

/// Where all of them lie.
pub(crate) const ARCHIVE: &str = "archive/";

/// The head of a parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The format's number.
    pub format: u32,
    /// Which store it is of, in hexadecimal digits.
    pub store: String,
    /// The release that wrote it.
    pub release: String,
    /// The line of the store.
    pub line: Line,
    /// Its number in the line, from 1 on.
    pub number: u64,
    /// The moment that the one before it ends with.
    pub from_us: u64,
    /// The moment: all that was committed and changed up to it lies in this one and those before.
    pub to_us: u64,
    /// Where its stretches begin: in the samples' log, in the tag table's.
    pub log_from: u64,
    /// See `log_from`.
    pub tags_from: u64,
    /// The stretches of the two logs.
    pub logs: Vec<LogEntry>,
    /// All files beside the logs, where one of them changed.
    pub files: Option<Vec<FileEntry>>,
}

impl Parcel {
    /// Where the two logs end: the samples', the tag table's.
    pub(crate) fn ends(&self) -> Option<(u64, u64)> {
        match &self.logs[..] {
            [samples, tags] => Some((samples.to, tags.to)),
            _ => None,
        }
    }

    /// Bytes of the objects of its logs.
    pub(crate) fn bytes(&self) -> u64 {
        self.logs.iter().flat_map(|log| &log.pieces).map(|piece| piece.bytes).sum()
    }
}

/// What the name of a parcel tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParcelName {
    /// The line's name.
    pub line: String,
    /// See `Parcel`.
    pub number: u64,
    /// See `Parcel`.
    pub from_us: u64,
    /// See `Parcel`.
    pub to_us: u64,
    random: u32,
}

impl ParcelName {
    pub(crate) fn new(line: &str, number: u64, (from_us, to_us): (u64, u64), random: u64) -> ParcelName {
        ParcelName { line: line.to_owned(), number, from_us, to_us, random: (random & 0xff_ffff) as u32 }
    }

    /// What its objects' keys begin with.
    pub(crate) fn own(&self) -> String {
        let ParcelName { line, number, from_us, to_us, random } = self;
        format!("{ARCHIVE}{line}/{number:010}-{from_us:020}-{to_us:020}-{random:06x}/")
    }

    /// The key of its head.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}head", self.own())
    }

    /// The parcel that an object belongs to, by its key, and what is left of the key.
    #[must_use]
    pub fn of(key: &str) -> Option<(ParcelName, &str)> {
        let (line, rest) = key.strip_prefix(ARCHIVE)?.split_once('/')?;
        let (name, object) = rest.split_once('/')?;
        let mut parts = name.split('-');
        let mut number = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?.parse::<u64>().ok();
        let (number, from_us, to_us) = (number()?, number()?, number()?);
        let random = u32::from_str_radix(parts.next()?, 16).ok()?;
        let name = ParcelName { line: line.to_owned(), number, from_us, to_us, random };
        // Only what is written as we write it.
        key.starts_with(&name.own()).then_some((name, object))
    }
}

/// The parcels whose heads lie under a prefix of keys: by line, then in order. A head whose writing was cut short does not count.
pub(crate) fn names(place: &dyn Place, prefix: &str) -> Result<Vec<ParcelName>, Error> {
    let listed = listed(place, prefix)?;
    let mut names = Vec::with_capacity(listed.len());
    for (at, name) in listed.iter().enumerate() {
        let same =
            |other: Option<&ParcelName>| other.is_some_and(|other| (&other.line, other.number) == (&name.line, name.number));
        let follows = listed.get(at + 1).filter(|next| next.line == name.line && next.number > name.number);
        // From one that was cut short nothing goes on.
        let is_sure = follows.is_some_and(|next| next.from_us == name.to_us) && !(at > 0 && same(listed.get(at - 1)));
        if is_sure || !is_torn(place, name)? {
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// The same, whole or not.
pub(crate) fn listed(place: &dyn Place, prefix: &str) -> Result<Vec<ParcelName>, Error> {
    let keys = place.list(prefix)?;
    let heads = keys.iter().filter_map(|key| ParcelName::of(key)).filter(|(_, object)| *object == "head");
    let mut names: Vec<ParcelName> = heads.map(|(name, _)| name).collect();
    names.sort_unstable();
    Ok(names)
}

/// Whether a parcel's head was cut short: not one that was changed since.
pub(crate) fn is_torn(place: &dyn Place, name: &ParcelName) -> Result<bool, Error> {
    Ok(whole(place, &name.key())?.is_none_or(|bytes| is_cut(&bytes)))
}

/// What the keys of a line's parcels of one number begin with.
pub(crate) fn numbered(line: &str, number: u64) -> String {
    format!("{ARCHIVE}{line}/{number:010}-")
}

/// The head of a parcel that a listing named.
pub(crate) fn read(place: &dyn Place, name: &ParcelName) -> Result<Parcel, Error> {
    let key = name.key();
    let damaged = |what: &str| Error::Damaged { key: key.clone(), what: what.to_owned() };
    let bytes = whole(place, &key)?.ok_or_else(|| damaged("it is missing"))?;
    let parcel: Parcel = unsealed(&key, &bytes)?;
    let named = (parcel.line.id.as_str(), parcel.number, parcel.from_us, parcel.to_us);
    if named != (name.line.as_str(), name.number, name.from_us, name.to_us) || parcel.ends().is_none() {
        return Err(damaged("it is another one under this name"));
    }
    Ok(parcel)
}

#[cfg(test)]
mod tests {
    use super::ParcelName;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let name = ParcelName::new("0a", 7, (1, 1_800_000_000_000_000), 0xab_cdef);
        assert_eq!(ParcelName::of(&name.key()), Some((name.clone(), "head")));
        assert_eq!(ParcelName::of(&format!("{}log-000000", name.own())), Some((name, "log-000000")));
        for other in ["archive/0a/x/head", "archive/0a/7-1-2-3/head", "backups/0a/head", "archive/0a", "archive/0a/1-2/head"] {
            assert_eq!(ParcelName::of(other), None, "{other}");
        }
    }
}
