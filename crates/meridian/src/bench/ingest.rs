//! The writing measurements: making tags, samples in order, samples out of order.
//!
//! Promises: the clock stops when the last batch is acknowledged as durable. In order: samples are
//! made while the clock runs (a few nanoseconds each, told with the figure). Out of order: made and
//! shuffled before.

use super::bounds::Usage;
use super::latencies::Latencies;
use super::queries::Dice;
use crate::flight::{Heard, Stream, runtime, sample_batch, sample_schema, tag_batch};
use crate::grid::{Columns, Part, Shape};
use crate::node::Node;
use crate::progress::{Progress, now};
use crate::{Error, interrupt};
use arrow::array::RecordBatch;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Tags made by one commit.
const TAGS_A_COMMIT: u64 = 50_000;

/// What a writing measurement found.
#[derive(Default)]
pub struct Written {
    /// Rows acknowledged.
    pub rows: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Of each batch, from sending to acknowledgement.
    pub latencies: Latencies,
    /// Core time and disk.
    pub usage: Usage,
}

impl Written {
    /// Rows a second.
    pub fn rate(&self) -> f64 {
        self.rows as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

fn joined(heard: Vec<Heard>, elapsed: Duration, usage: Usage) -> Written {
    let mut written = Written { elapsed, usage, ..Written::default() };
    for heard in heard {
        written.rows += heard.rows;
        heard.latencies.into_iter().for_each(|took| written.latencies.add(took));
    }
    written
}

/// Makes tags `prefix...` in bulk.
///
/// # Errors
/// `Error::Node`, `Error::Wrong` where fewer were made.
pub fn create_tags(node: &Node, shape: &Shape, prefix: &str, count: u64) -> Result<Written, Error> {
    let batches: Vec<RecordBatch> = (0..count)
        .step_by(TAGS_A_COMMIT as usize)
        .map(|first| {
            let tags = first..(first + TAGS_A_COMMIT).min(count);
            tag_batch(tags.map(|tag| (shape.name(prefix, tag), shape.class(tag).kind().name(), shape.class(tag).unit())))
        })
        .collect();
    let Some(first) = batches.first() else { return Ok(Written::default()) };
    let schema = first.schema();
    let before = Usage::now(node);
    let started = now();
    let heard = runtime()?.block_on(async {
        let mut stream = Stream::tags(&node.flight, schema).await?;
        for batch in &batches {
            interrupt::check()?;
            stream.send(batch).await?;
        }
        stream.finish().await
    })?;
    let elapsed = started.elapsed();
    if heard.rows != count {
        return Err(Error::Wrong(format!("{count} tags were sent, {} were acknowledged", heard.rows)));
    }
    Ok(joined(vec![heard], elapsed, Usage::now(node).since(before)))
}

/// Pours `steps` steps of each part in order of time, a stream a part.
///
/// # Errors
/// `Error::Node`, `Error::Wrong`.
pub fn sequential(node: &Node, parts: &mut [Part], ordinal: u64, steps: u64, batch_rows: usize) -> Result<Written, Error> {
    let expected: u64 = parts.iter().map(|part| part.tags() * steps).sum();
    let done = AtomicU64::new(0);
    let mut progress = Progress::start("in order", "points", Some(expected));
    let before = Usage::now(node);
    let started = now();
    let heard = std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter_mut()
            .enumerate()
            .map(|(i, part)| {
                let done = &done;
                let (address, producer) = (node.flight.as_str(), format!("bench-in-order-{ordinal}-{i}-{}", part.steps()));
                scope.spawn(move || runtime()?.block_on(pour(address, &producer, part, ordinal, steps, batch_rows, done)))
            })
            .collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            progress.at(done.load(Ordering::Relaxed), "");
            pause();
        }
        threads.into_iter().map(join).collect::<Result<Vec<_>, Error>>()
    })?;
    let written = joined(heard, started.elapsed(), Usage::now(node).since(before));
    all_there(&written, expected)?;
    Ok(written)
}

async fn pour(
    address: &str,
    producer: &str,
    part: &mut Part,
    ordinal: u64,
    steps: u64,
    batch_rows: usize,
    done: &AtomicU64,
) -> Result<Heard, Error> {
    let schema = sample_schema();
    let mut stream = Stream::samples(address, producer).await?;
    let steps_a_batch = (batch_rows as u64 / part.tags()).max(1);
    let mut left = steps;
    while left > 0 {
        interrupt::check()?;
        let steps = left.min(steps_a_batch);
        let mut columns = Columns::with_room((steps * part.tags()) as usize);
        (0..steps).for_each(|_| part.next_step(&mut columns));
        stream.send(&sample_batch(&schema, columns, ordinal)).await?;
        done.fetch_add(steps * part.tags(), Ordering::Relaxed);
        left -= steps;
    }
    stream.finish().await
}

/// All samples of `steps` steps of a part, shuffled, as one batch to be sent in pieces.
pub fn shuffled(part: &mut Part, ordinal: u64, steps: u64, seed: u64) -> RecordBatch {
    let rows = (part.tags() * steps) as usize;
    let mut columns = Columns::with_room(rows);
    (0..steps).for_each(|_| part.next_step(&mut columns));
    let mut dice = Dice::new(seed);
    for i in (1..rows).rev() {
        let j = dice.below(i as u64 + 1) as usize;
        columns.tags.swap(i, j);
        columns.times.swap(i, j);
        columns.values.swap(i, j);
        columns.qualities.swap(i, j);
    }
    sample_batch(&sample_schema(), columns, ordinal)
}

/// Pours one large batch in pieces, over so many streams.
///
/// # Errors
/// `Error::Node`, `Error::Wrong`.
pub fn out_of_order(node: &Node, all: &RecordBatch, streams: usize, batch_rows: usize) -> Result<Written, Error> {
    let rows = all.num_rows();
    let done = AtomicU64::new(0);
    let mut progress = Progress::start("out of order", "points", Some(rows as u64));
    let share = rows.div_ceil(streams.max(1));
    let before = Usage::now(node);
    let started = now();
    let heard = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..rows)
            .step_by(share.max(1))
            .map(|first| {
                let (done, address) = (&done, node.flight.as_str());
                let mine = all.slice(first, share.min(rows - first));
                scope.spawn(move || {
                    runtime()?.block_on(async {
                        let mut stream = Stream::samples(address, &format!("bench-out-of-order-{first}")).await?;
                        for at in (0..mine.num_rows()).step_by(batch_rows) {
                            interrupt::check()?;
                            let piece = mine.slice(at, batch_rows.min(mine.num_rows() - at));
                            stream.send(&piece).await?;
                            done.fetch_add(piece.num_rows() as u64, Ordering::Relaxed);
                        }
                        stream.finish().await
                    })
                })
            })
            .collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            progress.at(done.load(Ordering::Relaxed), "");
            pause();
        }
        threads.into_iter().map(join).collect::<Result<Vec<_>, Error>>()
    })?;
    let written = joined(heard, started.elapsed(), Usage::now(node).since(before));
    all_there(&written, rows as u64)?;
    Ok(written)
}

/// Writes one step of a part every `pace`, until `go_on` says no: writes under a light load.
///
/// # Errors
/// `Error::Node`.
pub fn paced(
    node: &Node,
    part: &mut Part,
    ordinal: u64,
    pace: Duration,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Latencies, Error> {
    let schema = sample_schema();
    let heard = runtime()?.block_on(async {
        let mut stream = Stream::samples(&node.flight, "bench-paced").await?;
        let mut next = tokio::time::interval(pace);
        while go_on() && !interrupt::asked() {
            next.tick().await;
            let mut columns = Columns::with_room(part.tags() as usize);
            part.next_step(&mut columns);
            stream.send(&sample_batch(&schema, columns, ordinal)).await?;
            while stream.under_way() > 0 {
                stream.hear().await?;
            }
        }
        stream.finish().await
    })?;
    let mut latencies = Latencies::default();
    heard.latencies.into_iter().for_each(|took| latencies.add(took));
    Ok(latencies)
}

fn all_there(written: &Written, expected: u64) -> Result<(), Error> {
    if written.rows == expected {
        return Ok(());
    }
    Err(Error::Wrong(format!("{expected} samples were sent, {} were acknowledged", written.rows)))
}

/// What a thread of the client came to.
///
/// # Errors
/// Its own; `Error::Child` where it panicked.
pub fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, Error>>) -> Result<T, Error> {
    thread.join().unwrap_or_else(|_| Err(Error::Child("a thread of the client panicked".to_owned())))
}

/// Between two looks at how far it is.
#[expect(clippy::disallowed_methods, reason = "only paces the progress line; nothing waits for it")]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
