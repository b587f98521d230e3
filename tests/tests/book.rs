//! The book: every example of SQL in docs/ and the READMEs runs, and prints what its page says.
//!
//! A page is one session of psql against a server of its own, from its first example to its last. Examples are blocks marked
//! `sql`, and rows of tables whose columns begin with `expression` and `result`. A `text` block right after a block is what psql
//! prints, output before errors, blanks at line ends aside. `sql error` fails, as its text block says. `sql template` is not run.
//! It promises: a complaint names page and line; psql's script has the page's own line numbers.
#![expect(clippy::disallowed_methods, reason = "tests drive the outside world: processes, files")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests::{Directory, Server, psql};

/// How many blocks of SQL of all pages may be there that are not run.
const TEMPLATES_MAX: usize = 12;
/// Begins what an example prints; its line follows.
const MARK: &str = "@@example ";
/// Ends it.
const END: &str = "@@end";

/// What stands at a line of a page.
struct Example {
    line: usize,
    fails: bool,
    prints: Option<String>,
}

/// What psql is to do for a page.
#[derive(Default)]
struct Page {
    /// A line for each line of the page.
    script: Vec<String>,
    examples: Vec<Example>,
    templates: usize,
    /// What is wrong with the page itself: line and complaint.
    wrong: Vec<(usize, String)>,
}

/// Without blanks at line ends, and blank lines around.
fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// The line on which a block that begins at `from` ends.
fn end_of_block(lines: &[&str], from: usize) -> usize {
    (from + 1..lines.len()).find(|at| lines[*at].starts_with("```")).unwrap_or(lines.len() - 1)
}

/// The text block right after a block that ends at `end`.
fn text_after(lines: &[&str], end: usize) -> Option<String> {
    let at = (end + 1..lines.len()).find(|at| !lines[*at].trim().is_empty())?;
    (lines[at] == "```text").then(|| trimmed(&lines[at + 1..end_of_block(lines, at)].join("\n")))
}

/// The cells of a row of a table; a bar within one has a backslash before it.
fn cells(line: &str) -> Vec<String> {
    let bar = "\u{1}";
    let Some(inner) = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|')) else { return Vec::new() };
    inner.replace("\\|", bar).split('|').map(|cell| cell.trim().replace(bar, "|")).collect()
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

fn is_whole(statements: &[&str]) -> bool {
    let mut from_last = statements.iter().rev().map(|line| line.split(" --").next().unwrap_or(line).trim());
    let last = from_last.find(|line| !line.is_empty() && !line.starts_with("--")).unwrap_or_default();
    last.ends_with(';') || last.starts_with('\\')
}

impl Page {
    fn read(text: &str) -> Page {
        let lines: Vec<&str> = text.lines().collect();
        let mut page = Page { script: vec![String::new(); lines.len()], ..Page::default() };
        let (mut at, mut in_table) = (0, false);
        while at < lines.len() {
            if let Some(info) = lines[at].strip_prefix("```") {
                let end = end_of_block(&lines, at);
                page.read_block(info.trim(), &lines, at, end);
                at = end + 1;
                continue;
            }
            let cells = cells(lines[at]);
            if cells.len() > 1 && cells[..2] == ["expression", "result"] {
                in_table = true;
                page.script[at] = "\\set ON_ERROR_STOP on \\t on \\pset format unaligned \\pset null NULL".to_owned();
            } else if in_table && cells.is_empty() {
                in_table = false;
                page.script[at] = format!("\\echo {END} \\warn {END} \\t off \\pset format aligned \\pset null ''");
            } else if in_table && !cells[0].starts_with("--") {
                page.read_row(&cells, at);
            }
            at += 1;
        }
        page
    }

    fn read_block(&mut self, info: &str, lines: &[&str], from: usize, end: usize) {
        let line = from + 1;
        let fails = match info {
            "sql" => false,
            "sql error" => true,
            "sql template" => return self.templates += 1,
            other if other.starts_with("sql") => {
                return self.wrong.push((line, format!("a block can't be \"{other}\": sql, sql error or sql template")));
            }
            _ => return,
        };
        let statements = &lines[from + 1..end];
        if !is_whole(statements) {
            self.wrong.push((line, "the last statement of the block has no semicolon".to_owned()));
        }
        let prints = text_after(lines, end);
        if fails && prints.is_none() {
            self.wrong.push((line, "the error that is to come stands in no text block".to_owned()));
        }
        let stop = if fails { "off" } else { "on" };
        self.script[from] = format!("\\set ON_ERROR_STOP {stop} \\echo {MARK}{line} \\warn {MARK}{line}");
        for (script, statement) in self.script[from + 1..end].iter_mut().zip(statements) {
            (*statement).clone_into(script);
        }
        self.script[end] = format!("\\echo {END} \\warn {END}");
        self.examples.push(Example { line, fails, prints });
    }

    fn read_row(&mut self, cells: &[String], at: usize) {
        let line = at + 1;
        let (Some(expression), Some(result)) = (code(&cells[0]), cells.get(1).and_then(|cell| code(cell))) else {
            return self.wrong.push((line, "expression and result stand between backquotes".to_owned()));
        };
        self.script[at] = format!("\\echo {MARK}{line} \\warn {MARK}{line} \\\\ SELECT {expression};");
        self.examples.push(Example { line, fails: false, prints: Some(trimmed(result)) });
    }
}

/// What psql printed at a line of the page, of a stream.
fn printed(stream: &str, line: usize) -> Option<String> {
    let mark = format!("{MARK}{line}");
    let mut lines = stream.lines().skip_while(|found| **found != mark);
    lines.next()?;
    let own: Vec<&str> = lines.take_while(|line| !line.starts_with(MARK) && *line != END).collect();
    Some(trimmed(&own.join("\n")))
}

/// Runs a page; every complaint begins with its line.
fn complaints(name: &str, page: &Page) -> Vec<String> {
    let mut out: Vec<String> = page.wrong.iter().map(|(line, what)| format!("{name}:{line}: {what}")).collect();
    if page.examples.is_empty() {
        return out;
    }
    let directory = Directory::new("book");
    let server = Server::start(directory.path(), &[]);
    let script = directory.path().join("page.sql");
    std::fs::write(&script, page.script.join("\n")).expect("a script can be written");
    let script = script.to_str().expect("temporary directories have names of text");
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-v", "VERBOSITY=verbose", "-P", "footer=off", "-f", script]);
    psql.args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "-U", "meridian", "meridian"]);
    psql.env("PGTZ", "UTC").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    let output = psql.output().expect("psql is installed");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    // psql says where in the script: the page's own line.
    let place = format!("psql:{script}:");
    let bare = |line: &str| -> String {
        line.strip_prefix(&place).and_then(|rest| rest.split_once(": ")).map_or(line, |(_, told)| told).to_owned()
    };
    let stderr: Vec<String> = String::from_utf8_lossy(&output.stderr).lines().map(bare).collect();
    let stderr = stderr.join("\n");
    for example in &page.examples {
        let line = example.line;
        let (Some(told), Some(errors)) = (printed(&stdout, line), printed(&stderr, line)) else {
            out.push(format!("{name}:{line}: it and what follows was not run, since psql ended:\n{stderr}"));
            break;
        };
        let all = trimmed(&format!("{told}\n{errors}"));
        if errors.contains("ERROR:") != example.fails {
            out.push(format!("{name}:{line}: it {}:\n{all}", if example.fails { "is to fail, and does not" } else { "fails" }));
        } else if let Some(prints) = &example.prints
            && *prints != all
        {
            out.push(format!("{name}:{line}: psql prints\n{all}\nand the page says\n{prints}"));
        }
    }
    assert!(server.stop().success(), "{name}: the server ends with 0 on SIGTERM");
    out
}

/// The pages of the book, and the READMEs, by their paths below the root.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the root").to_owned();
    let mut paths: Vec<PathBuf> = ["README.md", "README.zh.md"].iter().map(|name| root.join(name)).collect();
    let mut places = vec![root.join("docs")];
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(place).expect("the book can be listed") {
            let path = entry.expect("the book can be listed").path();
            if path.is_dir() {
                places.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let name = |path: &Path| path.strip_prefix(&root).unwrap_or(path).to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).expect("a page can be read"))).collect()
}

#[test]
fn every_example_of_the_book_prints_what_its_page_says() {
    let pages: Vec<(String, Page)> = pages().into_iter().map(|(name, text)| (name, Page::read(&text))).collect();
    let templates: usize = pages.iter().map(|(_, page)| page.templates).sum();
    let examples: usize = pages.iter().map(|(_, page)| page.examples.len()).sum();
    assert!(templates <= TEMPLATES_MAX, "{templates} blocks of SQL are not run: make examples of them");
    assert!(examples > 10 * templates, "only {examples} examples were found");
    let wrong: Vec<String> = pages.iter().flat_map(|(name, page)| complaints(name, page)).collect();
    assert!(wrong.is_empty(), "{} of {examples} examples:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn the_reference_names_every_table_and_function_of_meridian() {
    let directory = Directory::new("book-names");
    let server = Server::start(directory.path(), &[]);
    let names = "\\t on
SELECT CASE table_schema WHEN 'public' THEN '' ELSE 'meridian.' END || table_name FROM information_schema.tables WHERE table_schema IN ('public', 'meridian');
SELECT DISTINCT routine_name || '(' FROM information_schema.routines
WHERE routine_name LIKE 'meridian%' OR routine_name LIKE 'quality%' OR routine_name IN ('is_good', 'label', 'values_at', 'time_bucket', 'date_bin');\n";
    let output = psql(&server, names);
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let pages = pages();
    let (_, reference) = pages.iter().find(|(name, _)| name == "docs/reference.md").expect("the reference is there");
    let missing: Vec<&str> = names.lines().filter(|name| !reference.contains(name.trim())).collect();
    assert!(names.lines().count() > 20, "{names}{}", String::from_utf8_lossy(&output.stderr));
    assert!(missing.is_empty(), "docs/reference.md does not tell of {missing:?}");
}

#[test]
fn a_page_that_says_otherwise_is_told_by_its_line() {
    let text = "# A page\n\n```sql\nSELECT 1 AS one;\n```\n\n```text\n one\n-----\n   2\n```\n\n| expression | result |\n|---|---|\n| `1 \\|\\| 'a'` | `1a` |\n| `1 + 1` | `3` |\n\n```sql error\nSELECT 1;\n```\n\n```text\nERROR:\n```\n\n```sql\nSELECT 2\n```\n\n```sql\nSELECT nothing;\n```\n\n```sql\nSELECT 3;\n```\n";
    let told = complaints("page.md", &Page::read(text));
    let starts: Vec<&str> = told.iter().filter_map(|line| line.lines().next()).collect();
    let expected = [
        "page.md:26: the last statement of the block has no semicolon",
        "page.md:3: psql prints",
        "page.md:16: psql prints",
        "page.md:18: it is to fail, and does not:",
        "page.md:30: it fails:",
        "page.md:34: it and what follows was not run, since psql ended:",
    ];
    assert_eq!(starts, expected, "{told:#?}");
}
