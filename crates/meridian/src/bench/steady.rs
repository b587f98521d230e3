//! A steady load of small statements on a fleet, beside which something else is measured: each writes a sample to every slice.
//!
//! Promises: statements are sent once each, and one that fails is counted as failed and said; what was acknowledged is counted
//! again when the load ends.

use super::report::Figure;
use crate::Error;
use crate::client::Session;
use crate::progress::now;
use crate::table::thousands;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Slices of the fleet; a tag lies in each.
pub const SLICES: u64 = 24;
/// How long nothing may be acknowledged before the run fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A statement that was acknowledged.
struct Heard {
    begun: Instant,
    at: Instant,
}

/// A load under way.
pub struct Load {
    stop: AtomicBool,
    /// Numbers statements: their samples' times.
    next: AtomicU64,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    heard: Mutex<mpsc::Receiver<Heard>>,
}

/// A moment of a load.
pub struct Mark {
    at: Instant,
    acknowledged: u64,
}

/// How much was done in how long.
#[derive(Default)]
pub struct Rate {
    done: u64,
    took: Duration,
}

impl Rate {
    /// Adds what was done in another span.
    pub fn join(&mut self, other: Rate) {
        self.done += other.done;
        self.took += other.took;
    }

    /// Statements a second.
    pub fn of_a_second(&self) -> f64 {
        self.done as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// The flags of a fleet that takes the load: so many slices, neighbouring tags in different ones.
pub fn flags(further: &[String]) -> Vec<String> {
    let own = [format!("--rule-buckets={SLICES}"), "--rule-b1=1".to_owned()];
    own.into_iter().chain(further.iter().cloned()).collect()
}

/// Makes the load's tags, which must be the fleet's first.
///
/// # Errors
/// `Error::Node`.
pub fn create_tags(session: &Session) -> Result<(), Error> {
    let sql = format!("INSERT INTO tags (name, kind) SELECT 'k.' || i, 'f64' FROM generate_series(1, {SLICES}) AS g(i)");
    session.query(&sql).map(drop)
}

/// Runs something beside the load. What came of it, and the figure of statements that failed.
///
/// # Errors
/// Of what was run; `Error::Wrong` where a sample is missing that was acknowledged.
pub fn beside<T>(
    session: &Session,
    url: &str,
    connections: u32,
    work: impl FnOnce(&Load) -> Result<T, Error>,
) -> Result<(T, Figure), Error> {
    let (tell, heard) = mpsc::channel();
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let (acknowledged, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let load = Load { stop, next, acknowledged, failed, heard: Mutex::new(heard) };
    let outcome = std::thread::scope(|scope| {
        let writer = |tell: mpsc::Sender<Heard>| {
            let load = &load;
            scope.spawn(move || load.write(url, &tell))
        };
        let writers: Vec<_> = (0..connections).map(|_| writer(tell.clone())).collect();
        let outcome = work(&load);
        load.stop.store(true, Ordering::Release);
        for writer in writers {
            writer.join().unwrap_or_else(|_| Err(Error::Child("a writer panicked".to_owned())))?;
        }
        outcome
    })?;
    let (acknowledged, failed) = (load.acknowledged.load(Ordering::Relaxed), load.failed.load(Ordering::Relaxed));
    let found = session.number("SELECT count(*) FROM samples WHERE tag LIKE 'k.%'")?;
    let least = acknowledged * SLICES;
    if u64::try_from(found).unwrap_or(0) < least {
        return Err(Error::Wrong(format!("{} samples were acknowledged, {found} are there", thousands(least))));
    }
    let figure = Figure::new("failed statements", failed as f64, "statements").at_most(0.0);
    Ok((outcome, figure.with("acknowledged", acknowledged).with("connections", connections)))
}

impl Load {
    /// Writes statement after statement until it is told to stop.
    fn write(&self, url: &str, tell: &mpsc::Sender<Heard>) -> Result<(), Error> {
        let session = Session::connect(url, "meridian bench")?;
        while !self.stop.load(Ordering::Acquire) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let begun = now();
            let written = session.query(&format!(
                "INSERT INTO samples (tag, time, value) SELECT 'k.' || i, TIMESTAMPTZ '2024-01-01' + {number} * INTERVAL '1 second', i FROM generate_series(1, {SLICES}) AS g(i)"
            ));
            match written {
                Ok(_) => {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    // Whoever listens may have ended.
                    drop(tell.send(Heard { begun, at: now() }));
                }
                Err(fault) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    eprintln!("meridian: a statement failed: {fault}");
                }
            }
        }
        Ok(())
    }

    /// This moment.
    pub fn mark(&self) -> Mark {
        Mark { at: now(), acknowledged: self.acknowledged.load(Ordering::Relaxed) }
    }

    /// What was done since a moment.
    pub fn since(&self, mark: &Mark) -> Rate {
        Rate { done: self.acknowledged.load(Ordering::Relaxed) - mark.acknowledged, took: mark.at.elapsed() }
    }

    /// What is done in the time to come.
    pub fn over(&self, span: Duration) -> Rate {
        let mark = self.mark();
        pause(span);
        self.since(&mark)
    }

    /// When the first statement that was begun after a moment was acknowledged.
    ///
    /// # Errors
    /// `Error::Fleet` where none is for long.
    pub fn first_after(&self, gone: Instant) -> Result<Instant, Error> {
        let heard = self.heard.lock();
        loop {
            let next = heard.recv_timeout(PATIENCE);
            let Heard { begun, at } =
                next.map_err(|_| Error::Fleet(format!("nothing was acknowledged for {} s", PATIENCE.as_secs())))?;
            if begun >= gone {
                return Ok(at);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the load runs undisturbed for a while: that is what is measured")]
fn pause(span: Duration) {
    std::thread::sleep(span);
}
