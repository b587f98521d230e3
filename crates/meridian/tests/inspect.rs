//! `meridian inspect` of what it does not show: it says what that is, and does not call it damaged; and of snapshot
//! values, whole and damaged.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, ask, run, text};

#[test]
fn other_files_are_told_by_what_they_are() {
    let dir = Dir::new("inspect");
    let store = dir.join("store");
    Node::start(&store, &["--password", "secret"]).stop();
    std::fs::write(dir.join("letter.txt"), "dear reader, this is no file of a store, however long it is to be read").unwrap();
    let log = std::fs::read_dir(store.join("log")).unwrap().next().unwrap().unwrap().path();
    let users = std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path());
    let users = users.into_iter().find(|path| path.to_str().unwrap().contains("users-")).unwrap();
    for (path, expected) in [
        (store.join("node"), "it says what the store is; `meridian check DIR` reads it"),
        (store.join("lock"), "it keeps other processes out"),
        (log, "it is a part of a log"),
        (users, "it holds users"),
        (store.join("slices"), "it is a directory"),
        (dir.join("letter.txt"), "it is damaged, or no file of a store"),
        (dir.join("none"), "No such file or directory"),
    ] {
        let said = run(&["inspect", path.to_str().unwrap()]);
        assert!(said.status.code() == Some(1) && text(&said).contains(expected), "{}: {}", path.display(), text(&said));
        assert_eq!(text(&said).matches(path.to_str().unwrap()).count(), 1, "the path is said once: {}", text(&said));
    }
}

#[test]
fn snapshot_values_are_read_to_their_end() {
    let dir = Dir::new("inspect-latest");
    let store = dir.join("store");
    let node = Node::start(&store, &["--rule-buckets", "4", "--rule-b1", "1"]);
    let tags: Vec<String> = (0..100).map(|tag| format!("('t{tag}')")).collect();
    ask(&node, &format!("INSERT INTO tags (name) VALUES {}", tags.join(", ")));
    let rows = "SELECT 't' || i, to_timestamp_seconds(i), i * 1.5 FROM generate_series(0, 99) AS g(i)";
    ask(&node, &format!("INSERT INTO samples (tag, time, value) {rows}"));
    ask(&node, "SELECT meridian_flush()");
    node.stop();
    let files = std::fs::read_dir(store.join("slices/0000")).unwrap().map(|entry| entry.unwrap().path());
    let path = files.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("latest-")).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let inspect = || run(&["inspect", path.to_str().unwrap()]);
    let said = inspect();
    assert!(said.status.success() && text(&said).contains("snapshot values"), "{}", text(&said));
    // Behind the head, which is told apart from no file of ours: a bit of a block, a cut within one, and one between two.
    let end = whole.len();
    let mut flipped = whole.clone();
    flipped[end / 2] ^= 1;
    for damaged in [flipped, whole[..end - 9].to_vec(), whole[..storage::FileHead::BYTES].to_vec()] {
        std::fs::write(&path, &damaged).unwrap();
        let said = inspect();
        assert!(said.status.code() == Some(1) && text(&said).contains("is damaged at byte"), "{}", text(&said));
        let shown = String::from_utf8_lossy(&said.stdout);
        assert!(shown.contains("snapshot values"), "its head is shown all the same: {shown}");
        let json = run(&["inspect", path.to_str().unwrap(), "--json"]);
        let told: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert!(json.status.code() == Some(1) && told["damages"][0].as_str().unwrap().contains("damaged"), "{}", text(&json));
    }
}
