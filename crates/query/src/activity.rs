//! What a session does, as `pg_stat_activity` tells it: its newest statement, since when, and whether one runs.
//!
//! Promises: of a text no more than `QUERY_BYTES_MAX` is kept; a note is one lock and one look at the clock.
//!
//! Shared state: one mutex a session, held for the length of a note or a look.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;

/// How much of a statement's text is kept and shown, in bytes.
const QUERY_BYTES_MAX: usize = 4096;

/// What a session does, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doing {
    /// The text of its newest statement.
    pub query: Option<Arc<str>>,
    /// When that began, by the wall clock in microseconds.
    pub query_start_us: Option<i64>,
    /// When it began or ceased to be at work.
    pub changed_us: i64,
    /// Statements that run now: where a client may ask several at a time, more than one.
    pub running: usize,
    /// Those of them that wait for their share of rows a second.
    pub waiting: usize,
}

/// What a session does.
pub(crate) struct Activity {
    /// When it was opened, by the wall clock in microseconds.
    pub opened_us: i64,
    doing: Mutex<Doing>,
    /// How often what it runs was cancelled.
    cancels: watch::Sender<u64>,
}

impl Activity {
    pub(crate) fn new(now_us: i64) -> Arc<Activity> {
        let doing = Mutex::new(Doing { changed_us: now_us, ..Doing::default() });
        Arc::new(Activity { opened_us: now_us, doing, cancels: watch::Sender::new(0) })
    }

    /// A statement begins.
    pub(crate) fn begin(&self, sql: &Arc<str>, now_us: i64) {
        let query = cut(sql);
        let mut doing = self.doing.lock();
        doing.query = Some(query);
        doing.query_start_us = Some(now_us);
        if doing.running == 0 {
            doing.changed_us = now_us;
        }
        doing.running += 1;
    }

    /// A statement has ended.
    pub(crate) fn end(&self, now_us: i64) {
        let mut doing = self.doing.lock();
        doing.running = doing.running.saturating_sub(1);
        if doing.running == 0 {
            doing.changed_us = now_us;
        }
    }

    /// A statement that was over as soon as it began.
    pub(crate) fn note(&self, sql: &Arc<str>, now_us: i64) {
        let query = cut(sql);
        let mut doing = self.doing.lock();
        doing.query = Some(query);
        doing.query_start_us = Some(now_us);
        doing.changed_us = now_us;
    }

    /// A statement waits for its share of rows a second, or does no longer.
    pub(crate) fn waits(&self, begins: bool) {
        let mut doing = self.doing.lock();
        doing.waiting = if begins { doing.waiting + 1 } else { doing.waiting.saturating_sub(1) };
    }

    /// What it runs is cancelled.
    pub(crate) fn cancel(&self) {
        self.cancels.send_modify(|count| *count += 1);
    }

    /// Changes each time that what it runs is cancelled, from now on.
    pub(crate) fn cancels(&self) -> watch::Receiver<u64> {
        self.cancels.subscribe()
    }

    /// What it does now.
    pub(crate) fn doing(&self) -> Doing {
        self.doing.lock().clone()
    }
}

/// As much of a text as is kept.
fn cut(sql: &Arc<str>) -> Arc<str> {
    if sql.len() <= QUERY_BYTES_MAX {
        return Arc::clone(sql);
    }
    let end = (0..=QUERY_BYTES_MAX).rev().find(|at| sql.is_char_boundary(*at)).unwrap_or(0);
    sql[..end].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_statement_is_told_and_when_the_last_of_several_ended() {
        let activity = Activity::new(5);
        assert_eq!(activity.doing(), Doing { changed_us: 5, ..Doing::default() });
        activity.begin(&"a".into(), 10);
        activity.begin(&"b".into(), 20);
        activity.end(30);
        let doing = activity.doing();
        assert_eq!((doing.query.as_deref(), doing.query_start_us, doing.running, doing.changed_us), (Some("b"), Some(20), 1, 10));
        activity.end(40);
        activity.end(50);
        assert_eq!((activity.doing().running, activity.doing().changed_us), (0, 50));
        activity.note(&"c".into(), 60);
        assert_eq!((activity.doing().query.as_deref(), activity.doing().changed_us), (Some("c"), 60));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long: Arc<str> = format!("x{}", "温".repeat(QUERY_BYTES_MAX)).into();
        let kept = cut(&long);
        assert!(kept.len() <= QUERY_BYTES_MAX && kept.len() > QUERY_BYTES_MAX - 3 && long.starts_with(&*kept));
        let short: Arc<str> = "SELECT 1".into();
        assert!(Arc::ptr_eq(&cut(&short), &short));
    }
}
