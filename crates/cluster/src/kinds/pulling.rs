//! Books are filled from whoever's is longer: a scheduler's tag table, or another data node's book.
//!
//! Promises: one pull at a time; what was pulled is durable before whoever waits goes on; nobody waits longer than was
//! said. Where a pull failed, it is not tried again for a moment. May not know who needs which kind.

use super::{Book, BookError, KindSource};
use crate::calls::MESSAGE_BYTES_MAX;
use crate::door::{Answer, Answering};
use crate::fleet::{Lines, Roles};
use prost::Message as Wire;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Mutex;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use types::NodeId;
use world::Clock;

/// The service's name; the number is the layout's.
const SERVICE: &str = "meridian.Kinds1";
const READ: &str = "/meridian.Kinds1/Read";
/// The most kinds in one answer.
const KINDS_MAX: usize = 1 << 20;
/// How long one question may take.
const QUESTION: Duration = Duration::from_millis(500);
/// How long after a pull that brought too little nobody pulls for the same.
const PAUSE_US: u64 = 100_000;

#[derive(Clone, Copy, PartialEq, Wire)]
struct Asked {
    #[prost(uint64, tag = "1")]
    first: u64,
}

#[derive(Clone, PartialEq, Wire)]
struct Told {
    #[prost(uint64, tag = "1")]
    end: u64,
    #[prost(bytes = "vec", tag = "2")]
    kinds: Vec<u8>,
}

/// Offers kinds: to be added to the door of whoever has some.
#[derive(Clone)]
pub struct KindsService {
    source: Arc<dyn KindSource>,
}

impl KindsService {
    /// Offers what a source has.
    #[must_use]
    pub fn new(source: Arc<dyn KindSource>) -> KindsService {
        KindsService { source }
    }
}

impl Answering for KindsService {
    const NAME: &'static str = SERVICE;

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        match request.uri().path() {
            READ => {
                let codec = ProstCodec::<Told, Asked>::default();
                Grpc::new(codec).max_encoding_message_size(MESSAGE_BYTES_MAX).unary(self, request).await
            }
            _ => Status::unimplemented("there is no such method").into_http(),
        }
    }
}

impl UnaryService<Asked> for KindsService {
    type Response = Told;
    type Future = Answer<Told>;

    fn call(&mut self, request: Request<Asked>) -> Self::Future {
        let (source, first) = (Arc::clone(&self.source), request.into_inner().first);
        Box::pin(async move { Ok(Response::new(Told { end: source.end(), kinds: source.read(first, KINDS_MAX) })) })
    }
}

/// Kinds that can't be had now: asking again later can help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the kinds of tags up to {need} can't be had now, this node knows those below {have}: {why}")]
pub struct Unreached {
    /// Where the book was to reach.
    pub need: u64,
    /// Where it ends.
    pub have: u64,
    /// Who said what.
    pub why: String,
}

/// Who keeps a data node's book filled.
pub struct Keeper {
    book: Arc<Book>,
    lines: Arc<Lines>,
    clock: Arc<dyn Clock>,
    /// Whose turn it is to pull; and up to where, and when, a pull failed last.
    turn: Mutex<Option<(u64, u64)>>,
}

impl Keeper {
    /// Keeps a book filled from whoever the fleet has.
    #[must_use]
    pub fn new(book: Arc<Book>, lines: Arc<Lines>, clock: Arc<dyn Clock>) -> Keeper {
        Keeper { book, lines, clock, turn: Mutex::new(None) }
    }

    /// The book.
    #[must_use]
    pub fn book(&self) -> &Arc<Book> {
        &self.book
    }

    /// Waits until the book reaches `need`, pulling what is missing: first from whoever sent what needs it.
    ///
    /// # Errors
    /// `Unreached`, within the limit or soon after.
    pub async fn reach(&self, need: u64, sender: Option<NodeId>, limit: Duration) -> Result<(), Unreached> {
        if self.book.end() >= need {
            return Ok(());
        }
        let pulled = tokio::time::timeout(limit, async {
            let mut turn = self.turn.lock().await;
            if self.book.end() >= need {
                return Ok(());
            }
            let now = self.clock.monotonic_us();
            if turn.is_some_and(|(failed, at)| failed <= need && now < at + PAUSE_US) {
                return Err("it was just tried".to_owned());
            }
            let pulled = self.pull(need, sender).await;
            *turn = pulled.is_err().then(|| (need, self.clock.monotonic_us()));
            pulled
        });
        let pulled = pulled.await.unwrap_or_else(|_| Err(format!("not within {} ms", limit.as_millis())));
        pulled.map_err(|why| Unreached { need, have: self.book.end(), why })
    }

    /// Fills a book that was lost, before the store is opened: from the longest that can be had, at least one.
    ///
    /// # Errors
    /// `Unreached` where nobody who has enough answered within the limit.
    pub async fn fill(&self, limit: Duration) -> Result<(), Unreached> {
        let _turn = self.turn.lock().await;
        let (owed, mut said) = (self.book.owed(), String::new());
        let filled = tokio::time::timeout(limit, async {
            loop {
                let mut answers = 0;
                for node in self.who(None) {
                    match self.pull_from(node, u64::MAX).await {
                        Ok(()) => answers += 1,
                        Err(why) => said = why,
                    }
                }
                if answers > 0 && self.book.end() >= owed {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let filled = filled.await;
        filled.map_err(|_| Unreached { need: owed, have: self.book.end(), why: format!("nobody who has them answers; {said}") })
    }

    /// Whom to ask, in order.
    fn who(&self, sender: Option<NodeId>) -> Vec<NodeId> {
        let roster = self.lines.roster();
        let mut all: Vec<NodeId> = sender.into_iter().collect();
        for node in roster.with(Roles::SCHEDULER).into_iter().chain(roster.with(Roles::DATA)) {
            if !all.contains(&node) {
                all.push(node);
            }
        }
        all
    }

    async fn pull(&self, need: u64, sender: Option<NodeId>) -> Result<(), String> {
        let mut said = "there is nobody to ask".to_owned();
        for node in self.who(sender) {
            match self.pull_from(node, need).await {
                Ok(()) if self.book.end() >= need => return Ok(()),
                Ok(()) => said = format!("node {node} has them below {} only", self.book.end()),
                Err(why) => said = why,
            }
        }
        Err(said)
    }

    /// Pulls what one has, until the book reaches so far or it has no more.
    async fn pull_from(&self, node: NodeId, need: u64) -> Result<(), String> {
        loop {
            let first = self.book.end();
            let told: Result<Told, Status> = self.lines.ask(node, READ, Asked { first }, QUESTION).await;
            let told = told.map_err(|status| format!("node {node}: {}", status.message()))?;
            if told.kinds.is_empty() {
                return Ok(());
            }
            let book = Arc::clone(&self.book);
            let appended = tokio::task::spawn_blocking(move || book.append(first, &told.kinds)).await;
            let appended: Result<(), BookError> = appended.map_err(|fault| fault.to_string())?;
            if let Err(fault) = appended {
                tracing::error!(%fault, %node, "kinds can't be taken");
                return Err(format!("node {node}: {fault}"));
            }
            if self.book.end() >= need && told.end <= self.book.end() {
                return Ok(());
            }
        }
    }
}
