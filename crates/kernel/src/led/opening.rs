//! What a led slice comes back with: its manifest's note, then the log's records of it, kept and not applied.
//!
//! ```text
//!   record -> follows the one before          an end -> what stands behind that version is forgotten
//!   at the end: what files hold must be one of them, or the one before; the rest is kept
//! ```
//! Whether a record beyond the files is stable is not known until whoever leads says so: it is not applied. Records that
//! files hold are the tail. Promises: the log's records of a slice lead on from its files without a hole, or the store is
//! not opened.

use super::format::{self, Note};
use super::records::{Kept, Records};
use super::{Led, refused};
use crate::core::Core;
use crate::record::RECORD_LED;
use crate::slice::Slice;
use crate::{Durability, Error};
use log::{Position, Record as LogRecord};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{SliceId, Version};

impl Core {
    /// Keeps a record of the log for the slice that it is of.
    pub(crate) fn replay_led(&self, record: &LogRecord) -> Result<(), Error> {
        let damaged = |what: String| Error::Damaged(format!("log record at position {}: {what}", record.position));
        let tail_bytes_max = self.settings.led_tail_bytes_max;
        if record.kind == RECORD_LED {
            let (id, write) = format::decode_write(&record.head, &record.body).map_err(damaged)?;
            let slice = self.replayed_slice(id).map_err(damaged)?;
            let (commit, bodies) = format::decode_body(&write.body, slice.period_us).map_err(damaged)?;
            let mut order = self.order.lock();
            order.commit = order.commit.max(commit);
            drop(order);
            // What was in memory before fits again; see `Core::replay`.
            let room = write.bytes() + bodies.iter().map(crate::commit::Body::memory_bytes).sum::<u64>();
            let grant = self.shares.buffers.try_take(room);
            let kept = Kept { record: write, commit, bodies, position: Some(record.position), grant };
            return slice
                .with_led(|led| led.replay(record.position, |led| led.replay_write(kept, tail_bytes_max)))
                .map_err(damaged);
        }
        let (id, note) = format::decode_note(&record.head).map_err(damaged)?;
        let slice = self.replayed_slice(id).map_err(damaged)?;
        slice.with_led(|led| led.replay(record.position, |led| led.replay_note(note, record.position))).map_err(damaged)
    }

    fn replayed_slice(&self, id: SliceId) -> Result<Arc<Slice>, String> {
        let slice = self.led_slice(id).map_err(|fault| fault.to_string())?;
        if !slice.is_led.load(Ordering::Acquire) {
            if slice.state.lock().version != Version::default() {
                return Err(format!("it is of slice {id} as a led one, and that was numbered here"));
            }
            *slice.led.lock() = Some(Led { exists: false, ..Led::new() });
            slice.is_led.store(true, Ordering::Release);
            self.order.lock().leads = true;
        }
        Ok(slice)
    }

    /// All of the log was met: what is kept must lead on from the files.
    pub(crate) fn settle_led(&self) -> Result<(), Error> {
        for slice in &self.ground().slices {
            let mut guard = slice.led.lock();
            let Some(led) = guard.as_mut() else { continue };
            led.settle().map_err(|what| Error::Damaged(format!("slice {}: {what}", slice.id)))?;
        }
        Ok(())
    }

    /// Makes room for a led slice.
    pub(super) fn lead(&self, id: SliceId) -> Result<Arc<Slice>, Error> {
        if self.settings.durability != Durability::Commit {
            return Err(refused(id, "a led slice needs durability \"commit\": what is logged must be synced".to_owned()));
        }
        let slice = self.led_slice(id)?;
        // Held until the flag is set: no write of its own gets a number meanwhile.
        let mut order = self.order.lock();
        if slice.is_led.load(Ordering::Acquire) {
            slice.with_led(|led| {
                if led.blocked {
                    return Err(refused(id, "it is being changed; ask again when that is over".to_owned()));
                }
                led.exists = true;
                Ok(())
            })?;
            drop(order);
            return Ok(slice);
        }
        if order.sequences[id.0 as usize] > 0 {
            return Err(refused(id, "it has writes that were numbered here".to_owned()));
        }
        *slice.led.lock() = Some(Led::new());
        slice.is_led.store(true, Ordering::Release);
        order.leads = true;
        drop(order);
        Ok(slice)
    }
}

/// Which slice a record of the log is of.
///
/// # Errors
/// What is wrong, as text.
pub(crate) fn slice_of(record: &LogRecord) -> Result<SliceId, String> {
    if record.kind == RECORD_LED {
        return format::decode_write(&record.head, &record.body).map(|(slice, _)| slice);
    }
    format::decode_note(&record.head).map(|(slice, _)| slice)
}

impl Slice {
    /// Does something with what the slice keeps as a led one.
    ///
    /// # Panics
    /// Where it is not led: whoever calls has looked.
    pub(crate) fn with_led<T>(&self, work: impl FnOnce(&mut Led) -> T) -> T {
        work(self.led.lock().as_mut().expect("a slice that is led stays so"))
    }
}

impl Led {
    fn replay(&mut self, position: Position, work: impl FnOnce(&mut Led) -> Result<(), String>) -> Result<(), String> {
        // The slice began anew behind it: in place of its data, or of none.
        if position < self.anew { Ok(()) } else { work(self) }
    }

    fn replay_write(&mut self, kept: Kept, tail_bytes_max: u64) -> Result<(), String> {
        self.exists = true;
        if !self.begun {
            self.records = Records::after(kept.record.prev);
            self.begun = true;
        }
        if !self.records.is_followed_by(&kept.record) {
            let (version, prev, last) = (kept.version(), kept.record.prev, self.records.last());
            return Err(format!("write {version} of a led slice says that it follows {prev}, and stands behind {last}"));
        }
        self.records.push(kept);
        self.records.trim(self.flushed.sequence, self.flushed.sequence, tail_bytes_max);
        Ok(())
    }

    fn replay_note(&mut self, note: Note, position: Position) -> Result<(), String> {
        match note {
            Note::Epoch(epoch) => {
                self.exists = true;
                if epoch > self.epoch_kept {
                    (self.epoch, self.epoch_kept, self.epoch_note) = (epoch, epoch, Some(position));
                }
            }
            Note::End(version) => {
                drop(self.records.end_at(version));
                self.begun = true;
            }
            // Where it counts the manifest names it.
            Note::Anew => {}
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), String> {
        let flushed = self.flushed;
        if !self.begun {
            self.records = Records::after(flushed);
        }
        if !self.records.holds(flushed) {
            return Err(format!(
                "its files hold writes up to {flushed}, and the log has {} to {} of it: writes are missing between them",
                self.records.begin(),
                self.records.last()
            ));
        }
        for kept in self.records.beyond(flushed.sequence) {
            self.history.push(kept.version());
        }
        self.logged = self.records.last();
        Ok(())
    }
}
