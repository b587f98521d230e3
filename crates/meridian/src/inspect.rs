//! `meridian inspect FILE`: what a file of a store holds, and whether it is whole.
//!
//! Promises: reads only; every block is read and its checksum held against it; exit status 1 where
//! something is damaged, with the place named.

use crate::Error;
use crate::config::units::round_size;
use crate::table::{Table, thousands};
use crate::terminal::{Ink, Terminal};
use serde_json::{Value, json};
use series::file::{Entry, NoCache, SeriesFile};
use series::{Projection, SeriesColumns};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use storage::{FileHead, FileType, Manifest};
use types::{TagId, TimeRange, Timestamp};
use world::{Disk, RealDisk};

/// Look into a file of a store
#[derive(Debug, clap::Args)]
#[command(about = "Show what a file of a store holds, and whether it is whole")]
pub struct Arguments {
    /// The file: NNNN.series or manifest-N
    pub file: PathBuf,
    /// For machines
    #[arg(long)]
    pub json: bool,
    /// How many chunks (series files) or files (manifests) are listed
    #[arg(long, default_value_t = 20)]
    pub rows: usize,
}

/// What was found in a series file.
pub struct SeriesFindings {
    /// The file; None where not even its footer is whole.
    pub file: Option<Arc<SeriesFile>>,
    /// The first index entries.
    pub entries: Vec<Entry>,
    /// All of them.
    pub entry_count: u64,
    /// Rows that could be read.
    pub rows: u64,
    /// What is damaged.
    pub damages: Vec<String>,
}

/// Reads all of a series file, keeping the first `kept` index entries.
pub fn read_series(disk: &dyn Disk, path: &Path, kept: usize) -> SeriesFindings {
    let mut found = SeriesFindings { file: None, entries: Vec::new(), entry_count: 0, rows: 0, damages: Vec::new() };
    let file = match SeriesFile::open(disk, path, Arc::new(NoCache)) {
        Ok(file) => file,
        Err(error) => {
            found.damages.push(error.to_string());
            return found;
        }
    };
    let mut next = file.entries(TagId(0));
    let mut columns = SeriesColumns::default();
    if let Ok(entries) = &mut next {
        loop {
            match entries.next() {
                Ok(Some(entry)) => {
                    columns.clear();
                    found.entry_count += 1;
                    match file.read(&entry, TimeRange::ALL, Projection::ALL, &mut columns) {
                        Ok(_) => found.rows += columns.times.len() as u64,
                        Err(error) => found.damages.push(error.to_string()),
                    }
                    if found.entries.len() < kept {
                        found.entries.push(entry);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    found.damages.push(error.to_string());
                    break;
                }
            }
        }
    } else if let Err(error) = next {
        found.damages.push(error.to_string());
    }
    let expected = file.summary().rows;
    if found.damages.is_empty() && found.rows != expected {
        found.damages.push(format!("{}: its footer tells of {expected} rows, its chunks hold {}", path.display(), found.rows));
    }
    found.file = Some(file);
    found
}

/// Runs the command.
///
/// # Errors
/// `Error::Input` where the file is none of ours or can't be read at all.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let path = &arguments.file;
    let terminal = Terminal::stdout();
    let head =
        storage::identify(&RealDisk, path).map_err(|error| Error::Input { path: path.clone(), problem: error.to_string() })?;
    let damages = match head.file_type {
        FileType::Series => series(arguments, &terminal),
        FileType::Manifest => manifest(arguments, &terminal),
        FileType::Latest => {
            show_head(arguments, &terminal, &head);
            Vec::new()
        }
    };
    for damage in &damages {
        eprintln!("{} {damage}", Terminal::stderr().ink(Ink::Red, "damaged:"));
    }
    Ok(ExitCode::from(u8::from(!damages.is_empty())))
}

fn head_json(head: &FileHead) -> Value {
    json!({
        "type": String::from_utf8_lossy(head.file_type.letters()),
        "format": head.format,
        "store": format!("{:032x}", head.store.0),
        "slice": head.slice.0,
        "number": head.number,
    })
}

fn show_head(arguments: &Arguments, terminal: &Terminal, head: &FileHead) {
    if arguments.json {
        println!("{:#}", json!({ "head": head_json(head) }));
        return;
    }
    let mut table = Table::new(["what", "format", "store", "slice", "number"]);
    table.row([
        String::from_utf8_lossy(head.file_type.letters()).into_owned(),
        head.format.to_string(),
        format!("{:032x}", head.store.0),
        head.slice.to_string(),
        head.number.to_string(),
    ]);
    println!("{}", table.show(terminal, 0));
}

fn series(arguments: &Arguments, terminal: &Terminal) -> Vec<String> {
    let found = read_series(&RealDisk, &arguments.file, arguments.rows);
    let Some(file) = &found.file else { return found.damages };
    let summary = file.summary();
    if arguments.json {
        let entries: Vec<Value> = found.entries.iter().map(entry_json).collect();
        let whole = json!({
            "head": head_json(file.head()),
            "rows": summary.rows,
            "tags": summary.tags,
            "bytes": summary.bytes,
            "bytes_per_row": summary.bytes as f64 / summary.rows.max(1) as f64,
            "tag_range": [summary.tag_range.0.0, summary.tag_range.1.0],
            "time_range_us": [summary.range.first.0, summary.range.last.0],
            "versions": [summary.versions.0.to_string(), summary.versions.1.to_string()],
            "level": summary.level,
            "chunks": found.entry_count,
            "first_chunks": entries,
            "damages": found.damages,
        });
        println!("{whole:#}");
        return found.damages;
    }
    show_head(arguments, terminal, file.head());
    let mut table =
        Table::new(["rows", "tags", "bytes", "bytes/row", "tags from", "to", "times from", "to", "versions", "level"]);
    table.row([
        thousands(summary.rows),
        thousands(summary.tags),
        round_size(summary.bytes),
        format!("{:.2}", summary.bytes as f64 / summary.rows.max(1) as f64),
        summary.tag_range.0.to_string(),
        summary.tag_range.1.to_string(),
        show_time(summary.range.first),
        show_time(summary.range.last),
        format!("{} to {}", summary.versions.0, summary.versions.1),
        summary.level.to_string(),
    ]);
    println!("{}", table.show(terminal, 0));
    let mut table = Table::new(["tag", "kind", "rows", "from", "to", "least", "most", "offset", "bytes"]);
    for entry in &found.entries {
        let (least, most) = ends(entry);
        table.row([
            entry.tag.to_string(),
            entry.kind.name().to_owned(),
            entry.rows.to_string(),
            show_time(entry.first_time),
            show_time(entry.last_time),
            least,
            most,
            entry.place.offset.to_string(),
            entry.place.bytes.to_string(),
        ]);
    }
    print!("{}", table.show(terminal, 0));
    if found.entry_count > found.entries.len() as u64 {
        println!("... and {} more; --rows N shows more", thousands(found.entry_count - found.entries.len() as u64));
    }
    println!("\n{} rows read, {} damages", thousands(found.rows), found.damages.len());
    found.damages
}

fn ends(entry: &Entry) -> (String, String) {
    let Some(statistics) = &entry.statistics else { return Default::default() };
    let value =
        |bits: u64| if entry.kind.is_integer() { (bits as i64).to_string() } else { entry.kind.bits_to_f64(bits).to_string() };
    (value(statistics.all.min), value(statistics.all.max))
}

fn entry_json(entry: &Entry) -> Value {
    let (least, most) = ends(entry);
    json!({
        "tag": entry.tag.0,
        "kind": entry.kind.name(),
        "rows": entry.rows,
        "time_range_us": [entry.first_time.0, entry.last_time.0],
        "min": least,
        "max": most,
        "offset": entry.place.offset,
        "bytes": entry.place.bytes,
    })
}

fn manifest(arguments: &Arguments, terminal: &Terminal) -> Vec<String> {
    let (manifest, number) = match storage::inspect_manifest(&RealDisk, &arguments.file) {
        Ok(found) => found,
        Err(error) => return vec![error.to_string()],
    };
    if arguments.json {
        println!("{:#}", manifest_json(&manifest, number));
        return Vec::new();
    }
    let mut table =
        Table::new(["manifest", "store", "slice", "flushed", "log position", "files", "groups", "producers", "latest file"]);
    table.row([
        number.to_string(),
        format!("{:032x}", manifest.store.0),
        manifest.slice.to_string(),
        manifest.flushed.to_string(),
        manifest.log_position.to_string(),
        manifest.files.len().to_string(),
        manifest.groups.len().to_string(),
        manifest.producers.len().to_string(),
        manifest.latest.map_or_else(|| "none".to_owned(), |number| number.to_string()),
    ]);
    println!("{}", table.show(terminal, 0));
    let mut table = Table::new(["file", "rows", "tags", "bytes", "from", "to", "versions", "level"]);
    for file in manifest.files.iter().take(arguments.rows) {
        table.row([
            file.path().display().to_string(),
            thousands(file.rows),
            thousands(file.tags),
            round_size(file.bytes),
            show_time(file.range.first),
            show_time(file.range.last),
            format!("{} to {}", file.versions.0, file.versions.1),
            file.level.to_string(),
        ]);
    }
    print!("{}", table.show(terminal, 0));
    Vec::new()
}

fn manifest_json(manifest: &Manifest, number: u64) -> Value {
    let files: Vec<Value> = manifest
        .files
        .iter()
        .map(|file| {
            json!({
                "path": file.path().display().to_string(),
                "rows": file.rows,
                "tags": file.tags,
                "bytes": file.bytes,
                "time_range_us": [file.range.first.0, file.range.last.0],
                "versions": [file.versions.0.to_string(), file.versions.1.to_string()],
                "level": file.level,
            })
        })
        .collect();
    json!({
        "number": number,
        "store": format!("{:032x}", manifest.store.0),
        "slice": manifest.slice.0,
        "flushed": manifest.flushed.to_string(),
        "log_position": manifest.log_position,
        "groups": manifest.groups.len(),
        "producers": manifest.producers.len(),
        "files": files,
    })
}

/// A moment for a person; the number itself where no calendar has it.
pub fn show_time(time: Timestamp) -> String {
    chrono::DateTime::from_timestamp_micros(time.0)
        .map_or_else(|| time.to_string(), |moment| moment.format("%Y-%m-%d %H:%M:%S%.f").to_string())
}
