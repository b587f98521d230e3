//! Backups and the archived log in an object store, from outside: a node writes them there, the program reads them, shows them and makes
//! stores of them; the node is killed, and the object store too.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "others need more of it")]
mod node;
#[expect(dead_code, reason = "others need more of it")]
#[path = "../../backup/tests/swift/mod.rs"]
mod swift;

use node::{Dir, Node, ask, program, text, try_ask};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use swift::Swift;

const PLACE: &str = "s3://plant/Werk 1/daily";

/// The program, which knows of no store but that of the variables.
fn program_with(variables: &[(&str, String)]) -> Command {
    let mut command = program();
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(90);

/// A node that was given variables.
fn node(dir: &Path, variables: &[(&str, String)]) -> Node {
    node_with(dir, variables, &[])
}

fn node_with(dir: &Path, variables: &[(&str, String)], flags: &[&str]) -> Node {
    let ready = dir.with_extension("ready");
    let _ = std::fs::remove_file(&ready);
    let mut command = program_with(variables);
    command.arg("serve").arg("--dir").arg(dir);
    command
        .args(["--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--memory-bytes", "512MiB", "--ready-file"])
        .arg(&ready)
        .args(flags);
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.with_extension("log")).unwrap();
    Node::of(command.stdout(Stdio::null()).stderr(log).spawn().unwrap(), &ready).unwrap()
}

/// Runs the program to its end, with the variables of a store.
fn run(swift: &Swift, arguments: &[&str]) -> Output {
    program_with(&swift.variables()).args(arguments).output().unwrap()
}

#[test]
fn a_bucket_is_a_repository() {
    let (swift, dir) = (Swift::start("program"), Dir::new("backup-s3"));
    let source = node(&dir.join("store"), &swift.variables());
    ask(&source, "INSERT INTO tags (name, kind) VALUES ('count', 'f64')");
    ask(&source, "INSERT INTO samples SELECT 'count', to_timestamp(n), random() FROM generate_series(1, 200000) AS t(n)");
    ask(&source, "SELECT meridian_flush()");
    // The node has the key: whoever asks it needs none.
    let first = program_with(&[]).args(["backup", "--from", &source.url(), "--to", PLACE]).output().unwrap();
    assert!(first.status.success() && text(&first).contains(PLACE), "{}", text(&first));
    ask(&source, "INSERT INTO samples SELECT 'count', to_timestamp(n), random() FROM generate_series(300001, 310000) AS t(n)");
    ask(&source, "SELECT meridian_flush()");
    let told = ask(&source, &format!("SELECT meridian_backup('{PLACE}')"));
    assert!(told[0][0].contains(PLACE), "{told:?}");
    let whole = ask(&source, "SELECT count(*), sum(value) FROM samples");

    let shown = run(&swift, &["backups", PLACE, "--verify", "--json"]);
    assert!(shown.status.success(), "{}", text(&shown));
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let backups = shown["backups"].as_array().unwrap();
    assert_eq!((backups.len(), shown["place"].as_str()), (2, Some(PLACE)));
    assert!(backups[0]["new_bytes"].as_u64() < backups[1]["new_bytes"].as_u64(), "{shown}");

    let copy = dir.join("copy");
    let restored = run(&swift, &["restore", "--from", PLACE, "--dir", copy.to_str().unwrap()]);
    assert!(restored.status.success() && text(&restored).contains("the store is whole"), "{}", text(&restored));
    let copy = Node::start(&copy, &[]);
    assert_eq!(ask(&copy, "SELECT count(*), sum(value) FROM samples"), whole);
    copy.stop();

    let pruned = run(&swift, &["backups", PLACE, "--keep", "1"]);
    assert!(pruned.status.success() && text(&pruned).contains("1 backups and 0 parcels of log removed"), "{}", text(&pruned));
    assert!(run(&swift, &["backups", PLACE, "--verify"]).status.success());
    source.stop();
    let log = std::fs::read_to_string(dir.join("store.log")).unwrap();
    assert!(log.contains("backed up") && !log.contains(swift::SECRET), "{log}");
}

#[test]
fn what_a_node_lacks_is_said() {
    let (swift, dir) = (Swift::start("lacks"), Dir::new("backup-s3-lacks"));
    let bare = node(&dir.join("bare"), &[]);
    let refused = try_ask(&bare, &format!("SELECT meridian_backup('{PLACE}')")).unwrap_err();
    assert!(refused.starts_with("22023") && refused.contains("AWS_ACCESS_KEY_ID"), "{refused}");
    bare.stop();
    let mut variables = swift.variables();
    variables[1].1 = "another".to_owned();
    let wrong = node(&dir.join("wrong"), &variables);
    let refused = try_ask(&wrong, &format!("SELECT meridian_backup('{PLACE}')")).unwrap_err();
    assert!(refused.starts_with("58030") && refused.contains("AWS_SECRET_ACCESS_KEY"), "{refused}");
    assert!(ask(&wrong, "SELECT * FROM meridian.operations").is_empty());
    wrong.stop();
    let unknown = run(&swift, &["backups", "s3://nowhere/x"]);
    assert!(unknown.status.code() == Some(1) && text(&unknown).contains("there is no bucket nowhere"), "{}", text(&unknown));
    let empty = run(&swift, &["backups", PLACE]);
    assert!(empty.status.success() && text(&empty).contains("no backups"), "{}", text(&empty));
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The node's own time.
fn now(node: &Node) -> String {
    ask(node, "SELECT clock_timestamp()")[0][0].clone()
}

/// Waits until all that was committed by now is archived.
fn archived(node: &Node) {
    let moment = now(node);
    let sql = format!("SELECT archived_until > '{moment}' FROM meridian.archive");
    wait_for("archiving", || {
        // What is newer than it is archived only once there is something newer.
        ask(node, "INSERT INTO samples (tag, time, value) VALUES ('beat', now(), 1)");
        ask(node, &sql) == [["t"]]
    });
}

fn insert(node: &Node, from: u64, to: u64) {
    ask(node, &format!("INSERT INTO samples SELECT 'count', to_timestamp(n), n FROM generate_series({from}, {to}) AS t(n)"));
}

fn figure(node: &Node, name: &str) -> f64 {
    ask(node, &format!("SELECT value FROM meridian.metrics WHERE name = '{name}'"))[0][0].parse().unwrap()
}

#[test]
fn a_log_is_archived_in_a_bucket_whoever_is_killed() {
    let (mut swift, dir) = (Swift::start("archive"), Dir::new("archive-s3"));
    let (store, flags) = (dir.join("store"), ["--archive-to", PLACE, "--archive-every", "1s"]);
    let source = node_with(&store, &swift.variables(), &flags);
    ask(&source, "INSERT INTO tags (name, kind) VALUES ('count', 'f64'), ('beat', 'f64')");
    insert(&source, 1, 100);
    wait_for("the first look", || ask(&source, "SELECT archived_until IS NOT NULL FROM meridian.archive") == [["t"]]);
    ask(&source, &format!("SELECT meridian_backup('{PLACE}')"));
    insert(&source, 101, 200);
    archived(&source);
    let then = now(&source);
    insert(&source, 201, 300);
    let line = ask(&source, "SELECT line FROM meridian.archive")[0][0].clone();

    // kill -9 of the node, in the middle of archiving: what was not archived is, once it runs again, and on the same line.
    source.kill();
    let source = node_with(&store, &swift.variables(), &flags);
    assert_eq!(ask(&source, "SELECT count(*) FROM samples WHERE tag = 'count'"), [["300"]]);
    archived(&source);
    assert_eq!(ask(&source, "SELECT line, gaps FROM meridian.archive"), [[line.as_str(), "0"]]);

    // kill -9 of the object store: writes go on, and it is told that they are not archived, and since when.
    swift.kill();
    let away = now(&source);
    insert(&source, 301, 400);
    wait_for("that it fails is told", || {
        insert(&source, 401, 401);
        ask(&source, "SELECT state = 'failing' AND fault IS NOT NULL AND waiting_bytes > 0 FROM meridian.archive") == [["t"]]
    });
    let lag = |node: &Node| figure(node, "meridian_archive_lag_seconds");
    let since = lag(&source);
    wait_for("the lag grows", || lag(&source) > since + 1.0);
    assert!(figure(&source, "meridian_archive_failing") == 1.0 && figure(&source, "meridian_archive_lag_bytes") > 0.0);
    insert(&source, 402, 500);
    let sql = format!("SELECT archived_until < '{away}'::timestamptz + INTERVAL '2 seconds' FROM meridian.archive");
    assert_eq!(ask(&source, &sql), [["t"]], "nothing is told to be archived that is not");
    swift.restart();
    wait_for("archiving goes on", || ask(&source, "SELECT state FROM meridian.archive") == [["archiving"]]);
    archived(&source);
    assert_eq!(ask(&source, "SELECT gaps FROM meridian.archive"), [["0"]]);
    assert_eq!(figure(&source, "meridian_archive_failing"), 0.0);
    let later = now(&source);
    insert(&source, 501, 600);
    source.stop();
    let log = std::fs::read_to_string(dir.join("store.log")).unwrap();
    assert!(log.contains("archiving goes on") && !log.contains(swift::SECRET), "{log}");
    assert!(run(&swift, &["backups", PLACE, "--verify"]).status.success());

    for (name, until, count) in [("then", then.as_str(), "200"), ("later", &later, "500"), ("latest", "latest", "600")] {
        let copy = dir.join(name);
        let restored = run(&swift, &["restore", "--from", PLACE, "--dir", copy.to_str().unwrap(), "--until", until]);
        assert!(restored.status.success() && text(&restored).contains("the store is whole"), "{}", text(&restored));
        let copy = Node::start(&copy, &[]);
        assert_eq!(ask(&copy, "SELECT count(*) FROM samples WHERE tag = 'count'"), [[count]], "{name}");
        copy.stop();
    }
}

#[test]
fn an_object_store_that_is_away_stops_neither_start_nor_stop() {
    let (mut swift, dir) = (Swift::start("archive-away"), Dir::new("archive-s3-away"));
    let (store, flags) = (dir.join("store"), ["--archive-to", PLACE, "--archive-every", "1s", "--stop-max", "2s"]);
    swift.kill();
    let source = node_with(&store, &swift.variables(), &flags);
    ask(&source, "INSERT INTO tags (name, kind) VALUES ('count', 'f64'), ('beat', 'f64')");
    insert(&source, 1, 100);
    wait_for("that it fails is told", || ask(&source, "SELECT state FROM meridian.archive") == [["failing"]]);
    let begun = Instant::now();
    source.stop();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    swift.restart();
    let source = node_with(&store, &swift.variables(), &flags);
    archived(&source);
    ask(&source, &format!("SELECT meridian_backup('{PLACE}')"));
    insert(&source, 101, 200);
    archived(&source);
    source.stop();
    let copy = dir.join("copy");
    let restored = run(&swift, &["restore", "--from", PLACE, "--dir", copy.to_str().unwrap(), "--until", "latest"]);
    assert!(restored.status.success(), "{}", text(&restored));
    let copy = Node::start(&copy, &[]);
    assert_eq!(ask(&copy, "SELECT count(*) FROM samples WHERE tag = 'count'"), [["200"]]);
}
