//! `meridian cert` from outside: what it makes serves a node, and psql believes it; what can't be meant is refused.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, program};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A question by psql that believes nobody but the authority of this file.
fn ask(node: &Node, host: &str, authority: &str) -> Output {
    let port = node.pg.rsplit(':').next().unwrap();
    let words = format!("host={host} hostaddr=127.0.0.1 port={port} user=meridian sslmode=verify-full sslrootcert={authority}");
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "-c", "SELECT 6 * 7", &words]).output().unwrap()
}

#[test]
fn what_it_makes_serves_a_node_that_psql_believes() {
    let dir = Dir::new("cert");
    let certs = dir.join("certs");
    let certs = certs.to_str().unwrap();
    let made = run(&["cert", "authority", "--dir", certs]);
    assert!(made.status.success() && text(&made).contains("meridian cert node NAME"), "{}", text(&made));
    let made = run(&["cert", "node", "db-1", "--dir", certs, "--host", "db.example.org"]);
    assert!(made.status.success(), "{}", text(&made));
    for (name, mode) in [("authority.key", 0o600), ("db-1.key", 0o600), ("authority.crt", 0o644), ("db-1.crt", 0o644)] {
        let found = std::fs::metadata(format!("{certs}/{name}")).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{name}");
    }
    let (certificate, key) = (format!("{certs}/db-1.crt"), format!("{certs}/db-1.key"));
    let node = Node::start(&dir.join("store"), &["--tls-certificate", &certificate, "--tls-key", &key]);
    let authority = format!("{certs}/authority.crt");
    let answer = ask(&node, "db.example.org", &authority);
    assert_eq!(text(&answer).trim(), "42");
    let elsewhere = text(&ask(&node, "elsewhere.example.org", &authority));
    assert!(elsewhere.contains("does not match host name"), "{elsewhere}");
    let others = dir.join("others");
    assert!(run(&["cert", "authority", "--dir", others.to_str().unwrap()]).status.success());
    let stranger = text(&ask(&node, "db.example.org", &format!("{}/authority.crt", others.to_str().unwrap())));
    assert!(stranger.contains("certificate verify failed"), "{stranger}");
    node.stop();
}

#[test]
fn nothing_is_overwritten_and_what_cannot_be_meant_is_refused() {
    let dir = Dir::new("cert-refused");
    let certs = dir.0.to_str().unwrap();
    let none = run(&["cert", "node", "db-1", "--dir", certs]);
    assert!(!none.status.success() && text(&none).contains("begin with `meridian cert authority`"), "{}", text(&none));
    assert!(run(&["cert", "authority", "--dir", certs]).status.success());
    assert!(run(&["cert", "node", "db-1", "--dir", certs]).status.success());
    let kept = || ["authority.key", "db-1.key"].map(|name| std::fs::read(dir.join(name)).unwrap());
    let before = kept();
    for (arguments, expected) in [
        (vec!["cert", "authority", "--dir", certs], "there is one already"),
        (vec!["cert", "node", "db-1", "--dir", certs], "--replace"),
        (vec!["cert", "node", "authority", "--dir", certs], "the authority's own name"),
        (vec!["cert", "node", "../db", "--dir", certs], "a node's name has"),
        (vec!["cert", "node", "db-2", "--dir", certs, "--days", "0"], "1 to 36500 days"),
        (vec!["cert", "node", "db-2", "--dir", certs, "--host", "größe"], "no names or addresses"),
    ] {
        let refused = run(&arguments);
        assert!(!refused.status.success() && text(&refused).contains(expected), "{arguments:?}: {}", text(&refused));
    }
    assert_eq!(kept(), before);
    assert!(run(&["cert", "node", "db-1", "--dir", certs, "--replace"]).status.success());
    assert_ne!(kept(), before);
}
