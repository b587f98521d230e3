//! What will happen, in order of time; of two things at one time the one that was put in first is first.
//!
//! Promises: the order is a function of what was put in. May not know what happens.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The order of what will happen.
pub(crate) struct Queue<H> {
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    slots: Vec<Option<H>>,
    free: Vec<usize>,
    count: u64,
}

impl<H> Default for Queue<H> {
    fn default() -> Self {
        Queue { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), count: 0 }
    }
}

impl<H> Queue<H> {
    /// Puts something in.
    pub(crate) fn put(&mut self, at_us: u64, happening: H) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(happening);
        self.count += 1;
        self.heap.push(Reverse((at_us, self.count, slot)));
    }

    /// When something happens next; never, where there is nothing.
    pub(crate) fn next_at(&self) -> u64 {
        self.heap.peek().map_or(u64::MAX, |Reverse((at_us, ..))| *at_us)
    }

    /// Takes what is next.
    pub(crate) fn take(&mut self) -> Option<(u64, H)> {
        let Reverse((at_us, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.slots[slot].take().map(|happening| (at_us, happening))
    }
}
