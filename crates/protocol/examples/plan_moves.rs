//! How long plans for a large fleet take, on one core: 1,000 hosts, 100,000 slices, two copies.
//!
//! `cargo run --release --package protocol --example plan_moves`. It prints, and asserts nothing.

use protocol::moves::{Host, Placed, Wish, by_modulus, plan};
use std::time::Instant;
use types::{NodeId, SliceId};

fn main() {
    let host = |id: u64| Host {
        id: NodeId(id),
        weight: 4 + (id % 3) as u32,
        region: format!("region {}", id % 3),
        rack: format!("rack {}", id / 3 % 20),
        leaves: false,
    };
    let hosts: Vec<Host> = (0..1_000).map(host).collect();
    let sizes = |slice: u64| (1 << 29) + slice.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (1 << 30);
    let on = |hosts: &[Host]| -> Vec<Placed> {
        let placed = by_modulus(hosts, 100_000, 2).expect("there are hosts");
        let slice = |(slice, holders)| Placed { slice: SliceId(slice), bytes: sizes(u64::from(slice)), holders };
        (0..).zip(placed).map(slice).collect()
    };
    let empty: Vec<Placed> = on(&hosts).into_iter().map(|placed| Placed { holders: Vec::new(), ..placed }).collect();
    measure("first placement by even data", &hosts, &empty);
    measure("weights follow a placement by modulus", &hosts, &on(&hosts));
    measure("950 hosts become 1,000", &hosts, &on(&hosts[..950]));
    let drained: Vec<Host> = hosts.iter().map(|host| Host { leaves: host.id.0 < 50, ..host.clone() }).collect();
    measure("50 of 1,000 are drained", &drained, &on(&hosts));
}

#[expect(clippy::disallowed_methods, reason = "a measurement is the outside world")]
fn measure(what: &str, hosts: &[Host], slices: &[Placed]) {
    let start = Instant::now();
    let plan = plan(hosts, slices, Wish::default()).expect("the question makes sense");
    let took = start.elapsed();
    let uneven = plan.loads.iter().filter(|load| !load.even).count();
    println!(
        "{what}: {} ms; {} slices change, {} GiB move, {} GiB at the least, {uneven} hosts uneven",
        took.as_millis(),
        plan.changes.len(),
        plan.bytes >> 30,
        plan.bytes_least >> 30
    );
}
