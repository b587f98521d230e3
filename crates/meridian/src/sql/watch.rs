//! `\watch`: a statement again and again, drawn over what stood there before.
//!
//! Promises: Ctrl-C ends it, whether it waits or the server works; without a terminal the results follow each other.

use super::link::Link;
use super::run::Way;
use super::shell::{Done, Shell};
use crate::terminal::{self, Ink};
use std::time::Duration;

/// Seconds between two runs where nothing is said.
const EVERY_S: f64 = 2.0;

impl Shell {
    /// `\watch [SECONDS] [COUNT]`, or psql's `i=SECONDS c=COUNT`.
    pub fn watch(&mut self, words: &[String]) -> bool {
        let (mut every, mut count) = (EVERY_S, None);
        for (i, word) in words.iter().enumerate() {
            let (key, value) = word.split_once('=').unwrap_or((if i == 0 { "i" } else { "c" }, word));
            let read = match key {
                "i" | "interval" => {
                    value.parse().ok().filter(|s: &f64| s.is_finite() && (0.0..=86400.0).contains(s)).map(|s| every = s)
                }
                "c" | "count" => value.parse().ok().filter(|n: &u64| *n > 0).map(|n| count = Some(n)),
                _ => None,
            };
            if read.is_none() {
                return self.refuse("\\watch [SECONDS] [COUNT]: seconds from 0 to 86400, a count from 1");
            }
        }
        let drawn = self.done == Done::Drawn && self.scanner.is_empty();
        let Some(sql) = self.pending() else { return self.refuse("there is no statement yet") };
        let over = self.terminal().has_cursor() && self.paper.is_standard();
        // A pager would wait for somebody, and the time is in the title.
        let before = (self.paged, self.timing);
        (self.paged, self.timing) = (false, false);
        let fine = self.watch_each(&sql, drawn, over, Duration::from_secs_f64(every), count);
        (self.paged, self.timing) = before;
        fine
    }

    fn watch_each(&mut self, sql: &str, drawn: bool, over: bool, every: Duration, count: Option<u64>) -> bool {
        let mut done = 0;
        loop {
            let at = chrono::Local::now().format("%Y-%m-%d %H:%M:%S");
            let title = format!("{at}  every {} s{}", every.as_secs_f64(), if self.interactive { ", Ctrl-C ends" } else { "" });
            if over {
                // Home and clear: what was there may have been longer.
                terminal::say(&format!("\u{1b}[H\u{1b}[2J{}\n\n", self.terminal().ink(Ink::Dim, &title)));
            } else {
                self.write(&format!("{title}\n\n"));
            }
            let way = Way { silent: drawn, ..Way::default() };
            if !self.statement_to(sql, &way) || (drawn && !self.draw()) {
                return false;
            }
            done += 1;
            // Ctrl-C while the server worked, or while its answer was drawn, is meant as the end too.
            let ends = |link: &mut Link| link.is_interrupted() || link.wait(every);
            if count.is_some_and(|count| done >= count) || ends(&mut self.link.borrow_mut()) {
                if drawn {
                    self.done = Done::Drawn;
                }
                return true;
            }
        }
    }
}
