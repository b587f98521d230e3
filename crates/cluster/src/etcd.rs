//! etcd (3.4 or newer) as a meta.
//!
//! Promises, beyond those of `Meta`: an answer is only believed where the store's own identity says that
//! it is the one this process belongs to (etcd's cluster id survives a wipe), and where its revision is not
//! below one that was seen before.
//!
//! ```text
//!   PREFIX \0meta   16 bytes: which meta this is, drawn at random by whoever came first
//!   PREFIX key      its value
//! ```
//! Every read and swap is a transaction that compares PREFIX \0meta first.
//!
//! May not know what keys mean, nor how etcd agrees.

mod messages;
mod translate;
mod watching;

use crate::calls::{Asking, Calls, Kind, Limits, Login};
use crate::identity::Identity;
use crate::watching::{Place, follow};
use messages::{LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseRequest, LeaseRevokeResponse};
use messages::{TxnRequest, TxnResponse};
use meta::{Answer, Error, Found, Key, LEASE_MS_MAX, Lease, LeaseId, Meta, MetaId, PAGE_ENTRIES_MAX, Page, Range, Revision};
use meta::{SWAP_KEYS_MAX, Swap, Swapped, Watch, Witness};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use translate::Names;
use world::{Random, Ticket};

/// Most watches at a time: each is a stream of its own.
pub const WATCHES_MAX: usize = 64;

/// Where etcd is, and how it is spoken to.
#[derive(Clone)]
pub struct Settings {
    /// Addresses of members: `http://10.0.0.1:2379`, or `https://` with an `identity`.
    pub endpoints: Vec<String>,
    /// What all keys of this fleet begin with, so that an etcd can serve several; not empty.
    pub prefix: String,
    /// A user of etcd's own authentication, and the password.
    pub user: Option<(String, String)>,
    /// Certificates, where etcd wants TLS.
    pub identity: Option<Identity>,
    /// Limits of calls.
    pub limits: Limits,
}

/// etcd as a meta. Calls run on the runtime it was connected in; dropping it ends its watches.
pub struct Etcd {
    shared: Arc<Shared>,
    asking: Asking,
    /// Tasks of watches end when it is dropped.
    alive: watch::Sender<()>,
    watches: Arc<AtomicUsize>,
}

struct Shared {
    calls: Calls,
    names: Names,
    id: MetaId,
    /// The highest revision that was seen.
    seen: AtomicU64,
}

impl Etcd {
    /// Connects, and finds out which meta this is. Where it is empty and `known` is none, it becomes one.
    ///
    /// # Errors
    /// `Error::Open` where the settings can't be meant; `Error::Unavailable`, `Error::Denied`;
    /// `Error::Foreign` and `Error::Older` where it is not the known one.
    pub async fn connect(settings: Settings, random: &dyn Random, known: Option<Witness>) -> Result<Etcd, Error> {
        let names = Names::new(&settings.prefix)?;
        let login = settings.user.map(|(name, password)| Login { path: "/etcdserverpb.Auth/Authenticate", name, password });
        let calls = Calls::new(&settings.endpoints, settings.identity.as_ref(), settings.limits, translate::judge, login)?;
        calls.log_in_first().await?;
        let fresh = MetaId(u128::from(random.next_u64()) << 64 | u128::from(random.next_u64()));
        let (found, revision) = match (identify(&calls, &names).await?, known) {
            ((None, _), None) => {
                let made = names.make_identity(fresh);
                // Whoever else is making it: one of both happens, and the next read tells which.
                match txn(&calls, Kind::Change, made).await {
                    Ok(_) | Err(Error::InDoubt(_)) => {}
                    Err(error) => return Err(error),
                }
                identify(&calls, &names).await?
            }
            (found, _) => found,
        };
        let id = match (found, known) {
            (Some(id), None) => id,
            (None, None) => return Err(Error::Unavailable("it could not be made to be this fleet's meta".to_owned())),
            (found, Some(witness)) => witness.check(found, revision).map(|()| witness.id)?,
        };
        let asking = Asking::new(Handle::current(), &settings.limits);
        let shared = Arc::new(Shared { calls, names, id, seen: AtomicU64::new(revision.0) });
        Ok(Etcd { shared, asking, alive: watch::Sender::new(()), watches: Arc::default() })
    }

    fn ask<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        call: impl FnOnce(Arc<Shared>) -> F,
    ) -> Answer<T> {
        self.asking.ask(call(Arc::clone(&self.shared)))
    }
}

async fn txn(calls: &Calls, kind: Kind, request: TxnRequest) -> Result<TxnResponse, Error> {
    calls.unary(kind, "/etcdserverpb.KV/Txn", request).await
}

async fn identify(calls: &Calls, names: &Names) -> Result<(Option<MetaId>, Revision), Error> {
    let answer = txn(calls, Kind::Read, names.read_identity()).await?;
    Ok((translate::identity(answer.responses.first())?, translate::revision(answer.header.as_ref())))
}

impl Shared {
    /// A transaction of this meta: the answer, and whether its conditions held.
    async fn txn(&self, kind: Kind, request: TxnRequest) -> Result<(TxnResponse, Revision), Error> {
        let floor = Revision(self.seen.load(Ordering::Acquire));
        let answer = txn(&self.calls, kind, self.names.guarded(self.id, request)).await?;
        let revision = translate::revision(answer.header.as_ref());
        let found = if answer.succeeded { Some(self.id) } else { translate::identity(answer.responses.first())? };
        Witness { id: self.id, revision: floor }.check(found, revision)?;
        self.seen.fetch_max(revision.0, Ordering::AcqRel);
        Ok((answer, revision))
    }

    async fn get(self: Arc<Self>, keys: Vec<Key>) -> Result<Found, Error> {
        let (answer, revision) = self.txn(Kind::Read, self.names.get(&keys)).await?;
        let entries = self.names.one_each(&answer.responses, &keys)?;
        Ok(Found { revision, entries })
    }

    async fn range(self: Arc<Self>, range: Range, limit: usize) -> Result<Page, Error> {
        if range.from() >= range.to() {
            let (_, revision) = self.txn(Kind::Read, TxnRequest::default()).await?;
            return Ok(Page { revision, entries: Vec::new(), more: false });
        }
        let (answer, revision) = self.txn(Kind::Read, self.names.range(&range, limit)).await?;
        let (entries, more) = self.names.page(answer.responses.first())?;
        Ok(Page { revision, entries, more })
    }

    async fn swap(self: Arc<Self>, swap: Swap) -> Result<Swapped, Error> {
        let answer = self.txn(Kind::Change, self.names.swap(&swap)).await.map_err(|error| name_lease(error, &swap));
        let (answer, revision) = answer?;
        if answer.succeeded {
            return Ok(Swapped::Done { revision });
        }
        let keys: Vec<Key> = swap.conditions.iter().map(|(key, _)| key.clone()).collect();
        // Behind the identity, which comes first.
        let found = self.names.one_each(answer.responses.get(1..).unwrap_or_default(), &keys)?;
        Ok(Swapped::Conflict { revision, found })
    }

    async fn grant(self: Arc<Self>, seconds: u64) -> Result<Lease, Error> {
        let question = LeaseGrantRequest { ttl: i64::try_from(seconds).unwrap_or(i64::MAX) };
        let answer: LeaseGrantResponse = self.calls.unary(Kind::Change, "/etcdserverpb.Lease/LeaseGrant", question).await?;
        Ok(Lease { id: LeaseId(answer.id.cast_unsigned()), lasts: Duration::from_secs(answer.ttl.max(0).cast_unsigned()) })
    }

    async fn keep_alive(self: Arc<Self>, lease: LeaseId) -> Result<Duration, Error> {
        let question = LeaseRequest { id: lease.0.cast_signed() };
        let answer: LeaseKeepAliveResponse =
            self.calls.one_of_stream(Kind::Read, "/etcdserverpb.Lease/LeaseKeepAlive", question).await?;
        match u64::try_from(answer.ttl) {
            Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
            _ => Err(Error::LeaseGone(lease)),
        }
    }

    async fn revoke(self: Arc<Self>, lease: LeaseId) -> Result<(), Error> {
        let question = LeaseRequest { id: lease.0.cast_signed() };
        let answer = self.calls.unary(Kind::Change, "/etcdserverpb.Lease/LeaseRevoke", question).await;
        answer.map(|_: LeaseRevokeResponse| ()).map_err(|error| match error {
            Error::LeaseGone(_) => Error::LeaseGone(lease),
            other => other,
        })
    }
}

/// etcd does not say which lease is gone; of a swap that names several, it is the first that we name.
fn name_lease(error: Error, swap: &Swap) -> Error {
    let lease = swap.writes.iter().find_map(|(_, write)| match write {
        meta::Write::Put(_, lease) => *lease,
        meta::Write::Delete => None,
    });
    match (error, lease) {
        (Error::LeaseGone(_), Some(lease)) => Error::LeaseGone(lease),
        (error, _) => error,
    }
}

fn refused<T: Send + 'static>(text: String) -> Answer<T> {
    Ticket::ready(Err(Error::Invalid(text)))
}

impl Meta for Etcd {
    fn witness(&self) -> Witness {
        Witness { id: self.shared.id, revision: Revision(self.shared.seen.load(Ordering::Acquire)) }
    }

    fn get(&self, keys: &[Key]) -> Answer<Found> {
        if keys.len() > SWAP_KEYS_MAX {
            return refused(format!("{} keys were asked for, at most {SWAP_KEYS_MAX} are allowed", keys.len()));
        }
        let keys = keys.to_vec();
        self.ask(|shared| shared.get(keys))
    }

    fn range(&self, range: &Range, limit: usize) -> Answer<Page> {
        if limit == 0 || limit > PAGE_ENTRIES_MAX {
            return refused(format!("a page of {limit} entries was asked for, 1 to {PAGE_ENTRIES_MAX} are allowed"));
        }
        let range = range.clone();
        self.ask(|shared| shared.range(range, limit))
    }

    fn swap(&self, swap: Swap) -> Answer<Swapped> {
        match swap.check() {
            Ok(()) => self.ask(|shared| shared.swap(swap)),
            Err(error) => Ticket::ready(Err(error)),
        }
    }

    fn watch(&self, range: &Range, after: Revision) -> Result<Watch, Error> {
        let place = Place::take(&self.watches, WATCHES_MAX)?;
        let shared = Arc::clone(&self.shared);
        Ok(follow(&self.asking.runtime, shared, range, after, self.alive.subscribe(), place))
    }

    fn grant(&self, lasts: Duration) -> Answer<Lease> {
        let ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 || ms > LEASE_MS_MAX {
            return refused(format!("a lease of {ms} ms was asked for, 1 to {LEASE_MS_MAX} are allowed"));
        }
        self.ask(|shared| shared.grant(ms.div_ceil(1_000)))
    }

    fn keep_alive(&self, lease: LeaseId) -> Answer<Duration> {
        self.ask(|shared| shared.keep_alive(lease))
    }

    fn revoke(&self, lease: LeaseId) -> Answer<()> {
        self.ask(|shared| shared.revoke(lease))
    }
}
