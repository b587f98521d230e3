//! A statement's way: sent, answered, shown.
//!
//! Promises: rows are shown as they come and not held; whoever leaves the pager, or whose disk is full, has the rest
//! cancelled at the server; each statement's errors, notices, tag and time are shown, in that order.

use super::paper::{self, Paper, Screen};
use super::print::{Expand, Format, Print, printer, rows};
use super::shell::{Done, Kept, Shell, span};
use crate::client::{Column, Event, Row};
use crate::progress::now;
use crate::terminal::Ink;
use std::io::{self, Write};

/// Where this one result goes, and how it looks.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// A file, or `|program`; None: where results go.
    pub to: Option<String>,
    /// As records, or not; None: as results look.
    pub expand: Option<Expand>,
    /// Kept alone: what is drawn is not written.
    pub silent: bool,
    /// The tag is shown even where the result goes to a file.
    pub tagged: bool,
}

/// A result that is being written.
struct Open {
    printer: Box<dyn Print>,
    count: u64,
    /// It can't be written any more.
    broken: bool,
}

/// What a result is written to.
enum Sheet {
    Screen(Screen),
    Own(Paper),
    Common,
    None,
}

impl Shell {
    /// Runs a statement and shows its results; false where it failed.
    pub fn statement(&mut self, sql: &str) -> bool {
        self.statement_to(sql, &Way::default())
    }

    /// The same, by that way.
    pub fn statement_to(&mut self, sql: &str, way: &Way) -> bool {
        self.last = sql.to_owned();
        if !way.silent {
            self.done = Done::Shown;
        }
        self.send_and_show(sql, way)
    }

    /// The same, without remembering it.
    pub fn send_and_show(&mut self, sql: &str, way: &Way) -> bool {
        let mut sheet = match self.sheet(way) {
            Ok(sheet) => sheet,
            Err(error) => {
                self.complain(&error.to_string());
                self.failed();
                return false;
            }
        };
        let started = now();
        let sent = self.link.borrow_mut().send(sql);
        let fine = sent.and_then(|()| self.answers(sql, way, &mut sheet));
        let fine = fine.unwrap_or_else(|cause| {
            self.lost(&cause.to_string());
            false
        });
        let elapsed = started.elapsed();
        let ended = match sheet {
            Sheet::Screen(mut screen) => screen.end(),
            Sheet::Own(paper) => paper.close(),
            Sheet::Common | Sheet::None => self.paper.flush(),
        };
        if let Err(cause) = ended
            && cause.kind() != io::ErrorKind::BrokenPipe
        {
            self.complain(&format!("the output can't be written: {cause}"));
        }
        if self.timing && !way.silent {
            let text = self.terminal().ink(Ink::Dim, &format!("Time: {}", span(elapsed)));
            self.say(&text);
        }
        if !fine {
            if self.link.borrow().interrupted > 0 {
                self.interrupted();
            }
            self.failed();
        }
        fine
    }

    fn sheet(&self, way: &Way) -> Result<Sheet, crate::Error> {
        if way.silent {
            return Ok(Sheet::None);
        }
        let terminal = self.terminal();
        Ok(match &way.to {
            Some(to) => Sheet::Own(Paper::open(to)?),
            None if self.paper.is_standard() && terminal.interactive => {
                let pager = if self.paged && self.interactive { paper::pager() } else { None };
                Sheet::Screen(Screen::new(pager, &terminal))
            }
            None => Sheet::Common,
        })
    }

    /// Takes what the server sends until it is ready again; whether all went well.
    fn answers(&mut self, sql: &str, way: &Way, sheet: &mut Sheet) -> io::Result<bool> {
        let mut open: Option<Open> = None;
        let mut fine = true;
        (self.left, self.copied) = (false, false);
        loop {
            let event = self.link.borrow_mut().next()?;
            match event {
                Event::Columns(columns) => open = Some(self.begin(&columns, way, sheet)),
                Event::Row(row) => {
                    if let Some(open) = &mut open {
                        self.row(open, row, sheet)?;
                    }
                }
                Event::Complete(tag) => self.complete(open.take(), &tag, way, sheet),
                Event::CopyIn => self.copy_from_source()?,
                Event::CopyOut => self.copied = true,
                Event::CopyData(data) => {
                    if !self.left && self.on(sheet).write_all(&data).is_err() {
                        self.left = true;
                        self.link.borrow_mut().cancel()?;
                    }
                }
                Event::Failed(report) => {
                    // What was written of a result stays, without a foot that says it is whole.
                    if let Some(mut open) = open.take() {
                        let _ = open.printer.end(self.on(sheet));
                    }
                    self.flush(sheet);
                    // Cancelled because whoever read the result left it: that is no failure.
                    if !(report.code == "57014" && self.left) {
                        self.show(&report, sql);
                        fine = false;
                    }
                }
                Event::Notice(report) => {
                    self.flush(sheet);
                    self.show(&report, sql);
                }
                Event::Notified(channel, text) => self.say(&format!("Notification on \"{channel}\": {text}")),
                Event::Ready => return Ok(fine),
                Event::Empty | Event::CopyDone => {}
            }
        }
    }

    /// What is held comes before what is said.
    fn flush(&mut self, sheet: &mut Sheet) {
        let _ = match sheet {
            Sheet::Screen(screen) => screen.end(),
            other => self.on(other).flush(),
        };
    }

    fn begin(&mut self, columns: &[Column], way: &Way, sheet: &Sheet) -> Open {
        let standard = matches!(sheet, Sheet::Screen(_));
        self.kept = Kept::of(columns);
        let look = self.look_now(standard, way.expand);
        Open { printer: printer(&look, columns), count: 0, broken: way.silent }
    }

    fn row(&mut self, open: &mut Open, row: Row, sheet: &mut Sheet) -> io::Result<()> {
        open.count += 1;
        if !open.broken
            && let Err(cause) = open.printer.row(&row, self.on(sheet))
        {
            open.broken = true;
            self.left = true;
            if cause.kind() != io::ErrorKind::BrokenPipe {
                self.complain(&format!("the output can't be written: {cause}"));
            }
            self.link.borrow_mut().cancel()?;
        }
        self.kept.row(row);
        Ok(())
    }

    fn complete(&mut self, open: Option<Open>, tag: &str, way: &Way, sheet: &mut Sheet) {
        let Some(mut open) = open else {
            self.tag(tag, way, sheet);
            return;
        };
        if open.broken {
            return;
        }
        let count = open.count;
        let records = way.expand.unwrap_or(self.look.expand) == Expand::On && count > 0;
        let footed = self.look.format == Format::Table && !self.look.bare && (self.interactive || !records);
        let ended = open.printer.end(self.on(sheet)).and_then(|()| {
            let foot = if footed { format!("({})\n", rows(count)) } else { String::new() };
            let gap = if footed && !self.interactive { "\n" } else { "" };
            write!(self.on(sheet), "{foot}{gap}")
        });
        if ended.is_err() {
            self.left = true;
        }
    }

    fn tag(&mut self, tag: &str, way: &Way, sheet: &mut Sheet) {
        if self.quiet || way.silent {
            return;
        }
        match sheet {
            Sheet::Own(_) if way.tagged => self.say(tag),
            Sheet::Own(_) | Sheet::None => {}
            // Among the data of a COPY to standard output it would be one of them.
            _ if self.copied => {}
            _ => {
                let _ = writeln!(self.on(sheet), "{tag}");
            }
        }
    }

    fn on<'a>(&'a mut self, sheet: &'a mut Sheet) -> &'a mut dyn Write {
        match sheet {
            Sheet::Screen(screen) => screen,
            Sheet::Own(paper) => paper,
            Sheet::Common => &mut self.paper,
            Sheet::None => {
                self.nothing = io::sink();
                &mut self.nothing
            }
        }
    }
}
