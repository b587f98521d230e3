//! What the terminal can do: whether there is one, how wide it is, and whether colours are wanted.
//!
//! Promises: nothing but plain text where the output is no terminal or NO_COLOR is set.

use std::io::{IsTerminal, Write};

/// Writes to standard output. Where nobody reads it any more (a pipe into `head`) that is no reason to end: what is
/// under way goes on, and the exit status tells.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// How text is set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// For headings.
    Bold,
    /// For what matters less.
    Dim,
    /// For what is well.
    Green,
    /// For what is wrong.
    Red,
    /// For what can be typed.
    Cyan,
}

/// What standard output can do.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Whether a person looks at it.
    pub interactive: bool,
    /// Characters a line.
    pub width: usize,
    colours: bool,
}

/// The width where there is no terminal to ask.
const WIDTH: usize = 100;

impl Terminal {
    /// Of standard output.
    #[must_use]
    pub fn stdout() -> Terminal {
        Terminal::of(std::io::stdout().is_terminal())
    }

    /// Of standard error.
    #[must_use]
    pub fn stderr() -> Terminal {
        Terminal::of(std::io::stderr().is_terminal())
    }

    fn of(interactive: bool) -> Terminal {
        let width = if interactive { terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)) } else { None };
        let colours = interactive && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Terminal { interactive, width: width.unwrap_or(WIDTH).clamp(40, 200), colours }
    }

    /// A terminal that is none, for tests.
    #[cfg(test)]
    pub fn plain() -> Terminal {
        Terminal { interactive: false, width: WIDTH, colours: false }
    }

    /// The text in that ink, where there is colour.
    #[must_use]
    pub fn ink(&self, ink: Ink, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Green => "32",
            Ink::Red => "31",
            Ink::Cyan => "36",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
