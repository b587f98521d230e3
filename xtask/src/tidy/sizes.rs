//! Sizes: 500 lines a file, 70 a function; exceptions stand in xtask/sizes.toml and may only shrink.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// What is too long: by "path" for files, "path:function" for functions.
struct Long {
    files: BTreeMap<String, usize>,
    functions: BTreeMap<String, usize>,
}

/// What grew, what is newly too long, and what need not be listed any more.
pub fn complaints(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let long = measure(root, files);
    let listed: Table = std::fs::read_to_string(root.join("xtask/sizes.toml")).unwrap_or_default().parse().unwrap_or_default();
    let mut out = Vec::new();
    for (section, found, limit) in [("files", &long.files, FILE_LINES_MAX), ("functions", &long.functions, FUNCTION_LINES_MAX)] {
        let empty = Table::new();
        let listed = listed.get(section).and_then(Value::as_table).unwrap_or(&empty);
        for (name, lines) in found {
            match listed.get(name).and_then(Value::as_integer) {
                None => out.push(format!("{name}: {lines} lines, more than {limit}: split it by subject")),
                Some(length) if *lines as i64 > length => {
                    out.push(format!("{name}: grew from {length} to {lines} lines: it may only shrink"))
                }
                Some(length) if (*lines as i64) < length => {
                    out.push(format!("{name}: shrank to {lines}: run cargo xtask tidy --shrink"))
                }
                Some(_) => {}
            }
        }
        for name in listed.keys().filter(|name| !found.contains_key(*name)) {
            out.push(format!("xtask/sizes.toml: {name} is short now: run cargo xtask tidy --shrink"));
        }
    }
    out
}

/// Writes smaller sizes down; never larger ones, never new names.
pub fn shrink(root: &Path, files: &[PathBuf]) -> Result<(), String> {
    let path = root.join("xtask/sizes.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("xtask/sizes.toml: {error}"))?;
    let listed: Table = text.parse().map_err(|error| format!("xtask/sizes.toml: {error}"))?;
    let long = measure(root, files);
    let mut out: String =
        text.lines().take_while(|line| line.starts_with('#')).fold(String::new(), |out, line| out + line + "\n");
    for (section, found) in [("files", &long.files), ("functions", &long.functions)] {
        let _ = writeln!(out, "[{section}]");
        for (name, length) in listed.get(section).and_then(Value::as_table).into_iter().flatten() {
            if let (Some(lines), Some(length)) = (found.get(name), length.as_integer()) {
                let _ = writeln!(out, "{name:?} = {}", length.min(*lines as i64));
            }
        }
        out.push('\n');
    }
    std::fs::write(&path, out.trim_end().to_owned() + "\n").map_err(|error| format!("xtask/sizes.toml: {error}"))
}

fn measure(root: &Path, files: &[PathBuf]) -> Long {
    let mut long = Long { files: BTreeMap::new(), functions: BTreeMap::new() };
    for file in files {
        let name = super::shown(root, file).into_owned();
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            long.files.insert(name.clone(), lines);
        }
        for (function, lines) in functions(&text) {
            if lines > FUNCTION_LINES_MAX {
                let longest = long.functions.entry(format!("{name}:{function}")).or_default();
                *longest = lines.max(*longest);
            }
        }
    }
    long
}

/// Every function with its length in lines, from `fn` to its closing brace.
fn functions(text: &str) -> Vec<(String, usize)> {
    let bare = blank(text);
    let mut out = Vec::new();
    // Open functions: name, first line, depth outside of the body. A signature waits in `pending` for its brace.
    let mut open: Vec<(String, usize, usize)> = Vec::new();
    let mut pending: Option<(String, usize)> = None;
    let (mut depth, mut brackets) = (0_usize, 0_usize);
    for (number, line) in bare.lines().enumerate() {
        let mut word = String::new();
        let mut after_fn = false;
        for letter in line.chars().chain([' ']) {
            if letter.is_alphanumeric() || letter == '_' {
                word.push(letter);
                continue;
            }
            if !word.is_empty() {
                if after_fn {
                    pending = Some((word.clone(), number));
                    brackets = 0;
                }
                after_fn = word == "fn";
                word.clear();
            }
            // `fn(u8)` is a type, not a function.
            after_fn &= letter.is_whitespace();
            match letter {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                ';' if brackets == 0 => pending = None,
                '{' => {
                    if let Some((name, first)) = pending.take() {
                        open.push((name, first, depth));
                    }
                    depth += 1;
                }
                '}' => {
                    depth = depth.saturating_sub(1);
                    if open.last().is_some_and(|(_, _, outside)| *outside == depth)
                        && let Some((name, first, _)) = open.pop()
                    {
                        out.push((name, number - first + 1));
                    }
                }
                _ => {}
            }
        }
    }
    out
}

/// The text with comments, strings and characters blanked, lines kept.
fn blank(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let end = match (letters[at], letters.get(at + 1)) {
            ('/', Some('/')) => until(&letters, at, |i| letters[i] == '\n'),
            ('/', Some('*')) => until(&letters, at + 2, |i| letters[i] == '/' && letters[i - 1] == '*' && i > at + 2) + 1,
            ('r', Some('#' | '"')) if at == 0 || !(letters[at - 1].is_alphanumeric() || letters[at - 1] == '_') => {
                raw_string(&letters, at)
            }
            ('"', _) => quoted(&letters, at, '"'),
            ('\'', Some('\\')) => quoted(&letters, at, '\''),
            ('\'', Some(_)) if letters.get(at + 2) == Some(&'\'') => at + 3,
            _ => at,
        };
        if end == at {
            out.push(letters[at]);
            at += 1;
        } else {
            let end = end.min(letters.len());
            out.extend(letters[at..end].iter().map(|letter| if *letter == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

fn until(letters: &[char], from: usize, found: impl Fn(usize) -> bool) -> usize {
    (from..letters.len()).find(|i| found(*i)).unwrap_or(letters.len())
}

fn quoted(letters: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < letters.len() && letters[i] != quote {
        i += if letters[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// The end of r"..." or r#"..."#; `at` itself where it is neither (a raw identifier).
fn raw_string(letters: &[char], at: usize) -> usize {
    let hashes = letters[at + 1..].iter().take_while(|letter| **letter == '#').count();
    if letters.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let closes =
        |i: usize| letters[i] == '"' && letters[i + 1..].iter().take(hashes).filter(|letter| **letter == '#').count() == hashes;
    until(letters, at + 2 + hashes, closes) + 1 + hashes
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn lengths_are_counted_whatever_strings_and_comments_hold() {
        let text = "fn a() {\n  let s = \"}\"; // }\n  let r = r#\"{\"#; let c = '{';\n}\nimpl X {\n  fn b(&self, f: fn(u8)) -> [u8; 2]\n  {\n    || {}\n  }\n  fn c();\n}\n";
        assert_eq!(functions(text), [("a".to_owned(), 4), ("b".to_owned(), 4)]);
    }
}
