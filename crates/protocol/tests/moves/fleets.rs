//! Fleets at random, from a seed: small ones for the exact solver, larger ones for the lower bound.

use protocol::moves::{Host, Placed, Wish, by_modulus};
use types::{NodeId, SliceId};

/// Numbers from a seed (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(z ^ (z >> 31)) * u128::from(bound)) >> 64) as u64
    }
}

/// A fleet that wants a plan.
#[derive(Debug)]
pub struct Fleet {
    pub hosts: Vec<Host>,
    pub slices: Vec<Placed>,
    pub wish: Wish,
}

impl Fleet {
    /// Two to five hosts, up to seven slices, anything odd: weights, localities, hosts that leave, holders that vanished,
    /// copies missing and to spare.
    pub fn small(dice: &mut Dice) -> Fleet {
        let hosts = dice.below(4) + 2;
        let (regions, racks) = (dice.below(3) + 1, dice.below(3) + 1);
        let leaving = dice.below(3) == 0;
        let host = |id| Host {
            id: NodeId(id),
            weight: if dice.below(3) == 0 { dice.below(4) as u32 + 1 } else { 2 },
            region: format!("region {}", dice.below(regions)),
            rack: format!("rack {}", dice.below(racks)),
            leaves: leaving && id > 0 && dice.below(3) == 0,
        };
        let hosts: Vec<Host> = (0..hosts).map(host).collect();
        let copies = dice.below(3) + 1;
        let (alike, count) = (dice.below(3) == 0, dice.below(5) as u32 + 3);
        let slice = |slice| {
            let count = if dice.below(4) == 0 { dice.below(4) } else { copies };
            let mut holders = Vec::new();
            for _ in 0..count {
                let id = NodeId(dice.below(hosts.len() as u64 + u64::from(leaving)));
                if !holders.contains(&id) {
                    holders.push(id);
                }
            }
            Placed { slice: SliceId(slice), bytes: if alike { 100 } else { dice.below(1_000) + 1 }, holders }
        };
        let slices = (0..count).map(slice).collect();
        Fleet { hosts, slices, wish: Wish { copies: copies as u32, tolerance_permille: dice.below(2) as u32 * 20 } }
    }

    /// Some tens of hosts and some thousands of slices that lie evenly by modulus, before hosts come and go.
    pub fn large(dice: &mut Dice) -> Fleet {
        let (old, new, gone) = (dice.below(20) + 8, dice.below(5), dice.below(3));
        let (copies, regions) = (dice.below(3) + 1, [1, 1, 4][dice.below(3) as usize]);
        let weighty = dice.below(2) == 0;
        let host = |id| Host {
            id: NodeId(id),
            weight: if weighty { dice.below(3) as u32 + 4 } else { 1 },
            region: format!("region {}", id % regions),
            rack: String::new(),
            leaves: false,
        };
        let mut hosts: Vec<Host> = (0..old + new).map(host).collect();
        let alike = dice.below(3) == 0;
        let placed = by_modulus(&hosts[..old as usize], old as u32 * 100, copies as u32).expect("there are hosts");
        let slice = |(slice, holders)| {
            let bytes = if alike { 1 << 30 } else { (1 << 29) + dice.below(1 << 30) };
            Placed { slice: SliceId(slice), bytes, holders }
        };
        let slices = (0..).zip(placed).map(slice).collect();
        hosts.iter_mut().take(gone as usize).for_each(|host| host.leaves = true);
        Fleet { hosts, slices, wish: Wish { copies: copies as u32, tolerance_permille: 0 } }
    }
}
