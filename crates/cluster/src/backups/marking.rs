//! Marks: the archive of a fleet, as the scheduler takes it that has the lease to.
//!
//! ```text
//!   what the last mark, or the newest backup, has ──> HOLD the writes behind it ──> CLOSE, CUT, OPEN: a moment
//!   ──> nothing new: END      else the tag table where it changed ──> COPY, LOOK .. ──> the mark's head ──> END
//! ```
//! Promises: what is not known to be whole in the repository is not gone on from. What a scheduler remembers of the last mark (the tag
//! table as it was) counts only where that mark is still the last one. May not know how often it is asked.

use super::messages::{End, Order};
use super::taking::{BackupError, Backups, Failed, Wanted, blocking, open};
use backup::{Before, Head, MarkName, MarkSource, Place, TablePoint};
use catalog::WholeTable;
use protocol::tags::Part;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::NodeId;

/// How often it is begun.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// What whoever archives remembers from mark to mark.
#[derive(Default)]
pub struct Marking {
    /// The key of the head that the next one goes on from.
    before: Option<String>,
    last: Option<Last>,
    /// The name of the newest backup, and its moment in microseconds since 1970: it is read once.
    newest: Option<(String, u64)>,
}

/// The last mark.
struct Last {
    key: String,
    table: Arc<WholeTable>,
    beside: Vec<(String, Vec<u8>)>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marked {
    /// There is no backup yet with which restoring begins.
    NoBackup,
    /// Nothing was written since that moment's mark or backup.
    Nothing {
        /// Its moment, microseconds since 1970.
        moment_us: u64,
    },
    /// A mark.
    Mark {
        /// Its moment, microseconds since 1970.
        moment_us: u64,
        /// How long writes may have been held back for it.
        held_back: Duration,
    },
}

/// What is known of the repository when a mark begins.
struct Found {
    before: Before,
    backups: Vec<String>,
    /// The newest one's moment, microseconds since 1970.
    since_us: u64,
}

impl Backups {
    /// Archives what was written since the last mark.
    ///
    /// # Errors
    /// `BackupError`; the marks that were there still are.
    pub async fn mark(&self, wanted: &Wanted, marking: &mut Marking) -> Result<Marked, BackupError> {
        let mut why = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                tracing::debug!(why, "the mark begins anew");
                tokio::time::sleep(PAUSE).await;
            }
            let Some(found) = self.found(wanted, marking).await? else { return Ok(Marked::NoBackup) };
            let mut asked = BTreeSet::new();
            let mut order = Order {
                turn: self.turn(),
                place: wanted.place.clone(),
                earlier: found.backups.clone(),
                is_mark: true,
                ends: found
                    .before
                    .ends
                    .iter()
                    .map(|(slice, end)| End { slice: *slice, epoch: end.epoch.0, sequence: end.sequence.0 })
                    .collect(),
                before: found.before.key.clone(),
                since_us: found.since_us,
                ..Order::default()
            };
            let marked = self.mark_once(&mut order, &found, wanted, marking, &mut asked).await;
            self.over(&asked, &order).await;
            match marked {
                Ok(marked) => return Ok(marked),
                Err(fault) => {
                    self.forget_mark(wanted, &order.backup).await;
                    match fault {
                        Failed::Anew(said) => why = said,
                        Failed::For(fault) => return Err(fault),
                    }
                }
            }
        }
        Err(BackupError::Unavailable(why))
    }

    /// What it goes on from, and the backups that there are.
    async fn found(&self, wanted: &Wanted, marking: &mut Marking) -> Result<Option<Found>, BackupError> {
        let (places, fleet, to, stop) = (Arc::clone(&self.places), self.fleet.0, wanted.place.clone(), Arc::clone(&wanted.stop));
        let (known, newest) = (marking.before.clone(), marking.newest.clone());
        let read = blocking(move || {
            let place = open(&places, &to, &stop)?;
            let backups = backup::backup_names(&*place)?;
            let since_us = match (newest, backups.first()) {
                (_, None) => return Ok::<_, BackupError>(None),
                (Some((id, since_us)), Some(first)) if id == *first => since_us,
                // Its head may be cut short: the list leaves such a one out.
                (_, Some(_)) => match backup::list(&*place)?.first() {
                    Some(newest) => u64::try_from(newest.moment_us).unwrap_or(0),
                    None => return Ok(None),
                },
            };
            let before = backup::before(&*place, fleet, known.as_deref())?;
            Ok(before.map(|before| Found { before, backups, since_us }))
        });
        let found = read.await??;
        if let Some(Found { before, backups, since_us }) = &found {
            marking.newest = backups.first().map(|newest| (newest.clone(), *since_us));
            marking.before = Some(before.key.clone());
        }
        marking.last = marking.last.take().filter(|last| marking.before.as_ref() == Some(&last.key));
        Ok(found)
    }

    async fn mark_once(
        &self,
        order: &mut Order,
        found: &Found,
        wanted: &Wanted,
        marking: &mut Marking,
        asked: &mut BTreeSet<NodeId>,
    ) -> Result<Marked, Failed> {
        let before = &found.before;
        // Its number and its random digits are its own; the moment is known once the slices are held.
        let (record, moment) = self.moment(order, &wanted.stop, asked).await?;
        let moment_us = u64::try_from(moment.us).unwrap_or(0).max(before.moment_us + 1);
        let name = before.next(self.fleet.0, moment_us, self.world.random.next_u64());
        order.backup = name.key();
        let table = Arc::new(self.tags().await?);
        let tags = self.changed(&table, found, wanted, marking).await?;
        let last = marking.last.as_ref();
        let is_same = last.map_or(wanted.beside.is_empty(), |last| last.beside == wanted.beside);
        if moment.with_new.is_empty() && tags.is_empty() && is_same {
            return Ok(Marked::Nothing { moment_us: before.moment_us });
        }
        if !moment.with_new.is_empty() {
            self.copied(order, (&wanted.stop, &(Arc::new(|_| {}) as _)), &moment.with_new).await?;
        }
        let beside = if is_same { Vec::new() } else { wanted.beside.clone() };
        let source = MarkSource {
            name,
            before: before.clone(),
            rule: record.rule,
            period_us: record.period_us,
            point: point(&table),
            tags,
            beside,
            nodes: moment.with_new.iter().map(|node| node.0).collect(),
            release: wanted.release.clone(),
        };
        let key = self.end_mark(source, wanted).await?;
        marking.before = Some(key.clone());
        marking.last = Some(Last { key, table, beside: wanted.beside.clone() });
        Ok(Marked::Mark { moment_us, held_back: moment.held_back })
    }

    /// The parts of the tag table that are not as they were at what is gone on from.
    async fn changed(
        &self,
        table: &Arc<WholeTable>,
        found: &Found,
        wanted: &Wanted,
        marking: &Marking,
    ) -> Result<Vec<(u128, Part)>, Failed> {
        let (table, before) = (Arc::clone(table), found.before.clone());
        if point(&table) == before.point {
            return Ok(Vec::new());
        }
        if let Some(last) = &marking.last {
            let earlier = Arc::clone(&last.table);
            let changed = move || table.changed_since(&earlier).into_iter().map(|number| table.part(number)).collect();
            return Ok(blocking(changed).await?);
        }
        // Another scheduler took the last one: whatever differs from the backup before it.
        let (places, to, stop) = (Arc::clone(&self.places), wanted.place.clone(), Arc::clone(&wanted.stop));
        let changed = blocking(move || {
            let place = open(&places, &to, &stop)?;
            let heads = backup::list(&*place)?;
            let by_then = |head: &&Head| u64::try_from(head.moment_us).is_ok_and(|moment| moment <= before.moment_us);
            let known = heads.iter().find(by_then);
            let all = (0..table.parts()).map(|number| table.part(number));
            let differs = |(hash, part): &(u128, Part)| known.is_none_or(|head| head.part(part.number, *hash).is_none());
            Ok::<_, BackupError>(all.filter(differs).collect())
        });
        Ok(changed.await??)
    }

    async fn end_mark(&self, source: MarkSource, wanted: &Wanted) -> Result<String, BackupError> {
        let (places, to, stop) = (Arc::clone(&self.places), wanted.place.clone(), Arc::clone(&wanted.stop));
        let ended = blocking(move || {
            let place = open(&places, &to, &stop)?;
            let go = |_| if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            Ok::<_, BackupError>(backup::take_mark(&*place, source, &go)?.key)
        });
        ended.await?
    }

    /// Takes away what a mark that failed has left.
    async fn forget_mark(&self, wanted: &Wanted, key: &str) {
        let Some((name, _)) = MarkName::of(key) else { return };
        let (places, to) = (Arc::clone(&self.places), wanted.place.clone());
        let forget = move |place: Box<dyn Place>| backup::forget_mark(&*place, &name);
        let forgotten = blocking(move || open(&places, &to, &Arc::default()).map(forget)).await;
        if let Err(fault) = forgotten.and_then(|forgotten| forgotten) {
            tracing::debug!(%fault, "what a mark that failed has left stays until a pruning");
        }
    }
}

fn point(table: &WholeTable) -> TablePoint {
    TablePoint::from(table.point.unwrap_or_default())
}
