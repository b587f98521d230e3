//! Pins: what is held for a replica that copies this one's files, and how it reads them.
//!
//! A pin is the manifest as it was (samples that are held of thinned tags lie in it), its files, open, and the records behind it. Files that a merge or a flush drops
//! meanwhile are removed by name only: who has them open reads on. A pin lives in memory: a process that ends lets go of it.
//! Promises: what is read of a pin is what its offer says, however long it takes; what is held that would be gone without
//! it stays within `Settings::led_pin_bytes_max`, or the pin is lost, and that is told.

use super::{Led, LedSlice, producer_rows};
use crate::core::Core;
use crate::frozen::{FrozenFile, FrozenSlice};
use crate::recovery::slice_dir;
use crate::slice::Slice;
use crate::{Error, Settings};
use bytes::Bytes;
use protocol::{History, Offer, ReplicaId};
use std::path::Path;
use std::sync::Arc;
use storage::{FileMeta, FileNumber, Manifest, SliceDirectory};
use types::{Period, Sequence, Version};
use world::{Access, Lane, Ticket};

/// A part of what is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// The manifest: the first that is needed.
    Manifest,
    /// A file, by its number.
    File(FileNumber),
}

/// What a pin holds, as it is offered.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// History, group versions and producers as of what the files hold.
    pub offer: Offer,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
}

/// A pin.
pub(super) struct Pin {
    flushed: Sequence,
    manifest: Bytes,
    number: u64,
    files: Vec<(FileMeta, Arc<dyn world::File>)>,
    /// What may be held that would be gone without it.
    bytes_max: u64,
}

/// What the files of a manifest offer: history, group versions and producers as of what they hold.
#[must_use]
pub fn offer_of(manifest: &Manifest) -> Offer {
    Offer {
        history: History::new(manifest.epochs.clone(), manifest.flushed),
        groups: manifest.groups.iter().map(|(period, version)| (*period, *version)).collect(),
        producers: producer_rows(manifest),
    }
}

impl LedSlice {
    /// Holds the manifest, its files, and the records behind it for a replica, in the place of what was held for it.
    pub fn pin(&self, peer: ReplicaId) -> Ticket<Result<Pinned, Error>> {
        let (promise, ticket) = Ticket::pair();
        let job = move |core: Arc<Core>, slice: Arc<Slice>| {
            promise.keep(core.pin(&slice, peer));
            core.finished(&slice);
        };
        self.core.enqueue(&self.slice, Lane::Flush, Box::new(job));
        ticket
    }

    /// Holds the records behind a version, and nothing else, in the place of what was held for that replica: as long as those that
    /// files hold too take no more than so many bytes. False where they are not at hand.
    pub fn hold_log(&self, peer: ReplicaId, after: Version, bytes_max: u64) -> bool {
        let pin = Pin { flushed: after.sequence, manifest: Bytes::new(), number: 0, files: Vec::new(), bytes_max };
        self.slice.with_led(|led| {
            let is_there = led.records.holds(after);
            if is_there {
                led.pins.insert(peer, pin);
            }
            is_there
        })
    }

    /// What the records behind a version take; none where they are not at hand.
    #[must_use]
    pub fn log_bytes(&self, after: Version) -> Option<u64> {
        self.slice.with_led(|led| {
            let last = led.records.last().sequence;
            led.records.holds(after).then(|| led.records.bytes_between(after.sequence, last))
        })
    }

    /// Lets go of what is held for a replica.
    pub fn unpin(&self, peer: ReplicaId) {
        let gone = self.slice.with_led(|led| led.pins.remove(&peer));
        drop(gone);
    }

    /// The pieces of a group, with their bytes; the manifest first. None where nothing is held for that replica (any more).
    #[must_use]
    pub fn pinned_pieces(&self, peer: ReplicaId, period: Period) -> Option<Vec<(Piece, u64)>> {
        self.slice.with_led(|led| {
            let pin = led.pins.get(&peer)?;
            let files = pin.files.iter().filter(|(meta, _)| touches(meta, period));
            let files = files.map(|(meta, _)| (Piece::File(meta.number), meta.bytes));
            Some(std::iter::once((Piece::Manifest, pin.manifest.len() as u64)).chain(files).collect())
        })
    }

    /// All that is held for somebody who takes it whole, as a backup does: the manifest, and its files, open. None where nothing is
    /// held for them (any more).
    ///
    /// # Errors
    /// `Error::Damaged` where the manifest can't be read back.
    pub fn pinned_slice(&self, peer: ReplicaId) -> Result<Option<FrozenSlice>, Error> {
        let held =
            self.slice.with_led(|led| led.pins.get(&peer).map(|pin| (pin.manifest.clone(), pin.number, pin.files.clone())));
        let Some((bytes, number, files)) = held else { return Ok(None) };
        let below = slice_dir(Path::new(""), self.slice.id);
        let (manifest, _) = storage::decode_manifest(&bytes, &below)?;
        let open = |(meta, file): (FileMeta, Arc<dyn world::File>)| FrozenFile {
            path: below.join(meta.path()),
            bytes: meta.bytes,
            file,
        };
        let files = files.into_iter().map(open).collect();
        Ok(Some(FrozenSlice { manifest: Arc::new(manifest), number, files, latest: None }))
    }

    /// Reads a piece from an offset on, at most so many bytes; none behind its end. None where it is not held (any more).
    ///
    /// # Errors
    /// `Error::Read`.
    pub fn read_pinned(&self, peer: ReplicaId, piece: Piece, offset: u64, bytes_max: usize) -> Result<Option<Bytes>, Error> {
        let (file, whole) = match self.slice.with_led(|led| led.pins.get(&peer).and_then(|pin| pin.piece(piece))) {
            Some(Held::File(file, bytes)) => (file, bytes),
            Some(Held::Manifest(bytes)) => {
                let from = bytes.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
                return Ok(Some(bytes.slice(from..bytes.len().min(from.saturating_add(bytes_max)))));
            }
            None => return Ok(None),
        };
        let left = usize::try_from(whole.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(bytes_max)];
        if !bytes.is_empty() {
            file.read_at(offset, &mut bytes).map_err(|fault| Error::Read(fault.to_string()))?;
        }
        Ok(Some(bytes.into()))
    }
}

enum Held {
    Manifest(Bytes),
    File(Arc<dyn world::File>, u64),
}

/// Whether a file has rows of a period.
pub(super) fn touches(meta: &FileMeta, period: Period) -> bool {
    meta.periods.iter().any(|(first, last)| *first <= period && period <= *last)
}

impl Pin {
    fn piece(&self, piece: Piece) -> Option<Held> {
        match piece {
            Piece::Manifest => Some(Held::Manifest(self.manifest.clone())),
            Piece::File(number) => {
                let (meta, file) = self.files.iter().find(|(meta, _)| meta.number == number)?;
                Some(Held::File(Arc::clone(file), meta.bytes))
            }
        }
    }

    /// Bytes of files that a manifest does not name.
    fn dropped_bytes(&self, manifest: &Manifest) -> u64 {
        self.files.iter().filter(|(meta, _)| manifest.file(meta.number).is_none()).map(|(meta, _)| meta.bytes).sum()
    }
}

impl Core {
    fn pin(&self, slice: &Slice, peer: ReplicaId) -> Result<Pinned, Error> {
        let directory = slice.filing.lock().directory.clone();
        let manifest =
            directory.as_deref().map_or_else(|| Arc::new(Manifest::new(self.store, slice.id)), SliceDirectory::manifest);
        let mut files = Vec::with_capacity(manifest.files.len());
        for meta in &manifest.files {
            let dir = directory.as_deref().map(SliceDirectory::dir).unwrap_or(&self.dir);
            let file = self.world.disk.open(&dir.join(meta.path()), Access::Read).map_err(storage::Error::from)?;
            files.push((meta.clone(), file));
        }
        let number = directory.as_deref().map_or(0, SliceDirectory::manifest_number);
        let bytes = Bytes::from(storage::encode_manifest(&manifest, number));
        let offer = offer_of(&manifest);
        let manifest_bytes = bytes.len() as u64;
        let bytes_max = self.settings.led_pin_bytes_max;
        let pin = Pin { flushed: manifest.flushed.sequence, manifest: bytes, number, files, bytes_max };
        slice.with_led(|led| match led.refusal(slice.id) {
            Some(fault) => Err(fault),
            None => {
                led.pins.insert(peer, pin);
                Ok(Pinned { offer, manifest_bytes })
            }
        })
    }
}

impl Led {
    /// After a flush: records that nobody needs go, and pins for which too much is held.
    pub(super) fn trim(&mut self, manifest: &Manifest, settings: &Settings) {
        let lost: Vec<ReplicaId> = self
            .pins
            .iter()
            .filter(|(_, pin)| {
                let records = self.records.bytes_between(pin.flushed, self.flushed.sequence);
                records + pin.dropped_bytes(manifest) > pin.bytes_max
            })
            .map(|(peer, _)| *peer)
            .collect();
        lost.iter().for_each(|peer| drop(self.pins.remove(peer)));
        self.pins_lost.extend(lost);
        let held = self.pins.values().map(|pin| pin.flushed).min().unwrap_or(self.flushed.sequence);
        self.records.trim(self.flushed.sequence, held, settings.led_tail_bytes_max);
    }
}
