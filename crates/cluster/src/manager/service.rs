//! The side of a manager that answers: reports of all processes, and what was heard of them.
//!
//! Promises: a report is answered with the manager's run, so that whoever reports tells a new one everything; one of a store
//! that meta does not name is refused. What was heard is one manager's, and may be old or nothing. May not know who decides what.

use super::node::{Heard, ManagerNode, Shared};
use super::quotas::{Shares, Sharing};
use crate::calls::MESSAGE_BYTES_MAX;
use crate::data::ReplicaSize;
use crate::door::{Answer, Answering};
use crate::fleet::entries::wide;
use prost::Message as Wire;
use protocol::Moment;
use protocol::membership::Busyness;
use std::sync::Arc;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use types::{Epoch, NodeId, Sequence, SliceId, StoreId, Version};

/// The service's name; the number is the layout's.
const SERVICE: &str = "meridian.Manager1";
pub(super) const REPORT: &str = "/meridian.Manager1/Report";
pub(super) const LOOK: &str = "/meridian.Manager1/Look";
pub(super) const SHARE: &str = "/meridian.Manager1/Share";

/// What a process tells managers.
pub(super) struct Report {
    pub node: NodeId,
    pub store: StoreId,
    pub busyness: Busyness,
    /// What its replicas take, and what readers see of each.
    pub sizes: Vec<ReplicaSize>,
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Reported {
    #[prost(uint64, tag = "1")]
    node: u64,
    #[prost(bytes = "vec", tag = "2")]
    store: Vec<u8>,
    #[prost(message, required, tag = "3")]
    busy: Busy,
    #[prost(message, repeated, tag = "4")]
    sizes: Vec<Size>,
    #[prost(message, repeated, tag = "5")]
    copies: Vec<Size>,
}

#[derive(Clone, Copy, PartialEq, Wire)]
struct Busy {
    #[prost(uint32, tag = "1")]
    cpu: u32,
    #[prost(uint32, tag = "2")]
    network: u32,
    #[prost(uint32, tag = "3")]
    disk: u32,
    #[prost(uint32, tag = "4")]
    memory: u32,
}

#[derive(Clone, Copy, PartialEq, Wire)]
struct Size {
    #[prost(uint32, tag = "1")]
    slice: u32,
    #[prost(uint64, tag = "2")]
    bytes: u64,
    /// Of copies: where.
    #[prost(uint64, tag = "3")]
    node: u64,
    /// The newest write that readers see.
    #[prost(uint64, tag = "4")]
    epoch: u64,
    #[prost(uint64, tag = "5")]
    sequence: u64,
    /// How long ago that was heard.
    #[prost(uint64, tag = "6")]
    heard_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Wire)]
pub(super) struct Noted {
    #[prost(fixed64, tag = "1")]
    pub run: u64,
}

#[derive(Clone, Copy, PartialEq, Wire)]
pub(super) struct Looking {
    /// Whether sizes are wanted, too.
    #[prost(bool, tag = "1")]
    pub sizes: bool,
    /// A slice of which it is wanted how far each copy was heard to be, and one more, so that there is a slice 0.
    #[prost(uint32, tag = "2")]
    pub versions_of: u32,
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Looked {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<OfNode>,
    #[prost(message, repeated, tag = "2")]
    sizes: Vec<Size>,
    #[prost(message, repeated, tag = "3")]
    copies: Vec<Size>,
    #[prost(message, repeated, tag = "4")]
    versions: Vec<Size>,
}

#[derive(Clone, PartialEq, Wire)]
struct OfNode {
    #[prost(uint64, tag = "1")]
    node: u64,
    #[prost(bytes = "vec", tag = "2")]
    store: Vec<u8>,
    #[prost(uint64, tag = "3")]
    silence_ms: u64,
    #[prost(message, required, tag = "4")]
    busy: Busy,
    #[prost(uint32, tag = "5")]
    weighed: u32,
}

/// What a manager heard of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfProcess {
    pub store: StoreId,
    pub silence_ms: u64,
    pub parts: Busyness,
    pub weighed: u32,
}

impl From<Busyness> for Busy {
    fn from(parts: Busyness) -> Busy {
        let Busyness { cpu, network, disk, memory } = parts;
        Busy { cpu, network, disk, memory }
    }
}

impl From<Busy> for Busyness {
    fn from(busy: Busy) -> Busyness {
        let Busy { cpu, network, disk, memory } = busy;
        Busyness { cpu, network, disk, memory }
    }
}

impl From<&Report> for Reported {
    fn from(report: &Report) -> Reported {
        let of = |leads: bool| {
            let sizes = report.sizes.iter().filter(move |size| size.leads == leads);
            sizes.map(|size| Size::of(size.slice, size.bytes, size.version)).collect()
        };
        Reported {
            node: report.node.0,
            store: report.store.0.to_le_bytes().to_vec(),
            busy: report.busyness.into(),
            sizes: of(true),
            copies: of(false),
        }
    }
}

impl Size {
    fn of(slice: SliceId, bytes: u64, version: Version) -> Size {
        Size { slice: slice.0, bytes, node: 0, epoch: version.epoch.0, sequence: version.sequence.0, heard_ms: 0 }
    }

    fn version(&self) -> Version {
        Version { epoch: Epoch(self.epoch), sequence: Sequence(self.sequence) }
    }

    fn replica(&self, leads: bool) -> ReplicaSize {
        ReplicaSize { slice: SliceId(self.slice), leads, bytes: self.bytes, version: self.version() }
    }
}

impl Reported {
    fn report(self) -> Option<Report> {
        let (led, copies) = (self.sizes.iter(), self.copies.iter());
        let sizes = led.map(|size| size.replica(true)).chain(copies.map(|size| size.replica(false))).collect();
        Some(Report { node: NodeId(self.node), store: StoreId(wide(&self.store)?), busyness: self.busy.into(), sizes })
    }
}

impl Looked {
    fn of(shared: &Shared, looking: Looking) -> Looked {
        let (now, heard) = (shared.now(), shared.heard.lock());
        let node = |(node, heard): (&NodeId, &Heard)| OfNode {
            node: node.0,
            store: heard.store.0.to_le_bytes().to_vec(),
            silence_ms: now.since(heard.at) / 1_000,
            busy: heard.busyness.into(),
            weighed: heard.busyness.weighed(&shared.settings.machine.weights),
        };
        let mut looked = Looked { nodes: heard.nodes.iter().map(node).collect(), ..Looked::default() };
        if let Some(slice) = looking.versions_of.checked_sub(1).map(SliceId) {
            let of = (slice, NodeId(0))..=(slice, NodeId(u64::MAX));
            let version = |((slice, node), (version, at)): (&(SliceId, NodeId), &(Version, Moment))| Size {
                node: node.0,
                heard_ms: now.since(*at) / 1_000,
                ..Size::of(*slice, 0, *version)
            };
            looked.versions = heard.versions.range(of).map(version).collect();
        }
        if looking.sizes {
            let size = |(slice, bytes): (&SliceId, &u64)| Size::of(*slice, *bytes, Version::default());
            let copy = |((slice, node), bytes): (&(SliceId, NodeId), &u64)| Size {
                node: node.0,
                ..Size::of(*slice, *bytes, Version::default())
            };
            looked.sizes = heard.sizes.iter().map(size).collect();
            looked.copies = heard.copies.iter().map(copy).collect();
        }
        looked
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, OfProcess)> + '_ {
        self.nodes.iter().filter_map(|of| {
            let store = StoreId(wide(&of.store)?);
            let (silence_ms, parts, weighed) = (of.silence_ms, of.busy.into(), of.weighed);
            Some((NodeId(of.node), OfProcess { store, silence_ms, parts, weighed }))
        })
    }

    pub(super) fn sizes(&self) -> impl Iterator<Item = (SliceId, u64)> + '_ {
        self.sizes.iter().map(|size| (SliceId(size.slice), size.bytes))
    }

    /// How far each copy was heard to be, and how long ago, in milliseconds.
    pub(super) fn versions(&self) -> impl Iterator<Item = (NodeId, Version, u64)> + '_ {
        self.versions.iter().map(|size| (NodeId(size.node), size.version(), size.heard_ms))
    }

    pub(super) fn copies(&self) -> impl Iterator<Item = ((SliceId, NodeId), u64)> + '_ {
        self.copies.iter().map(|size| ((SliceId(size.slice), NodeId(size.node)), size.bytes))
    }
}

/// A manager's service: to be added to the door of its process.
#[derive(Clone)]
pub struct ManagerService {
    shared: Arc<Shared>,
}

impl ManagerService {
    /// Answers for a manager.
    #[must_use]
    pub fn new(manager: &ManagerNode) -> ManagerService {
        ManagerService { shared: Arc::clone(manager.shared()) }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Answering for ManagerService {
    const NAME: &'static str = SERVICE;

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        match request.uri().path() {
            REPORT => {
                let codec = ProstCodec::<Noted, Reported>::default();
                Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX).unary(self, request).await
            }
            LOOK => {
                let codec = ProstCodec::<Looked, Looking>::default();
                Grpc::new(codec).max_encoding_message_size(MESSAGE_BYTES_MAX).unary(self, request).await
            }
            SHARE => Grpc::new(ProstCodec::<Shares, Sharing>::default()).unary(self, request).await,
            _ => Status::unimplemented("there is no such method").into_http(),
        }
    }
}

impl UnaryService<Reported> for ManagerService {
    type Response = Noted;
    type Future = Answer<Noted>;

    fn call(&mut self, request: Request<Reported>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let report = request.into_inner().report();
            // An answer would say that its sizes were noted.
            match shared.hear(report.ok_or_else(|| Status::invalid_argument("a store has 16 bytes"))?) {
                true => Ok(Response::new(Noted { run: shared.run })),
                false => Err(Status::failed_precondition("meta names another store under this number, or none")),
            }
        })
    }
}

impl UnaryService<Looking> for ManagerService {
    type Response = Looked;
    type Future = Answer<Looked>;

    fn call(&mut self, request: Request<Looking>) -> Self::Future {
        let (shared, looking) = (Arc::clone(&self.shared), request.into_inner());
        Box::pin(async move { Ok(Response::new(Looked::of(&shared, looking))) })
    }
}
