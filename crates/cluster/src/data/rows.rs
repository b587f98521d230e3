//! Samples written to and read from one slice over the network: what schedulers ask of data nodes.
//!
//! Promises: a write is answered once it is as durable as its slice's mode says; a refusal says who leads, as far as is known;
//! a write that was not answered may have happened, and its number makes a repetition harmless. May not know tags' names.

use super::door::{READ, WRITE};
use super::messages::wide;
use crate::calls::{Tls, chain, config, grpc};
use bytes::Bytes;
use prost::{Message as Wire, Oneof};
use protocol::{Consistency, Refusal};
use std::time::Duration;
use thiserror::Error;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use types::{Epoch, NodeId, Origin, ProducerId, Sequence, SliceId, TagId, Timestamp, Version};

/// Numeric samples, column by column: all columns are of one length, except that no qualities mean good ones.
#[derive(Clone, PartialEq, Wire)]
pub struct Rows {
    /// Ordinals.
    #[prost(uint64, repeated, tag = "1")]
    pub tags: Vec<u64>,
    /// Microseconds since 1970-01-01 UTC.
    #[prost(sint64, repeated, tag = "2")]
    pub times: Vec<i64>,
    /// Values, as the tag's kind has them in 64 bits.
    #[prost(fixed64, repeated, tag = "3")]
    pub bits: Vec<u64>,
    /// OPC quality bytes.
    #[prost(bytes = "bytes", tag = "4")]
    pub qualities: Bytes,
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Writing {
    #[prost(uint32, tag = "1")]
    pub slice: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub producer: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub number: u64,
    #[prost(message, required, tag = "4")]
    pub rows: Rows,
}

impl Writing {
    pub(super) fn origin(&self) -> Option<Origin> {
        Some(Origin { producer: ProducerId(wide(&self.producer)?), number: self.number })
    }
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Reading {
    #[prost(uint32, tag = "1")]
    pub slice: u32,
    #[prost(uint64, repeated, tag = "2")]
    pub tags: Vec<u64>,
    #[prost(sint64, repeated, tag = "3")]
    pub times: Vec<i64>,
    #[prost(oneof = "How", tags = "4, 5, 6, 7")]
    pub how: Option<How>,
}

#[derive(Clone, Copy, PartialEq, Oneof)]
pub(super) enum How {
    #[prost(bool, tag = "4")]
    Primary(bool),
    #[prost(message, tag = "5")]
    Session(Seen),
    #[prost(uint64, tag = "6")]
    BoundedUs(u64),
    #[prost(bool, tag = "7")]
    Any(bool),
}

#[derive(Clone, Copy, PartialEq, Wire)]
pub(super) struct Seen {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
}

impl From<Version> for Seen {
    fn from(version: Version) -> Seen {
        Seen { epoch: version.epoch.0, sequence: version.sequence.0 }
    }
}

impl From<Seen> for Version {
    fn from(seen: Seen) -> Version {
        Version { epoch: Epoch(seen.epoch), sequence: Sequence(seen.sequence) }
    }
}

impl From<Consistency> for How {
    fn from(consistency: Consistency) -> How {
        match consistency {
            Consistency::Primary => How::Primary(true),
            Consistency::Session(version) => How::Session(version.into()),
            Consistency::Bounded { us } => How::BoundedUs(us),
            Consistency::Any => How::Any(true),
        }
    }
}

impl From<How> for Consistency {
    fn from(how: How) -> Consistency {
        match how {
            How::Primary(_) => Consistency::Primary,
            How::Session(seen) => Consistency::Session(seen.into()),
            How::BoundedUs(us) => Consistency::Bounded { us },
            How::Any(_) => Consistency::Any,
        }
    }
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Told {
    #[prost(oneof = "Answered", tags = "1, 2, 3")]
    pub answered: Option<Answered>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Answered {
    #[prost(message, tag = "1")]
    Written(Seen),
    #[prost(message, tag = "2")]
    Read(Found),
    #[prost(message, tag = "3")]
    Refused(Because),
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Found {
    #[prost(message, required, tag = "1")]
    pub at: Seen,
    #[prost(bool, repeated, tag = "2")]
    pub found: Vec<bool>,
    #[prost(message, required, tag = "3")]
    pub rows: Rows,
}

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Because {
    #[prost(string, tag = "1")]
    word: String,
    #[prost(uint64, optional, tag = "2")]
    leader: Option<u64>,
    #[prost(string, tag = "3")]
    text: String,
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// Another node leads the slice, as far as the one asked knows. A write may have happened: repeat it there.
    #[error("the node does not lead the slice; {}", leader.map_or("it is not known who does".to_owned(), |node| format!("node {node} does")))]
    NotPrimary {
        /// Who leads.
        leader: Option<NodeId>,
    },
    /// Too much waits, or a switch-over is under way: repeat it soon.
    #[error("the node is busy")]
    Busy,
    /// The copy is not fresh enough: ask the one who leads.
    #[error("the copy is not fresh enough")]
    Behind,
    /// What the session wrote was lost with an `async` primary.
    #[error("the session's write was lost with a primary that failed")]
    Lost,
    /// It makes no sense: nothing was done.
    #[error("{0}")]
    Invalid(String),
    /// No answer: a write may have happened.
    #[error("no answer: {0}")]
    Unavailable(String),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        match refusal {
            Refusal::NotPrimary { primary } => Refused::NotPrimary { leader: primary.map(|id| id.node) },
            Refusal::Busy => Refused::Busy,
            Refusal::Behind => Refused::Behind,
            Refusal::Lost => Refused::Lost,
        }
    }
}

impl From<Refused> for Because {
    fn from(refused: Refused) -> Because {
        let because = |word: &str, text: String| Because { word: word.to_owned(), leader: None, text };
        match refused {
            Refused::NotPrimary { leader } => {
                Because { leader: leader.map(|node| node.0), ..because("not_primary", String::new()) }
            }
            Refused::Busy => because("busy", String::new()),
            Refused::Behind => because("behind", String::new()),
            Refused::Lost => because("lost", String::new()),
            Refused::Invalid(text) => because("invalid", text),
            Refused::Unavailable(text) => because("unavailable", text),
        }
    }
}

impl From<Because> for Refused {
    fn from(because: Because) -> Refused {
        match because.word.as_str() {
            "not_primary" => Refused::NotPrimary { leader: because.leader.map(NodeId) },
            "busy" => Refused::Busy,
            "behind" => Refused::Behind,
            "lost" => Refused::Lost,
            "invalid" => Refused::Invalid(because.text),
            _ => Refused::Unavailable(because.text),
        }
    }
}

/// One who asks a data node.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    limit: Duration,
}

impl Client {
    /// A client of a node; the connection is made when something is asked, and made again when it was lost. No answer is
    /// waited for longer than `limit`.
    ///
    /// # Errors
    /// `Refused::Invalid` where the address or the certificates are none.
    pub fn new(address: &str, tls: &Tls, limit: Duration) -> Result<Client, Refused> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .and_then(|endpoint| endpoint.connect_timeout(limit).tcp_nodelay(true).tls_config(config(tls)))
            .map_err(|cause| Refused::Invalid(format!("\"{address}\": {}", chain(&cause))))?;
        Ok(Client { channel: endpoint.connect_lazy(), limit })
    }

    async fn ask<Q: Wire + 'static>(&self, path: &'static str, question: Q) -> Result<Answered, Refused> {
        let asked = async {
            let mut grpc = grpc(&self.channel);
            grpc.ready().await.map_err(|cause| Status::unavailable(chain(&cause)))?;
            grpc.unary(Request::new(question), PathAndQuery::from_static(path), ProstCodec::<Q, Told>::default()).await
        };
        match tokio::time::timeout(self.limit, asked).await {
            Ok(Ok(told)) => match told.into_inner().answered {
                Some(Answered::Refused(because)) => Err(because.into()),
                Some(answered) => Ok(answered),
                None => Err(Refused::Unavailable("the answer is of another release".to_owned())),
            },
            Ok(Err(status)) => Err(Refused::Unavailable(status.to_string())),
            Err(_) => Err(Refused::Unavailable(format!("nothing within {} ms", self.limit.as_millis()))),
        }
    }

    /// Writes rows, all of one slice.
    ///
    /// # Errors
    /// `Refused`; after `NotPrimary` and `Unavailable` it may have happened: ask again with the same number.
    pub async fn write(&self, slice: SliceId, origin: Origin, rows: Rows) -> Result<Version, Refused> {
        let producer = origin.producer.0.to_le_bytes().to_vec();
        match self.ask(WRITE, Writing { slice: slice.0, producer, number: origin.number, rows }).await? {
            Answered::Written(version) => Ok(version.into()),
            _ => Err(Refused::Unavailable("the answer is to another question".to_owned())),
        }
    }

    /// The newest sample of each tag at or before a time, and the newest write that the answer saw.
    ///
    /// # Errors
    /// `Refused`.
    pub async fn read(
        &self,
        slice: SliceId,
        consistency: Consistency,
        questions: &[(TagId, Timestamp)],
    ) -> Result<(Version, Vec<Option<(Timestamp, u64, u8)>>), Refused> {
        let (tags, times) = questions.iter().map(|(tag, time)| (tag.0, time.0)).unzip();
        match self.ask(READ, Reading { slice: slice.0, tags, times, how: Some(consistency.into()) }).await? {
            Answered::Read(Found { at, found, rows }) if found.len() == questions.len() => {
                let row = |row: usize| {
                    let sample = (Timestamp(*rows.times.get(row)?), *rows.bits.get(row)?, *rows.qualities.get(row)?);
                    found[row].then_some(sample)
                };
                Ok((at.into(), (0..found.len()).map(row).collect()))
            }
            _ => Err(Refused::Unavailable("the answer is to another question".to_owned())),
        }
    }
}
