//! The screen of a terminal, and its keys, taken over for a while.
//!
//! Promises: what was on the screen, and how the terminal takes keys, is as before once this is dropped; a sequence of a key that is not
//! known here is passed over as a whole, not taken for letters.
//!
//! By hand, since a library would cost more: crossterm reads keys through mio with features that nothing else here asks for, and with them
//! tokio, and all that stands on it, would be built anew.

use crate::terminal::say;
use std::io::{self, Write};
use std::time::Duration;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    Escape,
    /// Ctrl-C.
    Interrupt,
    /// A letter or another character of one byte.
    Char(u8),
    /// The terminal is gone.
    End,
}

/// The other screen, no cursor; and back.
const TAKE: &str = "\u{1b}[?1049h\u{1b}[?25l";
const GIVE_BACK: &str = "\u{1b}[0m\u{1b}[?25h\u{1b}[?1049l";
/// Keys that are read at one go.
const READ_BYTES: usize = 256;

/// The screen, until this is dropped.
pub struct Screen {
    before: libc::termios,
}

impl Screen {
    /// Takes it over.
    ///
    /// # Errors
    /// Where standard input is no terminal.
    pub fn take() -> io::Result<Screen> {
        let mut before = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: there is room for what is written; whether the descriptor is a terminal is told by the answer.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: tcgetattr succeeded, so all of it is written.
        let before = unsafe { before.assume_init() };
        let mut raw = before;
        raw.c_lflag &= !(libc::ECHO | libc::ICANON | libc::ISIG | libc::IEXTEN);
        raw.c_iflag &= !(libc::IXON | libc::ICRNL);
        raw.c_cc[libc::VMIN] = 0;
        raw.c_cc[libc::VTIME] = 0;
        set(&raw)?;
        say(TAKE);
        Ok(Screen { before })
    }

    /// The keys that come within that time; none where none does.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn keys(&self, within: Duration) -> io::Result<Vec<Key>> {
        let mut asked = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
        let ms = libc::c_int::try_from(within.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one descriptor, and the place for its answer.
        let ready = unsafe { libc::poll(&raw mut asked, 1, ms) };
        if ready == 0 {
            return Ok(Vec::new());
        }
        let interrupted = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
        if ready < 0 {
            let error = io::Error::last_os_error();
            return if interrupted(&error) { Ok(Vec::new()) } else { Err(error) };
        }
        let mut bytes = [0_u8; READ_BYTES];
        // SAFETY: as many bytes as there is room for.
        let read = unsafe { libc::read(libc::STDIN_FILENO, bytes.as_mut_ptr().cast(), bytes.len()) };
        match usize::try_from(read) {
            Ok(0) => Ok(vec![Key::End]),
            Ok(read) => Ok(parsed(&bytes[..read])),
            Err(_) => {
                let error = io::Error::last_os_error();
                if interrupted(&error) { Ok(Vec::new()) } else { Err(error) }
            }
        }
    }

    /// Shows lines from the top, and one at the bottom.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn show(&self, lines: &[String], foot: &str, height: usize) -> io::Result<()> {
        // At one go, so that nothing flickers: each line is written over the one before, and cleared behind it.
        let mut text = String::new();
        for (row, line) in lines.iter().enumerate() {
            text.push_str(&format!("\u{1b}[{};1H{line}\u{1b}[0m\u{1b}[K", row + 1));
        }
        text.push_str(&format!("\u{1b}[{};1H\u{1b}[J\u{1b}[{height};1H{foot}", lines.len() + 1));
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        say(GIVE_BACK);
        // Nobody is left to tell where the terminal is gone.
        let _ = set(&self.before);
    }
}

fn set(to: &libc::termios) -> io::Result<()> {
    // SAFETY: the settings are whole; whether the descriptor is a terminal is told by the answer.
    let done = unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, to) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes that came together as keys: a terminal sends each key's sequence at one go.
fn parsed(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        match (first, rest.first()) {
            (0x1B, Some(b'[' | b'O')) => {
                // Numbers and such, up to a letter or a tilde.
                let end = rest.iter().skip(1).position(|byte| (0x40..=0x7E).contains(byte)).map_or(rest.len(), |at| at + 2);
                match rest.get(end - 1) {
                    Some(b'A') => keys.push(Key::Up),
                    Some(b'B') => keys.push(Key::Down),
                    _ => {}
                }
                bytes = &rest[end..];
            }
            (0x1B, Some(_)) => bytes = &rest[1..],
            (0x1B, None) => keys.push(Key::Escape),
            (3, _) => keys.push(Key::Interrupt),
            (byte, _) => keys.push(Key::Char(*byte)),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_keys_or_nothing() {
        assert_eq!(
            parsed(b"q\x1b[A\x1bOB\x1b[1;5Cs\x1b[5~ \x03"),
            [Key::Char(b'q'), Key::Up, Key::Down, Key::Char(b's'), Key::Char(b' '), Key::Interrupt]
        );
        assert_eq!(parsed(b"\x1b"), [Key::Escape]);
        assert_eq!(parsed(b"\x1b["), []);
        assert_eq!(parsed(b"\x1bk"), [], "Alt and a letter is not that letter");
    }
}
