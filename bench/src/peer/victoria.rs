//! VictoriaMetrics, as Debian packages it (`victoria-metrics`).
//!
//! It keeps what it took in memory for some seconds before a file has it: an acknowledgement there does not mean durable, and no flag
//! makes it mean that. Only its retention is set, for the data are not of today.

use super::Server;
use super::server::escaped;
use crate::failed;
use meridian::Error;
use meridian::bench::postgres::free_port;
use meridian::progress::now;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const MERGE_WAIT: Duration = Duration::from_secs(600);

/// Its name in figures.
pub const NAME: &str = "VictoriaMetrics";

/// Starts it over a directory.
///
/// # Errors
/// `Error::Node`.
pub fn start(dir: &Path) -> Result<Server, Error> {
    let port = free_port()?;
    let mut command = Command::new("victoria-metrics");
    command.arg(format!("-storageDataPath={}", dir.display())).arg(format!("-httpListenAddr=127.0.0.1:{port}"));
    command.args(["-retentionPeriod=100y", "-search.maxUniqueTimeseries=10000000", "-search.maxSamplesPerQuery=2000000000"]);
    command.args(["-search.disableCache", "-search.maxQueryDuration=300s", "-search.latencyOffset=0s"]);
    command.args(["-search.maxSeries=10000000", "-search.maxQueryLen=65536"]);
    Server::start(command, dir, port, "/health")
}

/// Its release.
pub fn version() -> String {
    let told = Command::new("dpkg-query").args(["-W", "-f=${Version}", "victoria-metrics"]).output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    told.split('+').next().unwrap_or_default().to_owned()
}

/// All points of a metric in a stretch of time.
///
/// # Errors
/// `Error::Node`.
pub fn count(server: &Server, metric: &str, from_us: i64, to_us: i64) -> Result<u64, Error> {
    server.get("/internal/force_flush")?;
    let seconds = (to_us - from_us) / 1_000_000 + 1;
    let query = format!("sum(count_over_time({metric}[{seconds}s]))");
    let answer = server.get(&format!("/api/v1/query?query={}&time={}", escaped(&query), to_us.div_euclid(1_000_000) + 1))?;
    let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|error| failed("counting", error))?;
    // No series, no row.
    let count = answer["data"]["result"][0]["value"][1].as_str().unwrap_or("0").parse::<f64>();
    count.map(|count| count as u64).map_err(|error| failed("counting", error))
}

/// Flushes and merges all that it has, and waits until that is done.
///
/// # Errors
/// `Error::Node`.
pub fn settle(server: &Server) -> Result<(), Error> {
    server.get("/internal/force_flush")?;
    // Answers when the merge is done.
    server.get("/internal/force_merge")?;
    let started = now();
    loop {
        let metrics = server.get("/metrics")?;
        let active = metrics.lines().filter(|line| line.starts_with("vm_active_merges{type=\"storage"));
        if active.into_iter().all(|line| line.ends_with(" 0")) || started.elapsed() > MERGE_WAIT {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
