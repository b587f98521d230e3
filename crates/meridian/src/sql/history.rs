//! What was typed in earlier sessions.
//!
//! Promises: the file is the user's alone (0600), in the user's directory of data; a statement that holds a password is
//! never in it; two sessions at once both add to it. One statement a line, with line feeds and backslashes escaped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

/// Statements that are remembered.
pub const STATEMENTS_MAX: usize = 2000;
/// The longest that is.
const STATEMENT_BYTES_MAX: usize = 64 << 10;
/// A file that is longer is read from its end, and cut when it is next opened.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The file of the history.
pub struct History {
    path: Option<PathBuf>,
}

impl History {
    /// The file that is named, or the usual one: `$MERIDIAN_HISTORY`, `$XDG_DATA_HOME/meridian/history`,
    /// `~/.local/share/meridian/history`. `/dev/null` keeps none.
    pub fn usual() -> History {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data = || set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
        History { path: set("MERIDIAN_HISTORY").or_else(|| data().map(|data| data.join("meridian/history"))) }
    }

    /// What is in it, the oldest first.
    pub fn read(&self) -> Vec<String> {
        let Some(path) = self.path.as_ref().filter(|path| path.is_file()) else { return Vec::new() };
        let mut text = Vec::new();
        let file = open(OpenOptions::new().read(true), path);
        if file.and_then(|mut file| file.read_to_end(&mut text)).is_err() {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let kept = &lines[lines.len().saturating_sub(STATEMENTS_MAX)..];
        if text.len() as u64 > FILE_BYTES_MAX {
            let shorter = kept.iter().map(|line| format!("{line}\n")).collect::<String>();
            // Nothing is lost where that fails: the file is longer than need be.
            let _ = self.open().and_then(|mut file| file.set_len(0).and_then(|()| file.write_all(shorter.as_bytes())));
        }
        kept.iter().map(|line| unescaped(line)).collect()
    }

    /// Adds a statement; whether it is one to remember.
    pub fn add(&self, statement: &str) -> bool {
        if !is_kept(statement) {
            return false;
        }
        // A history that can't be written is no reason to trouble anybody: the session has its own.
        let line = format!("{}\n", escaped(statement));
        let _ = self.open().and_then(|mut file| file.write_all(line.as_bytes()));
        true
    }

    /// The file, made with its directories where it is not there.
    fn open(&self) -> std::io::Result<File> {
        let path = self.path.as_ref().ok_or(std::io::ErrorKind::NotFound)?;
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty() && !dir.exists()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let file = open(OpenOptions::new().append(true).create(true).mode(0o600), path)?;
        let about = file.metadata()?;
        if about.is_file() && about.permissions().mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        Ok(file)
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
fn open(options: &OpenOptions, path: &PathBuf) -> std::io::Result<File> {
    options.open(path)
}

/// Whether a statement may be remembered: none that holds a password.
fn is_kept(statement: &str) -> bool {
    let lower = statement.to_ascii_lowercase();
    let secret = lower.contains("password") || lower.contains("passwd") || lower.contains("secret") || has_password(&lower);
    !statement.trim().is_empty() && statement.len() <= STATEMENT_BYTES_MAX && !secret
}

/// Whether there is a URL with a password in it.
fn has_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let user = rest.split(['/', ' ', '\'']).next().unwrap_or_default();
        user.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescaped(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_read_and_passwords_are_not_added() {
        let dir = std::env::temp_dir().join(format!("meridian-history-{}", std::process::id()));
        let history = History { path: Some(dir.join("deep/history")) };
        assert!(history.read().is_empty());
        for text in ["SELECT 1;", "SELECT\n  '\\n';", "\\d samples"] {
            assert!(history.add(text), "{text}");
        }
        for text in ["ALTER USER a PASSWORD 'x';", "\\c postgres://u:p@h/d", "  ", "CREATE ROLE b WITH password='y';"] {
            assert!(!history.add(text), "{text}");
        }
        assert_eq!(history.read(), ["SELECT 1;", "SELECT\n  '\\n';", "\\d samples"]);
        let mode = std::fs::metadata(dir.join("deep/history")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
