//! A scheduler's way to the slices: what is written is split by slice and sent to primaries, what is read is asked of the nodes
//! that hold it (paper 1.3, figures 3 and 4).
//!
//! ```text
//!   meta ── slice/N (watched) ──> `map`: who leads, who holds
//!   write ──> `split` by slice ──> `writing`: (producer, number) ──> primary, asked again unchanged until it answers
//!   read ───> questions by slice ──> by node (`map`: primary, or the least busy copy) ──> merged, `reading`
//! ```
//! Promises: a batch is atomic in each slice, and an error names the slices that took it; a slice's part is sent again with the
//! same number, so that it counts once, whatever was answered; batches of one producer reach a slice in their order, and none
//! passes one that failed; what waits is bounded in bytes and in time. May not know tags' names, SQL, clients.

mod map;
mod reading;
mod split;
mod writing;

pub use map::{Choice, Chosen};
pub use reading::Found;

use crate::data::{Client, Refused};
use crate::fleet::{FleetRule, Lines};
use map::SliceMap;
use meta::Meta;
use protocol::Consistency;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use types::{DistributionRule, NodeId, SliceId, Version};
use world::Random;
use writing::Producers;

/// How long reading the map anew may take.
const REFRESH: Duration = Duration::from_secs(5);

/// What a router is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The process it is in.
    pub me: NodeId,
    /// Which slice a sample lies in.
    pub rule: Arc<FleetRule>,
    /// How long a slice's part of a statement is tried before it fails.
    pub patience: Duration,
    /// Bytes of writes that are under way; more wait.
    pub waiting_bytes_max: usize,
}

/// Why a statement over slices failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RouteError {
    /// What was to be written makes no sense: nothing was sent.
    #[error("{0}")]
    Refused(kernel::Error),
    /// A write was not taken by all of its slices.
    #[error("slice {slice}: {cause}; {}", told(.done, *.of))]
    Written {
        /// The first slice that did not take its part.
        slice: SliceId,
        /// Why.
        cause: Refused,
        /// The slices that took theirs, durably.
        done: Vec<SliceId>,
        /// How many slices there were.
        of: usize,
    },
    /// A producer's lower number failed and was not sent again yet: taken now, this one would make it a duplicate.
    #[error("batch {number} can't be taken before batch {failed} of the same producer, which failed: send that one again first")]
    Behind {
        /// The number of this batch.
        number: u64,
        /// The number that failed.
        failed: u64,
    },
    /// A slice could not be read.
    #[error("slice {slice} can't be read now: {cause}")]
    Read {
        /// Which.
        slice: SliceId,
        /// Why.
        cause: Refused,
    },
    /// Nobody is known to hold the slice.
    #[error("slice {slice} lies nowhere yet: the fleet has no map, or not all of it is known here")]
    Unplaced {
        /// Which.
        slice: SliceId,
    },
    /// The slice map could not be read anew.
    #[error("the slice map can't be read anew: {0}")]
    Map(String),
    /// The first tag was made just now, and the rule was not read since.
    #[error("it is not known yet for good which slice a sample lies in: the fleet's first tag was made just now")]
    Unsettled,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

impl From<kernel::Error> for RouteError {
    fn from(fault: kernel::Error) -> RouteError {
        RouteError::Refused(fault)
    }
}

fn told(done: &[SliceId], of: usize) -> String {
    if done.is_empty() {
        return "no other slice is known to have taken its part".to_owned();
    }
    let names: Vec<String> = done.iter().map(ToString::to_string).collect();
    format!("{} of {of} slices took their parts: {}", done.len(), names.join(", "))
}

/// How fresh what is read must be.
#[derive(Clone, Debug, Default)]
pub enum Freshness {
    /// As the primaries have it.
    #[default]
    Primary,
    /// At least these writes.
    Session(Arc<BTreeMap<SliceId, Version>>),
    /// All that was acknowledged so many microseconds before the answer.
    Bounded {
        /// How stale it may be.
        us: u64,
    },
    /// Whatever a copy has.
    Any,
}

impl Freshness {
    /// What is asked of the copy of a slice.
    #[must_use]
    pub fn of(&self, slice: SliceId) -> Consistency {
        match self {
            Freshness::Primary => Consistency::Primary,
            Freshness::Session(seen) => seen.get(&slice).map_or(Consistency::Any, |version| Consistency::Session(*version)),
            Freshness::Bounded { us } => Consistency::Bounded { us: *us },
            Freshness::Any => Consistency::Any,
        }
    }
}

/// A write that all of its slices took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that were sent.
    pub rows: u64,
    /// The slices, and which write it is in each, or a later one.
    pub versions: Vec<(SliceId, Version)>,
}

/// A scheduler's way to the slices. Dropping it ends its watch of the map.
pub struct Router {
    settings: Settings,
    map: Arc<SliceMap>,
    lines: Arc<Lines>,
    runtime: Handle,
    room: Arc<Semaphore>,
    producers: Producers,
}

impl Router {
    /// Reads the slice map and follows it from then on.
    ///
    /// # Errors
    /// Of meta, where the map can't be read at first.
    pub async fn start(
        settings: Settings,
        meta: Arc<dyn Meta>,
        lines: Arc<Lines>,
        random: Arc<dyn Random>,
        runtime: Handle,
    ) -> Result<Arc<Router>, meta::Error> {
        let map = SliceMap::follow(meta, &runtime).await?;
        let room = Arc::new(Semaphore::new(settings.waiting_bytes_max.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(Arc::new(Router { settings, map, lines, runtime, room, producers: Producers::new(random) }))
    }

    /// Reads the slice map anew, for whoever was told that it is stale; within a bounded time.
    ///
    /// # Errors
    /// `RouteError::Map`.
    pub async fn refresh(&self) -> Result<(), RouteError> {
        match tokio::time::timeout(REFRESH, self.map.refresh()).await {
            Ok(read) => read.map_err(|fault| RouteError::Map(fault.to_string())),
            Err(_) => Err(RouteError::Map(format!("no answer within {} s", REFRESH.as_secs()))),
        }
    }

    /// How long what is asked is tried again while its slices change hands.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.settings.patience
    }

    /// The rule by which it splits.
    #[must_use]
    pub fn rule(&self) -> DistributionRule {
        self.settings.rule.rule()
    }

    /// The slice map.
    #[must_use]
    pub fn map(&self) -> &SliceMap {
        &self.map
    }

    /// One who asks a data node.
    ///
    /// # Errors
    /// `Refused::Unavailable` where it is not known where the node is.
    pub fn client(&self, node: NodeId, limit: Duration) -> Result<Client, Refused> {
        Client::on(&self.lines, node, self.settings.me, limit)
    }
}
