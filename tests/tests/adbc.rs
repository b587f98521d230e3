//! ADBC's Flight SQL driver against real servers: from Python, and from C by the library that its wheel brings.

use tests::{Directory, Fleet, Server, python};

const SECRET: &str = "geheim 铅笔";

fn guarded(directory: &Directory) -> Server {
    Server::start(directory.path(), &["--loopback-trusted=false", &format!("--password={SECRET}")])
}

#[test]
fn python_asks_where_everybody_is_trusted() {
    let directory = Directory::new("adbc");
    let server = Server::start(directory.path(), &[]);
    python(&server, "adbc_flight_sql.py", &[]);
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}

#[test]
fn python_asks_with_a_password() {
    let directory = Directory::new("adbc-password");
    let server = guarded(&directory);
    python(&server, "adbc_flight_sql.py", &[SECRET]);
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}

#[test]
fn python_asks_a_fleet() {
    let fleet = Fleet::start("adbc-fleet", "self", 2, 2, &["--copies=2"]);
    python(fleet.door(1), "adbc_flight_sql.py", &[]);
}

#[test]
fn c_asks_by_the_library_alone() {
    let directory = Directory::new("adbc-c");
    let server = guarded(&directory);
    python(&server, "adbc_c.py", &[&directory.path().display().to_string(), SECRET]);
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}
