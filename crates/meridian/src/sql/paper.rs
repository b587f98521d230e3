//! Where results go: the terminal (through a pager where they are longer than the screen), a file, another program.
//!
//! Promises: on a terminal a result is held until it is longer than the screen, never beyond; what can't be written any
//! more (a pager that was left, a full disk) is an error at once.

use crate::Error;
use crate::terminal::{self, Terminal};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Where results go until it is said otherwise.
pub enum Paper {
    /// Standard output.
    Standard(BufWriter<Stdout>),
    /// A file.
    File(BufWriter<File>),
    /// The input of a program.
    Program(Child),
}

impl Paper {
    /// Standard output.
    pub fn standard() -> Paper {
        Paper::Standard(BufWriter::with_capacity(PORTION_BYTES, io::stdout()))
    }

    /// Opens a file, or a program where the name begins with `|`.
    ///
    /// # Errors
    /// `Error::File`, `Error::System`.
    #[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
    pub fn open(name: &str) -> Result<Paper, Error> {
        match name.strip_prefix('|') {
            Some(command) => {
                let child = shell(command).stdin(Stdio::piped()).spawn().map_err(Error::system("starting a program"))?;
                Ok(Paper::Program(child))
            }
            None => {
                let path = Path::new(name);
                let file = File::create(path).map_err(|cause| Error::File { path: path.to_path_buf(), cause })?;
                Ok(Paper::File(BufWriter::new(file)))
            }
        }
    }

    /// Whether it is standard output.
    pub fn is_standard(&self) -> bool {
        matches!(self, Paper::Standard(_))
    }

    /// Closes it: what was written is there then.
    ///
    /// # Errors
    /// Those of writing.
    pub fn close(self) -> io::Result<()> {
        match self {
            Paper::Standard(mut out) => out.flush(),
            Paper::File(mut file) => file.flush(),
            Paper::Program(mut child) => {
                drop(child.stdin.take());
                child.wait().map(drop)
            }
        }
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Paper::Standard(out) => out.write(bytes),
            Paper::File(file) => file.write(bytes),
            Paper::Program(child) => child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Paper::Standard(out) => out.flush(),
            Paper::File(file) => file.flush(),
            Paper::Program(child) => child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.flush(),
        }
    }
}

/// A command line for the user's shell.
pub fn shell(command: impl AsRef<OsStr>) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command);
    shell
}

/// What shows what is longer than the screen: `PSQL_PAGER`, `PAGER`, else less where it is installed.
pub fn pager() -> Option<String> {
    for name in ["PSQL_PAGER", "PAGER"] {
        if let Ok(command) = std::env::var(name) {
            return Some(command).filter(|command| !command.trim().is_empty());
        }
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).any(|dir| dir.join("less").is_file()).then(|| "less".to_owned())
}

/// Whether that pager shows inks.
pub fn shows_inks(pager: &str) -> bool {
    ["less", "most", "bat", "moar", "moor", "ov"].iter().any(|name| pager.contains(name))
}

/// A result on its way to a terminal.
pub struct Screen {
    pager: Option<String>,
    held: Vec<u8>,
    lines: usize,
    room: usize,
    child: Option<Child>,
}

impl Screen {
    /// With that pager, or none.
    pub fn new(pager: Option<String>, terminal: &Terminal) -> Screen {
        // The prompt and the time of the statement stand beneath.
        let room = terminal.height.saturating_sub(3);
        Screen { pager, held: Vec::new(), lines: 0, room, child: None }
    }

    fn open(&mut self, command: &str) -> io::Result<()> {
        let mut pager = shell(command);
        // As git has it: inks are shown, lines are cut, a short text ends at once, and the screen stays.
        if std::env::var_os("LESS").is_none() {
            pager.env("LESS", "SRFX");
        }
        if std::env::var_os("LESSCHARSET").is_none() && terminal::draws_unicode() {
            pager.env("LESSCHARSET", "utf-8");
        }
        self.child = Some(pager.stdin(Stdio::piped()).spawn()?);
        let held = std::mem::take(&mut self.held);
        self.write_all(&held)
    }

    /// Shows what is held, and waits for the pager to be left.
    ///
    /// # Errors
    /// Those of writing.
    pub fn end(&mut self) -> io::Result<()> {
        let shown = match self.child.as_mut() {
            None => io::stdout().write_all(&self.held).and_then(|()| io::stdout().flush()),
            Some(child) => match child.stdin.as_mut() {
                Some(stdin) => stdin.write_all(&self.held),
                None => Ok(()),
            },
        };
        self.held.clear();
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            child.wait()?;
        }
        shown
    }
}

/// Bytes that go to a pager at once.
const PORTION_BYTES: usize = 16 << 10;

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if let Some(child) = &mut self.child {
            if self.held.len() >= PORTION_BYTES {
                child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(&self.held)?;
                self.held.clear();
            }
            return Ok(bytes.len());
        }
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        if self.lines > self.room {
            match self.pager.clone() {
                Some(command) => self.open(&command)?,
                None => {
                    io::stdout().write_all(&self.held)?;
                    self.held.clear();
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
