//! The server as a whole: checks its settings, opens its doors, and closes them again.
//!
//! Threads: `pg_threads` with a runtime of their own each for PostgreSQL connections, one runtime of
//! `query_threads` for statements that go through a plan, one of `flight_threads` for the Flight door, one of `http_threads`
//! for the HTTP door.

use crate::counters::Counts;
use crate::metrics::Told;
use crate::pg;
use crate::pg::listen::Policy;
use crate::shared::{Shared, Stage};
use crate::tls::Tls;
use crate::users::BOOTSTRAP;
use crate::{Error, Settings, Users, flight, http};
use query::Engine;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use world::World;

/// How long cancelled statements get to end before they are dropped.
const CANCEL_MAX: Duration = Duration::from_secs(5);
/// How often a stop looks whether all connections have ended.
const STOP_POLL: Duration = Duration::from_millis(10);
/// How often files of certificates are looked at.
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// The planner recurses; unoptimised it needs more than a thread's usual 2 MiB. Only what is used is taken.
const STACK_BYTES: usize = 16 << 20;

/// A server that runs.
pub struct Server {
    shared: Arc<Shared>,
    pg_address: Option<SocketAddr>,
    flight_address: Option<SocketAddr>,
    http_address: Option<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
    query_runtime: Runtime,
    flight_runtime: Option<Runtime>,
    http_runtime: Option<Runtime>,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Refuses what `start` would refuse, as far as that can be told without a store: opening one may take long. `has_users`:
    /// whether somebody has a password, or may have.
    /// An address that is free now is only likely to be free then.
    ///
    /// # Errors
    /// As `start`.
    pub fn rehearse(settings: &Settings, has_users: bool, world: &World) -> Result<(), Error> {
        let tls = settings.tls.as_ref().map(|paths| Tls::load(&world.disk, paths)).transpose()?;
        for (setting, address) in settings.doors() {
            check(address, settings, !has_users && settings.password.is_none(), tls.is_some())?;
            listen(setting, address)?;
        }
        Ok(())
    }

    /// Opens the doors. When it returns, all of them accept connections.
    ///
    /// # Errors
    /// `Error::NoPassword` and `Error::Plaintext` for a listener that other machines could reach
    /// unprotected; `Error::Listen`, `Error::Tls`, `Error::Thread`, `Error::Disk`.
    pub fn start(settings: Settings, engine: Arc<Engine>, users: Arc<Users>, world: &World) -> Result<Server, Error> {
        if let Some(password) = &settings.password {
            users.set_password(BOOTSTRAP, password)?;
        }
        let tls = settings.tls.as_ref().map(|paths| Tls::load(&world.disk, paths)).transpose()?;
        for (_, address) in settings.doors() {
            check(address, &settings, users.is_empty(), tls.is_some())?;
        }
        engine.set_roles(Arc::clone(users.roles()));
        let query_runtime = runtime("query", settings.query_threads)?;
        let shared = Shared::new(settings, engine, users, query_runtime.handle().clone());
        shared.engine.set_metrics(Arc::new(Told(Arc::downgrade(&shared))));
        let settings = &shared.settings;
        let mut server = Server {
            shared: Arc::clone(&shared),
            pg_address: None,
            flight_address: None,
            http_address: None,
            threads: Vec::new(),
            query_runtime,
            flight_runtime: None,
            http_runtime: None,
            tls: tls.clone(),
        };
        server.query_runtime.spawn(query::keep_retention(Arc::clone(&shared.engine), settings.retention_every));
        if let Some(tls) = &tls {
            server.query_runtime.spawn(renew(Arc::downgrade(tls)));
        }
        if let Some(address) = settings.pg_address {
            let (listener, bound) = listen("pg", address)?;
            let reachable = !bound.ip().is_loopback();
            let trusted = settings.loopback_trusted && !reachable;
            let tls_required = reachable && tls.is_some() && !settings.plaintext_allowed;
            let policy = Policy { trusted, tls_required, tls: tls.clone() };
            server.threads = pg::listen::start(&shared, listener, &policy)?;
            server.pg_address = Some(bound);
            tracing::info!(address = %bound, tls = tls.is_some(), trusted, "PostgreSQL door open");
        }
        if let Some(address) = settings.flight_address {
            let (listener, bound) = listen("flight", address)?;
            let trusted = settings.loopback_trusted && bound.ip().is_loopback();
            let runtime = runtime("flight", settings.flight_threads)?;
            flight::start(&shared, &runtime, listener, trusted, tls.clone())?;
            server.flight_runtime = Some(runtime);
            server.flight_address = Some(bound);
            tracing::info!(address = %bound, tls = tls.is_some(), trusted, "Flight door open");
        }
        if let Some(address) = settings.http_address {
            let (listener, bound) = listen("http", address)?;
            let trusted = settings.loopback_trusted && bound.ip().is_loopback();
            let runtime = runtime("http", settings.http_threads)?;
            http::start(&shared, &runtime, listener, trusted, tls.clone())?;
            server.http_runtime = Some(runtime);
            server.http_address = Some(bound);
            tracing::info!(address = %bound, tls = tls.is_some(), trusted, "HTTP door open");
        }
        Ok(server)
    }

    /// Where the PostgreSQL door listens.
    #[must_use]
    pub fn pg_address(&self) -> Option<SocketAddr> {
        self.pg_address
    }

    /// Where the Flight door listens.
    #[must_use]
    pub fn flight_address(&self) -> Option<SocketAddr> {
        self.flight_address
    }

    /// Where the HTTP door listens.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Reads certificate and key again; connections that come from now on are greeted with them. Whether they are other ones.
    /// It happens by itself as well, about a minute after the files change. It blocks.
    ///
    /// # Errors
    /// `Error::Tls`, `Error::Disk`: the certificate in use stays.
    pub fn reload_certificate(&self) -> Result<bool, Error> {
        self.tls.as_ref().map_or(Ok(false), |tls| tls.reload())
    }

    /// Counters since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counters.counts()
    }

    /// Stops: takes no new connections and statements, lets running ones go on for `stop_max`, then
    /// cancels them, flushes buffers for at most `stop_max` again (what is left stays in the log, and
    /// is replayed at the next start), and closes kernel and catalog. Returns when all that was taken is
    /// durable. Blocks its thread, so it may not be called from within a runtime.
    ///
    /// # Errors
    /// `Error::Close` where kernel or catalog could not be closed cleanly.
    pub fn stop(self) -> Result<(), Error> {
        tracing::info!("the server stops");
        self.shared.stop.send_replace(Stage::Finishing);
        self.await_quiet(self.shared.settings.stop_max);
        self.shared.stop.send_replace(Stage::Cancelling);
        self.shared.cancel_all();
        self.await_quiet(CANCEL_MAX);
        self.shared.stop.send_replace(Stage::Closed);
        for thread in self.threads {
            // A thread that panicked has said so in the log.
            let _ = thread.join();
        }
        for runtime in [self.flight_runtime, self.http_runtime].into_iter().flatten() {
            runtime.shutdown_timeout(CANCEL_MAX);
        }
        self.query_runtime.shutdown_timeout(CANCEL_MAX);
        flush(&self.shared);
        let store = self.shared.engine.store().close().wait();
        let tags = self.shared.engine.tags().close().wait();
        store
            .map_err(|cause| cause.to_string())
            .and_then(|done| done.map_err(|cause| cause.to_string()))
            .map_err(Error::Close)?;
        tags.map_err(|cause| cause.to_string()).and_then(|done| done.map_err(|cause| cause.to_string())).map_err(Error::Close)
    }

    /// Waits until no connection and no stream is open, but no longer than that.
    fn await_quiet(&self, limit: Duration) {
        let counters = &self.shared.counters;
        let counts = [&counters.pg_connections, &self.shared.flight_open, &counters.http_connections];
        let open = || counts.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        self.query_runtime.block_on(async {
            let quiet = async {
                while open() > 0 {
                    tokio::time::sleep(STOP_POLL).await;
                }
            };
            // Past the limit whatever is left is cancelled.
            let _ = tokio::time::timeout(limit, quiet).await;
        });
    }
}

/// Reads the certificate again from time to time, for as long as somebody uses it.
async fn renew(tls: Weak<Tls>) {
    let mut told = String::new();
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let Some(tls) = tls.upgrade() else { return };
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Err(cause)) if cause.to_string() != told => {
                tracing::warn!(%cause, "the certificate in use stays: the files do not hold another one that can be used");
                told = cause.to_string();
            }
            Ok(Ok(_)) => told.clear(),
            // Said already; or the runtime ends.
            _ => {}
        }
    }
}

/// Flushes buffers, so that the next start has little to replay; gives up when it takes too long.
fn flush(shared: &Shared) {
    let limit = shared.settings.stop_max;
    // A fleet's buffers are its data nodes' own.
    let Some(kernel) = shared.engine.local().filter(|_| !limit.is_zero()) else { return };
    let (done, flushed) = mpsc::channel();
    // Nobody listens any more where it took too long.
    kernel.flush().on_done(move |outcome| drop(done.send(outcome)));
    match flushed.recv_timeout(limit) {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(cause))) => tracing::warn!(%cause, "buffers were not flushed; the log holds what they hold"),
        Ok(Err(_)) | Err(_) => tracing::warn!("buffers are not all flushed; the next start replays the rest from the log"),
    }
}

/// Refuses what other machines could reach unprotected.
fn check(address: SocketAddr, settings: &Settings, nobody_known: bool, tls: bool) -> Result<(), Error> {
    let must_know = !address.ip().is_loopback();
    if must_know && nobody_known {
        return Err(Error::NoPassword(address));
    }
    if must_know && !tls && !settings.plaintext_allowed {
        return Err(Error::Plaintext(address));
    }
    Ok(())
}

fn listen(setting: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |cause| Error::Listen { setting, address, cause };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_name(name)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|cause| Error::Thread { name: name.to_owned(), cause })
}
