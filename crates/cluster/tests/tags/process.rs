//! A scheduler as a process of its own, without SQL: it does what its input says, and says what was answered.
//!
//! ```text
//!   create PREFIX COUNT BATCH   tags PREFIX.0 .. in calls of BATCH (PREFIX alone where COUNT is 1)
//!   load                        own names and contended ones, until `rest`
//!   change NAME NEXT, delete NAME, see NAME, dump FILE, stand, parts
//!   says: ready; made ORDINAL NAME ..; hashes ..; stands NORMAL LEADS; parts COUNT; done COMMAND
//! ```

use crate::fleet::Told;
use crate::identity;
use catalog::{Catalog, Error as Refusal};
use cluster::Limits;
use cluster::door::Door;
use cluster::fleet::{Member, Membership, Roles, Roster};
use cluster::lone::Remote;
use cluster::tags::{Error, Settings, TagTable};
use meta::Meta;
use std::fmt::Write as _;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use types::{Kind, NodeId, TagDefinition, TagId};
use world::{ThreadCounts, Threads, World};

/// Whether this process was started to be a scheduler.
pub fn is_node() -> bool {
    std::env::var_os("NODE").is_some()
}

fn lines() -> mpsc::UnboundedReceiver<String> {
    let (give, take) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            drop(give.send(line));
        }
    });
    take
}

/// Makes a process one of the fleet, as a scheduler alone.
async fn join(node: NodeId, address: &str, meta: &dyn Meta, world: &World, directory: &Path) -> Member {
    let membership = Membership {
        node: Some(node),
        roles: Roles::SCHEDULER,
        address: address.to_owned(),
        clients: String::new(),
        weight: 1,
        region: String::new(),
        rack: String::new(),
        laid: None,
    };
    Member::join(&membership, None, meta, world, directory).await.expect("the fleet takes it")
}

pub fn run() {
    let told = Told::from_environment();
    let (tls, own) = identity::read(&told.certificates);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let catalog_settings = catalog::Settings { checkpoint_bytes: 64 << 10, ..catalog::Settings::default() };
    let catalog = Catalog::open(world.clone(), &told.directory, catalog_settings).expect("the catalog opens");
    let handle = runtime.handle().clone();
    runtime.block_on(async {
        let remote = cluster::lone::Settings {
            addresses: vec![told.meta.clone()],
            identity: tls.clone().into(),
            limits: Limits::default(),
        };
        let meta = Arc::new(Remote::connect(remote, None).await.expect("the manager answers"));
        let listener = TcpListener::bind(("127.0.0.1", told.port)).await.expect("a free port");
        let address = format!("https://{}", listener.local_addr().expect("it is bound"));
        let member = join(NodeId(told.node), &address, &*meta, &world, &told.directory).await;
        let roster = Roster::follow(Arc::clone(&meta) as Arc<dyn Meta>, &handle).await.expect("the manager answers");
        let settings = Settings {
            node: member.node,
            identity: tls.into(),
            protocol: protocol::Settings { batches_kept_max: 8, ..protocol::Settings::default() },
            change_patience: Duration::from_secs(25),
            read_patience: Duration::from_secs(10),
        };
        let table = TagTable::start(settings, catalog, &roster, meta, world, handle).await.expect("it becomes a scheduler");
        let table = Arc::new(table);
        let door = Door::new(own);
        let service = table.service(door.lifeline());
        println!("ready {address}");
        let obeyed = obey(Arc::clone(&table), lines());
        tokio::select! {
            // When the test ends, however it ends, so does this process.
            served = door.with(service).serve(listener, obeyed) => served.expect("the door serves"),
            fault = table.failed() => panic!("the store failed: {fault}"),
        }
    });
}

async fn obey(table: Arc<TagTable>, mut lines: mpsc::UnboundedReceiver<String>) {
    let loading = Arc::new(AtomicBool::new(false));
    while let Some(line) = lines.recv().await {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["create", prefix, count, batch] => {
                let number = |text: &str| text.parse().expect("a number");
                create(&table, prefix, number(count), number(batch)).await;
            }
            ["change", name, next] => {
                let tag = table.catalog().find(name).and_then(|id| table.catalog().get(id)).expect("the tag is there");
                let definition = TagDefinition { name: next.to_owned(), ..tag.definition };
                table.change(vec![(tag.id, definition)]).await.expect("it is changed");
            }
            ["delete", name] => {
                let tag = table.catalog().find(name).expect("the tag is there");
                table.delete(vec![tag]).await.expect("it is deleted");
            }
            ["see", name] => {
                table.readable().await.expect("it may be read");
                assert!(table.catalog().find(name).is_some(), "{name} was answered elsewhere");
            }
            ["load"] => {
                loading.store(true, Ordering::Release);
                tokio::spawn(load(Arc::clone(&table), Arc::clone(&loading)));
                continue;
            }
            ["rest"] => loading.store(false, Ordering::Release),
            ["dump", file] => dump(&table, Path::new(file)).await,
            ["stand"] => {
                let standing = table.standing();
                println!("stands {} {}", standing.normal.len(), u8::from(standing.leads));
            }
            ["parts"] => println!("parts {}", table.parts_taken()),
            _ => panic!("\"{line}\" is no command"),
        }
        println!("done {line}");
    }
}

async fn create(table: &TagTable, prefix: &str, count: u64, batch: u64) {
    let name = |number| if count == 1 { prefix.to_owned() } else { format!("{prefix}.{number}") };
    for first in (0..count).step_by(batch as usize) {
        let numbers = first..(first + batch).min(count);
        let definitions: Vec<_> = numbers.map(|number| TagDefinition::new(name(number), Kind::F64)).collect();
        let names = definitions.iter().map(|definition| definition.name.clone()).collect::<Vec<_>>().join(" ");
        let range = table.create(definitions).await.expect("the tags are made");
        println!("made {} {names}", range.start);
    }
}

/// Names of this life alone, and names for which all doors race: one of them wins each.
async fn load(table: Arc<TagTable>, loading: Arc<AtomicBool>) {
    let life = table.me();
    let mut number = 0;
    while loading.load(Ordering::Acquire) {
        number += 1;
        let own = format!("own.{}.{}.{number}", life.node, std::process::id());
        let contended = format!("contended.{}", table.catalog().len() / 16);
        for names in [vec![format!("{own}.a"), format!("{own}.b")], vec![contended]] {
            let definitions = names.iter().map(|name| TagDefinition::new(name.clone(), Kind::F64)).collect();
            match table.create(definitions).await {
                Ok(range) => println!("made {} {}", range.start, names.join(" ")),
                Err(Error::Catalog(Refusal::Exists(name))) => assert!(name.starts_with("contended"), "{name} is nobody else's"),
                Err(fault) => panic!("{fault}"),
            }
        }
    }
    println!("done load");
}

/// The table as who may read sees it.
async fn dump(table: &TagTable, file: &Path) {
    table.readable().await.expect("it may be read");
    let mut text = format!("{}\n", table.catalog().ordinals());
    for tag in table.catalog().page(TagId(0), usize::MAX) {
        writeln!(text, "{} {}", tag.id, tag.definition.name).expect("memory takes it");
    }
    std::fs::write(file, text).expect("it is written");
    println!("hashes {:x?}", table.part_hashes().await.expect("they are hashed"));
}
