//! Files for a replica that the log no longer reaches, from the primary that pinned them (paper 4.4).
//!
//! ```text
//!   taker                                       primary
//!   prepare: own group versions
//!   compare with the offer
//!   PIECES (group) ──────────────────────────>  its pieces, while they are pinned
//!   PIECE (piece, offset) ───────────────────>  bytes of it      } as the throttle of the taker's node lets it
//!   install: one manifest
//! ```
//! Promises: what can't be had (a pin that is gone, a node that does not answer) leaves the replica as it was, and the machine
//! is told, so that the primary offers again; a piece is asked for once an offer. May not know what files hold.

use super::node::{DataNode, Input, Shared};
use super::service::{PIECE, PIECES};
use crate::calls::{chain, grpc};
use crate::fleet::entries::{Place, wide};
use crate::tickets::answered;
use bytes::Bytes;
use kernel::{Error, LedSlice, Piece};
use parking_lot::Mutex;
use prost::Message as Wire;
use protocol::{Event, Offer, Planted, ReplicaId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use storage::FileNumber;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use types::{Period, SliceId, StoreId};

/// Bytes of a piece that are asked for at once.
const PART_BYTES: usize = 1 << 20;
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How often a question is asked.
const TRIES_MAX: u32 = 4;
/// How long is waited before it is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// Which pieces a group has, or a part of one: asked by the replica for which they are pinned.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Wanting {
    #[prost(uint32, tag = "1")]
    pub slice: u32,
    #[prost(message, required, tag = "2")]
    pub by: Place,
    /// The store that pinned them.
    #[prost(bytes = "vec", tag = "3")]
    pub of: Vec<u8>,
    /// The group's period.
    #[prost(sint64, tag = "4")]
    pub period: i64,
    /// A file's number plus one; 0 is the manifest.
    #[prost(uint64, tag = "5")]
    pub piece: u64,
    #[prost(uint64, tag = "6")]
    pub offset: u64,
}

/// The pieces of a group; none where they are not pinned any more.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Pieces {
    #[prost(bool, tag = "1")]
    pub pinned: bool,
    #[prost(uint64, repeated, tag = "2")]
    pub pieces: Vec<u64>,
    #[prost(uint64, repeated, tag = "3")]
    pub bytes: Vec<u64>,
}

/// A part of a piece; not pinned: it is gone.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Part {
    #[prost(bool, tag = "1")]
    pub pinned: bool,
    #[prost(bytes = "bytes", tag = "2")]
    pub bytes: Bytes,
}

fn number(piece: Piece) -> u64 {
    match piece {
        Piece::Manifest => 0,
        Piece::File(file) => file.0 + 1,
    }
}

fn piece(number: u64) -> Piece {
    number.checked_sub(1).map_or(Piece::Manifest, |file| Piece::File(FileNumber(file)))
}

/// How fast files may be copied.
pub(super) struct Throttle {
    bytes_per_s: u64,
    /// When the next part may come.
    next: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(super) fn new(bytes_per_s: u64) -> Throttle {
        Throttle { bytes_per_s: bytes_per_s.max(1), next: Mutex::new(None) }
    }

    /// Waits for as long as bytes that came should have taken.
    async fn pass(&self, bytes: u64) {
        let until = {
            let (mut next, now) = (self.next.lock(), Instant::now());
            let begin = next.map_or(now, |next| next.max(now));
            *next.insert(begin + Duration::from_secs_f64(bytes as f64 / self.bytes_per_s as f64))
        };
        tokio::time::sleep_until(until).await;
    }
}

/// Why nothing came of an offer.
enum Failure {
    /// It could not be had; the replica is as it was.
    Gone(String),
    /// The replica's own store failed.
    Store(String),
}

impl From<Error> for Failure {
    fn from(fault: Error) -> Failure {
        match fault {
            Error::Led { .. } | Error::Damaged(_) | Error::DiskFull(_) => Failure::Gone(fault.to_string()),
            fault => Failure::Store(fault.to_string()),
        }
    }
}

/// Takes what a primary offers, and tells the replica's task how it ended.
pub(super) fn take(
    shared: &Arc<Shared>,
    led: &LedSlice,
    own: &mpsc::UnboundedSender<Input>,
    (from, offer, departs): (ReplicaId, Offer, bool),
) {
    let (shared, led, own) = (Arc::clone(shared), led.clone(), own.clone());
    shared.runtime.clone().spawn(async move {
        let slice = led.id();
        let input = match taken(&shared, &led, from, offer, departs).await {
            Ok(event) => Input::Event(event),
            Err(Failure::Gone(why)) => {
                tracing::warn!(%slice, from = %from.node, why, "the files that the primary offers could not be taken; it offers again");
                Input::Event(Event::FilesRefused)
            }
            Err(Failure::Store(fault)) => Input::Failed(fault),
        };
        // The replica may have ended meanwhile.
        drop(own.send(input));
    });
}

async fn taken(shared: &Shared, led: &LedSlice, from: ReplicaId, offer: Offer, departs: bool) -> Result<Event, Failure> {
    let groups = answered(led.prepare(departs)).await.map_err(|gone| Failure::Store(gone.to_string()))??;
    let difference = offer.compare(&groups, Planted::default());
    let (slice, missing) = (led.id(), difference.copy);
    tracing::info!(%slice, from = %from.node, groups = offer.groups.len(), copies = missing.len(), "takes file groups of the primary");
    let source = Source { shared, slice, from, channel: None };
    copy(source, led, &offer, &missing).await?;
    let (history, producers) = answered(led.install(offer, missing)).await.map_err(|gone| Failure::Store(gone.to_string()))??;
    Ok(Event::FilesTaken { history, producers })
}

/// Copies the pieces of groups that are needed, each piece once: the manifest first, which tells which they are.
async fn copy(mut source: Source<'_>, led: &LedSlice, offer: &Offer, groups: &[Period]) -> Result<(), Failure> {
    let (mut kept, mut needed) = (BTreeSet::new(), None);
    for period in groups {
        let pieces: Pieces = source.ask(PIECES, &source.wanting(*period, Piece::Manifest, 0)).await?;
        if !pieces.pinned || pieces.pieces.len() != pieces.bytes.len() {
            return Err(Failure::Gone("they are not held any more".to_owned()));
        }
        for (number, bytes) in pieces.pieces.into_iter().zip(pieces.bytes) {
            let is_needed = needed.as_ref().is_none_or(|needed: &BTreeSet<Piece>| needed.contains(&piece(number)));
            if !is_needed || !kept.insert(number) {
                continue;
            }
            copy_piece(&mut source, led, *period, piece(number), bytes).await?;
            if needed.is_none() {
                let (led, offer, groups) = (led.clone(), offer.clone(), groups.to_vec());
                let told = tokio::task::spawn_blocking(move || led.needed_pieces(&offer, &groups)).await;
                needed = Some(told.map_err(|fault| Failure::Store(fault.to_string()))??);
            }
        }
    }
    Ok(())
}

async fn copy_piece(source: &mut Source<'_>, led: &LedSlice, period: Period, piece: Piece, bytes: u64) -> Result<(), Failure> {
    let mut offset = 0;
    while offset < bytes || (bytes == 0 && offset == 0) {
        let part: Part = source.ask(PIECE, &source.wanting(period, piece, offset)).await?;
        if !part.pinned || part.bytes.is_empty() {
            return Err(Failure::Gone("a file is not held any more".to_owned()));
        }
        let length = part.bytes.len() as u64;
        let led = led.clone();
        // Writing may wait for the disk.
        let kept = tokio::task::spawn_blocking(move || led.keep_piece(piece, offset, &part.bytes)).await;
        kept.map_err(|fault| Failure::Store(fault.to_string()))??;
        offset += length;
        source.shared.throttle.pass(length).await;
    }
    Ok(())
}

/// The primary's side, as the taker sees it.
struct Source<'a> {
    shared: &'a Shared,
    slice: SliceId,
    from: ReplicaId,
    channel: Option<Channel>,
}

impl Source<'_> {
    fn wanting(&self, period: Period, piece: Piece, offset: u64) -> Wanting {
        let of = self.from.store.0.to_le_bytes().to_vec();
        Wanting { slice: self.slice.0, by: self.shared.me.into(), of, period: period.0, piece: number(piece), offset }
    }

    async fn ask<T: Wire + Default + 'static>(&mut self, path: &'static str, question: &Wanting) -> Result<T, Failure> {
        let mut last = String::new();
        for attempt in 0..TRIES_MAX {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            match tokio::time::timeout(LIMIT, self.once(path, question.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => last = status.to_string(),
                Err(_) => last = format!("nothing within {} s", LIMIT.as_secs()),
            }
            self.channel = None;
        }
        Err(Failure::Gone(last))
    }

    async fn once<T: Wire + Default + 'static>(&mut self, path: &'static str, question: Wanting) -> Result<T, Status> {
        let channel = match &self.channel {
            Some(channel) => channel.clone(),
            None => {
                let made = self.shared.links.connect(self.from.node).await?;
                self.channel.insert(made).clone()
            }
        };
        let mut grpc = grpc(&channel);
        grpc.ready().await.map_err(|cause| Status::unavailable(chain(&cause)))?;
        let codec = ProstCodec::<Wanting, T>::default();
        Ok(grpc.unary(Request::new(question), PathAndQuery::from_static(path), codec).await?.into_inner())
    }
}

/// The replica that asks, where it asks this very store.
fn asks(node: &DataNode, wanting: &Wanting) -> Result<(ReplicaId, LedSlice), Status> {
    let by = Place::replica(&wanting.by).ok_or_else(|| Status::invalid_argument("a store has 16 bytes"))?;
    let of = wide(&wanting.of).map(StoreId);
    let led = node.led(SliceId(wanting.slice)).filter(|_| of == Some(node.me().store));
    led.map(|led| (by, led)).ok_or_else(|| Status::not_found("the slice is not here"))
}

/// Answers which pieces a group has.
pub(super) fn pieces(node: &DataNode, wanting: &Wanting) -> Result<Pieces, Status> {
    let (by, led) = asks(node, wanting)?;
    let Some(found) = led.pinned_pieces(by, Period(wanting.period)) else { return Ok(Pieces::default()) };
    let (pieces, bytes) = found.into_iter().map(|(piece, bytes)| (number(piece), bytes)).unzip();
    Ok(Pieces { pinned: true, pieces, bytes })
}

/// Answers with a part of a piece. Reads the disk on the calling thread.
pub(super) fn part(node: &DataNode, wanting: &Wanting) -> Result<Part, Status> {
    let (by, led) = asks(node, wanting)?;
    let read = led.read_pinned(by, piece(wanting.piece), wanting.offset, PART_BYTES);
    match read.map_err(|fault| Status::internal(fault.to_string()))? {
        Some(bytes) => Ok(Part { pinned: true, bytes }),
        None => Ok(Part::default()),
    }
}
