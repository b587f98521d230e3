//! Reads what is typed as psql reads it: where a statement ends, where a backslash command begins, what is quoted.
//!
//! Promises: a semicolon or backslash within quotes, dollar quotes, comments or parentheses is text; variables
//! (`:name`, `:'name'`, `:"name"`, `:{?name}`) are replaced outside of quotes only, and stay as they are where there is
//! no such variable. What it may not know: what statements mean.

use super::variables::Variables;

/// Where the text stands between two lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Nothing,
    /// '..'; with backslash escapes or without.
    Text { escapes: bool },
    /// ".."
    Name,
    /// $tag$..$tag$: the whole mark.
    Dollars(String),
    /// /* .. */, so many deep.
    Comment(usize),
}

/// What ended a stretch of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The line.
    Line,
    /// A semicolon: the statement is whole.
    Semicolon,
    /// A backslash: a command begins behind it.
    Backslash,
}

/// A statement that grows line by line.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    /// The text so far, with variables replaced.
    pub text: String,
    inside: Inside,
    /// Parentheses that are open.
    open: usize,
    /// Whether there is more than blanks and comments.
    meant: bool,
}

/// Replacements in one line: a variable that names itself ends somewhere.
const REPLACED_MAX: usize = 1000;

impl Scanner {
    /// Whether there is anything to send.
    pub fn is_empty(&self) -> bool {
        !self.meant
    }

    /// Whether the text stands within quotes or a comment: then nothing but text may follow.
    pub fn is_inside(&self) -> bool {
        self.inside != Inside::Nothing
    }

    /// What a prompt shows of where the text stands, as psql does.
    pub fn mark(&self) -> char {
        match &self.inside {
            Inside::Text { .. } => '\'',
            Inside::Name => '"',
            Inside::Dollars(_) => '$',
            Inside::Comment(_) => '*',
            Inside::Nothing if self.open > 0 => '(',
            Inside::Nothing if self.meant => '-',
            Inside::Nothing => '=',
        }
    }

    /// Takes the statement out, and begins anew.
    pub fn take(&mut self) -> String {
        std::mem::take(self).text
    }

    /// Reads a line (without its end) from `at` on, to the first thing that ends a stretch; `at` is behind it then.
    pub fn read(&mut self, line: &mut String, at: &mut usize, variables: &Variables) -> Stop {
        let mut replaced = 0;
        while let Some(c) = line[*at..].chars().next() {
            let rest = &line[*at..];
            if self.inside != Inside::Nothing {
                let taken = self.within(rest);
                self.push(&rest[..taken]);
                *at += taken;
                continue;
            }
            match c {
                ';' if self.open == 0 => {
                    self.text.push(';');
                    *at += 1;
                    return Stop::Semicolon;
                }
                '\\' => {
                    *at += 1;
                    return Stop::Backslash;
                }
                ':' if replaced < REPLACED_MAX => match variables.replacement(rest, self.text.ends_with(':')) {
                    Some((length, value)) => {
                        replaced += 1;
                        line.replace_range(*at..*at + length, &value);
                    }
                    None => *at += self.plain(c, rest),
                },
                c => *at += self.plain(c, rest),
            }
        }
        self.push("\n");
        Stop::Line
    }

    /// Reads text that is outside of everything; how much of it was taken.
    fn plain(&mut self, c: char, rest: &str) -> usize {
        let mut taken = c.len_utf8();
        let mut means = !c.is_whitespace();
        match c {
            '\'' => self.inside = Inside::Text { escapes: self.escapes() },
            '"' => self.inside = Inside::Name,
            '(' => self.open += 1,
            ')' => self.open = self.open.saturating_sub(1),
            '-' if rest.starts_with("--") => (taken, means) = (rest.len(), false),
            '/' if rest.starts_with("/*") => {
                self.inside = Inside::Comment(1);
                (taken, means) = (2, false);
            }
            '$' => {
                if let Some(mark) = dollar_mark(rest).filter(|_| !self.text.ends_with(is_word)) {
                    taken = mark.len();
                    self.inside = Inside::Dollars(mark.to_owned());
                }
            }
            _ => {}
        }
        self.meant |= means;
        self.push(&rest[..taken]);
        taken
    }

    /// Whether the quote that begins here has backslash escapes: E'..'.
    fn escapes(&self) -> bool {
        let mut before = self.text.chars().rev();
        matches!(before.next(), Some('e' | 'E')) && !before.next().is_some_and(is_word)
    }

    /// Reads text within something, to its end or the line's; how much of it was taken.
    fn within(&mut self, rest: &str) -> usize {
        match &mut self.inside {
            Inside::Text { escapes: true } if rest.starts_with('\\') => {
                return 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            }
            // A doubled quote ends the text and begins it anew, which comes to the same.
            Inside::Text { .. } if rest.starts_with('\'') => self.inside = Inside::Nothing,
            Inside::Name if rest.starts_with('"') => self.inside = Inside::Nothing,
            Inside::Dollars(mark) if rest.starts_with(mark.as_str()) => {
                let length = mark.len();
                self.inside = Inside::Nothing;
                return length;
            }
            Inside::Comment(depth) if rest.starts_with("/*") => {
                *depth += 1;
                return 2;
            }
            Inside::Comment(depth) if rest.starts_with("*/") => {
                *depth -= 1;
                if *depth == 0 {
                    self.inside = Inside::Nothing;
                }
                return 2;
            }
            _ => {}
        }
        rest.chars().next().map_or(0, char::len_utf8)
    }

    fn push(&mut self, text: &str) {
        // Blanks before a statement are not part of it: lines are counted from its first word.
        if self.text.is_empty() && text.trim().is_empty() {
            return;
        }
        self.text.push_str(text);
    }
}

/// Whether the text that follows what `before` holds is whole: each statement ended, or a command given.
pub fn is_whole(before: &Scanner, text: &str) -> bool {
    let mut scanner = before.clone();
    let none = Variables::default();
    if scanner.text.is_empty() && matches!(text.trim().to_ascii_lowercase().as_str(), "" | "exit" | "quit" | "help") {
        return true;
    }
    for line in text.split('\n') {
        let (mut line, mut at) = (line.to_owned(), 0);
        loop {
            match scanner.read(&mut line, &mut at, &none) {
                Stop::Line => break,
                Stop::Semicolon => drop(scanner.take()),
                Stop::Backslash => return true,
            }
        }
    }
    scanner.is_empty() && !scanner.is_inside()
}

/// The mark that a dollar quote begins with.
fn dollar_mark(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 1;
    let tag = &rest[1..end];
    let plain = tag.chars().all(is_word) && !tag.starts_with(|c: char| c.is_ascii_digit());
    plain.then(|| &rest[..=end])
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stretches of a text, each with what ended it.
    fn stretches(text: &str, variables: &Variables) -> Vec<(String, Stop)> {
        let mut scanner = Scanner::default();
        let mut out = Vec::new();
        for line in text.split('\n') {
            let (mut line, mut at) = (line.to_owned(), 0);
            loop {
                let stop = scanner.read(&mut line, &mut at, variables);
                match stop {
                    Stop::Line => break,
                    Stop::Semicolon => out.push((scanner.take(), stop)),
                    Stop::Backslash => {
                        out.push((line[at..].to_owned(), stop));
                        break;
                    }
                }
            }
        }
        if !scanner.is_empty() || scanner.is_inside() {
            out.push((scanner.take(), Stop::Line));
        }
        out
    }

    #[test]
    fn statements_end_where_psql_ends_them() {
        for (text, expected) in [
            ("SELECT 1; SELECT 2;", &["SELECT 1;", "SELECT 2;"][..]),
            ("SELECT ';' || E'\\';' || \"a;b\";", &["SELECT ';' || E'\\';' || \"a;b\";"]),
            ("SELECT 'it''s;';x", &["SELECT 'it''s;';", "x\n"]),
            ("SELECT $a$ ; $b$ ; $a$;", &["SELECT $a$ ; $b$ ; $a$;"]),
            ("SELECT $1; b", &["SELECT $1;", "b\n"]),
            ("SELECT a$1$; b$1$;", &["SELECT a$1$;", "b$1$;"]),
            ("-- a; b\nSELECT 1 -- c;\n;", &["-- a; b\nSELECT 1 -- c;\n;"]),
            ("/* a; /* b */ ; */ SELECT (1;2);", &["/* a; /* b */ ; */ SELECT (1;2);"]),
            ("  \n\n SELECT\n1\n;", &["SELECT\n1\n;"]),
            ("SELECT 1 \\g out", &["g out", "SELECT 1 "]),
            ("-- only a comment", &[]),
            ("SELECT 'open; \\x", &["SELECT 'open; \\x\n"]),
        ] {
            let found: Vec<String> = stretches(text, &Variables::default()).into_iter().map(|(text, _)| text).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn variables_are_replaced_outside_of_quotes_only() {
        let mut variables = Variables::default();
        for (name, value) in [("t", "sam\"ples"), ("n", "7"), ("s", "it's"), ("q", "SELECT 1; SELECT :n;"), ("me", ":me")] {
            variables.set(name, value);
        }
        for (text, expected) in [
            ("SELECT :n;", &["SELECT 7;"][..]),
            ("SELECT ':n', \":n\" -- :n\n;", &["SELECT ':n', \":n\" -- :n\n;"]),
            ("SELECT :'s', :\"t\";", &["SELECT 'it''s', \"sam\"\"ples\";"]),
            ("SELECT a::n, :unknown, a[1:2];", &["SELECT a::n, :unknown, a[1:2];"]),
            (":q", &["SELECT 1;", "SELECT 7;"]),
            ("SELECT :{?n}, :{?nn};", &["SELECT TRUE, FALSE;"]),
            ("SELECT :me;", &["SELECT :me;"]),
        ] {
            let found: Vec<String> = stretches(text, &variables).into_iter().map(|(text, _)| text).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_whole_is_known() {
        let whole = |text: &str| is_whole(&Scanner::default(), text);
        assert!(whole("SELECT 1;") && whole("\\d") && whole("") && whole("quit") && whole("SELECT 1 \\gx") && whole("-- a"));
        assert!(!whole("SELECT 1") && !whole("SELECT 'a;\n") && !whole("SELECT (1;") && !whole("/* a") && !whole("a; b"));
    }
}
