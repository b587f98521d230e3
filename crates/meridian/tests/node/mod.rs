//! A node of the tests: the built program as a child process, killed when dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// The built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_meridian");

/// A directory of its own for each test, removed when dropped.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("meridian-test-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program with a clean environment.
pub fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MERIDIAN_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs statements over a connection of their own; gives the last one's rows as text.
pub fn ask(node: &Node, sql: &str) -> Vec<Vec<String>> {
    try_ask(node, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The same; an error is its SQLSTATE and what it says.
pub fn try_ask(node: &Node, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&node.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let messages = client.simple_query(sql).await.map_err(|error| match error.as_db_error() {
            Some(db) => format!("{} {}", db.code().code(), db.message()),
            None => error.to_string(),
        })?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned()).collect()),
            _ => None,
        });
        Ok(rows.collect())
    })
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// All that it printed.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running node.
pub struct Node {
    child: Child,
    pub pg: String,
    pub flight: String,
    ready: PathBuf,
}

impl Node {
    pub fn start(dir: &Path, flags: &[&str]) -> Node {
        Node::try_start(dir, flags).unwrap_or_else(|message| panic!("{message}"))
    }

    /// Starts a node, or gives what it said when it ended before it was ready.
    pub fn try_start(dir: &Path, flags: &[&str]) -> Result<Node, String> {
        let ready = dir.with_extension("ready");
        let _ = std::fs::remove_file(&ready);
        let mut command = program();
        command.arg("serve").arg("--dir").arg(dir).args([
            "--pg",
            "127.0.0.1:0",
            "--flight",
            "127.0.0.1:0",
            "--memory-bytes",
            "512MiB",
        ]);
        command.arg("--ready-file").arg(&ready).args(flags);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.with_extension("log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Node::of(child, &ready).map_err(|status| {
            let log = std::fs::read_to_string(dir.with_extension("log")).unwrap_or_default();
            format!("the node ended: {status}\n{log}")
        })
    }

    /// A node that was started with that ready file, once it is ready; how it ended, where it ends before.
    pub fn of(child: Child, ready: &Path) -> Result<Node, ExitStatus> {
        let mut node = Node { child, pg: String::new(), flight: String::new(), ready: ready.to_path_buf() };
        let started = Instant::now();
        loop {
            if let Ok(text) = std::fs::read_to_string(&node.ready) {
                let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned();
                (node.pg, node.flight) = (line("pg="), line("flight="));
                assert!(!node.pg.is_empty() && !node.flight.is_empty(), "the ready file is written whole: {text:?}");
                return Ok(node);
            }
            if let Some(status) = node.child.try_wait().unwrap() {
                return Err(status);
            }
            assert!(started.elapsed() < Duration::from_secs(60), "the node is not ready after a minute");
            std::thread::yield_now();
        }
    }

    pub fn url(&self) -> String {
        format!("postgres://meridian@{}/meridian", self.pg)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill takes no memory; the child is ours and was not waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub fn stop(self) {
        self.signal(libc::SIGTERM);
        let ready = self.ready.clone();
        let status = self.wait();
        assert!(status.success(), "{status}");
        assert!(!ready.exists(), "a node that stopped is not ready");
    }

    pub fn kill(self) {
        self.signal(libc::SIGKILL);
        assert!(!self.wait().success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
