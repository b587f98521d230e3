//! Clients of InfluxDB, Prometheus' parser and curl against the HTTP door of a real server.
#![expect(clippy::disallowed_methods, reason = "tests drive the outside world: processes, files, clocks")]

use std::process::Command;
use std::time::{Duration, Instant};
use tests::{Directory, Fleet, Server, python};

#[test]
fn influxdb_clients_write_and_their_lines_are_read_by_sql() {
    let directory = Directory::new("influx");
    let server = Server::start(directory.path(), &["--http", "127.0.0.1:0"]);
    python(&server, "influx_clients.py", &[]);
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}

#[test]
fn curl_is_enough_to_write_and_to_ask() {
    let directory = Directory::new("curl");
    let server = Server::start(directory.path(), &["--http", "127.0.0.1:0"]);
    let curl = |words: &[&str]| {
        let output = Command::new("curl").args(["-sS", "--max-time", "60"]).args(words).output().expect("curl is installed");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let url = |path: &str| format!("http://{}{path}", server.http);
    assert_eq!(curl(&["-w", "%{http_code}", "--data-binary", "cpu,host=a usage=0.5 1000", &url("/write?precision=ms")]).1, "204");
    assert_eq!(
        curl(&["-H", "Accept: text/csv", "-d", "SELECT tag, value FROM samples", &url("/query")]).1,
        "tag,value\r\n\"cpu,host=a usage\",0.5\r\n"
    );
    // An answer that is cut is an error of curl's own (18).
    let late = "SELECT 1 / (900000 - n) AS x, repeat('x', 100) AS y FROM generate_series(1, 1000000) AS s(n)";
    let (status, body) = curl(&["-H", "Accept: text/csv", "-d", late, &url("/query")]);
    assert_eq!(status, Some(18));
    assert!(body.trim_end().lines().last().unwrap_or_default().starts_with("#error {"), "it says why");
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}

#[test]
fn lines_that_were_answered_survive_a_kill() {
    let directory = Directory::new("lines-kill");
    let server = Server::start(directory.path(), &["--http", "127.0.0.1:0"]);
    let body: String = (0..20_000).map(|line| format!("m,n={} f={line} {line}\n", line % 100)).collect();
    let path = directory.path().join("lines");
    std::fs::write(&path, body).expect("the file can be written");
    let send = |server: &Server| {
        let words = [
            "-sS",
            "-w",
            "%{http_code}",
            "--data-binary",
            &format!("@{}", path.display()),
            &format!("http://{}/write?precision=ms", server.http),
        ];
        Command::new("curl").args(words).output().expect("curl is installed").stdout
    };
    assert_eq!(send(&server), b"204");
    server.kill();
    let server = Server::start(directory.path(), &["--http", "127.0.0.1:0"]);
    let words =
        ["-sS", "-H", "Accept: text/csv", "-d", "SELECT count(*) AS n FROM samples", &format!("http://{}/query", server.http)];
    let output = Command::new("curl").args(words).output().expect("curl is installed");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n\r\n20000\r\n");
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}

#[test]
fn a_fleets_schedulers_take_lines_and_say_whether_they_can_serve() {
    let mut fleet = Fleet::start("lines", "self", 2, 2, &["--http", "127.0.0.1:0"]);
    let curl = |server: &Server, words: &[&str], path: &str| {
        let url = format!("http://{}{path}", server.http);
        let output =
            Command::new("curl").args(["-sS", "--max-time", "60"]).args(words).arg(url).output().expect("curl is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let body: String = (0..3000).map(|line| format!("m,n={} f={line} {line}\n", line % 300)).collect();
    let path = fleet.path().join("lines");
    std::fs::write(&path, body).expect("the file can be written");
    let words = ["-w", "%{http_code}", "--data-binary", &format!("@{}", path.display())];
    assert_eq!(curl(fleet.door(0), &words, "/write?precision=ms"), "204");
    // Read, and written to, at the other one too.
    let csv = ["-H", "Accept: text/csv", "-d", "SELECT count(*) AS n, count(DISTINCT tag) AS tags FROM samples"];
    assert_eq!(curl(fleet.door(1), &csv, "/query"), "n,tags\r\n3000,300\r\n");
    assert_eq!(curl(fleet.door(1), &words, "/write?precision=ms"), "204");
    let ready = ["-w", "%{http_code}"];
    for door in [0, 1] {
        let answer = curl(fleet.door(door), &ready, "/ready");
        assert!(answer.ends_with("200"), "{answer}");
        let metrics = curl(fleet.door(door), &[], "/metrics");
        assert!(
            metrics.contains("meridian_data_nodes 2\n") && metrics.contains("meridian_rows_written_total{node="),
            "{metrics}"
        );
    }
    fleet.kill_data(0);
    fleet.kill_data(1);
    let begun = Instant::now();
    loop {
        let answer = curl(fleet.door(0), &ready, "/ready");
        if answer.ends_with("503") {
            assert!(answer.contains("the slices"), "{answer}");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it passes for ready without a data node: {answer}");
    }
}
