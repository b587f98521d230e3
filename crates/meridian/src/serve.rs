//! `meridian serve`: one node; a process of a fleet is `fleet`'s.
//!
//! Promises: a directory that is not ours is left as it was; one store, one process; whatever can be
//! refused without the store (an address in use, a certificate that is none, a door that others could
//! reach unprotected) is refused before it is opened; whoever started it is told once every door takes
//! connections (`readiness`); once the store is open, the first SIGTERM or SIGINT stops gracefully
//! (what runs may finish, what was acknowledged is durable), the second at once.
//!
//! ```text
//! configuration -> lock -> users, doors tried -> catalog -> kernel (kinds from the catalog) -> engine -> doors
//! ```

use crate::backup::Operator;
use crate::backup::archiver::{Archiver, Plan, Subject};
use crate::backup::place;
use crate::config::{Config, Listen, Loaded, SETTINGS, units::round_size, units::round_span};
use crate::holder::holder;
use crate::progress::now;
use crate::readiness::Ready;
use crate::terminal::say;
use crate::{Error, fleet, logs, otlp};
use catalog::Catalog;
use kernel::{Kernel, Neighbour};
use query::{Engine, EngineSettings};
use server::{Server, TlsPaths, Users};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use types::Kinds;
use world::{Disk, DiskError, ThreadCounts, Threads, World};

/// Names that a store's directory may hold before it has a kernel's node file.
const OURS: [&str; 12] = [
    "lock",
    "node",
    "catalog",
    "users",
    "spill",
    "meridian.toml",
    "lost+found",
    "member",
    "meta",
    "kinds",
    "restored",
    "restoring",
];

/// What can be done about lost passwords.
const PASSWORDS_LOST: &str = "; put the file back, or have `meridian check --repair DIR` forget all roles and passwords and give the user meridian a new one (setting password)";
/// What can be done about a lost tag table.
const CATALOG_LOST: &str = "; put it back: samples lie under ordinals, and only it says whose those are; `meridian check --repair DIR` makes one in which each tag that has samples is called lost.ORDINAL";

/// Runs a node until it is told to stop.
///
/// # Errors
/// `Error::Usage`, `Error::Locked`, `Error::Open`, `Error::Server`, `Error::File`.
pub fn run(loaded: &Loaded) -> Result<ExitCode, Error> {
    let config = &loaded.config;
    if let Some(roles) = config.role.0 {
        return fleet::run(loaded, roles);
    }
    logs::start(config)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let dir = config.dir.as_deref().ok_or_else(|| Error::Usage("serve needs --dir DIR: where the store lies".to_owned()))?;
    if are_shut(config) {
        return Err(Error::Usage("all doors are shut: give --pg, --flight or --http an address".to_owned()));
    }
    let started = now();
    let cores = config.threads.0.unwrap_or(1) as usize;
    let settings = server_settings(config, cores)?;
    let open_files = raise_open_files();
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let _lock = lock(&world, dir)?;
    let spans = otlp::start(config, &world, None)?;
    let mut ready = Ready::begin(config, "opening the store")?;
    let users = Users::open(world.clone(), dir)?;
    must_be_there(dir, &*world.disk, &users)?;
    Server::rehearse(&settings, !users.is_empty(), &world)?;
    let (engine, kernel, archiver) = open(loaded, dir, &world)?;
    // Not before: opening may take long, and a signal ends it at once as kill -9 would, which loses nothing.
    let signals = Signals::listen()?;
    if users.is_there() {
        let noted = kernel.note_neighbour(Neighbour::Passwords);
        noted.map_err(|error| Error::Open { dir: dir.to_path_buf(), problem: error.to_string(), advice: "" })?;
    } else {
        let kernel = Arc::downgrade(&kernel);
        users.note_first(move || match kernel.upgrade() {
            Some(kernel) => kernel.note_neighbour(Neighbour::Passwords).map_err(|error| error.to_string()),
            None => Err("the store is closed".to_owned()),
        });
    }
    let server = Server::start(settings, Arc::clone(&engine), Arc::clone(&users), &world)?;
    drop((kernel, users));
    let (pg, flight, http) = (server.pg_address(), server.flight_address(), server.http_address());
    ready.write(&[("pg", pg), ("flight", flight), ("http", http)])?;
    tracing::info!(
        dir = %dir.display(),
        pg = pg.map(tracing::field::display),
        flight = flight.map(tracing::field::display),
        http = http.map(tracing::field::display),
        memory = round_size(config.memory_bytes.bytes()),
        tags = engine.catalog().len(),
        open_files,
        opened_in = round_span(started.elapsed()),
        "ready"
    );
    tell(pg, flight, http);
    let name = signals.wait(|| reload(Some(&server)));
    tracing::info!(signal = name, "stopping; a second signal ends the process at once");
    ready.stopping(config.stop_max);
    let stopped = now();
    let closed = server.stop();
    // What was acknowledged last is in the log, closed or not.
    if let Some(archiver) = archiver {
        archiver.stop();
    }
    closed?;
    drop(engine);
    threads.stop();
    spans.stop();
    tracing::info!(took = round_span(stopped.elapsed()), "stopped; everything acknowledged is durable");
    ready.forget();
    Ok(ExitCode::SUCCESS)
}

/// Whether no door for clients is to be opened.
pub fn are_shut(config: &Config) -> bool {
    [&config.pg, &config.flight, &config.http].into_iter().all(|door| *door == Listen(None))
}

/// The addresses on standard output, for whoever started us by hand.
pub fn tell(pg: Option<SocketAddr>, flight: Option<SocketAddr>, http: Option<SocketAddr>) {
    if let Some(pg) = pg {
        say(&format!("PostgreSQL on {pg}: psql -h {} -p {} -U meridian\n", pg.ip(), pg.port()));
    }
    if let Some(flight) = flight {
        say(&format!("Arrow Flight on {flight}\n"));
    }
    if let Some(http) = http {
        say(&format!("HTTP on {http}: curl 'http://{http}/query' -d 'SELECT 1'\n"));
    }
}

/// What the store had is there: else one that lost its passwords or its tag table would pass for one that never had any.
fn must_be_there(dir: &Path, disk: &dyn Disk, users: &Users) -> Result<(), Error> {
    // Where it can't be told, the kernel refuses the store or makes a new one.
    let Ok(identity) = kernel::identify(disk, dir) else { return Ok(()) };
    let open = |problem: &str, advice| Err(Error::Open { dir: dir.to_path_buf(), problem: problem.to_owned(), advice });
    if identity.has_passwords && !users.is_there() {
        return open("it has roles or passwords, but no file users-N holds them", PASSWORDS_LOST);
    }
    if identity.has_catalog && is_gone(disk, &dir.join("catalog")) {
        return open("its tag table, the directory catalog, is missing", CATALOG_LOST);
    }
    Ok(())
}

/// Whether a directory is not there, or empty.
pub fn is_gone(disk: &dyn Disk, dir: &Path) -> bool {
    match disk.list(dir) {
        Ok(names) => names.is_empty(),
        Err(error) => error.is_missing(),
    }
}

/// Makes a store's directory where there is none, and keeps other processes out of it.
///
/// # Errors
/// `Error::Open`, `Error::Locked`.
pub fn lock(world: &World, dir: &Path) -> Result<Box<dyn Send + Sync>, Error> {
    let open = |problem: String| Error::Open { dir: dir.to_path_buf(), advice: advice(&problem), problem };
    let disk = &*world.disk;
    match disk.list(dir) {
        Ok(names) => {
            let ours = |name: &str| {
                OURS.iter().any(|known| name == *known || name.strip_prefix(known).is_some_and(|rest| rest.starts_with('-')))
            };
            let is_store = names.iter().any(|entry| entry.name == "node");
            if let Some(foreign) = names.iter().find(|entry| !is_store && !ours(&entry.name)) {
                let problem =
                    format!("it is not a Meridian store: it holds \"{}\"; give an empty directory or a store", foreign.name);
                return Err(open(problem));
            }
        }
        Err(error) if error.is_missing() => disk.make_dir(dir).map_err(|error| open(error.to_string()))?,
        Err(error) => return Err(open(error.to_string())),
    }
    if ::backup::is_cut_short(disk, dir).map_err(|error| open(error.to_string()))? {
        return Err(open("a restore into it was cut short: remove the directory, and restore again".to_owned()));
    }
    let path = dir.join("lock-serve");
    disk.lock(&path).map_err(|error| match error.cause.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked { dir: dir.to_path_buf(), holder: holder(&path) },
        _ => open(error.to_string()),
    })
}

/// What can be done about a failure of the system's, which floors below tell as the system says it.
fn advice(problem: &str) -> &'static str {
    let is = |code: i32| problem.contains(&format!("(os error {code})"));
    if is(libc::EACCES) || is(libc::EPERM) {
        "; the user that this process runs as must be able to read and write there"
    } else if is(libc::ENOSPC) || is(libc::EDQUOT) {
        "; opening needs room for a log segment (setting segment_bytes; 64 MiB for the tag table's); nothing is lost: make room and start again"
    } else if is(libc::EROFS) {
        "; the file system is mounted read-only"
    } else if is(libc::EMFILE) || is(libc::ENFILE) {
        "; raise the limit of open files (ulimit -n, or LimitNOFILE= of the service)"
    } else if is(libc::ENOTDIR) {
        "; --dir must name a directory"
    } else {
        ""
    }
}

/// Lets this process open as many files as it may at all: a store has a file for every period of every slice.
/// Gives how many.
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit and setrlimit read and write the one value that they are given.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
                limit = raised;
            }
        }
    }
    limit.rlim_cur
}

/// A store that can't be opened, and what to do about it.
pub fn open_failed(dir: &Path, problem: String, damaged: bool) -> Error {
    let advice = if damaged {
        "; `meridian check DIR` names everything that is damaged, --repair keeps what is whole"
    } else {
        advice(&problem)
    };
    Error::Open { dir: dir.to_path_buf(), problem, advice }
}

/// What a node is made of.
type Opened = (Arc<Engine>, Arc<Kernel>, Option<Archiver>);

fn open(loaded: &Loaded, dir: &Path, world: &World) -> Result<Opened, Error> {
    let config = &loaded.config;
    let plan = archiving(config)?;
    let failed = |problem: String, damaged: bool| open_failed(dir, problem, damaged);
    let (catalog, tags_hold) = Catalog::open_held(world.clone(), &dir.join("catalog"), catalog::Settings::default())
        .map_err(|error| failed(error.to_string(), matches!(error, catalog::Error::Damaged(_))))?;
    let kinds: Arc<dyn Kinds> = Arc::<Catalog>::clone(&catalog);
    let (kernel, hold) = Kernel::open_held(world.clone(), dir, config.kernel(), kinds)
        .map_err(|error| failed(error.to_string(), matches!(error, kernel::Error::Damaged(_))))?;
    kernel.note_neighbour(Neighbour::Catalog).map_err(|error| failed(error.to_string(), false))?;
    if kernel.rule() != config.rule() {
        tracing::warn!("the store keeps the distribution rule it was made with; the rule_* settings do not count");
    }
    // What is committed from now on is of later moments than what was archived, whatever the clock says.
    if let Some(moment) = ::backup::moment(&*world.disk, dir).map_err(|error| failed(error.to_string(), false))? {
        kernel.later_than(types::CommitNumber(moment));
        catalog.later_than(moment);
    }
    let archiver = match plan {
        None => {
            drop((hold, tags_hold));
            None
        }
        Some(plan) => {
            let (kernel, catalog) = (Arc::clone(&kernel), Arc::clone(&catalog));
            let holds = (hold, tags_hold);
            let subject = Subject { kernel, catalog, world: world.clone(), dir: dir.to_path_buf(), holds };
            Some(Archiver::start(plan, subject)?)
        }
    };
    let archive = archiver.as_ref().map(Archiver::shared);
    let operator = Operator::new((Arc::clone(&kernel), Arc::clone(&catalog)), world.clone(), dir, archive);
    let settings = EngineSettings { operator: Some(Arc::new(operator)), ..engine_settings(loaded, dir, world)? };
    let engine = Engine::alone(Arc::clone(&kernel), catalog, settings).map_err(|error| failed(error.to_string(), false))?;
    Ok((engine, kernel, archiver))
}

/// Where and how often the log is archived.
fn archiving(config: &Config) -> Result<Option<Plan>, Error> {
    let Some(to) = place::archive(config)? else { return Ok(None) };
    let (every, hold_max, stop_max) = (config.archive_every, config.archive_hold_max.0, config.stop_max);
    Ok(Some(Plan { to, every, hold_max, stop_max }))
}

/// What an engine is set to; what an earlier run's queries spilled is removed.
///
/// # Errors
/// `Error::Open`.
pub fn engine_settings(loaded: &Loaded, dir: &Path, world: &World) -> Result<EngineSettings, Error> {
    let config = &loaded.config;
    let spill = dir.join("spill");
    world.disk.make_dir(&spill).map_err(|error| open_failed(dir, error.to_string(), false))?;
    if let Err(cause) = empty(&*world.disk, &spill) {
        tracing::warn!(%cause, "left by a query of an earlier run, and can't be removed");
    }
    Ok(EngineSettings {
        memory_bytes: config.query_bytes_max.bytes(),
        spill_dir: Some(spill),
        spill_bytes_max: config.spill_bytes_max.0,
        target_partitions: config.threads.0.unwrap_or(1) as usize,
        node: node_name(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        slow_statement: config.slow_statement,
        settings: shown_settings(loaded),
        ..EngineSettings::new(Arc::clone(&world.clock))
    })
}

/// Removes what is in a directory: what queries spilled that a crash ended.
fn empty(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.directory {
            empty(disk, &path)?;
            disk.remove_dir(&path)?;
        } else {
            disk.remove(&path)?;
        }
    }
    Ok(())
}

fn shown_settings(loaded: &Loaded) -> Vec<query::Setting> {
    let shown = loaded.config.shown();
    SETTINGS
        .iter()
        .zip(shown)
        .map(|(setting, (name, value))| query::Setting {
            name: name.to_owned(),
            value,
            unit: setting.unit.to_owned(),
            source: loaded.origins[name].to_string(),
            description: setting.paragraph(),
        })
        .collect()
}

fn node_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "meridian".to_owned() } else { name.trim().to_owned() }
}

/// What clients' doors are set to.
///
/// # Errors
/// `Error::Usage`.
pub fn server_settings(config: &Config, cores: usize) -> Result<server::Settings, Error> {
    let tls = match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsPaths { certificate: certificate.clone(), key: key.clone() }),
        (None, None) => None,
        _ => return Err(Error::Usage("tls_certificate and tls_key belong together: give both or none".to_owned())),
    };
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Ok(server::Settings {
        pg_address: address("pg", &config.pg)?,
        flight_address: address("flight", &config.flight)?,
        http_address: address("http", &config.http)?,
        http_create_tags: config.http_create_tags,
        tls,
        plaintext_allowed: config.plaintext_allowed,
        loopback_trusted: config.loopback_trusted,
        password: config.password.0.clone(),
        pg_threads: cores,
        query_threads: cores,
        flight_threads: cores,
        http_threads: cores,
        connections_max: config.connections_max as usize,
        message_bytes_max: bytes(config.message_bytes_max.0),
        statements_max: config.statements_max as usize,
        idle_max: config.idle_max,
        statement_max: config.statement_max,
        login_max: config.login_max,
        slow_statement: config.slow_statement,
        flight_waiting_bytes_max: bytes(config.flight_waiting_bytes_max.0),
        flight_message_bytes_max: bytes(config.message_bytes_max.0),
        retention_every: config.retention_every,
        stop_max: config.stop_max,
    })
}

/// The address of a setting.
///
/// # Errors
/// `Error::Usage`.
pub fn address(name: &'static str, listen: &Listen) -> Result<Option<SocketAddr>, Error> {
    let Some(text) = &listen.0 else { return Ok(None) };
    let wrong = |problem: String| Error::Usage(format!("setting {name}: \"{text}\": {problem}"));
    let mut found = text.to_socket_addrs().map_err(|cause| wrong(cause.to_string()))?;
    found.next().map(Some).ok_or_else(|| wrong("the name stands for no address".to_owned()))
}

/// SIGTERM and SIGINT, and SIGHUP.
pub struct Signals {
    runtime: tokio::runtime::Runtime,
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

/// What SIGHUP asks for.
pub fn reload(server: Option<&Server>) {
    logs::reopen();
    let Some(server) = server else { return };
    match server.reload_certificate() {
        Ok(true) => {}
        Ok(false) => tracing::info!("SIGHUP: the certificate is the same as before"),
        Err(cause) => tracing::error!(%cause, "SIGHUP: the certificate in use stays"),
    }
}

impl Signals {
    /// Listens for them from now on.
    ///
    /// # Errors
    /// `Error::System`.
    pub fn listen() -> Result<Signals, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::system("listening for signals"))?;
        let guard = runtime.enter();
        let term = signal(SignalKind::terminate()).map_err(Error::system("listening for signals"))?;
        let int = signal(SignalKind::interrupt()).map_err(Error::system("listening for signals"))?;
        let hangup = signal(SignalKind::hangup()).map_err(Error::system("listening for signals"))?;
        drop(guard);
        Ok(Signals { runtime, term, int, hangup })
    }

    /// Waits for the first signal to end; from then on a second one ends the process. SIGHUP has something done meanwhile.
    pub fn wait(mut self, on_hangup: impl Fn()) -> &'static str {
        let name = loop {
            let name = self.runtime.block_on(async {
                tokio::select! {
                    _ = self.term.recv() => Some("SIGTERM"),
                    _ = self.int.recv() => Some("SIGINT"),
                    _ = self.hangup.recv() => None,
                }
            });
            match name {
                Some(name) => break name,
                None => on_hangup(),
            }
        };
        let Signals { runtime, mut term, mut int, .. } = self;
        let watch = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
            });
            tracing::warn!("second signal: ending at once");
            std::process::exit(130);
        };
        if std::thread::Builder::new().name("signals".to_owned()).spawn(watch).is_err() {
            tracing::warn!("no thread for a second signal: only kill -9 would cut the stop short");
        }
        name
    }
}
