//! Changes of the tag table, for SQL: through a scheduler's tag table, which all schedulers agree on; and the kinds of tags, for
//! data nodes.
//!
//! Promises: those of `query::Tags` and `cluster::kinds::KindSource`; where a name can be resolved, the rule is final.

use catalog::Catalog;
use cluster::fleet::FleetRule;
use cluster::kinds::KindSource;
use cluster::tags::{self, TagTable};
use futures::FutureExt;
use futures::future::BoxFuture;
use query::{Error, Report, Tags};
use std::ops::Range;
use std::sync::Arc;
use tokio::runtime::Handle;
use types::{Kinds, TagDefinition, TagId};
use world::Ticket;

/// The tag table of a scheduler.
pub struct FleetTags {
    table: Arc<TagTable>,
    rule: Arc<FleetRule>,
    runtime: Handle,
}

fn told(error: tags::Error) -> Error {
    let hinted = |of: fn(Box<Report>) -> Error, message: String, hint: &str| {
        of(Box::new(Report { message, hint: Some(hint.to_owned()), ..Report::default() }))
    };
    let message = error.to_string();
    match error {
        tags::Error::Catalog(fault) => fault.into(),
        tags::Error::TooLarge { .. } => hinted(Error::TooLarge, message, "send them in several statements"),
        tags::Error::InDoubt { .. } => {
            hinted(Error::Unreachable, message, "look whether the tags are there before you send it again")
        }
        _ => hinted(
            Error::Unavailable,
            message,
            "meridian.nodes shows which schedulers are there; the same statement may succeed soon",
        ),
    }
}

impl FleetTags {
    /// Over a table, and the rule that its first tag makes final.
    #[must_use]
    pub fn new(table: Arc<TagTable>, rule: Arc<FleetRule>, runtime: Handle) -> FleetTags {
        FleetTags { table, rule, runtime }
    }

    /// Makes the rule final where a tag is known.
    ///
    /// # Errors
    /// `Error::Unavailable` where meta does not say what it is: that is asked once in a process's life.
    pub async fn settle_rule(&self) -> Result<(), Error> {
        settle(&self.rule, &self.table).await
    }

    fn ticket<T, F>(&self, work: impl FnOnce(Arc<TagTable>) -> F) -> Ticket<Result<T, Error>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, tags::Error>> + Send + 'static,
    {
        let (promise, ticket) = Ticket::pair();
        let work = work(Arc::clone(&self.table));
        self.runtime.spawn(async move { promise.keep(work.await.map_err(told)) });
        ticket
    }
}

impl Tags for FleetTags {
    fn create(&self, definitions: Vec<TagDefinition>) -> Ticket<Result<Range<u64>, Error>> {
        self.ticket(|table| async move { table.create(definitions).await })
    }

    fn change(&self, changes: Vec<(TagId, TagDefinition)>) -> Ticket<Result<(), Error>> {
        self.ticket(|table| async move { table.change(changes).await })
    }

    fn delete(&self, tags: Vec<TagId>) -> Ticket<Result<(), Error>> {
        self.ticket(|table| async move { table.delete(tags).await })
    }

    fn readable(&self) -> BoxFuture<'static, Result<(), Error>> {
        let (table, rule) = (Arc::clone(&self.table), Arc::clone(&self.rule));
        async move {
            table.readable().await.map_err(told)?;
            settle(&rule, &table).await
        }
        .boxed()
    }

    fn leads(&self) -> bool {
        self.table.standing().leads
    }

    fn close(&self) -> Ticket<Result<(), Error>> {
        // The catalog is closed with the process: what was answered is durable.
        Ticket::ready(Ok(()))
    }
}

async fn settle(rule: &FleetRule, table: &TagTable) -> Result<(), Error> {
    if rule.is_final() || table.catalog().ordinals() == 0 {
        return Ok(());
    }
    rule.settle().await.map_err(|fault| Error::Unavailable(Box::new(Report { message: fault.to_string(), ..Report::default() })))
}

/// The kinds of a scheduler's tags.
pub struct CatalogKinds(pub Arc<Catalog>);

impl KindSource for CatalogKinds {
    fn end(&self) -> u64 {
        self.0.ordinals()
    }

    fn read(&self, first: u64, most: usize) -> Vec<u8> {
        (first..self.end()).take(most).map_while(|ordinal| self.0.kind(TagId(ordinal))).map(|kind| kind as u8).collect()
    }
}
