//! What all doors and all connections share.
//!
//! Shared state: `stop` is sent by `Server::stop` alone; `connections` is under its own mutex,
//! touched when a connection opens, closes or is asked to cancel; counters are atomic.

use crate::attempts::Attempts;
use crate::auth::Authenticator;
use crate::counters::Counters;
use crate::http::Series;
use crate::{Settings, Users};
use parking_lot::{Mutex, RwLock};
use query::{Engine, Seat, Session};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::watch;

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Everything is served.
    Running,
    /// What runs may finish; nothing new begins.
    Finishing,
    /// What runs is cancelled.
    Cancelling,
    /// Whatever is left is dropped.
    Closed,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) engine: Arc<Engine>,
    pub(crate) users: Arc<Users>,
    /// For the Flight and the HTTP door.
    pub(crate) authenticator: Authenticator,
    /// Logins that failed, at all doors.
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) counters: Counters,
    /// What series of the line protocol were found to be. Read while a piece of a body is read, written behind it.
    pub(crate) series: RwLock<Series>,
    /// Flight calls that run now.
    pub(crate) flight_open: AtomicU64,
    /// Where statements are planned and run, unless they take the point path.
    pub(crate) query_runtime: tokio::runtime::Handle,
    pub(crate) stop: watch::Sender<Stage>,
    connections: Mutex<HashMap<i32, Arc<Connected>>>,
}

/// What others may know and do of an open connection.
pub(crate) struct Connected {
    session: Arc<Session>,
    /// Whom it logged in as.
    role: Arc<str>,
    secret: [u8; 4],
    /// Of those that its role may have; None of what does not count.
    seat: Option<Seat>,
}

/// An entry in the list of connections; leaves it when dropped.
pub(crate) struct Registered {
    shared: Arc<Shared>,
    pub(crate) connected: Arc<Connected>,
}

impl Shared {
    pub(crate) fn new(
        settings: Settings,
        engine: Arc<Engine>,
        users: Arc<Users>,
        query_runtime: tokio::runtime::Handle,
    ) -> Arc<Shared> {
        let stop = watch::Sender::new(Stage::Running);
        let connections = Mutex::default();
        let (counters, flight_open) = (Counters::default(), AtomicU64::new(0));
        let attempts = Arc::<Attempts>::default();
        let authenticator = Authenticator::new(Arc::clone(&users), Arc::clone(&attempts));
        Arc::new(Shared {
            settings,
            engine,
            users,
            authenticator,
            attempts,
            counters,
            series: RwLock::default(),
            flight_open,
            query_runtime,
            stop,
            connections,
        })
    }

    /// Enters a session in the list; the answer holds its secret for cancel requests. None where its role has as many as it may have.
    pub(crate) async fn register(self: &Arc<Self>, session: Arc<Session>) -> Option<Registered> {
        let seat = self.engine.seat(session.access()).await?;
        self.enter(session, Some(seat))
    }

    /// Enters the session of one request, which is no connection.
    pub(crate) fn register_request(self: &Arc<Self>, session: Arc<Session>) -> Option<Registered> {
        self.enter(session, None)
    }

    fn enter(self: &Arc<Self>, session: Arc<Session>, seat: Option<Seat>) -> Option<Registered> {
        let role = session.access().session_user();
        let limit = self.users.roles().connections_max(&role);
        let mut secret = [0; 4];
        self.users.fill_random(&mut secret);
        let connected = Arc::new(Connected { session, role: Arc::clone(&role), secret, seat });
        let mut connections = self.connections.lock();
        if let Some(limit) = limit.filter(|_| connected.seat.is_some()) {
            let open = connections.values().filter(|other| other.seat.is_some() && other.role == role).count();
            if open >= limit as usize {
                return None;
            }
        }
        connections.insert(connected.session.id(), Arc::clone(&connected));
        drop(connections);
        Some(Registered { shared: Arc::clone(self), connected })
    }

    /// Cancels what a connection runs, if the secret is its own. Tells nobody whether it was.
    pub(crate) fn cancel(&self, process: i32, secret: &[u8]) {
        let found = self.connections.lock().get(&process).cloned();
        let Some(connected) = found else { return };
        let same = secret.len() == 4 && connected.secret.iter().zip(secret).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0;
        if same {
            crate::counters::add(&self.counters.cancel_requests, 1);
            connected.session.cancel();
        }
    }

    /// Cancels what every connection runs.
    pub(crate) fn cancel_all(&self) {
        let all: Vec<_> = self.connections.lock().values().cloned().collect();
        for connected in all {
            connected.session.cancel();
        }
    }

    /// How far a stop has come.
    pub(crate) fn stage(&self) -> Stage {
        *self.stop.borrow()
    }
}

impl Connected {
    pub(crate) fn secret(&self) -> &[u8; 4] {
        &self.secret
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.connections.lock().remove(&self.connected.session.id());
    }
}
