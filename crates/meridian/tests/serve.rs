//! `meridian serve` from outside: ports, signals, locks, reopening, and what it says when it can't.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, ask, program, run, text, try_ask};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn one_store_has_one_process() {
    let dir = Dir::new("lock");
    let store = dir.join("store");
    let node = Node::start(&store, &[]);
    let second = run(&["serve", "--dir", store.to_str().unwrap(), "--pg", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    let holder = format!("is in use by process {} (", node.pid());
    assert!(text(&second).contains(&holder) && text(&second).contains("(meridian serve)"), "{}", text(&second));
    let checked = run(&["check", store.to_str().unwrap()]);
    assert!(checked.status.code() == Some(1) && text(&checked).contains(&holder), "{}", text(&checked));
    node.stop();
}

/// Starts a node that can't come up; what it says. Nothing of a store may have been made.
fn refused(store: &Path, flags: &[&str], status: i32) -> String {
    let (ready, log) = (store.with_extension("ready"), store.with_extension("log"));
    // Left by a node that was killed: whoever waits for it would take this one for ready.
    std::fs::write(&ready, "pg=127.0.0.1:1\n").unwrap();
    let mut command = program();
    command.args(["serve", "--dir"]).arg(store).arg("--ready-file").arg(&ready).args(flags);
    let output = command.output().unwrap();
    let said = text(&output);
    std::fs::write(log, &said).unwrap();
    assert_eq!(output.status.code(), Some(status), "{flags:?}: {said}");
    assert!(!store.join("node").exists() && !store.join("catalog").exists(), "{flags:?}: a store was made: {said}");
    said
}

#[test]
fn what_can_be_refused_without_a_store_is_refused_before_it_is_opened() {
    let dir = Dir::new("refused");
    let store = dir.join("store");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (flags, status, expected) in [
        (vec!["--pg", &taken], 1, "(setting pg)"),
        (vec!["--pg", &taken], 1, "another process listens there"),
        (vec!["--pg", "127.0.0.1:0", "--flight", &taken], 1, "(setting flight)"),
        (vec!["--pg", "192.0.2.1:5432", "--password", "x", "--plaintext-allowed", "true"], 1, "this machine has no such address"),
        (vec!["--pg", "0.0.0.0:0"], 2, "no user has a password"),
        (vec!["--pg", "0.0.0.0:0", "--password", "x"], 2, "without TLS"),
        (vec!["--pg", "127.0.0.1:0", "--tls-certificate", "/nonexistent", "--tls-key", "/nonexistent"], 2, "/nonexistent"),
    ] {
        let said = refused(&store, &flags, status);
        assert!(said.contains(expected), "{flags:?}: {said}");
        assert!(!store.with_extension("ready").exists(), "a stale ready file stays");
    }
}

/// Told to others, it would lead each of them to itself.
#[test]
fn a_fleet_door_on_all_addresses_must_say_where_others_reach_it() {
    let dir = Dir::new("everywhere");
    let store = dir.join("store");
    let words = ["serve", "--dir", store.to_str().unwrap(), "--role", "data"];
    for door in ["0.0.0.0:0", "[::]:0"] {
        let told = run(&[&words[..], &["--fleet", door]].concat());
        assert!(told.status.code() == Some(2) && text(&told).contains("--fleet-address"), "{door}: {}", text(&told));
        // What is refused next: it has no certificates.
        let told = run(&[&words[..], &["--fleet", door, "--fleet-address", "node.example:7400"]].concat());
        assert!(told.status.code() == Some(2) && text(&told).contains("--fleet-certificates"), "{door}: {}", text(&told));
    }
    assert!(!store.exists(), "nothing was made");
}

#[test]
fn a_ready_file_that_can_not_be_made_is_told_before_the_store_is_opened() {
    let dir = Dir::new("ready");
    let (store, ready) = (dir.join("store"), dir.join("none/ready"));
    let words = ["serve", "--dir", store.to_str().unwrap(), "--pg", "127.0.0.1:0", "--ready-file", ready.to_str().unwrap()];
    let said = run(&words);
    assert!(said.status.code() == Some(1) && text(&said).contains("none/ready: No such file"), "{}", text(&said));
    assert!(!store.join("node").exists(), "a store was made");
}

#[test]
fn a_node_whose_output_nobody_reads_any_more_serves_on() {
    let dir = Dir::new("unread");
    let (store, ready) = (dir.join("store"), dir.join("ready"));
    let mut command = program();
    command.args(["serve", "--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--dir"]).arg(&store);
    command.arg("--ready-file").arg(&ready).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let node = Node::of(child, &ready).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&node, "SELECT count(*) FROM tags"), [["0"]]);
    }
    node.signal(libc::SIGTERM);
    assert!(node.wait().success());
}

/// A certificate that never comes stands for whatever may take long before the doors are open.
#[test]
fn a_signal_while_the_node_comes_up_ends_it_at_once() {
    let dir = Dir::new("early");
    let pipe = dir.join("certificate");
    let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
    // SAFETY: mkfifo reads a text that ends with a zero byte.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut command = program();
        command.args(["serve", "--pg", "127.0.0.1:0", "--tls-certificate"]).arg(&pipe).arg("--tls-key").arg(&pipe);
        let mut child = command.arg("--dir").arg(dir.join("store")).stderr(Stdio::null()).spawn().unwrap();
        // It waits in an open: that of the pipe, at whose other end nobody is.
        let waits = format!("{} ", libc::SYS_openat);
        while !std::fs::read_to_string(format!("/proc/{}/syscall", child.id())).unwrap().starts_with(&waits) {
            assert_eq!(child.try_wait().unwrap(), None, "it ended before it read the certificate");
        }
        // SAFETY: kill takes no memory; the child is ours and was not waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        let sent = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if sent.elapsed() < Duration::from_secs(30) => std::thread::yield_now(),
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    panic!("signal {signal} is not obeyed");
                }
            }
        };
        assert_eq!(status.signal(), Some(signal));
    }
}

#[test]
fn what_can_not_be_locked_is_not_said_to_be_in_use() {
    let dir = Dir::new("unlockable");
    std::fs::write(dir.join("node"), "").unwrap();
    std::fs::create_dir(dir.join("lock")).unwrap();
    let said = text(&run(&["check", dir.0.to_str().unwrap()]));
    assert!(said.contains("/lock: Is a directory") && !said.contains("in use"), "{said}");
}

#[test]
fn directories_that_can_not_be_used_say_why() {
    let dir = Dir::new("unusable");
    let file = dir.join("file");
    std::fs::write(&file, "").unwrap();
    let said = text(&run(&["serve", "--dir", file.to_str().unwrap(), "--pg", "127.0.0.1:0"]));
    assert!(said.contains("--dir must name a directory"), "{said}");
    // Not even root makes a directory there.
    let said = text(&run(&["serve", "--dir", "/sys/meridian-store", "--pg", "127.0.0.1:0"]));
    assert!(said.contains("must be able to read and write") || said.contains("read-only"), "{said}");
}

/// Writes another format number into a file's head, and a checksum that fits.
fn set_format(path: &Path, checked: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = if checked == 504 { 8 } else { 12 };
    bytes[at..at + 4].copy_from_slice(&99_u32.to_le_bytes());
    let sum = storage::block::crc32c(&bytes[..checked]);
    bytes[checked..checked + 4].copy_from_slice(&sum.to_le_bytes());
    if checked == 504 {
        bytes.copy_within(0..512, 512);
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_store_of_another_release_is_left_as_it_is() {
    let dir = Dir::new("release");
    let store = dir.join("store");
    let node = Node::start(&store, &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('a', 'f64'); INSERT INTO samples (tag, value) VALUES ('a', 1)");
    ask(&node, "SELECT meridian_flush()");
    node.stop();
    let named = |dir: &Path, start: &str| -> PathBuf {
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        names.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start)).unwrap()
    };
    let manifest = named(&store.join("slices/0000"), "manifest-");
    for (path, checked) in [(manifest, 44), (store.join("node"), 504)] {
        set_format(&path, checked);
        let before = std::fs::read(&path).unwrap();
        let said = text(&run(&["serve", "--dir", store.to_str().unwrap(), "--pg", "127.0.0.1:0"]));
        assert!(said.contains("has format 99") && said.contains("release") && !said.contains("--repair"), "{said}");
        let repaired = run(&["check", "--repair", store.to_str().unwrap()]);
        assert!(repaired.status.code() == Some(1) && text(&repaired).contains("format 99"), "{}", text(&repaired));
        assert!(std::fs::read(&path).unwrap() == before, "{} was changed", path.display());
    }
}

#[test]
fn what_a_killed_query_spilled_goes_at_the_next_start() {
    let dir = Dir::new("spill");
    let store = dir.join("store");
    Node::start(&store, &[]).stop();
    let left = store.join("spill/datafusion-left");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("part"), "x").unwrap();
    std::fs::write(store.join("spill/file"), "x").unwrap();
    let node = Node::start(&store, &[]);
    assert!(!left.exists() && !store.join("spill/file").exists());
    node.stop();
}

#[test]
fn a_stop_cancels_what_runs_too_long_and_flushes() {
    let dir = Dir::new("stop");
    for (limit, flushed) in [("500ms", true), ("0s", false)] {
        let store = dir.join(limit);
        let node = Node::start(&store, &["--stop-max", limit]);
        ask(&node, "INSERT INTO tags (name, kind) VALUES ('a', 'f64'); INSERT INTO samples (tag, value) VALUES ('a', 1)");
        let url = node.url();
        let (started, stopped) = std::thread::scope(|scope| {
            let endless = scope.spawn(|| try_ask(&node, "SELECT count(*) FROM generate_series(1, 1000000000000)"));
            let running =
                "SELECT count(*) FROM meridian.queries WHERE query LIKE '%generate_series%' AND query NOT LIKE '%LIKE%'";
            while ask(&node, running) != [["1"]] {}
            let started = Instant::now();
            node.signal(libc::SIGTERM);
            let answer = endless.join().unwrap();
            assert!(answer.is_err(), "{url}: {answer:?}");
            (started, answer)
        });
        assert!(node.wait().success(), "{stopped:?}");
        // Twice the limit, five seconds for what was cancelled, and a slow machine.
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
        let slices = store.join("slices");
        let written = slices.exists() && std::fs::read_dir(&slices).unwrap().count() > 0;
        assert_eq!(written, flushed, "stop_max {limit}: whether the slice's buffer was flushed");
        let node = Node::start(&store, &[]);
        assert_eq!(ask(&node, "SELECT count(*) FROM samples"), [["1"]]);
        node.stop();
    }
}

#[test]
fn a_directory_of_somebody_else_is_left_as_it_was() {
    let dir = Dir::new("foreign");
    std::fs::write(dir.join("letter.txt"), "dear").unwrap();
    let refused = run(&["serve", "--dir", dir.0.to_str().unwrap(), "--pg", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("not a Meridian store") && text(&refused).contains("letter.txt"), "{}", text(&refused));
    let names: Vec<_> = std::fs::read_dir(&dir.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["letter.txt"]);
}

#[test]
fn sigint_stops_too() {
    let dir = Dir::new("signals");
    let node = Node::start(&dir.join("store"), &[]);
    node.signal(libc::SIGINT);
    assert!(node.wait().success());
}

#[test]
fn wrong_command_lines_and_configurations_say_so() {
    let dir = Dir::new("wrong");
    let file = dir.join("meridian.toml");
    std::fs::write(&file, "memory_byte = 1\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, expected) in [
        (vec!["serve"], "serve needs --dir"),
        (vec!["serve", "--memory", "1GiB"], "--memory"),
        (vec!["serve", "--memory-bytes", "lots"], "is not a size"),
        (vec!["serve", "--config", file], "did you mean \"memory_bytes\""),
        (vec!["serve", "--config", "/nonexistent/meridian.toml"], "/nonexistent/meridian.toml"),
        (vec!["serve", "--dir", "/tmp/x", "--pg", "none"], "all doors are shut"),
        (vec!["serve", "--dir", "/tmp/x", "--log-level", "a=b=c"], "log_level"),
        (vec!["serve", "--dir", "/tmp/x", "--log-level", "bogus"], "\"bogus\" is no level; give off, error, warn, info"),
        (
            vec!["serve", "--dir", "/tmp/x", "--role", "data", "--fleet", "127.0.0.1:0", "--durability", "200ms"],
            "needs durability \"commit\"",
        ),
        (vec!["frobnicate"], "frobnicate"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(expected), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn print_config_says_where_each_value_came_from() {
    let dir = Dir::new("print");
    let file = dir.join("meridian.toml");
    std::fs::write(&file, "durability = \"200ms\"\nperiod = \"1h\"\n").unwrap();
    let mut command = program();
    command.args(["serve", "--print-config", "--pg", "127.0.0.1:0"]).env("MERIDIAN_CONFIG", &file).env("MERIDIAN_PERIOD", "2h");
    let output = command.output().unwrap();
    let printed = text(&output);
    assert!(output.status.success(), "{printed}");
    let line = |start: &str| {
        printed.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {printed}")).to_owned()
    };
    assert!(line("durability").contains("\"200ms\"") && line("durability").contains("# file "));
    assert!(line("period").contains("\"2h\"") && line("period").contains("# environment MERIDIAN_PERIOD"));
    assert!(line("pg").contains("# flag --pg"));
    assert!(line("memory_bytes").contains("# default auto"));
}
