//! Writers that remember what was acknowledged: one a slice, each batch a number, a text and, every tenth time, a deletion of an
//! earlier number.

use crate::fleet::{RULE, SCHEDULER, TAGS, Table};
use cluster::data::{Batch, Client, Refused};
use cluster::fleet::{Lines, Roles};
use kernel::{Deletion, Write, compose};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use types::{NodeId, Origin, ProducerId, Samples, SliceId, TagId, TextColumn, TextSamples, Timestamp};

/// What was acknowledged of one slice: the numbers that must be there.
pub type Acknowledged = BTreeSet<u64>;

/// Who writes.
pub struct Writers {
    runtime: Arc<Runtime>,
    stop: Arc<AtomicBool>,
    acknowledged: Vec<Arc<Mutex<Acknowledged>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    pub fn start(runtime: &Arc<Runtime>, lines: &Arc<Lines>) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged: Vec<Arc<Mutex<Acknowledged>>> = (0..RULE.buckets).map(|_| Arc::default()).collect();
        let task = |(slice, acknowledged): (u32, &Arc<Mutex<Acknowledged>>)| {
            runtime.spawn(writer(SliceId(slice), Arc::clone(lines), Arc::clone(&stop), Arc::clone(acknowledged)))
        };
        let tasks = (0..).zip(&acknowledged).map(task).collect();
        Writers { runtime: Arc::clone(runtime), stop, acknowledged, tasks }
    }

    fn counts(&self) -> Vec<usize> {
        self.acknowledged.iter().map(|numbers| numbers.lock().len()).collect()
    }

    /// Until every slice has taken so many more writes.
    pub fn wait_for(&self, more: usize, patience: Duration) {
        let (begun, before) = (Instant::now(), self.counts());
        while self.counts().iter().zip(&before).any(|(count, before)| *count < before + more) {
            assert!(begun.elapsed() < patience, "writes of every slice: {before:?}, then {:?}", self.counts());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn stop(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::Release);
        self.tasks.into_iter().for_each(|task| self.runtime.block_on(task).expect("a writer panicked"));
        self.acknowledged.iter().map(|numbers| numbers.lock().clone()).collect()
    }
}

/// The tags of a slice: one of numbers, one of texts.
pub fn tags(slice: SliceId) -> (TagId, TagId) {
    (TagId(u64::from(slice.0)), TagId(u64::from(slice.0 + RULE.buckets)))
}

pub fn text(number: u64) -> String {
    format!("text {number}")
}

fn batch(slice: SliceId, number: u64) -> Batch {
    let (numbers, texts) = tags(slice);
    let (own, time, mut column) = ([[numbers], [texts]], [Timestamp(number as i64)], TextColumn::new());
    column.push(text(number).as_bytes());
    let bits = [(number as f64).to_bits()];
    let samples = [Samples::new(&own[0], &time, &bits, None).expect("columns of one length")];
    let texts = [TextSamples::new(&own[1], &time, &column, None).expect("columns of one length")];
    let deleted = Deletion::Points(vec![(numbers, Timestamp(number as i64 - 5))]);
    let deletions = if number.is_multiple_of(10) { vec![deleted] } else { Vec::new() };
    let write = Write { samples: &samples, texts: &texts, origin: None };
    let bodies = compose(&RULE, &Table, &write, &deletions).expect("known tags");
    let body = bodies.into_iter().find(|(of, _)| *of == slice).expect("all of it is of the slice").1;
    Batch { body, thinned: Vec::new() }
}

/// Writes 1, 2, 3 .. and asks node after node until each is acknowledged.
async fn writer(slice: SliceId, lines: Arc<Lines>, stop: Arc<AtomicBool>, acknowledged: Arc<Mutex<Acknowledged>>) {
    let (mut leader, mut turn): (Option<NodeId>, usize) = (None, 0);
    for number in 1.. {
        let origin = Origin { producer: ProducerId(u128::from(slice.0) + 1), number };
        loop {
            if stop.load(Ordering::Acquire) {
                return;
            }
            let nodes = lines.roster().with(Roles::DATA);
            let node = leader.unwrap_or(nodes[turn % nodes.len()]);
            let Ok(client) = Client::on(&lines, node, SCHEDULER, Duration::from_secs(1)) else { continue };
            match client.write(slice, origin, TAGS, batch(slice, number)).await {
                Ok(_) => break,
                Err(Refused::Invalid(text)) => panic!("slice {slice}, write {number}: {text}"),
                Err(Refused::NotPrimary { leader: Some(other) }) if other != node => leader = Some(other),
                Err(Refused::Busy) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(_) => {
                    (leader, turn) = (None, turn + 1);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        acknowledged.lock().insert(number);
    }
}
