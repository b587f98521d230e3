//! `meridian backup`, `restore` and `backups`: a running node is copied to a repository, a store is made from there, and what is
//! there is shown, checked and removed. docs/operations.md says how they are used.
//!
//! Promises: a backup is taken by the node itself, while it goes on; Ctrl-C cancels it, and the repository is as it was. A restored
//! store is checked, block by block, before it is called whole.

pub mod archiver;
pub mod asked;
mod operator;
pub mod place;
mod restoring;
mod standing;

pub use operator::Operator;
pub use restoring::{RestoreArguments, restore};
pub use standing::{ArchiveFigures, ArchiveRow, archive_rows, archive_schema};

use crate::client::{Session, quote};
use crate::config::units::round_size;
use crate::progress::Progress;
use crate::table::{Table, thousands};
use crate::terminal::{Ink, Terminal, say};
use crate::{Error, interrupt};
use ::backup::{Head, Place, Range};
use chrono::{DateTime, Utc};
use serde_json::json;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use world::{Disk, RealClock, RealDisk};

/// How often progress is asked for.
const LOOK: Duration = Duration::from_millis(300);

/// Take a backup
#[derive(Debug, clap::Args)]
#[command(
    about = "Copy a running node to a repository",
    after_help = "\
Examples:
  meridian backup --from postgres://meridian@127.0.0.1:5432/meridian --to /backups/plant
  meridian backup --from postgres://.. --to /backups/plant --keep 14
  meridian backup --from postgres://.. --to s3://bucket/plant

The node itself writes it: the path is one of its machine, and so are the variables that say how the bucket is reached
(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION; AWS_ENDPOINT_URL for a store that is not Amazon's). What a backup
before brought is not copied again. `meridian backups /backups/plant` shows what is there, `meridian restore` makes a
store of it."
)]
pub struct TakeArguments {
    /// The node: postgres://user@host:port/database
    #[arg(long, value_name = "URL")]
    pub from: String,
    /// The repository: a directory of the node's machine, by its whole path, or s3://bucket/prefix
    #[arg(long, value_name = "PLACE")]
    pub to: String,
    /// Afterwards keep only so many of the newest backups
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
}

/// Show a repository
#[derive(Debug, clap::Args)]
#[command(
    about = "Show the backups of a repository; check or remove them",
    after_help = "\
Examples:
  meridian backups /backups/plant
  meridian backups /backups/plant --verify
  meridian backups s3://bucket/plant --keep 14           with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION"
)]
pub struct ListArguments {
    /// The repository: a directory, or s3://bucket/prefix
    pub place: String,
    /// Read everything that the backups name, and compare it with its digests
    #[arg(long)]
    pub verify: bool,
    /// Remove all but so many of the newest backups, and what only those needed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// For machines
    #[arg(long)]
    pub json: bool,
}

fn failed(doing: &'static str) -> impl Fn(::backup::Error) -> Error {
    move |fault| match fault {
        ::backup::Error::Cancelled => Error::Interrupted,
        fault => Error::Backup { doing, fault },
    }
}

/// Runs `meridian backup`.
///
/// # Errors
/// `Error::Node`, `Error::Interrupted`.
pub fn take(arguments: &TakeArguments) -> Result<ExitCode, Error> {
    interrupt::listen();
    let watch = Session::connect(&arguments.from, "meridian backup")?;
    let worker = Session::connect(&arguments.from, "meridian backup")?;
    let process = worker.number("SELECT pg_backend_pid()")?;
    let keep = arguments.keep.map_or(String::new(), |keep| format!(", {keep}"));
    let sql = format!("SELECT meridian_backup({}{keep})", quote(&arguments.to));
    let (done, answer) = mpsc::channel();
    let ask = move || {
        // Whoever waits may be gone.
        let _ = done.send(worker.query(&sql));
    };
    std::thread::Builder::new().name("backup".to_owned()).spawn(ask).map_err(Error::system("starting a thread"))?;
    let mut progress = Progress::start("backup", "bytes", None);
    let mut cancelled = false;
    loop {
        match answer.recv_timeout(LOOK) {
            Ok(answered) => {
                progress.end();
                let said = match answered {
                    Err(_) if cancelled => return Err(Error::Interrupted),
                    answered => answered?,
                };
                let said = said.rows.first().and_then(|row| row.first()).cloned().flatten().unwrap_or_default();
                say(&format!("{said}\n"));
                return Ok(ExitCode::SUCCESS);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Error::Node { doing: "backup", problem: "no answer came".to_owned() });
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if interrupt::asked() && !cancelled {
            watch.query(&format!("SELECT pg_cancel_backend({process})"))?;
            cancelled = true;
        }
        let told = watch.query("SELECT done, total FROM meridian.operations WHERE operation = 'backup'")?;
        let number = |column: usize| told.rows.first()?.get(column)?.as_deref()?.parse::<u64>().ok();
        if let (Some(done), Some(total)) = (number(0), number(1)) {
            progress.set_total(total);
            progress.at(done, "");
        }
    }
}

/// A repository that Ctrl-C lets go of.
fn opened(text: &str, disk: &Arc<dyn Disk>) -> Result<Box<dyn Place>, Error> {
    place::open(text, disk, Arc::new(RealClock::start()), Arc::new(interrupt::asked))
}

fn on_terminal(progress: &parking_lot::Mutex<Progress>, at: ::backup::Progress) -> ControlFlow<()> {
    let mut progress = progress.lock();
    progress.set_total(at.of);
    progress.at(at.done, "");
    if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Runs `meridian backups`.
///
/// # Errors
/// `Error::Backup`, `Error::Interrupted`.
pub fn list(arguments: &ListArguments) -> Result<ExitCode, Error> {
    interrupt::listen();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let place = opened(&arguments.place, &disk)?;
    if let Some(keep) = arguments.keep {
        let pruned = ::backup::keep_newest(&*place, keep as usize).map_err(failed("removing old backups"))?;
        if !arguments.json {
            let (backups, parcels, objects) = (pruned.backups.len(), pruned.parcels, pruned.objects);
            say(&format!("{backups} backups and {parcels} parcels of log removed, {objects} objects\n"));
        }
    }
    let heads = ::backup::list(&*place).map_err(failed("reading the repository"))?;
    let (mut wrong, mut wrongs) = (Vec::new(), Vec::new());
    for head in &heads {
        let mut count = 0;
        if arguments.verify {
            let progress = parking_lot::Mutex::new(Progress::start(format!("verify {}", head.id), "bytes", Some(head.bytes)));
            let report = |at| on_terminal(&progress, at);
            let found = ::backup::verify(&*place, head, &report).map_err(failed("verifying"))?;
            count = found.len();
            wrong.extend(found.into_iter().map(|fault| format!("{}: {fault}", head.id)));
        }
        wrongs.push(count);
    }
    if arguments.verify {
        let progress = parking_lot::Mutex::new(Progress::start("verify archived log", "bytes", None));
        let report = |at| on_terminal(&progress, at);
        let (_, found) = ::backup::verify_parcels(&*place, &report).map_err(failed("verifying"))?;
        wrong.extend(found.into_iter().map(|fault| format!("archived log: {fault}")));
    }
    // A damaged archive must not hide the backups.
    let ranges = ::backup::ranges(&*place).or_else(|fault| match fault {
        fault @ ::backup::Error::Damaged { .. } => {
            wrong.push(format!("archived log: {fault}"));
            Ok(Vec::new())
        }
        fault => Err(failed("reading the repository")(fault)),
    })?;
    let ranges: Vec<Range> = ranges.into_iter().filter(|range| range.from_us < range.to_us).collect();
    if arguments.json {
        let told: Vec<_> = heads.iter().zip(&wrongs).map(|(head, wrong)| as_json(head, *wrong)).collect();
        say(&format!(
            "{:#}\n",
            json!({ "place": place.name(), "backups": told, "restorable": as_ranges(&ranges), "wrong": wrong })
        ));
    } else {
        say(&shown(&heads, &wrongs, arguments.verify));
        say(&shown_ranges(&ranges));
    }
    let terminal = Terminal::stderr();
    wrong.iter().for_each(|line| eprintln!("{} {line}", terminal.ink(Ink::Red, "damaged:")));
    Ok(ExitCode::from(u8::from(!wrong.is_empty())))
}

fn moment(head: &Head) -> String {
    DateTime::<Utc>::from_timestamp_micros(head.moment_us)
        .map_or_else(|| head.moment_us.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S Z").to_string())
}

fn as_ranges(ranges: &[Range]) -> Vec<serde_json::Value> {
    let one =
        |range: &Range| json!({ "line": range.line, "from": ::backup::words(range.from_us), "to": ::backup::words(range.to_us) });
    ranges.iter().map(one).collect()
}

fn shown_ranges(ranges: &[Range]) -> String {
    if ranges.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["any moment from", "to", "line"]);
    for range in ranges {
        table.row([::backup::words(range.from_us), ::backup::words(range.to_us), range.line.clone()]);
    }
    format!("\n{}", table.show(&Terminal::stdout(), 0))
}

fn as_json(head: &Head, wrong: usize) -> serde_json::Value {
    json!({
        "backup": head.id,
        "moment": moment(head),
        "store": head.store,
        "release": head.release,
        "commit": head.commit,
        "line": head.line.as_ref().map(|line| line.id.as_str()),
        "tags": head.tags,
        "files": head.files.len(),
        "bytes": head.bytes,
        "new_bytes": head.new_bytes,
        "wrong": wrong,
    })
}

fn shown(heads: &[Head], wrongs: &[usize], verified: bool) -> String {
    let mut table = Table::new(["backup", "moment", "tags", "files", "bytes", "new bytes", if verified { "wrong" } else { "" }]);
    for (head, wrong) in heads.iter().zip(wrongs) {
        let wrong = if verified { wrong.to_string() } else { String::new() };
        let files = thousands(head.files.len() as u64);
        table.row([
            head.id.clone(),
            moment(head),
            thousands(head.tags),
            files,
            round_size(head.bytes),
            round_size(head.new_bytes),
            wrong,
        ]);
    }
    if heads.is_empty() { "no backups\n".to_owned() } else { table.show(&Terminal::stdout(), 0) }
}
