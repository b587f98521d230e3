//! Schedulers under test: processes, a manager's meta in this one, and what they said was answered.

use crate::identity;
use cluster::Tls;
use cluster::door::{Door, OwnCertificate};
use cluster::lone::MetaService;
use meta::Meta;
use meta::embedded::Embedded;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use world::{ThreadCounts, Threads, World};

/// What a scheduler's process is told by its environment.
pub struct Told {
    pub node: u64,
    pub directory: PathBuf,
    pub certificates: PathBuf,
    pub meta: String,
    pub port: u16,
}

impl Told {
    pub fn from_environment() -> Told {
        let told = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by the test"));
        Told {
            node: told("NODE").parse().expect("a number"),
            directory: told("DIRECTORY").into(),
            certificates: told("CERTIFICATES").into(),
            meta: told("META"),
            port: told("PORT").parse().expect("a number"),
        }
    }
}

struct Node {
    process: Child,
    alive: bool,
    /// On which it is reached; the same after a restart, so that everybody finds it again.
    port: u16,
    said: Arc<Mutex<Vec<String>>>,
}

/// What was answered: names by ordinal.
type Answered = BTreeMap<u64, String>;

pub struct Fleet {
    directory: PathBuf,
    address: String,
    nodes: Vec<Node>,
    answered: Answered,
    threads: Arc<Threads>,
    _runtime: Runtime,
}

/// A temporary directory with certificates, and what they are.
pub fn certificates(name: &str) -> (PathBuf, Tls, OwnCertificate) {
    let directory = std::env::temp_dir().join(format!("meridian-tags-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    let (tls, own) = identity::issue(&directory);
    (directory, tls, own)
}

impl Fleet {
    pub fn start(name: &str, nodes: u64) -> Fleet {
        let (directory, _, own) = certificates(name);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let threads = Threads::start(ThreadCounts::default());
        let meta: Arc<dyn Meta> =
            Arc::new(Embedded::open(&World::real(&threads), &directory.join("meta"), None).expect("a new meta"));
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a free port");
        let address = format!("https://{}", listener.local_addr().expect("it is bound"));
        runtime.spawn(async move {
            let door = Door::new(own);
            let service = MetaService::new(meta, door.lifeline());
            door.with(service).serve(listener, std::future::pending()).await.expect("meta is served");
        });
        let (none, answered) = (Vec::new(), Answered::new());
        let mut fleet = Fleet { directory, address, nodes: none, answered, threads, _runtime: runtime };
        for node in 0..nodes {
            let started = fleet.spawn(node, 0);
            fleet.nodes.push(started);
        }
        fleet
    }

    fn spawn(&self, node: u64, port: u16) -> Node {
        let mut process = Command::new(std::env::current_exe().expect("this test"))
            .args(["a_scheduler_ends_when_its_input_does", "--exact", "--nocapture"])
            .env("NODE", node.to_string())
            .env("DIRECTORY", self.directory.join(format!("scheduler-{node}")))
            .env("CERTIFICATES", &self.directory)
            .env("META", &self.address)
            .env("PORT", port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| heard.lock().push(line)));
        let mut ready = None;
        self.until("the scheduler comes up", Duration::from_secs(20), || {
            ready = said.lock().iter().find_map(|line| line.split_once("ready https://").map(|(_, address)| address.to_owned()));
            ready.is_some()
        });
        let port = ready.as_deref().and_then(|address| address.rsplit(':').next()).and_then(|port| port.parse().ok());
        Node { process, alive: true, port: port.expect("a port"), said }
    }

    fn until(&self, what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn say(&mut self, node: usize, line: &str) {
        let input = self.nodes[node].process.stdin.as_mut().expect("it is piped");
        writeln!(input, "{line}").expect("it listens");
    }

    /// Asks a scheduler, and waits until it is done; what it said meanwhile.
    pub fn ask(&mut self, node: usize, line: &str, patience: Duration) -> Vec<String> {
        let from = self.nodes[node].said.lock().len();
        self.say(node, line);
        let (said, done) = (Arc::clone(&self.nodes[node].said), format!("done {line}"));
        self.until(line, patience, || said.lock()[from..].contains(&done));
        said.lock()[from..].to_vec()
    }

    fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].alive).collect()
    }

    fn stands(&mut self, node: usize, patience: Duration) -> (usize, bool) {
        let said = self.ask(node, "stand", patience);
        let line = said.iter().rfind(|line| line.starts_with("stands ")).expect("it says so");
        let words: Vec<&str> = line.split(' ').collect();
        (words[1].parse().expect("a number"), words[2] == "1")
    }

    pub fn parts_taken(&mut self, node: usize, patience: Duration) -> u64 {
        let said = self.ask(node, "parts", patience);
        let line = said.iter().find_map(|line| line.strip_prefix("parts ")).expect("it says so");
        line.parse().expect("a number")
    }

    /// Until all living ones know so many Normal ones.
    pub fn wait_for_normal(&mut self, normal: usize, patience: Duration) {
        let begun = Instant::now();
        for node in self.alive() {
            while self.stands(node, patience).0 != normal {
                assert!(begun.elapsed() < patience, "not within {patience:?}: {normal} schedulers are Normal");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Who leads.
    pub fn leader(&mut self, patience: Duration) -> usize {
        let begun = Instant::now();
        loop {
            let found = self.alive().into_iter().find(|node| self.stands(*node, patience).1);
            if let Some(leader) = found {
                return leader;
            }
            assert!(begun.elapsed() < patience, "not within {patience:?}: somebody leads");
        }
    }

    /// Lets every living scheduler that does not yet make tags without end do so.
    pub fn load(&mut self, patience: Duration) {
        for node in self.alive() {
            if !self.nodes[node].said.lock().iter().any(|line| line.starts_with("made ")) {
                self.say(node, "load");
                self.stands(node, patience);
            }
        }
    }

    /// Until so many more calls were answered at each living door.
    pub fn wait_for_answers(&self, more: usize, patience: Duration) -> Duration {
        let begun = Instant::now();
        let count = |node: &usize| self.nodes[*node].said.lock().iter().filter(|line| line.starts_with("made ")).count();
        let alive = self.alive();
        let before: Vec<usize> = alive.iter().map(count).collect();
        self.until("every door answers", patience, || {
            alive.iter().map(count).zip(&before).all(|(now, before)| now >= before + more)
        });
        begun.elapsed()
    }

    pub fn end_load(&mut self, patience: Duration) {
        for node in self.alive() {
            self.say(node, "rest");
        }
        for node in self.alive() {
            let said = Arc::clone(&self.nodes[node].said);
            self.until("the load ends", patience, || said.lock().contains(&"done load".to_owned()));
        }
    }

    /// Keeps what a process said was answered: no ordinal twice.
    fn gather(&mut self, node: usize) {
        for line in self.nodes[node].said.lock().iter().filter_map(|line| line.strip_prefix("made ")) {
            let (first, names) = line.split_once(' ').expect("an ordinal and names");
            let first: u64 = first.parse().expect("a number");
            for (ordinal, name) in (first..).zip(names.split(' ')) {
                let before = self.answered.insert(ordinal, name.to_owned());
                assert!(before.as_deref().is_none_or(|before| before == name), "ordinal {ordinal}: {before:?} and {name}");
            }
        }
    }

    pub fn kill(&mut self, node: usize) {
        self.nodes[node].process.kill().expect("it runs");
        self.nodes[node].process.wait().expect("it ended");
        self.nodes[node].alive = false;
        self.gather(node);
    }

    pub fn signal(&self, node: usize, signal: i32) {
        // SAFETY: the process is a child of ours that was not waited for, so its number is its own.
        let sent = unsafe { libc::kill(self.nodes[node].process.id() as i32, signal) };
        assert_eq!(sent, 0, "the signal is sent");
    }

    pub fn restart(&mut self, node: usize) {
        self.nodes[node] = self.spawn(node as u64, self.nodes[node].port);
    }

    /// Ends a scheduler's input, and waits for its end.
    pub fn end(&mut self, node: usize) -> ExitStatus {
        drop(self.nodes[node].process.stdin.take());
        self.nodes[node].alive = false;
        self.nodes[node].process.wait().expect("it ended")
    }

    /// Whatever was answered is at each scheduler; names are unique; all tables are one.
    pub fn check(&mut self, patience: Duration) {
        (0..self.nodes.len()).for_each(|node| self.gather(node));
        let mut tables = BTreeSet::new();
        for node in 0..self.nodes.len() {
            let file = self.directory.join(format!("dump-{node}"));
            let said = self.ask(node, &format!("dump {}", file.display()), patience);
            let hashes = said.iter().find(|line| line.starts_with("hashes ")).expect("it says so").clone();
            let text = std::fs::read_to_string(file).expect("it was written");
            let mut names = BTreeMap::new();
            for line in text.lines().skip(1) {
                let (ordinal, name) = line.split_once(' ').expect("an ordinal and a name");
                assert_eq!(names.insert(name, ordinal.parse::<u64>().expect("a number")), None, "{name} stands twice");
            }
            for (ordinal, name) in self.answered.iter().filter(|(_, name)| !name.starts_with("early")) {
                assert_eq!(names.get(&**name), Some(ordinal), "scheduler {node}: {name} was answered");
            }
            tables.insert((hashes, text));
        }
        assert_eq!(tables.len(), 1, "all tables are one");
        assert!(!self.answered.is_empty(), "something was answered");
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            drop(node.process.kill());
            drop(node.process.wait());
        }
        self.threads.stop();
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}
