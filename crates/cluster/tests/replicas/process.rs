//! A data node as a process of its own: what `meridian serve --role data` will do, without SQL.

use crate::fleet::{Told, rule};
use crate::identity;
use cluster::data::{Answers, DataNode, DataService, Settings};
use cluster::door::Door;
use cluster::fleet::{FleetRule, Lines, Member, Membership, Roles, Roster};
use cluster::kinds::{Book, Keeper, KindsService};
use cluster::lone::{self, Remote};
use cluster::{Limits, Tls};
use kernel::Kernel;
use meta::Meta;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use types::NodeId;
use world::{ThreadCounts, Threads, World};

/// Whether this process was started to be a node.
pub fn is_node() -> bool {
    std::env::var_os("NODE").is_some()
}

/// What panics on a thread of a runtime would else be noticed by nobody.
fn end_with_a_panic() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        told(panic);
        std::process::exit(101);
    }));
}

fn remote(told: &Told, tls: &Tls) -> lone::Settings {
    lone::Settings { addresses: vec![told.meta.clone()], identity: tls.clone().into(), limits: Limits::default() }
}

pub fn run() {
    end_with_a_panic();
    let told = Told::from_environment();
    let (tls, own) = identity::read(&told.certificates);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let retention = told.retention_s.map(Duration::from_secs);
    let mut settings = kernel::Settings { rule: rule(), memory_bytes: 256 << 20, retention, ..kernel::Settings::default() };
    if told.small_log {
        (settings.segment_bytes, settings.log_bytes_max, settings.led_tail_bytes_max) = (16 << 10, 128 << 10, 4 << 10);
    }
    let book = Arc::new(Book::open(&*world.disk, &told.directory).expect("the book opens"));
    let handle = runtime.handle().clone();
    runtime.block_on(async {
        let meta: Arc<dyn Meta> = Arc::new(Remote::connect(remote(&told, &tls), None).await.expect("the manager answers"));
        let roster = Roster::follow(Arc::clone(&meta), &handle).await.expect("meta says who is there");
        let lines = Arc::new(Lines::new(Arc::clone(&roster), tls.clone()));
        let keeper = Arc::new(Keeper::new(Arc::clone(&book), lines, Arc::clone(&world.clock)));
        if book.was_lost() {
            keeper.fill(Duration::from_secs(20)).await.expect("somebody has the kinds");
        }
        let kinds: Arc<Book> = Arc::clone(&book);
        let kernel = Kernel::open(world.clone(), &told.directory, settings, kinds).expect("the store opens");
        let listener = TcpListener::bind(("127.0.0.1", told.port)).await.expect("a free port");
        let address = format!("https://{}", listener.local_addr().expect("it is bound"));
        let membership = Membership {
            node: Some(NodeId(told.node)),
            roles: Roles::DATA,
            address: address.clone(),
            clients: String::new(),
            weight: 1,
            region: String::new(),
            rack: String::new(),
            laid: None,
        };
        let joined = Member::join(&membership, Some(kernel.store()), &*meta, &world, &told.directory).await;
        let member = joined.expect("the fleet takes it");
        let settings = Settings {
            member,
            rule: FleetRule::of(rule()),
            identity: tls.into(),
            protocol: protocol::Settings::default(),
            copy_bytes_per_s: 64 << 20,
            retention_looks_every: Duration::from_millis(200),
        };
        let node = DataNode::start(settings, kernel, keeper, &roster, meta, world, handle).expect("the stores are the same");
        let node = Arc::new(node);
        println!("ready {} {address}", node.me().store.0);
        let door = Door::new(own);
        let service = DataService::new(Arc::clone(&node), door.lifeline());
        let runtime = tokio::runtime::Handle::current();
        let reads = Answers::reads(Arc::clone(&node), door.lifeline(), runtime.clone());
        let writes = Answers::writes(Arc::clone(&node), door.lifeline(), runtime);
        let door = door.with(service).with_answers(reads).with_answers(writes).with(KindsService::new(book));
        // When the test ends, however it ends, so does this process.
        let (ended, end) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            drop(std::io::stdin().read_to_end(&mut rest));
            let _ = ended.send(());
        });
        let failed = node.failed();
        tokio::select! {
            served = door.serve(listener, async { drop(end.await) }) => served.expect("the door serves"),
            fault = failed => panic!("a replica failed: {fault}"),
        }
        println!("copied {}", node.kernel().slices().iter().map(|slice| slice.copied_bytes).sum::<u64>());
    });
}
