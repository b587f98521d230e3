//! The book: `docs/SUMMARY.md` names every page once, links lead somewhere, and Chinese pages keep step with the English ones.
//!
//! A link leads to a file, a directory, or a heading of a page, by GitHub's names of headings. A Chinese page has as many
//! headings and rows of tables as its English one, and the same blocks of SQL and of what they print, comments aside; that they run
//! is seen by tests/tests/book.rs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const BOOK: &str = "docs";
const SUMMARY: &str = "docs/SUMMARY.md";
/// Documents beside the book whose links are followed too.
const BESIDE: &[&str] = &["README.md", "README.zh.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md"];
/// Chapters that are there in Chinese.
const CHINESE: &[&str] = &["quickstart.md", "concepts.md", "sql.md"];

/// What is wrong with the book.
pub fn complaints(root: &Path) -> Vec<String> {
    let pages = pages(&root.join(BOOK));
    let mut out = named(root, &pages);
    let beside = BESIDE.iter().map(|name| root.join(name)).filter(|path| path.is_file());
    out.extend(pages.into_iter().chain(beside).flat_map(|page| dead_links(root, &page)));
    let english = |name: &&str| (format!("{BOOK}/{name}"), format!("{BOOK}/zh/{name}"));
    let readme = ("README.md".to_owned(), "README.zh.md".to_owned());
    out.extend(CHINESE.iter().map(english).chain([readme]).filter_map(|(one, other)| out_of_step(root, &one, &other)));
    out
}

/// All pages below a directory, in order.
fn pages(place: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(pages(&path));
        } else if path.extension().is_some_and(|end| end == "md") {
            out.push(path);
        }
    }
    out.sort();
    out
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Pages that the summary does not name, or names twice.
fn named(root: &Path, pages: &[PathBuf]) -> Vec<String> {
    let summary = read(&root.join(SUMMARY));
    let links: Vec<String> = links(&summary).into_iter().map(|(_, link)| link).collect();
    let mut out = Vec::new();
    for page in pages.iter().filter(|page| !page.ends_with("SUMMARY.md")) {
        let name = page.strip_prefix(root.join(BOOK)).unwrap_or(page).to_string_lossy();
        match links.iter().filter(|link| **link == name).count() {
            1 => {}
            times => out.push(format!("{SUMMARY}: names {name} {times} times: once is right")),
        }
    }
    out
}

/// Lines of a page outside of its blocks, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut in_block = false;
    let mut out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            out.push((number + 1, line));
        }
    }
    out
}

/// Where links lead, with their lines. What stands between backquotes is none.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    for (number, line) in prose(text) {
        let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for part in outside.split("](").skip(1) {
            if let Some((link, _)) = part.split_once(')') {
                out.push((number, link.to_owned()));
            }
        }
    }
    out
}

/// The names of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (_, line) in prose(text).into_iter().filter(|(_, line)| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
        let name: String = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect();
        let again = (1..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(again).find(|name| !out.contains(name));
        out.extend(free);
    }
    out
}

fn dead_links(root: &Path, page: &Path) -> Vec<String> {
    let text = read(page);
    let place = page.parent().unwrap_or(root);
    let name = super::shown(root, page);
    let mut out = Vec::new();
    for (line, link) in links(&text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
        let target = if path.is_empty() { page.to_owned() } else { place.join(path) };
        if !target.exists() {
            out.push(format!("{name}:{line}: {link} leads nowhere"));
        } else if let Some(anchor) = anchor
            && !anchors(&read(&target)).contains(anchor)
        {
            out.push(format!("{name}:{line}: {link} leads to a heading that is not there"));
        }
    }
    out
}

/// Blocks of SQL, without comments, and of what they print.
fn examples(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut lines = text.lines();
    let mut after_sql = false;
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            after_sql &= line.trim().is_empty();
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        let is_sql = info.starts_with("sql");
        if is_sql {
            let bare = block.iter().map(|line| line.split("--").next().unwrap_or(line).trim_end());
            let bare: Vec<&str> = bare.filter(|line| !line.is_empty()).collect();
            out.push(format!("{info}\n{}", bare.join("\n")));
        } else if info == "text" && after_sql {
            out.push(format!("{info}\n{}", block.join("\n")));
        }
        after_sql = is_sql;
    }
    out
}

/// Where a Chinese page and its English one part.
fn out_of_step(root: &Path, english: &str, chinese: &str) -> Option<String> {
    if !root.join(chinese).is_file() {
        return Some(format!("{chinese}: is missing"));
    }
    let (one, other) = (read(&root.join(english)), read(&root.join(chinese)));
    for mark in ['#', '|'] {
        let count = |text: &str| prose(text).iter().filter(|(_, line)| line.starts_with(mark)).count();
        let (here, there) = (count(&other), count(&one));
        if here != there {
            return Some(format!("{chinese}: {here} lines begin with {mark}, in {english} {there}: keep the two in step"));
        }
    }
    let (one, other) = (examples(&one), examples(&other));
    let longest = one.len().max(other.len());
    let at = (0..longest).find(|at| one.get(*at) != other.get(*at))?;
    let shown = |all: &[String]| all.get(at).map_or("nothing".to_owned(), |block| format!("\n{block}\n"));
    Some(format!("{chinese}: example {} is {}and {english} has {}", at + 1, shown(&other), shown(&one)))
}

#[cfg(test)]
mod tests {
    use super::{anchors, examples, links};

    #[test]
    fn headings_have_the_names_that_links_use() {
        let text = "# The shell: `meridian sql`\n## A, b & c\n```text\n# none\n```\n## Twice\n## Twice\n### 读到什么\n";
        let all: Vec<String> = anchors(text).into_iter().collect();
        assert_eq!(all, ["a-b--c", "the-shell-meridian-sql", "twice", "twice-1", "读到什么"]);
    }

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "[a](b.md#c) and `[no](x)` and ![d](e/)\n```text\n[no](y)\n```\n";
        assert_eq!(links(text), [(1, "b.md#c".to_owned()), (1, "e/".to_owned())]);
    }

    #[test]
    fn examples_are_compared_without_their_comments() {
        let one = "```sql\n-- One.\nSELECT 1; -- here\n```\n\n```text\n1\n```\n\n```text\na drawing\n```\n";
        let other = "```sql\nSELECT 1; -- 此处\n```\n```text\n1\n```\n";
        assert_eq!(examples(one), examples(other));
        assert_ne!(examples(one), examples(&other.replace("SELECT 1", "SELECT 2")));
        assert_ne!(examples(one), examples(&other.replace("\n1\n", "\n2\n")));
        assert_ne!(examples(one), examples(""));
    }
}
