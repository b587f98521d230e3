//! Aggregate answers against DuckDB on the same data: ETTh1 and random rows, in buffers, in files, merged.

use tests::{Directory, Server, python};

fn compare(name: &str, state: &str) {
    let directory = Directory::new(name);
    let server = Server::start(directory.path(), &[]);
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/ETTh1.csv");
    let rows = directory.path().join("rows.csv");
    python(&server, "etth1.py", &[data, rows.to_str().expect("a temporary path is UTF-8"), state]);
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
