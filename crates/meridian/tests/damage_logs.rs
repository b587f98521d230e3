//! Damage of a store's logs that leaves no trace in the logs themselves, or hides all of them: after kill -9, a damaged
//! last write of the tag table, and a damaged header of the only file of a log. Both are named, refused and mended.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, ask, run, text};
use std::path::{Path, PathBuf};
use std::process::Command;

const FLAGS: [&str; 6] = ["--rule-buckets", "4", "--rule-b1", "1", "--segment-bytes", "1MiB"];
const FIRST_FILE: &str = "00000000000000000000.log";
const TAGS: &str = "SELECT name, kind FROM tags ORDER BY ordinal";

/// A store of a node that was killed: three tags with samples in files, and one that was made last, with samples that
/// only the log holds.
fn killed(dir: &Dir) -> PathBuf {
    let store = dir.join("store");
    let node = Node::start(&store, &FLAGS);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('a', 'f64'), ('b', 'text'), ('c', 'i64')");
    ask(
        &node,
        "INSERT INTO samples (tag, time, value) VALUES ('a', '2024-01-01 00:00:00Z', 1.5), ('c', '2024-01-01 00:00:00Z', 7)",
    );
    ask(&node, "INSERT INTO events (tag, time, text) VALUES ('b', '2024-01-01 00:00:00Z', 'open')");
    ask(&node, "SELECT meridian_flush()");
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('the.last.one', 'i64')");
    ask(
        &node,
        "INSERT INTO samples (tag, time, value) VALUES ('the.last.one', '2024-01-01 00:00:00Z', 41), ('c', '2024-01-02 00:00:00Z', 8)",
    );
    node.kill();
    store
}

/// Copies a store; the room that logs have reserved stays a hole.
fn copy(dir: &Dir, store: &Path) -> PathBuf {
    let to = dir.join("copy");
    let _ = std::fs::remove_dir_all(&to);
    let copied = Command::new("cp").args(["-r", "--sparse=always"]).args([store, &to]).status().unwrap();
    assert!(copied.success());
    to
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// `check` names this, `serve` refuses, `check --repair` mends it and says so, and a second check finds nothing.
fn assert_mended(store: &Path, named: &str, mended: &str) {
    let path = store.to_str().unwrap();
    let found = run(&["check", path]);
    assert!(found.status.code() == Some(1) && text(&found).contains(named), "{named}: {}", text(&found));
    let refusal = Node::try_start(store, &FLAGS).err().unwrap_or_else(|| panic!("{named}: it is served"));
    assert!(refusal.contains("names everything that is damaged"), "{named}: {refusal}");
    let repaired = run(&["check", "--repair", path]);
    let said = text(&repaired);
    assert!(repaired.status.success() && said.contains(mended) && said.contains("the store is whole"), "{named}: {said}");
    let again = run(&["check", path]);
    assert!(again.status.success() && text(&again).contains("the store is whole"), "{named}: {}", text(&again));
}

#[test]
fn a_damaged_last_write_of_the_tag_table_is_told_by_the_samples() {
    let dir = Dir::new("damage-tail");
    let store = killed(&dir);
    let damaged = |store: &Path| {
        let log = store.join("catalog/log").join(FIRST_FILE);
        let bytes = std::fs::read(&log).unwrap();
        flip(&log, bytes.windows(12).position(|part| part == b"the.last.one").unwrap());
    };
    for flushed in [false, true] {
        if flushed {
            let node = Node::start(&store, &FLAGS);
            ask(&node, "SELECT meridian_flush()");
            node.kill();
        }
        let store = copy(&dir, &store);
        damaged(&store);
        // An opening marks what it found as written: then the log itself tells of the damage.
        let named = if flushed { "catalog/log" } else { "but the log holds samples of the tag with ordinal 3" };
        assert_mended(&store, named, "1 lost their definitions");
        assert!(store.join("damaged").join(format!("catalog-log-{FIRST_FILE}")).exists());
        let node = Node::start(&store, &FLAGS);
        assert_eq!(ask(&node, TAGS), [["a", "f64"], ["b", "text"], ["c", "i64"], ["lost.3", "i64"]]);
        assert_eq!(ask(&node, "SELECT value FROM samples WHERE tag = 'lost.3'"), [["41"]]);
        ask(&node, "INSERT INTO tags (name, kind) VALUES ('new', 'f64')");
        assert_eq!(ask(&node, "SELECT count(*) FROM samples WHERE tag = 'new'"), [["0"]]);
        node.stop();
    }
}

#[test]
fn a_damaged_last_write_of_the_tag_table_is_told_by_the_files_too() {
    let dir = Dir::new("damage-tail-files");
    let store = dir.join("store");
    let node = Node::start(&store, &FLAGS);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('a', 'f64')");
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('the.last.one', 'bool')");
    ask(&node, "INSERT INTO samples (tag, time, value) VALUES ('the.last.one', '2024-01-01 00:00:00Z', 1)");
    ask(&node, "SELECT meridian_flush()");
    node.kill();
    let log = store.join("catalog/log").join(FIRST_FILE);
    let bytes = std::fs::read(&log).unwrap();
    flip(&log, bytes.windows(12).position(|part| part == b"the.last.one").unwrap());
    assert_mended(&store, "holds samples of the tag with ordinal 1", "1 lost their definitions");
    let node = Node::start(&store, &FLAGS);
    // Files know of which kind their samples are.
    assert_eq!(ask(&node, TAGS), [["a", "f64"], ["lost.1", "bool"]]);
    node.stop();
}

#[test]
fn a_damaged_header_of_the_only_file_of_a_log_costs_nothing() {
    let dir = Dir::new("damage-header");
    let store = killed(&dir);
    for log in ["log", "catalog/log"] {
        for byte in [4, 20, 40, 60] {
            let store = copy(&dir, &store);
            let file = store.join(log).join(FIRST_FILE);
            assert_eq!(file.parent().unwrap().read_dir().unwrap().count(), 1, "it is the only one");
            flip(&file, byte);
            assert_mended(&store, file.to_str().unwrap(), &format!("{log}: 1 damages"));
            let node = Node::start(&store, &FLAGS);
            assert_eq!(ask(&node, TAGS), [["a", "f64"], ["b", "text"], ["c", "i64"], ["the.last.one", "i64"]], "{log} {byte}");
            let values = ask(&node, "SELECT tag, value FROM samples ORDER BY tag, time");
            assert_eq!(values, [["a", "1.5"], ["c", "7"], ["c", "8"], ["the.last.one", "41"]], "{log} {byte}");
            assert_eq!(ask(&node, "SELECT text FROM events"), [["open"]], "{log} {byte}");
            node.stop();
        }
    }
}
