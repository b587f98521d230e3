//! Whether the process is up, and whether it can serve.
//!
//! Promises: `/health` waits for nothing; `/ready` is answered within `PATIENCE`, and says of everything that stands in the
//! way what it is.

use super::Door;
use super::reply::{self, Answer};
use crate::shared::Stage;
use hyper::StatusCode;
use query::{Asker, Error};
use serde_json::json;
use std::time::Duration;
use types::{SliceId, TagId};

/// How long is waited for other processes of a fleet.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers `/health`. The names are those that InfluxDB's clients look for too.
pub(crate) fn health(door: &Door) -> Answer {
    let settings = door.shared.engine.settings();
    let body = json!({
        "name": "meridian",
        "status": "pass",
        "message": "ready for queries and writes",
        "version": settings.release,
        "node": settings.node,
        "checks": [],
    });
    reply::json_answer(StatusCode::OK, &body)
}

/// Answers `/ready`.
pub(crate) async fn ready(door: &Door) -> Answer {
    let engine = &door.shared.engine;
    let reasons = reasons(door).await;
    let up_us = engine.settings().clock.wall_us().saturating_sub(engine.started_us()).max(0);
    let mut started = Vec::new();
    query::text::write_iso_timestamp(&mut started, engine.started_us(), Some(query::Zone::Utc));
    let (status, word) =
        if reasons.is_empty() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    let body = json!({
        "status": word,
        "reasons": reasons,
        "started": String::from_utf8_lossy(&started),
        "up": format!("{}s", up_us / 1_000_000),
    });
    reply::json_answer(status, &body)
}

/// What stands in the way of serving.
async fn reasons(door: &Door) -> Vec<String> {
    let engine = &door.shared.engine;
    let mut reasons = Vec::new();
    if door.shared.stage() != Stage::Running {
        reasons.push("the server is shutting down".to_owned());
    }
    if let Some(kernel) = engine.local() {
        let refuses = kernel.metrics().refuses_writes;
        reasons.extend(refuses.map(|why| format!("the store refuses writes since a disk error: {why}")));
        return reasons;
    }
    let told = |waited: Result<Result<(), Error>, tokio::time::error::Elapsed>, what: &str| match waited {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{what}: {error}")),
        Err(_) => Some(format!("{what}: no answer within {} s", PATIENCE.as_secs())),
    };
    let tags = tokio::time::timeout(PATIENCE, engine.readable());
    let slices = tokio::time::timeout(PATIENCE, ask_slices(door));
    let (tags, slices) = tokio::join!(tags, slices);
    reasons.extend(told(tags, "the tag table"));
    reasons.extend(told(slices, "the slices"));
    reasons
}

/// Whether somebody leads every slice of the fleet, and answers: one value is asked for of each slice that has tags.
async fn ask_slices(door: &Door) -> Result<(), Error> {
    let engine = &door.shared.engine;
    let (store, rule, asker) = (engine.store(), engine.store().rule(), Asker::new("ready"));
    let slices: Vec<SliceId> = (0..rule.buckets).map(SliceId).collect();
    store.route(&slices, &asker, &[]).await?;
    let ordinals = engine.catalog().ordinals();
    let firsts = (0..u64::from(rule.buckets)).map(|block| block.saturating_mul(rule.b1));
    let tags: Vec<TagId> = firsts.take_while(|ordinal| *ordinal < ordinals).map(TagId).collect();
    if !tags.is_empty() {
        store.latest_many(tags, &asker).await?;
    }
    Ok(())
}
