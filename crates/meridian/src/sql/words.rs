//! Arguments of backslash commands: words, quoted or not, with variables.
//!
//! Promises: as psql reads them: '..' with backslash escapes and doubled quotes, ".." kept as written, `:name` replaced,
//! `\\` ends the command.

use super::variables::Variables;

/// The words of a command's line, and where what follows it (behind `\\`) begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The words.
    pub words: Vec<String>,
    /// Bytes that belong to the command, its end included.
    pub length: usize,
}

impl Words {
    /// Reads them.
    pub fn read(text: &str, variables: &Variables) -> Words {
        let mut out = Words { words: Vec::new(), length: text.len() };
        let mut at = 0;
        loop {
            at += text[at..].find(|c: char| !c.is_whitespace()).unwrap_or(text.len() - at);
            let rest = &text[at..];
            if rest.is_empty() {
                return out;
            }
            if rest.starts_with("\\\\") {
                out.length = at + 2;
                return out;
            }
            // Another command begins: as psql has it, `\x \d` are two.
            if rest.starts_with('\\') && !out.words.is_empty() {
                out.length = at;
                return out;
            }
            let (word, length) = word(rest, variables);
            out.words.push(word);
            at += length;
        }
    }
}

/// The word at the front, and how long it is in the text.
fn word(text: &str, variables: &Variables) -> (String, usize) {
    let mut out = String::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        match c {
            c if c.is_whitespace() => break,
            '\'' => {
                let (value, length) = quoted(rest);
                out.push_str(&value);
                at += length;
            }
            '"' => {
                let end = rest[1..].find('"').map_or(rest.len(), |end| end + 2);
                out.push_str(&rest[..end]);
                at += end;
            }
            ':' => match variables.replacement(rest, false) {
                Some((length, value)) => {
                    let plain = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).map(|v| v.replace("''", "'"));
                    out.push_str(plain.as_deref().unwrap_or(&value));
                    at += length;
                }
                None => {
                    out.push(c);
                    at += 1;
                }
            },
            '\\' if at > 0 => break,
            c => {
                out.push(c);
                at += c.len_utf8();
            }
        }
    }
    (out, at)
}

fn quoted(text: &str) -> (String, usize) {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                out.push('\'');
                chars.next();
            }
            '\'' => return (out, at + 1),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c) => out.push(c),
                None => {}
            },
            c => out.push(c),
        }
    }
    (out, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_psql_reads_them() {
        let mut variables = Variables::default();
        variables.set("v", "a b");
        for (text, words, length) in [
            (" a  b ", &["a", "b"][..], 6),
            ("'a b' 'it''s' 'x\\ty'", &["a b", "it's", "x\ty"], 20),
            ("\"A b\".c :v :'v' :w", &["\"A b\".c", "a b", "a b", ":w"], 18),
            ("a \\\\ SELECT 1;", &["a"], 4),
            ("a \\d b", &["a"], 2),
            ("", &[], 0),
        ] {
            let found = Words::read(text, &variables);
            assert_eq!(
                (found.words.as_slice(), found.length),
                (words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>().as_slice(), length),
                "{text}"
            );
        }
    }
}
