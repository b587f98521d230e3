//! Clients of a fleet, many at a time and through all doors, and the history of what they were answered.
//!
//! ```text
//! registers  w.0, w.4, ..  one (tag, time) each, written over and over with values that nobody else writes: one key of the history
//! journals   w.1, w.5, ..  one a client: each write adds a row that stays
//! ```
//! Tags of four lie together, so that each slice has a register and a journal.
//!
//! It promises that whatever was answered is in the history, and that what was refused or not answered counts as unknown: it may
//! come later, or never. It may not know which faults there are.

use crate::history::{Action, Consistency, Operation, check};
use crate::{Dice, connect};
use futures::future::join_all;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Registers, and the most clients: one of each a slice.
const KEYS: usize = 8;
/// When a register's one sample is.
const MOMENT: &str = "2030-01-01 00:00:00+00";
/// A client that waits for longer connects again, maybe elsewhere.
const PATIENCE: Duration = Duration::from_secs(4);
/// How old what a `bounded` client reads may be.
const BOUND: Duration = Duration::from_millis(400);
/// Operations of one connection; then the client goes to another door with another consistency.
const SESSION_OPERATIONS: usize = 60;

/// What all clients share.
struct Shared {
    connections: Arc<Mutex<Vec<String>>>,
    logs: PathBuf,
    stop: AtomicBool,
    begun: Instant,
    sessions: AtomicUsize,
    values: AtomicU64,
    operations: Mutex<Vec<Operation>>,
    /// By client: rows of its journal that were acknowledged, and all that were sent.
    journals: Mutex<Vec<(BTreeSet<u64>, BTreeSet<u64>)>>,
    /// By client: how often it was answered.
    answers: Mutex<Vec<usize>>,
}

/// Clients that run until `end`.
pub struct Workload {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// Makes the tags, at a door where all is well.
///
/// # Panics
/// When they can't be made.
pub async fn make_tags(client: &Client) {
    let sql = "INSERT INTO tags (name, kind) SELECT 'w.' || i, 'f64' FROM generate_series(0, 31) AS g(i)";
    client.simple_query(sql).await.expect("tags are made");
}

impl Workload {
    /// Starts so many clients, at most eight, at the doors named by `connections`.
    #[must_use]
    pub fn start(connections: Arc<Mutex<Vec<String>>>, logs: PathBuf, clients: usize, seed: u64) -> Workload {
        assert!(clients <= KEYS, "each client has a journal in a slice of its own");
        let shared = Arc::new(Shared {
            connections,
            logs,
            stop: AtomicBool::new(false),
            begun: Instant::now(),
            sessions: AtomicUsize::new(0),
            values: AtomicU64::new(1),
            operations: Mutex::default(),
            journals: Mutex::new(vec![Default::default(); clients]),
            answers: Mutex::new(vec![0; clients]),
        });
        let client = |number| {
            let (shared, dice) = (Arc::clone(&shared), Dice::new(seed, number as u64 + 1));
            tokio::spawn(async move { run(&shared, number, dice).await })
        };
        let clients = (0..clients).map(client).collect();
        Workload { shared, clients }
    }

    /// Waits until every client was answered so many more times.
    ///
    /// # Panics
    /// When one was not within 120 s.
    pub async fn more(&self, answers: usize) {
        let from = self.shared.answers.lock().clone();
        let begun = Instant::now();
        loop {
            let now = self.shared.answers.lock().clone();
            if now.iter().zip(&from).all(|(now, from)| now - from >= answers) {
                return;
            }
            assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client found what can't be, see above");
            let late = begun.elapsed() > Duration::from_secs(120);
            assert!(!late, "each client is answered {answers} times: {from:?} became {now:?}; {}", self.shared.logs.display());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How often all clients together were answered.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.shared.answers.lock().iter().sum()
    }

    /// Ends the clients, reads everything once more from the primaries, and checks the history and the journals.
    ///
    /// # Panics
    /// When a promise is broken.
    pub async fn end(self, client: &Client) {
        self.shared.stop.store(true, Ordering::Release);
        for ended in join_all(self.clients).await {
            ended.expect("no client finds what can't be");
        }
        let mut session = Session::new(&self.shared, client, Consistency::Primary);
        for key in 0..KEYS {
            session.read(key, Reading::Scan).await.expect("a primary can be read when all is well");
        }
        let (logs, operations) = (self.shared.logs.display(), self.shared.operations.lock().clone());
        if let Err(why) = check(&operations) {
            panic!("{why}\nof {} operations; logs: {logs}", operations.len());
        }
        let journals = self.shared.journals.lock().clone();
        for (number, (acknowledged, sent)) in journals.iter().enumerate() {
            let there = journal(client, number).await;
            let lost: Vec<&u64> = acknowledged.difference(&there).collect();
            assert!(lost.is_empty(), "acknowledged and lost of client {number}: {lost:?}; logs: {logs}");
            let invented: Vec<&u64> = there.difference(sent).collect();
            assert!(invented.is_empty(), "never written by client {number}: {invented:?}; logs: {logs}");
        }
        let known: usize = journals.iter().map(|(acknowledged, _)| acknowledged.len()).sum();
        let all: usize = journals.iter().map(|(_, sent)| sent.len()).sum();
        eprintln!("{} operations hold; {known} of {all} writes were acknowledged", operations.len());
    }
}

/// All values of a client's journal.
async fn journal(client: &Client, number: usize) -> BTreeSet<u64> {
    let sql = format!("SELECT value FROM samples WHERE tag = '{}'", journal_tag(number));
    let rows = client.query(&sql, &[]).await.expect("a journal can be read when all is well");
    rows.iter().map(|row| row.get::<_, f64>(0) as u64).collect()
}

fn register_tag(key: usize) -> String {
    format!("w.{}", key * 4)
}

fn journal_tag(client: usize) -> String {
    format!("w.{}", client * 4 + 1)
}

/// By which way a register is read.
#[derive(Clone, Copy)]
enum Reading {
    /// A value at a time: the point path.
    Point,
    /// The snapshot value.
    Latest,
    /// A plan over all data nodes.
    Scan,
}

/// One connection.
struct Session<'a> {
    shared: &'a Shared,
    client: &'a Client,
    number: usize,
    consistency: Consistency,
}

/// A client: connects, works for a while, and connects again.
async fn run(shared: &Shared, number: usize, mut dice: Dice) {
    while !shared.stop.load(Ordering::Acquire) {
        let connections = shared.connections.lock().clone();
        let door = &connections[dice.below(connections.len())];
        // A door that is away: another one, after a breath.
        let Ok(Ok(client)) = tokio::time::timeout(PATIENCE, connect(door)).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let choices = [Consistency::Primary, Consistency::Session, Consistency::Bounded(BOUND), Consistency::Any];
        let mut session = Session::new(shared, &client, choices[dice.below(choices.len())]);
        if session.begin().await.is_none() {
            continue;
        }
        for _ in 0..SESSION_OPERATIONS {
            let key = dice.below(KEYS);
            let answered = match dice.below(8) {
                0..=3 => session.write(key, number).await,
                4 | 5 => session.read(key, Reading::Point).await,
                6 => session.read(key, Reading::Latest).await,
                _ => session.read(key, Reading::Scan).await,
            };
            if answered.is_none() || shared.stop.load(Ordering::Acquire) {
                break;
            }
            shared.answers.lock()[number] += 1;
        }
    }
}

impl Session<'_> {
    fn new<'a>(shared: &'a Shared, client: &'a Client, consistency: Consistency) -> Session<'a> {
        Session { shared, client, number: shared.sessions.fetch_add(1, Ordering::Relaxed), consistency }
    }

    async fn begin(&self) -> Option<()> {
        let how = match self.consistency {
            Consistency::Primary => "primary".to_owned(),
            Consistency::Session => "session".to_owned(),
            Consistency::Bounded(bound) => format!("bounded({})", bound.as_millis()),
            Consistency::Any => "any".to_owned(),
        };
        self.ask(&format!("SET read_consistency = '{how}'")).await.map(drop)
    }

    /// The rows, where the statement is answered within the patience.
    async fn ask(&self, sql: &str) -> Option<Vec<SimpleQueryMessage>> {
        let error = match tokio::time::timeout(PATIENCE, self.client.simple_query(sql)).await {
            Ok(Ok(messages)) => return Some(messages),
            Ok(Err(error)) => error,
            Err(_) => return None,
        };
        // 22: what was asked makes no sense; 42: it can't be understood. Neither is for a fault to say.
        let code = error.code().map_or("", |code| code.code());
        assert!(!code.starts_with("22") && !code.starts_with("42"), "{sql}: {error:?}; logs: {}", self.shared.logs.display());
        None
    }

    /// Writes a new value to a register, and to the client's journal.
    async fn write(&mut self, key: usize, client: usize) -> Option<()> {
        let value = self.shared.values.fetch_add(1, Ordering::Relaxed);
        let (register, journal) = (register_tag(key), journal_tag(client));
        let sql = format!(
            "INSERT INTO samples (tag, time, value) VALUES ('{register}', TIMESTAMPTZ '{MOMENT}', {value}), \
             ('{journal}', TIMESTAMPTZ '2024-01-01 00:00:00+00' + {value} * INTERVAL '1 second', {value})"
        );
        self.shared.journals.lock()[client].1.insert(value);
        let invoked = self.shared.begun.elapsed();
        let answered = self.ask(&sql).await;
        let returned = answered.is_some().then(|| self.shared.begun.elapsed());
        self.note(key, Action::Write(value), invoked, returned);
        if answered.is_some() {
            self.shared.journals.lock()[client].0.insert(value);
        }
        answered.map(drop)
    }

    async fn read(&mut self, key: usize, how: Reading) -> Option<()> {
        let tag = register_tag(key);
        let sql = match how {
            Reading::Point => format!("SELECT tag, value FROM samples WHERE tag = '{tag}' AND time = '{MOMENT}'"),
            Reading::Latest => format!("SELECT tag, value FROM latest WHERE tag = '{tag}'"),
            Reading::Scan => format!("SELECT tag, max(value) FROM samples WHERE time = '{MOMENT}' GROUP BY tag"),
        };
        let invoked = self.shared.begun.elapsed();
        let answered = self.ask(&sql).await?;
        let returned = Some(self.shared.begun.elapsed());
        let mut seen = [0; KEYS];
        for message in &answered {
            if let SimpleQueryMessage::Row(row) = message {
                let key =
                    (0..KEYS).find(|key| row.get(0) == Some(register_tag(*key).as_str())).expect("only registers are asked");
                seen[key] = row.get(1).and_then(|text| text.parse::<f64>().ok()).expect("a value is a number") as u64;
            }
        }
        let keys = if matches!(how, Reading::Scan) { 0..KEYS } else { key..key + 1 };
        for key in keys {
            self.note(key, Action::Read(self.consistency, seen[key]), invoked, returned);
        }
        Some(())
    }

    fn note(&self, key: usize, action: Action, invoked: Duration, returned: Option<Duration>) {
        self.shared.operations.lock().push(Operation { session: self.number, key, action, invoked, returned });
    }
}
