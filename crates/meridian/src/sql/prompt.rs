//! The conversation: prompt, statement, result, and so on.
//!
//! Promises: the prompt shows the database, whether a block of a transaction is open (`*`, or `!` where it failed) and
//! whether a statement goes on (`-`, a quote, a parenthesis).

use super::complete::Completer;
use super::editor::{Lines, Typed};
use super::history::History;
use super::shell::Shell;
use crate::terminal::Ink;
use std::io::Write;
use std::rc::Rc;

impl Shell {
    /// Talks with a person until that ends it.
    pub fn converse(&mut self) {
        let history = History::usual();
        let completer = Completer::new(Rc::clone(&self.link));
        let mut lines = match Lines::new(completer, &history.read(), &self.terminal()) {
            Ok(lines) => lines,
            Err(problem) => {
                self.complain(&format!("the terminal can't be used: {problem}"));
                self.status = super::shell::status::FAILED;
                return;
            }
        };
        self.greet();
        while !self.over {
            let prompt = self.prompt();
            let before = self.scanner.clone();
            match lines.read(&prompt, &before) {
                Ok(Typed::Text(text)) => {
                    if history.add(&text) {
                        lines.remember(&text);
                    }
                    for line in text.split('\n') {
                        self.line(line);
                    }
                    if changes_names(&text) {
                        lines.forget_names();
                    }
                }
                Ok(Typed::Dropped) => drop(self.scanner.take()),
                Ok(Typed::End) => self.over = true,
                Err(problem) => {
                    self.complain(&format!("the terminal can't be read: {problem}"));
                    self.over = true;
                }
            }
        }
    }

    /// `\s [FILE]`: what was typed, in this session and before.
    pub fn history(&mut self, to: Option<&str>) -> bool {
        let text: String = History::usual().read().into_iter().map(|statement| format!("{statement}\n")).collect();
        let Some(to) = to else {
            self.write(&text);
            return true;
        };
        let written = super::paper::Paper::open(&super::copy::home(to)).and_then(|mut paper| {
            let written = paper.write_all(text.as_bytes());
            written.and_then(|()| paper.close()).map_err(crate::Error::system("writing the history"))
        });
        written.map_or_else(|error| self.refuse(&error.to_string()), |()| true)
    }

    fn greet(&mut self) {
        if self.quiet {
            return;
        }
        let terminal = self.terminal();
        let name = terminal.ink(Ink::Bold, &format!("meridian sql {}", env!("CARGO_PKG_VERSION")));
        let help = terminal.ink(Ink::Dim, "Statements end with ; \\? lists the commands, Tab completes, Ctrl-D ends.");
        self.say(&name);
        self.connection();
        self.say(&help);
    }

    fn prompt(&self) -> String {
        let link = self.link.borrow();
        let database = link.target.config.get_dbname().unwrap_or("meridian");
        let block = match link.wire.as_ref().map(|wire| wire.block) {
            None => "!?",
            Some(b'T') => "*",
            Some(b'E') => "!",
            Some(_) => "",
        };
        format!("{database}{}{block}> ", self.scanner.mark())
    }
}

/// Whether completion must ask for names again after this.
fn changes_names(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    ["CREATE", "DROP", "ALTER", "\\C", "\\CONNECT", "SET"].iter().any(|word| upper.contains(word))
}
