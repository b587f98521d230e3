//! Applying a commit: the same steps on Lane::Log for a fresh record and at opening for an old one.
//!
//! Promises: snapshot values first, then all buffers and the visible commit number in one go under
//! `visibility`, then deletions take their snapshot values; so a snapshot never sees half a commit.

use crate::commit::Body;
use crate::core::Core;
use crate::record::CommitHead;
use crate::slice::Slice;
use crate::state::Applied;
use log::Position;
use memory::Grant;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{SliceId, Version};
use world::Lane;

impl Core {
    /// Applies a durable record. Gives the slices where a deletion took snapshot values.
    pub(crate) fn apply(
        &self,
        head: &CommitHead,
        bodies: Vec<Body>,
        position: Position,
        mut grant: Option<Grant>,
    ) -> Vec<Arc<Slice>> {
        let ground = self.ground();
        for (part, body) in head.parts.iter().zip(&bodies) {
            if let Body::Samples { section, .. } | Body::Held { section, .. } = body {
                let slice = ground.slice(part.slice);
                let _alone = slice.values.lock();
                slice.latest.update(section);
            }
        }
        let deletions = head.parts.iter().zip(&bodies).filter_map(|(part, body)| match body {
            Body::Deletion { deletion, .. } => Some((Arc::clone(ground.slice(part.slice)), Arc::clone(deletion))),
            Body::Samples { .. } | Body::Held { .. } => None,
        });
        let deletions: Vec<_> = deletions.collect();
        let now_us = self.world.clock.monotonic_us();
        {
            let _all = self.visibility.write();
            for (part, body) in head.parts.iter().zip(bodies) {
                // Thinning may make a write larger than was known when it took its room.
                let room = grant.as_mut().map(|grant| grant.split(body.buffered_bytes().min(grant.bytes())));
                let version = Version { epoch: head.epoch, sequence: part.sequence };
                let applied = Applied { version, commit: head.commit, origin: head.origin, position, now_us };
                ground.slice(part.slice).apply(&applied, body, room, self.settings.producers_max);
            }
            self.applied.fetch_max(position.0, Ordering::AcqRel);
            self.visible.store(head.commit.0, Ordering::Release);
        }
        let fallen = deletions.into_iter().filter(|(slice, deletion)| slice.forget(deletion));
        fallen.map(|(slice, _)| slice).collect()
    }

    /// Recomputes the snapshot values of these slices, then goes on.
    pub(crate) fn recompute_then(self: &Arc<Core>, slices: Vec<Arc<Slice>>, then: impl FnOnce(&Arc<Core>) + Send + 'static) {
        let core = Arc::clone(self);
        let job = move || {
            for slice in &slices {
                // Where reading failed the values stay unknown, and whoever asks for one looks into
                // the files; the deletion itself is done.
                let _ = slice.recompute();
            }
            then(&core);
        };
        self.world.runner.submit(Lane::Flush, Box::new(job));
    }

    /// Begins sorting where these slices' unsorted tails have become long.
    pub(crate) fn sort_where_wanted(self: &Arc<Core>, slices: impl Iterator<Item = SliceId>) {
        let ground = self.ground();
        for slice in slices {
            let slice = ground.slice(slice);
            let mut state = slice.state.lock();
            if !state.sorting && state.buffer.sort_work().is_some() {
                state.sorting = true;
                drop(state);
                let (core, slice) = (Arc::clone(self), Arc::clone(slice));
                self.world.runner.submit(Lane::Flush, Box::new(move || core.sort(&slice)));
            }
        }
    }

    /// Turns a slice's unsorted tail into runs, off its lock. Where there is no room for them a flush is on its way, which
    /// sorts what it takes.
    fn sort(self: &Arc<Core>, slice: &Arc<Slice>) {
        loop {
            let (work, of) = {
                let state = slice.state.lock();
                (state.buffer.sort_work(), state.buffers_made)
            };
            let work = work.and_then(|work| {
                let room = self.shares.buffers.try_take(work.memory_bytes() as u64)?;
                Some((work.run(), room))
            });
            let left = {
                let _all = self.visibility.write();
                let mut state = slice.state.lock();
                let Some((done, room)) = work else {
                    state.sorting = false;
                    return;
                };
                // A buffer that was made anew meanwhile may lack deletions that the run was made without rows of.
                if state.buffers_made == of {
                    state.buffer.install(done);
                }
                slice.show(&mut state);
                state.fit(Some(room))
            };
            // Giving room back wakes writers, who must find no lock held.
            drop(left);
        }
    }
}
