//! The simulated grid: ticks in real time, and the burst in whose middle the node is killed.
//!
//! Promises: what is said to be acknowledged is what this client heard from the node, no more.

use crate::flight::{Heard, Stream, runtime, sample_batch, sample_schema, tag_batch};
use crate::grid::{Columns, Part, Shape};
use crate::node::Node;
use crate::progress::{Progress, now};
use crate::table::thousands;
use crate::{Error, interrupt};
use std::time::Duration;

/// From one tick to the next.
pub const TICK: Duration = Duration::from_millis(200);

/// Makes the grid's tags.
///
/// # Errors
/// `Error::Node`.
pub fn create(node: &Node, shape: &Shape, tags: u64) -> Result<Duration, Error> {
    let batch =
        tag_batch((0..tags).map(|tag| (shape.name("live.", tag), shape.class(tag).kind().name(), shape.class(tag).unit())));
    let started = now();
    runtime()?.block_on(async {
        let mut stream = Stream::tags(&node.flight, batch.schema()).await?;
        stream.send(&batch).await?;
        stream.finish().await
    })?;
    Ok(started.elapsed())
}

/// Ticks in real time: every tag a sample a tick.
///
/// # Errors
/// `Error::Node`, `Error::Interrupted`.
pub fn run(node: &Node, part: &mut Part, ordinal: u64, lasting: Duration) -> Result<Heard, Error> {
    let ticks = (lasting.as_millis() / TICK.as_millis()).max(1) as u64;
    let mut progress = Progress::start("live grid", "samples", Some(ticks * part.tags()));
    let schema = sample_schema();
    runtime()?.block_on(async {
        let mut stream = Stream::samples(&node.flight, "demo-live").await?;
        let mut clock = tokio::time::interval(TICK);
        for _ in 0..ticks {
            clock.tick().await;
            if interrupt::asked() {
                return Err(Error::Interrupted);
            }
            let mut columns = Columns::with_room(part.tags() as usize);
            part.next_step(&mut columns);
            stream.send(&sample_batch(&schema, columns, ordinal)).await?;
            while stream.under_way() > 0 {
                stream.hear().await?;
            }
            progress.at(stream.heard.rows, "");
        }
        stream.finish().await
    })
}

/// What was heard of a burst until the node died.
pub struct Burst {
    /// Acknowledged.
    pub heard: Heard,
    /// Batches that were sent and never answered.
    pub unanswered: usize,
    /// How the stream ended, in the network's words.
    pub end: String,
}

/// Writes as fast as it goes, one step of all tags a batch, until the node is gone.
///
/// # Errors
/// `Error::Node` where the stream can't even be opened.
pub fn burst(address: &str, part: &mut Part, ordinal: u64) -> Result<Burst, Error> {
    let schema = sample_schema();
    runtime()?.block_on(async {
        let mut stream = Stream::samples(address, "demo-burst").await?;
        loop {
            let mut columns = Columns::with_room(part.tags() as usize);
            part.next_step(&mut columns);
            if let Err(error) = stream.send(&sample_batch(&schema, columns, ordinal)).await {
                let end = error.to_string();
                // Acknowledgements that had arrived before the end count too.
                while stream.under_way() > 0 && stream.hear().await.is_ok() {}
                return Ok(Burst { unanswered: stream.under_way(), heard: stream.heard, end });
            }
        }
    })
}

/// Half and nearly all of what was heard took no longer than this.
#[must_use]
pub fn latencies(heard: &Heard) -> (Duration, Duration) {
    let mut sorted = heard.latencies.clone();
    sorted.sort_unstable();
    let at = |part: f64| sorted.get(((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1))).copied();
    (at(0.5).unwrap_or_default(), at(0.99).unwrap_or_default())
}

/// "1,234 samples in 5 batches".
#[must_use]
pub fn amount(heard: &Heard) -> String {
    format!("{} samples in {} commits", thousands(heard.rows), thousands(heard.batches))
}
