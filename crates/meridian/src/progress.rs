//! Progress of whatever takes more than a second: a bar on a terminal, lines elsewhere.
//!
//! Promises: nothing in the first second; then a bar at most ten times a second, or a line at most
//! every five seconds; the last state is always shown where anything was shown.

use crate::config::units::round_span;
use crate::table::thousands;
use crate::terminal::Terminal;
use std::io::Write;
use std::time::{Duration, Instant};

/// Progress of one piece of work.
pub struct Progress {
    terminal: Terminal,
    what: String,
    unit: &'static str,
    total: Option<u64>,
    started: Instant,
    shown: Option<Instant>,
}

const QUIET: Duration = Duration::from_secs(1);
const BAR_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_CHARS: usize = 30;

/// The monotonic clock of a client: nothing here is part of the store.
#[expect(clippy::disallowed_methods, reason = "clients measure by the system's own clock")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

impl Progress {
    /// Work that begins now, of `total` units where that is known.
    #[must_use]
    pub fn start(what: impl Into<String>, unit: &'static str, total: Option<u64>) -> Progress {
        Progress { terminal: Terminal::stderr(), what: what.into(), unit, total, started: now(), shown: None }
    }

    /// Since it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How much there is, where that is known only by now.
    pub fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// So much is done; `note` is said behind it.
    pub fn at(&mut self, done: u64, note: &str) {
        let every = if self.terminal.interactive { BAR_EVERY } else { LINE_EVERY };
        if self.started.elapsed() < QUIET || self.shown.is_some_and(|shown| shown.elapsed() < every) {
            return;
        }
        self.shown = Some(now());
        let line = line(&self.what, self.unit, done, self.total, self.started.elapsed(), note, self.terminal.interactive);
        let mut err = std::io::stderr().lock();
        // Progress that can't be written is no reason to stop the work.
        let _ = if self.terminal.interactive {
            let cut: String = line.chars().take(self.terminal.width - 1).collect();
            write!(err, "\r\u{1b}[2K{cut}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{line}")
        };
    }

    /// It is over: takes the bar away.
    pub fn end(&mut self) {
        if self.shown.take().is_some() && self.terminal.interactive {
            let mut err = std::io::stderr().lock();
            let _ = write!(err, "\r\u{1b}[2K").and_then(|()| err.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn line(what: &str, unit: &str, done: u64, total: Option<u64>, elapsed: Duration, note: &str, bar: bool) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    let amount = format!("{} {unit}, {}/s", thousands(done), thousands(rate as u64));
    let note = if note.is_empty() { String::new() } else { format!(", {note}") };
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{what}: {amount}{note}") };
    let part = (done as f64 / total as f64).clamp(0.0, 1.0);
    let left = Duration::from_secs_f64((elapsed.as_secs_f64() * (1.0 - part) / part.max(1e-6)).min(1e9));
    let left = if part > 0.0 && part < 1.0 { format!(", {} left", round_span(left)) } else { String::new() };
    if !bar {
        return format!("{what}: {:.0} %, {amount}{note}{left}", part * 100.0);
    }
    let full = (part * BAR_CHARS as f64) as usize;
    let bar: String = "█".repeat(full) + &"░".repeat(BAR_CHARS - full);
    format!("{what} {bar} {:3.0} %  {amount}{note}{left}", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_part_amount_rate_and_rest() {
        let second = Duration::from_secs(2);
        assert_eq!(
            line("import", "rows", 500, Some(1000), second, "3 bad", false),
            "import: 50 %, 500 rows, 250/s, 3 bad, 2.00 s left"
        );
        assert_eq!(line("import", "rows", 500, None, second, "", false), "import: 500 rows, 250/s");
        assert!(line("x", "rows", 9, Some(9), second, "", true).contains("100 %"));
        assert!(line("x", "rows", 0, Some(9), second, "", true).contains("0 %"));
    }
}
