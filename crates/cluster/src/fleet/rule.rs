//! The fleet's distribution rule, as one process knows it.
//!
//! ```text
//!   open ── the rule in meta is swapped, on the condition that no tag was made ──> followed here
//!     └── settle: read once more, by whoever knows that a tag was made ──> final: it can't change any more
//! ```
//! Shared state: `known`, written by the task that follows meta and by `settle`; `is_final` is only ever set. Promises: of the
//! rule nothing goes back; what is final is what every process of the fleet takes for final. Whoever cuts, logs or keeps
//! samples by the rule settles it before. May not know what lies by it.

use super::entries::{self, FleetRecord, fleet_key, fleet_record};
use super::following::{Following, Listener, gone};
use crate::tickets::answered;
use meta::{Entry, Error, Meta, Range};
use protocol::membership::Seen;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::sync::watch;
use types::{DistributionRule, Revision};

struct Known(watch::Sender<Seen<DistributionRule>>);

impl Listener for Known {
    fn stands(&self, entry: &Entry) {
        match fleet_record(&entry.value) {
            Some(FleetRecord { rule, .. }) => self.learn(rule, entry.modified),
            None => tracing::error!(key = entries::FLEET, "what holds for the fleet can't be read: is it of another release?"),
        }
    }
}

impl Known {
    fn learn(&self, rule: DistributionRule, revision: Revision) {
        self.0.send_if_modified(|known| {
            let is_newer = known.revision < revision;
            let changes = is_newer && known.value != rule;
            if is_newer {
                *known = Seen { value: rule, revision };
            }
            changes
        });
    }
}

/// The rule. Dropping it ends the watch.
pub struct FleetRule {
    known: Arc<Known>,
    meta: Option<Arc<dyn Meta>>,
    is_final: AtomicBool,
    _alive: watch::Sender<()>,
}

impl fmt::Debug for FleetRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}, final: {}", self.rule(), self.is_final())
    }
}

impl FleetRule {
    /// Reads the rule of a fleet that has one, and follows it from then on.
    ///
    /// # Errors
    /// Of meta, where it can't be read at first; `Error::Invalid` where the fleet has no rule.
    pub async fn follow(meta: Arc<dyn Meta>, runtime: &Handle) -> Result<Arc<FleetRule>, Error> {
        let known = Arc::new(Known(watch::Sender::new(read(&*meta).await?)));
        let (alive, stopping) = watch::channel(());
        let following = Following::new(Arc::clone(&meta), Range::key(&fleet_key()), Arc::clone(&known));
        runtime.spawn(following.run(stopping));
        Ok(Arc::new(FleetRule { known, meta: Some(meta), is_final: AtomicBool::new(false), _alive: alive }))
    }

    /// A rule that is final from the first.
    #[must_use]
    pub fn of(rule: DistributionRule) -> Arc<FleetRule> {
        let known = Arc::new(Known(watch::Sender::new(Seen { value: rule, revision: Revision::default() })));
        Arc::new(FleetRule { known, meta: None, is_final: AtomicBool::new(true), _alive: watch::Sender::new(()) })
    }

    /// The rule as it is known now.
    #[must_use]
    pub fn rule(&self) -> DistributionRule {
        self.known.0.borrow().value
    }

    /// Whether it can't change any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.is_final.load(Ordering::Acquire)
    }

    /// Makes it final. The caller vouches that a tag was made before this was called: no other rule can be set since then, so
    /// what meta says now stands for good.
    ///
    /// # Errors
    /// Of meta: it may be tried again.
    pub async fn settle(&self) -> Result<(), Error> {
        if let (false, Some(meta)) = (self.is_final(), &self.meta) {
            let Seen { value, revision } = read(&**meta).await?;
            self.known.learn(value, revision);
            self.is_final.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Tells of changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Seen<DistributionRule>> {
        self.known.0.subscribe()
    }
}

async fn read(meta: &dyn Meta) -> Result<Seen<DistributionRule>, Error> {
    let found = answered(meta.get(&[fleet_key()])).await.map_err(gone)??;
    let entry = found.entries.into_iter().next().flatten();
    let known = entry.and_then(|entry| Some(Seen { value: fleet_record(&entry.value)?.rule, revision: entry.modified }));
    known.ok_or_else(|| Error::Invalid("the fleet has no distribution rule that this release can read".to_owned()))
}
