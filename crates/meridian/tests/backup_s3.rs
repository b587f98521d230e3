//! Backups in an object store, from outside: a node writes them there, the program reads them, shows them and makes a store of one.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "others need more of it")]
mod node;
#[expect(dead_code, reason = "others need more of it")]
#[path = "../../backup/tests/swift/mod.rs"]
mod swift;

use node::{Dir, Node, ask, program, text, try_ask};
use std::path::Path;
use std::process::{Command, Output, Stdio};
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

/// A node that was given variables.
fn node(dir: &Path, variables: &[(&str, String)]) -> Node {
    let ready = dir.with_extension("ready");
    let mut command = program_with(variables);
    command.arg("serve").arg("--dir").arg(dir);
    command.args(["--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--memory-bytes", "512MiB", "--ready-file"]).arg(&ready);
    let log = std::fs::File::create(dir.with_extension("log")).unwrap();
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
