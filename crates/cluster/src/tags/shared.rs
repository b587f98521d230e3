//! What the tasks of a tag table share.
//!
//! Shared state: `standing`, `readable_until` and `parts_taken` are written by the actor alone, after every step; `failed` once.
//! Promises: nothing here waits for longer than `ASK_MAX`: a machine that leads without a majority answers a change when it has
//! one again, which may be never. May not know what the machine does.

use super::actor::Input;
use super::messages::Parcel;
use super::refused::Refused;
use crate::fleet::Lines;
use crate::identity::Identity;
use crate::links::Links;
use bytes::Bytes;
use catalog::{LedCatalog, Outcome};
use meta::Meta;
use protocol::{Moment, ReplicaId, Run};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use types::{Epoch, NodeId, Origin, Sequence};
use world::World;

/// How long one question may take, to the machine here or to another scheduler.
pub(super) const ASK_MAX: Duration = Duration::from_secs(10);

/// What a scheduler is told at its start.
#[derive(Clone)]
pub struct Settings {
    /// Its number in the fleet.
    pub node: NodeId,
    /// Its certificate, and whose certificates it accepts.
    pub identity: Identity,
    /// The protocol's numbers.
    pub protocol: protocol::Settings,
    /// How long a change is asked for again before it is given up. 30 s is a good number: a failover takes less than one.
    pub change_patience: Duration,
    /// How long a read waits for a lease, or for this scheduler to catch up. 5 s is a good number.
    pub read_patience: Duration,
}

/// How the schedulers stand, as this one knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The highest epoch seen.
    pub epoch: Epoch,
    /// Who leads, as meta says; none before meta was read.
    pub leader: Option<ReplicaId>,
    /// Whether this process does.
    pub leads: bool,
    /// Who has all tags.
    pub normal: Vec<ReplicaId>,
    /// All schedulers.
    pub registered: Vec<ReplicaId>,
    /// The last batch that is known to be agreed on and held here.
    pub committed: Sequence,
    /// The last batch that this table shows.
    pub shown: Sequence,
}

pub(super) struct Shared {
    pub settings: Settings,
    pub me: ReplicaId,
    pub run: Run,
    pub led: LedCatalog,
    pub meta: Arc<dyn Meta>,
    pub world: World,
    pub runtime: Handle,
    pub links: Links<Parcel>,
    pub outside: mpsc::Sender<Input>,
    pub standing: watch::Sender<Standing>,
    pub readable_until: AtomicU64,
    pub parts_taken: AtomicU64,
    pub failed: watch::Sender<Option<String>>,
    pub lines: Lines,
}

impl Shared {
    pub fn now(&self) -> Moment {
        Moment(self.world.clock.monotonic_us())
    }

    /// Whether the table may be read without asking anybody.
    pub fn may_read(&self) -> bool {
        self.now().0 < self.readable_until.load(Ordering::Acquire)
    }

    /// Asks the machine here for a change. Unanswered, it may still happen.
    pub async fn change_here(&self, origin: Origin, body: Bytes) -> Result<Outcome, Refused> {
        let (answer, told) = oneshot::channel();
        self.ask(Input::Change { origin, body, answer })?;
        answer_of(told).await
    }

    /// Asks the machine here which batch shows all that was answered.
    pub async fn read_here(&self) -> Result<Sequence, Refused> {
        let (answer, told) = oneshot::channel();
        self.ask(Input::Read { answer })?;
        answer_of(told).await
    }

    fn ask(&self, input: Input) -> Result<(), Refused> {
        self.outside.try_send(input).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Refused::Busy,
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })
    }

    /// A message of another scheduler. What is meant for another store, or finds no room, is dropped.
    pub fn deliver(&self, parcel: &Parcel) {
        let (Some(from), Some(message)) = (parcel.from.replica(), parcel.message()) else {
            return tracing::debug!("a message between schedulers that can't be read is dropped");
        };
        if parcel.to.replica() == Some(self.me) {
            drop(self.outside.try_send(Input::Message(from, message)));
        }
    }
}

/// What the machine answers within the limit.
async fn answer_of<T>(told: oneshot::Receiver<Result<T, Refused>>) -> Result<T, Refused> {
    match tokio::time::timeout(ASK_MAX, told).await {
        Ok(told) => told.unwrap_or_else(|_| Err(stopped())),
        Err(_) => Err(Refused::Unavailable(format!("it was not settled within {} s", ASK_MAX.as_secs()))),
    }
}

fn stopped() -> Refused {
    Refused::Unavailable("the scheduler stopped".to_owned())
}
