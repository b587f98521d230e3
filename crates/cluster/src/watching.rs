//! Watches over the network: a stream each, made anew whenever it ends, until nobody watches.
//!
//! Promises: after a lost connection the stream goes on behind the last revision it told of. Between tries it
//! waits 50 ms, doubling to 2 s while they bring nothing. May not know what a stream is made of.

use crate::calls::{Calls, Judged, Kind};
use meta::{Error, Hints, Range, Revision, Watch};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tonic::Status;
use tonic::transport::Channel;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Where changes are told.
pub(crate) trait Source: Send + Sync + 'static {
    /// Its connection.
    fn calls(&self) -> &Calls;

    /// What a status means.
    fn judge(&self, status: &Status) -> Judged;

    /// One stream of changes from `next` on, until it ends: gives hints, and moves `next` behind what
    /// was told.
    fn events(&self, channel: &Channel, hints: &Hints, next: &mut Revision) -> impl Future<Output = Result<(), Status>> + Send;
}

/// A place among the watches that may be open; given back when dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    pub fn take(taken: &Arc<AtomicUsize>, max: usize) -> Result<Place, Error> {
        let more = taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < max).then_some(count + 1));
        match more {
            Ok(_) => Ok(Place(Arc::clone(taken))),
            Err(_) => Err(Error::Unavailable(format!("{max} watches are open already"))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Starts a watch: its task ends when the watch or the meta is dropped.
pub(crate) fn follow<S: Source>(
    runtime: &Handle,
    source: Arc<S>,
    range: &Range,
    after: Revision,
    mut alive: watch::Receiver<()>,
    place: Place,
) -> Watch {
    let (kept, mut unwanted) = oneshot::channel::<()>();
    let (hints, watch) = Watch::pair(range, Some(Box::new(kept)));
    runtime.spawn(async move {
        tokio::select! {
            () = streams(&*source, &hints, Revision(after.0 + 1)) => {}
            // Both only ever end by their sender's going.
            _ = &mut unwanted => {}
            _ = alive.changed() => {}
        }
        drop(place);
    });
    watch
}

/// Follows changes from `next` on, without end.
async fn streams<S: Source>(source: &S, hints: &Hints, mut next: Revision) {
    let mut pause = PAUSE_MIN;
    loop {
        let before = next;
        if let Err(error) = stream(source, hints, &mut next).await {
            tracing::debug!(%error, "a watch on meta ended, it is made anew");
        }
        pause = if next > before { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}

/// One stream, until it ends.
async fn stream<S: Source>(source: &S, hints: &Hints, next: &mut Revision) -> Result<(), Error> {
    let line = source.calls().line().await?;
    if let Err(status) = source.events(&line.channel, hints, next).await {
        let text = source.calls().consider(Kind::Read, source.judge(&status), &line).await?;
        tracing::debug!(text, "a watch on meta was interrupted");
    }
    Ok(())
}
