//! psycopg 3 against a real server.

use tests::{Directory, Server, python};

#[test]
fn psycopg_reads_and_writes_every_type() {
    let directory = Directory::new("psycopg");
    let server = Server::start(directory.path(), &[]);
    python(&server, "psycopg_types.py", &[]);
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}
