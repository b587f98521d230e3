//! The register of open sessions: how one is found by its number, by whoever may end it.
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

    /// The session of a number.
    pub(crate) fn find(&self, id: i32) -> Option<Arc<Session>> {
        self.0.lock().get(&id).and_then(Weak::upgrade)
    }
}
