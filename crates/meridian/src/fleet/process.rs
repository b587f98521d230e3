//! The roles of a process, put together: what each needs, in the order in which it can be had.
//!
//! ```text
//!   meta ──> who there is ──> the fleet's rule ──┬─ data:      book of kinds ──> kernel ──┐
//!                                                └─ scheduler: catalog ───────────────────┴─> its number ──> roles ──> door
//! ```
//! Promises: the door serves before the process says that it is ready; a store that failed ends the process with exit status 75.
//! May not know how the roles do what they do.

use super::admin::Operator;
use super::archiver::{Archiver, Plan};
use super::backups::{self, FleetBackups};
use super::certificates::Certificates;
use super::meta::{self, Opened};
use super::opening::opened;
use super::placing;
use super::quotas::FleetQuotas;
use super::reader::Reader;
use super::store::FleetStore;
use super::tags::{CatalogKinds, FleetTags};
use crate::Error;
use crate::config::{Config, Loaded};
use crate::serve;
use ::meta::Meta;
use backup::Restored;
use catalog::Catalog;
use cluster::data::{Answers, DataNode, DataService};
use cluster::door::Door;
use cluster::fleet::{FleetRecord, FleetRule, Laid, Lines, Member, Membership, Roles, Roster};
use cluster::kinds::{Book, Keeper, KindsService};
use cluster::lone::MetaService;
use cluster::manager::{Admin, Capacity, ManagerNode, ManagerService, Placement, Quotas, Reporter};
use cluster::router::{self, Router};
use cluster::tags::TagTable;
use kernel::Kernel;
use protocol::Policy;
use query::Engine;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use types::SliceId;
use world::World;

/// How often something that is not there yet is looked for.
const PAUSE: Duration = Duration::from_millis(250);
/// How often it is said that something is waited for.
const SAID_EVERY: u32 = 40;
/// How long others may take to fill a lost book of kinds.
const BOOK_PATIENCE: Duration = Duration::from_secs(300);
/// How long a change of tags is asked for again, and a read waits for its scheduler.
const TAGS_PATIENCE: Duration = Duration::from_secs(120);
const NAMES_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of writes without a client's number that a scheduler has under way.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// How long a process that ends waits for its slices to change hands.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(5);
/// How often a data node looks for samples that are older than `retention`.
const RETENTION_LOOKS_EVERY: Duration = Duration::from_secs(60);
/// What the program ends with when a store must be opened again: "try again" of sysexits.h.
const EXIT_STORE: i32 = 75;

/// A process of a fleet that runs.
pub struct Process {
    pub member: Member,
    pub address: SocketAddr,
    /// What clients' doors stand over, in a scheduler; taken once.
    pub engine: Option<Arc<Engine>>,
    pub meta: Arc<dyn Meta>,
    /// Tells managers that it is there, until it is dropped.
    pub reporter: Reporter,
    membership: Membership,
    world: World,
    dir: PathBuf,
    stop_max: Duration,
    data: Option<Arc<DataNode>>,
    tags: Option<(Arc<TagTable>, Arc<Catalog>)>,
    archiver: Option<Archiver>,
    stop: Option<oneshot::Sender<()>>,
    door: JoinHandle<Result<(), ::meta::Error>>,
    // What ends when it is dropped.
    _manager: Option<ManagerNode>,
}

/// What all parts of a start have in hand.
struct Starting<'a> {
    loaded: &'a Loaded,
    dir: &'a Path,
    world: &'a World,
    runtime: &'a Handle,
    /// Where values are read for others: its threads may wait for the disk.
    readers: &'a Handle,
    meta: Arc<dyn Meta>,
    lines: Arc<Lines>,
    admin: Arc<Admin>,
    certificates: &'a Certificates,
    /// What the process's directory was laid of, where it was of a backup.
    restored: Option<Restored>,
}

/// What holds for the fleet, as it was when this process began; the rule is followed.
struct Fleet {
    record: FleetRecord,
    rule: Arc<FleetRule>,
}

/// A data node's stores.
struct Stores {
    book: Arc<Book>,
    keeper: Arc<Keeper>,
    kernel: Arc<Kernel>,
}

impl Process {
    /// Starts a process's roles.
    ///
    /// # Errors
    /// `Error::Fleet`, `Error::Usage`, `Error::Open`, `Error::System`.
    pub async fn start(
        loaded: &Loaded,
        roles: Roles,
        certificates: &Certificates,
        listen: SocketAddr,
        world: &World,
        (runtime, readers): (&Handle, &Handle),
    ) -> Result<Process, Error> {
        let config = &loaded.config;
        let dir = config.dir.as_deref().ok_or_else(|| Error::Usage("serve needs --dir DIR".to_owned()))?;
        let listener = TcpListener::bind(listen).await.map_err(Error::system("listening for the fleet's other processes"))?;
        let bound = listener.local_addr().map_err(Error::system("listening for the fleet's other processes"))?;
        let Opened { meta, is_own } = meta::open(config, roles.manager, dir, certificates, world).await?;
        let roster = Roster::follow(Arc::clone(&meta), runtime).await.map_err(fleet("reading who there is"))?;
        let lines = Arc::new(Lines::new(Arc::clone(&roster), certificates.own().clone()));
        let admin = Arc::new(Admin::new(Arc::clone(&meta), Arc::clone(&lines), Arc::clone(&world.clock)));
        let restored = backup::restored(&*world.disk, dir).map_err(|fault| serve::open_failed(dir, fault.to_string(), false))?;
        let of = (Arc::clone(&meta), Arc::clone(&lines));
        let starting = Starting { loaded, dir, world, runtime, readers, meta: of.0, lines: of.1, admin, certificates, restored };
        let known = starting.fleet(roles.manager).await?;
        let stores = if roles.data { Some(starting.stores(&known).await?) } else { None };
        let catalog = if roles.scheduler { Some(starting.catalog().await?) } else { None };
        let membership = membership(config, roles, bound, starting.laid(stores.as_ref()));
        let store = stores.as_ref().map(|stores| stores.kernel.store());
        let joined = Member::join(&membership, store, &*meta, world, dir).await;
        let member = joined.map_err(|fault| Error::Fleet(fault.to_string()))?;
        let (mut engine, mut tags, mut manager, mut archiver) = (None, None, None, None);
        let book = stores.as_ref().map(|stores| Arc::clone(&stores.book));
        let (door, data) = starting.data_door(member, stores, &known.rule, &roster)?;
        let mut door = answering(door, is_own.then_some(&meta), (catalog.as_ref(), book));
        if let Some(catalog) = catalog {
            let (table, made, backups) = starting.scheduler(member, Arc::clone(&catalog), &known.rule).await?;
            archiver = Plan::of(config, roles)?.map(|plan| backups.archive(plan, member.node, runtime));
            let service = table.service(door.lifeline());
            door = door.with(service);
            engine = Some(made);
            tags = Some((table, catalog));
        }
        if roles.manager {
            let node = starting.manager(member, &known).await?;
            door = door.with(ManagerService::new(&node));
            manager = Some(node);
        }
        let (stop, stopped) = oneshot::channel::<()>();
        // Statements that read here go on meanwhile, as a scheduler's own do.
        let door = door.lingering(config.stop_max);
        let serving = runtime.spawn(door.serve(listener, async { drop(stopped.await) }));
        let clock = Arc::clone(&world.clock);
        let reporter = Reporter::start(member, data.clone(), lines, Capacity::default(), clock, runtime);
        Ok(Process {
            member,
            address: bound,
            engine,
            membership,
            meta,
            reporter,
            world: world.clone(),
            dir: dir.to_path_buf(),
            stop_max: config.stop_max,
            data,
            tags,
            archiver,
            stop: Some(stop),
            door: serving,
            _manager: manager,
        })
    }

    /// Tells the fleet where clients reach this process, which is known once their door is open.
    ///
    /// # Errors
    /// `Error::Fleet`.
    pub async fn announce(&mut self, clients: SocketAddr) -> Result<(), Error> {
        self.membership.clients = clients.to_string();
        let told = Member::join(&self.membership, Some(self.member.store), &*self.meta, &self.world, &self.dir).await;
        told.map(drop).map_err(|fault| Error::Fleet(fault.to_string()))
    }

    /// Ends the door and the stores; what was answered is durable.
    ///
    /// # Errors
    /// `Error::Fleet` where a store could not be closed cleanly.
    pub async fn stop(mut self) -> Result<(), Error> {
        if let Some(archiver) = self.archiver.take() {
            archiver.stop().await;
        }
        if let Some(data) = &self.data {
            let left = data.hand_over(HAND_OVER_PATIENCE).await;
            tracing::info!(left, "slices that were led here are handed over");
        }
        drop(self.stop.take());
        let served = (&mut self.door).await.map_err(|fault| Error::Fleet(fault.to_string()))?;
        served.map_err(fleet("closing the door"))?;
        let mut tickets = Vec::new();
        if let Some(data) = self.data.take() {
            data.stop().await;
            flush(data.kernel(), self.stop_max).await;
            tickets.push(told(data.kernel().close()));
        }
        if let Some((table, catalog)) = self.tags.take() {
            table.stop().await;
            tickets.push(told(catalog.close()));
        }
        for ticket in tickets {
            let closed = ticket.await.map_err(|_| Error::Fleet("a store was given up".to_owned()))?;
            closed.map_err(Error::Fleet)?;
        }
        Ok(())
    }
}

/// Flushes buffers, so that the next start has little to replay; gives up when it takes too long.
async fn flush(kernel: &Kernel, limit: Duration) {
    if limit.is_zero() {
        return;
    }
    match tokio::time::timeout(limit, told(kernel.flush())).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(cause))) => tracing::warn!(%cause, "buffers were not flushed; the log holds what they hold"),
        Ok(Err(_)) | Err(_) => tracing::warn!("buffers are not all flushed; the next start replays the rest from the log"),
    }
}

/// The end of a ticket, in words, without blocking a thread.
fn told<E: std::fmt::Display + Send + 'static>(ticket: world::Ticket<Result<(), E>>) -> oneshot::Receiver<Result<(), String>> {
    let (tell, told) = oneshot::channel();
    ticket.on_done(move |done| {
        let outcome = done.map_err(|gone| gone.to_string()).and_then(|done| done.map_err(|fault| fault.to_string()));
        // Whoever waited may have gone.
        drop(tell.send(outcome));
    });
    told
}

fn fleet<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |fault| Error::Fleet(format!("{doing}: {fault}"))
}

fn membership(config: &Config, roles: Roles, bound: SocketAddr, laid: Option<Laid>) -> Membership {
    let address = match config.fleet_address.as_str() {
        "auto" | "" => bound.to_string(),
        // Port 0 listens anywhere; others must know where.
        given if given.ends_with(":0") => format!("{}:{}", given.trim_end_matches(":0"), bound.port()),
        given => given.to_owned(),
    };
    Membership {
        node: config.node.0.map(|node| types::NodeId(node.into())),
        roles,
        address: format!("https://{address}"),
        clients: String::new(),
        weight: config.weight,
        region: config.locality.region.clone(),
        rack: config.locality.zone.clone(),
        laid,
    }
}

/// The door, with what others ask of any process: of its own meta, and of the kinds of tags.
fn answering(door: Door, meta: Option<&Arc<dyn Meta>>, kinds: (Option<&Arc<Catalog>>, Option<Arc<Book>>)) -> Door {
    let door = match meta {
        Some(meta) => {
            let service = MetaService::new(Arc::clone(meta), door.lifeline());
            door.with(service)
        }
        None => door,
    };
    match kinds {
        (Some(catalog), _) => door.with(KindsService::new(Arc::new(CatalogKinds(Arc::clone(catalog))))),
        (None, Some(book)) => door.with(KindsService::new(book)),
        (None, None) => door,
    }
}

/// A store that failed must be opened again: the process ends, and whoever watches it starts it anew.
async fn end_with(what: &'static str, failed: impl Future<Output = String>) {
    let fault = failed.await;
    tracing::error!(fault, "{what} failed; the process ends, start it again");
    std::process::exit(EXIT_STORE);
}

impl Starting<'_> {
    fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// The fleet's rule, followed from now on, and what else holds for all.
    async fn fleet(&self, manages: bool) -> Result<Fleet, Error> {
        let record = self.record(manages).await?;
        let rule = FleetRule::follow(Arc::clone(&self.meta), self.runtime).await;
        Ok(Fleet { record, rule: rule.map_err(fleet("reading the fleet's rule"))? })
    }

    /// What holds for the fleet: made by a manager where there is none, waited for by others.
    async fn record(&self, manages: bool) -> Result<FleetRecord, Error> {
        let (admin, config) = (&self.admin, self.config());
        let begins = self.restored.as_ref();
        let own = FleetRecord {
            rule: begins.map_or(config.rule(), |restored| restored.rule.into()),
            period_us: begins.map_or(config.kernel().period_us, |restored| restored.period_us),
            copies: config.copies,
            policy: Policy { mode: config.replication.mode(), min_in_sync: 1 },
        };
        let mut tries = 0;
        loop {
            match admin.fleet().await {
                Ok(Some(record)) => {
                    if manages && record.rule != own.rule {
                        tracing::warn!(
                            "the fleet keeps the distribution rule it was made with; the rule_* settings do not count"
                        );
                    }
                    return Ok(record);
                }
                Ok(None) if manages => match admin.init(own).await {
                    Ok(()) => tracing::info!(slices = own.rule.buckets, copies = own.copies, "the fleet is made"),
                    // Another manager was first, or meta is slow: what stands there is read again.
                    Err(fault) => tracing::info!(%fault, "the fleet is not made yet"),
                },
                Ok(None) if tries % SAID_EVERY == 0 => tracing::info!("waits for a manager to make the fleet"),
                Ok(None) => {}
                Err(fault) if fault.can_retry() => tracing::info!(%fault, "reading the fleet's rule"),
                Err(fault) => return Err(Error::Fleet(fault.to_string())),
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn open_failed(&self, problem: String, damaged: bool) -> Error {
        serve::open_failed(self.dir, problem, damaged)
    }

    /// A data node's book and kernel.
    async fn stores(&self, known: &Fleet) -> Result<Stores, Error> {
        let book = Book::open(&*self.world.disk, self.dir).map_err(|fault| self.open_failed(fault.to_string(), false))?;
        let book = Arc::new(book);
        let keeper = Arc::new(Keeper::new(Arc::clone(&book), Arc::clone(&self.lines), Arc::clone(&self.world.clock)));
        if book.was_lost() {
            tracing::warn!("the book of kinds was lost or damaged; it is filled from other processes");
            keeper.fill(BOOK_PATIENCE).await.map_err(fleet("filling the book of kinds"))?;
        }
        let mut settings = self.config().kernel();
        let rule = known.rule.rule();
        (settings.rule, settings.period_us) = (rule, known.record.period_us);
        let (world, dir, kinds) = (self.world.clone(), self.dir.to_path_buf(), Arc::clone(&book));
        let opened = opened(move || Kernel::open(world, &dir, settings, kinds)).await?;
        let kernel = opened.map_err(|fault| self.open_failed(fault.to_string(), matches!(fault, kernel::Error::Damaged(_))))?;
        // It may have been set while this node was away.
        kernel.set_rule(rule).map_err(|_| {
            self.open_failed("its store was made with another distribution rule than this fleet's".to_owned(), false)
        })?;
        Ok(Stores { book, keeper, kernel })
    }

    /// What managers are told of a data node that begins with a backup.
    fn laid(&self, stores: Option<&Stores>) -> Option<Laid> {
        let (restored, stores) = (self.restored.as_ref()?, stores?);
        let here = stores.kernel.led_slices().into_iter().map(|led| {
            let recovered = led.recovered();
            (led.id(), recovered.epoch.max(recovered.history.last().epoch))
        });
        let written = restored.slices.iter().copied().map(SliceId).collect();
        Some(Laid { backup: restored.backup.clone(), written, here: here.collect() })
    }

    async fn catalog(&self) -> Result<Arc<Catalog>, Error> {
        let (world, dir) = (self.world.clone(), self.dir.join("catalog"));
        let opened = opened(move || Catalog::open(world, &dir, catalog::Settings::default())).await?;
        opened.map_err(|fault| self.open_failed(fault.to_string(), matches!(fault, catalog::Error::Damaged(_))))
    }

    fn data(&self, member: Member, stores: Stores, rule: &Arc<FleetRule>, roster: &Arc<Roster>) -> Result<Arc<DataNode>, Error> {
        let settings = cluster::data::Settings {
            member,
            rule: Arc::clone(rule),
            identity: self.certificates.own().clone(),
            protocol: protocol::Settings::default(),
            copy_bytes_per_s: self.config().copy_bytes_max.0,
            retention_looks_every: RETENTION_LOOKS_EVERY,
        };
        let (meta, world) = (Arc::clone(&self.meta), self.world.clone());
        let started = DataNode::start(settings, stores.kernel, stores.keeper, roster, meta, world, self.runtime.clone());
        let node = Arc::new(started.map_err(fleet("starting the data node"))?);
        let of = Arc::clone(&node);
        self.runtime.spawn(async move { end_with("a slice's store", of.failed()).await });
        Ok(node)
    }

    /// The door, and a data node behind it where the process is one.
    fn data_door(
        &self,
        member: Member,
        stores: Option<Stores>,
        rule: &Arc<FleetRule>,
        roster: &Arc<Roster>,
    ) -> Result<(Door, Option<Arc<DataNode>>), Error> {
        let Some(stores) = stores else { return Ok((Door::new(self.certificates.own().clone()), None)) };
        let node = self.data(member, stores, rule, roster)?;
        let worker = query::worker(Arc::new(Reader(Arc::clone(&node))), self.channels(), &self.engine_settings()?);
        let door = Door::over(self.certificates.own().clone(), worker.map_err(|fault| Error::Fleet(fault.to_string()))?);
        let service = DataService::new(Arc::clone(&node), door.lifeline());
        let reads = Answers::reads(Arc::clone(&node), door.lifeline(), self.readers.clone());
        let writes = Answers::writes(Arc::clone(&node), door.lifeline(), self.runtime.clone());
        let backups = backups::service(&node, self.world, self.dir);
        Ok((door.with(service).with(backups).with_answers(reads).with_answers(writes), Some(node)))
    }

    async fn manager(&self, member: Member, known: &Fleet) -> Result<ManagerNode, Error> {
        let settings = cluster::manager::Settings::default();
        let (meta, lines) = (Arc::clone(&self.meta), Arc::clone(&self.lines));
        let started = ManagerNode::start(settings, member.node, meta, lines, self.world, self.runtime).await;
        let nodes_min = self.config().data_nodes_min.0.unwrap_or(known.record.copies) as usize;
        let how = if self.restored.is_some() { Placement::Laid } else { Placement::Modulus };
        self.runtime.spawn(placing::place(Arc::clone(&self.admin), Arc::clone(&known.rule), (nodes_min, how)));
        started.map_err(fleet("starting the manager"))
    }

    fn channels(&self) -> Arc<dyn query::Channels> {
        Arc::new(super::store::LineChannels(Arc::clone(&self.lines)))
    }

    fn engine_settings(&self) -> Result<query::EngineSettings, Error> {
        let settings = serve::engine_settings(self.loaded, self.dir, self.world)?;
        Ok(query::EngineSettings { channels: Some(self.channels()), ..settings })
    }

    async fn scheduler(
        &self,
        member: Member,
        catalog: Arc<Catalog>,
        rule: &Arc<FleetRule>,
    ) -> Result<(Arc<TagTable>, Arc<Engine>, Arc<FleetBackups>), Error> {
        let settings = cluster::tags::Settings {
            node: member.node,
            identity: self.certificates.own().clone(),
            protocol: protocol::Settings::default(),
            change_patience: TAGS_PATIENCE,
            read_patience: NAMES_PATIENCE,
        };
        let (meta, world) = (Arc::clone(&self.meta), self.world.clone());
        let roster = self.lines.roster();
        let started = TagTable::start(settings, Arc::clone(&catalog), roster, meta, world, self.runtime.clone()).await;
        let table = Arc::new(started.map_err(fleet("starting the tag table"))?);
        let of = Arc::clone(&table);
        self.runtime.spawn(async move { end_with("the tag table's store", of.failed()).await });
        let settings = router::Settings {
            me: member.node,
            rule: Arc::clone(rule),
            patience: self.config().fleet_patience,
            waiting_bytes_max: WAITING_BYTES_MAX,
        };
        let (meta, lines, random) = (Arc::clone(&self.meta), Arc::clone(&self.lines), Arc::clone(&self.world.random));
        let router = Router::start(settings, meta, lines, random, self.runtime.clone()).await;
        let router = router.map_err(fleet("reading the slice map"))?;
        self.runtime.spawn(placing::hear_busyness(Arc::clone(&self.admin), Arc::downgrade(&router)));
        let (lines, admin) = (Arc::clone(&self.lines), Arc::clone(&self.admin));
        let store = FleetStore::new(router, lines, admin, Arc::clone(&catalog), self.runtime.clone());
        let tags = FleetTags::new(Arc::clone(&table), Arc::clone(rule), self.runtime.clone());
        tags.settle_rule().await.map_err(|fault| Error::Fleet(fault.to_string()))?;
        let (lines, clock) = (Arc::clone(&self.lines), Arc::clone(&self.world.clock));
        let quotas = Quotas::start(member, Arc::clone(&lines), clock, self.runtime);
        let of = (lines, Arc::clone(&self.admin));
        let backups = FleetBackups::new(Arc::clone(&self.meta), of, Arc::clone(&table), self.world);
        let settings = query::EngineSettings {
            quotas: Some(Arc::new(FleetQuotas(quotas))),
            operator: Some(Arc::new(Operator::new(Arc::clone(&self.admin), Arc::clone(&table), Arc::clone(&backups)))),
            ..self.engine_settings()?
        };
        let engine = Engine::new(Arc::new(store), Arc::new(tags), catalog, settings);
        Ok((table, engine.map_err(|fault| self.open_failed(fault.to_string(), false))?, backups))
    }
}
