//! The live view: a terminal, keys, and a thread that asks the node.
//!
//! Promises: keys are answered while the node is asked; the terminal is left as it was found, whatever ends the view: a key, a
//! signal, an error, a panic.

use super::frame::{self, View};
use super::rates::Rates;
use super::sample::{Reader, Sample};
use super::screen::{Key, Screen};
use crate::terminal::{Ink, Terminal};
use crate::{Error, interrupt};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// How long keys are waited for at a time.
const LOOK: Duration = Duration::from_millis(50);

/// What the asking thread is told.
enum Wish {
    /// Cancel what a session runs, or end it.
    Signal { pid: i64, ends: bool },
}

/// What it tells.
enum News {
    Sample(Box<Sample>),
    Said(String),
    Failed(Error),
}

/// Shows until it is ended.
pub fn run(reader: Reader, every: Duration) -> Result<ExitCode, Error> {
    interrupt::listen();
    let (wishes, wished) = mpsc::channel();
    let (news, told) = mpsc::channel();
    let ask = move || ask(reader, every, &wished, &news);
    std::thread::Builder::new().name("top".to_owned()).spawn(ask).map_err(Error::system("starting a thread"))?;
    let screen = Screen::take().map_err(Error::system("taking the terminal over"))?;
    let (rates, view) = (Rates::default(), View::default());
    Live { wishes, told, rates, view, asked: None, said: String::new(), screen }.show()
}

/// Asks the node again and again, until nobody listens.
fn ask(mut reader: Reader, every: Duration, wished: &Receiver<Wish>, news: &Sender<News>) {
    loop {
        let next = crate::progress::now() + every;
        let sample = reader.read();
        let failed = sample.is_err();
        let told = sample.map_or_else(News::Failed, |sample| News::Sample(Box::new(sample)));
        if news.send(told).is_err() || failed {
            return;
        }
        loop {
            let left = next.saturating_duration_since(crate::progress::now());
            match wished.recv_timeout(left) {
                Ok(Wish::Signal { pid, ends }) => {
                    if news.send(News::Said(reader.signal(pid, ends))).is_err() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

struct Live {
    wishes: Sender<Wish>,
    told: Receiver<News>,
    rates: Rates,
    view: View,
    /// The session that is about to be cancelled or ended: it is asked for how.
    asked: Option<i64>,
    said: String,
    screen: Screen,
}

impl Live {
    fn show(mut self) -> Result<ExitCode, Error> {
        let mut size = (0, 0);
        loop {
            let mut changed = false;
            while let Ok(news) = self.told.try_recv() {
                match news {
                    News::Sample(sample) if !self.view.paused => self.rates.take(*sample),
                    News::Sample(_) => continue,
                    News::Said(said) => self.said = said,
                    News::Failed(error) => return Err(error),
                }
                changed = true;
            }
            if interrupt::asked() {
                return Ok(ExitCode::from(130));
            }
            for key in self.screen.keys(LOOK).map_err(Error::system("reading the terminal"))? {
                if let Some(code) = self.key(key) {
                    return Ok(code);
                }
                changed = true;
            }
            let terminal = Terminal::stdout();
            changed |= (terminal.width, terminal.height) != size;
            size = (terminal.width, terminal.height);
            if changed {
                self.draw()?;
            }
        }
    }

    /// Does what a key says; the exit status where it ends the view.
    fn key(&mut self, key: Key) -> Option<ExitCode> {
        if key == Key::Interrupt {
            return Some(ExitCode::from(130));
        }
        if let Some(pid) = self.asked.take() {
            let ends = match key {
                Key::Char(b'c') => false,
                Key::Char(b't') => true,
                _ => return None,
            };
            // Where the thread has ended its last news says why.
            let _ = self.wishes.send(Wish::Signal { pid, ends });
            return None;
        }
        self.said.clear();
        match key {
            Key::Char(b'q') | Key::Escape | Key::End => return Some(ExitCode::SUCCESS),
            Key::Char(b's') => self.view.order = self.view.order.next(),
            Key::Char(b'i') => self.view.with_idle = !self.view.with_idle,
            Key::Char(b' ') => self.view.paused = !self.view.paused,
            Key::Char(b'k') => self.asked = self.view.chosen,
            Key::Down => self.choose(1),
            Key::Up => self.choose(-1),
            Key::Char(_) | Key::Interrupt => {}
        }
        None
    }

    /// Chooses a session further down or up.
    fn choose(&mut self, step: isize) {
        let Some(sample) = self.rates.now() else { return };
        let pids: Vec<i64> = frame::listed(sample, &self.view).iter().map(|one| one.pid).collect();
        let at = self.view.chosen.and_then(|pid| pids.iter().position(|other| *other == pid));
        let next = match at {
            Some(at) => at.saturating_add_signed(step).min(pids.len().saturating_sub(1)),
            None => 0,
        };
        self.view.chosen = pids.get(next).copied();
    }

    fn draw(&mut self) -> Result<(), Error> {
        // One that has gone is not chosen any longer; another one's number may not take its place.
        if let Some(sample) = self.rates.now()
            && self.view.chosen.is_some_and(|pid| !sample.connections.iter().any(|one| one.pid == pid))
        {
            self.view.chosen = None;
            self.asked = None;
        }
        let terminal = Terminal::stdout();
        let mut lines = frame::lines(&self.rates, &self.view, &terminal);
        lines.truncate(terminal.height.saturating_sub(1));
        let foot = match self.asked {
            Some(pid) => format!("session {pid}: c cancels its statement, t ends the session, any other key leaves it"),
            None if !self.said.is_empty() => frame::fit(&self.said, terminal.width),
            None => "q quit   up/down choose   k cancel   s sort   i idle   space pause".to_owned(),
        };
        let foot = frame::fit(&foot, terminal.width.saturating_sub(1));
        let foot = terminal.ink(Ink::Cyan, &foot);
        self.screen.show(&lines, &foot, terminal.height).map_err(Error::system("writing to the terminal"))
    }
}
