//! `meridian inspect FILE`: what a file of a store says of itself, and whether it is whole.
//!
//! Promises: reads only; every block is read and its checksum held against it; exit status 1 where
//! something is damaged, with the place named.

use crate::Error;
use crate::check::read_latest;
use crate::table::Table;
use crate::terminal::{Ink, Terminal, say};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use storage::{FileType, Inspection};
use world::{Access, Disk, RealDisk};

/// Look into a file of a store
#[derive(Debug, clap::Args)]
#[command(about = "Show what a file of a store holds, and whether it is whole")]
pub struct Arguments {
    /// The file: NNNN.series, manifest-N or latest-N of a slice, or manifest-N or N.tags of the catalog
    pub file: PathBuf,
    /// For machines
    #[arg(long)]
    pub json: bool,
    /// How many rows of each table are shown
    #[arg(long, default_value_t = 20)]
    pub rows: usize,
}

/// Runs the command.
///
/// # Errors
/// `Error::Input` where the file is none of ours or can't be read at all.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let path = &arguments.file;
    let input = |problem: String| Error::Input { path: path.clone(), problem };
    if path.is_dir() {
        return Err(input("it is a directory; `meridian check` reads a whole store".to_owned()));
    }
    RealDisk.open(path, Access::Read).map_err(|error| Error::File { path: error.path, cause: error.cause })?;
    let of_catalog = catalog::inspect(&RealDisk, path, arguments.rows).map_err(|error| input(error.to_string()))?;
    let (inspection, damages) = match of_catalog {
        Some(shown) => shown,
        None => of_slice(arguments)?,
    };
    if arguments.json {
        say(&format!("{:#}\n", as_json(&inspection, &damages)));
    } else {
        say(&show(&inspection, &Terminal::stdout()));
    }
    for damage in &damages {
        eprintln!("{} {damage}", Terminal::stderr().ink(Ink::Red, "damaged:"));
    }
    Ok(ExitCode::from(u8::from(!damages.is_empty())))
}

/// A file of a slice, and what is damaged in it.
fn of_slice(arguments: &Arguments) -> Result<(Inspection, Vec<String>), Error> {
    let path = &arguments.file;
    let input = |problem: String| Error::Input { path: path.clone(), problem };
    let head = storage::identify(&RealDisk, path).map_err(|error| unknown(path, error))?;
    let mut damages = Vec::new();
    let inspection = match head.file_type {
        FileType::Series => {
            let check = series::file::check(&RealDisk, path).map_err(|error| input(error.to_string()))?;
            damages.extend(check.damages.iter().map(ToString::to_string));
            series::file::inspect(&RealDisk, path, arguments.rows).map_err(|error| input(error.to_string()))?
        }
        FileType::Manifest => match storage::inspect_manifest(&RealDisk, path) {
            Ok((manifest, number)) => storage::describe_manifest(&manifest, number, arguments.rows),
            Err(error) => {
                damages.push(error.to_string());
                Inspection::default()
            }
        },
        FileType::Latest => {
            damages.extend(read_latest(&RealDisk, path, head).err().map(|error| error.to_string()));
            Inspection {
                facts: vec![
                    ("type", "snapshot values".to_owned()),
                    ("format", head.format.to_string()),
                    ("store", head.store.to_string()),
                    ("slice", head.slice.to_string()),
                    ("number", head.number.to_string()),
                ],
                tables: Vec::new(),
            }
        }
    };
    Ok((inspection, damages))
}

/// A file whose head is none of those that are shown here.
fn unknown(path: &Path, error: storage::Error) -> Error {
    let name = path.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
    let other = match &*name {
        "node" => Some("it says what the store is"),
        "lock" | "lock-serve" => Some("it keeps other processes out, and holds nothing"),
        name if name.ends_with(".log") => Some("it is a part of a log"),
        name if name.starts_with("users-") => Some("it holds users"),
        _ => None,
    };
    let problem = match (error, other) {
        (storage::Error::Disk(error), _) => return Error::File { path: error.path, cause: error.cause },
        (_, Some(other)) => format!("{other}; `meridian check DIR` reads it with the whole store"),
        (storage::Error::Damaged { what, .. }, None) => {
            format!("{what}: it is damaged, or no file of a store")
        }
        (error, None) => error.to_string(),
    };
    Error::Input { path: path.to_path_buf(), problem }
}

fn show(inspection: &Inspection, terminal: &Terminal) -> String {
    let facts = || inspection.facts.iter().filter(|(name, _)| *name != "damage");
    let width = facts().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in facts() {
        out.push_str(&format!("{name:width$}  {value}\n"));
    }
    for part in &inspection.tables {
        let mut table = Table::new(part.columns.iter().copied());
        part.rows.iter().for_each(|row| table.row(row.iter().cloned()));
        out.push_str(&format!("\n{}\n{}", terminal.ink(Ink::Bold, &part.name), table.show(terminal, 2)));
        if part.rows_omitted > 0 {
            out.push_str(&format!("  ... and {} more; --rows N shows more\n", part.rows_omitted));
        }
    }
    out
}

fn as_json(inspection: &Inspection, damages: &[String]) -> Value {
    let mut whole = Map::new();
    for (name, value) in inspection.facts.iter().filter(|(name, _)| *name != "damage") {
        whole.insert((*name).to_owned(), json!(value));
    }
    for part in &inspection.tables {
        let rows = part.rows.iter().map(|row| {
            let cells = part.columns.iter().zip(row).map(|(column, cell)| ((*column).to_owned(), json!(cell)));
            Value::Object(cells.collect())
        });
        whole.insert(part.name.clone(), Value::Array(rows.collect()));
        whole.insert(format!("{} omitted", part.name), json!(part.rows_omitted));
    }
    whole.insert("damages".to_owned(), json!(damages));
    Value::Object(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_and_tables_are_shown_and_written() {
        let mut table = storage::Table::new("chunks", &["offset", "rows"]);
        table.push(1, vec!["48".into(), "512".into()]);
        table.push(1, vec!["96".into(), "1".into()]);
        let inspection = Inspection { facts: vec![("rows", "513".into()), ("damage", "x".into())], tables: vec![table] };
        let shown = show(&inspection, &Terminal::plain());
        assert!(shown.contains("rows  513") && shown.contains("48") && shown.contains("and 1 more"), "{shown}");
        let json = as_json(&inspection, &["torn".into()]);
        assert_eq!(json["chunks"][0]["rows"], "512");
        assert_eq!(json["damages"][0], "torn");
    }
}
