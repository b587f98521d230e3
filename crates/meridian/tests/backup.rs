//! Backups from outside: a node that is written to is backed up, killed, cancelled; what is restored is what it was.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "others need more of it")]
mod node;

use node::{Dir, Node, ask, program, run, text, try_ask};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Writes 1, 2, 3 .. at seconds 1, 2, 3 .., each a statement of its own; tells how many are acknowledged.
fn write_on(url: &str, acknowledged: &AtomicU64, stop: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let mut next = acknowledged.load(Ordering::SeqCst) + 1;
        while !stop.load(Ordering::SeqCst) {
            let insert = format!("INSERT INTO samples (tag, time, value) VALUES ('count', to_timestamp({next}), {next})");
            client.simple_query(&insert).await.unwrap();
            acknowledged.store(next, Ordering::SeqCst);
            next += 1;
        }
    });
}

fn restored(place: &str, dir: &Path, backup: Option<&str>) -> Node {
    let mut words = vec!["restore", "--from", place, "--dir", dir.to_str().unwrap()];
    words.extend(backup.iter().flat_map(|name| ["--backup", name]));
    let output = run(&words);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("the store is whole"), "{}", text(&output));
    Node::start(dir, &[])
}

/// The newest name of a repository, by the program.
fn names(place: &str) -> Vec<String> {
    let output = run(&["backups", place, "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    told["backups"].as_array().unwrap().iter().map(|one| one["backup"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_node_that_is_written_to_is_backed_up_and_restored() {
    let dir = Dir::new("backup");
    let node = Node::start(&dir.join("store"), &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('count', 'f64'), ('old', 'text')");
    ask(&node, "INSERT INTO events (tag, time, text) VALUES ('old', '2020-01-01 00:00Z', 'flushed')");
    ask(&node, "SELECT meridian_flush()");
    let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let place = dir.join("repository");
    let place = place.to_str().unwrap();
    let (url, mut bounds) = (node.url(), Vec::new());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_on(&url, &acknowledged, &stop));
        for backup in 0..3 {
            while acknowledged.load(Ordering::SeqCst) < 20 * (backup + 1) {
                assert!(!writer.is_finished(), "the writer ended");
                std::thread::yield_now();
            }
            let before = acknowledged.load(Ordering::SeqCst);
            let output = run(&["backup", "--from", &url, "--to", place]);
            assert!(output.status.success(), "{}", text(&output));
            bounds.push((before, acknowledged.load(Ordering::SeqCst) + 1));
            if backup == 0 {
                ask(&node, "DELETE FROM events WHERE tag = 'old'");
                ask(&node, "INSERT INTO tags (name, kind) VALUES ('new', 'f64')");
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    node.stop();
    let mut found = names(place);
    found.reverse();
    assert_eq!(found.len(), 3);
    for (number, (name, (least, most))) in found.iter().zip(&bounds).enumerate() {
        let copy = restored(place, &dir.join(&format!("copy-{number}")), Some(name));
        let count: u64 = ask(&copy, "SELECT count(*) FROM samples")[0][0].parse().unwrap();
        assert!((*least..=*most).contains(&count), "{count} rows, {least} to {most} were written");
        // A prefix of what was written: nothing is missing within.
        let last = ask(&copy, "SELECT max(value)::bigint FROM samples");
        assert_eq!(last, [[count.to_string()]]);
        let old = if number == 0 { "1" } else { "0" };
        assert_eq!(ask(&copy, "SELECT count(*) FROM events WHERE tag = 'old'"), [[old]]);
        assert_eq!(ask(&copy, "SELECT count(*) FROM tags WHERE name = 'new'"), [[if number == 0 { "0" } else { "1" }]]);
        // It is a store like any other.
        ask(&copy, "INSERT INTO samples (tag, time, value) VALUES ('count', '2030-01-01 00:00Z', 1)");
        let again = run(&["backup", "--from", &copy.url(), "--to", dir.join("another").to_str().unwrap(), "--keep", "1"]);
        assert!(again.status.success(), "{}", text(&again));
        copy.stop();
    }
    assert_eq!(names(dir.join("another").to_str().unwrap()).len(), 1, "all but one were removed");
    let output = run(&["backups", place, "--verify", "--keep", "2"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(names(place), [found[2].clone(), found[1].clone()]);
    restored(place, &dir.join("newest"), None).stop();
}

#[test]
fn what_is_damaged_or_wrong_is_said() {
    let dir = Dir::new("backup-wrong");
    let node = Node::start(&dir.join("store"), &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('count', 'f64')");
    ask(&node, "INSERT INTO samples SELECT 'count', to_timestamp(n), n FROM generate_series(1, 5000) AS t(n)");
    ask(&node, "SELECT meridian_flush()");
    let place = dir.join("repository");
    let place = place.to_str().unwrap();
    assert_eq!(try_ask(&node, "SELECT meridian_backup('here')").unwrap_err().split(' ').next(), Some("22023"));
    assert_eq!(try_ask(&node, "SELECT meridian_backup('ftp://x/y')").unwrap_err().split(' ').next(), Some("22023"));
    assert_eq!(try_ask(&node, "SELECT meridian_backup('s3:///y')").unwrap_err().split(' ').next(), Some("22023"));
    assert_eq!(try_ask(&node, &format!("SELECT meridian_backup('{place}', 0)")).unwrap_err().split(' ').next(), Some("22023"));
    assert!(try_ask(&node, "SELECT meridian_backup('/proc/nowhere')").is_err());
    assert!(ask(&node, &format!("SELECT meridian_backup('{place}')"))[0][0].contains("1 tags"));
    // Another store's backups are not mixed with these.
    let other = Node::start(&dir.join("other"), &[]);
    let refused = try_ask(&other, &format!("SELECT meridian_backup('{place}')")).unwrap_err();
    assert!(refused.contains("another store"), "{refused}");
    other.stop();
    let used = run(&["restore", "--from", place, "--dir", dir.join("store").to_str().unwrap()]);
    assert!(!used.status.success() && text(&used).contains("not empty"), "{}", text(&used));
    let none =
        run(&["restore", "--from", place, "--dir", dir.join("x").to_str().unwrap(), "--backup", "20200101T000000Z-000000"]);
    assert!(!none.status.success() && text(&none).contains(&names(place)[0]), "{}", text(&none));
    // One changed byte of a series file.
    let mut files = Vec::new();
    let mut dirs = vec![dir.join("repository/files")];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { dirs.push(entry) } else { files.push(entry) }
        }
    }
    let series = files.iter().find(|path| path.to_string_lossy().contains(".series")).unwrap();
    let mut bytes = std::fs::read(series).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(series, bytes).unwrap();
    let name = series.file_name().unwrap().to_string_lossy().into_owned();
    let verified = run(&["backups", place, "--verify"]);
    assert!(verified.status.code() == Some(1) && text(&verified).contains(&name), "{}", text(&verified));
    let laid = dir.join("laid");
    let restored = run(&["restore", "--from", place, "--dir", laid.to_str().unwrap()]);
    assert!(restored.status.code() == Some(1) && text(&restored).contains(&name), "{}", text(&restored));
    assert!(Node::try_start(&laid, &[]).is_err(), "half a store does not open");
    node.stop();
}

#[test]
fn a_backup_that_is_cut_short_leaves_the_ones_before_it() {
    let dir = Dir::new("backup-cut");
    let store = dir.join("store");
    let place = dir.join("repository");
    let place = place.to_str().unwrap();
    let mut node = Node::start(&store, &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('count', 'f64')");
    ask(&node, "INSERT INTO samples SELECT 'count', to_timestamp(n), random() FROM generate_series(1, 200000) AS t(n)");
    let first = run(&["backup", "--from", &node.url(), "--to", place]);
    assert!(first.status.success(), "{}", text(&first));
    ask(&node, "INSERT INTO samples SELECT 'count', to_timestamp(n), random() FROM generate_series(200000, 600000) AS t(n)");
    for round in 0..3 {
        let child =
            program().args(["backup", "--from", &node.url(), "--to", place]).stdout(std::process::Stdio::null()).spawn().unwrap();
        // Until something of it is there, or it is over.
        let entries = || std::fs::read_dir(dir.join("repository/backups")).unwrap().count();
        let mut child = child;
        let mut ended = false;
        while entries() < 2 && !ended {
            ended = child.try_wait().unwrap().is_some();
            std::thread::yield_now();
        }
        if round == 0 {
            if !ended {
                // SAFETY: kill takes no memory; the child is ours and was not waited for.
                unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
            }
            child.wait().unwrap();
        } else {
            node.kill();
            child.wait().unwrap();
            node = Node::start(&store, &[]);
        }
        assert!(ask(&node, "SELECT * FROM meridian.operations").is_empty());
        let verified = run(&["backups", place, "--verify"]);
        assert!(verified.status.success(), "{}", text(&verified));
    }
    let last = run(&["backup", "--from", &node.url(), "--to", place, "--keep", "1"]);
    assert!(last.status.success(), "{}", text(&last));
    let copy = restored(place, &dir.join("copy"), None);
    assert_eq!(ask(&copy, "SELECT count(*) FROM samples"), [["600000"]]);
    copy.stop();
    node.stop();
    // What the ones that were cut short left behind went with the pruning.
    assert_eq!(
        std::fs::read_dir(dir.join("repository/backups"))
            .unwrap()
            .flat_map(|one| std::fs::read_dir(one.unwrap().path()).unwrap())
            .filter(|entry| entry.as_ref().unwrap().file_name() == "head")
            .count(),
        1
    );
}
