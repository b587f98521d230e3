//! The program from outside, over SQL: durability, import, check and repair, demo.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

mod node;

use node::{Dir, Node, ask, run, text};
use std::path::{Path, PathBuf};

#[test]
fn what_was_written_is_there_after_a_stop_and_after_kill_9() {
    let dir = Dir::new("round");
    let store = dir.join("store");
    let node = Node::start(&store, &[]);
    ask(&node, "INSERT INTO tags (name, kind, unit) VALUES ('boiler', 'f64', 'C'), ('pump', 'bool', '')");
    ask(&node, "INSERT INTO samples (tag, time, value) VALUES ('boiler', '2024-01-01 00:00:00Z', 21.5)");
    node.stop();
    let node = Node::start(&store, &[]);
    ask(&node, "INSERT INTO samples (tag, time, value) VALUES ('boiler', '2024-01-01 00:01:00Z', 22.5)");
    node.kill();
    let node = Node::start(&store, &[]);
    assert_eq!(ask(&node, "SELECT value FROM samples WHERE tag = 'boiler' ORDER BY time"), [["21.5"], ["22.5"]]);
    assert_eq!(ask(&node, "SELECT name, kind, unit FROM tags ORDER BY name"), [["boiler", "f64", "C"], ["pump", "bool", ""]]);
    node.stop();
}

#[test]
fn a_wide_file_with_bad_rows_is_imported_and_again_doubles_nothing() {
    let dir = Dir::new("import");
    let node = Node::start(&dir.join("store"), &[]);
    let file = dir.join("wide.csv");
    let rows = "when,level,open,note\n\
                2024-01-01 00:00:00,1.5,true,all well\n\
                2024-01-01 00:01:00,,false,\"a \"\"quoted\"\", line\"\n\
                yesterday,3,true,x\n\
                2024-01-01 00:02:00,2.5,true\n\
                2024-01-01 00:03:00,NaN,false,\n\
                2024-01-01 00:04:00,high,true,y\n";
    // The value that is no number makes the column text unless its kind is known.
    std::fs::write(&file, rows).unwrap();
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('p.level', 'f64')");
    let url = node.url();
    let reject = dir.join("reject.csv");
    let words = [
        "import",
        file.to_str().unwrap(),
        "--to",
        &url,
        "--time",
        "when",
        "--prefix",
        "p.",
        "--reject",
        reject.to_str().unwrap(),
    ];
    let output = run(&words);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let said = text(&output);
    for part in
        ["3 rows with 7 samples", "3 rows refused", "row 4: time \"yesterday\"", "row 5: has 3 columns", "row 7: tag \"p.level\""]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let kept = std::fs::read_to_string(&reject).unwrap();
    assert_eq!(kept.lines().count(), 4, "{kept}");
    std::fs::remove_file(&reject).unwrap();
    assert_eq!(run(&words).status.code(), Some(3));
    assert_eq!(ask(&node, "SELECT count(*) FROM samples"), [["5"]]);
    assert_eq!(ask(&node, "SELECT text FROM events WHERE tag = 'p.note' ORDER BY time"), [["all well"], ["a \"quoted\", line"]]);
    assert_eq!(ask(&node, "SELECT value FROM samples WHERE tag = 'p.level' ORDER BY time"), [["1.5"], ["NaN"]]);
    assert_eq!(ask(&node, "SELECT kind FROM tags WHERE name = 'p.open'"), [["bool"]]);
    node.stop();
}

#[test]
fn a_long_file_with_its_own_times_zones_and_kinds() {
    let dir = Dir::new("long");
    let node = Node::start(&dir.join("store"), &[]);
    let file = dir.join("long.csv");
    let rows = "q;t;point;v\ngood;01.02.2024 08:00;a;9007199254740993\nbad;01.02.2024 08:00;b;7\n192;01.02.2024 08:01;a;-1\nodd;01.02.2024 08:01;a;1\n";
    std::fs::write(&file, rows).unwrap();
    let url = node.url();
    let mut words =
        vec!["import", file.to_str().unwrap(), "--to", &url, "--time", "t", "--tag", "point", "--value", "v", "--quality", "q"];
    words.extend(["--time-format", "%d.%m.%Y %H:%M", "--time-zone", "Asia/Shanghai", "--kind", "i64", "--batch", "2"]);
    let output = run(&words);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let rows = ask(&node, "SELECT tag, time, value, quality FROM integers ORDER BY tag, time");
    assert_eq!(
        rows,
        [
            ["a", "2024-02-01 00:00:00+00", "9007199254740993", "192"],
            ["a", "2024-02-01 00:01:00+00", "-1", "192"],
            ["b", "2024-02-01 00:00:00+00", "7", "0"],
        ]
    );
    let none = run(&["import", "/nonexistent.csv", "--to", &url, "--time", "t"]);
    assert_eq!(none.status.code(), Some(1), "{}", text(&none));
    words.extend(["--prefix", "new.", "--no-create"]);
    assert!(text(&run(&words)).contains("there is no tag \"new.a\""));
    node.stop();
}

fn series_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(series_files(&path)),
            false if path.extension().is_some_and(|ending| ending == "series") => found.push(path),
            false => {}
        }
    }
    found
}

#[test]
fn a_damaged_file_is_named_and_repaired_so_that_the_rest_is_kept() {
    let dir = Dir::new("repair");
    let store = dir.join("store");
    let node = Node::start(&store, &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('a', 'f64')");
    let fill = "INSERT INTO samples (tag, time, value) SELECT 'a', to_timestamp_seconds(i), i * 1.37 + i % 7 FROM generate_series(1, 20000) AS g(i)";
    ask(&node, fill);
    ask(&node, "SELECT meridian_flush()");
    let held = run(&["check", store.to_str().unwrap()]);
    assert_eq!(held.status.code(), Some(1));
    assert!(text(&held).contains(&format!("in use by process {}", node.pid())), "{}", text(&held));
    node.stop();
    let whole = run(&["check", store.to_str().unwrap()]);
    assert!(whole.status.success() && text(&whole).contains("the store is whole"), "{}", text(&whole));
    let file = series_files(&store.join("slices")).pop().unwrap();
    let inspected = run(&["inspect", file.to_str().unwrap()]);
    assert!(inspected.status.success() && text(&inspected).contains("series file"), "{}", text(&inspected));
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(run(&["inspect", "--json", file.to_str().unwrap()]).status.code(), Some(1));
    let damaged = run(&["check", store.to_str().unwrap()]);
    assert_eq!(damaged.status.code(), Some(1), "{}", text(&damaged));
    assert!(text(&damaged).contains(file.file_name().unwrap().to_str().unwrap()), "{}", text(&damaged));
    let repaired = run(&["check", "--repair", store.to_str().unwrap()]);
    assert!(repaired.status.success(), "{}", text(&repaired));
    assert!(store.join("damaged").read_dir().unwrap().count() == 1);
    let node = Node::start(&store, &[]);
    let left: u64 = ask(&node, "SELECT count(*) FROM samples")[0][0].parse().unwrap();
    assert!((1..20_000).contains(&left), "{left} rows are left");
    node.stop();
}

/// Flips a bit of a file where these bytes stand in it.
fn damage(file: &Path, at: impl Fn(&[u8]) -> Option<usize>) {
    let mut bytes = std::fs::read(file).unwrap();
    let place = at(&bytes).unwrap();
    bytes[place] ^= 0x04;
    std::fs::write(file, bytes).unwrap();
}

fn file_of(dir: &Path, ending: &str) -> PathBuf {
    let mut files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.to_string_lossy().ends_with(ending)).unwrap()
}

#[test]
fn a_damaged_tag_table_is_named_and_repaired_so_that_samples_are_kept() {
    let dir = Dir::new("tags");
    let store = dir.join("store");
    let check = |flags: &[&str]| {
        let mut words = vec!["check", store.to_str().unwrap()];
        words.extend(flags);
        run(&words)
    };
    let node = Node::start(&store, &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('a', 'f64'), ('b', 'text')");
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('the.lost.one', 'bool')");
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('c', 'i64')");
    ask(&node, "INSERT INTO samples (tag, time, value) VALUES ('a', now(), 1.5), ('the.lost.one', now(), 1), ('c', now(), 7)");
    ask(&node, "INSERT INTO events (tag, time, text) VALUES ('b', now(), 'open')");
    ask(&node, "SELECT meridian_flush()");
    node.stop();
    let log = file_of(&store.join("catalog/log"), ".log");
    damage(&log, |bytes| bytes.windows(12).position(|part| part == b"the.lost.one"));
    let damaged = check(&[]);
    assert!(damaged.status.code() == Some(1) && text(&damaged).contains("catalog/log"), "{}", text(&damaged));
    let repaired = check(&["--repair"]);
    assert!(repaired.status.success() && text(&repaired).contains("1 lost their definitions"), "{}", text(&repaired));
    let node = Node::start(&store, &[]);
    let tags = "SELECT name, kind FROM tags ORDER BY ordinal";
    assert_eq!(ask(&node, tags), [["a", "f64"], ["b", "text"], ["lost.2", "bool"], ["c", "i64"]]);
    assert_eq!(ask(&node, "SELECT value FROM samples WHERE tag = 'lost.2'"), [["1"]]);
    ask(&node, "UPDATE tags SET name = 'found' WHERE name = 'lost.2'");
    node.stop();
    // The repair wrote a checkpoint: now that is damaged.
    let file = file_of(&store.join("catalog"), ".tags");
    let shown = run(&["inspect", file.to_str().unwrap()]);
    assert!(shown.status.success() && text(&shown).contains("catalog's tags"), "{}", text(&shown));
    let manifest = std::fs::read_dir(store.join("catalog")).unwrap().map(|entry| entry.unwrap().path());
    let manifest = manifest.into_iter().find(|path| path.to_string_lossy().contains("manifest-")).unwrap();
    let shown = run(&["inspect", "--json", manifest.to_str().unwrap()]);
    assert!(shown.status.success() && text(&shown).contains("\"ordinals\": \"4\""), "{}", text(&shown));
    damage(&file, |bytes| Some(bytes.len() - 9));
    assert_eq!(run(&["inspect", file.to_str().unwrap()]).status.code(), Some(1));
    let damaged = check(&[]);
    assert!(damaged.status.code() == Some(1) && text(&damaged).contains("ordinals 0 to 3"), "{}", text(&damaged));
    let repaired = check(&["--repair"]);
    assert!(repaired.status.success() && text(&repaired).contains("3 lost their definitions"), "{}", text(&repaired));
    let node = Node::start(&store, &[]);
    assert_eq!(ask(&node, tags), [["lost.0", "f64"], ["lost.1", "text"], ["found", "bool"], ["lost.3", "i64"]]);
    assert_eq!(ask(&node, "SELECT text FROM events"), [["open"]]);
    assert_eq!(ask(&node, "SELECT count(*) FROM samples"), [["3"]]);
    node.stop();
    assert!(store.join("damaged").read_dir().unwrap().count() >= 3);
}

#[test]
fn the_demo_works() {
    let output = run(&["demo", "--tags", "200", "--seconds", "2"]);
    assert!(output.status.success(), "{}", text(&output));
    for part in ["121,940 samples", "none lost", "all equal", "psql -h 127.0.0.1"] {
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
    assert!(!text(&output).contains('\u{1b}'), "no colours where there is no terminal");
}
