//! A server in a process of its own, on loopback or in a namespace of a test's network.
//!
//! It promises that `start` returns once both doors answer, that `kill` is kill -9 to that very process,
//! and that nothing of it outlives the value.

use crate::Place;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A running server.
pub struct Server {
    child: Child,
    /// Where the PostgreSQL door listens, "127.0.0.1:PORT".
    pub pg: String,
    /// Where the Flight door listens.
    pub flight: String,
    /// Where the HTTP door listens; empty where it is shut.
    pub http: String,
    /// Where the other processes of its fleet reach it; empty where it has none.
    pub fleet: String,
}

/// The doors of a lone server.
const LONE: [&str; 2] = ["pg", "flight"];
/// What whoever does not come over loopback must know.
const PASSWORD: &str = "from outside";

/// The binary under test: the one that `cargo xtask test` built, else built now.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("MERIDIAN_BINARY") {
            return path.into();
        }
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "meridian"])
            .status()
            .expect("cargo can be started");
        assert!(status.success(), "the binary under test can be built");
        // This test's own binary lies in TARGET/debug/deps.
        let own = std::env::current_exe().expect("a process knows its binary");
        own.ancestors().nth(2).expect("tests lie two directories below").join("meridian")
    })
}

/// Runs another command of the program to its end.
///
/// # Panics
/// When it can't be started.
#[must_use]
pub fn meridian(words: &[&str]) -> std::process::Output {
    meridian_with(words, &[])
}

/// The same with variables.
///
/// # Panics
/// When it can't be started.
#[must_use]
pub fn meridian_with(words: &[&str], variables: &[(&'static str, String)]) -> std::process::Output {
    let mut command = Place::loopback().with_variables(variables).command(binary());
    command.args(words).stdin(Stdio::null()).output().expect("the binary under test can be started")
}

impl Server {
    /// Starts a server on a directory, with flags beside its addresses.
    #[must_use]
    pub fn start(directory: &Path, flags: &[&str]) -> Server {
        Server::try_start(directory, flags).unwrap_or_else(|message| panic!("{message}"))
    }

    /// Starts a server, or says why it did not come up.
    ///
    /// # Errors
    /// What the server printed when it ended before it was ready.
    pub fn try_start(directory: &Path, flags: &[&str]) -> Result<Server, String> {
        Server::try_start_at(&Place::loopback(), directory, flags, &LONE)
    }

    /// Starts a process somewhere with these doors (`pg`, `flight`, `fleet`), or says why it did not come up.
    ///
    /// # Errors
    /// What it printed when it ended before it was ready.
    pub fn try_start_at(place: &Place, directory: &Path, flags: &[&str], doors: &[&str]) -> Result<Server, String> {
        let (ready, errors) = (directory.join("ready"), directory.join("server.err"));
        let mut child = spawn(place, directory, flags, doors);
        let start = Instant::now();
        loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                let address = |name: &str| {
                    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
                    found.unwrap_or_default().to_owned()
                };
                if doors.iter().all(|door| !address(door).is_empty()) {
                    let [pg, flight, http, fleet] = ["pg", "flight", "http", "fleet"].map(address);
                    return Ok(Server { child, pg, flight, http, fleet });
                }
            }
            let printed = || std::fs::read_to_string(&errors).unwrap_or_default();
            if let Some(status) = child.try_wait().expect("a child can be asked for its status") {
                return Err(format!("the server ended with {status} before it was ready:\n{}", printed()));
            }
            if start.elapsed() > Duration::from_secs(120) {
                drop(child.kill());
                return Err(format!("the server was not ready within 120 s:\n{}", printed()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts a server and kills it that much later (kill -9), wherever it is by then. True where its doors were open.
    ///
    /// # Panics
    /// When the server ends by itself with a failure.
    #[must_use]
    pub fn start_and_kill(directory: &Path, flags: &[&str], after: Duration) -> bool {
        let mut child = spawn(&Place::loopback(), directory, flags, &LONE);
        // The moment of the kill is the fault itself, not a condition that is waited for.
        std::thread::sleep(after);
        let opened = directory.join("ready").exists();
        child.kill().expect("a child can be killed");
        let status = child.wait().expect("a killed child ends");
        let printed = || std::fs::read_to_string(directory.join("server.err")).unwrap_or_default();
        assert!(status.code().is_none(), "the server ended with {status} before it was killed:\n{}", printed());
        opened
    }

    /// Starts a process that is not to become ready, waits until it has said something, and kills it.
    ///
    /// # Panics
    /// When it does not say so within 90 s, or becomes ready.
    pub fn start_until_it_says(place: &Place, directory: &Path, flags: &[&str], doors: &[&str], words: &str) {
        let mut child = spawn(place, directory, flags, doors);
        let begun = Instant::now();
        let said = loop {
            let printed = std::fs::read_to_string(directory.join("server.err")).unwrap_or_default();
            let ready = std::fs::read_to_string(directory.join("ready")).unwrap_or_default();
            let is_ready = ready.lines().any(|line| line.starts_with("fleet="));
            if is_ready || printed.contains(words) || begun.elapsed() > Duration::from_secs(90) {
                break (!is_ready && printed.contains(words)).then_some(()).ok_or(printed);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        drop(child.kill());
        drop(child.wait());
        said.unwrap_or_else(|printed| panic!("it does not say {words:?}:\n{printed}"));
    }

    /// The PostgreSQL door's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.pg.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address ends with its port")
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name: STOP, CONT.
    ///
    /// # Panics
    /// When it can't be sent.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill can be started").success(), "the process can be sent SIG{name}");
    }

    /// kill -9, and waits until the process is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// SIGTERM, and waits for the end: the exit status.
    ///
    /// # Panics
    /// When the server has not ended after 60 seconds.
    pub fn stop(mut self) -> std::process::ExitStatus {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill can be started");
        assert!(status.success(), "the server can be sent a signal");
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked for its status") {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "the server did not stop within 60 s of SIGTERM");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A connection by tokio-postgres, whose other half runs on the current runtime.
    ///
    /// # Errors
    /// As tokio-postgres.
    pub async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        connect(&self.connection()).await
    }

    /// How tokio-postgres reaches it.
    #[must_use]
    pub fn connection(&self) -> String {
        let host = self.pg.rsplit_once(':').map_or("", |(host, _)| host);
        let who = if host == "127.0.0.1" { "user=test".to_owned() } else { format!("user=meridian password='{PASSWORD}'") };
        format!("host={host} port={} dbname=meridian {who}", self.port())
    }

    /// How it ended, where it did by itself.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("a child can be asked for its status")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A connection by tokio-postgres, whose other half runs on the current runtime.
///
/// # Errors
/// As tokio-postgres.
pub async fn connect(connection: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(connection, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn spawn(place: &Place, directory: &Path, flags: &[&str], doors: &[&str]) -> Child {
    let ready = directory.join("ready");
    drop(std::fs::remove_file(&ready));
    let errors = directory.join("server.err");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&errors).expect("a log file can be made");
    let mut command = place.command(binary());
    command.arg("serve").arg("--dir").arg(directory.join("store"));
    let any_port = format!("{}:0", place.address);
    for door in LONE {
        command.arg(format!("--{door}")).arg(if doors.contains(&door) { any_port.as_str() } else { "none" });
    }
    if !place.is_loopback() && doors.contains(&"pg") {
        command.args(["--password", PASSWORD, "--plaintext-allowed", "true"]);
    }
    command.arg("--ready-file").arg(&ready).args(flags);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle can be cloned")).stderr(log);
    command.spawn().expect("the binary under test can be started")
}
