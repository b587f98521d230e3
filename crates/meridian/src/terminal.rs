//! What the terminal can do: whether there is one, how wide it is, and whether colours are wanted.
//!
//! Promises: nothing but plain text where the output is no terminal or NO_COLOR is set.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsRawFd;

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
    /// For literals, and for lines of a plot.
    Yellow,
    /// For lines of a plot.
    Blue,
    /// For lines of a plot.
    Magenta,
}

/// What standard output can do.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Whether a person looks at it.
    pub interactive: bool,
    /// Characters a line.
    pub width: usize,
    /// Lines a screen.
    pub height: usize,
    colours: bool,
}

/// The width where there is no terminal to ask.
const WIDTH: usize = 100;
/// The height there.
const HEIGHT: usize = 24;

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
        let size = if interactive { terminal_size::terminal_size() } else { None };
        let size = size.map(|(width, height)| (usize::from(width.0), usize::from(height.0)));
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let (width, height) = size.unwrap_or((WIDTH, HEIGHT));
        Terminal { interactive, width: width.clamp(40, 200), height: height.max(6), colours: interactive && wanted && !dumb }
    }

    /// The same without colours.
    #[must_use]
    pub fn without_colours(self) -> Terminal {
        Terminal { colours: false, ..self }
    }

    /// Whether what was written can be written over.
    #[must_use]
    pub fn has_cursor(&self) -> bool {
        self.interactive && std::env::var_os("TERM").is_some_and(|value| !value.is_empty() && value != "dumb")
    }

    /// Whether inks are seen.
    #[must_use]
    pub fn has_colours(&self) -> bool {
        self.colours
    }

    /// A terminal that is none, for tests.
    #[cfg(test)]
    pub fn plain() -> Terminal {
        Terminal { interactive: false, width: WIDTH, height: HEIGHT, colours: false }
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
            Ink::Yellow => "33",
            Ink::Blue => "34",
            Ink::Magenta => "35",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Whether more than ASCII can be drawn: a terminal that can, in a locale that does not say otherwise.
#[must_use]
pub fn draws_unicode() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    let utf8 = locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    utf8 && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// Asks for something on the terminal without showing it; None where Ctrl-C or Ctrl-D was the answer.
///
/// # Errors
/// Where there is no terminal.
#[expect(clippy::disallowed_methods, reason = "the terminal, which is no file of the store's")]
pub fn ask_secret(question: &str) -> io::Result<Option<String>> {
    let mut terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let quiet = Quiet::new(&terminal)?;
    terminal.write_all(question.as_bytes())?;
    let mut answer = Vec::new();
    let mut byte = [0];
    let given = loop {
        if terminal.read(&mut byte)? == 0 {
            break false;
        }
        match byte[0] {
            b'\r' | b'\n' => break true,
            // Ctrl-C; Ctrl-D.
            3 | 4 => break false,
            8 | 127 => {
                // Back over one character, not one byte.
                while answer.pop().is_some_and(|byte: u8| byte & 0xC0 == 0x80) {}
            }
            // Ctrl-U.
            21 => answer.clear(),
            other => answer.push(other),
        }
    };
    drop(quiet);
    terminal.write_all(b"\n")?;
    Ok(given.then(|| String::from_utf8_lossy(&answer).into_owned()))
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet {
    terminal: libc::c_int,
    before: libc::termios,
}

impl Quiet {
    fn new(terminal: &std::fs::File) -> io::Result<Quiet> {
        let terminal = terminal.as_raw_fd();
        let mut before = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the descriptor is open, and there is room for what is written.
        if unsafe { libc::tcgetattr(terminal, before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: tcgetattr succeeded, so all of it is written.
        let before = unsafe { before.assume_init() };
        let mut quiet = before;
        quiet.c_lflag &= !(libc::ECHO | libc::ICANON | libc::ISIG);
        // SAFETY: the descriptor is open and the settings are whole.
        if unsafe { libc::tcsetattr(terminal, libc::TCSAFLUSH, &raw const quiet) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Quiet { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: whoever made this holds the descriptor open for as long; the settings are those that were read.
        unsafe {
            libc::tcsetattr(self.terminal, libc::TCSAFLUSH, &raw const self.before);
        }
    }
}
