//! Backslash commands: what was typed, and who does it.
//!
//! Promises: as psql's where psql has them; an unknown one is said, with how to find the others.

use super::copy::home;
use super::link::{Link, Secret, target};
use super::print::{Expand, FORMATS, Format, Look, clean};
use super::run::Way;
use super::shell::{Done, Shell};
use super::source::Source;
use super::variables::is_name;
use super::words::Words;
use crate::client::Defaults;
use crate::terminal::Ink;
use std::io::Write;

/// Commands whose argument is the rest of the line, whatever is in it.
const WHOLE_LINE: [&str; 4] = ["!", "copy", "plot", "h"];

impl Shell {
    /// Runs the command that `text` begins with (behind its backslash); how much of it was read, and whether it went
    /// well.
    pub fn command(&mut self, text: &str) -> (usize, bool) {
        let first = text.chars().next().unwrap_or(' ');
        let length = if first.is_alphanumeric() {
            text.find(|c: char| !c.is_alphanumeric() && c != '+' && c != '_').unwrap_or(text.len())
        } else {
            first.len_utf8().min(text.len())
        };
        let (name, rest) = text.split_at(length);
        let name = if name == "help" { "h" } else { name };
        if WHOLE_LINE.contains(&name) {
            return (text.len(), self.whole_line(name, rest.trim()));
        }
        let words = Words::read(rest, &self.variables);
        let done = self.with_words(name, &words.words);
        // What follows on this line is read after the command has done its work.
        (length + words.length, done)
    }

    fn whole_line(&mut self, name: &str, rest: &str) -> bool {
        match name {
            "!" => self.outside(rest),
            "copy" => self.copy(rest),
            "h" => self.help_sql(rest),
            _ => self.plot(rest),
        }
    }

    fn with_words(&mut self, name: &str, words: &[String]) -> bool {
        let word = words.first().map(String::as_str);
        match name {
            "q" | "quit" => {
                // In a script it ends that script.
                self.sources.last_mut().map_or_else(|| self.over = true, Source::end);
                true
            }
            "?" => self.help_commands(),
            "g" | "gx" => self.go(name == "gx", word),
            "gset" => self.go_set(word.unwrap_or_default()),
            "watch" => self.watch(words),
            "p" | "print" => self.print_buffer(),
            "r" | "reset" => {
                self.scanner.take();
                self.note("the statement is cleared")
            }
            "e" | "edit" => self.edit(word),
            "i" | "include" => self.include(word),
            "o" | "out" => self.output(word),
            "set" => self.set(words),
            "unset" => self.unset(word),
            "echo" | "qecho" | "warn" => self.echo(name, words),
            "c" | "connect" => self.reconnect(words),
            "conninfo" => self.connection(),
            "s" => self.history(word),
            "cd" => self.change_directory(word),
            "x" | "t" | "timing" | "format" | "pset" | "a" => self.appearance(name, words),
            _ => self.describe(name, word).unwrap_or_else(|| {
                self.complain(&format!("there is no command \\{}; \\? lists them", clean(name)));
                false
            }),
        }
    }

    /// What is told a person, and not written by a script.
    pub fn note(&mut self, text: &str) -> bool {
        if !self.quiet {
            self.say(text);
        }
        true
    }

    /// Something is wrong with a command.
    pub fn refuse(&mut self, problem: &str) -> bool {
        self.complain(problem);
        false
    }

    /// The statement that a command is about: the one being written, else the last one.
    pub fn pending(&mut self) -> Option<String> {
        let sql = if self.scanner.is_empty() { self.last.clone() } else { self.scanner.take() };
        self.scanner.take();
        let sql = sql.trim_end().to_owned();
        (!sql.is_empty()).then_some(sql)
    }

    fn go(&mut self, expanded: bool, to: Option<&str>) -> bool {
        let Some(sql) = self.pending() else { return self.refuse("there is no statement yet") };
        let expand = expanded.then_some(Expand::On);
        self.statement_to(&sql, &Way { to: to.map(home), expand, ..Way::default() })
    }

    fn go_set(&mut self, prefix: &str) -> bool {
        let Some(sql) = self.pending() else { return self.refuse("there is no statement yet") };
        if !self.statement_to(&sql, &Way { silent: true, ..Way::default() }) {
            return false;
        }
        if self.kept.rows.len() != 1 || self.kept.cut {
            return self.refuse(&format!(
                "\\gset needs one row; the statement gave {}",
                super::print::rows(self.kept.rows.len() as u64)
            ));
        }
        let row = std::mem::take(&mut self.kept.rows[0]);
        for (column, value) in self.kept.columns.iter().zip(row) {
            let name = format!("{prefix}{}", column.name);
            match value {
                _ if !is_name(&name) => continue,
                Some(value) => self.variables.set(&name, value),
                None => self.variables.unset(&name),
            }
        }
        true
    }

    fn print_buffer(&mut self) -> bool {
        let text = if self.scanner.text.trim().is_empty() { self.last.clone() } else { self.scanner.text.trim_end().to_owned() };
        if text.is_empty() {
            self.note("there is no statement yet")
        } else {
            self.write(&format!("{text}\n"));
            true
        }
    }

    fn include(&mut self, name: Option<&str>) -> bool {
        let Some(name) = name else { return self.refuse("\\i FILE: the name of the file is missing") };
        match Source::open(&home(name)) {
            Ok(source) => self.script(source),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn output(&mut self, to: Option<&str>) -> bool {
        match self.redirect(to.map(home).as_deref()) {
            Ok(()) => true,
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn set(&mut self, words: &[String]) -> bool {
        let Some((name, values)) = words.split_first() else {
            let all: String =
                self.variables.all().map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''"))).collect();
            self.write(&all);
            return true;
        };
        if !is_name(name) {
            return self.refuse(&format!("\"{}\" is no name of a variable: letters, digits and underscores", clean(name)));
        }
        self.variables.set(name, values.concat());
        true
    }

    fn unset(&mut self, name: Option<&str>) -> bool {
        let Some(name) = name else { return self.refuse("\\unset NAME: the name is missing") };
        self.variables.unset(name);
        true
    }

    fn echo(&mut self, name: &str, words: &[String]) -> bool {
        let (words, feed) = match words.split_first() {
            Some((first, rest)) if first == "-n" => (rest, ""),
            _ => (words, "\n"),
        };
        let text = format!("{}{feed}", words.join(" "));
        match name {
            "echo" => crate::terminal::say(&text),
            "warn" => eprint!("{text}"),
            _ => self.write(&text),
        }
        true
    }

    fn outside(&mut self, command: &str) -> bool {
        let _ = std::io::stdout().flush();
        let mut shell = if command.is_empty() {
            std::process::Command::new(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()))
        } else {
            super::paper::shell(command)
        };
        match shell.status() {
            Ok(status) => {
                status.success()
                    || !self.interactive && {
                        self.complain(&format!("the command ended with {status}"));
                        false
                    }
            }
            Err(cause) => self.refuse(&format!("the command can't be started: {cause}")),
        }
    }

    fn change_directory(&mut self, to: Option<&str>) -> bool {
        let to = to.map_or_else(|| std::env::var("HOME").unwrap_or_default(), home);
        match std::env::set_current_dir(&to) {
            Ok(()) => true,
            Err(cause) => self.refuse(&format!("{to}: {cause}")),
        }
    }

    fn reconnect(&mut self, words: &[String]) -> bool {
        let before = self.link.borrow().target.clone();
        let word = |i: usize| words.get(i).filter(|word| *word != "-").cloned();
        let found = if words.is_empty() {
            Ok(before)
        } else {
            let config = &before.config;
            let host = config.get_hosts().first().map(|host| match host {
                tokio_postgres::config::Host::Tcp(host) => host.clone(),
                tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
            });
            let port = word(3).map_or(Ok(config.get_ports().first().copied()), |port| port.parse().map(Some));
            let Ok(port) = port else { return self.refuse("\\c DATABASE USER HOST PORT: the port is no number") };
            let flags = Defaults {
                host: word(2).or(host),
                port,
                user: word(1).or_else(|| config.get_user().map(str::to_owned)),
                database: config.get_dbname().map(str::to_owned),
            };
            target(word(0).as_deref(), &flags)
        };
        let secret = if self.interactive { Secret::Needed } else { Secret::Never };
        match found.and_then(|target| Link::connect(target, secret)) {
            Ok(link) => {
                self.link.borrow_mut().end();
                *self.link.borrow_mut() = link;
                self.connection()
            }
            Err(error) => self.refuse(&format!("{error}; the connection is as before")),
        }
    }

    /// `\conninfo`.
    pub fn connection(&mut self) -> bool {
        let text = {
            let link = self.link.borrow();
            let config = &link.target.config;
            match &link.wire {
                None => "there is no connection; \\c makes one".to_owned(),
                Some(wire) => format!(
                    "{} as {} at {}, {}, process {}, server {}",
                    config.get_dbname().unwrap_or("meridian"),
                    config.get_user().unwrap_or("meridian"),
                    crate::client::place(config),
                    if wire.encrypted { "encrypted" } else { "not encrypted" },
                    wire.process(),
                    wire.parameters.get("server_version").map_or("unknown", String::as_str),
                ),
            }
        };
        self.note(&text)
    }

    fn appearance(&mut self, name: &str, words: &[String]) -> bool {
        let word = words.first().map(String::as_str);
        match (name, word) {
            ("pset", Some(what)) => {
                let value: Vec<String> = words[1..].to_vec();
                match what {
                    "format" => self.appearance("format", &value),
                    "expanded" | "x" => self.appearance("x", &value),
                    "tuples_only" | "t" => self.appearance("t", &value),
                    "null" => {
                        self.look.null = value.concat();
                        true
                    }
                    "pager" => self.switch("the pager", value.first().map(String::as_str), |shell| &mut shell.paged),
                    _ => self
                        .refuse(&format!("\\pset knows format, expanded, tuples_only, null and pager, not \"{}\"", clean(what))),
                }
            }
            ("format", Some(wanted)) => match Format::named(wanted) {
                Some(format) => {
                    self.look.format = format;
                    self.note(&format!("results are written as {}", format.name()))
                }
                None => self.refuse(&format!(
                    "there is no format \"{}\"; there are {}",
                    clean(wanted),
                    FORMATS.map(|(name, _)| name).join(", ")
                )),
            },
            ("format", None) => self.note(&format!("results are written as {}", self.look.format.name())),
            ("x", word) => {
                self.look.expand = match (word, self.look.expand) {
                    (Some("auto"), _) => Expand::Auto,
                    (Some("on"), _) | (None, Expand::Off | Expand::Auto) => Expand::On,
                    (Some("off"), _) | (None, Expand::On) => Expand::Off,
                    (Some(other), _) => return self.refuse(&format!("\\x takes on, off or auto, not \"{}\"", clean(other))),
                };
                let text = match self.look.expand {
                    Expand::On => "rows are written as records",
                    Expand::Off => "rows are written as a table",
                    Expand::Auto => "rows are written as records where a table does not fit",
                };
                self.note(text)
            }
            ("t", word) => self.switch("rows alone", word, |shell| &mut shell.look.bare),
            ("timing", word) => self.switch("the time of each statement", word, |shell| &mut shell.timing),
            _ => self.refuse("\\pset NAME VALUE: format, expanded, tuples_only, null, pager"),
        }
    }

    fn switch(&mut self, what: &str, word: Option<&str>, of: impl Fn(&mut Shell) -> &mut bool) -> bool {
        let switch = of(self);
        *switch = match word {
            Some("on" | "true" | "1") => true,
            Some("off" | "false" | "0") => false,
            None => !*switch,
            Some(other) => {
                let problem = format!("on or off, not \"{}\"", clean(other));
                return self.refuse(&problem);
            }
        };
        let text = format!("{what}: {}", if *of(self) { "on" } else { "off" });
        self.note(&text)
    }

    /// `\plot`: what is given, what is being written, or the last result.
    fn plot(&mut self, rest: &str) -> bool {
        let given = rest.trim().trim_end_matches(';').trim_end();
        let sql = if !given.is_empty() {
            Some(self.replaced(given))
        } else if self.scanner.is_empty() {
            None
        } else {
            self.pending()
        };
        if let Some(sql) = sql
            && !self.statement_to(&sql, &Way { silent: true, ..Way::default() })
        {
            return false;
        }
        self.done = Done::Drawn;
        self.draw()
    }

    /// Draws the last result.
    pub fn draw(&mut self) -> bool {
        let standard = self.paper.is_standard();
        let look = Look { unicode: self.look.unicode, ..self.look_now(standard, None) };
        match super::graph::drawn(&self.kept, &look, self.terminal()) {
            Ok(text) => {
                self.write(&text);
                true
            }
            Err(problem) => self.refuse(&problem),
        }
    }

    /// A text with variables replaced.
    fn replaced(&self, text: &str) -> String {
        let (mut line, mut at) = (text.to_owned(), 0);
        let mut scanner = super::scan::Scanner::default();
        while scanner.read(&mut line, &mut at, &self.variables) != super::scan::Stop::Line {}
        scanner.text.trim_end().to_owned()
    }

    /// `\e`: the statement in the user's editor.
    fn edit(&mut self, file: Option<&str>) -> bool {
        if !self.interactive {
            return self.refuse("\\e needs a terminal");
        }
        let text = if self.scanner.text.trim().is_empty() { self.last.clone() } else { self.scanner.text.clone() };
        match super::edit::edited(file.map(home), text.trim_end()) {
            Ok(text) => {
                self.scanner.take();
                let mut fine = true;
                for line in text.trim_end().split('\n') {
                    fine = self.line(line);
                }
                fine
            }
            Err(problem) => self.refuse(&problem),
        }
    }

    /// Whatever is bold where there is colour.
    pub fn bold(&self, text: &str) -> String {
        self.look_now(self.paper.is_standard(), None).terminal.ink(Ink::Bold, text)
    }
}
