//! `meridian top`: what a running node, or any door of a fleet, is doing, again and again.
//!
//! Promises: it is a client like any other, and shows what its role may see; where standard output is no terminal, or with `--once`, it
//! prints one frame of plain text; a terminal is left as it was found, however it ends.
//! What it may not know: the node's insides.
//!
//! ```text
//! node -> sample (tables, metrics) -> rates (differences of two, history) -> frame (lines) -> stdout | live (terminal, keys)
//! ```

mod frame;
mod live;
mod rates;
mod sample;
mod screen;

use crate::client::{Defaults, Session};
use crate::config::units::parse_span;
use crate::terminal::{Terminal, say};
use crate::{Error, interrupt, sql};
use rates::Rates;
use sample::Reader;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Keys: q quits; up and down choose a statement, k cancels it or ends its session; s sorts, i shows idle sessions too; space pauses.

Examples:
  meridian top
  meridian top --from postgres://meridian@10.0.0.5:5432/meridian --every 5s
  meridian top --once --every 10s                  one frame of plain text, for a script: rates are those of 10 s

The role needs membership in pg_monitor, or to be a superuser; to cancel others' statements, in pg_signal_backend.
Without --from: PGHOST, PGPORT, PGUSER, PGDATABASE and so on, then 127.0.0.1:5432/meridian.

Exit status: 0 well, 1 failed, 2 wrong command line, 130 interrupted.";

/// Watch a node
#[derive(Debug, clap::Args)]
#[command(about = "Watch what a node or a fleet is doing: load, rates, statements", after_help = EXAMPLES)]
pub struct Arguments {
    /// The node, or any of a fleet: postgres://user@host:port/database, with sslmode and sslrootcert as in psql
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// How long from one look to the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = every)]
    pub every: Duration,
    /// Print one frame and end; so it is too where standard output is no terminal
    #[arg(long)]
    pub once: bool,
}

/// How wide a frame is where there is no terminal: of statements enough is seen to know them by.
const WIDTH_OF_TEXT: usize = 200;
/// The shortest time from one look to the next: each is some questions to the node.
const EVERY_MIN: Duration = Duration::from_millis(100);

fn every(text: &str) -> Result<Duration, String> {
    let span = parse_span(text)?;
    if span < EVERY_MIN { Err("the shortest is 100ms".to_owned()) } else { Ok(span) }
}

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from asking the node.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let target = sql::target(arguments.from.as_deref(), &Defaults::default())?;
    let session = Session::connect_to(target, "meridian top")?;
    let reader = Reader::new(session)?;
    let mut terminal = Terminal::stdout();
    if !terminal.interactive {
        terminal.width = WIDTH_OF_TEXT;
    }
    if !arguments.once && terminal.has_cursor() && std::io::stdin().is_terminal() {
        return live::run(reader, arguments.every);
    }
    interrupt::listen();
    once(reader, arguments.every, &terminal)
}

/// Two samples, and what lies between them.
fn once(mut reader: Reader, every: Duration, terminal: &Terminal) -> Result<ExitCode, Error> {
    let mut rates = Rates::default();
    rates.take(reader.read()?);
    let until = crate::progress::now() + every;
    loop {
        interrupt::check()?;
        let left = until.saturating_duration_since(crate::progress::now());
        if left.is_zero() {
            break;
        }
        reader.rest(left.min(Duration::from_millis(100)));
    }
    rates.take(reader.read()?);
    let view = frame::View { with_idle: true, plain: true, ..frame::View::default() };
    let lines = frame::lines(&rates, &view, terminal);
    say(&(lines.join("\n") + "\n"));
    Ok(ExitCode::SUCCESS)
}
