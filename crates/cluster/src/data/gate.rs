//! A gate before the places of writes: while it is closed no write of any slice here gets one; they wait, and go on in order.
//!
//! For a moment of all slices of a fleet: where every node that leads has closed its gate, and each says afterwards what its slices
//! have, a write that was answered is seen by all of them before one that was asked for later is by any.
//! Promises: once `close` is back none is getting its place; the gate opens by itself after its limit. May not know why it is closed.

use super::node::{DataNode, Input, Shared};
use parking_lot::{RwLock, RwLockReadGuard};
use std::sync::Arc;
use std::time::Duration;

/// By whom it is closed.
#[derive(Default)]
pub(super) struct Gate(RwLock<Option<u128>>);

impl Gate {
    /// Whether a write may get its place, as long as what is given is held.
    pub(super) fn pass(&self) -> Option<RwLockReadGuard<'_, Option<u128>>> {
        let by = self.0.read();
        by.is_none().then_some(by)
    }

    fn close(&self, by: u128) -> bool {
        let mut closed = self.0.write();
        let free = closed.is_none_or(|other| other == by);
        if free {
            *closed = Some(by);
        }
        free
    }

    fn open(&self, by: u128) -> bool {
        let mut closed = self.0.write();
        let was = *closed == Some(by);
        if was {
            *closed = None;
        }
        was
    }
}

impl Shared {
    fn open_gate(&self, by: u128) {
        if self.gate.open(by) {
            self.tell_all(|| Input::Opened);
        }
    }
}

impl DataNode {
    /// Closes the gate; false where another has closed it. It opens by itself after the limit.
    pub(crate) fn close_gate(&self, by: u128, limit: Duration) -> bool {
        let shared = Arc::clone(&self.shared);
        let closed = shared.gate.close(by);
        if closed {
            shared.runtime.clone().spawn(async move {
                tokio::time::sleep(limit).await;
                shared.open_gate(by);
            });
        }
        closed
    }

    /// Whether it is still closed.
    pub(crate) fn is_gate_closed(&self, by: u128) -> bool {
        *self.shared.gate.0.read() == Some(by)
    }

    /// Opens it, where that one has closed it.
    pub(crate) fn open_gate(&self, by: u128) {
        self.shared.open_gate(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_closed_it_opens_it() {
        let gate = Gate::default();
        assert!(gate.pass().is_some() && gate.close(1) && gate.close(1) && !gate.close(2));
        assert!(gate.pass().is_none() && !gate.open(2) && gate.open(1) && !gate.open(1));
        assert!(gate.pass().is_some());
    }
}
