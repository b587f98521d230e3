//! `meridian inspect` of what it does not show: it says what that is, and does not call it damaged.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, run, text};

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
