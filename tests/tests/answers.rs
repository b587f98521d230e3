//! Answers against DuckDB on the same data: aggregates of ETTh1 and random rows, and random questions about random
//! data, in buffers, in files, merged, and under a rule that spreads tags over slices by day.

use tests::{Directory, Server, in_package, python};

fn compare(name: &str, state: &str) {
    let directory = Directory::new(name);
    let server = Server::start(directory.path(), &[]);
    let data = in_package("../data/ETTh1.csv");
    let rows = directory.path().join("rows.csv");
    python(
        &server,
        "etth1.py",
        &[data.to_str().expect("the clone's path is UTF-8"), rows.to_str().expect("a temporary path is UTF-8"), state],
    );
}

#[test]
fn buffers_answer_as_duckdb_does() {
    compare("answers-buffers", "buffer");
}

#[test]
fn files_and_buffers_answer_as_duckdb_does() {
    compare("answers-flush", "flush");
}

#[test]
fn merged_files_answer_as_duckdb_does() {
    compare("answers-merge", "merge");
}

/// Random questions from some seeds; `tests/clients/differential.py` says how to ask more.
fn random_questions(name: &str, state: &str, first_seed: u32, flags: &[&str]) {
    let directory = Directory::new(name);
    let server = Server::start(directory.path(), flags);
    python(&server, "differential.py", &[state, &first_seed.to_string(), "3"]);
}

#[test]
fn random_questions_to_buffers_have_duckdbs_answers() {
    random_questions("questions-buffer", "buffer", 1, &[]);
}

#[test]
fn random_questions_to_files_have_duckdbs_answers() {
    random_questions("questions-flush", "flush", 101, &[]);
}

#[test]
fn random_questions_to_merged_files_have_duckdbs_answers() {
    random_questions("questions-merge", "merge", 201, &[]);
}

#[test]
fn random_questions_by_day_have_duckdbs_answers() {
    random_questions("questions-by-day", "flush", 301, &["--rule-w2", "1", "--rule-b1", "2", "--rule-buckets", "7"]);
}
