//! The shell's state: the connection, the variables, how results look and where they go.
//!
//! Promises: `status` is what the process ends with; what is shown in colour is shown on a terminal only.

use super::link::{Answer, Link, Trouble};
use super::paper::{self, Paper};
use super::print::{Expand, Look};
use super::report;
use super::scan::Scanner;
use super::source::Source;
use super::variables::Variables;
use crate::Error;
use crate::client::{Column, Report, Row};
use crate::terminal::{Ink, Terminal};
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

/// Rows of the last result that are kept, for `\plot` and `\gset`.
const KEPT_ROWS: usize = 200_000;
/// Bytes of them.
const KEPT_BYTES: usize = 64 << 20;

/// The last result, or its beginning.
#[derive(Debug, Default)]
pub struct Kept {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Whether there were more.
    pub cut: bool,
    bytes: usize,
}

impl Kept {
    /// A result of these columns, without rows yet.
    pub fn of(columns: &[Column]) -> Kept {
        Kept { columns: columns.to_vec(), ..Kept::default() }
    }

    /// Keeps a row, while there is room.
    pub fn row(&mut self, row: Row) {
        self.bytes += row.iter().flatten().map(String::len).sum::<usize>();
        if self.cut || self.rows.len() >= KEPT_ROWS || self.bytes > KEPT_BYTES {
            self.cut = true;
        } else {
            self.rows.push(row);
        }
    }
}

/// What was done last, for `\watch` to do again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A statement was run.
    Shown,
    /// A result was drawn.
    Drawn,
}

/// The shell.
pub struct Shell {
    /// The connection; completion uses it too, while nothing else does.
    pub link: Rc<RefCell<Link>>,
    /// How results look.
    pub look: Look,
    /// Where they go.
    pub paper: Paper,
    /// Whether a person types.
    pub interactive: bool,
    /// Whether results longer than the screen go through a pager.
    pub paged: bool,
    /// Whether the time of each statement is said.
    pub timing: bool,
    /// Whether tags of commands are left out.
    pub quiet: bool,
    /// The variables.
    pub variables: Variables,
    /// The statement that is being written.
    pub scanner: Scanner,
    /// The last one that was sent.
    pub last: String,
    /// What was done with it.
    pub done: Done,
    /// What it gave.
    pub kept: Kept,
    /// What is read from, the innermost last.
    pub sources: Vec<Source>,
    /// Whether whoever read the last result left it before its end.
    pub left: bool,
    /// Whether the last statement was a COPY to us.
    pub copied: bool,
    /// Where the next COPY's data come from, if not from the script.
    pub data: Option<super::copy::Data>,
    /// Where what is kept alone is written.
    pub nothing: std::io::Sink,
    /// Whether to end.
    pub over: bool,
    /// The exit status.
    pub status: u8,
}

/// Exit statuses, as psql has them.
pub mod status {
    /// A statement given with `-c` failed, or something of the shell's own.
    pub const FAILED: u8 = 1;
    /// The connection was lost, or never there.
    pub const LOST: u8 = 2;
    /// A script was ended by an error, as `ON_ERROR_STOP` says.
    pub const STOPPED: u8 = 3;
    /// Ctrl-C.
    pub const INTERRUPTED: u8 = 130;
}

impl Shell {
    /// What standard output can do, and how wide it is now.
    pub fn terminal(&self) -> Terminal {
        Terminal::stdout()
    }

    /// How a result looks that is written now.
    pub fn look_now(&self, standard: bool, expand: Option<Expand>) -> Look {
        let terminal = self.terminal();
        let seen = standard && terminal.interactive;
        let inks = seen && (!self.paged || paper::pager().is_none_or(|pager| paper::shows_inks(&pager)));
        Look {
            expand: expand.unwrap_or(self.look.expand),
            across: seen.then_some(terminal.width),
            unicode: seen && self.look.unicode,
            terminal: if inks { terminal } else { terminal.without_colours() },
            ..self.look.clone()
        }
    }

    /// Says something of the shell's own, on standard output; not where nobody asked for words.
    pub fn say(&mut self, text: &str) {
        if self.paper.is_standard() {
            // What was written before stands before it.
            let _ = self.paper.flush();
        }
        crate::terminal::say(&format!("{text}\n"));
    }

    /// Says that something failed that is not a statement.
    pub fn complain(&mut self, problem: &str) {
        let _ = self.paper.flush();
        let terminal = Terminal::stderr();
        let place = self.place();
        let who = if self.interactive { String::new() } else { "meridian: ".to_owned() };
        eprintln!("{place}{}", terminal.ink(Ink::Red, &format!("{who}{problem}")));
    }

    /// Shows an error or a notice of the server's.
    pub fn show(&mut self, report: &Report, sql: &str) {
        let _ = self.paper.flush();
        eprint!("{}", report::shown(report, sql, &self.place(), &Terminal::stderr()));
    }

    /// Shows why there is no answer to a statement of the shell's own.
    pub fn trouble(&mut self, trouble: &Trouble, sql: &str) {
        match trouble {
            Trouble::Report(report) => self.show(report, sql),
            Trouble::Lost(cause) => self.lost(&cause.to_string()),
        }
    }

    /// The line of the script that is read, for messages.
    pub fn place(&self) -> String {
        match self.sources.iter().rev().find_map(Source::place) {
            Some((name, line)) => format!("meridian:{name}:{line}: "),
            None => String::new(),
        }
    }

    /// The connection is gone: a person gets another, a script ends.
    pub fn lost(&mut self, cause: &str) {
        self.link.borrow_mut().wire = None;
        self.complain(&format!("the connection was lost: {cause}"));
        if !self.interactive {
            (self.over, self.status) = (true, status::LOST);
            return;
        }
        let again = self.link.borrow_mut().again();
        match again {
            Ok(()) => self.say("connected again; settings of the session are as at its begin"),
            Err(error) => self.complain(&format!("{error}; \\c connects again")),
        }
    }

    /// Runs a statement of the shell's own; what goes wrong is shown.
    pub fn ask(&mut self, sql: &str) -> Option<Answer> {
        let answer = self.link.borrow_mut().ask(sql, None);
        answer.map_err(|trouble| self.trouble(&trouble, sql)).ok()
    }

    /// A statement of a script failed: what follows from it.
    pub fn failed(&mut self) {
        if self.variables.is_on("ON_ERROR_STOP") && !self.sources.is_empty() && !self.interactive && !self.over {
            (self.over, self.status) = (true, status::STOPPED);
        }
    }

    /// Ctrl-C in a script ends it.
    pub fn interrupted(&mut self) {
        if !self.interactive {
            (self.over, self.status) = (true, status::INTERRUPTED);
        }
    }

    /// Writes to where results go; what can't be written is said.
    pub fn write(&mut self, text: &str) {
        if let Err(cause) = self.paper.write_all(text.as_bytes()).and_then(|()| self.paper.flush())
            && !self.paper.is_standard()
        {
            self.complain(&format!("the output can't be written: {cause}"));
        }
    }

    /// Where results go from now on.
    pub fn redirect(&mut self, to: Option<&str>) -> Result<(), Error> {
        let paper = to.map_or_else(|| Ok(Paper::standard()), Paper::open)?;
        let before = std::mem::replace(&mut self.paper, paper);
        before.close().map_err(Error::system("closing the output"))
    }
}

/// A span as the shell says it.
pub fn span(elapsed: Duration) -> String {
    let ms = elapsed.as_secs_f64() * 1e3;
    match ms {
        ms if ms < 1000.0 => format!("{ms:.3} ms"),
        ms if ms < 60_000.0 => format!("{ms:.3} ms ({:.1} s)", ms / 1e3),
        ms => {
            let seconds = (ms / 1e3) as u64;
            format!("{ms:.0} ms ({:02}:{:02}:{:02})", seconds / 3600, seconds / 60 % 60, seconds % 60)
        }
    }
}
