//! Move plans held against their promises and, where fleets are small, against an exact solver that knows nothing of
//! how plans are made.

mod exact;
mod fleets;

use exact::Solver;
use fleets::{Dice, Fleet};
use protocol::moves::{Host, Placed, Plan, PlanError, Wish, by_even_data, by_hand, by_modulus, plan};
use std::collections::BTreeSet;
use types::{NodeId, SliceId};

/// What every plan promises; gives who holds what after it.
fn holds(fleet: &Fleet, plan: &Plan) -> Vec<Vec<NodeId>> {
    let stay: Vec<&Host> = fleet.hosts.iter().filter(|host| !host.leaves).collect();
    let copies = (fleet.wish.copies as usize).min(stay.len());
    let host = |id: &NodeId| *stay.iter().find(|host| host.id == *id).unwrap_or_else(|| panic!("{id} holds a copy: {fleet:?}"));
    let places = |hosts: &mut dyn Iterator<Item = &Host>| {
        let (mut regions, mut racks) = (BTreeSet::new(), BTreeSet::new());
        for host in hosts {
            regions.insert(host.region.clone());
            racks.insert((host.region.clone(), host.rack.clone()));
        }
        (regions.len(), racks.len())
    };
    let (regions, racks) = places(&mut stay.iter().copied());
    let mut after = Vec::new();
    for placed in &fleet.slices {
        let change = plan.changes.iter().find(|change| change.slice == placed.slice);
        let holders = change.map_or(&placed.holders, |change| &change.after);
        let distinct: BTreeSet<&NodeId> = holders.iter().collect();
        assert_eq!((distinct.len(), holders.len()), (copies, copies), "{placed:?} becomes {holders:?}: {fleet:?}");
        let apart = places(&mut holders.iter().map(host));
        assert_eq!(apart, (regions.min(copies), racks.min(copies)), "{placed:?} becomes {holders:?}: {fleet:?}");
        after.push(holders.clone());
    }
    let moved: u64 = plan.changes.iter().map(|change| change.bytes.max(1) * change.added().count() as u64).sum();
    assert_eq!((moved, plan.bytes >= plan.bytes_least), (plan.bytes, true), "{plan:?}");
    for load in &plan.loads {
        let held: u64 =
            fleet.slices.iter().zip(&after).filter(|(_, on)| on.contains(&load.id)).map(|(placed, _)| placed.bytes.max(1)).sum();
        let led = after.iter().filter(|holders| holders[0] == load.id).count() as u64;
        assert_eq!((held, led), (load.bytes_after, load.primaries), "{load:?}");
    }
    after
}

fn is_even(plan: &Plan) -> bool {
    plan.loads.iter().all(|load| load.even)
}

#[test]
fn small_plans_move_within_one_percent_of_the_fewest_bytes() {
    let (mut moving, mut impossible) = (0, 0);
    for seed in 0..1_500 {
        let fleet = Fleet::small(&mut Dice::new(seed));
        let plan = plan(&fleet.hosts, &fleet.slices, fleet.wish).unwrap();
        holds(&fleet, &plan);
        match Solver::new(&fleet).least_bytes() {
            Some(least) => {
                assert!(is_even(&plan), "seed {seed}: {least} bytes make it even, the plan does not: {plan:#?}");
                assert!(
                    plan.bytes_least <= least,
                    "seed {seed}: {least} bytes suffice, {} were said to be the least",
                    plan.bytes_least
                );
                let near = plan.bytes * 100 <= least * 101;
                assert!(near, "seed {seed}: {} bytes are moved, {least} suffice: {fleet:#?}", plan.bytes);
                moving += u64::from(least > 0);
            }
            None => {
                assert!(!is_even(&plan), "seed {seed}: nothing makes it even, the plan says it does");
                impossible += 1;
            }
        }
    }
    assert!(moving > 1_000 && impossible == 0, "{moving} fleets had something to move, {impossible} could not be made even");
}

#[test]
fn larger_plans_are_even_and_near_the_lower_bound() {
    for seed in 0..60 {
        let fleet = Fleet::large(&mut Dice::new(seed));
        let plan = plan(&fleet.hosts, &fleet.slices, fleet.wish).unwrap();
        holds(&fleet, &plan);
        assert!(is_even(&plan), "seed {seed}: {:#?}", plan.loads.iter().filter(|load| !load.even).collect::<Vec<_>>());
        // The bound knows neither that slices can't be cut (a twentieth of one a host is what that costs) nor regions.
        let uncut = fleet.slices.iter().map(|placed| placed.bytes).max().unwrap() * fleet.hosts.len() as u64 / 20;
        let one_region = fleet.hosts.iter().all(|host| host.region == fleet.hosts[0].region);
        let allowed = plan.bytes_least * if one_region { 101 } else { 105 } / 100 + uncut;
        assert!(plan.bytes <= allowed, "seed {seed}: {} bytes are moved, the bound is {}", plan.bytes, plan.bytes_least);
    }
}

#[test]
fn a_plan_is_one_answer_and_a_carried_out_plan_asks_for_nothing_more() {
    for seed in 0..200 {
        let mut fleet = if seed % 4 == 0 { Fleet::large(&mut Dice::new(seed)) } else { Fleet::small(&mut Dice::new(seed)) };
        let once = plan(&fleet.hosts, &fleet.slices, fleet.wish).unwrap();
        assert_eq!(once, plan(&fleet.hosts, &fleet.slices, fleet.wish).unwrap(), "seed {seed}");
        let after = holds(&fleet, &once);
        fleet.slices.iter_mut().zip(after).for_each(|(placed, holders)| placed.holders = holders);
        fleet.hosts.retain(|host| !host.leaves);
        let again = plan(&fleet.hosts, &fleet.slices, fleet.wish).unwrap();
        if is_even(&once) {
            assert_eq!((again.bytes, again.changes), (0, Vec::new()), "seed {seed}");
        }
    }
}

#[test]
fn primaries_are_even_where_every_host_has_its_share() {
    for seed in 0..60 {
        let fleet = Fleet::large(&mut Dice::new(seed));
        if fleet.wish.copies == 1 {
            continue; // Then whoever holds a slice leads it.
        }
        let plan = plan(&fleet.hosts, &fleet.slices, fleet.wish).unwrap();
        let (all, slices) = (fleet.slices.iter().map(|placed| placed.bytes).sum::<u64>() as f64, fleet.slices.len() as f64);
        let copies = plan.loads.iter().map(|load| load.bytes_share).sum::<u64>() as f64 / all;
        for load in &plan.loads {
            let share = load.bytes_share as f64 / all / copies * slices;
            assert!((load.primaries as f64 - share).abs() <= 1.001, "seed {seed}: {load:?} has {share} slices to lead");
        }
    }
}

fn host(id: u64, region: &str) -> Host {
    Host { id: NodeId(id), weight: 1, region: region.to_owned(), rack: String::new(), leaves: false }
}

#[test]
fn a_node_more_gets_its_share_and_nothing_else_moves() {
    let hosts: Vec<Host> = (0..5).map(|id| host(id, "")).collect();
    let holders = |slice: u64| vec![NodeId(slice % 4), NodeId((slice + 1) % 4)];
    let slices: Vec<Placed> =
        (0..40).map(|slice| Placed { slice: SliceId(slice), bytes: 1 << 30, holders: holders(u64::from(slice)) }).collect();
    let plan = plan(&hosts, &slices, Wish::default()).unwrap();
    // 80 copies on five nodes: 16 each. Up to one fewer is even.
    assert_eq!((plan.bytes >> 30, plan.bytes_least >> 30), (15, 15));
    assert!(plan.changes.iter().flat_map(|change| change.added()).all(|id| id == NodeId(4)));
    assert!(plan.loads.iter().all(|load| load.primaries == 8), "{:?}", plan.loads);
}

#[test]
fn a_drained_node_ends_empty_and_one_that_vanished_is_made_up_for() {
    let mut hosts: Vec<Host> = (0..4).map(|id| host(id, if id < 2 { "a" } else { "b" })).collect();
    hosts[1].leaves = true;
    let slices: Vec<Placed> = (0..12)
        .map(|slice| Placed { slice: SliceId(slice), bytes: 7, holders: vec![NodeId(u64::from(slice % 2)), NodeId(9)] })
        .collect();
    let plan = plan(&hosts, &slices, Wish::default()).unwrap();
    // One region has a single node left, which must have everything; of it half is there.
    assert_eq!((plan.bytes, plan.bytes_least), (7 * 18, 7 * 18));
    assert_eq!(plan.loads[1].bytes_after, 0);
    assert_eq!(plan.loads[0].bytes_after, 7 * 12);
    assert!(plan.changes.iter().all(|change| change.removed().any(|id| id == NodeId(9))));
}

#[test]
fn questions_without_sense_are_refused_by_name() {
    let hosts = [host(1, ""), host(2, "")];
    let refused =
        |hosts: &[Host], slices: &[Placed], copies| plan(hosts, slices, Wish { copies, ..Wish::default() }).unwrap_err();
    let placed = Placed { slice: SliceId(3), bytes: 1, holders: vec![NodeId(1)] };
    assert_eq!(refused(&[], &[], 1), PlanError::NoHost);
    assert_eq!(refused(&[Host { leaves: true, ..host(1, "") }], &[], 1), PlanError::NoHost);
    assert_eq!(refused(&hosts, &[], 0), PlanError::NoCopies);
    assert_eq!(refused(&[host(1, ""), host(1, "")], &[], 1), PlanError::HostTwice(NodeId(1)));
    assert_eq!(refused(&[Host { weight: 0, ..host(1, "") }], &[], 1), PlanError::NoWeight(NodeId(1)));
    assert_eq!(refused(&hosts, &[placed.clone(), placed], 1), PlanError::SliceTwice(SliceId(3)));
}

#[test]
fn first_placements() {
    let hosts: Vec<Host> = (0..4).map(|id| host(id, if id % 2 == 0 { "a" } else { "b" })).collect();
    let (one, two, three) = (NodeId(1), NodeId(2), NodeId(3));
    // By modulus: the second copy lies in the other region, on the host that follows.
    let placed = by_modulus(&hosts, 5, 2).unwrap();
    assert_eq!(placed[..3], [vec![NodeId(0), one], vec![one, two], vec![two, three]]);
    assert_eq!(placed[4], placed[0]);
    let crowded: Vec<Host> = (0..3).map(|id| host(id, if id < 2 { "a" } else { "b" })).collect();
    assert_eq!(by_modulus(&crowded, 1, 2).unwrap(), [vec![NodeId(0), two]]);
    // By even data: one large slice weighs as much as the small ones.
    let placed = by_even_data(&hosts[..2], &[90, 30, 30, 30], Wish { copies: 1, ..Wish::default() }).unwrap();
    assert_eq!(placed.iter().filter(|holders| **holders == placed[0]).count(), 1);
    // By hand: said and checked.
    let named = |slice, nodes: &[NodeId]| (SliceId(slice), nodes.to_vec());
    let said = [named(1, &[two]), named(0, &[one, three])];
    assert_eq!(by_hand(&hosts, 2, &said).unwrap(), [vec![one, three], vec![two]]);
    assert_eq!(by_hand(&hosts, 3, &said), Err(PlanError::SliceMissing(SliceId(2))));
    assert_eq!(by_hand(&hosts, 1, &said), Err(PlanError::NoSuchSlice(SliceId(1))));
    assert_eq!(by_hand(&hosts, 1, &[named(0, &[one, one])]), Err(PlanError::HostTwice(one)));
    let unknown = PlanError::UnknownHost { slice: SliceId(0), node: NodeId(8) };
    assert_eq!(by_hand(&hosts, 1, &[named(0, &[NodeId(8)])]), Err(unknown));
}
