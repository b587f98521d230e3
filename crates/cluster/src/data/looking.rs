//! Where a data node's replicas stand, what their files hold, and what was set aside: for whoever compares copies.
//!
//! Promises: what was said comes back as it was; each replica is seen at one moment, several are not. May not know what is
//! compared.

use super::messages::{At, Past};
use super::node::{Asked, DataNode, Looked};
use crate::fleet::Lines;
use kernel::SetAside;
use prost::Message as Wire;
use protocol::History;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::Status;
use types::{NodeId, Period, SliceId, Version};

pub(super) const LOOK: &str = "/meridian.Data2/Look";
/// How long a node has to say where it stands.
const LIMIT: Duration = Duration::from_secs(5);
/// The most file groups of one answer.
const GROUPS_MAX: usize = 100_000;

/// What is to be looked at.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Looking {
    #[prost(uint32, repeated, tag = "1")]
    pub slices: Vec<u32>,
    /// Whether what was set aside is wanted, too.
    #[prost(bool, tag = "2")]
    pub aside: bool,
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Seen {
    #[prost(message, repeated, tag = "1")]
    replicas: Vec<OfReplica>,
    #[prost(message, repeated, tag = "2")]
    aside: Vec<OfAside>,
}

#[derive(Clone, PartialEq, Wire)]
struct OfReplica {
    #[prost(uint32, tag = "1")]
    slice: u32,
    #[prost(bool, tag = "2")]
    leads: bool,
    #[prost(message, required, tag = "3")]
    history: Past,
    #[prost(message, required, tag = "4")]
    published: At,
    #[prost(message, repeated, tag = "5")]
    groups: Vec<OfGroup>,
}

#[derive(Clone, Copy, PartialEq, Wire)]
struct OfGroup {
    #[prost(sint64, tag = "1")]
    period: i64,
    #[prost(message, required, tag = "2")]
    version: At,
}

#[derive(Clone, PartialEq, Wire)]
struct OfAside {
    #[prost(uint32, tag = "1")]
    slice: u32,
    #[prost(string, tag = "2")]
    directory: String,
    #[prost(uint64, tag = "3")]
    bytes: u64,
    /// 0 where it has none that can be read.
    #[prost(uint64, tag = "4")]
    records: u64,
    #[prost(message, required, tag = "5")]
    first: At,
    #[prost(message, required, tag = "6")]
    last: At,
}

/// A replica, as its node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaLook {
    /// Of which slice.
    pub slice: SliceId,
    /// Whether it leads.
    pub leads: bool,
    /// The writes of its log.
    pub history: History,
    /// The newest write that readers see here.
    pub published: Version,
    /// File groups, and the last write that the files of each hold.
    pub groups: Vec<(Period, Version)>,
}

/// What a node says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLook {
    /// Its replicas of the slices that were asked for.
    pub replicas: Vec<ReplicaLook>,
    /// What was set aside there.
    pub aside: Vec<SetAside>,
}

/// Looks at a node's replicas.
pub(super) async fn look(node: &Arc<DataNode>, looking: Looking) -> Result<Seen, Status> {
    let mut asked = Vec::with_capacity(looking.slices.len());
    for slice in looking.slices.iter().copied().map(SliceId) {
        let (answer, told) = oneshot::channel();
        if node.ask(slice, Asked::Look { answer }).is_ok() {
            asked.push((slice, told));
        }
    }
    let mut replicas = Vec::with_capacity(asked.len());
    for (slice, told) in asked {
        // One that ends meanwhile is not there.
        let Ok(Looked { leads, history, published, .. }) = told.await else { continue };
        let (history, published) = ((&history).into(), published.into());
        replicas.push(OfReplica { slice: slice.0, leads, history, published, groups: Vec::new() });
    }
    let of = Arc::clone(node);
    let read = move || {
        // After the replicas: what files hold then may be beyond what a replica was seen at, never before.
        for group in of.kernel().file_groups().into_iter().take(GROUPS_MAX) {
            if let Some(replica) = replicas.iter_mut().find(|replica| replica.slice == group.slice.0) {
                replica.groups.push(OfGroup { period: group.period.0, version: group.version.into() });
            }
        }
        let aside = if looking.aside { of.kernel().set_aside() } else { Ok(Vec::new()) };
        let aside = aside.map_err(|fault| Status::unavailable(fault.to_string()))?;
        Ok(Seen { replicas, aside: aside.into_iter().map(OfAside::from).collect() })
    };
    tokio::task::spawn_blocking(read).await.map_err(|fault| Status::internal(fault.to_string()))?
}

impl From<SetAside> for OfAside {
    fn from(aside: SetAside) -> OfAside {
        let (records, first, last) = aside.records.unwrap_or_default();
        let directory = aside.directory.display().to_string();
        OfAside { slice: aside.slice.0, directory, bytes: aside.bytes, records, first: first.into(), last: last.into() }
    }
}

impl From<OfAside> for SetAside {
    fn from(of: OfAside) -> SetAside {
        let records = (of.records > 0).then(|| (of.records, of.first.into(), of.last.into()));
        SetAside { slice: SliceId(of.slice), directory: of.directory.into(), bytes: of.bytes, records }
    }
}

impl Seen {
    fn look(self) -> Option<NodeLook> {
        let replica = |of: OfReplica| {
            let groups = of.groups.iter().map(|group| (Period(group.period), group.version.into())).collect();
            let (slice, published) = (SliceId(of.slice), of.published.into());
            Some(ReplicaLook { slice, leads: of.leads, history: of.history.history()?, published, groups })
        };
        let replicas = self.replicas.into_iter().map(replica).collect::<Option<_>>()?;
        Some(NodeLook { replicas, aside: self.aside.into_iter().map(SetAside::from).collect() })
    }
}

/// Asks a node.
///
/// # Errors
/// `Status` where it does not answer in time.
pub(crate) async fn ask(lines: &Lines, node: NodeId, slices: &[SliceId], aside: bool) -> Result<NodeLook, Status> {
    let looking = Looking { slices: slices.iter().map(|slice| slice.0).collect(), aside };
    let seen: Seen = lines.ask(node, LOOK, looking, LIMIT).await?;
    seen.look().ok_or_else(|| Status::internal("the answer is of another release"))
}
