//! Channels to the fleet's processes, by number: made when something is asked, and anew when a process moved.
//!
//! Promises: a question is answered or given up within its limit; an answer that nobody takes for now holds up no other one. May not
//! know what is asked.

use super::roster::Roster;
use crate::calls::{chain, grpc};
use crate::connecting::Target;
use crate::data::Askers;
use crate::door::STREAMS_MAX;
use crate::identity::Identity;
use parking_lot::Mutex;
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use types::NodeId;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_millis(1_000);
/// What an answer may have on its way here before somebody takes it.
const ANSWER_WINDOW_BYTES: u32 = 1 << 20;
/// The same of all answers of a connection: as many as may be asked for at once. With less, a few that nobody takes for now (a cursor
/// whose client thinks) would hold up every other one of that process, and whatever else is asked of it.
const ANSWERS_WINDOW_BYTES: u32 = STREAMS_MAX * ANSWER_WINDOW_BYTES;

/// Channels to the fleet's processes.
pub struct Lines {
    roster: Arc<Roster>,
    identity: Identity,
    askers: Arc<Askers>,
    open: Mutex<HashMap<NodeId, (String, Channel)>>,
    /// Where connections live, whoever asks for them first: a runtime whose threads may block would hold them up.
    runtime: Handle,
}

/// A channel to an address; the connection is made when something is asked, and made again when it was lost.
pub(crate) fn channel(address: &str, identity: &Identity, connect: Duration) -> Result<Channel, String> {
    let target = Target::new(address, Some(identity), |endpoint| {
        endpoint
            .connect_timeout(connect)
            .tcp_nodelay(true)
            .initial_stream_window_size(ANSWER_WINDOW_BYTES)
            .initial_connection_window_size(ANSWERS_WINDOW_BYTES)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(3))
    });
    Ok(target?.channel())
}

/// One question on a channel.
pub(crate) async fn ask<Q, A>(channel: &Channel, path: &'static str, question: Q, limit: Duration) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let asked = async {
        let mut grpc = grpc(channel);
        grpc.ready().await.map_err(|cause| Status::unavailable(chain(&cause)))?;
        grpc.unary(Request::new(question), PathAndQuery::from_static(path), ProstCodec::<Q, A>::default()).await
    };
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Status::unavailable(format!("no answer within {} ms", limit.as_millis()))),
    }
}

impl Lines {
    /// Channels to whom the roster knows. To be made within the runtime in which connections are to live.
    #[must_use]
    pub fn new(roster: Arc<Roster>, identity: impl Into<Identity>) -> Lines {
        let identity = identity.into();
        let askers = Arc::new(Askers::new(&identity));
        Lines { roster, identity, askers, open: Mutex::default(), runtime: Handle::current() }
    }

    /// Who there is.
    #[must_use]
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// Connections for questions about values and for writes.
    pub(crate) fn askers(&self) -> &Arc<Askers> {
        &self.askers
    }

    /// Where a process is.
    pub(crate) fn address(&self, node: NodeId) -> Result<String, Status> {
        self.roster.address(node).ok_or_else(|| Status::unavailable(format!("it is not known where node {node} is")))
    }

    /// A channel to a process.
    ///
    /// # Errors
    /// `Status` where it is not known where it is, or its address is none.
    pub fn channel(&self, node: NodeId) -> Result<Channel, Status> {
        let address = self.address(node)?;
        let mut open = self.open.lock();
        if let Some((at, channel)) = open.get(&node)
            && *at == address
        {
            return Ok(channel.clone());
        }
        let _inside = self.runtime.enter();
        let made = channel(&address, &self.identity, CONNECT);
        let made = made.map_err(|cause| Status::invalid_argument(format!("node {node} at \"{address}\": {cause}")))?;
        open.insert(node, (address, made.clone()));
        Ok(made)
    }

    /// Asks a process.
    ///
    /// # Errors
    /// `Status`.
    pub(crate) async fn ask<Q, A>(&self, node: NodeId, path: &'static str, question: Q, limit: Duration) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        ask(&self.channel(node)?, path, question, limit).await
    }
}
