//! A lone node: its store is its kernel, its tags are its catalog. Calls are handed on as they come.

use super::{Asker, NodeReport, Owner, Route, Store, Tags};
use crate::error::Error;
use catalog::Catalog;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use kernel::{Committed, Deletion, Kernel, ReadingColumns, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use types::{DistributionRule, Epoch, Revision, SliceId, TagDefinition, TagId, Timestamp};
use world::Ticket;

/// The same answer with its error in our words.
fn told<T, E>(ticket: Ticket<Result<T, E>>) -> Ticket<Result<T, Error>>
where
    T: Send + 'static,
    E: Send + 'static,
    Error: From<E>,
{
    let (promise, told) = Ticket::pair();
    ticket.on_done_while(promise.interest(), move |answer| {
        let answer = match answer {
            Ok(answer) => answer.map_err(Error::from),
            Err(abandoned) => Err(<Error as From<world::Abandoned>>::from(abandoned)),
        };
        promise.keep(answer);
    });
    told
}

/// A lone node's store.
pub(crate) struct Lone(pub Arc<Kernel>);

impl Store for Lone {
    fn local(&self) -> Option<&Arc<Kernel>> {
        Some(&self.0)
    }

    fn rule(&self) -> DistributionRule {
        self.0.rule()
    }

    fn set_rule(&self, rule: DistributionRule) -> BoxFuture<'static, Result<(), Error>> {
        ready(self.0.set_rule(rule).map_err(Error::from)).boxed()
    }

    fn write(&self, write: Write<'_>, _: &Asker) -> Ticket<Result<Committed, Error>> {
        told(self.0.write(write))
    }

    fn delete(&self, deletion: Deletion, _: &Asker) -> Ticket<Result<Committed, Error>> {
        told(self.0.delete(deletion))
    }

    fn latest_many(&self, tags: Vec<TagId>, _: &Asker) -> BoxFuture<'static, Result<ReadingColumns, Error>> {
        ready(self.0.latest_many(&tags).map_err(Error::from)).boxed()
    }

    fn values_at(&self, questions: Vec<(TagId, Timestamp)>, _: &Asker) -> BoxFuture<'static, Result<ReadingColumns, Error>> {
        ready(self.0.values_at(&questions).map_err(Error::from)).boxed()
    }

    fn route(&self, slices: &[SliceId], _: &Asker, _: &[String]) -> BoxFuture<'static, Result<Route, Error>> {
        let slices = slices.iter().map(|slice| (*slice, Epoch::default())).collect();
        let here = Owner { node: String::new(), url: String::new(), slices };
        ready(Ok(Route { revision: Revision::default(), owners: vec![here] })).boxed()
    }

    fn refresh(&self) -> BoxFuture<'static, Result<(), Error>> {
        ready(Ok(())).boxed()
    }

    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    fn reports(&self) -> BoxFuture<'static, Result<Vec<NodeReport>, Error>> {
        let report = NodeReport {
            node: String::new(),
            period_us: self.0.period_us(),
            retention: self.0.settings().retention,
            status: self.0.status(),
            slices: self.0.slices(),
            file_groups: self.0.file_groups(),
            files: self.0.files(),
        };
        ready(Ok(vec![report])).boxed()
    }

    fn flush(&self) -> Ticket<Result<(), Error>> {
        told(self.0.flush())
    }

    fn merge(&self) -> Ticket<Result<(), Error>> {
        told(self.0.merge())
    }

    fn close(&self) -> Ticket<Result<(), Error>> {
        told(self.0.close())
    }
}

impl Tags for Catalog {
    fn create(&self, definitions: Vec<TagDefinition>) -> Ticket<Result<Range<u64>, Error>> {
        told(Catalog::create(self, definitions))
    }

    fn change(&self, changes: Vec<(TagId, TagDefinition)>) -> Ticket<Result<(), Error>> {
        told(Catalog::change(self, changes))
    }

    fn delete(&self, tags: Vec<TagId>) -> Ticket<Result<(), Error>> {
        told(Catalog::delete(self, tags))
    }

    fn readable(&self) -> BoxFuture<'static, Result<(), Error>> {
        ready(Ok(())).boxed()
    }

    fn close(&self) -> Ticket<Result<(), Error>> {
        told(Catalog::close(self))
    }
}
