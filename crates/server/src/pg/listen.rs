//! The PostgreSQL listener: accepts connections and spreads them over threads, each with a runtime
//! of its own.
//!
//! Why so: with a connection's whole life on one thread, a point query costs no hand-over between
//! threads (docs/decisions/0005-postgresql-loop.md has figures).
//! Promises: a connection that panics, hangs at its login or sends garbage ends alone; connections
//! beyond the limit are told so (53300) and closed.

use super::connection::Connection;
use super::error::{Report, Severity};
use super::report_of;
use super::socket::{End, Wire};
pub(crate) use super::startup::Policy;
use super::startup::{self, Opening, Startup};
use crate::counters::add;
use crate::shared::{Shared, Stage};
use crate::tls::Loaded;
use crate::{Error, audit};
use query::{Session, SessionSettings};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Connections beyond the limit that are told so at one time; more are closed without a word.
const REFUSALS_MAX: u64 = 64;
/// Connections that wait to be taken up by their thread.
const ACCEPTED_WAITING: usize = 128;

type Accepted = (std::net::TcpStream, SocketAddr);

/// Starts the threads that serve a bound listener.
pub(crate) fn start(
    shared: &Arc<Shared>,
    listener: std::net::TcpListener,
    policy: &Policy,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let mut threads = Vec::new();
    let mut senders = Vec::new();
    let mut listener = Some(listener);
    let count = shared.settings.pg_threads.max(1);
    let mut receivers = Vec::new();
    for _ in 0..count {
        let (sender, receiver) = mpsc::channel::<Accepted>(ACCEPTED_WAITING);
        senders.push(sender);
        receivers.push(receiver);
    }
    for (index, receiver) in receivers.into_iter().enumerate() {
        let name = format!("pg-{index}");
        let failed = |cause| Error::Thread { name: name.clone(), cause };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (shared, policy) = (Arc::clone(shared), policy.clone());
        // The first thread accepts too.
        let accepting = listener.take().map(|listener| (listener, std::mem::take(&mut senders)));
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            runtime.block_on(async {
                if let Some((listener, senders)) = accepting {
                    tokio::spawn(accept(Arc::clone(&shared), listener, senders));
                }
                serve(shared, receiver, policy).await;
            });
        });
        threads.push(thread.map_err(failed)?);
    }
    Ok(threads)
}

/// Accepts connections until the server stops, and deals them out in turn.
async fn accept(shared: Arc<Shared>, listener: std::net::TcpListener, senders: Vec<mpsc::Sender<Accepted>>) {
    let mut stop = shared.stop.subscribe();
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(cause) => return tracing::error!(%cause, "the PostgreSQL listener can't be used"),
    };
    for sender in senders.iter().cycle() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Not `changed`: the stop may have come before this task did.
            _ = stop.wait_for(|stage| *stage != Stage::Running) => return,
        };
        match accepted.and_then(|(socket, peer)| Ok((socket.into_std()?, peer))) {
            Ok(accepted) => {
                if sender.send(accepted).await.is_err() {
                    return;
                }
            }
            Err(cause) => {
                // Out of file descriptors, say: others must close before it is worth trying again.
                tracing::warn!(%cause, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves a thread's connections until the server has stopped.
async fn serve(shared: Arc<Shared>, mut accepted: mpsc::Receiver<Accepted>, policy: Policy) {
    let policy = Arc::new(policy);
    let mut stop = shared.stop.subscribe();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            next = accepted.recv() => match next {
                Some((socket, peer)) => {
                    let socket = socket.set_nodelay(true).and_then(|()| TcpStream::from_std(socket));
                    match socket {
                        Ok(socket) => drop(connections.spawn(connect(Arc::clone(&shared), Arc::clone(&policy), socket, peer))),
                        Err(cause) => tracing::warn!(%cause, "a connection could not be taken up"),
                    }
                }
                None => break,
            },
            Some(ended) = connections.join_next() => log_panic(ended),
        }
    }
    // The acceptor has ended: the server stops.
    loop {
        tokio::select! {
            ended = connections.join_next() => match ended {
                Some(ended) => log_panic(ended),
                None => return,
            },
            changed = stop.wait_for(|stage| *stage == Stage::Closed) => {
                let _ = changed;
                return;
            }
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(cause) = ended {
        tracing::error!(%cause, "a connection ended in a fault of ours");
    }
}

/// Counts a connection for as long as it is held.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counters.pg_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection from its first byte to its last.
async fn connect(shared: Arc<Shared>, policy: Arc<Policy>, socket: TcpStream, peer: SocketAddr) {
    add(&shared.counters.pg_accepted, 1);
    let others = shared.counters.pg_connections.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(Arc::clone(&shared));
    let limit = shared.settings.connections_max as u64;
    if others >= limit + REFUSALS_MAX {
        add(&shared.counters.pg_refused, 1);
        return;
    }
    let login = async {
        match startup::open(socket, &policy, &shared.settings).await {
            Ok(Opening::Cancel { process, secret }) => {
                shared.cancel(process, &secret);
                Err((None, End::Terminated))
            }
            Ok(Opening::Session(mut wire, ..)) if others >= limit => {
                add(&shared.counters.pg_refused, 1);
                let report = Report::fatal("53300", format!("sorry, too many clients already (the limit is {limit})"))
                    .hinted("close idle connections, or raise the setting connections_max");
                wire.output.bytes.clear();
                Err((Some(*wire), End::Fatal(report)))
            }
            Ok(Opening::Session(wire, startup, greeted)) => {
                log_in(&shared, (policy.trusted, greeted.as_deref()), *wire, &startup, peer).await
            }
            Err(failed) => Err(failed),
        }
    };
    let connection = match tokio::time::timeout(shared.settings.login_max, login).await {
        Ok(Ok(connection)) => connection,
        Ok(Err((wire, end))) => return refuse(wire, end, peer).await,
        Err(_) => return tracing::info!(%peer, "a login took too long"),
    };
    let session = connection.session_id();
    tracing::info!(%peer, session, "connection opened");
    connection.serve().await;
    tracing::info!(%peer, session, "connection closed");
    audit::session_closed(session);
    drop(counted);
}

async fn refuse(wire: Option<Wire>, end: End, peer: SocketAddr) {
    let Some(mut wire) = wire else { return };
    if let End::Fatal(report) = end {
        tracing::info!(%peer, sqlstate = %report.sqlstate, message = %report.message, "connection refused");
        wire.output.error(&report);
    }
    wire.close().await;
}

/// Makes sure who it is and opens a session.
async fn log_in(
    shared: &Arc<Shared>,
    (trusted, greeted): (bool, Option<&Loaded>),
    mut wire: Wire,
    startup: &Startup,
    peer: SocketAddr,
) -> Result<Connection, (Option<Wire>, End)> {
    let from = (!trusted).then_some(peer.ip());
    if let Some(from) = from
        && let Err(refused) = shared.attempts.turn(from, &startup.user, shared.users.monotonic_us()).await
    {
        add(&shared.counters.logins_refused, 1);
        audit::refused("postgresql", Some(from), Some(&startup.user), &refused.to_string());
        return Err((Some(wire), End::Fatal(Report::fatal("28000", refused.to_string()))));
    }
    let known = startup::authenticate(&mut wire, startup, (trusted, greeted), &shared.users).await;
    let guessed = matches!(&known, Err(End::Fatal(report)) if report.sqlstate == "28P01");
    if let Some(from) = from.filter(|_| known.is_ok() || guessed) {
        shared.attempts.note(!guessed, from, &startup.user, shared.users.monotonic_us());
    }
    if let Err(end) = known {
        if let End::Fatal(report) = &end {
            add(&shared.counters.logins_refused, 1);
            tracing::warn!(%peer, user = %startup.user, sqlstate = %report.sqlstate, "login refused");
            audit::refused("postgresql", Some(peer.ip()), Some(&startup.user), &report.message);
        }
        return Err((Some(wire), end));
    }
    let time_zone = startup.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
    // A client that asked for a zone would read and write other times than it means in any other one.
    if let Err(error) = query::Zone::parse(&time_zone) {
        return Err((Some(wire), End::Fatal(fatal(&error))));
    }
    let settings = SessionSettings {
        user: startup.user.clone(),
        database: startup.database.clone(),
        application_name: startup.application_name.clone(),
        client: peer.to_string(),
        time_zone,
        statements_max: shared.settings.statements_max,
        ..SessionSettings::default()
    };
    let mut wanted = startup.settings.clone();
    let own_limit = shared.users.roles().has_setting(&startup.user, "statement_timeout");
    if let Some(limit) = shared.settings.statement_max.filter(|_| !own_limit) {
        wanted.insert(0, ("statement_timeout".to_owned(), limit.as_millis().to_string()));
    }
    let engine = Arc::clone(&shared.engine);
    let opened = shared.query_runtime.spawn(async move {
        let session = engine.session(settings);
        configure(&session, &wanted).await.map(|()| session)
    });
    match opened.await {
        Ok(Ok(session)) => match shared.register(Arc::clone(&session)).await {
            Some(registered) => {
                let encrypted = greeted.is_some();
                audit::session_opened(peer, &startup.user, session.id(), trusted, encrypted);
                Ok(Connection::new(wire, shared, session, registered))
            }
            None => {
                add(&shared.counters.pg_refused, 1);
                let report = Report::fatal("53300", format!("too many connections for role \"{}\"", startup.user))
                    .hinted("close idle connections, or raise the role's CONNECTION LIMIT");
                Err((Some(wire), End::Fatal(report)))
            }
        },
        Ok(Err(report)) => Err((Some(wire), End::Fatal(report))),
        Err(_) => Err((Some(wire), End::Fatal(super::job::internal()))),
    }
}

/// An engine's error that ends the connection before its first statement.
fn fatal(error: &query::Error) -> Report {
    Report { severity: Severity::Fatal, position: None, ..report_of(error) }
}

/// Makes the settings of the startup packet, as if by SET.
async fn configure(session: &Arc<Session>, wanted: &[(String, String)]) -> Result<(), Report> {
    for (name, value) in wanted {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')) {
            let shown: String = name.chars().take(64).collect();
            return Err(Report::fatal("42704", format!("unrecognized configuration parameter \"{shown}\"")));
        }
        let set = format!("SET {name} = '{}'", value.replace('\'', "''"));
        let done = match session.prepare(&set, &[]).await {
            Ok(prepared) => prepared.execute(Vec::new()).await.map(|_| ()),
            Err(error) => Err(error),
        };
        done.map_err(|error| fatal(&error))?;
    }
    // What was set here is told with everything else, not as a change.
    let _told_later = (session.take_changes(), session.take_notices());
    Ok(())
}
