//! Who becomes a scheduler, and who does not: stores in this process, meta embedded.

use crate::fleet::certificates;
use catalog::Catalog;
use cluster::Tls;
use cluster::fleet::{Lines, Member, Membership, Roles, Roster, node_key};
use cluster::manager::{Admin, AdminError};
use cluster::tags::{Error, Settings, TagTable, deregister, entry_key, tag_entry};
use meta::embedded::Embedded;
use meta::{Meta, Swap};
use protocol::tags::TagEntry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use types::{Kind, NodeId, TagDefinition, TagId};
use world::{ThreadCounts, Threads, World};

struct Place {
    directory: PathBuf,
    tls: Tls,
    threads: Arc<Threads>,
    meta: Arc<dyn Meta>,
}

impl Place {
    fn new(name: &str) -> Place {
        let (directory, tls, _) = certificates(name);
        let threads = Threads::start(ThreadCounts::default());
        let meta = Arc::new(Embedded::open(&World::real(&threads), &directory.join("meta"), None).expect("a new meta"));
        Place { directory, tls, threads, meta }
    }

    fn catalog(&self, directory: &str) -> Arc<Catalog> {
        let world = World::real(&self.threads);
        Catalog::open(world, &self.directory.join(directory), catalog::Settings::default()).expect("it opens")
    }

    async fn start(&self, node: u64, catalog: Arc<Catalog>) -> Result<TagTable, Error> {
        let settings = Settings {
            node: NodeId(node),
            identity: self.tls.clone().into(),
            protocol: protocol::Settings::default(),
            change_patience: Duration::from_secs(10),
            read_patience: Duration::from_secs(10),
        };
        let world = World::real(&self.threads);
        let runtime = tokio::runtime::Handle::current();
        let roster = Roster::follow(Arc::clone(&self.meta), &runtime).await.expect("meta answers");
        TagTable::start(settings, catalog, &roster, Arc::clone(&self.meta), world, runtime).await
    }

    /// A process takes a number; nobody hears it.
    async fn join(&self, node: u64, roles: Roles, directory: &str) {
        let (address, clients) = (format!("https://127.0.0.1:{node}"), String::new());
        let (region, rack) = (String::new(), String::new());
        let membership = Membership { node: Some(NodeId(node)), roles, address, clients, weight: 1, region, rack, laid: None };
        let (world, directory) = (World::real(&self.threads), self.directory.join(directory));
        Member::join(&membership, None, &*self.meta, &world, &directory).await.expect("the fleet takes it");
    }

    async fn admin(&self) -> Admin {
        let roster = Roster::follow(Arc::clone(&self.meta), &tokio::runtime::Handle::current()).await.expect("meta answers");
        let lines = Arc::new(Lines::new(roster, self.tls.clone()));
        Admin::new(Arc::clone(&self.meta), lines, World::real(&self.threads).clock)
    }

    fn registered(&self) -> Vec<u64> {
        self.entry().registered.iter().map(|id| id.node.0).collect()
    }

    fn entry(&self) -> TagEntry {
        let found = self.meta.get(&[entry_key()]).wait().expect("meta answers").expect("meta reads");
        tag_entry(&found.entries[0].as_ref().expect("the first scheduler wrote it").value).expect("it is ours")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.threads.stop();
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all::<&Path>(&self.directory));
        }
    }
}

fn tag(name: &str) -> TagDefinition {
    TagDefinition::new(name.to_owned(), Kind::F64)
}

fn outside(started: Result<TagTable, Error>) -> String {
    match started {
        Err(Error::Outside(text)) => text,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it became a scheduler"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_alone_leads_keeps_its_tags_and_refuses_what_can_not_be() {
    let place = Place::new("alone");
    let catalog = place.catalog("a");
    let table = place.start(7, Arc::clone(&catalog)).await.expect("the first scheduler");
    assert_eq!(table.create(vec![tag("a"), tag("b")]).await, Ok(0..2));
    assert_eq!(table.create(vec![tag("c"), tag("b")]).await, Err(Error::Catalog(catalog::Error::Exists("b".to_owned()))));
    assert_eq!(table.create(vec![tag("c")]).await, Ok(2..3));
    assert_eq!(table.change(vec![(TagId(1), tag("d"))]).await, Ok(()));
    assert_eq!(table.delete(vec![TagId(9)]).await, Err(Error::Catalog(catalog::Error::Unknown(TagId(9)))));
    assert_eq!(table.delete(vec![TagId(0)]).await, Ok(()));
    assert_eq!(catalog.create(vec![tag("e")]).wait().expect("answered"), Err(catalog::Error::Led));
    table.readable().await.expect("it leads");
    assert_eq!((catalog.find("d"), catalog.find("a"), catalog.len()), (Some(TagId(1)), None, 2));
    assert!(matches!(table.create(vec![tag(&"x".repeat(2_000))]).await, Err(Error::Catalog(catalog::Error::Invalid { .. }))));
    let many = (0..9_000)
        .map(|number| TagDefinition { description: "d".repeat(2_000) + &number.to_string(), ..tag(&number.to_string()) });
    assert!(matches!(table.create(many.collect()).await, Err(Error::TooLarge { .. })));
    let epoch = place.entry().epoch;
    assert!(deregister(&*place.meta, NodeId(7)).await.is_err(), "nobody else has the tags");
    // Another store of the same node has none.
    assert!(outside(place.start(7, place.catalog("b")).await).contains("another store"));
    // It comes back in an epoch of its own, with its tags.
    drop(table);
    let again = place.start(7, catalog).await;
    let again = again.expect("the same store");
    again.readable().await.expect("it leads again");
    assert!(place.entry().epoch > epoch);
    assert_eq!(again.create(vec![tag("f")]).await, Ok(3..4));
    assert_eq!(again.catalog().find("d"), Some(TagId(1)));
    // A second one is registered, unheard, and taken out again.
    let second = place.start(8, place.catalog("b")).await.expect("a second scheduler");
    assert_eq!(place.entry().registered.len(), 2);
    drop(second);
    deregister(&*place.meta, NodeId(8)).await.expect("it is taken out");
    deregister(&*place.meta, NodeId(8)).await.expect("asked twice does no harm");
    assert_eq!(place.entry().registered.len(), 1);
    assert_eq!(again.create(vec![tag("g")]).await, Ok(4..5));
}

/// Those that were removed, and those whose numbers others have, would be missed in every majority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_scheduler_counts_no_more() {
    let place = Place::new("removed");
    let table = place.start(7, place.catalog("a")).await.expect("the first scheduler");
    place.join(7, Roles::SCHEDULER, "a").await;
    let admin = place.admin().await;
    for (node, directory) in [(8, "b"), (9, "c"), (10, "d")] {
        place.join(node, Roles::SCHEDULER, directory).await;
        drop(place.start(node, place.catalog(directory)).await.expect("another scheduler"));
    }
    assert_eq!(place.registered(), [7, 8, 9, 10]);
    assert_eq!(admin.remove(NodeId(8)).await, Ok(true), "it is silent");
    assert_eq!(admin.remove(NodeId(8)).await, Ok(false), "asked twice does no harm");
    assert_eq!(place.registered(), [7, 9, 10]);
    // Taken off the list by a release that left it among the schedulers.
    place.meta.swap(Swap::new().delete(&node_key(NodeId(9)))).wait().expect("meta lives").expect("meta swaps");
    assert_eq!(admin.remove(NodeId(9)).await, Ok(true), "as a scheduler it was there");
    assert_eq!(place.registered(), [7, 10]);
    // Another process took its number, and holds data.
    place.join(10, Roles::DATA, "e").await;
    assert_eq!(place.registered(), [7]);
    assert_eq!(table.create(vec![tag("a")]).await, Ok(0..1), "it is more than half");
    let last = admin.remove(NodeId(7)).await;
    assert!(matches!(&last, Err(AdminError::State(text)) if text.contains("only scheduler")), "{last:?}");
    assert_eq!(place.registered(), [7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_majority_answers_that_a_change_is_in_doubt() {
    let place = Place::new("doubt");
    let table = place.start(7, place.catalog("a")).await.expect("the first scheduler");
    drop(place.start(8, place.catalog("b")).await.expect("a second one, which nobody hears"));
    let asked = tokio::time::timeout(Duration::from_secs(60), table.create(vec![tag("a")])).await;
    let answer = asked.expect("it is answered in the end");
    assert!(matches!(answer, Err(Error::InDoubt { .. })), "{answer:?}");
    // With a majority again it happened, or did not; what is asked for anew is answered.
    deregister(&*place.meta, NodeId(8)).await.expect("it is taken out");
    assert!(matches!(table.create(vec![tag("b")]).await, Ok(range) if range.end - range.start == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_alone_filled_is_no_fleets() {
    let place = Place::new("own");
    let catalog = place.catalog("a");
    catalog.create(vec![tag("a")]).wait().expect("answered").expect("made");
    assert_eq!(place.start(1, catalog).await.err(), Some(Error::Catalog(catalog::Error::Own)));
}
