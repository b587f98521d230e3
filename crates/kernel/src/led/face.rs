//! What higher floors may ask of a led slice. What each promises is written in docs/decisions/0008-replication.md.

use super::SetAside;
use super::work::Op;
use crate::core::Core;
use crate::slice::Slice;
use crate::{Error, Kernel};
use protocol::{ProducerRow, Record, Recovered, ReplicaId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{Epoch, Sequence, SliceId, Version};
use world::{Lane, Ticket};

/// What a kernel says of its led slices unasked. It is told on a lane of the runner, with locks of the kernel free.
pub type LedListener = Box<dyn Fn(SliceId, LedNews) + Send + Sync>;

/// Something that happened to a led slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedNews {
    /// A flush is durable.
    Flushed {
        /// The last write that files hold.
        flushed: Version,
        /// Records behind this number are at hand.
        log_after: Sequence,
    },
    /// More was held for a replica that copies files than `Settings::led_pin_bytes_max` allows: its pin is gone.
    PinLost {
        /// Whose.
        peer: ReplicaId,
    },
}

/// A slice that is numbered from outside.
#[derive(Clone)]
pub struct LedSlice {
    pub(crate) core: Arc<Core>,
    pub(crate) slice: Arc<Slice>,
}

impl Kernel {
    /// Makes room for a slice that is numbered from outside from now on; one that was deleted is wanted again. Nothing of it
    /// is durable before its first epoch or record.
    ///
    /// # Errors
    /// `Error::Led` where it has writes of this node's own numbering, or the durability is not `Commit`.
    pub fn lead(&self, slice: SliceId) -> Result<LedSlice, Error> {
        Ok(LedSlice { slice: self.core.lead(slice)?, core: Arc::clone(&self.core) })
    }

    /// The led slices whose data are wanted here.
    #[must_use]
    pub fn led_slices(&self) -> Vec<LedSlice> {
        let ground = self.core.ground();
        let led = |slice: &&Arc<Slice>| slice.led.lock().as_ref().is_some_and(|led| led.exists);
        ground
            .slices
            .iter()
            .filter(led)
            .map(|slice| LedSlice { core: Arc::clone(&self.core), slice: Arc::clone(slice) })
            .collect()
    }

    /// What was set aside of led slices, and lies in the store's directory until somebody takes it away. Reads the disk.
    ///
    /// # Errors
    /// `Error::Open` where the directory can't be read.
    pub fn set_aside(&self) -> Result<Vec<SetAside>, Error> {
        self.core.all_set_aside()
    }

    /// Who is told of flushes from now on. Set once; later ones are not heard.
    pub fn listen_to_led(&self, listener: LedListener) {
        let _ = self.core.listener.set(listener);
    }
}

impl LedSlice {
    /// Which.
    #[must_use]
    pub fn id(&self) -> SliceId {
        self.slice.id
    }

    /// What is kept of it now; right after opening, what a replica begins with.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.slice.with_led(|led| led.recovered(self.core.settings.producers_max))
    }

    /// Makes the highest epoch seen durable. It outlives the slice's data.
    pub fn keep_epoch(&self, epoch: Epoch) -> Ticket<Result<Epoch, Error>> {
        self.forget_doors();
        self.core.led_keep_epoch(&self.slice, epoch)
    }

    /// Appends records. Answers when all up to the last of them is synced. They are not applied.
    ///
    /// Answered `Error::Led` where they don't follow the log's end or can't be read; after any other failure the slice
    /// refuses everything until the store is opened again.
    pub fn log(&self, records: Vec<Record>) -> Ticket<Result<Version, Error>> {
        self.core.led_log(&self.slice, records)
    }

    /// Applies synced records up to this one and shows them to readers.
    ///
    /// # Errors
    /// `Error::Led` where that record is not synced; or why the slice refuses everything.
    pub fn publish(&self, up_to: Version) -> Result<(), Error> {
        self.core.led_publish(&self.slice, up_to)
    }

    /// Allows flushes of what is published, up to this version.
    ///
    /// # Errors
    /// `Error::Led` where the log does not hold it; or why the slice refuses everything.
    pub fn stable(&self, up_to: Version) -> Result<(), Error> {
        self.core.led_stable(&self.slice, up_to)
    }

    /// Records that follow this version, synced or not: at most so many, and so many bytes, but one at least where there is
    /// one. None where the log here was cut beyond it, or never held it.
    #[must_use]
    pub fn read_log(&self, after: Version, records_max: usize, bytes_max: u64) -> Option<Vec<Record>> {
        self.slice.with_led(|led| led.records.read(after, records_max, bytes_max))
    }

    /// The newest record that readers see.
    #[must_use]
    pub fn published(&self) -> Version {
        self.slice.with_led(|led| led.published)
    }

    /// Writes what is stable and published to files; answers what files hold then. `LedNews` tells it too.
    pub fn flush(&self) -> Ticket<Result<Version, Error>> {
        let (promise, ticket) = Ticket::pair();
        let job = move |core: Arc<Core>, slice: Arc<Slice>| {
            let of = Arc::clone(&slice);
            core.flush_slice(&slice, move |_, outcome| promise.keep(outcome.map(|()| of.with_led(|led| led.flushed))));
        };
        self.core.enqueue(&self.slice, Lane::Flush, Box::new(job));
        ticket
    }

    /// Keeps the records beyond this version below `set-aside`, then ends the log there, then takes them out of what readers
    /// see. Answers the producers' numbers as of then.
    pub fn set_aside(&self, beyond: Version) -> Ticket<Result<(Version, Vec<ProducerRow>), Error>> {
        let (promise, ticket) = Ticket::pair();
        let job = move |turn: Result<(Arc<Core>, Arc<Slice>), Error>| match turn {
            Ok((core, slice)) => core.set_aside(&slice, beyond, promise),
            Err(fault) => promise.keep(Err(fault)),
        };
        self.core.led_submit(&self.slice, Op::Barrier(Box::new(job)));
        ticket
    }
}

impl LedSlice {
    /// Deletes the slice's data; its epoch stays, and `Kernel::lead` makes room for it again. What is not known to be stable
    /// is kept below `set-aside` first; all of it where an epoch was forced that this replica has nothing of: the one that
    /// was forced may lack even what was stable.
    pub fn delete(&self, forced: Epoch) -> Ticket<Result<(), Error>> {
        self.forget_doors();
        let (promise, ticket) = Ticket::pair();
        let job = move |turn: Result<(Arc<Core>, Arc<Slice>), Error>| match turn {
            Ok((core, slice)) => core.delete_led(&slice, forced, promise),
            Err(fault) => promise.keep(Err(fault)),
        };
        self.core.led_submit(&self.slice, Op::Barrier(Box::new(job)));
        ticket
    }
}

impl Core {
    /// After a flush of any slice: who listens is told of a led one.
    pub(crate) fn tell_led(&self, slice: &Slice) {
        let Some(listener) = self.listener.get() else { return };
        let told =
            slice.led.lock().as_mut().map(|led| (led.flushed, led.records.begin().sequence, std::mem::take(&mut led.pins_lost)));
        if let Some((flushed, log_after, lost)) = told {
            lost.into_iter().for_each(|peer| listener(slice.id, LedNews::PinLost { peer }));
            listener(slice.id, LedNews::Flushed { flushed, log_after });
        }
    }

    /// Whether a slice is numbered from outside.
    pub(crate) fn is_led(&self, slice: SliceId) -> bool {
        self.ground().slices.get(slice.0 as usize).is_some_and(|slice| slice.is_led.load(Ordering::Acquire))
    }
}
