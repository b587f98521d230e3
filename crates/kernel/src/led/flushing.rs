//! What a flush takes of a led slice: what is stable and published, no more.
//!
//! Where all that is applied is stable the buffer is flushed as it is, as that of any slice. Where more is applied (the slice
//! answers before its backups have the record) what is stable is put together anew from the records at hand, and once it
//! lies in files the buffer is made anew of the rest. Promises: nothing beyond what is stable reaches a file; the file of
//! snapshot values, which may be ahead, names the tags of which that is so.

use super::note;
use super::{Led, refused};
use crate::Error;
use crate::commit::Body;
use crate::core::Core;
use crate::flush::Taken;
use crate::held;
use crate::slice::Slice;
use crate::state::State;
use hashbrown::HashSet;
use protocol::ProducerRow;
use series::Held;
use std::sync::Arc;
use storage::{EpochStart, Manifest, Producer, SliceDirectory};
use types::{CommitNumber, TagId, Version};

/// As a manifest has it: by the write that brought the number.
pub(super) fn producer(row: &ProducerRow) -> Producer {
    Producer { id: row.producer, number: row.number, last_used: CommitNumber(row.sequence.0) }
}

impl Core {
    /// What there is to be flushed of a led slice. None where there is nothing.
    pub(crate) fn take_led(&self, slice: &Slice) -> Result<Option<Taken>, Error> {
        let directory = slice.filing.lock().directory.clone();
        let mut guard = slice.led.lock();
        let led = guard.as_mut().ok_or_else(|| refused(slice.id, "it is not led".to_owned()))?;
        let bound = led.bound();
        if led.broken.is_some() || bound.sequence <= led.flushed.sequence {
            return Ok(None);
        }
        let producers = led.producers_at(bound, self.settings.producers_max).iter().map(producer).collect();
        let epochs: Vec<EpochStart> = led.history.starts().iter().filter(|start| start.after < bound.sequence).copied().collect();
        let position = led.records.get(bound).and_then(|kept| kept.position).expect("what is published is in the log");
        let mut state = slice.state.lock();
        let rebuilt = state.version != bound;
        let mut scratch;
        let source = if rebuilt {
            scratch = self.led_state(slice, led, bound, directory.as_deref(), &state)?;
            &mut scratch
        } else {
            &mut *state
        };
        let Some(view) = source.buffer.seal() else { return Ok(None) };
        let (version, commit, bytes) = (bound, source.commit, source.buffer.bytes() as u64);
        let (groups, deletions) = (source.groups.clone(), source.deletions.clone());
        let graves = state.graves.clone();
        Ok(Some(Taken { view, version, commit, bytes, groups, producers, epochs, graves, deletions, position, rebuilt }))
    }

    /// The state that the slice's manifest and its records up to a version lead to, without their room.
    pub(super) fn led_state(
        &self,
        slice: &Slice,
        led: &mut Led,
        up_to: Version,
        directory: Option<&SliceDirectory>,
        now: &State,
    ) -> Result<State, Error> {
        let manifest = directory.map(SliceDirectory::manifest);
        let damaged = |what: String| Error::Damaged(format!("slice {}: {what}", slice.id));
        // A manifest that was refused may be in force all the same; nothing is known of such a disk.
        if manifest.as_ref().is_some_and(|manifest| manifest.flushed != led.flushed) {
            let why = || format!("slice {}: a manifest of its was neither refused nor put in force", slice.id);
            return Err(self.poison().unwrap_or_else(|| Error::Poisoned(why())));
        }
        let mut state = match &manifest {
            Some(manifest) => {
                let held = held::load(manifest).map_err(damaged)?;
                State::of(manifest, Arc::clone(&now.files), now.graves.clone(), held)
            }
            None => State::empty(),
        };
        for kept in led.records.between(led.flushed.sequence, up_to.sequence) {
            state.apply(&self.led_applied(kept), kept.bodies.iter().cloned(), None, slice.period_us);
        }
        Ok(state)
    }

    /// After a flush is durable, under the slice's `led` and `state`: what files hold now.
    pub(crate) fn led_flushed(&self, slice: &Slice, led: &mut Led, state: &mut State, taken: &Taken, manifest: &Manifest) {
        led.flushed = taken.version;
        led.producers = super::producer_rows(manifest);
        led.note_kept(manifest);
        if taken.rebuilt {
            let rest = self.led_rest(slice, led, taken.view.held().clone());
            state.buffer = rest.buffer;
            state.buffers_made += 1;
        }
        led.trim(manifest, &self.settings);
    }

    /// A buffer of what is published beyond the files.
    fn led_rest(&self, slice: &Slice, led: &mut Led, held: Held) -> State {
        let mut rest = State::empty();
        rest.buffer.restore(held);
        rest.version = led.flushed;
        for kept in led.records.between(led.flushed.sequence, led.published.sequence) {
            rest.apply(&self.led_applied(kept), kept.bodies.iter().cloned(), None, slice.period_us);
        }
        rest
    }

    /// Where a flush took nothing: a manifest keeps what only the log tells of a led slice.
    pub(crate) fn keep_led_note(&self, slice: &Slice) -> Result<(), Error> {
        let noted = slice.led.lock().as_ref().and_then(|led| led.epoch_note.map(|_| led.note()));
        let Some(noted) = noted else { return Ok(()) };
        let directory = self.directory(slice)?;
        let mut manifest = Manifest::clone(&directory.manifest());
        note::store(&mut manifest, noted);
        let manifest = directory.publish(manifest)?;
        slice.with_led(|led| led.note_kept(&manifest));
        self.cut_log();
        Ok(())
    }

    /// Of a file of snapshot values that was written for a flush up to a version: which tags may be ahead in it. None
    /// where that can't be told.
    pub(crate) fn led_ahead(&self, slice: &Slice, flushed: Version) -> Option<Vec<TagId>> {
        slice.with_led(|led| {
            let published = led.published.sequence;
            let mut tags = HashSet::new();
            for kept in led.records.beyond(flushed.sequence).take_while(|kept| kept.version().sequence <= published) {
                if add_tags(&kept.bodies, &mut tags) {
                    return None;
                }
            }
            Some(tags.into_iter().collect())
        })
    }
}

/// Adds the tags of samples; whether there is a deletion, which may concern any.
pub(super) fn add_tags(bodies: &[Body], tags: &mut HashSet<TagId>) -> bool {
    let mut deletes = false;
    for body in bodies {
        match body {
            Body::Samples { section, .. } | Body::Held { section, .. } => {
                tags.extend((0..section.rows()).map(|row| section.tag(row)));
            }
            Body::Deletion { .. } => deletes = true,
        }
    }
    deletes
}

impl Led {
    /// A manifest is durable that keeps what it says of the slice.
    pub(super) fn note_kept(&mut self, manifest: &Manifest) {
        let kept = note::load(manifest).ok().flatten();
        if kept.is_some_and(|kept| kept.epoch >= self.epoch_kept) {
            self.epoch_note = None;
        }
    }

    /// Writes what a manifest is to keep.
    pub(crate) fn store_note(&self, manifest: &mut Manifest) {
        note::store(manifest, self.note());
    }
}
