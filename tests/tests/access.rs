//! Roles on real servers: what psql shows and sends, roles after kill -9 and at the other door of a fleet, passwords in no log.

#![expect(clippy::disallowed_methods, reason = "tests from outside: real processes and time")]

use std::time::{Duration, Instant};
use tests::{Directory, Fleet, Server, psql};

const TAGS: &str = "INSERT INTO tags (name) VALUES ('plant.a'), ('plant.b'), ('secret');
INSERT INTO samples SELECT name, '2026-01-01 00:00Z', 1 FROM tags;
";

#[test]
fn psql_grants_describes_and_is_held_to_it() {
    let directory = Directory::new("access-psql");
    let server = Server::start(directory.path(), &["--slow-statement", "1ms"]);
    let script = format!(
        "{TAGS}CREATE ROLE staff;
CREATE USER analyst PASSWORD 'geheim-1' CONNECTION LIMIT 3 VALID UNTIL '2030-01-01 00:00Z' IN ROLE staff;
GRANT SELECT, INSERT ON samples TO staff WITH GRANT OPTION;
GRANT SELECT ON tags TO PUBLIC;
GRANT SELECT ON TAGS WHERE name LIKE 'plant.%' TO analyst;
REVOKE ALL ON samples FROM staff;
GRANT SELECT ON latest TO staff;
ALTER USER analyst PASSWORD 'geheim-2';
\\du
\\dp latest
\\dp tags
\\pset tuples_only on
\\c - analyst
SELECT 'me', current_user;
SELECT DISTINCT tag FROM samples ORDER BY tag;
SELECT tag FROM latest ORDER BY tag;
SELECT role, tags FROM meridian.grants WHERE tags IS NOT NULL;
SELECT meridian_flush();
SELECT * FROM meridian.queries;
COPY (SELECT tag FROM samples WHERE tag = 'secret') TO STDOUT;
INSERT INTO samples VALUES ('plant.a', now(), 2);
CREATE USER other;
\\c - stranger
"
    );
    let output = psql(&server, &script);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in [
        "analyst|3 connections                                              +",
        "latest|view|meridian=arwd/meridian+",
        "tags|table|meridian=arwd/meridian+",
        "=r/meridian",
        "me|analyst",
        "plant.a",
        "plant.b",
        "secret",
        "analyst|name LIKE 'plant.%'",
    ] {
        let wanted = line.split('+').next().unwrap_or(line).trim_end();
        assert!(out.contains(wanted), "no {wanted:?} in\n{out}\n{err}");
    }
    let between =
        |from: &str, to: &str| out.split(from).nth(1).and_then(|rest| rest.split(to).next()).unwrap_or_default().to_owned();
    assert_eq!(between("me|analyst\n", "analyst|name"), "plant.a\nplant.b\nplant.a\nplant.b\nsecret\n", "{out}\n{err}");
    let states: Vec<&str> = err.lines().filter_map(|line| line.split("ERROR:  ").nth(1)?.split(':').next()).collect();
    assert_eq!(states, ["42501", "42501", "42501", "42501"], "{err}");
    assert!(err.contains("role \"stranger\" does not exist"), "{err}");
    assert!(server.stop().success());
    let log = std::fs::read_to_string(directory.path().join("server.err")).expect("the server logs");
    assert!(log.contains("slow statement") && !log.contains("geheim"), "{log}");
}

/// Restarts after kill -9 in the middle of changes: what was answered is there, what was not is there or not, as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn roles_survive_kill_in_the_middle_of_changes() {
    let directory = Directory::new("access-kill");
    let mut answered = 0;
    for round in 0..6_u64 {
        let server = Server::start(directory.path(), &[]);
        let client = tests::connect(&server.connection().replace("user=test", "user=meridian")).await.expect("a session");
        let rows = client.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'r%' ORDER BY oid", &[]).await.expect("roles");
        let known: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        for number in 0..answered {
            assert!(known.contains(&format!("r{number}")), "r{number} is lost of {answered}: {known:?}");
            let sql = format!("SELECT has_table_privilege('r{number}', 'samples', 'SELECT')");
            assert!(client.query_one(&sql, &[]).await.expect("it is a role").get::<_, bool>(0), "r{number}'s grant is lost");
        }
        assert!(known.len() <= answered + 1, "{known:?} of {answered}");
        for name in known.iter().filter(|name| name[1..].parse::<usize>().is_ok_and(|number| number >= answered)) {
            client.simple_query(&format!("DROP ROLE {name}")).await.expect("it goes");
        }
        let until = Instant::now() + Duration::from_millis(40 + 30 * round);
        let work = tokio::spawn(async move {
            let mut done = answered;
            loop {
                let name = format!("r{done}");
                if client.simple_query(&format!("CREATE ROLE {name}")).await.is_err()
                    || client.simple_query(&format!("GRANT SELECT ON samples TO {name}")).await.is_err()
                {
                    return done;
                }
                done += 1;
            }
        });
        tokio::time::sleep_until(until.into()).await;
        server.kill();
        answered = work.await.expect("the writer ends");
    }
    assert!(answered > 0);
}

/// What one scheduler is told holds at the other, in the middle of its sessions; both keep what they were told in one meta.
#[tokio::test(flavor = "multi_thread")]
async fn roles_of_a_fleet_hold_at_every_door() {
    let fleet = Fleet::start("access-fleet", "self", 2, 3, &[]);
    let doors = [fleet.door(0).connect().await.expect("a door"), fleet.door(1).connect().await.expect("a door")];
    fleet.until_in_step(&doors[0]).await;
    doors[0].batch_execute(TAGS).await.expect("tags and samples");
    doors[0]
        .batch_execute("CREATE USER analyst; GRANT SELECT ON TAGS WHERE name LIKE 'plant.%' TO analyst")
        .await
        .expect("a role");
    fleet.until(&doors[1], "SELECT count(*) = 1 FROM meridian.grants").await;
    let mut own = Vec::new();
    for door in 0..2 {
        let as_analyst = fleet.door(door).connection().replace("user=test", "user=analyst");
        own.push(tests::connect(&as_analyst).await.expect("analyst comes in"));
        let stranger = fleet.door(door).connection().replace("user=test", "user=stranger");
        let refused = tests::connect(&stranger).await.err().and_then(|error| error.code().map(|code| code.code().to_owned()));
        assert_eq!(refused.as_deref(), Some("28000"));
    }
    for client in &own {
        for (sql, count) in [
            ("SELECT count(*) FROM samples", 2_i64),
            ("SELECT count(DISTINCT tag) FROM samples WHERE value > 0", 2),
            ("SELECT count(*) FROM latest", 2),
            ("SELECT count(*) FROM tags", 2),
        ] {
            assert_eq!(client.query_one(sql, &[]).await.expect("it may").get::<_, i64>(0), count, "{sql}");
        }
        let point = "SELECT value FROM samples WHERE tag = $1 AND time <= now() ORDER BY time DESC LIMIT 1";
        assert_eq!(client.query(point, &[&"secret"]).await.expect("it may").len(), 0);
        assert_eq!(client.query(point, &[&"plant.a"]).await.expect("it may").len(), 1);
        assert!(client.query("SELECT * FROM meridian.nodes", &[]).await.is_err());
    }
    doors[1].batch_execute("REVOKE SELECT ON TAGS WHERE name LIKE 'plant.%' FROM analyst").await.expect("it is taken back");
    assert!(own[1].query("SELECT * FROM samples", &[]).await.is_err(), "at its own door at once");
    fleet.until(&doors[0], "SELECT count(*) = 0 FROM meridian.grants").await;
    assert!(own[0].query("SELECT * FROM samples", &[]).await.is_err());
    // Both change at once: every change stands in the end.
    let each = |client: tokio_postgres::Client, from: usize| async move {
        for number in from..from + 10 {
            client.batch_execute(&format!("CREATE ROLE r{number}; GRANT r{number} TO analyst")).await.expect("roles are changed");
        }
    };
    let [first, second] = doors;
    tokio::join!(each(first, 0), each(second, 10));
    let client = fleet.door(0).connection().replace("user=test", "user=meridian");
    let client = tests::connect(&client).await.expect("a session");
    fleet.until(&client, "SELECT count(*) = 20 FROM pg_auth_members").await;
}
