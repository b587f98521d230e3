//! `meridian restore`: a store is made of what a repository has, of a lone node or of a fleet.
//!
//! Promises: a restored store is checked, block by block, before it is called whole. May not know what a repository looks like.

use super::{failed, on_terminal, opened};
use crate::config::units::{round_size, round_span};
use crate::config::{RoleSetting, Value};
use crate::import::TimeReader;
use crate::progress::{Progress, now};
use crate::terminal::{Ink, Terminal, say};
use crate::{Error, check, interrupt};
use ::backup::{FleetWay, Head, Place, Roles, Target, Until, Way};
use cluster::kinds::Book;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use types::Kind;
use world::{Disk, RealDisk, ThreadCounts, Threads, World};

/// Make a store of a backup
#[derive(Debug, clap::Args)]
#[command(
    about = "Make a store from a repository, and check it",
    after_help = "\
Examples:
  meridian restore --from /backups/plant --dir ./store                                  the newest backup
  meridian restore --from /backups/plant --dir ./store --backup 20260131T235959Z-1a2b3c
  meridian restore --from s3://bucket/plant --dir ./store                               with AWS_ACCESS_KEY_ID, ..
  meridian restore --from /backups/plant --dir ./store --until '2026-11-30 16:20:00+00'
  meridian restore --from /backups/plant --dir ./store --until latest
  meridian serve --dir ./store
Of a fleet's backup this makes one store with everything, which goes on alone; or, with --role, what the processes of a new
fleet begin with, each in a directory of its own:
  meridian restore --from s3://bucket/grid --dir ./door --role manager,scheduler
  meridian restore --from s3://bucket/grid --dir ./data1 --role data --part 1/3       and so on, up to 3/3
  meridian restore --from .. --dir .. --role .. --until '2026-11-30 16:20:00+00'        the same moment for each of them
  meridian serve --dir ./door --role manager,scheduler ..                             (docs/operations.md)"
)]
pub struct RestoreArguments {
    /// The repository: a directory, or s3://bucket/prefix
    #[arg(long, value_name = "PLACE")]
    pub from: String,
    /// A new or empty directory for the store
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The backup, by its name; the newest where it is left out
    #[arg(long, value_name = "NAME")]
    pub backup: Option<String>,
    /// The moment, where the log was archived (setting archive_to): all that was committed up to it and nothing later; without
    /// an offset it is in UTC. latest = as far as it is archived
    #[arg(long, value_name = "MOMENT", conflicts_with = "backup")]
    pub until: Option<String>,
    /// The line whose past is wanted, as `meridian backups` names it; the one that was written last where it is left out
    #[arg(long, value_name = "LINE", requires = "until")]
    pub line: Option<String>,
    /// Of a fleet's backup: the roles that the directory's process is to have in a new fleet, of manager, scheduler and data
    #[arg(long, value_name = "ROLES")]
    pub role: Option<String>,
    /// Of a fleet's backup: the how manieth of so many data nodes, as in 2/3
    #[arg(long, value_name = "K/N", requires = "role")]
    pub part: Option<String>,
    /// Do not read the restored store once more, block by block
    #[arg(long)]
    pub no_check: bool,
}

/// Runs `meridian restore`.
///
/// # Errors
/// `Error::Backup`, `Error::Interrupted`, those of `check`.
pub fn restore(arguments: &RestoreArguments) -> Result<ExitCode, Error> {
    interrupt::listen();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let place = opened(&arguments.from, &disk)?;
    let way = match &arguments.until {
        None => Way::to(chosen(&*place, arguments.backup.as_deref())?),
        Some(until) => {
            let until = moment_of(until)?;
            if arguments.role.is_some() || ::backup::is_of_fleet(&*place).map_err(failed("restoring"))? {
                if let Some(line) = &arguments.line {
                    let text = format!("--line {line}: a fleet's archive is of one line, the fleet; leave it out");
                    return Err(Error::Usage(text));
                }
                let way = ::backup::fleet_way(&*place, until).map_err(failed("restoring"))?;
                return fleet(arguments, &way, (&*place, &disk));
            }
            ::backup::way(&*place, until, arguments.line.as_deref()).map_err(failed("restoring"))?
        }
    };
    if way.head().fleet.is_some() || arguments.role.is_some() {
        return fleet(arguments, &FleetWay::to(way.head().clone()), (&*place, &disk));
    }
    let started = now();
    let progress = parking_lot::Mutex::new(Progress::start("restore", "bytes", Some(way.bytes())));
    let report = |at| on_terminal(&progress, at);
    ::backup::recover(&*place, &way, &disk, &arguments.dir, &report).map_err(failed("restoring"))?;
    drop(progress);
    let (dir, bytes) = (arguments.dir.display(), round_size(way.bytes()));
    say(&format!("backup {} lies in {dir}: {bytes} in {}\n", way.head().id, round_span(started.elapsed())));
    if let Some(until) = &arguments.until {
        let reached = ::backup::words(way.reached());
        say(&match moment_of(until)? {
            Until::Moment(moment) => {
                format!("it is as it was at {}, by {} parcels of log\n", ::backup::words(moment), way.parcels())
            }
            Until::Latest => format!("it has all that was archived, up to {reached}, by {} parcels of log\n", way.parcels()),
        });
    }
    if let Some(beyond) = way.beyond().filter(|_| arguments.until.as_deref() == Some("latest")) {
        eprintln!("{} what is archived later can't be reached: {beyond}", Terminal::stderr().ink(Ink::Yellow, "note:"));
    }
    if arguments.no_check {
        return Ok(ExitCode::SUCCESS);
    }
    check::run(&check::Arguments { dir: arguments.dir.clone(), repair: false, json: false })
}

/// The moment that a person names.
fn moment_of(text: &str) -> Result<Until, Error> {
    if text.trim().eq_ignore_ascii_case("latest") {
        return Ok(Until::Latest);
    }
    let wrong = |problem: String| Error::Usage(format!("--until: {problem}; write '2026-11-30 16:20:00+00', or latest"));
    let read = TimeReader::new("auto", "UTC").and_then(|reader| reader.read(text)).map_err(wrong)?;
    u64::try_from(read.0).map(Until::Moment).map_err(|_| wrong("it is before 1970".to_owned()))
}

fn chosen(place: &dyn Place, name: Option<&str>) -> Result<Head, Error> {
    match name {
        Some(name) => ::backup::find(place, name).map_err(failed("restoring")),
        None => {
            let newest = ::backup::list(place).map_err(failed("restoring"))?.into_iter().next();
            newest.ok_or_else(|| Error::Usage(format!("{} holds no backup", place.name())))
        }
    }
}

/// What is to be laid of a fleet's backup.
fn target(role: Option<&str>, part: Option<&str>) -> Result<Target, Error> {
    let wrong = |problem: String| Error::Usage(format!("--role: {problem}"));
    let roles = role.map(RoleSetting::parse).transpose().map_err(wrong)?;
    let Some(roles) = roles.and_then(|setting| setting.0) else { return Ok(Target::Alone) };
    let usage = || Error::Usage(format!("--part {}: write it as 2/3, from 1/3 to 3/3", part.unwrap_or_default()));
    let data = match part {
        None => (0, 1),
        Some(_) if !roles.data => return Err(Error::Usage("--part: only the role data holds a part".to_owned())),
        Some(part) => {
            let (nth, of) = part.split_once('/').ok_or_else(usage)?;
            let (nth, of): (u32, u32) = (nth.trim().parse().map_err(|_| usage())?, of.trim().parse().map_err(|_| usage())?);
            (nth.checked_sub(1).filter(|nth| *nth < of).ok_or_else(usage)?, of)
        }
    };
    Ok(Target::Fleet(Roles { tags: roles.scheduler, data: roles.data.then_some(data) }))
}

/// Writes a data node's book of kinds.
fn keep_kinds(disk: &dyn Disk, dir: &Path, kinds: &[Kind]) -> Result<(), String> {
    let book = Book::open(disk, dir).map_err(|fault| fault.to_string())?;
    let bytes: Vec<u8> = kinds.iter().map(|kind| *kind as u8).collect();
    book.append(0, &bytes).map_err(|fault| fault.to_string())
}

/// Makes a store of a fleet's backup, and of its marks.
fn fleet(arguments: &RestoreArguments, way: &FleetWay, (place, disk): (&dyn Place, &Arc<dyn Disk>)) -> Result<ExitCode, Error> {
    let target = target(arguments.role.as_deref(), arguments.part.as_deref())?;
    let head = way.head();
    if head.fleet.is_none() {
        let text = format!("--role: backup {} is of a store that is alone; leave it out, and restore that store", head.id);
        return Err(Error::Usage(text));
    }
    let started = now();
    let progress = parking_lot::Mutex::new(Progress::start("restore", "bytes", Some(way.bytes())));
    let report = |at| on_terminal(&progress, at);
    let threads = Threads::start(ThreadCounts::default());
    let world = World { disk: Arc::clone(disk), ..World::real(&threads) };
    let keep = |dir: &Path, kinds: &[Kind]| keep_kinds(&**disk, dir, kinds);
    let laid = ::backup::lay_fleet(place, way, (&world, &arguments.dir), (target, kernel::Settings::default(), &keep), &report);
    threads.stop();
    drop(progress);
    laid.map_err(failed("restoring"))?;
    let (dir, took) = (arguments.dir.display(), round_span(started.elapsed()));
    let what = match target {
        Target::Alone => format!("all of the fleet's backup {} lies in {dir}, as a store that goes on alone", head.id),
        Target::Fleet(_) => format!("what a process of a new fleet begins with lies in {dir}, of backup {}", head.id),
    };
    say(&format!("{what}: {took}\n"));
    if arguments.until.is_some() {
        let (reached, marks) = (::backup::words(way.reached()), way.marks());
        say(&format!("it is as it was at {reached}, by {marks} marks of the archive\n"));
    }
    if let Some(beyond) = way.beyond() {
        eprintln!("{} what is archived later can't be reached: {beyond}", Terminal::stderr().ink(Ink::Yellow, "note:"));
    }
    let has_slices = matches!(target, Target::Alone | Target::Fleet(Roles { data: Some(_), .. }));
    if arguments.no_check || !has_slices {
        return Ok(ExitCode::SUCCESS);
    }
    check::run(&check::Arguments { dir: arguments.dir.clone(), repair: false, json: false })
}
