//! The side that asks: a lone manager's meta as a `Meta`.
//!
//! Promises: as etcd's, since both stand on `calls`: bounded tries, identity and revision checked on
//! every answer, watches made anew when their stream ends. May not know what store answers.

use super::messages::{Answered, Asked, AskedRange, Entries, Hinted, Keys, Nothing, Question, Told, Watching};
use super::messages::{id, id_bytes, page};
use super::{ASK, WATCH};
use crate::calls::{Asking, Calls, Judged, Kind, Limits, chain, grpc};
use crate::identity::Identity;
use crate::watching::{Place, Source, follow};
use meta::{Answer, Error, Found, Hints, Key, Lease, LeaseId, Meta, Page, Range, Revision, Swap, Swapped, Watch, Witness};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use world::Ticket;

/// Most watches at a time.
pub const WATCHES_MAX: usize = 64;

/// Where the lone manager is, and how it is spoken to.
#[derive(Clone)]
pub struct Settings {
    /// Its addresses, `https://..`; they lead to one process.
    pub addresses: Vec<String>,
    /// The fleet's authority, and this process's certificate.
    pub identity: Identity,
    /// Limits of calls.
    pub limits: Limits,
}

/// A lone manager's meta. Calls run on the runtime it was connected in; dropping it ends its watches.
pub struct Remote {
    shared: Arc<Shared>,
    asking: Asking,
    alive: watch::Sender<()>,
    watches: Arc<AtomicUsize>,
}

struct Shared {
    calls: Calls,
    id: meta::MetaId,
    /// The highest revision that was seen.
    seen: AtomicU64,
}

impl Remote {
    /// Connects, and finds out which meta it is.
    ///
    /// # Errors
    /// `Error::Open` where the settings can't be meant; `Error::Unavailable`; `Error::Foreign` and
    /// `Error::Older` where it is not the known one.
    pub async fn connect(settings: Settings, known: Option<Witness>) -> Result<Remote, Error> {
        let calls = Calls::new(&settings.addresses, Some(&settings.identity), settings.limits, judge, None)?;
        let question = Question { meta: Vec::new(), asked: Some(Asked::Identify(Nothing {})) };
        let told: Told = calls.unary(Kind::Read, ASK, question).await?;
        let found = id(&told.meta).ok_or_else(|| Error::Damaged("the manager does not say which meta it has".to_owned()))?;
        if let Some(witness) = known {
            witness.check(Some(found), Revision(told.revision))?;
        }
        let shared = Arc::new(Shared { calls, id: found, seen: AtomicU64::new(told.revision) });
        let asking = Asking::new(Handle::current(), &settings.limits);
        Ok(Remote { shared, asking, alive: watch::Sender::new(()), watches: Arc::default() })
    }

    fn ask<T: Send + 'static>(
        &self,
        kind: Kind,
        asked: Asked,
        turn: impl FnOnce(Answered, Revision) -> Result<T, Error> + Send + 'static,
    ) -> Answer<T> {
        let shared = Arc::clone(&self.shared);
        self.asking.ask(async move {
            let (answered, revision) = shared.ask(kind, asked).await?;
            turn(answered, revision)
        })
    }
}

impl Shared {
    async fn ask(&self, kind: Kind, asked: Asked) -> Result<(Answered, Revision), Error> {
        let floor = Revision(self.seen.load(Ordering::Acquire));
        let question = Question { meta: id_bytes(self.id), asked: Some(asked) };
        let told: Told = self.calls.unary(kind, ASK, question).await?;
        let (found, revision) = (id(&told.meta), Revision(told.revision));
        Witness { id: self.id, revision: floor }.check(found, revision)?;
        self.seen.fetch_max(revision.0, Ordering::AcqRel);
        match told.answered {
            Some(Answered::Failed(failed)) => Err(failed.into_error(self.id, found)),
            Some(answered) => Ok((answered, revision)),
            None => Err(odd()),
        }
    }
}

/// The manager answers what was not asked: another release, or a fault of ours. What it did is not known.
fn odd() -> Error {
    Error::InDoubt("the manager's answer is not of this release".to_owned())
}

fn judge(status: &Status) -> Judged {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => Judged::Final(Error::Denied(status.message().to_owned())),
        // Of a watch: refused before it began.
        Code::ResourceExhausted | Code::FailedPrecondition => Judged::NotMade(status.message().to_owned()),
        Code::Unimplemented => Judged::Final(Error::Invalid("the manager is of another release".to_owned())),
        _ => Judged::Open(chain(status)),
    }
}

impl Source for Shared {
    fn calls(&self) -> &Calls {
        &self.calls
    }

    fn judge(&self, status: &Status) -> Judged {
        judge(status)
    }

    async fn events(&self, channel: &tonic::transport::Channel, hints: &Hints, next: &mut Revision) -> Result<(), Status> {
        let range = hints.range();
        let (from, to) = (range.from().to_owned(), range.to().to_owned());
        let watching = Watching { meta: id_bytes(self.id), from, to, after: next.0.saturating_sub(1) };
        let mut grpc = grpc(channel);
        grpc.ready().await.map_err(|cause| Status::unavailable(chain(&cause)))?;
        let codec = ProstCodec::<Watching, Hinted>::default();
        let answer = grpc.server_streaming(Request::new(watching), PathAndQuery::from_static(WATCH), codec).await?;
        let mut messages = answer.into_inner();
        while let Some(hinted) = messages.message().await? {
            let revision = Revision(hinted.revision);
            match hinted.keys.iter().map(|key| Key::new(key)).collect::<Result<Vec<_>, _>>() {
                Ok(keys) if !hinted.anything => hints.keys(revision, &keys),
                _ => hints.anything(revision),
            }
            *next = (*next).max(Revision(revision.0 + 1));
        }
        Ok(())
    }
}

impl Meta for Remote {
    fn witness(&self) -> Witness {
        Witness { id: self.shared.id, revision: Revision(self.shared.seen.load(Ordering::Acquire)) }
    }

    fn get(&self, keys: &[Key]) -> Answer<Found> {
        let count = keys.len();
        let asked = Asked::Get(Keys { keys: keys.iter().map(|key| key.text().to_owned()).collect() });
        self.ask(Kind::Read, asked, move |answered, revision| match answered {
            Answered::Entries(entries) => Ok(Found { revision, entries: entries.each(count)? }),
            _ => Err(odd()),
        })
    }

    fn range(&self, range: &Range, limit: usize) -> Answer<Page> {
        let (from, to) = (range.from().to_owned(), range.to().to_owned());
        let asked = Asked::Range(AskedRange { from, to, limit: limit as u64 });
        self.ask(Kind::Read, asked, |answered, revision| match answered {
            Answered::Entries(entries) => page(entries, revision),
            _ => Err(odd()),
        })
    }

    fn swap(&self, swap: Swap) -> Answer<Swapped> {
        // Before it is sent: what breaks a limit may also break the message's.
        if let Err(error) = swap.check() {
            return Ticket::ready(Err(error));
        }
        let conditions = swap.conditions.len();
        self.ask(Kind::Change, Asked::Swap((&swap).into()), move |answered, revision| match answered {
            Answered::Done(_) => Ok(Swapped::Done { revision }),
            Answered::Conflict(found) => Ok(Swapped::Conflict { revision, found: Entries::each(found, conditions)? }),
            _ => Err(odd()),
        })
    }

    fn watch(&self, range: &Range, after: Revision) -> Result<Watch, Error> {
        let place = Place::take(&self.watches, WATCHES_MAX)?;
        let shared = Arc::clone(&self.shared);
        Ok(follow(&self.asking.runtime, shared, range, after, self.alive.subscribe(), place))
    }

    fn grant(&self, lasts: Duration) -> Answer<Lease> {
        let asked = Asked::GrantMs(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
        self.ask(Kind::Change, asked, |answered, _| match answered {
            Answered::Lease(granted) => Ok(granted.lease()),
            _ => Err(odd()),
        })
    }

    fn keep_alive(&self, lease: LeaseId) -> Answer<Duration> {
        self.ask(Kind::Read, Asked::KeepAlive(lease.0), |answered, _| match answered {
            Answered::Lease(granted) => Ok(granted.lease().lasts),
            _ => Err(odd()),
        })
    }

    fn revoke(&self, lease: LeaseId) -> Answer<()> {
        self.ask(Kind::Change, Asked::Revoke(lease.0), |answered, _| match answered {
            Answered::Done(_) => Ok(()),
            _ => Err(odd()),
        })
    }
}
