//! Which of the fleet's processes does what one of them is to do, as tending the fleet: whoever's lease in meta lasts.
//!
//! Promises: a process takes itself for the one only while its lease lasts by its own monotonic clock; one that began again takes
//! over from its earlier run at once. Nothing that safety rests on depends on it: two may do it at once. May not know what it is.

use super::following::gone;
use crate::tickets::answered;
use meta::{Error, Is, Key, LeaseId, Meta, Revision, Swap, Swapped};
use protocol::Moment;
use std::sync::Arc;
use std::time::Duration;
use types::NodeId;
use world::Clock;

/// How long a lease lasts: so long after a process died nobody does it.
const LASTS: Duration = Duration::from_secs(3);
/// How often who does not do it looks whether somebody does.
const LOOK_US: u64 = 1_000_000;

/// A process's wish to be the one.
pub(crate) struct Tenure {
    key: Key,
    meta: Arc<dyn Meta>,
    clock: Arc<dyn Clock>,
    me: NodeId,
    held: Option<Held>,
    looks_at: Moment,
}

#[derive(Clone, Copy)]
struct Held {
    id: LeaseId,
    renews_at: Moment,
    until: Moment,
}

impl Tenure {
    /// The key is where it stands, a short and plain text.
    ///
    /// # Panics
    /// Where it is no key.
    pub(crate) fn new(key: &str, meta: Arc<dyn Meta>, clock: Arc<dyn Clock>, me: NodeId) -> Tenure {
        let key = Key::new(key).expect("the text is short and plain");
        Tenure { key, meta, clock, me, held: None, looks_at: Moment(0) }
    }

    fn now(&self) -> Moment {
        Moment(self.clock.monotonic_us())
    }

    /// Whether this process is the one now; takes or renews the lease where it is time.
    pub(crate) async fn is_held(&mut self) -> bool {
        let now = self.now();
        match self.held {
            Some(held) if now < held.renews_at => return true,
            Some(held) => {
                if let Err(fault) = self.renew(held.id).await {
                    tracing::debug!(%fault, "the lease was not renewed");
                    let over = matches!(fault, Error::LeaseGone(_)) || self.now() >= held.until;
                    self.held = self.held.filter(|_| !over);
                }
            }
            None if now < self.looks_at => {}
            None => {
                self.looks_at = now.after(LOOK_US);
                if let Err(fault) = self.take().await {
                    tracing::debug!(%fault, "who holds the lease is not known");
                }
            }
        }
        self.held.is_some_and(|held| self.now() < held.until)
    }

    fn holds(&mut self, id: LeaseId, sent: Moment, lasts: Duration) {
        let us = lasts.as_micros() as u64;
        self.held = Some(Held { id, renews_at: sent.after(us / 3), until: sent.after(us) });
    }

    async fn renew(&mut self, id: LeaseId) -> Result<(), Error> {
        let sent = self.now();
        let lasts = answered(self.meta.keep_alive(id)).await.map_err(gone)??;
        self.holds(id, sent, lasts);
        Ok(())
    }

    async fn take(&mut self) -> Result<(), Error> {
        let (key, own) = (self.key.clone(), self.me.0.to_le_bytes());
        let found = answered(self.meta.get(std::slice::from_ref(&key))).await.map_err(gone)??;
        let is = match found.entries.into_iter().next().flatten() {
            None => Is::Absent,
            // An earlier run of this very process: its number is nobody else's.
            Some(entry) if entry.value == own[..] => Is::Modified(entry.modified),
            Some(_) => return Ok(()),
        };
        let sent = self.now();
        let lease = answered(self.meta.grant(LASTS)).await.map_err(gone)??;
        let swap = Swap::new().when(&key, is).put_leased(&key, own.to_vec(), lease.id);
        match answered(self.meta.swap(swap)).await.map_err(gone)? {
            Ok(Swapped::Done { revision: Revision(revision) }) => {
                tracing::info!(node = %self.me, revision, "{} is this process's from now on", self.key.text());
                self.holds(lease.id, sent, lease.lasts);
            }
            // What came of one that is in doubt is seen at the next look.
            Ok(Swapped::Conflict { .. }) | Err(_) => drop(answered(self.meta.revoke(lease.id)).await),
        }
        Ok(())
    }

    /// Lets another do it at once.
    pub(crate) async fn give_up(&mut self) {
        if let Some(held) = self.held.take() {
            drop(answered(self.meta.revoke(held.id)).await);
        }
    }
}
