//! PostgreSQL as a peer: found on this machine, and run beside our node while a benchmark lasts.
//!
//! Promises: its settings are its own defaults, which are durable (fsync, synchronous_commit, full_page_writes); only
//! where it listens is ours: a free port of loopback. It never runs as root. It ends when the value is dropped, and
//! its log is shown when it fails. What it may not know: what is asked of it.

use crate::Error;
use crate::client::Session;
use crate::interrupt::Leash;
use crate::progress::now;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long it may take to answer after its start.
const START_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// Where Debian keeps each release's programs: below, N/bin.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Its table of samples: a tag is its number.
pub const TABLE: &str = "CREATE TABLE samples (tag int, time timestamptz, value double precision, quality smallint, \
                         PRIMARY KEY (tag, time))";
/// How samples are poured into that table, and into ours.
pub const COPY: &str = "COPY samples (tag, time, value, quality) FROM STDIN";

/// Its programs, and who runs them.
pub struct Installation {
    programs: PathBuf,
    /// None: whoever runs us.
    owner: Option<Owner>,
}

/// A user of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
}

/// A running server.
pub struct Postgres {
    child: Child,
    leash: Option<Leash>,
    /// Where it listens.
    pub address: String,
    /// Its release.
    pub version: String,
    log: PathBuf,
}

impl Installation {
    /// Looks for the programs in PATH, then where Debian puts them, the newest release first.
    ///
    /// # Errors
    /// `Error::Usage`: what is missing, and which package has it.
    pub fn find() -> Result<Installation, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = std::env::split_paths(&path).chain(debian()).find(|dir| holds_programs(dir));
        let programs = programs.ok_or_else(|| {
            let advice = "apt-get install postgresql, or add the directory of initdb and postgres to PATH";
            Error::Usage(format!("--peer postgres needs a PostgreSQL server, and there is none in PATH or {DEBIAN}: {advice}"))
        })?;
        // SAFETY: geteuid takes no memory and can't fail.
        let owner = if unsafe { libc::geteuid() } == 0 { Some(stand_in()?) } else { None };
        Ok(Installation { programs, owner })
    }

    /// Makes a cluster in a directory and starts it, with a database `meridian` of a user `meridian`.
    ///
    /// # Errors
    /// `Error::File`, `Error::System`, `Error::Node` with the end of its log.
    #[expect(clippy::disallowed_methods, reason = "a directory and a log of the peer's own")]
    pub fn start(&self, dir: &Path) -> Result<Postgres, Error> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |cause| Error::File { path, cause }
        };
        std::fs::create_dir_all(dir).map_err(failed(dir))?;
        if let Some(Owner { user, group }) = self.owner {
            std::os::unix::fs::chown(dir, Some(user), Some(group)).map_err(failed(dir))?;
        }
        let mut initdb = self.command("initdb", dir);
        initdb.args(["--username=meridian", "--auth=trust", "--encoding=UTF8", "--no-locale"]);
        let made = initdb.output().map_err(Error::system("starting initdb"))?;
        if !made.status.success() {
            let problem = format!("{}: {}", made.status, String::from_utf8_lossy(&made.stderr).trim());
            return Err(Error::Node { doing: "initdb", problem });
        }
        let log = PathBuf::from(format!("{}.log", dir.display()));
        let out = std::fs::File::create(&log).map_err(failed(&log))?;
        let err = out.try_clone().map_err(failed(&log))?;
        let port = free_port()?;
        let mut server = self.command("postgres", dir);
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", &format!("port={port}")]);
        let child = server.stdout(out).stderr(err).spawn().map_err(Error::system("starting postgres"))?;
        let leash = Some(Leash::new(child.id(), libc::SIGQUIT));
        let mut postgres = Postgres { child, leash, address: format!("127.0.0.1:{port}"), version: String::new(), log };
        postgres.prepare()?;
        Ok(postgres)
    }

    fn command(&self, program: &str, dir: &Path) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // Where we stand may be closed to the other user. Ctrl-C in the terminal is for us alone.
        command.current_dir(dir).arg("-D").arg(dir).stdin(Stdio::null()).process_group(0);
        if let Some(Owner { user, group }) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Postgres {
    /// Its process; those of its sessions are its children.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// How to connect to a database, as a URL.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://meridian@{}/{database}", self.address)
    }

    /// Waits until it answers, and makes the database.
    #[expect(clippy::disallowed_methods, reason = "only asking again tells that another process is ready")]
    fn prepare(&mut self) -> Result<(), Error> {
        let started = now();
        let session = loop {
            let refused = match Session::connect(&self.url("postgres"), "meridian bench") {
                Ok(session) => break session,
                Err(error) => error,
            };
            let ended = self.child.try_wait().map_err(Error::system("waiting for PostgreSQL"))?;
            if ended.is_some() || started.elapsed() > START_WAIT {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let status = ended.map_or_else(|| refused.to_string(), |status| status.to_string());
                return Err(Error::Node { doing: "starting PostgreSQL", problem: format!("{status}; its log: {}", log.trim()) });
            }
            std::thread::sleep(POLL);
        };
        let version = session.query("SHOW server_version")?.rows.pop().and_then(|mut row| row.pop().flatten());
        // Behind the number stands who built it.
        self.version = version.unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned();
        session.query("CREATE DATABASE meridian").map(|_| ())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(pid) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: kill takes no memory; the child is ours and not yet waited for, so the number is its. SIGQUIT
            // ends it and its children at once: kill -9 would leave those behind for a while.
            unsafe { libc::kill(pid, libc::SIGQUIT) };
        }
        self.leash = None;
        // Ended already where it failed: that is well.
        let _ = self.child.wait();
    }
}

fn holds_programs(dir: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| dir.join(program).is_file())
}

/// The directories of Debian's packages, the newest release first.
fn debian() -> Vec<PathBuf> {
    let releases = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut releases: Vec<(u32, PathBuf)> =
        releases.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))).collect();
    releases.sort_unstable_by(|a, b| b.cmp(a));
    releases.into_iter().map(|(_, dir)| dir).collect()
}

/// Who runs it where we are root, which it refuses to be.
fn stand_in() -> Result<Owner, Error> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = ["postgres", "nobody"].iter().find_map(|name| owner(&users, name));
    found.ok_or_else(|| {
        let advice = "make a user postgres, or run this as another user";
        Error::Usage(format!("--peer postgres: PostgreSQL refuses to run as root, and there is no user for it: {advice}"))
    })
}

/// A user in the lines of /etc/passwd.
fn owner(users: &str, name: &str) -> Option<Owner> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let owner = Owner { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? };
    (owner.user != 0).then_some(owner)
}

/// A port of loopback that was free just now.
///
/// # Errors
/// `Error::System`.
pub fn free_port() -> Result<u16, Error> {
    let found = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(found.map_err(Error::system("looking for a free port"))?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name_and_root_is_none() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104::/var/lib/postgresql:/bin/sh\n";
        assert_eq!(owner(users, "postgres"), Some(Owner { user: 101, group: 104 }));
        for nobody in ["root", "nobody", ""] {
            assert_eq!(owner(users, nobody), None, "{nobody}");
        }
    }
}
