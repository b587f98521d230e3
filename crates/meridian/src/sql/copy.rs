//! COPY between the server and files of the user's machine: `\copy`, and `COPY .. FROM STDIN` in a script.
//!
//! Promises: data go through in portions, never whole; Ctrl-C gives the COPY up, and the server keeps nothing of it.

use super::paper::shell;
use super::run::Way;
use super::shell::Shell;
use crate::Error;
use crate::progress::Progress;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::process::Stdio;

/// Bytes that are sent at once.
const PORTION_BYTES: usize = 256 << 10;

/// A `\copy` as it was written.
#[derive(Debug, PartialEq, Eq)]
struct Copy {
    /// The table with its columns, or the query in parentheses.
    what: String,
    /// Whether data go to the server.
    into: bool,
    place: Place,
    options: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    File(String),
    Program(String),
    /// Where the script's data and results are.
    Common,
    /// The process's own input and output.
    Process,
}

impl Copy {
    fn read(text: &str) -> Result<Copy, String> {
        let text = text.trim().trim_end_matches(';').trim_end();
        let (at, length, into) = direction(text).ok_or("\\copy: write \\copy TABLE|(QUERY) FROM|TO FILE [OPTIONS]")?;
        let what = text[..at].trim();
        if what.is_empty() {
            return Err("\\copy: the table or query is missing".to_owned());
        }
        let first = what.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        let is_query = matches!(first.as_str(), "select" | "with" | "values" | "table");
        let what = if is_query { format!("({what})") } else { what.to_owned() };
        let (word, rest) = word(text[at + length..].trim_start());
        let bare = word.to_ascii_lowercase();
        let (place, rest) = match bare.as_str() {
            "" => return Err("\\copy: the name of the file is missing".to_owned()),
            "stdin" | "stdout" => (Place::Common, rest),
            "pstdin" | "pstdout" => (Place::Process, rest),
            "program" => {
                let (command, rest) = self::word(rest.trim_start());
                (Place::Program(unquoted(command)), rest)
            }
            _ => (Place::File(home(&unquoted(word))), rest),
        };
        Ok(Copy { what, into, place, options: rest.trim().to_owned() })
    }
}

/// Where FROM or TO stands outside of parentheses and quotes: its place, its length, whether it is FROM.
fn direction(text: &str) -> Option<(usize, usize, bool)> {
    let (mut open, mut quote, mut at_word) = (0_usize, None, true);
    for (at, c) in text.char_indices() {
        match quote {
            Some(mark) => {
                if c == mark {
                    quote = None;
                }
                continue;
            }
            None => match c {
                '\'' | '"' => quote = Some(c),
                '(' => open += 1,
                ')' => open = open.saturating_sub(1),
                _ => {}
            },
        }
        if at_word && open == 0 {
            for (word, into) in [("from", true), ("to", false)] {
                let found = text.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
                let ends = text[at..].chars().nth(word.len()).is_none_or(|c| c.is_whitespace() || c == '\'');
                // A query of its own has a FROM too: what follows it is told by the last one.
                if found && ends && !(into && is_bare_query(text)) {
                    return Some((at, word.len(), into));
                }
            }
        }
        at_word = c.is_whitespace() || c == ')';
    }
    None
}

fn is_bare_query(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    matches!(first.as_str(), "select" | "with" | "values" | "table")
}

/// The word at the front, with its quotes, and what follows.
fn word(text: &str) -> (&str, &str) {
    if let Some(behind) = text.strip_prefix('\'') {
        let mut end = 0;
        while let Some(quote) = behind[end..].find('\'') {
            end += quote + 1;
            if !behind[end..].starts_with('\'') {
                return text.split_at(end + 1);
            }
            end += 1;
        }
        return (text, "");
    }
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

fn unquoted(word: &str) -> String {
    match word.strip_prefix('\'').and_then(|word| word.strip_suffix('\'')) {
        Some(inner) => inner.replace("''", "'"),
        None => word.to_owned(),
    }
}

/// `~/` as a shell reads it.
pub fn home(path: &str) -> String {
    match (path.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{home}/{rest}"),
        _ => path.to_owned(),
    }
}

/// Where the data of a COPY come from.
pub struct Data {
    reader: Box<dyn Read>,
    total: Option<u64>,
}

impl Shell {
    /// `\copy`.
    pub fn copy(&mut self, text: &str) -> bool {
        let copy = match Copy::read(text) {
            Ok(copy) => copy,
            Err(problem) => {
                self.complain(&problem);
                return false;
            }
        };
        let (direction, way) = match self.prepare(&copy) {
            Ok(way) => (if copy.into { "FROM STDIN" } else { "TO STDOUT" }, way),
            Err(error) => {
                self.complain(&error.to_string());
                return false;
            }
        };
        let sql = format!("COPY {} {direction} {}", copy.what, copy.options);
        let fine = self.send_and_show(sql.trim_end(), &way);
        self.data = None;
        fine
    }

    #[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
    fn prepare(&mut self, copy: &Copy) -> Result<Way, Error> {
        let mut way = Way { tagged: true, ..Way::default() };
        if !copy.into {
            way.to = match &copy.place {
                Place::File(name) => Some(name.clone()),
                Place::Program(command) => Some(format!("|{command}")),
                Place::Common => None,
                Place::Process => Some("/dev/stdout".to_owned()),
            };
            return Ok(way);
        }
        self.data = match &copy.place {
            Place::File(name) => {
                let failed = |cause| Error::File { path: Path::new(name).to_path_buf(), cause };
                let file = File::open(name).map_err(failed)?;
                let about = file.metadata().map_err(failed)?;
                if about.is_dir() {
                    return Err(failed(io::ErrorKind::IsADirectory.into()));
                }
                Some(Data { total: about.is_file().then_some(about.len()), reader: Box::new(file) })
            }
            Place::Program(command) => {
                let child = shell(command).stdout(Stdio::piped()).spawn().map_err(Error::system("starting a program"))?;
                child.stdout.map(|stdout| Data { reader: Box::new(stdout), total: None })
            }
            Place::Process => Some(Data { reader: Box::new(io::stdin()), total: None }),
            Place::Common => None,
        };
        Ok(way)
    }

    /// Sends the data that the server waits for.
    pub fn copy_from_source(&mut self) -> io::Result<()> {
        if let Some(data) = self.data.take() {
            return self.copy_data(data);
        }
        if self.sources.is_empty() && !self.interactive {
            return self.copy_data(Data { reader: Box::new(io::stdin()), total: None });
        }
        if self.sources.is_empty() {
            eprintln!("Enter the data, a row a line; a line \\. or Ctrl-D ends them.");
        }
        let mut portion = Vec::new();
        loop {
            let line = match self.sources.last_mut() {
                Some(source) => source.next()?,
                None => {
                    let mut line = String::new();
                    let read = io::stdin().lock().read_line(&mut line)?;
                    (read > 0).then(|| line.trim_end_matches('\n').to_owned())
                }
            };
            let ended = line.as_deref().is_none_or(|line| line.trim_end_matches('\r') == "\\.");
            if let Some(line) = line.filter(|_| !ended) {
                portion.extend_from_slice(line.as_bytes());
                portion.push(b'\n');
            }
            if !portion.is_empty() && (ended || portion.len() >= PORTION_BYTES) {
                if !self.send_portion(&portion)? {
                    return Ok(());
                }
                portion.clear();
            }
            if ended {
                return self.link.borrow_mut().end_copy(None);
            }
        }
    }

    fn copy_data(&mut self, mut data: Data) -> io::Result<()> {
        let mut progress = Progress::start("copy", "bytes", data.total);
        let mut portion = vec![0; PORTION_BYTES];
        let mut sent = 0;
        loop {
            match data.reader.read(&mut portion) {
                Ok(0) => {
                    progress.end();
                    return self.link.borrow_mut().end_copy(None);
                }
                Ok(count) => {
                    if !self.send_portion(&portion[..count])? {
                        return Ok(());
                    }
                    sent += count as u64;
                    if self.interactive {
                        progress.at(sent, "");
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return self.link.borrow_mut().end_copy(Some(&format!("the data can't be read: {cause}"))),
            }
        }
    }

    /// Sends a portion; false where the COPY is over, given up or refused.
    fn send_portion(&mut self, portion: &[u8]) -> io::Result<bool> {
        let mut link = self.link.borrow_mut();
        if link.is_interrupted() {
            link.end_copy(Some("interrupted"))?;
            return Ok(false);
        }
        if link.has_answer()? {
            return Ok(false);
        }
        link.send_copy(portion)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_read_as_psql_reads_it() {
        let file = |name: &str| Place::File(name.to_owned());
        for (text, what, into, place, options) in [
            ("samples to 'a b.csv' csv header", "samples", false, file("a b.csv"), "csv header"),
            (
                "samples (tag, time) FROM /tmp/x WITH (FORMAT csv);",
                "samples (tag, time)",
                true,
                file("/tmp/x"),
                "WITH (FORMAT csv)",
            ),
            ("(SELECT 'to' FROM t WHERE (a) > 1) to out.txt", "(SELECT 'to' FROM t WHERE (a) > 1)", false, file("out.txt"), ""),
            ("SELECT a FROM t to 'it''s'", "(SELECT a FROM t)", false, file("it's"), ""),
            ("\"from\" from program 'zcat x.gz'", "\"from\"", true, Place::Program("zcat x.gz".to_owned()), ""),
            ("t from stdin", "t", true, Place::Common, ""),
            ("t TO pstdout csv", "t", false, Place::Process, "csv"),
        ] {
            let expected = Copy { what: what.to_owned(), into, place, options: options.to_owned() };
            assert_eq!(Copy::read(text), Ok(expected), "{text}");
        }
        for text in ["", "samples", "samples to", "from x"] {
            assert!(Copy::read(text).is_err(), "{text}");
        }
    }
}
