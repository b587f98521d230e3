//! `meridian check DIR`: verifies a store at rest: every manifest, every file that one names, every
//! block of those.
//!
//! Promises: reads only; a store in use is refused; what is damaged is named; exit status 1 where
//! anything is. What a crash leaves behind (a torn manifest, files that no manifest names) is told
//! and is no damage: the next opening removes it.

use crate::Error;
use crate::config::units::round_size;
use crate::inspect::read_series;
use crate::progress::Progress;
use crate::table::{Table, thousands};
use crate::terminal::{Ink, Terminal};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use world::{Disk, RealDisk};

/// Verify a store
#[derive(Debug, clap::Args)]
#[command(about = "Verify a store that no process uses, and name what is damaged")]
pub struct Arguments {
    /// The store's directory
    pub dir: PathBuf,
    /// For machines
    #[arg(long)]
    pub json: bool,
}

/// What was found in a slice.
#[derive(Default)]
struct SliceFindings {
    name: String,
    files: u64,
    rows: u64,
    bytes: u64,
    leftovers: u64,
    damages: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// `Error::Locked`, `Error::Input` where the directory is no store.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let dir = &arguments.dir;
    let input = |problem: String| Error::Input { path: dir.clone(), problem };
    let disk = RealDisk;
    let names = disk.list(dir).map_err(|error| input(error.to_string()))?;
    if !names.iter().any(|entry| entry.name == "node") {
        return Err(input("it is not a Meridian store: it holds no file \"node\"".to_owned()));
    }
    let _locks = ["lock-serve", "lock"]
        .into_iter()
        .filter(|name| names.iter().any(|entry| entry.name == *name))
        .map(|name| disk.lock(&dir.join(name)).map_err(|_| Error::Locked { dir: dir.clone() }))
        .collect::<Result<Vec<_>, _>>()?;
    let slices = dir.join("slices");
    let list = match disk.list(&slices) {
        Ok(list) => list,
        Err(error) if error.is_missing() => Vec::new(),
        Err(error) => return Err(input(error.to_string())),
    };
    let mut progress = Progress::start("check", "slices", Some(list.len() as u64));
    let mut found = Vec::new();
    for (i, entry) in list.iter().filter(|entry| entry.directory).enumerate() {
        if crate::interrupt::asked() {
            return Err(Error::Interrupted);
        }
        found.push(check_slice(&disk, &slices.join(&entry.name), &entry.name));
        progress.at(i as u64 + 1, "");
    }
    progress.end();
    let damaged = found.iter().any(|slice| !slice.damages.is_empty());
    if arguments.json {
        println!("{:#}", json!({ "slices": found.iter().map(as_json).collect::<Vec<_>>(), "damaged": damaged }));
    } else {
        show(&found, &Terminal::stdout());
    }
    Ok(ExitCode::from(u8::from(damaged)))
}

fn check_slice(disk: &dyn Disk, dir: &Path, name: &str) -> SliceFindings {
    let mut slice = SliceFindings { name: name.to_owned(), ..SliceFindings::default() };
    let check = match storage::check_directory(disk, dir) {
        Ok(check) => check,
        Err(error) => {
            slice.damages.push(error.to_string());
            return slice;
        }
    };
    slice.damages.extend(check.damages.iter().map(ToString::to_string));
    slice.leftovers = (check.torn.len() + check.unnamed.len()) as u64;
    let Some((_, manifest)) = &check.manifest else { return slice };
    for file in &manifest.files {
        let path = dir.join(file.path());
        slice.files += 1;
        slice.bytes += file.bytes;
        if disk.open(&path, world::Access::Read).is_err() {
            // Told above: it is named and missing.
            continue;
        }
        let found = read_series(disk, &path, 0);
        slice.rows += found.rows;
        slice.damages.extend(found.damages);
        if let Some(opened) = found.file
            && opened.summary().checksum != file.checksum
        {
            slice.damages.push(format!("{}: it is whole, but not the file that the manifest names", path.display()));
        }
    }
    slice
}

fn show(found: &[SliceFindings], terminal: &Terminal) {
    let mut table = Table::new(["slice", "files", "rows", "bytes", "left by a crash", "damages"]);
    let mut sum = SliceFindings { name: "all".to_owned(), ..SliceFindings::default() };
    let row = |slice: &SliceFindings, damages: usize| {
        [
            slice.name.clone(),
            thousands(slice.files),
            thousands(slice.rows),
            round_size(slice.bytes),
            slice.leftovers.to_string(),
            damages.to_string(),
        ]
    };
    let mut damages = 0;
    for slice in found {
        // Slices that hold nothing would only make the table long.
        if slice.files > 0 || slice.leftovers > 0 || !slice.damages.is_empty() {
            table.row(row(slice, slice.damages.len()));
        }
        sum.files += slice.files;
        sum.rows += slice.rows;
        sum.bytes += slice.bytes;
        sum.leftovers += slice.leftovers;
        damages += slice.damages.len();
    }
    table.row(row(&sum, damages));
    print!("{}", table.show(terminal, 0));
    for damage in found.iter().flat_map(|slice| &slice.damages) {
        println!("{} {damage}", terminal.ink(Ink::Red, "damaged:"));
    }
    let verdict = if damages == 0 { terminal.ink(Ink::Green, "whole") } else { terminal.ink(Ink::Red, "damaged") };
    println!("the store's files are {verdict}");
}

fn as_json(slice: &SliceFindings) -> Value {
    json!({
        "slice": slice.name,
        "files": slice.files,
        "rows": slice.rows,
        "bytes": slice.bytes,
        "left_by_a_crash": slice.leftovers,
        "damages": slice.damages,
    })
}
