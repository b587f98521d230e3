//! Colours of what is typed: keywords, literals, numbers, comments, commands.
//!
//! Promises: only colours are added, no character; quotes that are open are coloured to the end.

const KEYWORD: &str = "\u{1b}[1;35m";
const LITERAL: &str = "\u{1b}[32m";
const NUMBER: &str = "\u{1b}[33m";
const COMMENT: &str = "\u{1b}[2m";
const NAME: &str = "\u{1b}[36m";
const PLAIN: &str = "\u{1b}[0m";

/// The text with colours.
pub fn painted(text: &str, keywords: &[&str]) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (length, ink) = token(c, rest, keywords, text.len() == rest.len());
        let (token, behind) = rest.split_at(length);
        match ink {
            Some(ink) => {
                // A line feed within a colour would lose it on some terminals.
                let lines: Vec<String> = token.split('\n').map(|line| format!("{ink}{line}{PLAIN}")).collect();
                out.push_str(&lines.join("\n"));
            }
            None => out.push_str(token),
        }
        rest = behind;
    }
    out
}

/// The token at the front: how long, and its ink.
fn token(c: char, rest: &str, keywords: &[&str], first: bool) -> (usize, Option<&'static str>) {
    let until = |mark: &str, from: usize| rest[from..].find(mark).map_or(rest.len(), |at| from + at + mark.len());
    match c {
        '\\' if first => (rest.find(char::is_whitespace).unwrap_or(rest.len()), Some(NAME)),
        '\'' => (until("'", 1), Some(LITERAL)),
        '"' => (until("\"", 1), Some(NAME)),
        '-' if rest.starts_with("--") => (rest.find('\n').unwrap_or(rest.len()), Some(COMMENT)),
        '/' if rest.starts_with("/*") => (until("*/", 2), Some(COMMENT)),
        c if c.is_ascii_digit() => {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
            (end, Some(NUMBER))
        }
        c if c.is_alphabetic() || c == '_' => {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let upper = rest[..end].to_ascii_uppercase();
            (end, keywords.binary_search(&upper.as_str()).is_ok().then_some(KEYWORD))
        }
        c => (c.len_utf8(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::keywords::KEYWORDS;
    use super::*;

    #[test]
    fn only_colours_are_added() {
        for text in ["SELECT 'a\nb', 1.5 FROM \"T\" -- end", "\\d samples", "select 温度 /* open", "'open", "a_select 12ab"] {
            let mut plain = painted(text, KEYWORDS);
            for ink in [KEYWORD, LITERAL, NUMBER, COMMENT, NAME, PLAIN] {
                plain = plain.replace(ink, "");
            }
            assert_eq!(plain, text);
        }
        assert!(painted("select 1", KEYWORDS).starts_with(KEYWORD));
        assert!(!painted("selection", KEYWORDS).contains(KEYWORD));
    }
}
