//! What each host's share of the data is.
//!
//! Copies are dealt by weight, like water poured into vessels of different width, each with a floor and a lid: a region
//! holds no second copy of a slice before every region has one, a rack likewise, a host never holds two. So a heavy host
//! alone in its region gets what its region must hold, not what its weight would ask.
//! Promises: shares sum up to `copies`; none is above 1. It may not know slices.

use super::Host;
use std::collections::BTreeMap;

/// How wide copies can be spread: regions and racks that have a host which stays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    pub(super) regions: usize,
    pub(super) racks: usize,
}

/// A part of the fleet while water is poured.
struct Vessel {
    weight: f64,
    floor: f64,
    lid: f64,
}

/// Each host's share in copies a slice: 0 for those that leave.
pub(super) fn of(hosts: &[Host], copies: usize) -> (Vec<f64>, Spread) {
    let mut regions: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for (n, host) in hosts.iter().enumerate().filter(|(_, host)| !host.leaves) {
        regions.entry(&host.region).or_default().entry(&host.rack).or_default().push(n);
    }
    let spread = Spread { regions: regions.len(), racks: regions.values().map(BTreeMap::len).sum() };
    let weight_of = |nodes: &Vec<usize>| nodes.iter().map(|n| f64::from(hosts[*n].weight)).sum::<f64>();
    let count_of = |racks: &BTreeMap<&str, Vec<usize>>| racks.values().map(Vec::len).sum::<usize>() as f64;
    let (scarce_regions, scarce_racks) = (copies > spread.regions, copies > spread.racks);

    let mut shares = vec![0.0; hosts.len()];
    let vessels = regions.values().map(|racks| Vessel {
        weight: racks.values().map(weight_of).sum(),
        floor: match (scarce_regions, scarce_racks) {
            (false, _) => 0.0,
            (true, false) => 1.0,
            (true, true) => racks.len() as f64,
        },
        lid: match (scarce_regions, scarce_racks) {
            (false, _) => 1.0,
            (true, false) => racks.len() as f64,
            (true, true) => count_of(racks),
        },
    });
    let by_region = pour(&vessels.collect::<Vec<_>>(), copies as f64);
    for (racks, in_region) in regions.values().zip(by_region) {
        let vessels = racks.values().map(|nodes| Vessel {
            weight: weight_of(nodes),
            floor: if scarce_racks { 1.0 } else { 0.0 },
            lid: if scarce_racks { nodes.len() as f64 } else { 1.0 },
        });
        let by_rack = pour(&vessels.collect::<Vec<_>>(), in_region);
        for (nodes, in_rack) in racks.values().zip(by_rack) {
            let vessels = nodes.iter().map(|n| Vessel { weight: f64::from(hosts[*n].weight), floor: 0.0, lid: 1.0 });
            let by_host = pour(&vessels.collect::<Vec<_>>(), in_rack);
            nodes.iter().zip(by_host).for_each(|(n, share)| shares[*n] = share);
        }
    }
    (shares, spread)
}

/// Fills vessels to one level, each between its floor and its lid.
fn pour(vessels: &[Vessel], amount: f64) -> Vec<f64> {
    let at = |level: f64| vessels.iter().map(move |vessel| (vessel.weight * level).clamp(vessel.floor, vessel.lid));
    let (mut low, mut high) = (0.0, vessels.iter().map(|vessel| vessel.lid / vessel.weight).fold(0.0, f64::max));
    // Halving ends when the two ends are neighbours among the numbers: far fewer rounds than this.
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if at(middle).sum::<f64>() < amount { low = middle } else { high = middle }
    }
    at(high).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::NodeId;

    /// Hosts as (region, rack, weight).
    fn check(hosts: &[(&str, &str, u32)], copies: usize, expect: &[f64]) {
        let host = |(n, (region, rack, weight)): (usize, &(&str, &str, u32))| Host {
            id: NodeId(n as u64),
            weight: *weight,
            region: (*region).to_owned(),
            rack: (*rack).to_owned(),
            leaves: false,
        };
        let (shares, _) = of(&hosts.iter().enumerate().map(host).collect::<Vec<_>>(), copies);
        let near = shares.iter().zip(expect).all(|(share, expect)| (share - expect).abs() < 1e-9);
        assert!(near && shares.len() == expect.len(), "{hosts:?}, {copies} copies: {shares:?}, not {expect:?}");
    }

    #[test]
    fn shares_follow_weights_as_far_as_one_copy_a_host_and_locality_allow() {
        check(&[("", "", 1), ("", "", 1), ("", "", 2)], 1, &[0.25, 0.25, 0.5]);
        // Three times the weight, but a host holds no slice twice.
        check(&[("", "", 1), ("", "", 1), ("", "", 6)], 2, &[0.5, 0.5, 1.0]);
        check(&[("", "", 1), ("", "", 3)], 2, &[1.0, 1.0]);
        // Two regions, two copies: one copy in each, whatever they weigh.
        check(&[("a", "", 1), ("b", "", 1), ("b", "", 3)], 2, &[1.0, 0.25, 0.75]);
        // Three copies in two regions: each has one, the rest by weight.
        check(&[("a", "1", 1), ("b", "1", 1), ("b", "2", 1)], 3, &[1.0, 1.0, 1.0]);
        check(&[("a", "1", 1), ("a", "2", 1), ("b", "1", 1), ("b", "2", 1)], 3, &[0.75; 4]);
        // Racks: one copy in each before any has two.
        check(&[("", "1", 1), ("", "1", 1), ("", "2", 1)], 2, &[0.5, 0.5, 1.0]);
        check(&[("", "1", 1), ("", "1", 1), ("", "2", 1)], 3, &[1.0; 3]);
    }
}
