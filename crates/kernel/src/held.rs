//! Held samples, as the manifest keeps them: no file of samples has them, and the log that told them is cut.
//!
//! An opaque entry of kind 3: a section of numeric samples as `series` lays it out, tags rising, one
//! sample a tag; the entry is not there where nothing is held.
//! Promises: what was held at the flushed version comes back; anything else is an error.
//! It may not know why samples are held.

use bytes::Bytes;
use series::{Held, Section};
use storage::{Manifest, Opaque};

/// The entry's kind.
pub(crate) const KIND_HELD: u8 = 3;

/// Writes what is held into a manifest, in the place of what it has.
pub(crate) fn store(manifest: &mut Manifest, held: &Held) {
    manifest.opaque.retain(|entry| entry.kind != KIND_HELD);
    if let Some(section) = held.section() {
        manifest.opaque.push(Opaque { kind: KIND_HELD, bytes: section.bytes().to_vec() });
    }
}

/// Reads it back.
///
/// # Errors
/// What is wrong, as text.
pub(crate) fn load(manifest: &Manifest) -> Result<Held, String> {
    let Some(entry) = manifest.opaque.iter().find(|entry| entry.kind == KIND_HELD) else { return Ok(Held::default()) };
    let section = Section::parse(Bytes::copy_from_slice(&entry.bytes)).map_err(|fault| fault.to_string())?;
    Held::of(&section).ok_or_else(|| "its held samples are not one a tag".to_owned())
}
