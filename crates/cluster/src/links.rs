//! Streams to the other nodes: one each, made when something is to be sent, and anew after a failure.
//!
//! Promises: parcels to one node keep their order on a stream; what finds no room in a queue, or no stream, is lost: the
//! protocol stands that. Nothing waits here. May not know what parcels say.

use crate::calls::{chain, grpc};
use crate::connecting::Target;
use crate::data::messages::Nothing;
use crate::fleet::Roster;
use crate::identity::Identity;
use parking_lot::Mutex;
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use types::NodeId;

/// The most parcels that wait for one node.
const WAITING_MAX: usize = 4_096;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_millis(500);
/// How long a node that could not be reached is left alone.
const PAUSE: Duration = Duration::from_millis(50);

/// What a stream carries.
pub(crate) trait Parcel: Message + 'static {
    /// The method that takes a stream of them.
    const DELIVER: &'static str;
}

/// The streams of a node.
pub(crate) struct Links<P> {
    runtime: Handle,
    identity: Identity,
    roster: Arc<Roster>,
    open: Mutex<HashMap<NodeId, mpsc::Sender<P>>>,
}

impl<P: Parcel> Links<P> {
    pub(crate) fn new(runtime: Handle, identity: Identity, roster: Arc<Roster>) -> Links<P> {
        Links { runtime, identity, roster, open: Mutex::default() }
    }

    /// A connection of its own to a node.
    pub(crate) async fn connect(&self, to: NodeId) -> Result<Channel, Status> {
        let address = self.roster.address(to).ok_or_else(|| Status::unavailable("it is not known where the node is"))?;
        connect(&self.identity, &address).await
    }

    /// Sends a parcel, or loses it.
    pub(crate) fn send(&self, to: NodeId, parcel: P) {
        let mut open = self.open.lock();
        let queue = open.entry(to).or_insert_with(|| {
            let (give, take) = mpsc::channel(WAITING_MAX);
            self.runtime.spawn(carry(self.identity.clone(), Arc::clone(&self.roster), to, take));
            give
        });
        if queue.try_send(parcel).is_err() {
            tracing::debug!(%to, "a message between nodes found no room and is lost");
        }
    }
}

/// Carries parcels to a node until nobody sends any more.
async fn carry<P: Parcel>(identity: Identity, roster: Arc<Roster>, to: NodeId, mut parcels: mpsc::Receiver<P>) {
    while let Some(first) = parcels.recv().await {
        let carried = match roster.address(to) {
            Some(address) => stream(&identity, &address, first, &mut parcels).await,
            None => Err(Status::unavailable("it is not known where the node is")),
        };
        if let Err(status) = carried {
            tracing::debug!(%to, %status, "the stream to a node ended");
            // What waited meanwhile is old: the protocol says it again.
            while parcels.try_recv().is_ok() {}
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn connect(identity: &Identity, address: &str) -> Result<Channel, Status> {
    let failed = |cause: tonic::transport::Error| Status::unavailable(chain(&cause));
    let target = Target::new(address, Some(identity), |endpoint| endpoint.connect_timeout(CONNECT).tcp_nodelay(true));
    let target = target.map_err(Status::unavailable)?;
    // A process that is stopped accepts connections and says nothing.
    match tokio::time::timeout(CONNECT, target.connect()).await {
        Ok(made) => made.map_err(failed),
        Err(_) => Err(Status::unavailable("no answer")),
    }
}

/// One stream, until it or the node ends.
async fn stream<P: Parcel>(identity: &Identity, address: &str, first: P, parcels: &mut mpsc::Receiver<P>) -> Result<(), Status> {
    let channel = connect(identity, address).await?;
    let (give, take) = mpsc::channel(64);
    let codec = ProstCodec::<P, Nothing>::default();
    let mut grpc = grpc(&channel);
    grpc.ready().await.map_err(|cause| Status::unavailable(chain(&cause)))?;
    let call = grpc.client_streaming(Request::new(ReceiverStream::new(take)), PathAndQuery::from_static(P::DELIVER), codec);
    let pump = async {
        let mut next = Some(first);
        while let Some(parcel) = next {
            if give.send(parcel).await.is_err() {
                return;
            }
            next = parcels.recv().await;
        }
    };
    tokio::select! {
        ended = call => ended.map(drop).and(Err(Status::unavailable("the node ended the stream"))),
        () = pump => Err(Status::unavailable("the stream is closed")),
    }
}
