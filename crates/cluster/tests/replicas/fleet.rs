//! A fleet under test: node processes, a manager's meta in this one, and writers that remember what was acknowledged.

use crate::identity;
use cluster::Tls;
use cluster::data::{Batch, Client, Refused, Status};
use cluster::door::{Door, OwnCertificate};
use cluster::fleet::{FleetRule, Lines, Member, Membership, Roles, Roster, slice_entry, slice_key, slice_value};
use cluster::kinds::{KindSource, KindsService};
use cluster::lone::MetaService;
use cluster::router::{self, Router};
use kernel::{Write, compose};
use meta::embedded::Embedded;
use meta::{Is, Meta, Swap, Swapped};
use parking_lot::Mutex;
use protocol::{Consistency, Mode, Policy, ReplicaId, SliceEntry};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use types::{
    Compression, DistributionRule, Epoch, Kind, Kinds, NodeId, Origin, ProducerId, Samples, SliceId, StoreId, TagId, Timestamp,
};
use world::{ThreadCounts, Threads, World};

pub const SLICES: u32 = 4;

/// Tag t lies in slice t mod SLICES.
pub fn rule() -> DistributionRule {
    DistributionRule { w1: 1, b1: 1, w2: 0, b2: 1, buckets: SLICES, day_us: 86_400_000_000 }
}

/// The scheduler's number: this process plays it.
const SCHEDULER: NodeId = NodeId(100);

/// The tag table: a tag a slice, all of doubles.
struct Table;

impl KindSource for Table {
    fn end(&self) -> u64 {
        SLICES.into()
    }

    fn read(&self, first: u64, most: usize) -> Vec<u8> {
        (first..self.end()).map(|_| Kind::F64 as u8).take(most).collect()
    }
}

/// The same, for whoever writes: all tags are thinned alike.
pub struct Doubles(pub Compression);

impl Kinds for Doubles {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        (tag.0 < SLICES.into()).then_some(Kind::F64)
    }

    fn compression(&self, _: TagId) -> Compression {
        self.0
    }

    fn is_thinned(&self, _: TagId) -> bool {
        self.0.thins(Kind::F64)
    }
}

/// What a node's process is told by its environment.
pub struct Told {
    pub node: u64,
    pub directory: PathBuf,
    pub certificates: PathBuf,
    pub meta: String,
    pub port: u16,
    /// Whether the log keeps little behind what files hold.
    pub small_log: bool,
    /// How long samples are kept, in seconds.
    pub retention_s: Option<u64>,
}

impl Told {
    pub fn from_environment() -> Told {
        let told = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by the test"));
        Told {
            node: told("NODE").parse().expect("a number"),
            directory: told("DIRECTORY").into(),
            certificates: told("CERTIFICATES").into(),
            meta: told("META").clone(),
            port: told("PORT").parse().expect("a number"),
            small_log: told("SMALL_LOG") == "yes",
            retention_s: told("RETENTION").parse().ok(),
        }
    }
}

struct Node {
    process: Child,
    output: BufReader<ChildStdout>,
    store: StoreId,
    address: String,
}

/// Who writes, and what was acknowledged to them.
pub struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Vec<Acknowledged>,
    tasks: Vec<JoinHandle<()>>,
}

type Acknowledged = Arc<Mutex<BTreeSet<u64>>>;

impl Writers {
    /// What was acknowledged so far, by slice.
    pub fn acknowledged(&self) -> Vec<BTreeSet<u64>> {
        self.acknowledged.iter().map(|numbers| numbers.lock().clone()).collect()
    }

    fn counts(&self) -> Vec<usize> {
        self.acknowledged.iter().map(|numbers| numbers.lock().len()).collect()
    }
}

pub struct Fleet {
    directory: PathBuf,
    meta: Arc<dyn Meta>,
    address: String,
    own: OwnCertificate,
    /// Whoever answers for meta, while it is there.
    manager: Option<JoinHandle<()>>,
    tls: Tls,
    nodes: Vec<Node>,
    small_log: bool,
    retention_s: Option<u64>,
    threads: Arc<Threads>,
    runtime: Runtime,
}

impl Fleet {
    /// Nodes with all slices on each, led by each in turn.
    pub fn start(name: &str, nodes: u64) -> Fleet {
        Fleet::start_with(name, nodes, false, None)
    }

    /// The same; `small_log` has them keep little of their logs, `retention_s` drop samples that are older.
    pub fn start_with(name: &str, nodes: u64, small_log: bool, retention_s: Option<u64>) -> Fleet {
        let directory = std::env::temp_dir().join(format!("meridian-replicas-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        let (tls, own) = identity::issue(&directory);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let threads = Threads::start(ThreadCounts::default());
        let meta: Arc<dyn Meta> =
            Arc::new(Embedded::open(&World::real(&threads), &directory.join("meta"), None).expect("a new meta"));
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a free port");
        let address = format!("https://{}", listener.local_addr().expect("it is bound"));
        drop(listener);
        let membership = Membership {
            node: Some(SCHEDULER),
            roles: Roles::SCHEDULER,
            address: address.clone(),
            clients: String::new(),
            weight: 1,
            region: String::new(),
            rack: String::new(),
            laid: None,
        };
        let (world, own_directory) = (World::real(&threads), directory.join("scheduler"));
        let joined = Member::join(&membership, None, &*meta, &world, &own_directory);
        runtime.block_on(joined).expect("the fleet takes it");
        let mut fleet = Fleet {
            directory,
            meta,
            address,
            own,
            manager: None,
            tls,
            nodes: Vec::new(),
            small_log,
            retention_s,
            threads,
            runtime,
        };
        fleet.start_meta();
        for node in 0..nodes {
            let started = fleet.spawn(node, 0);
            fleet.nodes.push(started);
        }
        fleet.place();
        fleet
    }

    /// Lets meta answer, at the address at which it did.
    pub fn start_meta(&mut self) {
        let address = self.address.trim_start_matches("https://").to_owned();
        let listener = self.runtime.block_on(TcpListener::bind(address)).expect("the port is still free");
        let (meta, own) = (Arc::clone(&self.meta), self.own.clone());
        self.manager = Some(self.runtime.spawn(async move {
            let door = Door::new(own);
            let service = MetaService::new(meta, door.lifeline());
            let door = door.with(service).with(KindsService::new(Arc::new(Table)));
            door.serve(listener, std::future::pending()).await.expect("meta is served");
        }));
    }

    /// Lets meta vanish with all connections to it.
    pub fn stop_meta(&mut self) {
        let manager = self.manager.take().expect("it was there");
        manager.abort();
        assert!(self.runtime.block_on(manager).is_err_and(|ended| ended.is_cancelled()));
    }

    fn spawn(&self, node: u64, port: u16) -> Node {
        let mut process = Command::new(std::env::current_exe().expect("this test"))
            .args(["a_node_ends_when_its_input_does", "--exact", "--nocapture"])
            .env("NODE", node.to_string())
            .env("DIRECTORY", self.directory.join(format!("node-{node}")))
            .env("CERTIFICATES", &self.directory)
            .env("META", &self.address)
            .env("PORT", port.to_string())
            .env("SMALL_LOG", if self.small_log { "yes" } else { "no" })
            .env("RETENTION", self.retention_s.map_or("never".to_owned(), |seconds| seconds.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let ready = loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).expect("text") > 0, "the node came up");
            if let Some((_, ready)) = line.trim().split_once("ready ") {
                break ready.to_owned();
            }
        };
        let (store, address) = ready.split_once(' ').expect("store and address");
        Node { process, output, store: StoreId(store.parse().expect("a number")), address: address.to_owned() }
    }

    fn id(&self, node: usize) -> ReplicaId {
        ReplicaId { node: NodeId(node as u64), store: self.nodes[node].store }
    }

    fn place(&self) {
        for slice in 0..SLICES {
            let primary = slice as usize % self.nodes.len();
            let everyone: Vec<ReplicaId> = (0..self.nodes.len()).map(|node| self.id(node)).collect();
            let entry = SliceEntry {
                epoch: Epoch(1),
                primary: self.id(primary),
                backups: everyone.iter().copied().filter(|id| *id != self.id(primary)).collect(),
                members: everyone,
                policy: Policy { mode: Mode::Sync, min_in_sync: 1 },
                forced: Epoch(0),
            };
            let key = slice_key(SliceId(slice));
            let swap = Swap::new().when(&key, Is::Absent).put(&key, slice_value(&entry));
            let swapped = self.meta.swap(swap).wait().expect("meta answers").expect("meta swaps");
            assert!(matches!(swapped, Swapped::Done { .. }));
        }
    }

    pub fn kill(&mut self, node: usize) {
        self.nodes[node].process.kill().expect("it runs");
        self.nodes[node].process.wait().expect("it ended");
    }

    /// Ends a node's input, and waits for its end; how many bytes of files it had copied.
    pub fn end(&mut self, node: usize) -> (ExitStatus, u64) {
        let node = &mut self.nodes[node];
        drop(node.process.stdin.take());
        let mut said = String::new();
        node.output.read_to_string(&mut said).expect("text");
        let copied = said.lines().find_map(|line| line.strip_prefix("copied ")).and_then(|bytes| bytes.parse().ok());
        (node.process.wait().expect("it ended"), copied.expect("it says how much it copied"))
    }

    pub fn signal(&self, node: usize, signal: i32) {
        // SAFETY: the process is a child of ours that was not waited for, so its number is its own.
        let sent = unsafe { libc::kill(self.nodes[node].process.id() as i32, signal) };
        assert_eq!(sent, 0, "the signal is sent");
    }

    /// On its old port, so that everybody finds it again.
    pub fn restart(&mut self, node: usize) {
        let port = self.nodes[node].address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        let started = self.spawn(node as u64, port);
        assert_eq!(started.store, self.nodes[node].store, "the store is the same");
        self.nodes[node] = started;
    }

    /// A scheduler's way to the slices, in this process.
    pub fn router(&self, patience: Duration) -> Arc<Router> {
        let settings = router::Settings { me: SCHEDULER, rule: FleetRule::of(rule()), patience, waiting_bytes_max: 64 << 20 };
        let (meta, world) = (Arc::clone(&self.meta), World::real(&self.threads));
        self.runtime.block_on(async {
            let roster = Roster::follow(Arc::clone(&meta), self.runtime.handle()).await.expect("meta reads");
            let lines = Arc::new(Lines::new(roster, self.tls.clone()));
            let started = Router::start(settings, meta, lines, world.random, self.runtime.handle().clone()).await;
            started.expect("meta reads")
        })
    }

    /// Where a node's door is, and the number of its process.
    pub fn place_of(&self, node: usize) -> (String, String) {
        let node = &self.nodes[node];
        (node.address.trim_start_matches("https://").to_owned(), node.process.id().to_string())
    }

    /// The certificates that let everybody in.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The runtime of whoever asks.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What the nodes say of themselves, those that are there.
    pub fn statuses(&self) -> Vec<Status> {
        self.clients().iter().filter_map(|client| self.runtime.block_on(client.status()).ok()).collect()
    }

    fn clients(&self) -> Vec<Client> {
        let _inside = self.runtime.enter();
        let client = |node: &Node| Client::new(&node.address, &self.tls, Duration::from_secs(1)).expect("an address");
        self.nodes.iter().map(client).collect()
    }

    /// One writer a slice, each batch of one row at the time of its number.
    pub fn write(&self) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged: Vec<Acknowledged> = (0..SLICES).map(|_| Arc::default()).collect();
        let tasks = acknowledged.iter().zip(0..).map(|(acknowledged, slice)| {
            self.runtime.spawn(writer(slice, self.clients(), Arc::clone(&stop), Arc::clone(acknowledged)))
        });
        Writers { tasks: tasks.collect(), stop, acknowledged }
    }

    /// Until every slice has taken so many more writes.
    pub fn wait_for_writes(&self, writers: &Writers, more: usize, patience: Duration) -> Duration {
        let begun = Instant::now();
        let before = writers.counts();
        self.until("every slice takes writes", patience, || {
            writers.counts().iter().zip(&before).all(|(count, before)| *count >= before + more)
        });
        begun.elapsed()
    }

    /// Until every slice has so many members.
    pub fn wait_for_members(&self, members: usize, patience: Duration) {
        let keys: Vec<_> = (0..SLICES).map(|slice| slice_key(SliceId(slice))).collect();
        self.until("every replica is a member", patience, || {
            let found = self.meta.get(&keys).wait().expect("meta answers").expect("meta reads");
            found
                .entries
                .iter()
                .flatten()
                .all(|entry| slice_entry(&entry.value).is_some_and(|entry| entry.members.len() == members))
        });
    }

    pub fn until(&self, what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn stop(&self, writers: Writers) -> Vec<BTreeSet<u64>> {
        writers.stop.store(true, Ordering::Release);
        let acknowledged = writers.acknowledged.clone();
        writers.tasks.into_iter().for_each(|task| self.runtime.block_on(task).expect("a writer panicked"));
        acknowledged.iter().map(|numbers| numbers.lock().clone()).collect()
    }

    /// All that was acknowledged can be read from whoever leads; nobody else answers for it.
    pub fn check(&self, acknowledged: &[BTreeSet<u64>]) {
        let clients = self.clients();
        for (slice, numbers) in acknowledged.iter().enumerate() {
            let questions: Vec<_> = numbers.iter().map(|number| (TagId(slice as u64), Timestamp(*number as i64))).collect();
            let mut answer = None;
            self.until("somebody leads", Duration::from_secs(30), || {
                for client in &clients {
                    let slices = [(SliceId(slice as u32), Consistency::Primary)];
                    let found = self.runtime.block_on(client.values_at(&slices, &questions));
                    if let Some(found) = found.ok().filter(|found| found.refused.is_empty()) {
                        answer = Some(found.values);
                        return true;
                    }
                }
                false
            });
            let found = answer.expect("it was found above");
            for (row, number) in numbers.iter().enumerate() {
                let found = (found.found[row], found.times[row], found.bits[row], found.qualities[row]);
                let expect = (true, Timestamp(*number as i64), (*number as f64).to_bits(), 192);
                assert_eq!(found, expect, "slice {slice}: write {number} was acknowledged");
            }
        }
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

/// Writes 1, 2, 3 .. and asks node after node until each is acknowledged; what was.
async fn writer(slice: u32, clients: Vec<Client>, stop: Arc<AtomicBool>, acknowledged: Acknowledged) {
    let mut leader = slice as usize % clients.len();
    for number in 1.. {
        let origin = Origin { producer: ProducerId(u128::from(slice) + 1), number };
        let (tags, times, bits) = ([TagId(slice.into())], [Timestamp(number as i64)], [(number as f64).to_bits()]);
        let samples = [Samples::new(&tags, &times, &bits, None).expect("columns of one length")];
        let write = Write { samples: &samples, ..Write::default() };
        let bodies = compose(&rule(), &Doubles(Compression::Lossless), &write, &[]).expect("a known tag");
        let (_, body) = bodies.into_iter().next().expect("a sample is of a slice");
        let batch = || Batch { body: body.clone(), ..Batch::default() };
        loop {
            if stop.load(Ordering::Acquire) {
                return;
            }
            match clients[leader].write(SliceId(slice), origin, SLICES.into(), batch()).await {
                Ok(_) => break,
                Err(Refused::Invalid(text)) => panic!("slice {slice}, write {number}: {text}"),
                Err(Refused::NotPrimary { leader: Some(node) }) if node.0 as usize != leader => leader = node.0 as usize,
                Err(Refused::Busy) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(_) => {
                    leader = (leader + 1) % clients.len();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        acknowledged.lock().insert(number);
    }
}
