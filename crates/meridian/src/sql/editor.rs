//! The line editor: rustyline, with our colours, our completion, and statements of several lines.
//!
//! Promises: Enter ends a statement where it is whole, and begins another line where it is not. On a terminal that knows
//! no cursor (`TERM=dumb`) lines are read one by one, without colours.

use super::complete::Completer;
use super::paint::painted;
use super::scan::{Scanner, is_whole};
use crate::terminal::Terminal;
use rustyline::completion::Pair;
use rustyline::config::{BellStyle, CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Editor, Helper};
use std::borrow::Cow;

/// What was typed.
pub enum Typed {
    /// A statement or command, perhaps of several lines.
    Text(String),
    /// Ctrl-C: what was typed is dropped.
    Dropped,
    /// Ctrl-D.
    End,
}

/// The editor.
pub struct Lines {
    editor: Editor<Aid, MemHistory>,
}

/// What the editor asks us.
struct Aid {
    completer: Completer,
    /// What the lines before hold.
    before: Scanner,
    colours: bool,
    /// Whether a statement is edited as a whole; else line by line.
    whole: bool,
    words: &'static [&'static str],
}

impl Lines {
    /// An editor with that history.
    ///
    /// # Errors
    /// In words.
    pub fn new(completer: Completer, history: &[String], terminal: &Terminal) -> Result<Lines, String> {
        let config = Config::builder()
            .max_history_size(super::history::STATEMENTS_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(|error| error.to_string())?
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .bell_style(BellStyle::None)
            .bracketed_paste(true)
            .tab_stop(8)
            .build();
        let memory = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, memory).map_err(|error| error.to_string())?;
        editor.set_helper(Some(Aid {
            completer,
            before: Scanner::default(),
            colours: terminal.has_colours(),
            whole: terminal.has_cursor(),
            words: super::keywords::KEYWORDS,
        }));
        for statement in history {
            // One that can't be remembered is not missed.
            let _ = editor.add_history_entry(statement.as_str());
        }
        Ok(Lines { editor })
    }

    /// Reads a statement or command; `before` is what was typed of it before.
    ///
    /// # Errors
    /// In words.
    pub fn read(&mut self, prompt: &str, before: &Scanner) -> Result<Typed, String> {
        if let Some(aid) = self.editor.helper_mut() {
            aid.before = before.clone();
        }
        match self.editor.readline(prompt) {
            Ok(text) => Ok(Typed::Text(text)),
            Err(ReadlineError::Interrupted) => Ok(Typed::Dropped),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Remembers a statement for this session.
    pub fn remember(&mut self, text: &str) {
        let _ = self.editor.add_history_entry(text);
    }

    /// Lets completion ask for tables and functions again: they may have changed.
    pub fn forget_names(&mut self) {
        if let Some(aid) = self.editor.helper_mut() {
            aid.completer.forget();
        }
    }
}

impl Helper for Aid {}

impl Hinter for Aid {
    type Hint = String;
}

impl Validator for Aid {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if !self.whole || is_whole(&self.before, context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl rustyline::completion::Completer for Aid {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = self.completer.complete(&self.before.text, &line[..at]);
        // A quote that stands there already is not put in again.
        let closed = line[at..].starts_with('\'');
        let pair = |found: super::complete::Found| {
            let text = found.text.strip_suffix('\'').filter(|_| closed).unwrap_or(&found.text).to_owned();
            Pair { display: found.shown, replacement: text }
        };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Highlighter for Aid {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.colours { Cow::Owned(painted(line, self.words)) } else { Cow::Borrowed(line) }
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        if self.colours { Cow::Owned(format!("\u{1b}[1;34m{prompt}\u{1b}[0m")) } else { Cow::Borrowed(prompt) }
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        // Any character may change what a word is; moving about changes nothing.
        self.colours && kind != CmdKind::MoveCursor
    }
}
