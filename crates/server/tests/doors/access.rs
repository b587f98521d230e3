//! Roles at the doors: who comes in, how often, for how long; and what the Flight door lets a role write.

use crate::node::{Node, directory, samples, samples_schema, settings};
use arrow::array::{ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use server::flight::client::{Client, Options};
use server::{Settings, Users};
use std::sync::Arc;
use tokio_postgres::NoTls;
use world::{ThreadCounts, Threads, World};

async fn connect(node: &Node, user: &str, password: &str) -> Result<tokio_postgres::Client, String> {
    let config = format!("{} password='{password}'", node.config(user));
    match tokio_postgres::connect(&config, NoTls).await {
        Ok((client, connection)) => {
            tokio::spawn(connection);
            Ok(client)
        }
        Err(error) => Err(error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())),
    }
}

async fn tells(client: &tokio_postgres::Client, sql: &str) -> Result<(), String> {
    client.batch_execute(sql).await.map_err(|error| error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_comes_in_with_its_password_in_its_time() {
    let node = Node::start(Settings { loopback_trusted: false, password: Some("boss".to_owned()), ..settings() });
    let boss = connect(&node, "meridian", "boss").await.unwrap();
    for sql in [
        "CREATE USER plain PASSWORD 'one'",
        "CREATE ROLE asleep PASSWORD 'one' NOLOGIN",
        "CREATE USER late PASSWORD 'one' VALID UNTIL '2020-01-01'",
        "CREATE USER bare",
        "ALTER ROLE plain SET statement_timeout = '7s'",
        "ALTER ROLE plain CONNECTION LIMIT 2",
    ] {
        tells(&boss, sql).await.unwrap();
    }
    // Which of them fails is not told.
    for (user, password) in [("plain", "two"), ("asleep", "one"), ("late", "one"), ("bare", ""), ("bare", "x"), ("none", "one")] {
        let refused = connect(&node, user, password).await.err().unwrap_or_default();
        assert!(refused == "28P01" || password.is_empty(), "{user}: {refused}");
        assert!(!refused.is_empty(), "{user} came in");
    }
    let (first, _second) = (connect(&node, "plain", "one").await.unwrap(), connect(&node, "plain", "one").await.unwrap());
    assert_eq!(connect(&node, "plain", "one").await.err().as_deref(), Some("53300"));
    let row = first.query_one("SELECT current_setting('statement_timeout'), current_user", &[]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("7s", "plain"));
    assert_eq!(tells(&first, "SELECT * FROM samples").await.err().as_deref(), Some("42501"));
    tells(&first, "ALTER USER plain PASSWORD 'two'").await.unwrap();
    drop(first);
    let again = async {
        loop {
            match connect(&node, "plain", "two").await {
                Err(state) if state == "53300" => tokio::task::yield_now().await,
                done => return done.map(drop),
            }
        }
    };
    assert_eq!(again.await, Ok(()));
    tells(&boss, "DROP ROLE plain").await.unwrap();
    assert_eq!(connect(&node, "plain", "two").await.err().as_deref(), Some("28P01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_believes_knows_roles_once_there_are_some() {
    let node = Node::plain();
    let stranger = connect(&node, "anybody", "").await.unwrap();
    tells(&stranger, "CREATE USER reader; CREATE ROLE asleep; GRANT SELECT ON tags TO reader").await.unwrap();
    for (user, expect) in [("anybody", Some("28000")), ("asleep", Some("28000")), ("reader", None), ("meridian", None)] {
        assert_eq!(connect(&node, user, "").await.err().as_deref(), expect, "{user}");
    }
    let reader = connect(&node, "reader", "").await.unwrap();
    assert_eq!(tells(&reader, "SELECT * FROM tags").await, Ok(()));
    assert_eq!(tells(&reader, "SELECT * FROM latest").await.err().as_deref(), Some("42501"));
    let login = |user: &str| Options { login: Some((user.to_owned(), String::new())), authority_pem: None };
    for (user, allowed) in [("anybody", false), ("asleep", false), ("meridian", true)] {
        let client = Client::connect(&node.flight_url(), &login(user)).await.unwrap();
        assert_eq!(client.resolve(&["x"]).await.is_ok(), allowed, "{user}");
    }
    let nameless = Client::connect(&node.flight_url(), &Options::default()).await.unwrap();
    assert_eq!(nameless.resolve(&["x"]).await.unwrap_err().code(), tonic::Code::Unauthenticated);
}

/// A batch whose tags are names.
fn named(rows: &[(&str, f64)]) -> RecordBatch {
    let names: DictionaryArray<UInt32Type> = rows.iter().map(|(name, _)| *name).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(names),
        Arc::new(Int64Array::from_iter_values((0..rows.len() as i64).map(|at| at + 1))),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|(_, value)| *value))),
    ];
    let fields = vec![
        Field::new("tag", columns[0].data_type().clone(), false),
        Field::new("time", DataType::Int64, false),
        Field::new("value", DataType::Float64, false),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

async fn put(client: &Client, path: &str, batch: &RecordBatch) -> Result<u64, tonic::Code> {
    let mut putter = client.put(&[path], batch.schema()).await.map_err(|status| status.code())?;
    // The server may have ended the stream already: why is told by its answers.
    let _ = putter.send(1, batch).await;
    let acks = putter.finish().await.map_err(|status| status.code())?;
    Ok(acks.iter().map(|ack| ack.rows).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flight_door_writes_what_a_role_may() {
    let node = Node::plain();
    let boss = node.client().await;
    for sql in [
        "INSERT INTO tags (name, kind) VALUES ('plant.a', 'f64'), ('secret', 'f64'), ('secret.i', 'i32')",
        "CREATE USER plant; CREATE USER whole; CREATE USER idle; CREATE USER seer",
        "GRANT INSERT ON TAGS WHERE name LIKE 'plant.%' TO plant",
        "GRANT INSERT ON samples, tags TO whole",
        "GRANT SELECT ON TAGS WHERE name = 'secret' TO seer",
    ] {
        boss.batch_execute(sql).await.unwrap();
    }
    use tonic::Code::{NotFound, PermissionDenied};
    for (user, own, other, missing) in [
        ("plant", Ok(1), Err(PermissionDenied), Err(PermissionDenied)),
        ("whole", Ok(1), Ok(1), Err(NotFound)),
        ("idle", Err(PermissionDenied), Err(PermissionDenied), Err(PermissionDenied)),
        ("seer", Err(PermissionDenied), Err(PermissionDenied), Err(PermissionDenied)),
        ("meridian", Ok(1), Ok(1), Err(NotFound)),
    ] {
        let login = Some((user.to_owned(), String::new()));
        let client = Client::connect(&node.flight_url(), &Options { login, authority_pem: None }).await.unwrap();
        assert_eq!(put(&client, "samples", &samples(&[(0, 1, 1.0)])).await, own, "{user}");
        assert_eq!(put(&client, "samples", &samples(&[(1, 1, 1.0)])).await, other, "{user}");
        assert_eq!(put(&client, "samples", &samples(&[(0, 1, 1.0), (1, 1, 1.0)])).await.is_ok(), other.is_ok(), "{user}");
        // A value that does not fit is told only to whoever may write the tag.
        let misfit = if other.is_ok() { Err(tonic::Code::InvalidArgument) } else { Err(PermissionDenied) };
        assert_eq!(put(&client, "samples", &samples(&[(2, 1, 0.5)])).await, misfit, "{user}");
        assert_eq!(put(&client, "samples", &samples(&[(99, 1, 1.0)])).await, missing, "{user}");
        assert_eq!(put(&client, "samples", &named(&[("plant.a", 2.0)])).await, own, "{user}");
        assert_eq!(put(&client, "samples", &named(&[("secret", 2.0)])).await, other, "{user}");
        assert_eq!(put(&client, "samples", &named(&[("none.such", 2.0)])).await, missing, "{user}");
        let known = client.resolve(&["plant.a", "secret", "none.such"]).await.map_err(|status| status.code());
        let expect = match user {
            "plant" => Ok(vec![Some(0), None, None]),
            "seer" => Ok(vec![None, Some(1), None]),
            "idle" => Err(PermissionDenied),
            _ => Ok(vec![Some(0), Some(1), None]),
        };
        assert_eq!(known, expect, "{user}");
        for (name, may) in [("plant.new", ["plant", "whole", "meridian"]), ("new", ["whole", "meridian", ""])] {
            let name = format!("{name}.{user}");
            let columns: Vec<ArrayRef> =
                vec![Arc::new(StringArray::from(vec![name.as_str()])), Arc::new(StringArray::from(vec!["f64"]))];
            let fields = ["name", "kind"].map(|name| Field::new(name, DataType::Utf8, false));
            let batch = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns).unwrap();
            let expect = if may.contains(&user) { Ok(1) } else { Err(PermissionDenied) };
            assert_eq!(put(&client, "tags", &batch).await, expect, "{user}: {name}");
        }
    }
    // Asked of each batch anew.
    let login = Some(("plant".to_owned(), String::new()));
    let client = Client::connect(&node.flight_url(), &Options { login, authority_pem: None }).await.unwrap();
    let mut putter = client.put(&["samples"], samples_schema()).await.unwrap();
    putter.send(1, &samples(&[(0, 9, 1.0)])).await.unwrap();
    assert!(putter.ack().await.unwrap().is_some());
    boss.batch_execute("REVOKE INSERT ON TAGS WHERE name LIKE 'plant.%' FROM plant").await.unwrap();
    let _ = putter.send(2, &samples(&[(0, 10, 1.0)])).await;
    assert_eq!(putter.ack().await.unwrap_err().code(), PermissionDenied);
}

#[test]
fn roles_are_there_after_a_restart_and_records_from_later_releases_are_refused() {
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let dir = directory();
    world.disk.make_dir(&dir).unwrap();
    let users = Users::open(world.clone(), &dir).unwrap();
    users.set_password("meridian", "one").unwrap();
    let version = users.roles().version();
    users.set_password("reader", "two").unwrap();
    assert!(users.roles().version() > version);
    let records = users.all();
    let again = Users::open(world.clone(), &dir).unwrap();
    assert_eq!(again.all(), records);
    assert!(again.verifier("reader").accepts("two") && again.roles().believe("nobody").is_err());
    // What a release wrote that knew of no roles.
    let line = |record: &str| {
        let text = format!("# users of this store: name, tab, SCRAM-SHA-256 verifier\nreader\t{record}\n");
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{text}#sha256 {hex}\n")
    };
    let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    std::fs::write(dir.join("users-00000009"), line(verifier)).unwrap();
    let old = Users::open(world.clone(), &dir).unwrap();
    assert!(old.verifier("reader").accepts("pencil") && old.roles().believe("reader").is_ok());
    old.set_password("reader", "three").unwrap();
    // It may do all that it could before.
    let record = old.all().into_iter().find(|(name, _)| name == "reader").unwrap().1;
    assert!(record.contains("\"superuser\":true") && record.contains("\"login\":true"), "{record}");
    assert!(Users::open(world.clone(), &dir).unwrap().verifier("reader").accepts("three"));
    for record in ["{\"oid\":20000,\"inherit\":true,\"login\":true,\"only_by_day\":true}", "md5", "{}"] {
        std::fs::write(dir.join("users-00000099"), line(record)).unwrap();
        for entry in world.disk.list(&dir).unwrap().into_iter().filter(|entry| entry.name != "users-00000099") {
            std::fs::remove_file(dir.join(entry.name)).unwrap();
        }
        assert!(matches!(Users::open(world.clone(), &dir), Err(server::Error::Users { .. })), "{record}");
    }
    std::fs::remove_dir_all(dir).unwrap();
    threads.stop();
}

/// The disk loses power at every step of a change of roles: afterwards the old or the new ones are there, whole.
#[test]
fn a_power_cut_in_a_change_leaves_the_old_roles_or_the_new() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..80 {
        let simulation = world::Simulation::new(seed);
        let dir = std::path::Path::new("/store");
        simulation.world().disk.make_dir(dir).unwrap();
        let open = || Users::open(simulation.world(), dir).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let users = open();
        users.set_password("reader", "one").unwrap();
        let before = users.all();
        simulation.disk.set_faults(world::Faults { sync_error_one_in: 2, ..world::Faults::NONE });
        let done = users.set_password("writer", "two");
        let after = users.all();
        simulation.disk.set_faults(world::Faults::NONE);
        simulation.crash();
        let found = open().all();
        assert!(found == after || (done.is_err() && found.len() >= before.len()), "seed {seed}");
        if found == before { old += 1 } else { new += 1 }
    }
    assert!(old > 0 && new > 0, "{old} old, {new} new");
}

/// Waits for the end of a connection, and gives what it was told.
async fn end_of(connection: tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>) -> (String, String) {
    let error = connection.await.unwrap().unwrap_err();
    let error = error.as_db_error().unwrap();
    (error.code().code().to_owned(), error.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_ended_by_those_who_may() {
    let node = Node::plain();
    let boss = node.client().await;
    boss.batch_execute("CREATE USER plain; CREATE USER other; CREATE USER warden; GRANT pg_signal_backend TO warden")
        .await
        .unwrap();
    let come = async |user: &str| {
        let (client, connection) = tokio_postgres::connect(&node.config(user), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let id = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0);
        (client, connection, id)
    };
    let terminate = async |client: &tokio_postgres::Client, id: i32| {
        let done = client.simple_query(&format!("SELECT pg_terminate_backend({id})")).await;
        done.map(|messages| match &messages[1] {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).unwrap().to_owned(),
            other => panic!("{other:?}"),
        })
    };
    let told = ("57P01".to_owned(), "terminating connection due to administrator command".to_owned());
    let (plain, plain_ends, plain_id) = come("plain").await;
    let (other, other_ends, other_id) = come("other").await;
    let (warden, warden_ends, warden_id) = come("warden").await;
    let boss_id = boss.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0);
    // Idle or not, none but its own role and those who may signal; superusers' by superusers alone.
    for (client, id) in [(&plain, other_id), (&plain, boss_id), (&warden, boss_id), (&other, warden_id)] {
        let refused = terminate(client, id).await.unwrap_err();
        let error = refused.as_db_error().unwrap();
        assert_eq!((error.code().code(), error.message()), ("42501", "permission denied to terminate process"));
    }
    assert_eq!(terminate(&plain, 1_000_000).await.unwrap(), "f");
    // One that is idle, one that is busy, one that copies, one that ends itself.
    assert_eq!(terminate(&warden, other_id).await.unwrap(), "t");
    assert_eq!(end_of(other_ends).await, told);
    let busy = tokio::spawn(async move { plain.simple_query("SELECT pg_sleep(1000)").await.map(|_| ()) });
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'";
    while boss.query_one(running, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
    let ended = boss.query_one("SELECT pg_terminate_backend($1::bigint, 1000)", &[&i64::from(plain_id)]).await.unwrap();
    assert!(ended.get::<_, bool>(0));
    let ended = busy.await.unwrap().unwrap_err();
    assert_eq!(ended.code().map(|code| code.code().to_owned()), Some(told.0.clone()), "{ended:?}");
    drop(plain_ends);
    let (copying, _copying_ends, copying_id) = come("meridian").await;
    boss.batch_execute("INSERT INTO tags (name, kind) VALUES ('c', 'f64')").await.unwrap();
    let sink = copying.copy_in::<_, bytes::Bytes>("COPY samples (tag, time, value) FROM STDIN").await.unwrap();
    assert_eq!(terminate(&boss, copying_id).await.unwrap(), "t");
    // This client tells of a COPY that was ended only that it is over.
    assert!(std::pin::pin!(sink).finish().await.is_err());
    while terminate(&boss, copying_id).await.unwrap() == "t" {}
    let own = terminate(&warden, warden_id).await.unwrap_err();
    assert_eq!(own.code().map(|code| code.code().to_owned()), Some(told.0.clone()), "{own:?}");
    drop(warden_ends);
    assert_eq!(boss.query_one("SELECT 1::bigint", &[]).await.unwrap().get::<_, i64>(0), 1, "whoever else was there stays");
}
