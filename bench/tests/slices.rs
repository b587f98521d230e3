//! A bounded slice of each benchmark whose peer is there for the tests anyway: DuckDB's and ours' answers are the same, and the
//! figures come out. How fast anything is, is not looked at.
#![expect(clippy::disallowed_methods, reason = "tests are the outside world")]

use std::process::Command;

/// Runs it and gives what it wrote as JSON.
fn run(name: &str, words: &[&str]) -> serde_json::Value {
    let json = std::env::temp_dir().join(format!("meridian-bench-{name}-{}.json", std::process::id()));
    let output =
        Command::new(env!("CARGO_BIN_EXE_bench")).args(words).arg("--json").arg(&json).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    let text = std::fs::read_to_string(&json).expect("it wrote its figures");
    std::fs::remove_file(&json).expect("its file can go");
    serde_json::from_str(&text).expect("they are JSON")
}

/// The measurements, each with a ratio.
fn figures(told: &serde_json::Value) -> Vec<String> {
    let figures = told["beside"].as_array().expect("a list of figures");
    assert!(figures.iter().all(|figure| figure["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0)), "{told}");
    figures.iter().map(|figure| figure["what"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn aggregates_are_those_of_duckdb() {
    let told = run("aggregates", &["aggregates", "--points", "240000", "--tags", "1000", "--peers", "duckdb"]);
    let names =
        ["by area", "by minute", "by area and minute", "a range of time by area", "last value of every tag", "one tag by minute"];
    assert_eq!(figures(&told), names);
}

#[test]
fn the_questions_about_hosts_are_answered_as_by_duckdb_also_where_rows_come_late() {
    let told = run("devops", &["tsbs", "devops", "--scale", "10", "--hours", "24", "--late", "20", "--peers", "duckdb"]);
    assert_eq!(figures(&told).len(), 15);
}

#[test]
fn the_questions_about_trucks_are_answered_as_by_duckdb() {
    let told = run("iot", &["tsbs", "iot", "--scale", "10", "--hours", "24", "--late", "20", "--peers", "duckdb"]);
    assert_eq!(figures(&told).len(), 11);
}

#[test]
fn small_questions_are_answered_by_all_who_are_there() {
    let words = ["questions", "--tags", "200", "--days", "2", "--seconds", "1", "--connections", "2", "--peers", "none"];
    let told = run("questions", &words);
    assert_eq!(told["beside"].as_array().map(Vec::len), Some(0));
}

#[test]
fn ingest_counts_what_was_acknowledged_also_after_kill_9() {
    let words = ["ingest", "--tags", "200", "--points", "20000", "--copy-points", "10000", "--batch", "1000", "--peers", "none"];
    let told = run("ingest", &words);
    let killed = &told["facts"]["Killed right after the last acknowledgement of one more turn"]["Meridian, Flight"];
    assert_eq!((killed["sent"].as_u64(), killed["lost"].as_u64()), (Some(4000), Some(0)), "{told}");
}
