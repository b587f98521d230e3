//! A process of a fleet: `meridian serve --role ..` (paper 1.1, figure 1).
//!
//! ```text
//! configuration -> lock -> certificates -> meta -> the fleet's rule -> stores of its roles -> its number -> the door -> users -> clients' doors
//! ```
//! Promises: what can be refused without the fleet is refused first; a process waits for a fleet that is not there yet, and says
//! for what; the ready file is written once all its doors take connections; a store that failed ends the process, for it must
//! be opened again, and so does a number that is no more its own (status 78). May not know how the roles do what they do.

mod admin;
mod archiver;
mod backups;
mod certificates;
pub mod local;
mod meta;
mod opening;
mod orders;
mod placing;
mod process;
mod quotas;
mod reader;
mod store;
mod tags;
mod users;

pub use admin::operations_schema;

use crate::config::{Config, Loaded};
use crate::progress::now;
use crate::readiness::Ready;
use crate::serve::{self, Signals};
use crate::terminal::say;
use crate::{Error, logs, otlp};
use certificates::Certificates;
use cluster::fleet::Roles;
use kernel::Durability;
use process::Process;
use server::Server;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use world::{ThreadCounts, Threads, World};

/// Deep plans need it: see the server's own threads.
const STACK_BYTES: usize = 16 << 20;
/// How long what still runs at the end is waited for.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// What the program ends with when its number is no more its own: a start anew mends nothing, so "configuration error" of sysexits.h.
const EXIT_LOST: i32 = 78;

/// What is asked of keeping data must be what a fleet does.
fn check_kept(config: &Config, roles: Roles) -> Result<(), Error> {
    if roles.data && config.durability.0 != Durability::Commit {
        return Err(Error::Usage(
            "a data node of a fleet needs durability \"commit\": what a copy said it has it must have after a crash, for it may lead next"
                .to_owned(),
        ));
    }
    archiver::Plan::of(config, roles).map(drop)
}

/// Runs a process of a fleet until it is told to stop.
///
/// # Errors
/// `Error::Usage`, `Error::Locked`, `Error::Open`, `Error::Server`, `Error::File`, `Error::Fleet`.
pub fn run(loaded: &Loaded, roles: Roles) -> Result<ExitCode, Error> {
    let config = &loaded.config;
    logs::start(config)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let (dir, door) = place(config, roles)?;
    let certificates = Arc::new(Certificates::read(config)?);
    let started = now();
    serve::raise_open_files();
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let _lock = serve::lock(&world, dir)?;
    let mut ready = Ready::begin(config, "opening its stores, and waiting for the fleet where that is not there")?;
    let clients = clients(loaded, roles, &world)?;
    let workers = config.threads.0.unwrap_or(1).max(2) as usize;
    let (runtime, readers) = (workers_named("fleet", workers)?, workers_named("reads", workers)?);
    let starting = Process::start(loaded, roles, &certificates, door, &world, (runtime.handle(), readers.handle()));
    let mut process = runtime.block_on(starting)?;
    let spans = otlp::start(config, &world, Some(process.member.node.0))?;
    let lost = runtime.spawn(end_when_lost(process.reporter.lost(Arc::clone(&process.meta))));
    runtime.spawn(certificates::renew(Arc::downgrade(&certificates)));
    let signals = Signals::listen()?;
    let server = match (clients, process.engine.take()) {
        (Some(settings), Some(engine)) => {
            let users = runtime.block_on(users::open(Arc::clone(&process.meta), dir, &world, runtime.handle()))?;
            Some(Server::start(settings, engine, users, &world)?)
        }
        _ => None,
    };
    let address = |of: fn(&Server) -> Option<SocketAddr>| server.as_ref().and_then(of);
    let (pg, flight, http) = (address(Server::pg_address), address(Server::flight_address), address(Server::http_address));
    if let Some(pg) = pg {
        runtime.block_on(process.announce(pg))?;
    }
    ready.write(&[("pg", pg), ("flight", flight), ("http", http), ("fleet", Some(process.address))])?;
    tell(&process, [pg, flight, http]);
    tracing::info!(
        node = %process.member.node,
        dir = %dir.display(),
        fleet = %process.address,
        pg = pg.map(tracing::field::display),
        opened_in = crate::config::units::round_span(started.elapsed()),
        "ready"
    );
    let name = signals.wait(|| {
        serve::reload(server.as_ref());
        certificates.reload_now();
    });
    // Whoever stops in order may be taken off the list meanwhile.
    lost.abort();
    tracing::info!(signal = name, "stopping; a second signal ends the process at once");
    ready.stopping(config.stop_max);
    let stopped = now();
    if let Some(server) = server {
        server.stop()?;
    }
    runtime.block_on(process.stop())?;
    readers.shutdown_timeout(SHUTDOWN);
    runtime.shutdown_timeout(SHUTDOWN);
    threads.stop();
    spans.stop();
    tracing::info!(took = crate::config::units::round_span(stopped.elapsed()), "stopped; everything acknowledged is durable");
    ready.forget();
    Ok(ExitCode::SUCCESS)
}

/// Where the process keeps what it has, and where others reach it.
fn place(config: &Config, roles: Roles) -> Result<(&Path, SocketAddr), Error> {
    let dir = config
        .dir
        .as_deref()
        .ok_or_else(|| Error::Usage("serve needs --dir DIR: where the process keeps what it has".to_owned()))?;
    let door = serve::address("fleet", &config.fleet)?
        .ok_or_else(|| Error::Usage("a process of a fleet needs --fleet ADDR:PORT: where the others reach it".to_owned()))?;
    check_reachable(&config.fleet_address, door)?;
    check_kept(config, roles)?;
    Ok((dir, door))
}

/// Others must be told an address that leads here: one that means all addresses of a machine would lead each of them to itself.
fn check_reachable(fleet_address: &str, door: SocketAddr) -> Result<(), Error> {
    let is_any = |ip: IpAddr| ip.to_canonical().is_unspecified();
    let shown = match fleet_address {
        "auto" | "" if is_any(door.ip()) => format!("setting fleet: \"{door}\" stands for all addresses of this machine"),
        "auto" | "" => return Ok(()),
        given => {
            let host = given.rsplit_once(':').map_or(given, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            if !host.parse::<IpAddr>().is_ok_and(is_any) {
                return Ok(());
            }
            format!("setting fleet_address: \"{given}\" stands for all addresses of a machine")
        }
    };
    Err(Error::Usage(format!(
        "{shown}, and the fleet's other processes can't reach this one by it: say with --fleet-address HOST:PORT where they do"
    )))
}

/// Nothing that this process says or holds counts any more, and it would stand in the new owner's way: it ends.
async fn end_when_lost(lost: impl Future<Output = String>) {
    let why = lost.await;
    tracing::error!(why, "this process is no more one of the fleet and ends; with an empty directory it joins anew");
    std::process::exit(EXIT_LOST);
}

/// A runtime of so many threads.
fn workers_named(name: &str, workers: usize) -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name(name)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(Error::system("starting the fleet's threads"))
}

/// What clients' doors need, where this process has any; refused early where they can't be opened.
fn clients(loaded: &Loaded, roles: Roles, world: &World) -> Result<Option<server::Settings>, Error> {
    let config = &loaded.config;
    if !roles.scheduler {
        return Ok(None);
    }
    if serve::are_shut(config) {
        return Err(Error::Usage("a scheduler is the door of clients: give --pg, --flight or --http an address".to_owned()));
    }
    let settings = serve::server_settings(config, config.threads.0.unwrap_or(1) as usize)?;
    // The fleet may have users: that is seen once it is reached.
    Server::rehearse(&settings, true, world)?;
    Ok(Some(settings))
}

/// The addresses on standard output, for whoever started us by hand.
fn tell(process: &Process, [pg, flight, http]: [Option<SocketAddr>; 3]) {
    say(&format!("node {} of the fleet, on {}\n", process.member.node, process.address));
    serve::tell(pg, flight, http);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_leads_everybody_to_themselves_is_refused() {
        let check = |door: &str, told: &str| check_reachable(told, door.parse().unwrap()).map_err(|error| error.to_string());
        for (door, told) in [
            ("127.0.0.1:7400", "auto"),
            ("[::1]:0", ""),
            ("0.0.0.0:7400", "m1.example:7400"),
            ("[::]:7400", "10.0.0.1:7400"),
            ("0.0.0.0:7400", "[fe80::1]:0"),
        ] {
            assert_eq!(check(door, told), Ok(()), "{door} {told}");
        }
        for (door, told) in [
            ("0.0.0.0:7400", "auto"),
            ("[::]:0", ""),
            ("[::ffff:0.0.0.0]:7400", "auto"),
            ("127.0.0.1:7400", "0.0.0.0:7400"),
            ("10.0.0.1:7400", "[::]:0"),
        ] {
            let said = check(door, told).unwrap_err();
            assert!(said.contains("--fleet-address HOST:PORT"), "{door} {told}: {said}");
        }
    }
}
