//! Clients of other languages and libraries against a real server, each as its users use it.

use tests::{Directory, Server, java, node, python};

fn with_server(name: &str, test: impl FnOnce(&Server)) {
    let directory = Directory::new(name);
    let server = Server::start(directory.path(), &[]);
    test(&server);
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}

#[test]
fn asyncpg() {
    with_server("asyncpg", |server| python(server, "asyncpg_use.py", &[]));
}

#[test]
fn psycopg2() {
    with_server("psycopg2", |server| python(server, "psycopg2_use.py", &[]));
}

#[test]
fn sqlalchemy() {
    with_server("sqlalchemy", |server| python(server, "sqlalchemy_use.py", &[]));
}

#[test]
fn pandas_and_polars() {
    with_server("dataframes", |server| python(server, "dataframes.py", &[]));
}

#[test]
fn errors_tell_what_and_where() {
    with_server("errors", |server| python(server, "psycopg_errors.py", &[]));
}

#[test]
fn jdbc() {
    with_server("jdbc", |server| java(server, "Jdbc.java"));
}

#[test]
fn node_postgres() {
    with_server("node", |server| node(server, "node_postgres.js"));
}
