//! Small objects that tell what others hold: JSON, one value in one line, then a line with the digest of the first.
//!
//! Promises: what reads is whole. May not know what it is about.

use crate::Error;
use crate::head::FORMAT;
use crate::place::{Place, sha256, whole};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The bytes of its object.
pub(crate) fn sealed(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let line = serde_json::to_string(value).map_err(|fault| Error::Store(format!("what is to be told of it: {fault}")))?;
    Ok(format!("{line}\n{}\n", sha256(line.as_bytes())).into_bytes())
}

/// Writes its object.
pub(crate) fn put_sealed(place: &dyn Place, key: &str, value: &impl Serialize) -> Result<(), Error> {
    let bytes = sealed(value)?;
    place.put(key, bytes.len() as u64, &mut &bytes[..])
}

/// The value of an object; none where there is none.
pub(crate) fn read_sealed<T: DeserializeOwned>(place: &dyn Place, key: &str) -> Result<Option<T>, Error> {
    whole(place, key)?.map(|bytes| unsealed(key, &bytes)).transpose()
}

/// Whether bytes are only the beginning of such an object.
pub(crate) fn is_cut(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let (line, digest, rest) = (lines.next(), lines.next(), lines.next());
    line.is_none_or(<[u8]>::is_empty) || digest.is_none_or(|digest| digest.len() < 64) || rest.is_none()
}

/// The value, whose member `format` is none that only later releases know.
pub(crate) fn unsealed<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Error> {
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
