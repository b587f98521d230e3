//! What the shell reads: scripts, and the data of a COPY that stand in them.
//!
//! Promises: lines are counted; `COPY .. FROM STDIN` in a script reads on in that script, to a line `\.`, as psql does.
//! Scripts within scripts end at a depth.

use super::scan::{Scanner, Stop};
use super::shell::{Shell, status};
use crate::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Scripts within scripts.
const DEPTH_MAX: usize = 64;

/// A script.
pub struct Source {
    reader: Box<dyn BufRead>,
    name: String,
    line: usize,
    /// `\q` was read in it.
    ended: bool,
}

impl Source {
    /// A file; `-` is standard input.
    ///
    /// # Errors
    /// `Error::File`.
    #[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
    pub fn open(name: &str) -> Result<Source, Error> {
        if name == "-" {
            return Ok(Source::of(Box::new(std::io::stdin().lock()), "<stdin>"));
        }
        let path = Path::new(name);
        let failed = |cause| Error::File { path: path.to_path_buf(), cause };
        if path.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        Ok(Source::of(Box::new(BufReader::new(File::open(path).map_err(failed)?)), name))
    }

    /// Text that is at hand.
    pub fn of(reader: Box<dyn BufRead>, name: &str) -> Source {
        Source { reader, name: name.to_owned(), line: 0, ended: false }
    }

    /// The next line without its end; None behind the last.
    ///
    /// # Errors
    /// Those of reading, and of what is no UTF-8.
    pub fn next(&mut self) -> std::io::Result<Option<String>> {
        let mut bytes = Vec::new();
        if self.ended {
            return Ok(None);
        }
        if self.reader.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        let text =
            String::from_utf8(bytes).map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8"))?;
        // A mark of the byte order, as some editors write it.
        Ok(Some(if self.line == 1 { text.trim_start_matches('\u{feff}').to_owned() } else { text }))
    }

    /// Nothing more is read from it.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Its name and the line that was read last.
    pub fn place(&self) -> Option<(&str, usize)> {
        (self.line > 0).then_some((self.name.as_str(), self.line))
    }
}

impl Shell {
    /// Runs a script to its end; false where it could not be read, or was ended by an error.
    pub fn script(&mut self, source: Source) -> bool {
        if self.sources.len() >= DEPTH_MAX {
            self.complain("scripts are nested too deep");
            return false;
        }
        // What a script leaves unfinished is its own.
        let scanner = std::mem::take(&mut self.scanner);
        self.sources.push(source);
        let mut fine = true;
        while !self.over {
            match self.sources.last_mut().map_or(Ok(None), Source::next) {
                Ok(Some(line)) => fine = self.line(&line),
                Ok(None) => break,
                Err(cause) => {
                    self.complain(&format!("the script can't be read: {cause}"));
                    fine = false;
                    break;
                }
            }
        }
        // As psql has it: the last statement needs no semicolon.
        let ended = self.sources.last().is_some_and(|source| source.ended);
        if !self.over && !ended && !self.scanner.is_empty() {
            let sql = self.scanner.take();
            fine = self.statement(sql.trim_end());
        }
        self.sources.pop();
        self.scanner = scanner;
        fine && self.status == 0
    }

    /// Reads a line: runs the statements and commands that end in it. False where the last of them failed.
    pub fn line(&mut self, line: &str) -> bool {
        let (mut line, mut at, mut fine) = (line.to_owned(), 0, true);
        if self.scanner.text.is_empty() && self.interactive {
            match line.trim() {
                "exit" | "quit" => {
                    self.over = true;
                    return true;
                }
                "help" => return self.help_first(),
                _ => {}
            }
        }
        while !self.over && !self.sources.last().is_some_and(|source| source.ended) {
            match self.scanner.read(&mut line, &mut at, &self.variables) {
                Stop::Line => break,
                Stop::Semicolon => {
                    let sql = self.scanner.take();
                    if sql.trim() != ";" {
                        fine = self.statement(&sql);
                    }
                }
                Stop::Backslash => {
                    let rest = line[at..].to_owned();
                    let (used, done) = self.command(&rest);
                    at += used;
                    fine = done;
                    if !done {
                        self.failed();
                    }
                }
            }
        }
        fine
    }

    /// Runs what was given with `-c`: one command, or statements that are sent as one. Statements with a command behind
    /// them are run one by one, as a script's: psql refuses those.
    pub fn given(&mut self, text: &str) -> bool {
        let fine = match text.trim_start().strip_prefix('\\') {
            Some(command) => self.command(command).1,
            None => match self.as_one(text) {
                Some(sql) => sql.is_empty() || self.statement(&sql),
                None => {
                    let last = text.split('\n').fold(true, |fine, line| if self.over { fine } else { self.line(line) });
                    let rest = if self.scanner.is_empty() || self.over { String::new() } else { self.scanner.take() };
                    if rest.is_empty() { last } else { self.statement(rest.trim_end()) }
                }
            },
        };
        if !self.over {
            self.status = if fine { 0 } else { status::FAILED };
        }
        fine
    }

    /// The text with variables replaced; None where a command stands in it.
    fn as_one(&self, text: &str) -> Option<String> {
        let mut scanner = Scanner::default();
        for line in text.split('\n') {
            let (mut line, mut at) = (line.to_owned(), 0);
            loop {
                match scanner.read(&mut line, &mut at, &self.variables) {
                    Stop::Line => break,
                    Stop::Semicolon => {}
                    Stop::Backslash => return None,
                }
            }
        }
        Some(scanner.text.trim_end().to_owned())
    }
}
