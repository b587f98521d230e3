//! How fast three schedulers make tags together, beside one catalog alone: all in this process, over loopback and TLS, on real
//! disks, with an embedded meta.
//!
//! `cargo run --release --package cluster --example make_tags -- [TAGS]` (1,000,000 by default, in calls of 100,000 at all
//! three doors in turn). It prints tags a second of wall time, and core-seconds a million tags; it asserts nothing.
#![expect(clippy::disallowed_methods, reason = "a measurement is of the real world")]

use catalog::Catalog;
use cluster::Tls;
use cluster::certificates::{Authority, NODE_NAME};
use cluster::door::{Door, OwnCertificate};
use cluster::fleet::{Member, Membership, Roles, Roster};
use cluster::tags::{Settings, TagTable};
use meta::Meta;
use meta::embedded::Embedded;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use types::{Kind, NodeId, TagDefinition};
use world::{Clock, RealClock, ThreadCounts, Threads, World};

const CALL: u64 = 100_000;
/// Calls under way at once.
const CALLERS: u64 = 4;

fn definitions(call: u64) -> Vec<TagDefinition> {
    let tag = |number: u64| TagDefinition {
        unit: "kV".to_owned(),
        labels: vec![("area".to_owned(), format!("a{}", number / 1_000)), ("kind".to_owned(), "voltage".to_owned())],
        ..TagDefinition::new(format!("grid.area{:03}.feeder{:05}.voltage", number / 1_000, number), Kind::F64)
    };
    (call * CALL..(call + 1) * CALL).map(tag).collect()
}

/// Core-seconds of this process so far.
fn core_seconds() -> f64 {
    // SAFETY: the call writes a struct of plain numbers, for which zeros are valid, and keeps nothing.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn tell(what: &str, tags: u64, begun: Instant, cores_before: f64) {
    let (wall, cores) = (begun.elapsed().as_secs_f64(), core_seconds() - cores_before);
    let million = tags as f64 / 1e6;
    println!("{what}: {:.0} tags/s, {:.2} core-s a million", tags as f64 / wall, cores / million);
}

fn alone(directory: &Path, tags: u64) {
    let threads = Threads::start(ThreadCounts::default());
    let catalog = Catalog::open(World::real(&threads), directory, catalog::Settings::default()).expect("it opens");
    let (begun, before) = (Instant::now(), core_seconds());
    let calls: Vec<_> = (0..tags / CALL).map(|call| catalog.create(definitions(call))).collect();
    let made: u64 =
        calls.into_iter().map(|call| call.wait().expect("answered").expect("made")).map(|made| made.end - made.start).sum();
    assert_eq!(made, tags / CALL * CALL);
    tell("one catalog alone", tags, begun, before);
    threads.stop();
}

async fn scheduler(node: u64, directory: &Path, own: &[Vec<u8>; 3], meta: Arc<dyn Meta>) -> Arc<TagTable> {
    let [authority, certificate, key] = own.clone();
    let world = World::real(&Threads::start(ThreadCounts::default()));
    let catalog = Catalog::open(world.clone(), directory, catalog::Settings::default()).expect("it opens");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let membership = Membership {
        node: Some(NodeId(node)),
        roles: Roles::SCHEDULER,
        address: format!("https://{}", listener.local_addr().expect("it is bound")),
        clients: String::new(),
        weight: 1,
        region: String::new(),
        rack: String::new(),
        laid: None,
    };
    let member = Member::join(&membership, None, &*meta, &world, directory).await.expect("the fleet takes it");
    let tls =
        Tls { authority: authority.clone(), own: Some((certificate.clone(), key.clone())), name: Some(NODE_NAME.to_owned()) };
    let settings = Settings {
        node: member.node,
        identity: tls.into(),
        protocol: protocol::Settings::default(),
        change_patience: Duration::from_secs(60),
        read_patience: Duration::from_secs(60),
    };
    let runtime = tokio::runtime::Handle::current();
    let roster = Roster::follow(Arc::clone(&meta), &runtime).await.expect("meta answers");
    let table = TagTable::start(settings, catalog, &roster, meta, world, runtime).await.expect("it becomes a scheduler");
    let door = Door::new(OwnCertificate { authority, certificate, key });
    let service = table.service(door.lifeline());
    tokio::spawn(door.with(service).serve(listener, std::future::pending()));
    Arc::new(table)
}

async fn together(directory: &Path, tags: u64) {
    let now = RealClock::start().wall_us();
    let authority = Authority::make(now, 10).expect("an authority");
    let issued = authority.issue("node", &[], now, 10).expect("a certificate");
    let own = [authority.certified().certificate.into_bytes(), issued.certificate.into(), issued.key.into()];
    let world = World::real(&Threads::start(ThreadCounts::default()));
    let meta: Arc<dyn Meta> = Arc::new(Embedded::open(&world, &directory.join("meta"), None).expect("a new meta"));
    let mut tables = Vec::new();
    for node in 0..3 {
        tables.push(scheduler(node, &directory.join(node.to_string()), &own, Arc::clone(&meta)).await);
    }
    while tables.iter().any(|table| table.standing().normal.len() < 3) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (begun, before) = (Instant::now(), core_seconds());
    let callers = (0..CALLERS).map(|caller| {
        let table = Arc::clone(&tables[caller as usize % 3]);
        tokio::spawn(async move {
            for call in (caller..tags / CALL).step_by(CALLERS as usize) {
                let made = tokio::task::spawn_blocking(move || definitions(call)).await.expect("made up");
                table.create(made).await.expect("made");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("it ended");
    }
    tell("three schedulers", tags, begun, before);
    let mut hashes = Vec::new();
    for table in &tables {
        table.readable().await.expect("it may be read");
        hashes.push(table.part_hashes().await.expect("hashed"));
    }
    println!("equal tables: {}", hashes.iter().all(|other| *other == hashes[0]));
}

fn main() {
    let tags = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a number of tags"));
    let directory = std::env::temp_dir().join(format!("meridian-make-tags-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    alone(&directory.join("alone"), tags);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(together(&directory, tags));
    std::fs::remove_dir_all(&directory).expect("it goes");
}
