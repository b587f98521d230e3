//! `cargo xtask tidy`: the house's rules, each a function from the tree to complaints.
//!
//! It promises that a complaint names file and line and says what to do. Rules: the floor table,
//! module heads, names, sizes that may only shrink, leftovers, lints taken from the workspace,
//! ARCHITECTURE's crate names, formats tied to their pages, documents in step, the book's pages and links,
//! licences, and advisories where their database was fetched.

mod book;
mod floors;
mod formats;
mod licences;
mod sizes;
mod source;

use std::path::{Path, PathBuf};

/// Runs every rule and prints the complaints.
pub fn run(words: &[String]) -> Result<(), String> {
    let root = crate::root();
    if words.iter().any(|word| word == "--shrink") {
        return sizes::shrink(&root, &rust_files(&root));
    }
    let complaints = complaints(&root);
    for complaint in &complaints {
        println!("{complaint}");
    }
    if complaints.is_empty() { Ok(()) } else { Err(format!("{} complaints; the rules are in CONTRIBUTING.md", complaints.len())) }
}

/// Everything that is wrong with the tree.
pub fn complaints(root: &Path) -> Vec<String> {
    let files = rust_files(root);
    let mut out = Vec::new();
    out.extend(floors::complaints(root));
    out.extend(formats::complaints(root));
    out.extend(files.iter().flat_map(|file| source::complaints(root, file)));
    out.extend(sizes::complaints(root, &files));
    out.extend(licences::complaints(root));
    out.extend(crate::advisories::complaints(root));
    out.extend(documents(root));
    out.extend(book::complaints(root));
    out
}

/// All Rust files of ours, in order of path.
fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut places: Vec<PathBuf> = ["bench", "crates", "tests", "xtask"].iter().map(|name| root.join(name)).collect();
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                places.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// A path as it is shown: below the root.
fn shown<'a>(root: &Path, path: &'a Path) -> std::borrow::Cow<'a, str> {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy()
}

/// The two READMEs have the same sections and commands, and each decision record is listed nowhere twice.
fn documents(root: &Path) -> Vec<String> {
    let count = |name: &str, mark: &str| {
        let text = std::fs::read_to_string(root.join(name)).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(mark)).count()
    };
    let mut out = Vec::new();
    for mark in ["#", "```", "|"] {
        let (english, chinese) = (count("README.md", mark), count("README.zh.md", mark));
        if english != chinese || (mark == "#" && english == 0) {
            out.push(format!("README.zh.md: {chinese} lines begin with {mark}, README.md has {english}: keep the two in step"));
        }
    }
    for name in ["LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/PERFORMANCE.md"] {
        if !root.join(name).is_file() {
            out.push(format!("{name}: is missing"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let complaints = super::complaints(&crate::root());
        assert!(complaints.is_empty(), "cargo xtask tidy says:\n{}", complaints.join("\n"));
    }
}
