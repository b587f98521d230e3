//! Where samples lie, for SQL: on the data nodes of a fleet, reached through a scheduler's router.
//!
//! Promises: those of `query::Store`; an error says which slice, why, and whether the same statement may be tried again.

use catalog::Catalog;
use cluster::data::Refused;
use cluster::fleet::{Lines, Roles};
use cluster::manager::Admin;
use cluster::router::{Found, Freshness, RouteError, Router};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use kernel::{Committed, Deletion, Kernel, ReadingColumns, Write};
use query::{Asker, Consistency, Error, NodeReport, Owner, Report, Route, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use types::{CommitNumber, DistributionRule, NodeId, SliceId, TagId, Timestamp, Version};
use world::Ticket;

/// How long a node may take to say how it is.
const REPORT_LIMIT: Duration = Duration::from_secs(2);
/// How long a node may take to flush or merge what it has.
const MAINTENANCE_LIMIT: Duration = Duration::from_secs(600);

/// Channels to data nodes' workers: those of the fleet, by address.
pub struct LineChannels(pub Arc<Lines>);

impl query::Channels for LineChannels {
    fn channel(&self, url: &str) -> BoxFuture<'static, Result<tonic::transport::Channel, Error>> {
        let roster = self.0.roster();
        let node = roster.all().into_keys().find(|node| roster.address(*node).as_deref() == Some(url));
        let made = match node {
            Some(node) => self.0.channel(node).map_err(|status| Error::unreachable(format!("node {node}: {}", status.message()))),
            None => Err(Error::stale(format!("no process of the fleet is reached at {url} any more"))),
        };
        futures::future::ready(made).boxed()
    }
}

/// The store of a scheduler.
pub struct FleetStore {
    router: Arc<Router>,
    lines: Arc<Lines>,
    /// The scheduler's tag table: how tags are thinned goes along with what is written.
    catalog: Arc<Catalog>,
    admin: Arc<Admin>,
    runtime: Handle,
}

fn raised(of: fn(Box<Report>) -> Error, message: String, hint: &str) -> Error {
    of(Box::new(Report { message, hint: Some(hint.to_owned()), ..Report::default() }))
}

/// A refusal in SQL's words.
fn refused(refused: &Refused, message: String) -> Error {
    match refused {
        Refused::Invalid(_) => raised(Error::InvalidParameter, message, "nothing of the part of that slice was kept"),
        Refused::Lost => Error::lost_write(message),
        _ => raised(
            Error::Unavailable,
            message,
            "the same statement may succeed soon; meridian.slice_map shows who holds the slice",
        ),
    }
}

/// A router's error in SQL's words.
pub fn told(error: RouteError) -> Error {
    let message = error.to_string();
    match error {
        RouteError::Written { cause: Refused::Invalid(_), .. } => {
            raised(Error::InvalidParameter, message, "mend the rows and send them again: parts that were taken count once")
        }
        RouteError::Written { cause: Refused::TooLarge(_), .. } => {
            raised(Error::TooLarge, message, "send fewer rows in one statement")
        }
        RouteError::Written { .. } => raised(
            Error::Unavailable,
            message,
            "each slice takes its part whole or not at all; send the same rows again: a second write of a sample replaces the first",
        ),
        RouteError::Refused(fault) => fault.into(),
        RouteError::Behind { .. } => raised(Error::CantChange, message, "send the batch that failed first"),
        RouteError::Read { ref cause, .. } => refused(cause, message),
        RouteError::Unplaced { .. } => raised(
            Error::Unavailable,
            message,
            "slices are placed once enough data nodes have joined; meridian.nodes shows who there is",
        ),
        RouteError::Map(_) | RouteError::Unsettled => raised(Error::Unavailable, message, "the same statement may succeed soon"),
        RouteError::Stopping => raised(Error::ShuttingDown, message, "connect to another scheduler"),
    }
}

/// How fresh the router's answers must be for somebody.
pub fn freshness(asker: &Asker) -> Freshness {
    match asker.consistency {
        Consistency::Primary => Freshness::Primary,
        Consistency::Session => {
            Freshness::Session(Arc::new(asker.seen.all().into_iter().collect::<BTreeMap<SliceId, Version>>()))
        }
        Consistency::Bounded(ms) => Freshness::Bounded { us: ms.saturating_mul(1_000) },
        Consistency::Any => Freshness::Any,
    }
}

/// What a session read, and how new that may be: it sees nothing older afterwards.
fn seen(asker: &Asker, found: Found) -> ReadingColumns {
    if asker.consistency == Consistency::Session {
        found.at.into_iter().for_each(|(slice, version)| asker.seen.note(slice, version));
    }
    found.values
}

/// Finds out how new what a session read by plans may be, before it reads again; and whether what it saw of a slice that another
/// primary leads since, and that it has seen or written since, is still there: what is lost would not be missed otherwise.
async fn close(router: &Router, asker: &Asker) -> Result<(), Error> {
    if asker.consistency != Consistency::Session {
        return Ok(());
    }
    while let Some((slice, version, epoch)) = asker.seen.unsettled() {
        let kept = router.has_kept(slice, version, epoch).await;
        if matches!(kept, Ok(()) | Err(RouteError::Read { cause: Refused::Lost, .. })) {
            asker.seen.settle(slice, version);
        }
        kept.map_err(told)?;
    }
    let open = asker.seen.open();
    if !open.is_empty() {
        asker.seen.close(&router.versions(&open).await.map_err(told)?);
    }
    Ok(())
}

impl FleetStore {
    /// A store over a router.
    #[must_use]
    pub fn new(router: Arc<Router>, lines: Arc<Lines>, admin: Arc<Admin>, catalog: Arc<Catalog>, runtime: Handle) -> FleetStore {
        FleetStore { router, lines, catalog, admin, runtime }
    }

    /// The end of something that runs on, as a ticket.
    fn ticket<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Ticket<Result<T, Error>> {
        let (promise, ticket) = Ticket::pair();
        self.runtime.spawn(traces::carried(async move { promise.keep(work.await) }));
        ticket
    }

    fn written(
        &self,
        work: impl Future<Output = Result<cluster::router::Written, RouteError>> + Send + 'static,
        asker: &Asker,
    ) -> Ticket<Result<Committed, Error>> {
        let seen = Arc::clone(&asker.seen);
        self.ticket(async move {
            let written = work.await.map_err(told)?;
            written.versions.iter().for_each(|(slice, version)| seen.note(*slice, *version));
            // Each slice numbers its own commits; there is none of them all.
            Ok(Committed { commit: CommitNumber(0), rows: written.rows, duplicate: false })
        })
    }

    fn everywhere<F>(&self, ask: impl Fn(cluster::data::Client) -> F) -> Ticket<Result<(), Error>>
    where
        F: Future<Output = Result<(), Refused>> + Send + 'static,
    {
        let nodes = self.lines.roster().with(Roles::DATA);
        let asked: Vec<_> = nodes
            .into_iter()
            .map(|node| {
                let asked = self.router.client(node, MAINTENANCE_LIMIT).map(&ask);
                async move {
                    let done = match asked {
                        Ok(asked) => asked.await,
                        Err(fault) => Err(fault),
                    };
                    done.map_err(|fault| refused(&fault, format!("node {node}: {fault}")))
                }
            })
            .collect();
        self.ticket(async move { join_all(asked).await.into_iter().collect() })
    }
}

impl Store for FleetStore {
    fn local(&self) -> Option<&Arc<Kernel>> {
        None
    }

    fn rule(&self) -> DistributionRule {
        self.router.rule()
    }

    fn set_rule(&self, rule: DistributionRule) -> BoxFuture<'static, Result<(), Error>> {
        let admin = Arc::clone(&self.admin);
        async move { admin.set_rule(rule).await.map_err(super::admin::told) }.boxed()
    }

    fn write(&self, write: Write<'_>, asker: &Asker) -> Ticket<Result<Committed, Error>> {
        self.written(self.router.write(&write, &*self.catalog), asker)
    }

    fn delete(&self, deletion: Deletion, asker: &Asker) -> Ticket<Result<Committed, Error>> {
        self.written(self.router.delete(&deletion, &*self.catalog), asker)
    }

    fn latest_many(&self, tags: Vec<TagId>, asker: &Asker) -> BoxFuture<'static, Result<ReadingColumns, Error>> {
        let (router, asker) = (Arc::clone(&self.router), asker.clone());
        async move {
            close(&router, &asker).await?;
            Ok(seen(&asker, router.latest(tags, &freshness(&asker)).await.map_err(told)?))
        }
        .boxed()
    }

    fn values_at(&self, questions: Vec<(TagId, Timestamp)>, asker: &Asker) -> BoxFuture<'static, Result<ReadingColumns, Error>> {
        let (router, asker) = (Arc::clone(&self.router), asker.clone());
        async move {
            close(&router, &asker).await?;
            Ok(seen(&asker, router.values_at(questions, &freshness(&asker)).await.map_err(told)?))
        }
        .boxed()
    }

    fn route(&self, slices: &[SliceId], asker: &Asker, avoided: &[String]) -> BoxFuture<'static, Result<Route, Error>> {
        let (router, roster) = (Arc::clone(&self.router), Arc::clone(self.lines.roster()));
        let (slices, asker, avoided) = (slices.to_vec(), asker.clone(), avoided.to_vec());
        async move {
            close(&router, &asker).await?;
            let is_avoided = |node: &NodeId| roster.address(*node).is_none_or(|address| avoided.contains(&address));
            let avoided: Vec<NodeId> = roster.with(Roles::DATA).into_iter().filter(is_avoided).collect();
            let choice = router.map().choose(&slices, &freshness(&asker), &avoided).map_err(told)?;
            let mut owners = Vec::with_capacity(choice.nodes.len());
            for (node, slices) in choice.nodes {
                let url = roster.address(node).filter(|_| !avoided.contains(&node)).ok_or_else(|| {
                    let message = format!("slice {} lies on node {node}, which can't be asked now", slices[0].0);
                    refused(&Refused::Busy, message)
                })?;
                owners.push(Owner { node: node.to_string(), url, slices });
            }
            if asker.consistency == Consistency::Session {
                asker.seen.note_open(slices);
            }
            Ok(Route { revision: choice.revision, owners })
        }
        .boxed()
    }

    fn refresh(&self) -> BoxFuture<'static, Result<(), Error>> {
        let router = Arc::clone(&self.router);
        async move { router.refresh().await.map_err(told) }.boxed()
    }

    fn patience(&self) -> Duration {
        self.router.patience()
    }

    fn reports(&self) -> BoxFuture<'static, Result<Vec<NodeReport>, Error>> {
        let nodes = self.lines.roster().with(Roles::DATA);
        let asks: Vec<_> = nodes
            .into_iter()
            .filter_map(|node| {
                let client = self.router.client(node, REPORT_LIMIT).ok()?;
                Some(async move { (node, client.status().await) })
            })
            .collect();
        async move {
            let answers = join_all(asks).await;
            let report = |(node, answer): (NodeId, Result<cluster::data::Status, Refused>)| {
                let status = answer.ok()?;
                Some(NodeReport {
                    node: node.to_string(),
                    period_us: status.period_us,
                    retention: status.retention,
                    status: status.node,
                    slices: status.slices,
                    file_groups: status.file_groups,
                    files: status.files,
                })
            };
            Ok(answers.into_iter().filter_map(report).collect())
        }
        .boxed()
    }

    fn flush(&self) -> Ticket<Result<(), Error>> {
        self.everywhere(|client| async move { client.flush().await })
    }

    fn merge(&self) -> Ticket<Result<(), Error>> {
        self.everywhere(|client| async move { client.merge().await })
    }

    fn close(&self) -> Ticket<Result<(), Error>> {
        // Nothing is taken that was not answered; what is under way ends by itself.
        Ticket::ready(Ok(()))
    }
}
