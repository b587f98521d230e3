//! Every process of the fleet tells every manager that it is there, how busy it is, and what its slices take.
//!
//! Promises: twice a second, to each manager by itself, so that a slow one holds up none; sizes where they changed by much, or were
//! written to, all of them to a manager that is new. What is not heard is told again. May not know what managers make of it.

use super::busyness::Sample;
use super::service::{Noted, REPORT, Report, Reported};
use crate::data::{DataNode, ReplicaSize};
use crate::fleet::{Lines, Member, Roles};
use meta::Meta;
use protocol::membership::Busyness;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;
use types::{NodeId, SliceId};
use world::Clock;

/// How often.
const PERIOD: Duration = Duration::from_millis(500);
/// How long a manager has to answer.
const LIMIT: Duration = Duration::from_millis(900);

/// What the machine can do.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Bytes a second that its network carries each way. 125 MB by default: a gigabit.
    pub network_bytes_s: u64,
}

impl Default for Capacity {
    fn default() -> Self {
        Capacity { network_bytes_s: 125_000_000 }
    }
}

/// Whoever reports. Dropping it ends it.
pub struct Reporter {
    member: Member,
    lines: Arc<Lines>,
    _alive: watch::Sender<()>,
}

/// What a manager was told: its run, and the sizes.
#[derive(Default)]
struct Told {
    run: u64,
    sizes: HashMap<SliceId, ReplicaSize>,
}

impl Reporter {
    /// Reports from now on, for a process that became one of the fleet; `data` where it holds slices.
    pub fn start(
        member: Member,
        data: Option<Arc<DataNode>>,
        lines: Arc<Lines>,
        capacity: Capacity,
        clock: Arc<dyn Clock>,
        runtime: &Handle,
    ) -> Reporter {
        let (alive, mut stopping) = watch::channel(());
        let reporter = Reporter { member, lines: Arc::clone(&lines), _alive: alive };
        runtime.spawn(async move {
            let (mut before, mut at) = (Sample::take(), clock.monotonic_us());
            let mut told: HashMap<NodeId, JoinHandle<Told>> = HashMap::new();
            loop {
                tokio::select! {
                    () = tokio::time::sleep(PERIOD) => {}
                    // Only ever ends by its sender's going.
                    _ = stopping.changed() => return,
                }
                let (sample, now) = (Sample::take(), clock.monotonic_us());
                let busyness = sample.since(&before, now - at, capacity.network_bytes_s);
                (before, at) = (sample, now);
                let sizes = data.as_ref().map(|data| data.sizes()).unwrap_or_default();
                let managers = lines.roster().with(Roles::MANAGER);
                told.retain(|manager, _| managers.contains(manager));
                for manager in managers {
                    let last = match told.remove(&manager) {
                        Some(running) if !running.is_finished() => {
                            told.insert(manager, running);
                            continue;
                        }
                        Some(ended) => ended.await.unwrap_or_default(),
                        None => Told::default(),
                    };
                    let report = tell(Arc::clone(&lines), manager, member, busyness, sizes.clone(), last);
                    told.insert(manager, tokio::spawn(report));
                }
            }
        });
        reporter
    }

    /// Waits until the process is no more one of the fleet, as `Member::lost` does, and says why: then it must end.
    pub fn lost(&self, meta: Arc<dyn Meta>) -> impl Future<Output = String> + Send + use<> {
        self.member.lost(Arc::clone(self.lines.roster()), meta)
    }
}

/// Whether a size is worth telling: also where the slice was written to.
fn differs(last: Option<&ReplicaSize>, now: &ReplicaSize) -> bool {
    last.is_none_or(|last| {
        last.leads != now.leads || last.version != now.version || last.bytes.abs_diff(now.bytes) > now.bytes / 64
    })
}

async fn tell(
    lines: Arc<Lines>,
    manager: NodeId,
    member: Member,
    busyness: Busyness,
    all: Vec<ReplicaSize>,
    mut last: Told,
) -> Told {
    let all: HashMap<SliceId, ReplicaSize> = all.into_iter().map(|size| (size.slice, size)).collect();
    let mut changed = all.clone();
    changed.retain(|slice, now| differs(last.sizes.get(slice), now));
    let report = Report { node: member.node, store: member.store, busyness, sizes: changed.values().copied().collect() };
    let noted: Result<Noted, Status> = lines.ask(manager, REPORT, Reported::from(&report), LIMIT).await;
    match noted {
        Ok(noted) if noted.run == last.run => {
            last.sizes.extend(changed);
            last.sizes.retain(|slice, _| all.contains_key(slice));
            last
        }
        // Another run knows nothing yet: next time it is told everything.
        Ok(noted) => Told { run: noted.run, sizes: HashMap::new() },
        Err(status) => {
            tracing::debug!(%manager, %status, "a manager was not told");
            last
        }
    }
}
