//! Real clients, run as their users run them: psql, Python, Java and Node.

use crate::Server;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// Runs psql with a script on standard input; the answer is its whole output, unaligned, errors verbose.
///
/// # Panics
/// When psql can't be started.
#[must_use]
pub fn psql(server: &Server, script: &str) -> Output {
    use std::io::Write;
    let mut child = start_psql(server, &["-v", "ON_ERROR_STOP=0"]);
    let mut input = child.stdin.take().expect("stdin is piped");
    let script = script.to_owned();
    let writer =
        std::thread::Builder::new().spawn(move || drop(input.write_all(script.as_bytes()))).expect("a thread can be made");
    let output = child.wait_with_output().expect("psql ends");
    writer.join().expect("the writer does not panic");
    output
}

/// Starts psql with its three streams open, to be fed and ended by the test.
///
/// # Panics
/// When psql can't be started.
#[must_use]
pub fn start_psql(server: &Server, words: &[&str]) -> Child {
    let mut command = Command::new("psql");
    command.args(["-X", "-A", "-q", "-v", "VERBOSITY=verbose", "-P", "null=NULL"]).args(words);
    command.args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "-U", "test", "meridian"]);
    command.env("PGTZ", "UTC").env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql is installed")
}

/// Starts a script of `tests/clients` against a server, to be ended by the test.
///
/// # Panics
/// When Python can't be started.
#[must_use]
pub fn start_python(server: &Server, script: &str, words: &[&str]) -> Child {
    let mut command = python_command(server, script, words);
    command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("python can be started")
}

/// Runs a script of `tests/clients` against a server; panics with what it printed when it fails.
///
/// # Panics
/// When the script ends with anything but 0.
pub fn python(server: &Server, script: &str, words: &[&str]) {
    run(server, script, &mut python_command(server, script, words));
}

/// Runs a Java program of `tests/clients` with the PostgreSQL JDBC driver; panics with what it printed when it fails.
///
/// # Panics
/// When the program ends with anything but 0.
pub fn java(server: &Server, program: &str) {
    let driver = std::env::var_os("MERIDIAN_TEST_JDBC").unwrap_or_else(|| "/usr/share/java/postgresql.jar".into());
    let mut command = Command::new("java");
    command.arg("-cp").arg(driver).arg(in_package("clients").join(program));
    run(server, program, &mut command);
}

/// Runs a script of `tests/clients` with Node and the packages that `xtask` installs; panics with what it printed when it fails.
///
/// # Panics
/// When the script ends with anything but 0.
pub fn node(server: &Server, script: &str) {
    let packages = std::env::var_os("MERIDIAN_TEST_NODE").unwrap_or_else(|| "node_modules".into());
    let mut command = Command::new("node");
    command.env("NODE_PATH", packages).arg(in_package("clients").join(script));
    run(server, script, &mut command);
}

fn run(server: &Server, what: &str, command: &mut Command) {
    let output = addressed(server, command).stdin(Stdio::null()).output().expect("the program is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what} ended with {}:\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
}

/// Tells a client where the server is, as PostgreSQL's own are told.
fn addressed<'a>(server: &Server, command: &'a mut Command) -> &'a mut Command {
    command
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", server.port().to_string())
        .env("PGUSER", "test")
        .env("PGDATABASE", "meridian")
}

/// A path in this package, where it is now: several clones share what is built, so what runs may have been built elsewhere.
///
/// # Panics
/// When it is not cargo that runs the test.
#[must_use]
pub fn in_package(path: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is")).join(path)
}

fn python_command(server: &Server, script: &str, words: &[&str]) -> Command {
    let python = std::env::var_os("MERIDIAN_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let path = in_package("clients").join(script);
    let mut command = Command::new(python);
    command.arg(&path).args(words).stdin(Stdio::null());
    addressed(server, &mut command);
    command.env("FLIGHT", &server.flight).env("HTTP", &server.http).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
