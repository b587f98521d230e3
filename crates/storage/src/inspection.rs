//! What a file says, as facts and tables for a person to read. Programs print them as they like.

use crate::manifest::{FilePlace, Manifest};

/// A table of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What its rows are.
    pub name: String,
    /// Names of its columns.
    pub columns: Vec<&'static str>,
    /// Its rows, each as long as `columns`.
    pub rows: Vec<Vec<String>>,
    /// Rows that were left out because there are too many.
    pub rows_omitted: u64,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(name: impl Into<String>, columns: &[&'static str]) -> Table {
        Table { name: name.into(), columns: columns.to_vec(), rows: Vec::new(), rows_omitted: 0 }
    }

    /// Adds a row, or counts it where there are `rows_max` already.
    pub fn push(&mut self, rows_max: usize, row: Vec<String>) {
        if self.rows.len() < rows_max {
            self.rows.push(row);
        } else {
            self.rows_omitted += 1;
        }
    }
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What it is as a whole: name and value.
    pub facts: Vec<(&'static str, String)>,
    /// What it consists of.
    pub tables: Vec<Table>,
}

/// A manifest as facts and tables of at most `rows_max` rows each.
#[must_use]
pub fn describe_manifest(manifest: &Manifest, number: u64, rows_max: usize) -> Inspection {
    let facts = vec![
        ("type", "manifest".to_owned()),
        ("format", crate::MANIFEST_FORMAT.to_string()),
        ("number", number.to_string()),
        ("store", manifest.store.to_string()),
        ("slice", manifest.slice.to_string()),
        ("flushed version", manifest.flushed.to_string()),
        ("flushed commit", manifest.commit.to_string()),
        ("log position", manifest.log_position.to_string()),
        ("next file", manifest.next_file.to_string()),
        ("latest-file", manifest.latest.map_or_else(|| "none".to_owned(), |number| number.to_string())),
    ];
    let mut epochs = Table::new("epochs", &["epoch", "after sequence"]);
    manifest.epochs.iter().for_each(|start| epochs.push(rows_max, vec![start.epoch.to_string(), start.after.to_string()]));
    let mut groups = Table::new("file groups", &["period", "version"]);
    manifest.groups.iter().for_each(|(period, version)| groups.push(rows_max, vec![period.0.to_string(), version.to_string()]));
    let mut producers = Table::new("producers", &["producer", "number", "last commit"]);
    for producer in &manifest.producers {
        let id = format!("{:032x}", producer.id.0);
        producers.push(rows_max, vec![id, producer.number.to_string(), producer.last_used.to_string()]);
    }
    let mut opaque = Table::new("kept for higher floors", &["kind", "bytes"]);
    manifest.opaque.iter().for_each(|entry| opaque.push(rows_max, vec![entry.kind.to_string(), entry.bytes.len().to_string()]));
    Inspection { facts, tables: vec![epochs, files(manifest, rows_max), groups, producers, opaque] }
}

fn files(manifest: &Manifest, rows_max: usize) -> Table {
    let columns =
        ["number", "place", "level", "bytes", "rows", "tags", "first tag", "last tag", "first time", "last time", "versions"];
    let mut files = Table::new("files", &columns);
    for file in &manifest.files {
        let place = match file.place {
            FilePlace::Mixed => "mixed".to_owned(),
            FilePlace::Period(period) => format!("period {}", period.0),
        };
        let numbers = [u64::from(file.level), file.bytes, file.rows, file.tags, file.tag_range.0.0, file.tag_range.1.0];
        let mut row = vec![file.number.to_string(), place];
        row.extend(numbers.iter().map(u64::to_string));
        row.extend([file.range.first.to_string(), file.range.last.to_string()]);
        row.push(format!("{} to {}", file.versions.0, file.versions.1));
        files.push(rows_max, row);
    }
    files
}
