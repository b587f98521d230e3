//! A range of meta, followed: read once, then again wherever a hint says so.
//!
//! Promises: who listens hears of each key in the order of its revisions, so nothing goes back; a key that is gone is told,
//! also when nobody hinted at it. After a failure all is read anew. May not know what keys mean.

use crate::tickets::answered;
use meta::{Changed, Entry, Error, Hint, Key, Meta, PAGE_ENTRIES_MAX, Range, Revision, SWAP_KEYS_MAX};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use world::Abandoned;

/// How long a range that could not be read is left alone.
const PAUSE: Duration = Duration::from_millis(200);

/// Who listens.
pub(crate) trait Listener: Send + Sync + 'static {
    /// This stands there now; the same may be told twice.
    fn stands(&self, entry: &Entry);

    /// Nothing stands under a key that was told of.
    fn is_gone(&self, _key: &Key) {}
}

/// A range that is followed.
pub(crate) struct Following<L> {
    meta: Arc<dyn Meta>,
    range: Range,
    known: BTreeSet<Key>,
    listener: Arc<L>,
}

pub(crate) fn gone(_: Abandoned) -> Error {
    Error::Unavailable("meta was closed".to_owned())
}

impl<L: Listener> Following<L> {
    pub(crate) fn new(meta: Arc<dyn Meta>, range: Range, listener: Arc<L>) -> Following<L> {
        Following { meta, range, known: BTreeSet::new(), listener }
    }

    /// Reads all of it; answers the revision of its first page.
    pub(crate) async fn read(&mut self) -> Result<Revision, Error> {
        let (mut rest, mut first) = (self.range.clone(), None);
        let mut unseen = self.known.clone();
        loop {
            let page = answered(self.meta.range(&rest, PAGE_ENTRIES_MAX)).await.map_err(gone)??;
            for entry in &page.entries {
                unseen.remove(&entry.key);
                self.stands(entry);
            }
            let revision = *first.get_or_insert(page.revision);
            match page.entries.last().filter(|_| page.more) {
                Some(last) => rest = rest.after(&last.key),
                None => {
                    unseen.iter().for_each(|key| self.is_gone(key));
                    return Ok(revision);
                }
            }
        }
    }

    fn stands(&mut self, entry: &Entry) {
        if !self.known.contains(&entry.key) {
            self.known.insert(entry.key.clone());
        }
        self.listener.stands(entry);
    }

    fn is_gone(&mut self, key: &Key) {
        if self.known.remove(key) {
            self.listener.is_gone(key);
        }
    }

    async fn read_keys(&mut self, keys: &[Key]) -> Result<(), Error> {
        for keys in keys.chunks(SWAP_KEYS_MAX) {
            let found = answered(self.meta.get(keys)).await.map_err(gone)??;
            for (key, entry) in keys.iter().zip(&found.entries) {
                match entry {
                    Some(entry) => self.stands(entry),
                    None => self.is_gone(key),
                }
            }
        }
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), Error> {
        let after = self.read().await?;
        let mut watch = self.meta.watch(&self.range, after)?;
        loop {
            let Hint { changed, .. } = answered(watch.hint()).await.map_err(gone)?;
            match changed {
                Changed::Anything => drop(self.read().await?),
                Changed::Keys(keys) => self.read_keys(&keys.into_iter().collect::<Vec<_>>()).await?,
            }
        }
    }

    /// Follows until the sender of `stopping` tells, or is dropped.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<()>) {
        loop {
            let followed = tokio::select! {
                followed = self.follow() => followed,
                _ = stopping.changed() => return,
            };
            if let Err(fault) = followed {
                tracing::debug!(%fault, "a range of meta is read anew");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
