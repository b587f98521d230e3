//! A fleet under test: managers and data nodes in processes of their own; this one plays scheduler and operator.

use crate::directory::Directory;
use crate::identity;
use crate::members::Members;
use crate::process;
use crate::writers::{Acknowledged, Writers, tags, text};
use cluster::Tls;
use cluster::data::{Batch, Client, Refused};
use cluster::door::{Door, OwnCertificate};
use cluster::fleet::{FleetRecord, Lines, Member, Membership, Roles, Roster, node_key, node_record, node_value};
use cluster::kinds::{KindSource, KindsService};
use cluster::manager::{Admin, AdminError, Capacity, NodeStatus, Placement, Reporter, Settings};
use kernel::{Write, compose};
use meta::{Is, Meta, Swap, Swapped};
use protocol::membership::{ManagerSettings, NodeState};
use protocol::{Consistency, Mode, Policy};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use types::{DistributionRule, Kind, Kinds, NodeId, Origin, ProducerId, Samples, SliceId, StoreId, TagId, Timestamp};
use world::{ThreadCounts, Threads, World};

/// Tag t lies in slice t mod buckets.
pub const RULE: DistributionRule = DistributionRule { w1: 1, b1: 1, w2: 0, b2: 1, buckets: 6, day_us: 86_400_000_000 };
pub const COPIES: u32 = 2;
/// A tag of numbers and one of texts a slice.
pub const TAGS: u64 = 2 * RULE.buckets as u64;
/// This process's number.
pub const SCHEDULER: NodeId = NodeId(100);
const PATIENCE: Duration = Duration::from_secs(60);

pub fn record(rule: DistributionRule) -> FleetRecord {
    FleetRecord { rule, period_us: 86_400_000_000, copies: COPIES, policy: Policy { mode: Mode::Sync, min_in_sync: 1 } }
}

/// Numbers that a test has time for.
pub fn manager_settings() -> Settings {
    let machine = ManagerSettings { down_us: 2_500_000, plan_us: 500_000, ..ManagerSettings::default() };
    Settings { machine, ..Settings::default() }
}

/// The tag table. Of tags beyond its end it says what nobody else knows.
pub struct Table;

impl Kinds for Table {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        Some(if (TAGS / 2..TAGS).contains(&tag.0) { Kind::Text } else { Kind::F64 })
    }
}

impl KindSource for Table {
    fn end(&self) -> u64 {
        TAGS
    }

    fn read(&self, first: u64, most: usize) -> Vec<u8> {
        (first..TAGS).filter_map(|tag| self.kind(TagId(tag))).map(|kind| kind as u8).take(most).collect()
    }
}

/// What a process is told by its environment.
pub struct Told {
    pub manager: bool,
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
            manager: told("ROLE") == "manager",
            node: told("NODE").parse().expect("a number"),
            directory: told("DIRECTORY").into(),
            certificates: told("CERTIFICATES").into(),
            meta: told("META"),
            port: told("PORT").parse().expect("a number"),
        }
    }
}

/// A process, and what it said of itself.
pub struct Process {
    child: Child,
    /// Held open, so that its last words find somebody.
    _output: BufReader<ChildStdout>,
    store: StoreId,
    port: u16,
    manager: bool,
    meta: String,
}

pub struct Fleet {
    processes: Vec<Option<Process>>,
    /// Those whose numbers others have.
    former: Vec<Process>,
    reached: Arc<dyn Meta>,
    runtime: Arc<Runtime>,
    lines: Arc<Lines>,
    admin: Arc<Admin>,
    /// What nodes started later are told of meta.
    meta: String,
    threads: Arc<Threads>,
    _etcd: Option<Members>,
    directory: Directory,
}

/// What comes before there is anybody to ask.
struct Ground {
    directory: Directory,
    tls: Tls,
    own: OwnCertificate,
    runtime: Arc<Runtime>,
    threads: Arc<Threads>,
}

impl Ground {
    fn new() -> Ground {
        let directory = Directory::new();
        let (tls, own) = identity::issue(directory.path());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let threads = Threads::start(ThreadCounts::default());
        Ground { directory, tls, own, runtime: Arc::new(runtime), threads }
    }

    fn spawn(&self, node: usize, manager: bool, meta: &str) -> Process {
        spawn(&self.directory, &format!("node-{node}"), node, manager, meta, 0)
    }

    /// Joins as the scheduler, with its door.
    fn fleet(self, meta: String, processes: Vec<Option<Process>>, etcd: Option<Members>) -> Fleet {
        let Ground { directory, tls, own, runtime, threads } = self;
        let (world, dir) = (World::real(&threads), directory.path().join("scheduler"));
        let (reached, lines, admin) = runtime.block_on(async {
            let reached = process::meta(&meta, &tls, &world, &dir).await;
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
            let address = format!("https://{}", listener.local_addr().expect("it is bound"));
            let (roles, clients, region, rack) = (Roles::SCHEDULER, String::new(), String::new(), String::new());
            let membership = Membership { node: Some(SCHEDULER), roles, address, clients, weight: 1, region, rack, laid: None };
            Member::join(&membership, None, &*reached, &world, &dir).await.expect("the fleet takes it");
            let door = Door::new(own).with(KindsService::new(Arc::new(Table)));
            tokio::spawn(async move { door.serve(listener, std::future::pending()).await.expect("the door serves") });
            let roster = Roster::follow(Arc::clone(&reached), runtime.handle()).await.expect("meta says who is there");
            let lines = Arc::new(Lines::new(roster, tls.clone()));
            let admin = Admin::new(Arc::clone(&reached), Arc::clone(&lines), Arc::clone(&world.clock));
            (reached, lines, Arc::new(admin))
        });
        Fleet { processes, former: Vec::new(), reached, runtime, lines, admin, meta, threads, _etcd: etcd, directory }
    }
}

fn spawn(directory: &Directory, name: &str, node: usize, manager: bool, meta: &str, port: u16) -> Process {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["a_process_ends_when_its_input_does", "--exact", "--nocapture"])
        .env("ROLE", if manager { "manager" } else { "data" })
        .env("NODE", node.to_string())
        .env("DIRECTORY", directory.path().join(name))
        .env("CERTIFICATES", directory.path())
        .env("META", meta)
        .env("PORT", port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let ready = loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).expect("text") > 0, "process {node} came up");
        if let Some((_, ready)) = line.trim().split_once("ready ") {
            break ready.to_owned();
        }
    };
    let (store, address) = ready.split_once(' ').expect("store and address");
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let store = StoreId(store.parse().expect("a number"));
    Process { child, _output: output, store, port, manager, meta: meta.to_owned() }
}

fn send(child: &Child, signal: i32) {
    // SAFETY: the process is a child of ours that was not waited for, so its number is its own.
    let sent = unsafe { libc::kill(child.id() as i32, signal) };
    assert_eq!(sent, 0, "the signal is sent");
}

impl Fleet {
    /// A lone manager (0) and data nodes (from 1 on).
    pub fn lone(nodes: usize) -> Fleet {
        let ground = Ground::new();
        let manager = ground.spawn(0, true, "own");
        let meta = format!("https://127.0.0.1:{}", manager.port);
        let mut processes = vec![Some(manager)];
        processes.extend((1..=nodes).map(|node| Some(ground.spawn(node, false, &meta))));
        ground.fleet(meta, processes, None)
    }

    /// Managers (from 0 on) and data nodes (behind them) with an etcd.
    pub fn with_etcd(managers: usize, nodes: usize) -> Fleet {
        let (ground, etcd) = (Ground::new(), Members::start(1, None));
        drop(etcd.connect(&ground.runtime, &etcd.settings(), None).expect("etcd comes up"));
        let meta = format!("etcd:{}", etcd.settings().endpoints[0]);
        let start = |node: usize| Some(ground.spawn(node, node < managers, &meta));
        let processes = (0..managers + nodes).map(start).collect();
        ground.fleet(meta, processes, Some(etcd))
    }

    /// Asks something of the fleet, patiently: while meta is away nothing can be said.
    pub fn admin<T, F: Future<Output = Result<T, AdminError>>>(&self, ask: impl Fn(Arc<Admin>) -> F) -> Result<T, AdminError> {
        let begun = Instant::now();
        loop {
            match self.runtime.block_on(ask(Arc::clone(&self.admin))) {
                Err(fault) if fault.can_retry() => assert!(begun.elapsed() < PATIENCE, "it is never answered: {fault}"),
                answer => return answer,
            }
        }
    }

    /// The rule is set, all nodes are there, all slices are placed and led.
    pub fn begin(&self) {
        self.admin(|admin| async move { admin.init(record(RULE)).await }).expect("the rule is set");
        let data: Vec<usize> = self.data().collect();
        self.wait_for_state(&data, NodeState::Normal);
        self.admin(|admin| async move { admin.place(&Placement::Modulus).await }).expect("all are placed");
        self.wait_for_members(COPIES as usize);
    }

    fn data(&self) -> impl Iterator<Item = usize> + '_ {
        let is_data = |process: &Option<Process>| process.as_ref().is_some_and(|process| !process.manager);
        self.processes.iter().enumerate().filter(move |(_, process)| is_data(process)).map(|(node, _)| node)
    }

    pub fn write(&self) -> Writers {
        Writers::start(&self.runtime, &self.lines)
    }

    fn process(&mut self, node: usize) -> &mut Process {
        self.processes[node].as_mut().expect("it was started")
    }

    pub fn store(&mut self, node: usize) -> StoreId {
        self.process(node).store
    }

    pub fn kill(&mut self, node: usize) {
        self.process(node).child.kill().expect("it runs");
        self.process(node).child.wait().expect("it ended");
    }

    /// Ends a process's input, and waits for its end.
    pub fn end(&mut self, node: usize) -> ExitStatus {
        drop(self.process(node).child.stdin.take());
        self.process(node).child.wait().expect("it ended")
    }

    /// Removes what a process that does not run has kept.
    pub fn wipe(&self, node: usize) {
        std::fs::remove_dir_all(self.directory.path().join(format!("node-{node}"))).expect("it was there");
    }

    /// On its old port, so that a wiped node is known for who it was.
    pub fn restart(&mut self, node: usize) {
        let Process { port, manager, meta, .. } = self.process(node);
        let (port, manager, meta) = (*port, *manager, meta.clone());
        self.processes[node] = Some(spawn(&self.directory, &format!("node-{node}"), node, manager, &meta, port));
    }

    /// Another data node.
    pub fn add(&mut self, node: usize) {
        assert_eq!(node, self.processes.len(), "numbers are dense");
        self.processes.push(Some(spawn(&self.directory, &format!("node-{node}"), node, false, &self.meta, 0)));
    }

    pub fn signal(&mut self, node: usize, signal: i32) {
        send(&self.process(node).child, signal);
    }

    /// Gives a silent data node's number to another process, with another store, elsewhere.
    pub fn replace(&mut self, node: usize) {
        let other = spawn(&self.directory, &format!("node-{node}-other"), node, false, &self.meta, 0);
        self.former.extend(self.processes[node].replace(other));
    }

    /// Lets those whose numbers others have go on, and waits until they have ended by themselves, in order.
    pub fn wait_until_former_end(&mut self) {
        let mut former = std::mem::take(&mut self.former);
        former.iter().for_each(|process| send(&process.child, libc::SIGCONT));
        former.iter_mut().for_each(|process| self.ends(process));
    }

    /// Waits until a process has ended by itself, in order.
    pub fn wait_until_ended(&mut self, node: usize) {
        let mut process = self.processes[node].take().expect("it was started");
        self.ends(&mut process);
        self.processes[node] = Some(process);
    }

    fn ends(&self, process: &mut Process) {
        let mut ended = None;
        self.until("the process ends", || {
            ended = process.child.try_wait().expect("it is a child");
            ended.is_some()
        });
        assert!(ended.is_some_and(|ended| ended.success()), "{ended:?}");
    }

    /// Somebody with another store reports under a number.
    pub fn report_as(&self, node: u64) -> Reporter {
        let (member, clock) = (Member { node: NodeId(node), store: StoreId(9) }, World::real(&self.threads).clock);
        Reporter::start(member, None, Arc::clone(&self.lines), Capacity::default(), clock, self.runtime.handle())
    }

    /// Says of a node what managers say soon after by themselves.
    pub fn set_state(&self, node: u64, state: NodeState) {
        let key = node_key(NodeId(node));
        self.until("the state is set", || {
            let found = self.reached.get(std::slice::from_ref(&key)).wait().expect("meta lives").expect("meta reads");
            let entry = found.entries[0].clone().expect("it joined");
            let mut record = node_record(&entry.value).expect("of this release");
            record.entry.state = state;
            let swap = Swap::new().when(&key, Is::Modified(entry.modified)).put(&key, node_value(&record));
            matches!(self.reached.swap(swap).wait().expect("meta lives").expect("meta swaps"), Swapped::Done { .. })
        });
    }

    pub fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            if begun.elapsed() > PATIENCE {
                let operations = self.admin(|admin| async move { admin.operations().await });
                let map = self.admin(|admin| async move { admin.slice_map().await });
                panic!("not within {PATIENCE:?}: {what}; {operations:?}; {map:#?}; {:#?}", self.nodes());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn nodes(&self) -> Vec<NodeStatus> {
        self.admin(|admin| async move { admin.nodes().await }).expect("meta answers")
    }

    pub fn wait_for_state(&self, nodes: &[usize], state: NodeState) {
        self.until("nodes have their state", || {
            let found = self.nodes();
            let has = |node: &usize| {
                found.iter().any(|status| {
                    status.node.0 as usize == *node && status.record.entry.state == state && status.busyness.is_some()
                })
            };
            nodes.iter().all(has)
        });
    }

    pub fn wait_for_silence(&self, nodes: &[NodeId]) {
        self.until("nodes count as silent", || {
            let silent = |status: &NodeStatus| !status.record.entry.state.is_there();
            let found = self.nodes();
            nodes.iter().all(|node| found.iter().any(|status| status.node == *node && silent(status)))
        });
    }

    /// Until every slice has so many members, and no other copies.
    pub fn wait_for_members(&self, members: usize) {
        self.until("every copy is a member", || {
            let map = self.admin(|admin| async move { admin.slice_map().await }).expect("meta answers");
            map.len() == RULE.buckets as usize
                && map.values().all(|entry| entry.members.len() == members && entry.backups.len() + 1 == members)
        });
    }

    pub fn wait_until_empty(&self, node: u64) {
        self.until("the node is empty", || {
            let map = self.admin(|admin| async move { admin.slice_map().await }).expect("meta answers");
            let operations = self.admin(|admin| async move { admin.operations().await }).expect("meta answers");
            map.values().all(|entry| entry.everyone().all(|id| id.node != NodeId(node))) && operations.is_empty()
        });
    }

    /// Until nothing is under way.
    pub fn wait_for_rest(&self) {
        self.until("nothing is under way", || {
            self.admin(|admin| async move { admin.operations().await }).expect("meta answers").is_empty()
        });
    }

    /// Whether a slice lies on these nodes alone, all in sync, led by the first.
    pub fn lies_on(&self, slice: SliceId, nodes: &[NodeId]) -> bool {
        let map = self.admin(|admin| async move { admin.slice_map().await }).expect("meta answers");
        let entry = &map[&slice];
        entry.primary.node == nodes[0]
            && entry.members.len() == nodes.len()
            && entry.backups.len() + 1 == nodes.len()
            && entry.members.iter().all(|id| nodes.contains(&id.node))
    }

    /// Whether a node answers for a slice as its primary.
    pub fn leads(&self, slice: SliceId, node: NodeId) -> bool {
        let Some(client) = self.client(node) else { return false };
        let (numbers, _) = tags(slice);
        let asked = [(slice, Consistency::Primary)];
        let found = self.runtime.block_on(client.latest(&asked, &[numbers]));
        found.is_ok_and(|found| found.refused.is_empty())
    }

    fn client(&self, node: NodeId) -> Option<Client> {
        let _inside = self.runtime.enter();
        Client::on(&self.lines, node, SCHEDULER, Duration::from_secs(2)).ok()
    }

    /// A node is asked for a slice that it leads and one that it does not hold, in one question.
    pub fn reads_of_each_slice_by_itself(&self, acknowledged: &[Acknowledged]) {
        let map = self.admin(|admin| async move { admin.slice_map().await }).expect("meta answers");
        let (held, entry) = map.iter().next().expect("there are slices");
        let node = entry.primary.node;
        let other = map.iter().find(|(_, entry)| entry.everyone().all(|id| id.node != node));
        let other = *other.expect("of three nodes two hold each slice").0;
        let asked = [(*held, Consistency::Primary), (other, Consistency::Any)];
        let all = [tags(*held).0, tags(*held).1, tags(other).0, tags(other).1];
        let client = self.client(node).expect("it is known");
        let answer = self.runtime.block_on(client.latest(&asked, &all)).expect("it answers");
        assert_eq!(answer.at.iter().map(|(slice, _)| *slice).collect::<Vec<_>>(), [*held]);
        assert!(matches!(answer.refused[..], [(slice, Refused::NotPrimary { .. })] if slice == other), "{:?}", answer.refused);
        assert_eq!(answer.values.found, [true, true, false, false]);
        let last = acknowledged[held.0 as usize].last().copied().expect("writes were acknowledged");
        assert!(answer.values.times[0].0 as u64 >= last && answer.values.times[1].0 as u64 >= last);
        let texts: Vec<u32> = answer.values.texts.iter().map(|(row, _)| *row).collect();
        assert_eq!(texts, [1]);
    }

    /// A write that names more tags than anybody knows is refused, and may be sent again.
    pub fn refuses_tags_that_nobody_knows(&self) {
        let map = self.admin(|admin| async move { admin.slice_map().await }).expect("meta answers");
        let (tags, times) = ([TagId(TAGS)], [Timestamp(1)]);
        let samples = [Samples::new(&tags, &times, &[1], None).expect("columns of one length")];
        let write = Write { samples: &samples, ..Write::default() };
        let mut bodies = compose(&RULE, &Table, &write, &[]).expect("whoever composes knows the tag");
        let (slice, body) = bodies.remove(0);
        let client = self.client(map[&slice].primary.node).expect("it is known");
        let origin = Origin { producer: ProducerId(999), number: 1 };
        let batch = || Batch { body: body.clone(), ..Batch::default() };
        let write = |end| self.runtime.block_on(client.write(slice, origin, end, batch()));
        assert!(matches!(write(TAGS + 1), Err(refused @ Refused::UnknownTags(_)) if refused.can_retry()));
        assert!(matches!(write(TAGS), Err(Refused::Invalid(_))), "a tag beyond the end that was named");
    }

    /// All that was acknowledged can be read from whoever leads, numbers and texts; what was deleted is not there.
    pub fn check(&self, acknowledged: Vec<Acknowledged>) {
        for (slice, numbers) in (0..).map(SliceId).zip(&acknowledged) {
            let (of_numbers, of_texts) = tags(slice);
            let times = numbers.iter().map(|number| Timestamp(*number as i64));
            let questions: Vec<_> = times.flat_map(|time| [(of_numbers, time), (of_texts, time)]).collect();
            let (mut found, asked) = (None, [(slice, Consistency::Primary)]);
            self.until("somebody leads", || {
                let clients: Vec<Client> =
                    self.lines.roster().with(Roles::DATA).into_iter().filter_map(|node| self.client(node)).collect();
                found = clients.iter().find_map(|client| {
                    let answer = self.runtime.block_on(client.values_at(&asked, &questions)).ok();
                    answer.filter(|answer| answer.refused.is_empty())
                });
                found.is_some()
            });
            let values = found.expect("it was found above").values;
            for (place, number) in numbers.iter().enumerate() {
                // Its own sample, or, where it was deleted, the one before.
                let deleted = number % 10 == 5 && numbers.contains(&(number + 5));
                let (row, expect) = (2 * place, number - u64::from(deleted));
                let of_number = (values.found[row], values.times[row], values.bits[row]);
                let expected = (true, Timestamp(expect as i64), (expect as f64).to_bits());
                // The deletion may have happened though it was not acknowledged.
                let last = numbers.last().is_some_and(|last| number + 5 > *last && number % 10 == 5);
                assert!(of_number == expected || last, "slice {slice}, write {number}: {of_number:?}, not {expected:?}");
                let found = values.texts.iter().find(|(at, _)| *at as usize == row + 1).map(|(_, text)| &**text);
                assert_eq!(found, Some(text(*number).as_bytes()), "slice {slice}: the text of write {number}");
            }
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().flatten().chain(&mut self.former) {
            drop(process.child.kill());
            drop(process.child.wait());
        }
        self.threads.stop();
    }
}
