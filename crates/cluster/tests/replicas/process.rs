//! A data node as a process of its own: what `meridian serve --role data` will do, without SQL.

use crate::fleet::{SLICES, Told};
use cluster::data::{DataNode, Settings, serve};
use cluster::lone::{OwnCertificate, Remote};
use cluster::{Limits, Tls, certificates::NODE_NAME};
use kernel::Kernel;
use std::io::Read;
use std::sync::Arc;
use tokio::net::TcpListener;
use types::{DistributionRule, Kind, Kinds, NodeId, TagId};
use world::{ThreadCounts, Threads, World};

struct Doubles;

impl Kinds for Doubles {
    fn kind(&self, _: TagId) -> Option<Kind> {
        Some(Kind::F64)
    }
}

/// Whether this process was started to be a node.
pub fn is_node() -> bool {
    std::env::var_os("NODE").is_some()
}

pub fn run() {
    let told = Told::from_environment();
    let read = |name: &str| std::fs::read(told.certificates.join(name)).expect("the test wrote it");
    let (authority, certificate, key) = (read("authority.pem"), read("node.pem"), read("node.key"));
    let tls =
        Tls { authority: authority.clone(), own: Some((certificate.clone(), key.clone())), name: Some(NODE_NAME.to_owned()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    // Tag t lies in slice t mod SLICES.
    let rule = DistributionRule { w1: 1, b1: 1, w2: 0, b2: 1, buckets: SLICES, day_us: 86_400_000_000 };
    let settings = kernel::Settings { rule, memory_bytes: 256 << 20, ..kernel::Settings::default() };
    let kernel = Kernel::open(world.clone(), &told.directory, settings, Arc::new(Doubles)).expect("the store opens");
    let handle = runtime.handle().clone();
    runtime.block_on(async {
        let remote = cluster::lone::Settings { addresses: vec![told.meta.clone()], tls: tls.clone(), limits: Limits::default() };
        let meta = Arc::new(Remote::connect(remote, None).await.expect("the manager answers"));
        let listener = TcpListener::bind(("127.0.0.1", told.port)).await.expect("a free port");
        let address = format!("https://{}", listener.local_addr().expect("it is bound"));
        let settings =
            Settings { node: NodeId(told.node), address: address.clone(), tls, protocol: protocol::Settings::default() };
        let node = Arc::new(DataNode::start(settings, kernel, meta, world, handle).await.expect("meta takes the address"));
        println!("ready {} {address}", node.me().store.0);
        let own = OwnCertificate { authority, certificate, key };
        // When the test ends, however it ends, so does this process.
        let (ended, end) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            drop(std::io::stdin().read_to_end(&mut rest));
            let _ = ended.send(());
        });
        let failed = node.failed();
        tokio::select! {
            served = serve(Arc::clone(&node), listener, own, async { drop(end.await) }) => served.expect("the door serves"),
            fault = failed => panic!("a replica failed: {fault}"),
        }
    });
}
