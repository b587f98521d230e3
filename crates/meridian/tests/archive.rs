//! The archived log from outside: a node is killed, also while it archives, and stores are restored to moments; a repository's disk is full.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "others need more of it")]
mod node;

use node::{Dir, Node, ask, run, text, try_ask};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(dir: &Path, place: &str) -> Node {
    Node::start(dir, &["--archive-to", place, "--archive-every", "1s", "--http", "127.0.0.1:0"])
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// The node's own time.
fn now(node: &Node) -> String {
    ask(node, "SELECT clock_timestamp()")[0][0].clone()
}

/// Waits until all that was committed by now is archived.
fn archived(node: &Node) {
    // Something of now, so that there is something to archive.
    ask(node, "INSERT INTO samples (tag, time, value) VALUES ('beat', now(), 1)");
    let moment = now(node);
    let sql = format!("SELECT archived_until > '{moment}' FROM meridian.archive");
    // What is newer than it is archived only once there is something newer.
    wait_for("archiving", || {
        ask(node, "INSERT INTO samples (tag, time, value) VALUES ('beat', now(), 1)");
        ask(node, &sql) == [["t"]]
    });
}

fn insert(node: &Node, from: u64, to: u64) {
    ask(node, &format!("INSERT INTO samples SELECT 'count', to_timestamp(n), n FROM generate_series({from}, {to}) AS t(n)"));
}

fn count(node: &Node) -> u64 {
    ask(node, "SELECT count(*) FROM samples WHERE tag = 'count'")[0][0].parse().unwrap()
}

/// Restores; the store is whole.
fn restore(place: &str, dir: &Path, more: &[&str]) -> String {
    let output = run(&[&["restore", "--from", place, "--dir", dir.to_str().unwrap()], more].concat());
    assert!(output.status.success() && text(&output).contains("the store is whole"), "{}", text(&output));
    text(&output)
}

fn told(place: &str) -> serde_json::Value {
    let output = run(&["backups", place, "--json", "--verify"]);
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_store_is_restored_to_a_moment_and_goes_on_from_there() {
    let dir = Dir::new("archive");
    let place = dir.join("repository");
    let place = place.to_str().unwrap();
    let node = start(&dir.join("store"), place);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('count', 'f64'), ('beat', 'f64'), ('old', 'text')");
    insert(&node, 1, 100);
    wait_for("the first look", || ask(&node, "SELECT archived_until IS NOT NULL FROM meridian.archive") == [["t"]]);
    ask(&node, &format!("SELECT meridian_backup('{place}')"));
    let before = now(&node);
    insert(&node, 101, 200);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('new', 'f64')");
    ask(&node, "CREATE ROLE reader LOGIN PASSWORD 'of a moment'");
    archived(&node);
    let then = now(&node);
    insert(&node, 201, 300);
    ask(&node, "UPDATE tags SET name = 'renamed' WHERE name = 'new'");
    ask(&node, "DELETE FROM samples WHERE tag = 'count' AND value < 50");
    archived(&node);
    let line = ask(&node, "SELECT line FROM meridian.archive")[0][0].clone();
    node.kill();

    let said = restore(place, &dir.join("then"), &["--until", &then]);
    assert!(said.contains("it is as it was at"), "{said}");
    let copy = start(&dir.join("then"), place);
    assert_eq!(count(&copy), 200);
    assert_eq!(ask(&copy, "SELECT name FROM tags WHERE name IN ('new', 'renamed')"), [["new"]]);
    assert_eq!(ask(&copy, "SELECT rolname FROM pg_roles WHERE rolname = 'reader'"), [["reader"]]);
    // It is another line: what it writes and archives is not mixed with what the first one did later.
    insert(&copy, 1_001, 1_010);
    archived(&copy);
    let later = now(&copy);
    insert(&copy, 1_011, 1_020);
    archived(&copy);
    let other = ask(&copy, "SELECT line FROM meridian.archive")[0][0].clone();
    assert!(other != line);
    copy.kill();

    for (name, until, expected) in [
        ("later", &["--until", later.as_str()][..], 210),
        ("before", &["--until", &before], 100),
        ("latest", &["--until", "latest"], 220),
        ("first", &["--until", "latest", "--line", &line], 251),
    ] {
        restore(place, &dir.join(name), until);
        let copy = Node::start(&dir.join(name), &[]);
        assert_eq!(count(&copy), expected, "{name}");
        copy.stop();
    }
    let told = told(place);
    let ranges = told["restorable"].as_array().unwrap();
    assert_eq!(ranges.len(), 2, "{told}");
    assert!(ranges.iter().any(|range| range["line"] == line.as_str()) && ranges[1]["line"] == other.as_str(), "{told}");
    assert!(text(&run(&["backups", place])).contains("any moment from"));

    // What can't be reached is said with what can.
    let none = dir.join("none");
    for (until, what) in [("2020-01-01 00:00+00", "no backup was taken by then"), ("2200-01-01 00:00+00", "that late")] {
        let output = run(&["restore", "--from", place, "--dir", none.to_str().unwrap(), "--until", until]);
        let said = text(&output);
        assert!(output.status.code() == Some(1) && said.contains(what) && said.contains("can be restored from 20"), "{said}");
    }
    let output = run(&["restore", "--from", place, "--dir", none.to_str().unwrap(), "--until", "yesterday evening"]);
    assert!(output.status.code() == Some(2), "{}", text(&output));
}

#[test]
fn a_node_that_is_killed_while_it_archives_goes_on() {
    let dir = Dir::new("archive-killed");
    let (place, store) = (dir.join("repository"), dir.join("store"));
    let place = place.to_str().unwrap();
    let mut node = start(&store, place);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('count', 'f64'), ('beat', 'f64')");
    wait_for("the first look", || ask(&node, "SELECT archived_until IS NOT NULL FROM meridian.archive") == [["t"]]);
    ask(&node, &format!("SELECT meridian_backup('{place}')"));
    let (mut written, mut moments) = (0, Vec::new());
    let objects = || {
        let mut found = 0;
        let mut dirs = vec![PathBuf::from(place).join("archive")];
        while let Some(next) = dirs.pop() {
            for entry in std::fs::read_dir(next).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { dirs.push(path) } else { found += 1 }
            }
        }
        found
    };
    for round in 0..6 {
        for _ in 0..3 {
            insert(&node, written + 1, written + 2_000);
            written += 2_000;
            moments.push((written, now(&node)));
        }
        // Until a parcel begins to be written; then at once, or a little later.
        let before = objects();
        wait_for("a parcel", || objects() > before);
        std::thread::sleep(Duration::from_micros(700 * round));
        node.kill();
        node = start(&store, place);
    }
    insert(&node, written + 1, written + 10);
    // A graceful stop archives what is left.
    node.stop();
    let told = told(place);
    assert_eq!(told["wrong"].as_array().unwrap().len(), 0);
    assert_eq!(told["restorable"].as_array().unwrap().len(), 1, "no gap: {told}");
    restore(place, &dir.join("latest"), &["--until", "latest"]);
    let copy = Node::start(&dir.join("latest"), &[]);
    assert_eq!(count(&copy), written + 10);
    copy.stop();
    for (number, (rows, moment)) in moments.iter().enumerate().filter(|(number, _)| number % 5 == 1) {
        restore(place, &dir.join(&format!("then-{number}")), &["--until", moment]);
        let copy = Node::start(&dir.join(&format!("then-{number}")), &[]);
        assert_eq!(count(&copy), *rows, "at {moment}");
        copy.stop();
    }
}

/// A small disk, which a test fills.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> SmallDisk {
        std::fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(&at).output().unwrap();
        assert!(mounted.status.success(), "mounting takes root: {}", String::from_utf8_lossy(&mounted.stderr));
        SmallDisk(at)
    }

    fn fill(&self) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.0.join("ballast")).unwrap();
        for bytes in [1 << 20, 4 << 10, 1] {
            let piece = vec![0; bytes];
            while file.write_all(&piece).is_ok() {}
        }
    }

    fn clear(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

/// Names and lengths of what lies in a repository.
fn listing(place: &Path) -> Vec<(PathBuf, u64)> {
    let (mut found, mut dirs) = (Vec::new(), vec![place.to_path_buf()]);
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_dir() {
                dirs.push(entry.path())
            } else {
                found.push((entry.path(), entry.metadata().unwrap().len()))
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_backup_to_a_full_disk_leaves_the_repository_as_it_was() {
    let dir = Dir::new("backup-full");
    let disk = SmallDisk::mount(dir.join("small"));
    let place = dir.join("small/repository");
    let place = place.to_str().unwrap();
    let node = Node::start(&dir.join("store"), &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('count', 'f64'), ('noise', 'f64')");
    insert(&node, 1, 1_000);
    ask(&node, "SELECT meridian_flush()");
    ask(&node, &format!("SELECT meridian_backup('{place}')"));
    let before = listing(Path::new(place));
    // What the next one has to bring does not fit: all of it, or only its last objects.
    ask(&node, "INSERT INTO samples SELECT 'noise', to_timestamp(n), random() FROM generate_series(1, 300000) AS t(n)");
    ask(&node, "SELECT meridian_flush()");
    for room in [0, 40_000, 1_000_000] {
        disk.fill();
        let ballast = std::fs::OpenOptions::new().write(true).open(disk.0.join("ballast")).unwrap();
        ballast.set_len(ballast.metadata().unwrap().len() - room).unwrap();
        let refused = try_ask(&node, &format!("SELECT meridian_backup('{place}')")).unwrap_err();
        assert!(refused.starts_with("53100") && refused.contains("the disk is full"), "{refused}");
        assert_eq!(listing(Path::new(place)), before, "with room for {room}");
        insert(&node, 2_000 + room, 2_009 + room);
        disk.clear();
    }
    assert_eq!(count(&node), 1_030);
    assert_eq!(told(place)["backups"].as_array().unwrap().len(), 1);
    ask(&node, &format!("SELECT meridian_backup('{place}')"));
    node.stop();
    restore(place, &dir.join("copy"), &[]);
    let copy = Node::start(&dir.join("copy"), &[]);
    assert_eq!(ask(&copy, "SELECT count(*) FROM samples"), [["301030"]]);
    copy.stop();
}

fn metric(node_dir: &Path, name: &str) -> f64 {
    let ready = std::fs::read_to_string(node_dir.with_extension("ready")).unwrap();
    let address = ready.lines().find_map(|line| line.strip_prefix("http=")).unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
}

#[test]
fn an_archive_on_a_full_disk_stops_no_writes_and_goes_on_when_there_is_room() {
    let dir = Dir::new("archive-full");
    let disk = SmallDisk::mount(dir.join("small"));
    let (place, store) = (dir.join("small/repository"), dir.join("store"));
    let place = place.to_str().unwrap();
    let flags = ["--archive-to", place, "--archive-every", "1s", "--archive-hold-max", "4MiB", "--http", "127.0.0.1:0"];
    let node = Node::start(&store, &flags);
    let state = |state: &str| ask(&node, "SELECT state FROM meridian.archive") == [[state]];
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('count', 'f64'), ('beat', 'f64')");
    wait_for("the first look", || ask(&node, "SELECT archived_until IS NOT NULL FROM meridian.archive") == [["t"]]);
    ask(&node, &format!("SELECT meridian_backup('{place}')"));
    insert(&node, 1, 1_000);
    archived(&node);
    disk.fill();
    insert(&node, 1_001, 2_000);
    wait_for("failing", || state("failing"));
    insert(&node, 2_001, 3_000);
    let fault = ask(&node, "SELECT fault FROM meridian.archive")[0][0].clone();
    assert!(fault.contains("the disk is full"), "{fault}");
    assert!(metric(&store, "meridian_archive_failing") == 1.0 && metric(&store, "meridian_archive_failures_total") >= 1.0);
    wait_for("bytes that wait", || metric(&store, "meridian_archive_lag_bytes") > 0.0);
    disk.clear();
    wait_for("archiving again", || state("archiving"));
    let then = now(&node);
    archived(&node);
    assert_eq!(told(place)["restorable"].as_array().unwrap().len(), 1, "no gap");

    // More than is kept for it: a gap, which the next backup closes.
    disk.fill();
    wait_for("a gap", || {
        ask(&node, "INSERT INTO samples SELECT 'count', to_timestamp(n), n FROM generate_series(1, 100000) AS t(n)");
        ask(&node, "SELECT gaps > 0 FROM meridian.archive") == [["t"]]
    });
    disk.clear();
    wait_for("archiving again", || state("archiving"));
    archived(&node);
    let within = now(&node);
    let refused = run(&["restore", "--from", place, "--dir", dir.join("no").to_str().unwrap(), "--until", &within]);
    assert!(refused.status.code() == Some(1) && text(&refused).contains("can be restored from"), "{}", text(&refused));
    ask(&node, &format!("SELECT meridian_backup('{place}')"));
    ask(&node, "DELETE FROM samples WHERE tag = 'count' AND value > 500");
    archived(&node);
    assert_eq!(told(place)["restorable"].as_array().unwrap().len(), 2);
    node.kill();
    for (name, until, expected) in [("then", then.as_str(), 3_000), ("last", "latest", 500)] {
        restore(place, &dir.join(name), &["--until", until]);
        let copy = Node::start(&dir.join(name), &[]);
        assert_eq!(count(&copy), expected, "{name}");
        copy.stop();
    }
    let log = std::fs::read_to_string(dir.join("store.log")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("archiving fails")).count(), 2, "told once each: {log}");
    assert!(log.contains("archiving goes on") && log.contains("log was let go that is not archived"), "{log}");
}

#[test]
fn a_data_node_and_half_a_path_are_refused() {
    let dir = Dir::new("archive-refused");
    let refused = |flags: &[&str]| {
        let store = dir.join("store");
        let output = run(&[&["serve", "--dir", store.to_str().unwrap(), "--pg", "127.0.0.1:0"], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        text(&output)
    };
    let data = refused(&["--role", "data", "--fleet", "127.0.0.1:0", "--archive-to", "/backups"]);
    assert!(data.contains("archive_to") && data.contains("set it for those"), "{data}");
    let fleet = ["--role", "manager,scheduler", "--fleet", "127.0.0.1:0", "--archive-to"];
    assert!(refused(&[&fleet[..], &["backups"]].concat()).contains("no whole path"));
    assert!(refused(&[&fleet[..], &["ftp://host/backups"]].concat()).contains("not ftp://"));
    assert!(refused(&["--archive-to", "backups"]).contains("no whole path"));
    assert!(refused(&["--archive-to", "ftp://host/backups"]).contains("not ftp://"));
}
