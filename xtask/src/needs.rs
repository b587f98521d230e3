//! What the tests need that is not in the tree: installed by package name where it is missing.
//!
//! It promises to ask a registry only for what is not there, and to name what could not be had.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs by the Debian package that brings them.
const PROGRAMS: &[(&str, &str)] = &[
    ("cc", "build-essential"),
    ("psql", "postgresql-client"),
    ("curl", "curl"),
    ("python3", "python3"),
    // A terminal for the shell's tests, and its pager.
    ("tmux", "tmux"),
    ("less", "less"),
    ("etcd", "etcd-server"),
    ("etcdctl", "etcd-client"),
    // An object store that speaks S3, for backups; it runs from python3-swift.
    ("swift-proxy-server", "swift-proxy"),
    // Faults: links that are cut, clocks that jump.
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("faketime", "faketime"),
    // Clients: a Java program is compiled as it is run.
    ("javac", "default-jdk-headless"),
    ("node", "nodejs"),
    ("npm", "npm"),
    // The Debian package and the image: what makes them, looks at them, and runs them.
    ("dpkg-shlibdeps", "dpkg-dev"),
    ("lintian", "lintian"),
    ("systemd-analyze", "systemd"),
    ("umoci", "umoci"),
    ("runc", "runc"),
];

/// Files by the Debian package that brings them.
const FILES: &[(&str, &str)] = &[("/usr/share/java/postgresql.jar", "libpostgresql-jdbc-java")];

/// npm packages, for the clients' scripts.
const NODE: &[&str] = &["pg@8", "pg-cursor@2", "pg-query-stream@4", "pg-copy-streams@7", "postgres@3"];

/// Python packages, for the clients' scripts and the comparisons.
const PYTHON: &[&str] = &[
    "psycopg[binary]==3.3.*",
    "duckdb",
    "pytz",
    "adbc-driver-flightsql==1.13.*",
    "adbc-driver-manager==1.13.*",
    "influxdb==5.3.*",
    "influxdb-client==1.50.*",
    "prometheus-client==0.26.*",
    "pyarrow==26.*",
    "asyncpg==0.31.*",
    "psycopg2-binary==2.9.*",
    "SQLAlchemy[asyncio]==2.0.*",
    "pandas==3.*",
    "polars==2.*",
    "connectorx==0.4.*",
    "opentelemetry-proto==1.45.*",
    "grpcio==1.76.*",
];
/// What they are imported as.
const MODULES: &str = "import psycopg, duckdb, pytz, adbc_driver_flightsql.dbapi, influxdb, influxdb_client, prometheus_client, \
    pyarrow, asyncpg, psycopg2, sqlalchemy, greenlet, pandas, polars, connectorx, grpc, opentelemetry.proto.trace.v1.trace_pb2";

/// The user's cache directory for what survives a clone: build results and the Python environment.
pub fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("meridian")
}

/// Where the clients' packages are.
pub struct Clients {
    /// The Python that has them.
    pub python: PathBuf,
    /// The directory of Node's.
    pub node: PathBuf,
}

/// Installs what is missing.
pub fn install() -> Result<Clients, String> {
    install_missing(PROGRAMS, FILES)?;
    Ok(Clients { python: python()?, node: node()? })
}

/// Installs the packages of those programs that are missing.
pub fn install_programs(programs: &[(&str, &str)]) -> Result<(), String> {
    install_missing(programs, &[])
}

/// Installs the packages of those programs and files that are missing.
pub fn install_missing(programs: &[(&str, &str)], files: &[(&str, &str)]) -> Result<(), String> {
    let mut missing: Vec<&str> = programs.iter().filter(|(program, _)| !found(program)).map(|(_, package)| *package).collect();
    missing.extend(files.iter().filter(|(file, _)| !Path::new(file).is_file()).map(|(_, package)| *package));
    if !missing.is_empty() {
        println!("xtask: installing {}", missing.join(" "));
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        run(Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    Ok(())
}

/// The Python that has the peers of the benchmarks too.
pub fn peers() -> Result<PathBuf, String> {
    let python = python()?;
    if !quiet(Command::new(&python).args(["-c", "import duckdb, chdb"])) {
        println!("xtask: installing chdb for Python");
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "chdb==4.*"]))?;
    }
    Ok(python)
}

fn node() -> Result<PathBuf, String> {
    let home = cache().join("node");
    let modules = home.join("node_modules");
    let name = |package: &&str| package.split('@').next().is_some_and(|name| modules.join(name).is_dir());
    if NODE.iter().all(name) {
        return Ok(modules);
    }
    println!("xtask: installing {} for Node", NODE.join(", "));
    std::fs::create_dir_all(&home).map_err(|error| format!("can't make {}: {error}", home.display()))?;
    run(Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&home).args(NODE))?;
    Ok(modules)
}

fn python() -> Result<PathBuf, String> {
    let home = cache().join("python");
    let python = home.join("bin/python");
    let works = |python: &Path| quiet(Command::new(python).args(["-c", MODULES]));
    if works(&python) {
        return Ok(python);
    }
    println!("xtask: making a Python environment with {}", PYTHON.join(", "));
    if !quiet(Command::new("python3").args(["-c", "import ensurepip"])) {
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        run(Command::new("apt-get").args(["install", "-y", "-qq", "python3-venv"]).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PYTHON))?;
    if works(&python) {
        Ok(python)
    } else {
        Err(format!("{} can't do \"{MODULES}\" although pip installed them", python.display()))
    }
}

/// Whether a program is on the path.
pub fn found(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|place| place.join(program).is_file()))
}

fn quiet(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a command to its end, showing what it prints.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("can't start {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
