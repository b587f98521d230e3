//! Limits shared out among servers that come, go, and are not heard: seeded runs, with a clock of their own.

use super::*;

/// Numbers that depend on a seed alone (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

const WRITTEN: LimitId = LimitId { role: 1, what: Limited::Written };
const SESSIONS: LimitId = LimitId { role: 1, what: Limited::Sessions };

#[test]
fn a_whole_is_shared_by_wish_and_weight() {
    for (pool, wishes, expected) in [
        (100, vec![], vec![]),
        (100, vec![(0, 1)], vec![100]),
        (100, vec![(0, 1), (0, 1)], vec![50, 50]),
        (100, vec![(1_000, 1), (0, 1)], vec![100, 0]),
        (100, vec![(1_000, 1), (20, 1)], vec![80, 20]),
        (100, vec![(1_000, 1), (1_000, 3)], vec![25, 75]),
        (100, vec![(1_000, 1), (1_000, 3), (10, 1)], vec![23, 67, 10]),
        (100, vec![(20, 1), (30, 9)], vec![45, 55]),
        (u64::MAX, vec![(u64::MAX, 7), (u64::MAX, 7)], vec![u64::MAX / 2, u64::MAX - u64::MAX / 2]),
    ] {
        assert_eq!(fair(pool, &wishes), expected, "{pool} {wishes:?}");
    }
}

/// A server of the runs below.
struct Server {
    id: NodeId,
    quota: Quota,
    wants: u64,
    weight: u32,
    /// Of counts.
    open: u64,
}

struct World {
    now: Moment,
    ledger: Ledger,
    servers: Vec<Server>,
    id: LimitId,
    limit: u64,
}

impl World {
    fn new(id: LimitId, limit: u64, servers: u64) -> World {
        let now = Moment(1_000_000);
        let server = |node| Server { id: NodeId(node), quota: Quota::new(now, id.what), wants: 0, weight: 1, open: 0 };
        World { now, ledger: Ledger::new(now), servers: (0..servers).map(server).collect(), id, limit }
    }

    fn in_force(&self, at: usize) -> u64 {
        self.servers[at].quota.in_force(self.now, self.limit, self.servers.len())
    }

    fn all(&self) -> u64 {
        (0..self.servers.len()).map(|at| self.in_force(at)).sum()
    }

    /// One asks; its question or the answer may be lost. Whether it was told something.
    fn ask(&mut self, at: usize, is_heard: bool, is_told: bool) -> bool {
        let is_count = self.id.what.is_count();
        if is_count {
            let wants = self.servers[at].wants;
            self.servers[at].quota.give_back(wants);
        }
        let held = if is_count { self.in_force(at).max(self.servers[at].open) } else { self.in_force(at) };
        let server = &self.servers[at];
        let need = Need { limit: self.limit, held, wants: server.wants, weight: server.weight };
        if is_heard {
            let granted = self.ledger.ask(self.now, server.id, self.servers.len(), self.id, need);
            if let Some(granted) = granted.filter(|_| is_told) {
                self.servers[at].quota.grant(self.now, granted);
                return true;
            }
        }
        false
    }

    fn rounds(&mut self, rounds: usize, who: &[usize]) {
        for _ in 0..rounds {
            self.now = self.now.after(500_000);
            for at in who {
                self.ask(*at, true, true);
            }
            self.ledger.tidy(self.now);
        }
    }
}

#[test]
fn a_limit_follows_whoever_wants_it() {
    let mut world = World::new(WRITTEN, 9_000_000, 3);
    assert_eq!(world.all(), 900_000, "floors, before anybody has answered");
    world.rounds(10, &[0, 1, 2]);
    assert_eq!([world.in_force(0), world.in_force(1), world.in_force(2)], [3_000_000; 3]);
    // All of it but floors, once the others have said that they heard of it.
    world.servers[1].wants = u64::MAX;
    world.rounds(3, &[0, 1, 2]);
    assert_eq!([world.in_force(0), world.in_force(1), world.in_force(2)], [300_000, 8_400_000, 300_000]);
    // By how many wait, and to whom it is enough what it wants.
    (world.servers[0].wants, world.servers[0].weight) = (u64::MAX, 3);
    world.servers[2].wants = 1_300_000;
    world.rounds(4, &[0, 1, 2]);
    assert_eq!([world.in_force(0), world.in_force(1), world.in_force(2)], [300_000 + 5_325_000, 300_000 + 1_775_000, 1_300_000]);
    // Of one that is not heard any more, the rest is the others' after its lease; it goes on with no more than an even part.
    world.rounds(9, &[1, 2]);
    assert_eq!(world.in_force(1) + world.in_force(2), 9_000_000 - 300_000);
    assert_eq!(world.in_force(0), 3_000_000);
    // Nobody is heard: even parts.
    world.rounds(13, &[]);
    assert_eq!([world.in_force(0), world.in_force(1), world.in_force(2)], [3_000_000; 3]);
}

#[test]
fn small_limits_reach_everybody_and_one_alone_needs_nobody() {
    let world = World::new(WRITTEN, 1, 3);
    assert_eq!(world.in_force(0), 1, "a rate of nothing would be none");
    let world = World::new(WRITTEN, 5_000, 1);
    assert_eq!(world.in_force(0), 5_000);
    let mut world = World::new(SESSIONS, 4, 3);
    assert_eq!(world.in_force(0), 0, "others may have them all");
    world.now = world.now.after(LEASE_US);
    assert_eq!(world.in_force(0), 1, "nobody has answered");
    world.rounds(7, &[0, 1, 2]);
    assert_eq!(world.all(), 0, "none wants any");
    for (at, wants, granted) in [(0, 3, 3), (1, 2, 1), (2, 1, 0), (0, 2, 2), (2, 1, 1)] {
        world.servers[at].wants = wants;
        world.servers[at].open = wants.min(world.servers[at].open);
        world.ask(at, true, true);
        assert_eq!(world.in_force(at), granted, "server {at} wants {wants}");
        world.servers[at].open = granted;
    }
    // Fewer are allowed: whoever is in stays, and none comes.
    world.limit = 1;
    world.rounds(2, &[0, 1, 2]);
    assert_eq!(world.all(), 0);
}

/// Whatever is lost, whoever wants what: while the ledger is heard by all within their leases, together they never use more than
/// the limit; a ledger that began anew grants no more; and where some are cut off, only their even parts come on top.
#[test]
fn together_they_never_use_more_than_the_limit() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let id = if seed % 4 == 3 { SESSIONS } else { WRITTEN };
        let servers = 1 + dice.below(6);
        // A count has at least one for each, so that even parts are none too many.
        let limit = [servers, 100, 12_345, 9_000_000][dice.below(4) as usize].max(10 * servers);
        let mut world = World::new(id, limit, servers);
        let mut silent: Vec<Moment> = vec![world.now; servers as usize];
        for step in 0..600 {
            world.now = world.now.after(1 + dice.below(200_000));
            if dice.below(150) == 0 {
                world.ledger = Ledger::new(world.now);
            }
            let at = dice.below(servers) as usize;
            if dice.below(6) == 0 {
                world.servers[at].wants = [0, dice.below(limit), limit, u64::MAX][dice.below(4) as usize];
                world.servers[at].weight = dice.below(20) as u32;
            }
            let cut = dice.below(40) == 0;
            let (is_heard, is_told) = (!cut && dice.below(10) > 0, dice.below(10) > 0);
            if world.ask(at, is_heard, is_told) {
                silent[at] = world.now;
            }
            // Whoever has no lease has an even part at most.
            let cut_off = silent.iter().filter(|last| world.now.since(**last) >= LEASE_US).count() as u64;
            let even = id.what.even(limit, servers);
            let all = world.all();
            assert!(all <= limit + cut_off * even, "seed {seed}, step {step}: {all} of {limit}, {cut_off} cut off");
        }
        // Once all are heard, all of it is in use again.
        for server in &mut world.servers {
            server.wants = limit;
        }
        let everybody: Vec<usize> = (0..servers as usize).collect();
        world.rounds(16, &everybody);
        let all = world.all();
        assert!(all <= limit && all + servers * 2 >= limit, "seed {seed}: {all} of {limit}");
    }
}
