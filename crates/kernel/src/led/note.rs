//! What a slice's manifest says of a slice that is led: an opaque entry of kind 4, in led slices only.
//!
//! `format u8 (1), exists u8, zero u16, zero u32, epoch u64, anew u64`: whether the slice's data are wanted here (0: they were
//! deleted); the highest epoch promised; the position in the log below which nothing of the slice counts.
//! It outlives the slice's data: a deleted slice keeps its manifest, which then names no file.

use crate::record::Reader;
use log::Position;
use storage::{Manifest, Opaque};
use types::Epoch;

/// The entry's kind.
pub(crate) const KIND_LED: u8 = 4;
const FORMAT: u8 = 1;

/// What a manifest says of a led slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedNote {
    pub(crate) exists: bool,
    pub(crate) epoch: Epoch,
    pub(crate) anew: Position,
}

/// Writes it into a manifest, in the place of what it has.
pub(crate) fn store(manifest: &mut Manifest, note: LedNote) {
    manifest.opaque.retain(|entry| entry.kind != KIND_LED);
    let mut bytes = vec![FORMAT, u8::from(note.exists), 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&note.epoch.0.to_le_bytes());
    bytes.extend_from_slice(&note.anew.0.to_le_bytes());
    manifest.opaque.push(Opaque { kind: KIND_LED, bytes });
}

/// Reads it back; none where the slice is not led.
///
/// # Errors
/// What is wrong, as text.
pub(crate) fn load(manifest: &Manifest) -> Result<Option<LedNote>, String> {
    let Some(entry) = manifest.opaque.iter().find(|entry| entry.kind == KIND_LED) else { return Ok(None) };
    let mut reader = Reader::new(&entry.bytes);
    let [format, exists, ..] = reader.array::<8>()?;
    if format != FORMAT {
        return Err(format!("a led slice's note of format {format}; this release reads {FORMAT}"));
    }
    let note = LedNote { exists: exists == 1, epoch: Epoch(reader.u64()?), anew: Position(reader.u64()?) };
    reader.end()?;
    Ok(Some(note))
}
