//! InfluxDB 1.x, as Debian packages it (`influxdb`).
//!
//! It syncs its log before it acknowledges (`wal-fsync-delay = 0`, the default). Only limits of series are lifted.

use super::Server;
use super::server::escaped;
use crate::failed;
use meridian::Error;
use meridian::bench::postgres::free_port;
use std::path::Path;
use std::process::Command;

/// Its name in figures.
pub const NAME: &str = "InfluxDB";

/// Starts it over a directory, with a database `meridian`.
///
/// # Errors
/// `Error::Node`, `Error::File`.
pub fn start(dir: &Path) -> Result<Server, Error> {
    let (port, backup_port) = (free_port()?, free_port()?);
    let (path, place) = (dir.join("influxdb.conf"), dir.display());
    let text = format!(
        "reporting-disabled = true\nbind-address = \"127.0.0.1:{backup_port}\"\n[meta]\n  dir = \"{place}/meta\"\n[data]\n  \
         dir = \"{place}/data\"\n  wal-dir = \"{place}/wal\"\n  max-series-per-database = 0\n  max-values-per-tag = 0\n  \
         cache-max-memory-size = 8589934592\n  query-log-enabled = false\n[monitor]\n  store-enabled = false\n[http]\n  \
         bind-address = \"127.0.0.1:{port}\"\n  log-enabled = false\n  max-body-size = 0\n"
    );
    let made = |cause| Error::File { path: path.clone(), cause };
    std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, text)).map_err(made)?;
    let mut command = Command::new("influxd");
    command.arg("run").arg("-config").arg(&path).env("HOME", dir);
    let server = Server::start(command, dir, port, "/ping")?;
    ask(&server, "CREATE DATABASE meridian")?;
    Ok(server)
}

/// Its release.
pub fn version() -> String {
    let told = Command::new("influxd").arg("version").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    told.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('v').to_owned()
}

/// The path of a question.
pub fn path(query: &str) -> String {
    format!("/query?db=meridian&epoch=ns&q={}", escaped(query))
}

/// Asks; the answer is its JSON.
///
/// # Errors
/// `Error::Node`: also where the answer is one of an error.
pub fn ask(server: &Server, query: &str) -> Result<serde_json::Value, Error> {
    let query = if query.starts_with("CREATE") { format!("/query?q={}", escaped(query)) } else { path(query) };
    let answer = if query.starts_with("/query?q=CREATE") {
        let (agent, url) = (super::server::agent(), format!("{}{query}", server.url));
        super::server::post(&agent, &url, &[], b"")?;
        "{}".to_owned()
    } else {
        server.get(&query)?
    };
    let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|error| failed("reading InfluxDB's answer", error))?;
    match answer["results"][0]["error"].as_str() {
        Some(error) => Err(failed("asking InfluxDB", error)),
        None => Ok(answer),
    }
}

/// All points of a measurement.
///
/// # Errors
/// `Error::Node`.
pub fn count(server: &Server, measurement: &str) -> Result<u64, Error> {
    let answer = ask(server, &format!("SELECT count(value) FROM {measurement}"))?;
    Ok(answer["results"][0]["series"][0]["values"][0][1].as_u64().unwrap_or(0))
}
