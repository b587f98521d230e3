//! Whose work is in the program, and under which licences: what must go with it wherever it goes.
//!
//! It promises a text for every crate that is linked and brings one, each text once, and the same bytes for the same Cargo.lock.

use super::stage::Stage;
use super::{read, told};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where it lies where it is installed.
pub const DOC: &str = "/usr/share/doc/meridian";
/// What files begin with that say who may do what.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
const COPYRIGHT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: meridian
Comment: The program is linked with crates of others; THIRD-PARTY.gz beside this file names
 each with its licence, and has the texts.

Files: *
Copyright: 2026 the authors of Meridian
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0; it is that of
 https://www.apache.org/licenses/LICENSE-2.0 elsewhere.
";

/// Puts both files into a tree; the second is not compressed yet.
pub fn put(stage: &Stage) -> Result<(), String> {
    stage.file(&format!("{DOC}/copyright"), 0o644, COPYRIGHT)?;
    stage.file(&format!("{DOC}/THIRD-PARTY"), 0o644, &third_party()?).map(drop)
}

/// All crates that are linked, and the texts that they bring.
fn third_party() -> Result<String, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["tree", "--locked", "--package", "meridian", "--edges", "normal", "--prefix", "none", "--format", "{p}|{l}"]);
    let listed = told(cargo.current_dir(crate::root()))?;
    // A path in parentheses is one of ours.
    let crates: BTreeSet<(String, String, String)> =
        listed.lines().filter(|line| !line.contains("(/")).filter_map(parts).collect();
    let mut out = String::from("Meridian is linked with these crates.\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version, licence) in &crates {
        let _ = writeln!(out, "{name} {version}: {licence}");
        for file in sources(name, version).iter().flat_map(|dir| found(dir)) {
            // What is no text says nothing that can be shown.
            let Ok(text) = read(&file) else { continue };
            let named = texts.entry(text.trim().replace('\r', "")).or_default();
            let name = format!("{name} {version}");
            if named.last() != Some(&name) {
                named.push(name);
            }
        }
    }
    let mut texts: Vec<(Vec<String>, String)> = texts.into_iter().map(|(text, named)| (named, text)).collect();
    texts.sort();
    for (named, text) in texts {
        let _ = write!(out, "\n{}\n{}\n\n{text}\n", "=".repeat(80), named.join(", "));
    }
    Ok(out)
}

/// "serde v1.0.228 (proc-macro)|MIT OR Apache-2.0 (*)" in parts.
fn parts(line: &str) -> Option<(String, String, String)> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    Some((name.to_owned(), version.to_owned(), licence.trim_end_matches("(*)").trim().to_owned()))
}

/// Where cargo keeps a crate's source.
fn sources(name: &str, version: &str) -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"))).unwrap_or_default();
    let registries = std::fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    registries.map(|registry| registry.path().join(format!("{name}-{version}"))).filter(|dir| dir.is_dir()).collect()
}

/// Files of licences in a directory and below it: what is vendored has its own.
fn found(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().to_uppercase());
        if path.is_dir() {
            files.extend(found(&path));
        } else if NAMES.iter().any(|start| name.starts_with(start)) && !name.ends_with(".RS") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_linked_crate_is_named_and_most_bring_a_text() {
        assert_eq!(super::parts("a v1.2.3 (proc-macro)|MIT (*)"), Some(("a".to_owned(), "1.2.3".to_owned(), "MIT".to_owned())));
        let text = super::third_party().expect("cargo tells the tree");
        for word in ["\ndatafusion ", "\nring ", "\nmimalloc ", "Apache License", "Permission is hereby granted"] {
            assert!(text.contains(word), "{word}");
        }
    }
}
