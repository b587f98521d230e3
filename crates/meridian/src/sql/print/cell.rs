//! Cells as a terminal shows them: widths by the characters' own, nothing that moves the cursor.
//!
//! Promises: control characters are written as `\x1B`, never sent; a wide character counts two columns; tabs become
//! blanks; nothing is cut within a character.

use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns between the stops of tabs.
const TAB: usize = 8;

/// The text without what a terminal would obey; line feeds stay.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c.is_control() && c != '\n') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\n' => {
                out.push(c);
                column = 0;
                continue;
            }
            '\t' => out.extend(std::iter::repeat_n(' ', TAB - column % TAB)),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push(c),
        }
        column = width(out.rsplit('\n').next().unwrap_or_default());
    }
    Cow::Owned(out)
}

/// Columns that a line takes.
pub fn width(line: &str) -> usize {
    UnicodeWidthStr::width(line)
}

/// The line, cut to so many columns with a mark where it is longer.
pub fn cut<'a>(line: &'a str, columns: usize, mark: &str) -> Cow<'a, str> {
    if width(line) <= columns {
        return Cow::Borrowed(line);
    }
    let room = columns.saturating_sub(width(mark));
    let (mut used, mut end) = (0, 0);
    for (at, c) in line.char_indices() {
        let wide = c.width().unwrap_or(0);
        if used + wide > room {
            break;
        }
        used += wide;
        end = at + c.len_utf8();
    }
    Cow::Owned(format!("{}{mark}", &line[..end]))
}

/// The line with blanks before or behind it, to so many columns.
pub fn padded(line: &str, columns: usize, right: bool) -> String {
    let pad = columns.saturating_sub(width(line));
    if right { format!("{:pad$}{line}", "") } else { format!("{line}{:pad$}", "") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for (text, expected) in [
            ("plain\nlines", "plain\nlines"),
            ("a\u{1b}[2Jb", "a\\x1B[2Jb"),
            ("a\tb\n温\tc", "a       b\n温      c"),
            ("a\rb\u{85}", "a\\rb\\x85"),
        ] {
            assert_eq!(clean(text), expected);
        }
    }

    #[test]
    fn wide_characters_count_two() {
        assert_eq!(width("温度a"), 5);
        assert_eq!(cut("温度传感器", 10, "…"), "温度传感器");
        assert_eq!(cut("温度传感器", 6, "…"), "温度…");
        assert_eq!(cut("温度传感器", 5, "…"), "温度…");
        assert_eq!(padded("温", 4, true), "  温");
    }
}
