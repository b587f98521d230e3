//! What clients asked and what they were answered, and whether a database that keeps its promises can answer so.
//!
//! A key is one (tag, time); all values written to it are different, so a read names the write that it saw. Each operation has an
//! interval in which it may have taken effect:
//!
//! ```text
//! write, answered           [invoked, returned]
//! write, nothing known      [invoked, for ever)       it may come later, or never
//! read, primary             [invoked, returned]
//! read, bounded             [invoked - bound, returned]
//! read, session and any     (ever, returned]          session reads also stand in order with all else of their session
//! ```
//!
//! A value with its reads is a cluster. Cluster A comes before B where some operation of A ends before one of B begins, or where
//! one session has A and then B. All promises hold exactly where clusters can be put in one order, and no read ended before its
//! write began: write the clusters in that order, each with its write first. (Gibbons and Korach, "Testing shared memories",
//! 1997: with values written once this is no search.) An acknowledged write that is lost is such a circle, once it is read.
//!
//! It promises to find a history wrong exactly where it breaks a promise; what it says names key and values. It may not know how
//! anything is asked.

use std::collections::BTreeMap;
use std::time::Duration;

/// How fresh a read was asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// The newest there is.
    Primary,
    /// At least what the session has written and read.
    Session,
    /// At most so old.
    Bounded(Duration),
    /// Anything that was ever written.
    Any,
}

/// What was asked of a key. Value 0 stands for "nothing is there".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A value was written, one that nobody else writes.
    Write(u64),
    /// A value was read.
    Read(Consistency, u64),
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The session that it belongs to: one connection. Operations of a session follow each other.
    pub session: usize,
    /// The key.
    pub key: usize,
    /// What was asked, and read.
    pub action: Action,
    /// When it was asked, on the one monotonic clock of all clients.
    pub invoked: Duration,
    /// When it was answered; `None` for a write whose fate is not known. Reads without an answer and writes that certainly were
    /// not taken are left out.
    pub returned: Option<Duration>,
}

/// A value and who saw it.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    value: u64,
    /// When its write began.
    written: Duration,
    /// The first end of an operation of it.
    first_end: Duration,
    /// The last begin of one.
    last_begin: Duration,
}

/// Whether all promises hold; else what breaks one.
///
/// # Errors
/// The key, and the values that can't be put in an order.
pub fn check(operations: &[Operation]) -> Result<(), String> {
    let mut keys: BTreeMap<usize, Vec<Operation>> = BTreeMap::new();
    for operation in operations {
        keys.entry(operation.key).or_default().push(*operation);
    }
    keys.iter().try_for_each(|(key, operations)| check_key(operations).map_err(|what| format!("key {key}: {what}")))
}

fn check_key(operations: &[Operation]) -> Result<(), String> {
    let clusters = clusters(operations)?;
    let at: BTreeMap<u64, usize> = clusters.iter().enumerate().map(|(at, cluster)| (cluster.value, at)).collect();
    let mut later: Vec<Vec<usize>> = vec![Vec::new(); clusters.len()];
    for (from, one) in clusters.iter().enumerate() {
        let follows = |(to, other): (usize, &Cluster)| (from != to && one.first_end < other.last_begin).then_some(to);
        later[from].extend(clusters.iter().enumerate().filter_map(follows));
    }
    for (from, to) in in_sessions(operations) {
        later[at[&from]].push(at[&to]);
    }
    match circle(&later) {
        None => Ok(()),
        Some(circle) => {
            let values: Vec<u64> = circle.iter().map(|at| clusters[*at].value).collect();
            let of: Vec<&Operation> = operations.iter().filter(|operation| values.contains(&operation.value())).collect();
            Err(format!(
                "values {values:?} can't be put in an order (each must come before the next, the last before the first): {of:#?}"
            ))
        }
    }
}

impl Operation {
    fn value(&self) -> u64 {
        match self.action {
            Action::Write(value) | Action::Read(_, value) => value,
        }
    }

    /// When it may have taken effect.
    fn interval(&self) -> (Duration, Duration) {
        let end = self.returned.unwrap_or(Duration::MAX);
        match self.action {
            Action::Write(_) | Action::Read(Consistency::Primary, _) => (self.invoked, end),
            Action::Read(Consistency::Bounded(bound), _) => (self.invoked.saturating_sub(bound), end),
            Action::Read(Consistency::Session | Consistency::Any, _) => (Duration::ZERO, end),
        }
    }
}

/// Values with their operations; 0 was there from the beginning.
fn clusters(operations: &[Operation]) -> Result<Vec<Cluster>, String> {
    let nothing = Cluster { value: 0, written: Duration::ZERO, first_end: Duration::ZERO, last_begin: Duration::ZERO };
    let mut clusters = BTreeMap::from([(0, nothing)]);
    for operation in operations {
        if let Action::Write(value) = operation.action {
            let (begin, end) = operation.interval();
            let cluster = Cluster { value, written: begin, first_end: end, last_begin: begin };
            assert!(clusters.insert(value, cluster).is_none(), "value {value} is written once");
        }
    }
    for operation in operations.iter().filter(|operation| matches!(operation.action, Action::Read(..))) {
        let (begin, end) = operation.interval();
        let Some(cluster) = clusters.get_mut(&operation.value()) else {
            return Err(format!("a value was read that nobody wrote: {operation:?}"));
        };
        if end < cluster.written {
            return Err(format!("a value was read before it was written: {operation:?}"));
        }
        cluster.first_end = cluster.first_end.min(end);
        cluster.last_begin = cluster.last_begin.max(begin);
    }
    Ok(clusters.into_values().collect())
}

/// Which value comes before which by the order within sessions: of their acknowledged writes, and of reads that were asked to
/// see what the session has seen.
fn in_sessions(operations: &[Operation]) -> Vec<(u64, u64)> {
    let mut sessions: BTreeMap<usize, Vec<&Operation>> = BTreeMap::new();
    for operation in operations.iter().filter(|operation| operation.returned.is_some()) {
        if matches!(operation.action, Action::Write(_) | Action::Read(Consistency::Primary | Consistency::Session, _)) {
            sessions.entry(operation.session).or_default().push(operation);
        }
    }
    let mut pairs = Vec::new();
    for session in sessions.values_mut() {
        session.sort_by_key(|operation| operation.invoked);
        let follow = session.windows(2).map(|two| (two[0].value(), two[1].value()));
        pairs.extend(follow.filter(|(from, to)| from != to));
    }
    pairs
}

/// A circle of a graph, where there is one.
fn circle(later: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut before = vec![0_usize; later.len()];
    later.iter().flatten().for_each(|to| before[*to] += 1);
    let mut free: Vec<usize> = (0..later.len()).filter(|at| before[*at] == 0).collect();
    let mut left = later.len();
    while let Some(at) = free.pop() {
        left -= 1;
        for to in &later[at] {
            before[*to] -= 1;
            if before[*to] == 0 {
                free.push(*to);
            }
        }
    }
    // Whoever is left has somebody left before it: going back again and again comes round.
    let mut at = (left > 0).then(|| before.iter().position(|count| *count > 0))??;
    let mut path = Vec::new();
    while !path.contains(&at) {
        path.push(at);
        at = (0..later.len()).find(|from| before[*from] > 0 && later[*from].contains(&at))?;
    }
    let begin = path.iter().position(|on| *on == at)?;
    let mut circle = path.split_off(begin);
    circle.reverse();
    Some(circle)
}
