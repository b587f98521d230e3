//! `meridian serve` from outside: ports, signals, locks, reopening, and what it says when it can't.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, program};
use std::process::Output;

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn one_store_has_one_process() {
    let dir = Dir::new("lock");
    let store = dir.join("store");
    let node = Node::start(&store, &[]);
    let second = run(&["serve", "--dir", store.to_str().unwrap(), "--pg", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second).contains("is in use by another process"), "{}", text(&second));
    node.stop();
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
        (vec!["serve", "--dir", "/tmp/x", "--pg", "none"], "both doors are shut"),
        (vec!["serve", "--dir", "/tmp/x", "--log-level", "a=b=c"], "log_level"),
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
