//! Places in a statement: of a line and column, and of a word that an error names.
//!
//! Promises: characters are counted from 1; a word is never found within a literal or a comment.

/// The character (from 1) that stands at a line and column (both from 1).
pub(crate) fn position_of(sql: &str, line: u64, column: u64) -> Option<u32> {
    if line == 0 || column == 0 {
        return None;
    }
    let before: usize = sql.split('\n').take(usize::try_from(line - 1).ok()?).map(|text| text.chars().count() + 1).sum();
    u32::try_from(before as u64 + column).ok()
}

fn is_part(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
}

/// Whether a name or a quoted name begins at a character (from 1).
pub(super) fn begins_word(sql: &str, position: u32) -> bool {
    let mut letters = sql.chars().skip((position as usize).saturating_sub(2));
    let before = if position > 1 { letters.next() } else { None };
    !is_part(before) && letters.next().is_some_and(|letter| is_part(Some(letter)) || letter == '"')
}

/// The statement in small letters, what stands in literals and comments blanked; as many bytes as before.
fn bare(sql: &str) -> String {
    let lower = sql.to_ascii_lowercase();
    let mut out = Vec::with_capacity(lower.len());
    let bytes = lower.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &lower[at..];
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(inner) = rest.strip_prefix('\'') {
            inner.find('\'').map_or(rest.len(), |end| end + 2)
        } else if let Some(inner) = rest.strip_prefix("$$") {
            inner.find("$$").map_or(rest.len(), |end| end + 4)
        } else {
            let letter = rest.chars().next().map_or(1, char::len_utf8);
            out.extend_from_slice(&bytes[at..at + letter]);
            at += letter;
            continue;
        };
        out.resize(out.len() + length, b' ');
        at += length;
    }
    // Whole characters are kept or become blanks.
    String::from_utf8(out).unwrap_or(lower)
}

/// Where in the text a whole word stands, in bytes.
fn words<'a>(bare: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let found = bare.match_indices(word).map(|(at, _)| at);
    found.filter(|at| !is_part(bare[..*at].chars().next_back()) && !is_part(bare[at + word.len()..].chars().next()))
}

fn counted(sql: &str, byte: usize) -> Option<u32> {
    u32::try_from(sql.get(..byte)?.chars().count() + 1).ok()
}

/// The first place of a whole word in the statement, whatever its case.
pub(crate) fn find_word(sql: &str, word: &str) -> Option<u32> {
    let (bare, word) = (bare(sql), word.to_ascii_lowercase());
    let at = if word.is_empty() { None } else { words(&bare, &word).next() }?;
    counted(sql, at)
}

/// The first place where a word names a table: behind FROM and its like, with the schema before it; else its first place.
pub(super) fn find_relation(sql: &str, name: &str) -> Option<u32> {
    let (bare, word) = (bare(sql), name.to_ascii_lowercase());
    if word.is_empty() {
        return None;
    }
    // Back over `schema.` and quotes to where the name begins.
    let start = |at: usize| {
        let before = bare[..at].trim_end_matches('"');
        match before.strip_suffix('.') {
            Some(schema) => schema.trim_end_matches(|c: char| is_part(Some(c)) || matches!(c, '"' | '.')).len(),
            None => before.len(),
        }
    };
    let names = |at: &usize| {
        let before = bare[..*at].trim_end();
        let last = before.rsplit(|c: char| !is_part(Some(c))).next().unwrap_or_default();
        before.ends_with(',') || ["from", "join", "into", "update", "copy", "only", "table"].contains(&last)
    };
    let starts: Vec<usize> = words(&bare, &word).map(start).collect();
    let at = starts.iter().copied().find(names).or_else(|| starts.first().copied())?;
    counted(sql, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_outside_literals_and_comments() {
        assert_eq!(find_word("select 'b' -- b\n, /* b */ a_b, \"b\"", "b"), Some(33));
        assert_eq!(find_word("select '温度', B", "b"), Some(14));
        assert_eq!(find_word("select a", "b"), None);
        assert_eq!(find_relation("select t.x, 't' from a, s.T as u", "t"), Some(25));
        assert_eq!(find_relation("select nothing.x from \"nothing\"", "nothing"), Some(23));
        assert!(begins_word("select s.x", 8) && !begins_word("select s.x", 3) && !begins_word("select s.x", 7));
    }
}
