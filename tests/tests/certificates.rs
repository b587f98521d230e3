//! The certificates between the processes of a fleet, and their authority, and those of its etcd, are exchanged while all of them run and
//! clients write.
#![expect(clippy::disallowed_methods, reason = "tests drive the outside world: files")]

use std::path::Path;
use tests::workload::{Workload, make_tags};
use tests::{Directory, Etcd, Fleet, make_certificates, meridian};

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file can be read")
}

/// As a careful operator does: whoever reads sees the old file or the new one, whole.
fn put(bytes: &[u8], to: &Path) {
    let new = to.with_extension("new");
    std::fs::write(&new, bytes).expect("a file can be written");
    std::fs::rename(new, to).expect("a file can be renamed");
}

const CHANGED: &str = "other certificates are in use between the fleet's processes";

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_exchanged_while_the_fleet_works() {
    let mut fleet = Fleet::start("certificates", "self", 1, 3, &[]);
    let client = fleet.door(0).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    make_tags(&client).await;
    let workload = Workload::start(fleet.connections(), fleet.path().to_path_buf(), 2, 5);
    workload.more(5).await;
    let (used, others) = (fleet.certificates(), Directory::new("certificates-others"));
    let (old, new) = (others.path().join("old"), others.path().join("new"));
    make_certificates(&new);
    std::fs::create_dir_all(&old).expect("a directory can be made");
    for name in ["node.crt", "node.key"] {
        put(&read(&used.join(name)), &old.join(name));
    }
    let both = [read(&used.join("authority.crt")), read(&new.join("authority.crt"))].concat();

    // A broken file is named, and what was in use goes on.
    put(b"no certificate", &used.join("node.crt"));
    fleet.signal_until_said("HUP", "the process's certificate can't be used", 1);
    workload.more(5).await;
    put(&read(&old.join("node.crt")), &used.join("node.crt"));
    // A key that is not the certificate's, as between two writes.
    put(&read(&new.join("node.key")), &used.join("node.key"));
    fleet.signal_until_said("HUP", "node.key in ", 2);
    workload.more(5).await;
    put(&read(&old.join("node.key")), &used.join("node.key"));

    // Both are believed; then the new certificate is shown; then only the new authority is believed.
    put(&both, &used.join("authority.crt"));
    put(&both, &old.join("authority.crt"));
    fleet.signal_until_said("HUP", CHANGED, 1);
    workload.more(5).await;
    for name in ["node.key", "node.crt"] {
        put(&read(&new.join(name)), &used.join(name));
    }
    fleet.signal_until_said("HUP", CHANGED, 2);
    workload.more(5).await;
    fleet.kill_data(0);
    fleet.start_data(0);
    fleet.until_in_step(&client).await;
    workload.more(5).await;
    put(&read(&new.join("authority.crt")), &used.join("authority.crt"));
    fleet.signal_until_said("HUP", CHANGED, 3);
    workload.more(5).await;

    // Every connection can be made anew, both ways.
    for number in [1, 2] {
        fleet.kill_data(number);
        fleet.start_data(number);
        fleet.until_in_step(&client).await;
        workload.more(5).await;
    }
    // Who shows a certificate of the old authority is refused, though it believes the new one.
    fleet.start_stranger(3, &old, "received fatal alert");
    workload.more(5).await;
    workload.end(&client).await;
}

/// An authority of an etcd, and a certificate of it for one at 127.0.0.1.
fn make_etcds(directory: &Path) {
    let dir = directory.display().to_string();
    for words in [
        vec!["cert", "authority", "--dir", &dir],
        vec!["cert", "node", "etcd", "--dir", &dir, "--host", "127.0.0.1", "--host", "localhost"],
    ] {
        let made = meridian(&words);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcds_authority_is_exchanged_while_the_fleet_works() {
    let directory = Directory::new("certificates-etcd");
    let [old, new, used] = ["old", "new", "used"].map(|name| directory.path().join(name));
    make_etcds(&old);
    make_etcds(&new);
    std::fs::create_dir_all(&used).expect("a directory can be made");
    let shows = |from: &Path| {
        for name in ["etcd.key", "etcd.crt"] {
            put(&read(&from.join(name)), &used.join(name));
        }
    };
    // What clients believe is told apart: the fleet's processes, and who asks whether etcd is there.
    let (believed, both) = (used.join("believed.crt"), directory.path().join("both.crt"));
    let authorities = [read(&old.join("authority.crt")), read(&new.join("authority.crt"))];
    put(&authorities[0], &believed);
    put(&authorities.concat(), &both);
    shows(&old);
    let mut etcd = Etcd::start_encrypted(directory.path(), &used);
    let authority = format!("--etcd-authority={}", believed.display());
    let mut fleet = Fleet::start("certificates-of-etcd", &etcd.join(), 2, 3, &[&authority]);
    let client = fleet.door(0).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    make_tags(&client).await;
    let workload = Workload::start(fleet.connections(), fleet.path().to_path_buf(), 2, 7);
    workload.more(5).await;
    // What needs etcd: a tag is agreed on there, and heard of at the other door.
    let other = fleet.door(1).connect().await.expect("a door");
    let tag = async |name: &str| {
        client.execute(&format!("INSERT INTO tags (name, kind) VALUES ('{name}', 'f64')"), &[]).await.expect("a tag");
        fleet_knows(&other, name).await;
    };
    tag("of.the.old").await;

    // A broken file is named, and what was in use goes on.
    put(b"no certificate", &believed);
    fleet.signal_until_said("HUP", "the authority's certificate can't be used", 1);
    tag("of.the.old.still").await;

    // Both are believed; then etcd shows the new one, on connections that are all made anew; then only the new one is believed.
    put(&read(&both), &believed);
    fleet.signal_until_said("HUP", CHANGED, 1);
    tag("of.both").await;
    etcd.kill();
    shows(&new);
    etcd.restart();
    tag("of.the.new").await;
    workload.more(5).await;
    put(&authorities[1], &believed);
    fleet.signal_until_said("HUP", CHANGED, 2);
    tag("of.the.new.alone").await;
    etcd.kill();
    etcd.restart();
    tag("of.connections.anew").await;
    workload.more(5).await;
    // A process that begins now comes in.
    fleet.kill_data(0);
    fleet.start_data(0);
    fleet.until_in_step(&client).await;
    workload.end(&client).await;
}

/// Waits until a tag is known at a door.
async fn fleet_knows(client: &tokio_postgres::Client, name: &str) {
    let begun = std::time::Instant::now();
    while client.query(&format!("SELECT 1 FROM tags WHERE name = '{name}'"), &[]).await.expect("tags").is_empty() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{name} is not known at the other door");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
