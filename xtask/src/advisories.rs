//! `cargo xtask advisories`: whether the RustSec database knows of a fault in any version that Cargo.lock names.
//!
//! No registry carries that database, so it is fetched by git, or named by `--db` where a machine has a copy; `tidy` reads what
//! was fetched. It promises that a database that can't be read, or holds nothing, is an error and never "no advisories".
//! What is known and borne stands in deny.toml (`advisories.ignore`), where `cargo deny` reads it too.

use rustsec::advisory::Informational;
use rustsec::report::{Report, Settings};
use rustsec::{Database, Lockfile};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SOURCE: &str = "https://github.com/RustSec/advisory-db";

/// Fetches the database, or reads the one that `--db` names, and tells what it says of Cargo.lock.
pub fn run(words: &[String]) -> Result<(), String> {
    let db = match words {
        [] => {
            let place = fetched();
            fetch(&place)?;
            place
        }
        [flag, place] if flag == "--db" => PathBuf::from(place),
        _ => return Err("advisories takes --db DIR, or nothing".to_owned()),
    };
    let root = crate::root();
    let found = held_against(&db, &root)?;
    for word in &found.faults {
        println!("{word}");
    }
    if !found.faults.is_empty() {
        return Err(format!(
            "{} advisories; hint: cargo update -p CRATE, or bear one by deny.toml's advisories.ignore",
            found.faults.len()
        ));
    }
    println!("xtask: none of {} advisories is about any of {} locked versions", found.advisories, found.versions);
    Ok(())
}

/// What the database that was fetched last says; nothing where none was.
pub fn complaints(root: &Path) -> Vec<String> {
    let place = fetched();
    if !place.is_dir() {
        return Vec::new();
    }
    held_against(&place, root).map_or_else(|error| vec![error], |found| found.faults)
}

/// What was found.
struct Found {
    advisories: usize,
    versions: usize,
    faults: Vec<String>,
}

/// Where the database is kept: under the user's cache directory, as all that is built.
fn fetched() -> PathBuf {
    crate::needs::cache().join("advisory-db")
}

fn fetch(place: &Path) -> Result<(), String> {
    let mut git = Command::new("git");
    // Nobody is asked for a name: a proxy that wants one says so.
    git.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    if place.join(".git").is_dir() {
        git.arg("-C").arg(place).args(["pull", "--quiet", "--ff-only"]);
    } else {
        git.args(["clone", "--quiet", "--depth", "1", SOURCE]).arg(place);
    }
    match git.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{SOURCE} can't be fetched; hint: name a copy of it by --db DIR")),
        Err(error) => Err(format!("git can't be started: {error}")),
    }
}

fn held_against(db: &Path, root: &Path) -> Result<Found, String> {
    let unread = |error: rustsec::Error| format!("{}: the advisories can't be read: {error}", db.display());
    let database = Database::open(db).map_err(unread)?;
    let advisories = database.iter().count();
    if advisories == 0 {
        return Err(format!("{}: there are no advisories; hint: it is to be a copy of {SOURCE}", db.display()));
    }
    let lock = Lockfile::load(root.join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    let borne = borne(root)?;
    let settings = Settings {
        ignore: borne.iter().map(|id| id.parse()).collect::<Result<_, _>>().map_err(|error| format!("deny.toml: {error}"))?,
        informational_warnings: vec![Informational::Unsound, Informational::Unmaintained],
        ..Settings::default()
    };
    let report = Report::generate(&database, &lock, &settings);
    let told = |package: &rustsec::package::Package, what: &str, advisory: &rustsec::advisory::Metadata, patched: String| {
        let (name, version, id, title) = (&package.name, &package.version, &advisory.id, &advisory.title);
        format!("Cargo.lock: {name} {version} {what}: {id}, {title}{patched}")
    };
    let mut faults = Vec::new();
    for fault in &report.vulnerabilities.list {
        let patched: Vec<String> = fault.versions.patched().iter().map(ToString::to_string).collect();
        let patched =
            if patched.is_empty() { "; nothing mends it".to_owned() } else { format!("; mended in {}", patched.join(", ")) };
        faults.push(told(&fault.package, "has a fault", &fault.advisory, patched));
    }
    // That nobody tends a crate is a thing to know when it is chosen, not a fault of what stands.
    for (kind, warnings) in &report.warnings {
        for warning in warnings {
            let Some(advisory) = &warning.advisory else { continue };
            let word = told(&warning.package, &format!("is {}", kind.as_str()), advisory, String::new());
            if *kind == rustsec::WarningKind::Unsound { faults.push(word) } else { eprintln!("{word}") }
        }
    }
    faults.sort();
    Ok(Found { advisories, versions: lock.packages.len(), faults })
}

/// Advisories that deny.toml bears.
fn borne(root: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(root.join("deny.toml")).map_err(|error| format!("deny.toml: {error}"))?;
    let deny: toml::Table = text.parse().map_err(|error| format!("deny.toml: {error}"))?;
    let ignored = deny.get("advisories").and_then(|table| table.get("ignore")).and_then(toml::Value::as_array);
    // `cargo deny` takes a reason beside an id too.
    let id = |entry: &toml::Value| entry.as_str().or_else(|| entry.get("id")?.as_str()).map(str::to_owned);
    Ok(ignored.into_iter().flatten().filter_map(id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"pump\"\nversion = \"1.2.3\"\n\
                        source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";

    fn planted(name: &str, informational: &str, patched: &str, ignore: &str) -> Result<Found, String> {
        let place = std::env::temp_dir().join(format!("meridian-advisories-{}-{name}", std::process::id()));
        let crates = place.join("crates/pump");
        std::fs::create_dir_all(&crates).unwrap();
        std::fs::write(place.join("Cargo.lock"), LOCK).unwrap();
        std::fs::write(place.join("deny.toml"), format!("[advisories]\nignore = [{ignore}]\n")).unwrap();
        let advisory = format!(
            "```toml\n[advisory]\nid = \"RUSTSEC-2026-0001\"\npackage = \"pump\"\ndate = \"2026-01-01\"\n{informational}\n\
             [versions]\npatched = [{patched}]\n```\n\n# It leaks\n\nWhen pressed.\n"
        );
        std::fs::write(crates.join("RUSTSEC-2026-0001.md"), advisory).unwrap();
        let found = held_against(&place, &place);
        std::fs::remove_dir_all(&place).unwrap();
        found
    }

    #[test]
    fn a_fault_of_a_locked_version_is_named_with_what_mends_it() {
        let found = planted("fault", "", "\">= 1.3.0\"", "").unwrap();
        assert_eq!(found.faults, ["Cargo.lock: pump 1.2.3 has a fault: RUSTSEC-2026-0001, It leaks; mended in >=1.3.0"]);
        assert_eq!((found.advisories, found.versions), (1, 1));
        assert_eq!(planted("mended", "", "\">= 1.2.3\"", "").unwrap().faults, [""; 0]);
    }

    #[test]
    fn what_is_unsound_is_a_fault_and_what_is_borne_or_untended_is_none() {
        let unsound = planted("unsound", "informational = \"unsound\"", "", "").unwrap();
        assert_eq!(unsound.faults, ["Cargo.lock: pump 1.2.3 is unsound: RUSTSEC-2026-0001, It leaks"]);
        assert_eq!(planted("untended", "informational = \"unmaintained\"", "", "").unwrap().faults, [""; 0]);
        assert_eq!(planted("borne", "", "", "\"RUSTSEC-2026-0001\"").unwrap().faults, [""; 0]);
        let reasoned = "{ id = \"RUSTSEC-2026-0001\", reason = \"never pressed\" }";
        assert_eq!(planted("reasoned", "", "", reasoned).unwrap().faults, [""; 0]);
    }

    #[test]
    fn a_database_that_is_none_is_an_error() {
        let nowhere = std::env::temp_dir().join("meridian-advisories-nowhere");
        assert!(held_against(&nowhere, &crate::root()).is_err());
    }
}
