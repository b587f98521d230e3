//! A disk at work, and what its results mean for the machines.

use super::Fleet;
use super::happening::Happening;
use crate::store::{Done, Task};
use protocol::Event;
use types::SliceId;

/// A process whose disk is full starts again after so long.
const FULL_PAUSE_US: u64 = 300_000;

impl Fleet {
    /// Lets the disk begin with the next work, where there is some.
    pub(super) fn kick(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if node.working || !node.store.has_work() {
            return;
        }
        node.working = true;
        let at = self.now + self.dice.between(60, 900) * node.slow;
        self.queue.put(at, Happening::Work { node: n, run: node.run });
    }

    pub(super) fn work(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.working = false;
        let (wall, full) = (node.clock.wall(self.now), node.full > 0);
        let mut done = Vec::new();
        node.store.work(wall, full, &mut done);
        for (slice, done) in done {
            if matches!(done, Done::Full) {
                // Nothing is known of what was to be logged: the process ends, and opens its store anew.
                self.note(|| format!("node {n}: disk full"));
                self.kill(n, false);
                return self.queue.put(self.now + FULL_PAUSE_US, Happening::Start { node: n });
            }
            self.done(n, slice, done);
        }
        self.kick(n);
    }

    fn done(&mut self, n: usize, slice: SliceId, done: Done) {
        let event = match done {
            Done::Epoch(epoch) => Event::EpochPersisted(epoch),
            Done::Logged(version) => Event::Logged(version),
            Done::SetAside(at, producers) => {
                self.shown_again(n, slice);
                Event::SetAside { at, producers }
            }
            Done::Flushed(flushed, after) => {
                let Some(local) = self.nodes[n].locals.get_mut(&slice) else { return };
                (local.flushed, local.flushing) = (flushed, false);
                self.look_at_groups(n, slice);
                if self.dice.one_in(3) {
                    self.nodes[n].store.submit(slice, Task::Merge);
                }
                Event::Flushed { flushed, log_after: after.sequence }
            }
            Done::Pinned(peer, offer) => Event::Pinned { peer, offer },
            Done::Prepared(groups) => return self.compare(n, slice, &groups),
            Done::PinLost(peer) => Event::PinLost { peer },
            Done::Refused => return self.give_up(n, slice),
            Done::Installed(history, producers) => {
                self.checker.counts.files_taken += 1;
                let Some(local) = self.nodes[n].locals.get_mut(&slice) else { return };
                local.taking = None;
                local.flushed = history.last();
                self.shown_again(n, slice);
                self.look_at_groups(n, slice);
                Event::FilesTaken { history, producers }
            }
            Done::Deleted => return self.nodes[n].deleting.retain(|other| *other != slice),
            Done::Nothing => {
                let Some(local) = self.nodes[n].locals.get_mut(&slice) else { return };
                local.flushing = false;
                return;
            }
            Done::Full => return,
        };
        self.feed(n, slice, event);
    }

    /// What readers see was made anew.
    fn shown_again(&mut self, n: usize, slice: SliceId) {
        let node = &mut self.nodes[n];
        if let (Some(shown), Some(local)) = (node.store.shown(slice), node.locals.get_mut(&slice)) {
            local.shown = shown;
        }
    }

    fn look_at_groups(&mut self, n: usize, slice: SliceId) {
        let node = &self.nodes[n];
        if let Some(state) = node.store.state(slice) {
            self.checker.groups(slice, node.me(), &state);
        }
    }
}
