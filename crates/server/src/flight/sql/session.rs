//! Sessions of Flight SQL: whose they are, and what each keeps for its client (prepared statements, tickets).
//!
//! A session belongs to the token that a Handshake gave (ADBC and JDBC log in once a connection), else to the connection
//! itself. It ends with CloseSession, with its token, when somebody ends it, or with its connections: one of a token `login_max`
//! after the last of those that its calls came by, for a client may come again. Its statements are cancelled then.
//!
//! Promises: a handle is 16 random bytes after the session's number, and is good for the user who was given it, at no
//! other's hands; sessions, prepared statements and tickets are bounded in number, what was bound to statements in bytes. A session
//! is only taken from a client, for want of room, when nothing of it would be missed.
//!
//! Shared state: the map of sessions, under one mutex; what each session keeps, under a mutex of its own; both are held for
//! the length of a look-up.

use super::error;
use super::parameters::Bound;
use crate::auth::{Caller, TOKEN_US};
use crate::shared::{Registered, Shared, Stage};
use bytes::Bytes;
use parking_lot::Mutex;
use query::{Prepared, Session, SessionSettings};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;

/// Tickets of one session that wait to be read; beyond that the oldest are forgotten.
const TICKETS_MAX: usize = 256;
const HANDLE_BYTES: usize = 20;

type Secret = [u8; 16];

/// Whose a session is.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    user: String,
    place: Place,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Place {
    Token([u8; 32]),
    Connection(u64),
}

/// All sessions of the door.
pub(crate) struct Sessions {
    me: Weak<Sessions>,
    shared: Arc<Shared>,
    all: Mutex<Maps>,
}

#[derive(Default)]
struct Maps {
    by_key: HashMap<Key, Arc<Held>>,
    by_number: HashMap<i32, Arc<Held>>,
}

/// A session and what is kept for its client.
pub(crate) struct Held {
    pub(crate) session: Arc<Session>,
    /// Keeps it in the list of what is cancelled when the server stops.
    _registered: Registered,
    key: Key,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    prepared: HashMap<Secret, Arc<Statement>>,
    /// Oldest first.
    waiting: VecDeque<(Secret, Ticket)>,
    running: HashMap<Secret, watch::Sender<bool>>,
    /// Open connections that its calls came by, by number.
    peers: HashSet<u64>,
    used_us: u64,
    /// Whether it was changed by SET or the like.
    changed: bool,
}

/// A prepared statement, and the parameters that were last bound to it.
pub(crate) struct Statement {
    pub(crate) prepared: Prepared,
    bound: Mutex<Option<Arc<Bound>>>,
}

/// What a ticket stands for.
#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) prepared: Prepared,
    pub(crate) bound: Option<Arc<Bound>>,
}

/// A ticket that is being read: cancelled by its client, or ended when dropped.
pub(crate) struct Reading {
    held: Arc<Held>,
    secret: Secret,
    pub(crate) ticket: Ticket,
    cancelled: watch::Receiver<bool>,
}

impl Sessions {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Sessions> {
        Arc::new_cyclic(|me| Sessions { me: Weak::clone(me), shared, all: Mutex::default() })
    }

    /// The session of a caller, opened at its first call.
    pub(crate) async fn of(self: &Arc<Self>, caller: &Caller) -> Result<Arc<Held>, Status> {
        if self.shared.stage() != Stage::Running {
            return Err(error::new("57P01", "the server is shutting down"));
        }
        let key = key_of(caller);
        if let Some(held) = self.known(&key) {
            self.note_peer(&held, caller);
            return Ok(held);
        }
        self.make_room()?;
        let session = self.open(caller).await?;
        let Some(registered) = self.shared.register(Arc::clone(&session)).await else {
            // What is in the way may be what another call of the same client has opened meanwhile.
            return self.known(&key).ok_or_else(|| error::new("53300", "too many connections for the role"));
        };
        let held = {
            let mut all = self.all.lock();
            // Another call of the same client, by the same connection as a rule, may have been faster.
            if let Some(held) = all.by_key.get(&key) {
                return Ok(Arc::clone(held));
            }
            let kept = Kept { used_us: self.shared.users.monotonic_us(), ..Kept::default() };
            let held = Arc::new(Held { session, _registered: registered, key: key.clone(), kept: Mutex::new(kept) });
            all.by_key.insert(key.clone(), Arc::clone(&held));
            all.by_number.insert(held.session.id(), Arc::clone(&held));
            held
        };
        self.note_peer(&held, caller);
        self.end_when_ended(&held);
        Ok(held)
    }

    fn known(&self, key: &Key) -> Option<Arc<Held>> {
        let held = self.all.lock().by_key.get(key).cloned()?;
        if held.session.is_ended() {
            self.end(&held);
            return None;
        }
        held.kept.lock().used_us = self.shared.users.monotonic_us();
        Some(held)
    }

    async fn open(&self, caller: &Caller) -> Result<Arc<Session>, Status> {
        let settings = SessionSettings {
            user: caller.user.clone(),
            client: caller.peer.as_ref().and_then(|peer| peer.address).map_or_else(String::new, |address| address.to_string()),
            application_name: "flight sql".to_owned(),
            // Its calls come by each other: a block would take in the writes of others of them.
            blocks: false,
            ..SessionSettings::default()
        };
        let engine = Arc::clone(&self.shared.engine);
        let limit = self.shared.settings.statement_max;
        super::run::aside(&self.shared, async move {
            let session = engine.session(settings);
            if let Some(limit) = limit {
                let ms = limit.as_millis().to_string();
                super::options::set(&session, "statement_timeout", Some(&ms)).await.map_err(|cause| error::of(&cause))?;
            }
            Ok(session)
        })
        .await
    }

    /// Makes sure that one more session has its place.
    fn make_room(&self) -> Result<(), Status> {
        let limit = self.shared.settings.connections_max;
        let now = self.shared.users.monotonic_us();
        let mut gone = Vec::new();
        let mut all = self.all.lock();
        if all.by_key.len() >= limit {
            gone.extend(all.by_key.values().filter(|held| held.is_over(now)).cloned());
            if gone.is_empty() {
                let unused = all.by_key.values().filter(|held| held.is_blank());
                gone.extend(unused.min_by_key(|held| held.kept.lock().used_us).cloned());
            }
            for held in &gone {
                all.remove(held);
            }
        }
        if all.by_key.len() < limit {
            return Ok(());
        }
        let message = format!("sorry, too many clients already (the limit is {limit})");
        Err(error::new("53300", format!("{message}; hint: close idle connections, or raise the setting connections_max")))
    }

    /// A call came by a connection: the session ends with the last of them, a token's after a while.
    fn note_peer(&self, held: &Arc<Held>, caller: &Caller) {
        let Some(peer) = caller.peer.clone() else { return };
        let number = peer.number;
        if !held.kept.lock().peers.insert(number) {
            return;
        }
        let grace = if matches!(held.key.place, Place::Token(_)) { self.shared.settings.login_max } else { Duration::ZERO };
        let (sessions, held) = (Weak::clone(&self.me), Arc::downgrade(held));
        tokio::spawn(async move {
            peer.closed().await;
            let last = held.upgrade().is_some_and(|held| {
                let mut kept = held.kept.lock();
                kept.peers.remove(&number);
                kept.peers.is_empty()
            });
            if !last {
                return;
            }
            tokio::time::sleep(grace).await;
            if let (Some(sessions), Some(held)) = (sessions.upgrade(), held.upgrade())
                && held.kept.lock().peers.is_empty()
            {
                sessions.end(&held);
            }
        });
    }

    /// Ends a session as soon as somebody has ended it (`pg_terminate_backend`).
    fn end_when_ended(&self, held: &Arc<Held>) {
        let mut ended = held.session.ended();
        let (sessions, held) = (Weak::clone(&self.me), Arc::downgrade(held));
        tokio::spawn(async move {
            // An error: it has gone already.
            let told = ended.wait_for(|ended| *ended).await.is_ok();
            if let (true, Some(sessions), Some(held)) = (told, sessions.upgrade(), held.upgrade()) {
                sessions.end(&held);
            }
        });
    }

    /// Ends the session of a caller, if there is one.
    pub(crate) fn close(&self, caller: &Caller) {
        let found = self.all.lock().by_key.get(&key_of(caller)).cloned();
        if let Some(held) = found {
            self.end(&held);
        }
    }

    fn end(&self, held: &Arc<Held>) {
        self.all.lock().remove(held);
        held.session.cancel();
    }

    fn find(&self, handle: &[u8], caller: &Caller) -> Option<(Arc<Held>, Secret)> {
        let (number, secret) = handle.split_first_chunk::<4>().filter(|_| handle.len() == HANDLE_BYTES)?;
        let held = self.all.lock().by_number.get(&i32::from_be_bytes(*number)).cloned()?;
        held.kept.lock().used_us = self.shared.users.monotonic_us();
        if held.key.user != caller.user {
            return None;
        }
        self.note_peer(&held, caller);
        Some((held, secret.try_into().ok()?))
    }

    /// The prepared statement of a handle.
    pub(crate) fn prepared(&self, handle: &[u8], caller: &Caller) -> Result<(Arc<Held>, Arc<Statement>), Status> {
        let found = self.find(handle, caller).and_then(|(held, secret)| {
            let statement = held.kept.lock().prepared.get(&secret).cloned()?;
            Some((held, statement))
        });
        found.ok_or_else(|| error::new("26000", "the prepared statement does not exist: it was closed, or its session has ended"))
    }

    /// Forgets a prepared statement; whether it was there.
    pub(crate) fn close_prepared(&self, handle: &[u8], caller: &Caller) -> bool {
        self.find(handle, caller).is_some_and(|(held, secret)| held.kept.lock().prepared.remove(&secret).is_some())
    }

    /// Begins to read a ticket; it is good for once.
    pub(crate) fn read(&self, handle: &[u8], caller: &Caller) -> Result<Reading, Status> {
        let found = self.find(handle, caller).and_then(|(held, secret)| {
            let mut kept = held.kept.lock();
            let at = kept.waiting.iter().position(|(known, _)| *known == secret)?;
            let (_, ticket) = kept.waiting.remove(at)?;
            let (sender, cancelled) = watch::channel(false);
            kept.running.insert(secret, sender);
            drop(kept);
            Some(Reading { held, secret, ticket, cancelled })
        });
        found.ok_or_else(|| {
            error::new("08P01", "the ticket is not, or no longer, known: it is good for one DoGet by the user who asked for it")
        })
    }

    /// Cancels what a ticket stands for; whether there was anything.
    pub(crate) fn cancel(&self, handle: &[u8], caller: &Caller) -> bool {
        self.find(handle, caller).is_some_and(|(held, secret)| {
            let mut kept = held.kept.lock();
            let waiting = kept.waiting.len();
            kept.waiting.retain(|(known, _)| *known != secret);
            let running = kept.running.get(&secret).is_some_and(|sender| !sender.send_replace(true));
            running || kept.waiting.len() < waiting
        })
    }
}

impl Maps {
    fn remove(&mut self, held: &Arc<Held>) {
        if self.by_key.get(&held.key).is_some_and(|known| Arc::ptr_eq(known, held)) {
            self.by_key.remove(&held.key);
        }
        self.by_number.remove(&held.session.id());
    }
}

impl Held {
    /// Whether its token has expired: nobody can come back to it.
    fn is_over(&self, now_us: u64) -> bool {
        let kept = self.kept.lock();
        matches!(self.key.place, Place::Token(_)) && kept.running.is_empty() && now_us.saturating_sub(kept.used_us) > TOKEN_US
    }

    /// Whether its client would miss nothing of it.
    fn is_blank(&self) -> bool {
        let kept = self.kept.lock();
        !kept.changed && kept.prepared.is_empty() && kept.waiting.is_empty() && kept.running.is_empty()
    }

    /// Notes that its settings may have been changed.
    pub(crate) fn note_change(&self) {
        self.kept.lock().changed = true;
    }

    fn handle(&self, shared: &Shared) -> (Secret, Bytes) {
        let mut secret = [0; 16];
        shared.users.fill_random(&mut secret);
        (secret, [&self.session.id().to_be_bytes()[..], &secret].concat().into())
    }

    /// Keeps a prepared statement; the answer is its handle.
    pub(crate) fn keep_prepared(&self, shared: &Shared, prepared: Prepared) -> Result<Bytes, Status> {
        let (secret, handle) = self.handle(shared);
        let mut kept = self.kept.lock();
        if kept.prepared.len() >= shared.settings.statements_max {
            let message = format!("{} prepared statements are open already", kept.prepared.len());
            return Err(error::new(
                "53400",
                message + "; hint: close those no longer needed, or raise the setting statements_max",
            ));
        }
        kept.prepared.insert(secret, Arc::new(Statement { prepared, bound: Mutex::default() }));
        Ok(handle)
    }

    /// Binds parameters to a statement, in place of those before.
    pub(crate) fn bind(&self, shared: &Shared, statement: &Statement, bound: Bound) -> Result<(), Status> {
        let kept = self.kept.lock();
        *statement.bound.lock() = None;
        let held: usize = kept.prepared.values().filter_map(|other| other.bound.lock().as_ref().map(|bound| bound.bytes())).sum();
        let limit = shared.settings.flight_waiting_bytes_max;
        if held.saturating_add(bound.bytes()) > limit {
            let message = format!("parameters bound in one session would take more than {limit} bytes");
            return Err(error::new(
                "53400",
                message + "; hint: bind fewer rows at once, or raise the setting flight_waiting_bytes_max",
            ));
        }
        *statement.bound.lock() = Some(Arc::new(bound));
        Ok(())
    }

    /// Keeps a ticket; the answer is its handle.
    pub(crate) fn keep_ticket(&self, shared: &Shared, ticket: Ticket) -> Bytes {
        let (secret, handle) = self.handle(shared);
        let mut kept = self.kept.lock();
        if kept.waiting.len() >= TICKETS_MAX {
            kept.waiting.pop_front();
        }
        kept.waiting.push_back((secret, ticket));
        handle
    }
}

impl Statement {
    /// What was last bound to it.
    pub(crate) fn bound(&self) -> Option<Arc<Bound>> {
        self.bound.lock().clone()
    }
}

impl Reading {
    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Resolves when its client cancels it.
    pub(crate) fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut cancelled = self.cancelled.clone();
        async move {
            if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
                // It has ended otherwise.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.held.kept.lock().running.remove(&self.secret);
    }
}

fn key_of(caller: &Caller) -> Key {
    let place = match (caller.token, &caller.peer) {
        (Some(token), _) => Place::Token(token),
        (None, peer) => Place::Connection(peer.as_ref().map_or(0, |peer| peer.number)),
    };
    Key { user: caller.user.clone(), place }
}
