//! Formats: each page under docs/formats/ and the code that decides its bytes change together.
//!
//! xtask/formats.toml names the code of each page and holds a sum of both. A sum that no longer fits makes
//! whoever changed one look at the other; writing the new sums down says that they did.

use std::path::Path;
use toml::{Table, Value};

const PAGES: &str = "docs/formats";
const TABLE: &str = "xtask/formats.toml";

/// Pages without code, and pages or code that changed since somebody looked at both.
pub fn complaints(root: &Path) -> Vec<String> {
    let table: Table = std::fs::read_to_string(root.join(TABLE)).unwrap_or_default().parse().unwrap_or_default();
    let mut pages: Vec<String> = std::fs::read_dir(root.join(PAGES))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| format!("{PAGES}/{}", entry.file_name().to_string_lossy()))
        .collect();
    pages.sort();
    let mut out: Vec<String> =
        table.keys().filter(|page| !pages.contains(page)).map(|page| format!("{page}: is missing")).collect();
    for page in pages {
        match table.get(&page).and_then(Value::as_table) {
            Some(tie) => out.extend(complaint(root, &page, tie)),
            None => out.push(format!("{page}: {TABLE} does not say which code decides these bytes")),
        }
    }
    out
}

fn complaint(root: &Path, page: &str, tie: &Table) -> Option<String> {
    let sources: Vec<&str> = tie.get("code").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut code = String::new();
    for source in &sources {
        match std::fs::read_to_string(root.join(source)) {
            Ok(text) => code.push_str(&bare(&text)),
            Err(error) => return Some(format!("{TABLE}: {source}, the code of {page}: {error}")),
        }
    }
    let page_text = std::fs::read_to_string(root.join(page)).unwrap_or_default();
    let (page_sum, code_sum) = (sum(&page_text), sum(&code));
    let told = |name: &str| tie.get(name).and_then(Value::as_str).unwrap_or_default();
    let fits = !sources.is_empty() && told("page_sum") == page_sum && told("code_sum") == code_sum;
    (!fits).then(|| {
        format!(
            "{page}: it or its code ({}) changed: look at both, then write page_sum = \"{page_sum}\" and code_sum = \"{code_sum}\" into {TABLE}",
            sources.join(", ")
        )
    })
}

/// The code that decides bytes: without comments, tests and layout of lines.
fn bare(source: &str) -> String {
    let lines = source.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]");
    lines.filter(|line| !line.starts_with("//") && !line.is_empty()).fold(String::new(), |out, line| out + line + "\n")
}

/// FNV-1a, 64 bits: enough to notice a change that nobody makes on purpose.
fn sum(text: &str) -> String {
    let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::{bare, sum};

    #[test]
    fn comments_and_tests_decide_no_bytes() {
        let code = "//! Head.\nfn a() {\n    // Why.\n    b(1)\n}\n";
        let tested = format!("{code}\n#[cfg(test)]\nmod tests {{}}\n");
        assert_eq!(bare(code), bare(&tested));
        assert_eq!(bare(code), bare(&code.replace("Why", "Because")));
        assert_ne!(sum(&bare(code)), sum(&bare(&code.replace("b(1)", "b(2)"))));
        assert_eq!(sum(""), "cbf29ce484222325");
    }
}
