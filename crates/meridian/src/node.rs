//! A node of our own: `meridian serve` as a child process, for `demo` and `bench`.
//!
//! Promises: the child is this very program (for `bench/`: the one beside it); it is killed when the value is dropped, and by the second Ctrl-C; what it
//! logs is in a file that is named when it fails.

use crate::Error;
use crate::interrupt::Leash;
use crate::progress::now;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a node may take to open (ten million tags take tens of seconds).
const OPEN_WAIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);

/// A running node.
pub struct Node {
    child: Child,
    leash: Option<Leash>,
    /// Its directory.
    pub dir: PathBuf,
    /// Where its PostgreSQL door listens.
    pub pg: String,
    /// Where its Flight door listens.
    pub flight: String,
    /// Where other processes of its fleet reach it; empty where it has none.
    pub fleet: String,
    /// How long it took to open.
    pub opened_in: Duration,
    /// All that its ready file tells, a line a door.
    told: String,
    /// The other processes of its fleet: they are measured and stopped with it.
    pub companions: Vec<Node>,
    log: PathBuf,
}

impl Node {
    /// Starts a node in a directory, with further flags of `serve`.
    ///
    /// # Errors
    /// `Error::System`, `Error::Child` with the end of its log.
    pub fn start(dir: &Path, flags: &[String]) -> Result<Node, Error> {
        let doors = ["--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0"].map(str::to_owned);
        Node::start_with(dir, &[&doors, flags].concat(), &["pg=", "flight="])
    }

    /// Starts a process of a fleet that has these doors (`fleet=`, `pg=`, `flight=`).
    ///
    /// # Errors
    /// As `start`.
    #[expect(clippy::disallowed_methods, reason = "files of the program's own beside the store")]
    pub fn start_with(dir: &Path, flags: &[String], doors: &[&str]) -> Result<Node, Error> {
        let started = now();
        let program = program()?;
        let beside = |suffix: &str| PathBuf::from(format!("{}.{suffix}", dir.display()));
        let (ready, log) = (beside("ready"), beside("log"));
        let made = |path: &Path| {
            let path = path.to_path_buf();
            move |cause| Error::File { path, cause }
        };
        match std::fs::remove_file(&ready) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(made(&ready)(cause)),
            _ => {}
        }
        let out = std::fs::OpenOptions::new().create(true).append(true).open(&log).map_err(made(&log))?;
        let err = out.try_clone().map_err(made(&log))?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--dir").arg(dir).arg("--ready-file").arg(&ready);
        command.args(flags);
        // Ctrl-C in the terminal is for us alone: we stop the node ourselves, when we are done.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().map_err(Error::system("starting a node"))?;
        let leash = Some(Leash::new(child.id(), libc::SIGKILL));
        let (pg, flight, fleet) = (String::new(), String::new(), String::new());
        let (dir, opened_in, companions) = (dir.to_path_buf(), Duration::ZERO, Vec::new());
        let mut node = Node { child, leash, dir, pg, flight, fleet, told: String::new(), opened_in, companions, log };
        node.wait_ready(&ready, doors, started)?;
        Ok(node)
    }

    #[expect(clippy::disallowed_methods, reason = "the file tells that the node is ready; its writer is another process")]
    fn wait_ready(&mut self, ready: &Path, doors: &[&str], started: Instant) -> Result<(), Error> {
        loop {
            if let Ok(text) = std::fs::read_to_string(ready)
                && doors.iter().all(|door| address(&text, door).is_some())
            {
                let of = |door: &str| address(&text, door).unwrap_or_default();
                (self.pg, self.flight, self.fleet) = (of("pg="), of("flight="), of("fleet="));
                self.told = text;
                self.opened_in = started.elapsed();
                return Ok(());
            }
            let ended = self.child.try_wait().map_err(Error::system("waiting for the node"))?;
            if let Some(status) = ended {
                return Err(Error::Child(format!("{status}; {}", self.last_words())));
            }
            if started.elapsed() > OPEN_WAIT {
                return Err(Error::Child(format!("not ready after {} s; {}", OPEN_WAIT.as_secs(), self.last_words())));
            }
            std::thread::sleep(POLL);
        }
    }

    /// How to connect, as a URL: our own node on the loopback, whatever PGSSLMODE says.
    pub fn url(&self) -> String {
        format!("postgres://meridian@{}/meridian?sslmode=disable", self.pg)
    }

    /// Where another of its doors listens (`http=`), if it was started with one.
    pub fn door(&self, key: &str) -> Option<String> {
        address(&self.told, key)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process numbers of it and its companions.
    pub fn pids(&self) -> Vec<u32> {
        std::iter::once(self.pid()).chain(self.companions.iter().flat_map(Node::pids)).collect()
    }

    /// User and system time that it and its companions have taken so far.
    pub fn cpu(&self) -> Option<Duration> {
        self.pids().iter().map(|pid| cpu_of(&pid.to_string())).sum()
    }

    /// Bytes of the files whose names end so, its companions' included.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn file_bytes(&self, ending: &str) -> Result<u64, Error> {
        let own = file_bytes(&self.dir, ending)?;
        self.companions.iter().try_fold(own, |sum, node| Ok(sum + node.file_bytes(ending)?))
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(8)..].join("\n    ");
        format!("its log ({}) ends:\n    {last}", self.log.display())
    }

    /// kill -9, now.
    ///
    /// # Errors
    /// `Error::System`.
    pub fn kill(mut self) -> Result<ExitStatus, Error> {
        self.child.kill().map_err(Error::system("killing the node"))?;
        self.leash = None;
        self.child.wait().map_err(Error::system("waiting for the node"))
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// `Error::System`, `Error::Child` where it did not end well.
    pub fn stop(mut self) -> Result<(), Error> {
        let companions = std::mem::take(&mut self.companions);
        self.stop_alone()?;
        companions.into_iter().try_for_each(Node::stop)
    }

    fn stop_alone(mut self) -> Result<(), Error> {
        let pid = libc::pid_t::try_from(self.pid()).expect("the system's process numbers fit its own type");
        // SAFETY: kill takes no memory; the child is ours and not yet waited for, so the number is its.
        if unsafe { libc::kill(pid, libc::SIGTERM) } != 0 {
            return Err(Error::System { doing: "stopping the node", cause: std::io::Error::last_os_error() });
        }
        self.await_end().map_err(Error::system("waiting for the node"))?;
        self.leash = None;
        let status = self.child.wait().map_err(Error::system("waiting for the node"))?;
        if status.success() { Ok(()) } else { Err(Error::Child(format!("it ended with {status}; {}", self.last_words()))) }
    }
}

impl Node {
    /// Waits until it has ended, and leaves it its number: stopping may take long, and the second Ctrl-C ends it.
    fn await_end(&self) -> std::io::Result<()> {
        loop {
            let mut told = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
            // SAFETY: waitid writes the one value that it is given; the child is ours and not yet waited for.
            if unsafe { libc::waitid(libc::P_PID, self.child.id(), told.as_mut_ptr(), libc::WEXITED | libc::WNOWAIT) } == 0 {
                return Ok(());
            }
            let fault = std::io::Error::last_os_error();
            if fault.kind() != std::io::ErrorKind::Interrupted {
                return Err(fault);
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Ended already, in `kill` and `stop`: then both are refused, and that is well.
        let _ = self.child.kill();
        self.leash = None;
        let _ = self.child.wait();
    }
}

/// This very program, or the one that stands beside a program of another name.
fn program() -> Result<PathBuf, Error> {
    let this = std::env::current_exe().map_err(Error::system("finding this program"))?;
    let beside = this.with_file_name("meridian");
    Ok(if beside.is_file() { beside } else { this })
}

fn address(text: &str, key: &str) -> Option<String> {
    // Only a line that ends was written whole.
    let line = text.lines().find(|line| line.starts_with(key))?;
    text.ends_with('\n').then(|| line[key.len()..].to_owned())
}

/// User and system time of a process, from /proc.
#[must_use]
pub fn cpu_of(process: &str) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold spaces; fields 14 and 15 are counted behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // SAFETY: sysconf takes no memory.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?.max(1);
    Some(Duration::from_millis(ticks * 1000 / per_second))
}

/// A directory of our own that is removed when the value is dropped, with the files beside it.
pub struct Scratch {
    /// The directory; `node` inside it is for a store.
    pub dir: PathBuf,
    keep: bool,
}

impl Scratch {
    /// A new directory below the system's temporary one, or the given one (kept then).
    ///
    /// # Errors
    /// `Error::File`.
    #[expect(clippy::disallowed_methods, reason = "a directory of the program's own")]
    pub fn new(name: &str, given: Option<&Path>) -> Result<Scratch, Error> {
        let dir = match given {
            Some(dir) => dir.to_path_buf(),
            None => {
                let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.subsec_nanos());
                std::env::temp_dir().join(format!("meridian-{name}-{}-{nanos:09}", std::process::id()))
            }
        };
        std::fs::create_dir_all(&dir).map_err(|cause| Error::File { path: dir.clone(), cause })?;
        Ok(Scratch { dir, keep: given.is_some() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // A directory that stays behind is a pity, not a failure.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Bytes of the files in a directory and below it whose names end so.
///
/// # Errors
/// `Error::File`.
pub fn file_bytes(dir: &Path, ending: &str) -> Result<u64, Error> {
    let count = |path: &Path, data: &std::fs::Metadata| if path.to_string_lossy().ends_with(ending) { data.len() } else { 0 };
    sum_files(dir, &count)
}

/// Bytes of the files in a directory and below it, counted as they lie on the disk (512-byte blocks).
///
/// # Errors
/// `Error::File`. A file that goes away meanwhile is not counted.
pub fn disk_bytes(dir: &Path) -> Result<u64, Error> {
    sum_files(dir, &|_, data| std::os::unix::fs::MetadataExt::blocks(data) * 512)
}

fn sum_files(dir: &Path, count: &dyn Fn(&Path, &std::fs::Metadata) -> u64) -> Result<u64, Error> {
    let failed = |cause| Error::File { path: dir.to_path_buf(), cause };
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.metadata() {
            Ok(data) if data.is_dir() => sum += sum_files(&entry.path(), count)?,
            Ok(data) => sum += count(&entry.path(), &data),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    Ok(sum)
}
