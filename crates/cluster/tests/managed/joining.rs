//! How a process takes its number: once, the lowest free one, its own again, and nobody else's.

use crate::directory::Directory;
use cluster::fleet::{JoinError, Member, Membership, Roles, node_key, node_record, node_value};
use meta::embedded::Embedded;
use meta::{Is, Meta, Swap, Swapped};
use protocol::membership::NodeState;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use types::{NodeId, StoreId};
use world::{ThreadCounts, Threads, World};

fn membership(node: Option<u64>, port: u16) -> Membership {
    Membership {
        node: node.map(NodeId),
        roles: Roles::DATA,
        address: format!("https://127.0.0.1:{port}"),
        clients: String::new(),
        weight: 3,
        region: "north".to_owned(),
        rack: "7".to_owned(),
        laid: None,
    }
}

struct Ground {
    directory: Directory,
    world: World,
    meta: Arc<dyn Meta>,
    threads: Arc<Threads>,
}

impl Ground {
    fn new() -> Ground {
        let (directory, threads) = (Directory::new(), Threads::start(ThreadCounts::default()));
        let world = World::real(&threads);
        let meta = Arc::new(Embedded::open(&world, &directory.path().join("meta"), None).expect("a new meta"));
        Ground { directory, world, meta, threads }
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn join(&self, membership: &Membership, store: Option<u128>, name: &str) -> Result<Member, JoinError> {
        Member::join(membership, store.map(StoreId), &*self.meta, &self.world, &self.directory(name)).await
    }

    /// A manager says of a node what its state is.
    fn set_state(&self, node: u64, state: NodeState) {
        let key = node_key(NodeId(node));
        let found = self.meta.get(std::slice::from_ref(&key)).wait().expect("meta lives").expect("meta reads");
        let entry = found.entries[0].clone().expect("it joined");
        let mut record = node_record(&entry.value).expect("of this release");
        record.entry.state = state;
        let swap = Swap::new().when(&key, Is::Modified(entry.modified)).put(&key, node_value(&record));
        let swapped = self.meta.swap(swap).wait().expect("meta lives").expect("meta swaps");
        assert!(matches!(swapped, Swapped::Done { .. }));
    }
}

#[test]
fn numbers_are_taken_once_and_remembered() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let ground = Ground::new();
    runtime.block_on(async {
        let names: Vec<String> = (0..4).map(|i| format!("p{i}")).collect();
        let any = |i: u16| membership(None, 1_000 + i);
        let (a, b, c, d) = (any(0), any(1), any(2), any(3));
        let joined = tokio::join!(
            ground.join(&a, None, &names[0]),
            ground.join(&b, None, &names[1]),
            ground.join(&c, Some(7), &names[2]),
            ground.join(&d, Some(8), &names[3]),
        );
        let joined = [joined.0, joined.1, joined.2, joined.3].map(|member| member.expect("it joins"));
        assert_eq!(joined.iter().map(|member| member.node.0).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2, 3]));
        assert_eq!((joined[2].store, joined[3].store), (StoreId(7), StoreId(8)));
        for (i, member) in joined.iter().enumerate() {
            let again = ground.join(&any(40 + i as u16), (i > 1).then_some(member.store.0), &names[i]).await;
            assert_eq!(again.expect("it joins"), *member, "the same number and identity, at another address");
        }
        // Its file is gone, its store is not: it is known by that.
        std::fs::remove_file(ground.directory("p2/member")).expect("it was there");
        assert_eq!(ground.join(&c, Some(7), "p2").await.expect("it joins"), joined[2]);
        let other = ground.join(&membership(Some(9), 1), Some(7), "p2").await;
        assert!(matches!(other, Err(JoinError::OtherNumber { given: NodeId(9), .. })), "{other:?}");
        std::fs::write(ground.directory("p2/member"), b"nothing of ours").expect("it is written");
        let damaged = ground.join(&c, Some(7), "p2").await;
        assert!(matches!(damaged, Err(JoinError::Damaged { .. })), "{damaged:?}");
        let elsewhere = Ground::new();
        let dir = ground.directory("p0");
        let foreign = Member::join(&a, None, &*elsewhere.meta, &elsewhere.world, &dir).await;
        assert!(matches!(foreign, Err(JoinError::Foreign { .. })), "{foreign:?}");
        elsewhere.threads.stop();
    });
    ground.threads.stop();
}

#[test]
fn a_living_process_keeps_its_number() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let ground = Ground::new();
    runtime.block_on(async {
        let own = membership(Some(5), 1_000);
        ground.join(&own, Some(1), "own").await.expect("it joins");
        ground.set_state(5, NodeState::Normal);
        let (another, wiped) = (membership(Some(5), 1_001), membership(Some(5), 1_000));
        let refused = ground.join(&another, Some(2), "another").await;
        assert!(matches!(refused, Err(JoinError::InUse { node: NodeId(5), .. })), "{refused:?}");
        // Its disk was wiped: it is reached where it was.
        let member = ground.join(&wiped, Some(3), "wiped").await.expect("it joins");
        assert_eq!(member, Member { node: NodeId(5), store: StoreId(3) });
        ground.set_state(5, NodeState::Suspect);
        let moved = ground.join(&another, Some(2), "another").await.expect("nobody is there");
        assert_eq!(moved.store, StoreId(2), "a silent one's number is taken by whoever is given it");
    });
    ground.threads.stop();
}
