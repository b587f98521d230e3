//! `meridian check DIR [--repair]`: verifies a store at rest: the logs, the tag table, every manifest,
//! every file that one names, every block of those, whether all their tags are known, and the users' passwords.
//!
//! Promises: without --repair it reads only; a store in use is refused; what is damaged is named;
//! exit status 1 where anything is (and stays) damaged. What a crash leaves behind (a torn end of a
//! log, a torn manifest, files that no manifest names) is told and is no damage: the next opening
//! removes it. --repair first copies every damaged file to DIR/damaged, then keeps all that is whole; what it can't
//! mend it names at the end, and goes on with the rest.

mod catalog_repair;
mod logs;
mod rebuild;
mod repair;
mod slices;
mod tags;

use crate::config::units::round_size;
use crate::holder::holder;
use crate::progress::Progress;
use crate::serve::is_gone;
use crate::table::{Table, thousands};
use crate::terminal::{Ink, Terminal, say};
use crate::{Error, interrupt};
use kernel::Identity;
use log::Position;
use repair::Repaired;
use serde_json::{Value, json};
pub use slices::read_latest;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use storage::{FileNumber, Manifest};
use world::{Disk, DiskError, RealDisk};

/// Verify a store
#[derive(Debug, clap::Args)]
#[command(about = "Verify a store that no process uses; name what is damaged, or repair it")]
pub struct Arguments {
    /// The store's directory
    pub dir: PathBuf,
    /// Keep everything that is whole; damaged files are first copied to DIR/damaged
    #[arg(long)]
    pub repair: bool,
    /// For machines
    #[arg(long)]
    pub json: bool,
}

/// What was found in a slice, or in a log.
#[derive(Default)]
pub struct Findings {
    name: String,
    files: u64,
    rows: u64,
    rows_lost: u64,
    bytes: u64,
    leftovers: u64,
    damages: Vec<String>,
    /// The manifest in force, and the files that are damaged or missing.
    manifest: Option<Manifest>,
    damaged_files: Vec<FileNumber>,
    /// Whether the file of snapshot values is damaged or missing.
    latest_lost: bool,
    /// Whether there is no whole manifest, and none of another release.
    manifest_lost: bool,
    /// Where the log begins, and behind its last record.
    log_span: Option<(Position, Position)>,
    /// Why it can't be the log that the store wrote to.
    strange_log: Option<log::Error>,
    /// The log's id, where somebody keeps that beside the log: of a log that lost its headers nothing else tells it. It
    /// is the catalog's too.
    log_id: Option<u64>,
    /// The catalog's files.
    catalog_files: Vec<PathBuf>,
    /// The tag table knows the ordinals below this; None where that can't be told.
    ordinals: Option<u64>,
}

/// The logs of a store, by name; and the tag table.
const LOG: &str = "log";
const CATALOG_LOG: &str = "catalog/log";
const CATALOG: &str = "catalog";
/// The part of what the store is.
const NODE: &str = "node";
/// The part of the users' passwords.
const USERS: &str = "users";

/// Runs the command.
///
/// # Errors
/// `Error::Locked`, `Error::Input` where the directory is no store, `Error::Interrupted`.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    interrupt::listen();
    let dir = &arguments.dir;
    let disk = RealDisk;
    let _locks = lock(&disk, dir)?;
    let found = check(&disk, dir)?;
    let damaged = is_damaged(&found);
    let repaired = if damaged && arguments.repair { repair::repair(dir, &found) } else { Repaired::default() };
    // Whatever ends it: what was done before is said.
    let still = if repaired.done.is_empty() { Ok(damaged) } else { check(&disk, dir).map(|found| is_damaged(&found)) };
    let known = still.as_ref().ok().copied();
    if arguments.json {
        let parts: Vec<Value> = found.iter().map(as_json).collect();
        let (done, left) = (&repaired.done, &repaired.left);
        let told = json!({ "parts": parts, "damaged": damaged, "repaired": done, "not_mended": left, "damaged_now": known });
        say(&format!("{told:#}\n"));
    } else {
        say(&show(&found, &repaired, known, &Terminal::stdout()));
    }
    Ok(ExitCode::from(u8::from(still? || !repaired.left.is_empty())))
}

fn is_damaged(found: &[Findings]) -> bool {
    found.iter().any(|part| !part.damages.is_empty())
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Vec<Box<dyn Send + Sync>>, Error> {
    let input = |problem: String| Error::Input { path: dir.to_path_buf(), problem };
    let names = disk.list(dir).map_err(unreadable)?;
    if !names.iter().any(|entry| entry.name == "node") {
        return Err(input("it is not a Meridian store: it holds no file \"node\"".to_owned()));
    }
    ["lock-serve", "lock"]
        .into_iter()
        .filter(|name| names.iter().any(|entry| entry.name == *name))
        .map(|name| {
            let path = dir.join(name);
            disk.lock(&path).map_err(|error| match error.cause.kind() {
                std::io::ErrorKind::WouldBlock => Error::Locked { dir: dir.to_path_buf(), holder: holder(&path) },
                _ => unreadable(error),
            })
        })
        .collect()
}

fn unreadable(error: DiskError) -> Error {
    Error::File { path: error.path, cause: error.cause }
}

fn check(disk: &dyn Disk, dir: &Path) -> Result<Vec<Findings>, Error> {
    let slices_dir = dir.join("slices");
    let list = match disk.list(&slices_dir) {
        Ok(list) => list,
        Err(error) if error.is_missing() => Vec::new(),
        Err(error) => return Err(unreadable(error)),
    };
    let mut progress = Progress::start("check", "parts", Some(list.len() as u64 + 3));
    let identity = kernel::identify(disk, dir);
    let mut found = Vec::from_iter(check_node(&identity));
    // Where the node file can't be read, nothing can be said to be missing.
    let neighbours = identity.as_ref().map_or((false, false), |identity| (identity.has_catalog, identity.has_passwords));
    let (noted, known) = identity.map_or_else(|_| (Vec::new(), None), |identity| (identity.slices, identity.log));
    let mut noted: BTreeSet<PathBuf> = noted.into_iter().collect();
    found.extend(logs::check(disk, &dir.join(LOG), LOG, known, known.map(|known| known.id)));
    let catalog = check_catalog(&dir.join(CATALOG), neighbours.0)?;
    // Whether that log is the catalog's own, the catalog says itself.
    found.extend(logs::check(disk, &dir.join(CATALOG_LOG), CATALOG_LOG, None, catalog.log_id));
    found.push(catalog);
    for entry in list.iter().filter(|entry| entry.directory) {
        let place = slices_dir.join(&entry.name);
        found.push(slices::check(disk, &place, &entry.name, noted.remove(&place)));
        progress.at(found.len() as u64, "");
        if interrupt::asked() {
            return Err(Error::Interrupted);
        }
    }
    found.extend(noted.iter().map(|place| slices::missing(place)));
    logs::check_end(dir, &mut found);
    tags::check(dir, &mut found);
    found.extend(check_users(disk, dir, neighbours.1));
    Ok(found)
}

fn check_catalog(dir: &Path, noted: bool) -> Result<Findings, Error> {
    let mut part = Findings { name: CATALOG.to_owned(), ..Findings::default() };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    if is_gone(&*disk, dir) {
        // Where it was never made, opening makes it.
        if noted {
            part.damages.push(format!("{} is missing, though the store has a tag table", dir.display()));
        }
        return Ok(part);
    }
    let check =
        catalog::check(&disk, dir).map_err(|error| Error::Input { path: dir.to_path_buf(), problem: error.to_string() })?;
    part.files = check.files.len() as u64;
    (part.rows, part.rows_lost) = (check.tags, check.tags_lost);
    (part.bytes, part.leftovers) = (check.bytes, check.leftovers);
    (part.damages, part.catalog_files) = (check.damages, check.files);
    // Where none is noted the store asks others for its tags, as a fleet's data node does.
    (part.log_id, part.ordinals) = (check.log, check.ordinals.filter(|_| noted));
    Ok(part)
}

fn check_node(identity: &Result<Identity, kernel::Error>) -> Option<Findings> {
    let error = identity.as_ref().err()?;
    Some(Findings { name: NODE.to_owned(), damages: vec![error.to_string()], ..Findings::default() })
}

fn check_users(disk: &dyn Disk, dir: &Path, noted: bool) -> Option<Findings> {
    let damage = match server::Users::check(disk, dir) {
        Ok(false) if noted => format!("{} is missing, though users have passwords", dir.join("users-N").display()),
        Ok(_) => return None,
        Err(error) => error.to_string(),
    };
    Some(Findings { name: USERS.to_owned(), damages: vec![damage], ..Findings::default() })
}

fn show(found: &[Findings], repaired: &Repaired, still: Option<bool>, terminal: &Terminal) -> String {
    let mut table = Table::new(["part", "files", "rows", "bytes", "left by a crash", "rows lost", "damages"]);
    for part in found {
        // Slices that hold nothing would only make the table long.
        if part.files > 0 || part.leftovers > 0 || !part.damages.is_empty() {
            table.row([
                part.name.clone(),
                thousands(part.files),
                thousands(part.rows),
                round_size(part.bytes),
                part.leftovers.to_string(),
                thousands(part.rows_lost),
                part.damages.len().to_string(),
            ]);
        }
    }
    let mut out = table.show(terminal, 0);
    for damage in found.iter().flat_map(|part| &part.damages) {
        out.push_str(&format!("{} {damage}\n", terminal.ink(Ink::Red, "damaged:")));
    }
    for line in &repaired.done {
        out.push_str(&format!("{} {line}\n", terminal.ink(Ink::Green, "repaired:")));
    }
    for line in &repaired.left {
        out.push_str(&format!("{} {line}\n", terminal.ink(Ink::Red, "not mended:")));
    }
    let verdict = match still {
        Some(true) => terminal.ink(Ink::Red, "damaged"),
        Some(false) => terminal.ink(Ink::Green, "whole"),
        None => "not known to be whole: check it again".to_owned(),
    };
    out.push_str(&format!("the store is {verdict}\n"));
    out
}

fn as_json(part: &Findings) -> Value {
    json!({
        "part": part.name,
        "files": part.files,
        "rows": part.rows,
        "rows_lost": part.rows_lost,
        "bytes": part.bytes,
        "left_by_a_crash": part.leftovers,
        "damages": part.damages,
    })
}
