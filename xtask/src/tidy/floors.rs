//! The floor table: a crate imports only crates on lower floors, dev-dependencies included.
//!
//! The table is xtask/floors.toml; this rule holds every Cargo.toml, and ARCHITECTURE, against it.

use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// What breaks the floor table.
pub fn complaints(root: &Path) -> Vec<String> {
    let mut out = Vec::new();
    let floors = table(&root.join("xtask/floors.toml"));
    let Some(floors) = floors.get("floors").and_then(Value::as_table) else {
        return vec!["xtask/floors.toml: has no [floors]".into()];
    };
    let floors: BTreeMap<&str, i64> =
        floors.iter().filter_map(|(name, floor)| Some((name.as_str(), floor.as_integer()?))).collect();
    let architecture = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap_or_default();
    let mut seen = Vec::new();
    for (name, directory) in crates(root) {
        let manifest = table(&directory.join("Cargo.toml"));
        let Some(floor) = floors.get(name.as_str()) else {
            out.push(format!("{name}/Cargo.toml: is not in xtask/floors.toml: give it a floor"));
            continue;
        };
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for used in manifest.get(kind).and_then(Value::as_table).into_iter().flat_map(Table::keys) {
                if floors.get(used.as_str()).is_some_and(|below| below >= floor) {
                    out.push(format!(
                        "{name}/Cargo.toml: [{kind}] {used} does not stand on a lower floor; move the word down, to types"
                    ));
                }
            }
        }
        if manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) != Some(true) {
            out.push(format!("{name}/Cargo.toml: needs [lints] workspace = true"));
        }
        if !architecture.contains(&format!("`{name}`")) {
            out.push(format!("docs/ARCHITECTURE.md: does not say what `{name}` is"));
        }
        seen.push(name);
    }
    for name in floors.keys().filter(|name| !seen.iter().any(|crate_name| crate_name == *name)) {
        out.push(format!("xtask/floors.toml: {name} is not in the tree"));
    }
    out
}

/// The crates of the tree: room's name and directory.
fn crates(root: &Path) -> Vec<(String, std::path::PathBuf)> {
    let mut out: Vec<_> = ["bench", "tests", "xtask"].map(|name| (name.to_owned(), root.join(name))).into();
    for entry in std::fs::read_dir(root.join("crates")).into_iter().flatten().flatten() {
        out.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    out.sort();
    out
}

fn table(path: &Path) -> Table {
    std::fs::read_to_string(path).unwrap_or_default().parse().unwrap_or_default()
}
