//! The register of open sessions: how one is found by its number, by whoever may end it, and all of them by whoever looks.
//!
//! Shared state: one mutex around a map by number, touched when a session is opened, ends, or is looked for.

use crate::session::Session;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Sessions that are open.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<i32, Weak<Session>>>);

impl Sessions {
    pub(crate) fn enter(&self, session: &Arc<Session>) {
        self.0.lock().insert(session.id, Arc::downgrade(session));
    }

    pub(crate) fn leave(&self, id: i32) {
        self.0.lock().remove(&id);
    }

    /// All that are open, in order of their numbers.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        // Handed out of the lock: the last one to let go of a session takes it to leave.
        let open = self.0.lock();
        open.values().filter_map(Weak::upgrade).collect()
    }

    /// The session of a number.
    pub(crate) fn find(&self, id: i32) -> Option<Arc<Session>> {
        self.0.lock().get(&id).and_then(Weak::upgrade)
    }
}
