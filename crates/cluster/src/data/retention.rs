//! Retention in a fleet: whoever leads a slice has the deletion of what is too old logged, as any write.
//!
//! Promises: a replica that does not lead decides nothing, and drops what the record says, at the record's version; whoever leads
//! decides by its own clock and setting, so after a failover the next one goes on; nothing is logged where nothing is too old, or
//! where a deletion that reaches as far is there. May not know files.

use super::node::{Asked, Shared};
use super::refused::Refused;
use kernel::{Deletion, LedSlice};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use types::Version;

/// How long a deletion is waited for. It may be logged all the same: then it is found when it is looked for again.
const LIMIT: Duration = Duration::from_secs(30);

/// Looks from time to time, until the node ends.
pub(super) async fn watch(shared: Arc<Shared>, mut stopping: watch::Receiver<()>) {
    tokio::select! {
        // Told, or its sender is gone.
        _ = stopping.changed() => {}
        () = look(&shared) => {}
    }
}

async fn look(shared: &Shared) {
    loop {
        tokio::time::sleep(shared.settings.retention_looks_every).await;
        for led in shared.leads() {
            let Some(deletion) = led.too_old() else { continue };
            let slice = led.id();
            match drop_old(shared, &led, deletion).await {
                Ok(version) => tracing::info!(%slice, %version, "samples beyond the retention are dropped"),
                // It leads no more, or too much waits: who leads then looks again.
                Err(why) => tracing::info!(%slice, %why, "samples beyond the retention are not dropped yet"),
            }
        }
    }
}

async fn drop_old(shared: &Shared, led: &LedSlice, deletion: Deletion) -> Result<Version, Refused> {
    let (answer, logged) = oneshot::channel();
    shared.ask(led.id(), Asked::Write { origin: None, draft: led.deletion(deletion), answer })?;
    let late = |_| Refused::Unavailable(format!("no answer within {} s", LIMIT.as_secs()));
    let stopped = |_| Refused::Unavailable("the replica stopped".to_owned());
    let version = tokio::time::timeout(LIMIT, logged).await.map_err(late)?.map_err(stopped)??;
    // In files, it lets whole ones go. Backups write theirs when they flush.
    drop(led.flush());
    Ok(version)
}
