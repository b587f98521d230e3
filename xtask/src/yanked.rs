//! `cargo xtask yanked`: whether the registry took back any version that Cargo.lock names.
//!
//! A lock file keeps a version that was taken back without a word. So cargo is asked to make a lock file anew, of a
//! package that wants each locked version and no other: that it refuses, and names the version.
//! It promises to ask by cargo alone, and to write nothing in the tree.

use std::path::Path;
use std::process::{Command, Stdio};

/// Asks, and says how many versions stand.
pub fn run(words: &[String]) -> Result<(), String> {
    if let Some(word) = words.first() {
        return Err(format!("yanked takes no words, not \"{word}\""));
    }
    let lock = crate::root().join("Cargo.lock");
    let text = std::fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let (manifest, count) = manifest(&text)?;
    let place = std::env::temp_dir().join(format!("meridian-yanked-{}", std::process::id()));
    let answer = ask(&place, &manifest);
    // A directory of ours that stays behind is a pity, not a failure.
    let _ = std::fs::remove_dir_all(&place);
    answer?;
    println!("xtask: none of {count} locked versions was taken back");
    Ok(())
}

/// A package that wants each version of a registry's that a lock file names; and how many those are.
fn manifest(lock: &str) -> Result<(String, usize), String> {
    let lock: toml::Table = lock.parse().map_err(|error| format!("Cargo.lock: {error}"))?;
    let packages = lock.get("package").and_then(toml::Value::as_array).ok_or("Cargo.lock: it names no packages")?;
    let mut out = String::from("[package]\nname = \"asks\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[dependencies]\n");
    let mut count = 0;
    for package in packages {
        let field = |name: &str| package.get(name).and_then(toml::Value::as_str);
        let (Some(name), Some(version), Some(source)) = (field("name"), field("version"), field("source")) else { continue };
        if source.starts_with("registry+") {
            // What stands behind a plus tells versions apart for people only.
            let version = version.split('+').next().unwrap_or(version);
            out.push_str(&format!("p{count} = {{ package = \"{name}\", version = \"={version}\", default-features = false }}\n"));
            count += 1;
        }
    }
    Ok((out, count))
}

fn ask(place: &Path, manifest: &str) -> Result<(), String> {
    let made = std::fs::create_dir_all(place.join("src")).and_then(|()| std::fs::write(place.join("src/lib.rs"), ""));
    made.and_then(|()| std::fs::write(place.join("Cargo.toml"), manifest))
        .map_err(|error| format!("{}: {error}", place.display()))?;
    let mut cargo = Command::new("cargo");
    let output = cargo.args(["generate-lockfile", "--quiet"]).current_dir(place).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cargo can't be started: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_a_registry_is_wanted_and_no_other() {
        let lock = r#"
            version = 4
            [[package]]
            name = "ours"
            version = "0.1.0"
            [[package]]
            name = "theirs"
            version = "1.2.3+zstd.4"
            source = "registry+https://example.org/index"
        "#;
        let (manifest, count) = manifest(lock).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(count, 1);
        assert!(
            manifest.ends_with("p0 = { package = \"theirs\", version = \"=1.2.3\", default-features = false }\n"),
            "{manifest}"
        );
    }
}
