//! A peer that is a server of HTTP: its process, and a client of its door.
//!
//! Promises: it ends when the value is dropped, and by the second Ctrl-C; its log is told when it fails.

use crate::failed;
use meridian::Error;
use meridian::interrupt::Leash;
use meridian::progress::now;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use ureq::Agent;

const START_WAIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);
const LOG_CHARS: usize = 2_000;

/// A running server.
pub struct Server {
    child: Child,
    leash: Option<Leash>,
    /// Where its data lie.
    pub dir: PathBuf,
    log: PathBuf,
    /// `http://127.0.0.1:port`.
    pub url: String,
    agent: Agent,
}

/// A client that keeps its connections, and takes any status for an answer.
pub fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).max_idle_connections_per_host(64).build().into()
}

impl Server {
    /// Starts a program, and waits until `path` is answered with success.
    ///
    /// # Errors
    /// `Error::System`, `Error::Node` with the end of its log.
    pub fn start(mut command: Command, dir: &Path, port: u16, path: &str) -> Result<Server, Error> {
        let log = PathBuf::from(format!("{}.log", dir.display()));
        let made = |cause| Error::File { path: log.clone(), cause };
        let out = std::fs::OpenOptions::new().create(true).append(true).open(&log).map_err(made)?;
        let err = out.try_clone().map_err(made)?;
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| failed("starting a peer", format!("{name}: {error}")))?;
        let leash = Some(Leash::new(child.id(), libc::SIGKILL));
        let url = format!("http://127.0.0.1:{port}");
        let mut server = Server { child, leash, dir: dir.to_path_buf(), log, url, agent: agent() };
        let started = now();
        while !server.agent.get(format!("{}{path}", server.url)).call().is_ok_and(|answer| answer.status().is_success()) {
            let ended = server.child.try_wait().map_err(Error::system("waiting for a peer"))?;
            if ended.is_some() || started.elapsed() > START_WAIT {
                let log = std::fs::read_to_string(&server.log).unwrap_or_default();
                let end = log.char_indices().rev().nth(LOG_CHARS).map_or(0, |(at, _)| at);
                return Err(failed("starting a peer", format!("{name}: {ended:?}; its log ends: {}", &log[end..])));
            }
            std::thread::sleep(POLL);
        }
        Ok(server)
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The answer to GET.
    ///
    /// # Errors
    /// `Error::Node`: no answer, or one that is no success.
    pub fn get(&self, path: &str) -> Result<String, Error> {
        get(&self.agent, &format!("{}{path}", self.url))
    }

    /// kill -9, now.
    ///
    /// # Errors
    /// `Error::System`.
    pub fn kill(mut self) -> Result<(), Error> {
        self.child.kill().map_err(Error::system("killing a peer"))?;
        self.child.wait().map(drop).map_err(Error::system("waiting for a peer"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, in `kill`: then both are refused, and that is well.
        let _ = self.child.kill();
        self.leash = None;
        let _ = self.child.wait();
    }
}

/// The answer to GET of a URL.
///
/// # Errors
/// `Error::Node`: no answer, or one that is no success.
pub fn get(agent: &Agent, url: &str) -> Result<String, Error> {
    let asked = |problem: String| failed("asking a peer", format!("{url}: {problem}"));
    let answer = agent.get(url).call().map_err(|error| asked(error.to_string()))?;
    let status = answer.status();
    let text = answer.into_body().with_config().limit(u64::MAX).read_to_string().map_err(|error| asked(error.to_string()))?;
    if status.is_success() { Ok(text) } else { Err(asked(format!("{status}: {text}"))) }
}

/// Sends a body.
///
/// # Errors
/// `Error::Node`: no answer, or one that is no success.
pub fn post(agent: &Agent, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<(), Error> {
    let told = |problem: String| failed("writing to a server", format!("{url}: {problem}"));
    let request = headers.iter().fold(agent.post(url), |request, (name, value)| request.header(*name, *value));
    let answer = request.send(body).map_err(|error| told(error.to_string()))?;
    let status = answer.status();
    let text = answer.into_body().read_to_string().map_err(|error| told(error.to_string()))?;
    if status.is_success() { Ok(()) } else { Err(told(format!("{status}: {text}"))) }
}

/// A text within a URL's query.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
