//! A process of a fleet: a manager or a data node, as `meridian serve --role` will start it, without SQL.

use crate::fleet::{RULE, Told, manager_settings};
use crate::identity;
use cluster::data::{Answers, DataNode, DataService, Settings};
use cluster::door::Door;
use cluster::etcd::Etcd;
use cluster::fleet::{FleetRule, Lines, Member, Membership, Roles, Roster};
use cluster::kinds::{Book, Keeper, KindsService};
use cluster::lone::{MetaService, Remote};
use cluster::manager::{Capacity, ManagerNode, ManagerService, Reporter};
use cluster::{Limits, Tls};
use kernel::Kernel;
use meta::Meta;
use meta::embedded::Embedded;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use types::NodeId;
use world::{RealRandom, ThreadCounts, Threads, World};

/// Whether this process was started to be one of a fleet.
pub fn is_one() -> bool {
    std::env::var_os("NODE").is_some()
}

/// The meta that an address leads to: one's own, etcd's, or a lone manager's.
pub async fn meta(address: &str, tls: &Tls, world: &World, directory: &Path) -> Arc<dyn Meta> {
    if address == "own" {
        return Arc::new(Embedded::open(world, &directory.join("meta"), None).expect("meta opens"));
    }
    if let Some(endpoint) = address.strip_prefix("etcd:") {
        let (endpoints, prefix) = (vec![endpoint.to_owned()], "fleet/".to_owned());
        let settings = cluster::etcd::Settings { endpoints, prefix, user: None, identity: None, limits: Limits::default() };
        return Arc::new(Etcd::connect(settings, &RealRandom, None).await.expect("etcd answers"));
    }
    let settings =
        cluster::lone::Settings { addresses: vec![address.to_owned()], identity: tls.clone().into(), limits: Limits::default() };
    Arc::new(Remote::connect(settings, None).await.expect("the manager answers"))
}

struct Common {
    told: Told,
    tls: Tls,
    world: World,
    meta: Arc<dyn Meta>,
    roster: Arc<Roster>,
    lines: Arc<Lines>,
    address: String,
}

impl Common {
    async fn join(&self, roles: Roles, store: Option<types::StoreId>) -> Member {
        let membership = Membership {
            node: Some(NodeId(self.told.node)),
            roles,
            address: self.address.clone(),
            clients: String::new(),
            weight: 1,
            region: String::new(),
            rack: String::new(),
            laid: None,
        };
        let joined = Member::join(&membership, store, &*self.meta, &self.world, &self.told.directory).await;
        joined.expect("the fleet takes it")
    }

    fn report(&self, member: Member, data: Option<Arc<DataNode>>) -> Reporter {
        let (lines, clock) = (Arc::clone(&self.lines), Arc::clone(&self.world.clock));
        Reporter::start(member, data, lines, Capacity::default(), clock, &tokio::runtime::Handle::current())
    }
}

async fn stop() {
    // When the test ends, however it ends, so does this process.
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        drop(std::io::stdin().read_to_end(&mut rest));
        let _ = ended.send(());
    });
    drop(end.await);
}

pub fn run() {
    let told = Told::from_environment();
    let (tls, own) = identity::read(&told.certificates);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    runtime.block_on(async {
        let meta = meta(&told.meta, &tls, &world, &told.directory).await;
        let listener = TcpListener::bind(("127.0.0.1", told.port)).await.expect("a free port");
        let address = format!("https://{}", listener.local_addr().expect("it is bound"));
        let handle = runtime.handle();
        let roster = Roster::follow(Arc::clone(&meta), handle).await.expect("meta says who is there");
        let lines = Arc::new(Lines::new(Arc::clone(&roster), tls.clone()));
        let common = Common { told, tls, world, meta, roster, lines, address };
        let door = Door::new(own);
        if common.told.manager { manager(common, door, listener).await } else { data(common, door, listener).await }
    });
    threads.stop();
}

async fn manager(common: Common, mut door: Door, listener: TcpListener) {
    let member = common.join(Roles::MANAGER, None).await;
    if common.told.meta == "own" {
        let service = MetaService::new(Arc::clone(&common.meta), door.lifeline());
        door = door.with(service);
    }
    let (meta, lines) = (Arc::clone(&common.meta), Arc::clone(&common.lines));
    let handle = tokio::runtime::Handle::current();
    let manager = ManagerNode::start(manager_settings(), member.node, meta, lines, &common.world, &handle).await;
    let manager = manager.expect("meta says what stands");
    let _reporter = common.report(member, None);
    println!("ready {} {}", member.store.0, common.address);
    door.with(ManagerService::new(&manager)).serve(listener, stop()).await.expect("the door serves");
}

async fn data(common: Common, door: Door, listener: TcpListener) {
    let Common { told, tls, world, meta, roster, lines, .. } = &common;
    let book = Arc::new(Book::open(&*world.disk, &told.directory).expect("the book opens"));
    let keeper = Arc::new(Keeper::new(Arc::clone(&book), Arc::clone(lines), Arc::clone(&world.clock)));
    if book.was_lost() {
        keeper.fill(Duration::from_secs(20)).await.expect("somebody has the kinds");
    }
    // Small logs, so that some copies come by files and others by the log.
    let settings = kernel::Settings {
        rule: RULE,
        memory_bytes: 256 << 20,
        segment_bytes: 32 << 10,
        log_bytes_max: 256 << 10,
        led_tail_bytes_max: 4 << 10,
        ..kernel::Settings::default()
    };
    let kinds: Arc<Book> = Arc::clone(&book);
    let kernel = Kernel::open(world.clone(), &told.directory, settings, kinds).expect("the store opens");
    let member = common.join(Roles::DATA, Some(kernel.store())).await;
    let settings = Settings {
        member,
        rule: FleetRule::of(RULE),
        identity: tls.clone().into(),
        protocol: protocol::Settings::default(),
        copy_bytes_per_s: 64 << 20,
        retention_looks_every: Duration::from_secs(60),
    };
    let handle = tokio::runtime::Handle::current();
    let node = DataNode::start(settings, kernel, keeper, roster, Arc::clone(meta), world.clone(), handle);
    let node = Arc::new(node.expect("the stores are the same"));
    let reporter = common.report(member, Some(Arc::clone(&node)));
    println!("ready {} {}", member.store.0, common.address);
    let service = DataService::new(Arc::clone(&node), door.lifeline());
    let runtime = tokio::runtime::Handle::current();
    let reads = Answers::reads(Arc::clone(&node), door.lifeline(), runtime.clone());
    let writes = Answers::writes(Arc::clone(&node), door.lifeline(), runtime);
    let door = door.with(service).with_answers(reads).with_answers(writes).with(KindsService::new(book));
    tokio::select! {
        served = door.serve(listener, stop()) => served.expect("the door serves"),
        fault = node.failed() => panic!("a replica failed: {fault}"),
        why = reporter.lost(Arc::clone(meta)) => eprintln!("node {}: {why}", member.node),
    }
}
