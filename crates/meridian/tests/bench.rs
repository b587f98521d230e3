//! `meridian bench` from outside: it works, its answers are right, a peer stands beside it, Ctrl-C ends it.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, program, run, text};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Words of a small run of `bench table1`.
const SMALL: [&str; 12] = [
    "bench",
    "table1",
    "--tags",
    "200",
    "--random-points",
    "20000",
    "--create-tags",
    "5000",
    "--batch",
    "10000",
    "--serve=--memory-bytes=512MiB",
    "--points",
];

fn report(json: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap()
}

/// Whether PostgreSQL's server is on this machine: found as a person would.
fn has_postgres() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    std::env::split_paths(&path).chain(debian).any(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
}

#[test]
fn table1_works_and_its_answers_are_right() {
    let dir = Dir::new("bench");
    let json = dir.join("table1.json");
    let words = [&SMALL[..], &["60000", "--seconds", "1", "--json", json.to_str().unwrap()]].concat();
    let output = run(&words);
    assert!(output.status.success(), "{}", text(&output));
    let report = report(&json).to_string();
    for name in [
        "tag creation",
        "ingest in order",
        "ingest out of order",
        "storage after merging",
        "random queries, in bulk",
        "single prepared",
    ] {
        assert!(report.contains(name), "{name}: {report}");
    }
}

#[test]
fn a_peer_does_the_same_in_turns_or_is_said_to_be_missing() {
    let dir = Dir::new("bench-peer");
    let json = dir.join("table1.json");
    let words = ["60000", "--peer", "postgres", "--peer-points", "20000", "--seconds", "1", "--json", json.to_str().unwrap()];
    let output = run(&[&SMALL[..], &words].concat());
    if !has_postgres() {
        assert!(output.status.code() == Some(2) && text(&output).contains("apt-get install postgresql"), "{}", text(&output));
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    let report = report(&json);
    assert_eq!(report["machine"]["peer_rows"], 20_000);
    let beside = report["beside"].as_array().unwrap();
    assert_eq!(beside.len(), 6, "{report}");
    for figure in beside {
        assert!(figure["ratio"].as_f64().unwrap() > 0.0 && figure["ratios"].as_array().unwrap().len() == 5, "{figure}");
        assert!(figure["peer_name"].as_str().unwrap().starts_with("PostgreSQL 1"), "{figure}");
    }
}

#[test]
fn ctrl_c_ends_table1_and_leaves_nothing_behind() {
    let dir = Dir::new("bench-ctrl-c");
    let words = [&SMALL[..], &["1000000000"]].concat();
    let mut child = program().args(words).env("TMPDIR", dir.join("")).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("tag creation")), "it began");
    // SAFETY: kill takes no memory; the child is ours and not yet waited for.
    assert_eq!(unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) }, 0);
    let rest: Vec<String> = said.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert_eq!(std::fs::read_dir(dir.join("")).unwrap().count(), 0, "its directory is gone: {rest:?}");
}

#[test]
fn a_second_ctrl_c_ends_the_node_too() {
    let dir = Dir::new("bench-ctrl-c-twice");
    let place = dir.join("");
    let words = [&SMALL[..], &["1000000000", "--dir", place.to_str().unwrap()]].concat();
    let mut child = program().args(words).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("tag creation")), "it began");
    // Held still, so that what waits for it can't obey the first signal.
    let node = child_of(child.id());
    for (process, signal) in [(node, libc::SIGSTOP), (child.id(), libc::SIGINT)] {
        // SAFETY: kill takes no memory; the child is ours and not yet waited for, the node its.
        assert_eq!(unsafe { libc::kill(process.cast_signed(), signal) }, 0);
    }
    assert!(said.any(|line| line.starts_with("stopping")), "it heard the first");
    // SAFETY: as above.
    assert_eq!(unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) }, 0);
    let status = child.wait().unwrap();
    assert!(status.signal() == Some(libc::SIGINT) || status.code() == Some(130), "{status}");
    let ended = || std::fs::read_to_string(format!("/proc/{node}/stat")).map_or(true, |stat| stat.contains(") Z "));
    let started = Instant::now();
    while !ended() {
        assert!(started.elapsed() < Duration::from_secs(60), "the node {node} runs on");
        std::thread::yield_now();
    }
}

/// The only child of a process.
fn child_of(process: u32) -> u32 {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut all = processes.filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // Behind the name, which may hold anything, stand the state and the parent.
        let parent: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        (parent == process).then(|| stat.split(' ').next()?.parse().ok()).flatten()
    });
    all.next().unwrap()
}

#[test]
fn capacity_works_and_its_answers_are_right() {
    let dir = Dir::new("capacity");
    let json = dir.join("capacity.json");
    let mut words = vec!["bench", "capacity", "--tags", "20000", "--memory-bytes", "512MiB", "--seconds", "0"];
    words.extend(["--json", json.to_str().unwrap()]);
    let output = run(&words);
    assert!(output.status.success(), "{}", text(&output));
    let report = report(&json).to_string();
    for name in ["memory, making tags", "opening after kill -9", "opening after a stop", "memory at rest", "latest of one tag"] {
        assert!(report.contains(name), "{name}: {report}");
    }
}
