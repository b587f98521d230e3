//! All faults, mixed from a seed, on a whole fleet of real processes under clients of all kinds; then all is healed, every copy
//! comes in step, and what clients were answered is checked.
//!
//! MERIDIAN_NEMESIS_SECONDS and MERIDIAN_NEMESIS_SEED make it longer and other: `cargo xtask soak --fleets` does, for as long as
//! you like.
#![expect(clippy::disallowed_methods, reason = "faults are brought for a time")]

use std::time::{Duration, Instant};
use tests::nemesis::Nemesis;
use tests::workload::{Workload, make_tags};
use tests::{Directory, Etcd, Fleet, Network};

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_all_kinds_mixed_break_no_promise() {
    let (seconds, seed) = (number("MERIDIAN_NEMESIS_SECONDS", 20), number("MERIDIAN_NEMESIS_SEED", 1));
    eprintln!("seed {seed}, {seconds} s: MERIDIAN_NEMESIS_SEED={seed} MERIDIAN_NEMESIS_SECONDS={seconds} brings the same faults");
    let mut network = Network::new();
    let directory = Directory::new("nemesis-etcd");
    let places: Vec<_> = (0..3).map(|member| network.place(&format!("etcd-{member}"))).collect();
    let etcd = Etcd::start_at(directory.path(), &places);
    let fleet = Fleet::new("nemesis", network, &etcd.join(), 3, &["--segment-bytes=1MiB", "--flush-quiet=2s"]);
    let mut nemesis = Nemesis::start(fleet, etcd, 3, 3, seed);
    let client = nemesis.fleet.door(0).connect().await.expect("a door");
    nemesis.fleet.until_in_step(&client).await;
    make_tags(&client).await;
    let (connections, logs) = (nemesis.fleet.connections(), nemesis.fleet.path().to_owned());
    let workload = Workload::start(connections, logs, 6, seed);
    workload.more(5).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        nemesis.round().await;
    }
    nemesis.heal();
    // The door may have been killed since.
    let client = nemesis.fleet.door(0).connect().await.expect("a door");
    nemesis.fleet.until_in_step(&client).await;
    workload.more(10).await;
    workload.end(&client).await;
}
