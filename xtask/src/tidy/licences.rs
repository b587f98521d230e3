//! Licences: every crate that is built carries one that deny.toml allows.
//!
//! Read from `cargo metadata` (offline).

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Crates whose licence is not allowed.
pub fn complaints(root: &Path) -> Vec<String> {
    let allowed: toml::Table = std::fs::read_to_string(root.join("deny.toml")).unwrap_or_default().parse().unwrap_or_default();
    let allowed: Vec<&str> = allowed
        .get("licenses")
        .and_then(|licences| licences.get("allow"))
        .and_then(toml::Value::as_array)
        .map(|names| names.iter().filter_map(toml::Value::as_str).collect())
        .unwrap_or_default();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root);
    let output = match command.output() {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => return vec![format!("Cargo.lock: cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr))],
        Err(error) => return vec![format!("Cargo.lock: cargo can't be started: {error}")],
    };
    let metadata: Value = serde_json::from_slice(&output).unwrap_or_default();
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let mut out = Vec::new();
    if packages.len() < 10 {
        out.push("Cargo.lock: cargo metadata names no crates".to_owned());
    }
    for package in &packages {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or_default();
        if !fits(licence, &allowed) {
            out.push(format!("Cargo.lock: {name} has licence \"{licence}\", which deny.toml does not allow"));
        }
    }
    out
}

/// Whether a licence expression can be met with what is allowed (AND binds tighter than OR, as in SPDX).
fn fits(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.replace('/', " OR ");
    let mut rest = expression.trim();
    if rest.is_empty() {
        return false;
    }
    // Parentheses: evaluate the innermost first, by putting a known word in its place.
    let owned;
    if let Some(open) = rest.rfind('(')
        && let Some(close) = rest[open..].find(')')
    {
        let word =
            if fits(&rest[open + 1..open + close], allowed) { allowed.first().copied().unwrap_or_default() } else { "none" };
        owned = format!("{}{word}{}", &rest[..open], &rest[open + close + 1..]);
        return fits(&owned, allowed);
    }
    rest = rest.trim();
    rest.split(" OR ").any(|all| all.split(" AND ").all(|one| allowed.contains(&one.trim())))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn expressions_are_met_as_spdx_says() {
        let check = |text: &str, expect: bool| assert_eq!(fits(text, &["MIT", "Zlib"]), expect, "{text}");
        check("MIT", true);
        check("GPL-3.0", false);
        check("GPL-3.0 OR MIT", true);
        check("MIT/Apache-2.0", true);
        check("MIT AND GPL-3.0", false);
        check("(GPL-3.0 OR MIT) AND Zlib", true);
        check("", false);
    }
}
