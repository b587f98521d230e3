//! A fleet in this process: data nodes with a kernel each, their workers on loopback, and a coordinator over them.
//! Every slice has a primary and a backup; a write goes to both before it is answered.

use catalog::Catalog;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use kernel::{Committed, Deletion, Kernel, ReadingColumns, Snapshot, Write};
use parking_lot::Mutex;
use query::{
    Asker, Channels, Consistency, Engine, EngineSettings, Error, NodeReport, Owner, Route, SliceReader, Store, Tags, Wanted,
};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::transport::{Channel, Server};
use types::{
    CommitNumber, DistributionRule, Epoch, Kinds, Revision, Samples, Sequence, SliceId, TagId, TextColumn, TextSamples,
    Timestamp, Version,
};
use world::{Ticket, World};

/// A data node.
pub struct Node {
    pub name: String,
    pub url: String,
    pub kernel: Arc<Kernel>,
    /// Epochs of the slices that it may show.
    pub held: Mutex<BTreeMap<SliceId, Epoch>>,
    /// Statements that asked for a snapshot.
    pub asked: AtomicUsize,
    /// Whether it keeps what it says of a snapshot to itself for now, as a primary does that is handing a slice over.
    pub held_back: watch::Sender<bool>,
    runtime: Mutex<Option<Runtime>>,
}

impl Node {
    /// Ends its worker, as kill -9 would.
    pub fn kill(&self) {
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }

    /// Tasks that its worker has now.
    pub fn tasks(&self) -> usize {
        self.runtime.lock().as_ref().map_or(0, |runtime| runtime.metrics().num_alive_tasks())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Reader(Arc<Node>);

impl SliceReader for Reader {
    fn readable(&self, wanted: &Wanted) -> BoxFuture<'static, Result<Snapshot, Error>> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        assert!(!wanted.principal.is_empty());
        let snapshot = self.0.kernel.snapshot();
        let held = self.0.held.lock();
        let stale = wanted.slices.iter().find(|(slice, epoch)| held.get(slice) != Some(epoch));
        let stale = stale.map(|(slice, epoch)| Error::stale(format!("slice {slice} is not at epoch {epoch} here")));
        let mut held_back = self.0.held_back.subscribe();
        async move {
            let told = held_back.wait_for(|held_back| !held_back).await;
            assert!(told.is_ok(), "the node is there");
            stale.map_or(Ok(snapshot), Err)
        }
        .boxed()
    }
}

struct Map {
    revision: u64,
    /// Primary and backup of each slice, by number of node.
    owners: Vec<[usize; 2]>,
    epochs: Vec<Epoch>,
}

/// The fleet's store.
pub struct Router {
    pub nodes: Vec<Arc<Node>>,
    rule: DistributionRule,
    /// The slice map as it is, and as this coordinator knows it.
    map: Mutex<Map>,
    known: Mutex<Route>,
    pub refreshed: AtomicUsize,
    /// A slice that nobody leads until this coordinator has asked so often.
    unled: Mutex<Option<(SliceId, usize)>>,
    written: AtomicUsize,
}

impl Router {
    /// A slice's primary and backup change places, and this coordinator does not know yet.
    pub fn switch(&self, slice: SliceId) {
        let mut map = self.map.lock();
        map.revision += 1;
        let at = slice.0 as usize;
        map.owners[at].swap(0, 1);
        map.epochs[at] = Epoch(map.epochs[at].0 + 1);
        for node in map.owners[at] {
            self.nodes[node].held.lock().insert(slice, map.epochs[at]);
        }
    }

    /// Nobody leads a slice until this coordinator has asked for the map so often.
    pub fn unlead(&self, slice: SliceId, until: usize) {
        *self.unled.lock() = Some((slice, until));
        for node in &self.nodes {
            node.held.lock().remove(&slice);
        }
    }

    /// By the newest map: primaries, or backups of those that are avoided.
    fn routed(&self, avoided: &[String]) -> Result<Route, Error> {
        let map = self.map.lock();
        let mut owners: BTreeMap<usize, Vec<(SliceId, Epoch)>> = BTreeMap::new();
        for (at, replicas) in map.owners.iter().enumerate() {
            let chosen = replicas.iter().find(|node| !avoided.contains(&self.nodes[**node].url));
            let chosen = chosen.ok_or_else(|| Error::unavailable(format!("slice {at} has nobody left")))?;
            owners.entry(*chosen).or_default().push((SliceId(at as u32), map.epochs[at]));
        }
        let owner = |(node, slices): (usize, Vec<_>)| {
            let node = &self.nodes[node];
            Owner { node: node.name.clone(), url: node.url.clone(), slices }
        };
        Ok(Route { revision: Revision(map.revision), owners: owners.into_iter().map(owner).collect() })
    }

    fn replicas(&self, node: usize) -> Vec<SliceId> {
        let map = self.map.lock();
        (0..map.owners.len()).filter(|at| map.owners[*at].contains(&node)).map(|at| SliceId(at as u32)).collect()
    }

    fn primaries(&self, node: usize) -> Vec<SliceId> {
        let map = self.map.lock();
        (0..map.owners.len()).filter(|at| map.owners[*at][0] == node).map(|at| SliceId(at as u32)).collect()
    }

    fn committed(&self, rows: u64, asker: &Asker) -> Ticket<Result<Committed, Error>> {
        let sequence = Sequence(self.written.fetch_add(1, Ordering::Relaxed) as u64 + 1);
        asker.seen.note(SliceId(0), Version { epoch: Epoch(1), sequence });
        Ticket::ready(Ok(Committed { commit: CommitNumber(sequence.0), rows, duplicate: false }))
    }

    /// The newest samples at or before times, of each node's own slices.
    fn newest(&self, questions: &[(TagId, Timestamp)]) -> Result<ReadingColumns, Error> {
        let mut all = ReadingColumns {
            found: vec![false; questions.len()],
            times: vec![Timestamp::MIN; questions.len()],
            bits: vec![0; questions.len()],
            qualities: vec![192; questions.len()],
            texts: Vec::new(),
        };
        let mut texts: BTreeMap<u32, Arc<[u8]>> = BTreeMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let found = node.kernel.snapshot().only(self.primaries(number)).values_at(questions).map_err(Error::from)?;
            let mut of_node: HashMap<u32, Arc<[u8]>> = found.texts.into_iter().collect();
            for row in (0..questions.len()).filter(|row| found.found[*row]) {
                if all.found[row] && all.times[row] >= found.times[row] {
                    continue;
                }
                all.found[row] = true;
                (all.times[row], all.bits[row], all.qualities[row]) = (found.times[row], found.bits[row], found.qualities[row]);
                if let Some(text) = of_node.remove(&(row as u32)) {
                    texts.insert(row as u32, text);
                }
            }
        }
        all.texts = texts.into_iter().collect();
        Ok(all)
    }
}

fn waited(ticket: Ticket<Result<Committed, kernel::Error>>) -> Result<(), Error> {
    ticket.wait().unwrap().map(|_| ()).map_err(Error::from)
}

impl Store for Router {
    fn local(&self) -> Option<&Arc<Kernel>> {
        None
    }

    fn rule(&self) -> DistributionRule {
        self.rule
    }

    fn set_rule(&self, rule: DistributionRule) -> BoxFuture<'static, Result<(), Error>> {
        let set = self.nodes.iter().try_for_each(|node| node.kernel.set_rule(rule).map_err(Error::from));
        ready(set).boxed()
    }

    fn write(&self, write: Write<'_>, asker: &Asker) -> Ticket<Result<Committed, Error>> {
        let mut rows = 0;
        for (number, node) in self.nodes.iter().enumerate() {
            let slices = self.replicas(number);
            let ours = |tag: TagId, time: Timestamp| slices.contains(&self.rule.slice(tag, time));
            for batch in write.samples {
                let kept: Vec<usize> = (0..batch.len()).filter(|row| ours(batch.tags()[*row], batch.times()[*row])).collect();
                let tags: Vec<TagId> = kept.iter().map(|row| batch.tags()[*row]).collect();
                let times: Vec<Timestamp> = kept.iter().map(|row| batch.times()[*row]).collect();
                let bits: Vec<u64> = kept.iter().map(|row| batch.bits()[*row]).collect();
                let qualities: Vec<u8> = kept.iter().map(|row| batch.qualities().map_or(192, |all| all[*row])).collect();
                let part = Samples::new(&tags, &times, &bits, Some(&qualities)).unwrap();
                if let Err(error) = waited(node.kernel.write(Write { samples: &[part], ..Write::default() })) {
                    return Ticket::ready(Err(error));
                }
                rows += batch.len() as u64;
            }
            for batch in write.texts {
                let kept: Vec<usize> = (0..batch.len()).filter(|row| ours(batch.tags()[*row], batch.times()[*row])).collect();
                let tags: Vec<TagId> = kept.iter().map(|row| batch.tags()[*row]).collect();
                let times: Vec<Timestamp> = kept.iter().map(|row| batch.times()[*row]).collect();
                let qualities: Vec<u8> = kept.iter().map(|row| batch.qualities().map_or(192, |all| all[*row])).collect();
                let mut texts = TextColumn::new();
                kept.iter().for_each(|row| texts.push(batch.texts().get(*row)));
                let part = TextSamples::new(&tags, &times, &texts, Some(&qualities)).unwrap();
                if let Err(error) = waited(node.kernel.write(Write { texts: &[part], ..Write::default() })) {
                    return Ticket::ready(Err(error));
                }
                rows += batch.len() as u64;
            }
        }
        self.committed(rows / self.nodes.len() as u64, asker)
    }

    fn delete(&self, deletion: Deletion, asker: &Asker) -> Ticket<Result<Committed, Error>> {
        for node in &self.nodes {
            if let Err(error) = waited(node.kernel.delete(deletion.clone())) {
                return Ticket::ready(Err(error));
            }
        }
        self.committed(0, asker)
    }

    fn latest_many(&self, tags: Vec<TagId>, _: &Asker) -> BoxFuture<'static, Result<ReadingColumns, Error>> {
        let questions: Vec<_> = tags.into_iter().map(|tag| (tag, Timestamp::MAX)).collect();
        ready(self.newest(&questions)).boxed()
    }

    fn values_at(&self, questions: Vec<(TagId, Timestamp)>, _: &Asker) -> BoxFuture<'static, Result<ReadingColumns, Error>> {
        ready(self.newest(&questions)).boxed()
    }

    fn route(&self, slices: &[SliceId], asker: &Asker, avoided: &[String]) -> BoxFuture<'static, Result<Route, Error>> {
        assert!(slices.is_sorted());
        let fresh = avoided.iter().any(|url| self.known.lock().owners.iter().any(|owner| owner.url == *url));
        let whole = if fresh { self.routed(avoided) } else { Ok(self.known.lock().clone()) };
        let wanted = |route: Route| {
            let kept = |mut owner: Owner| {
                owner.slices.retain(|(slice, _)| slices.contains(slice));
                (!owner.slices.is_empty()).then_some(owner)
            };
            Route { owners: route.owners.into_iter().filter_map(kept).collect(), ..route }
        };
        assert!(matches!(asker.consistency, Consistency::Primary | Consistency::Session));
        ready(whole.map(wanted)).boxed()
    }

    fn refresh(&self) -> BoxFuture<'static, Result<(), Error>> {
        let asked = self.refreshed.fetch_add(1, Ordering::Relaxed) + 1;
        let led = self.unled.lock().take_if(|(_, until)| *until <= asked);
        if let Some((slice, _)) = led {
            self.switch(slice);
        }
        let fresh = self.routed(&[]).map(|route| *self.known.lock() = route);
        ready(fresh).boxed()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn reports(&self) -> BoxFuture<'static, Result<Vec<NodeReport>, Error>> {
        let report = |node: &Arc<Node>| NodeReport {
            node: node.name.clone(),
            period_us: node.kernel.settings().period_us,
            retention: node.kernel.settings().retention,
            status: node.kernel.status(),
            slices: node.kernel.slices(),
            file_groups: node.kernel.file_groups(),
            files: node.kernel.files(),
        };
        ready(Ok(self.nodes.iter().map(report).collect())).boxed()
    }

    fn flush(&self) -> Ticket<Result<(), Error>> {
        let done = self.nodes.iter().try_for_each(|node| node.kernel.flush().wait().unwrap());
        Ticket::ready(done.map_err(Error::from))
    }

    fn merge(&self) -> Ticket<Result<(), Error>> {
        let done = self.nodes.iter().try_for_each(|node| node.kernel.merge().wait().unwrap());
        Ticket::ready(done.map_err(Error::from))
    }

    fn close(&self) -> Ticket<Result<(), Error>> {
        Ticket::ready(Ok(()))
    }
}

/// Plain connections, kept.
#[derive(Default)]
pub struct Plain(Arc<tokio::sync::Mutex<HashMap<String, Channel>>>);

impl Channels for Plain {
    fn channel(&self, url: &str) -> BoxFuture<'static, Result<Channel, Error>> {
        let (known, url) = (Arc::clone(&self.0), url.to_owned());
        async move {
            let mut known = known.lock().await;
            if let Some(channel) = known.get(&url) {
                return Ok(channel.clone());
            }
            let endpoint = Channel::from_shared(url.clone()).map_err(|cause| Error::unreachable(cause.to_string()))?;
            let channel = endpoint.connect().await.map_err(|cause| Error::unreachable(cause.to_string()))?;
            known.insert(url, channel.clone());
            Ok(channel)
        }
        .boxed()
    }
}

fn serve(runtime: &Runtime, routes: tonic::service::Routes) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        Server::builder().add_routes(routes).serve_with_incoming(incoming).await.unwrap();
    });
    format!("http://{address}")
}

/// A coordinator and its store, over so many nodes with a rule.
pub fn fleet(
    world: &World,
    dir: &Path,
    catalog: &Arc<Catalog>,
    rule: DistributionRule,
    count: usize,
) -> (Arc<Engine>, Arc<Router>) {
    let settings = kernel::Settings { rule, segment_bytes: 32 << 20, buffer_bytes_max: 64 << 20, ..kernel::Settings::default() };
    let channels: Arc<dyn Channels> = Arc::new(Plain::default());
    let mut engine = EngineSettings::new(Arc::clone(&world.clock));
    engine.spill_dir = Some(dir.join("spill"));
    engine.channels = Some(Arc::clone(&channels));
    let owners: Vec<[usize; 2]> = (0..rule.buckets as usize).map(|slice| [slice % count, (slice + 1) % count]).collect();
    let mut nodes = Vec::new();
    for number in 0..count {
        let store = dir.join(format!("node-{number}"));
        world.disk.make_dir(&store).unwrap();
        let kinds: Arc<dyn Kinds> = Arc::clone(catalog) as Arc<dyn Kinds>;
        let kernel = Kernel::open(world.clone(), &store, settings.clone(), kinds).unwrap();
        let held = owners.iter().enumerate().filter(|(_, owners)| owners.contains(&number));
        let held = held.map(|(slice, _)| (SliceId(slice as u32), Epoch(1))).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let node = Arc::new_cyclic(|itself| {
            let reader = Arc::new(Late(itself.clone()));
            let routes = query::worker(reader, Arc::clone(&channels), &engine).unwrap();
            let url = serve(&runtime, routes);
            let (name, held) = (format!("node-{number}"), Mutex::new(held));
            let (asked, held_back) = (AtomicUsize::new(0), watch::Sender::new(false));
            Node { name, url, kernel, held, asked, held_back, runtime: Mutex::new(Some(runtime)) }
        });
        nodes.push(node);
    }
    let epochs = vec![Epoch(1); rule.buckets as usize];
    let map = Mutex::new(Map { revision: 1, owners, epochs });
    let (refreshed, written) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let router = Router { nodes, rule, map, known: Mutex::default(), refreshed, unled: Mutex::default(), written };
    *router.known.lock() = router.routed(&[]).unwrap();
    let router = Arc::new(router);
    let tags = Arc::clone(catalog) as Arc<dyn Tags>;
    let engine = Engine::new(Arc::clone(&router) as Arc<dyn Store>, tags, Arc::clone(catalog), engine).unwrap();
    (engine, router)
}

/// A reader of a node that is being made.
struct Late(std::sync::Weak<Node>);

impl SliceReader for Late {
    fn readable(&self, wanted: &Wanted) -> BoxFuture<'static, Result<Snapshot, Error>> {
        match self.0.upgrade() {
            Some(node) => Reader(node).readable(wanted),
            None => ready(Err(Error::unavailable("the node is not open"))).boxed(),
        }
    }
}
