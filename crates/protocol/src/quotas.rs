//! A limit that many servers share: how much of it each may use, and for how long.
//!
//! ```text
//!   server: Quota of each limit it meets ── Need (twice a second) ──> manager that tends: Ledger
//!                 ▲ granted, for LEASE_US from when it was asked ───────────┘
//! ```
//! A limit is of one of two measures. A rate is shared out whole: every server has a small floor, so that whoever begins need not ask
//! first; of the rest each gets what it wants, and where that is too much, by how many wait there; what nobody wants is shared out
//! evenly. A count (sessions) is given to whoever asks first, one by one.
//!
//! Promises: what a ledger has granted and not taken back, floors included, is never more than the limit (of counts: nor than what
//! was in use when it was lowered); it takes back by the answers of whoever holds it, or once their lease is over. A server whose lease is over
//! goes on with an even part, at first with no more than it had. So beyond a limit are only even parts of servers that the
//! ledger does not hear and that serve all the same. A ledger that is new grants nothing until leases of an earlier one
//! are over. May not know who asks, whose limits they are, or what time it is.

use crate::Moment;
use std::collections::BTreeMap;
use types::NodeId;

/// How long a grant lasts, from when it was asked for.
pub const LEASE_US: u64 = 3_000_000;
/// A floor is this part of an even share.
const FLOOR_PART: u64 = 10;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limited {
    /// Rows a second that are written, in thousandths.
    Written,
    /// Rows a second that are sent, in thousandths.
    Read,
    /// Sessions: a count.
    Sessions,
}

impl Limited {
    fn is_count(self) -> bool {
        self == Limited::Sessions
    }

    /// What a server may use at any time. Of a count: nothing.
    fn floor(self, limit: u64, servers: u64) -> u64 {
        match servers {
            _ if self.is_count() => 0,
            0 | 1 => limit,
            _ => (limit / servers / FLOOR_PART).max(u64::from(limit > 0)),
        }
    }

    /// What a server uses that nobody tells what it may use. Of a count at least one, else nobody would come in anywhere.
    fn even(self, limit: u64, servers: u64) -> u64 {
        (limit / servers.max(1)).max(u64::from(limit > 0))
    }
}

/// A limit of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitId {
    /// Whose.
    pub role: u32,
    /// Of what.
    pub what: Limited,
}

/// What a server says of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// How much all servers may use together, as it knows it.
    pub limit: u64,
    /// What it may use now.
    pub held: u64,
    /// What it would use.
    pub wants: u64,
    /// How many wait there.
    pub weight: u32,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    need: Need,
    /// The most that it may use until it is heard again, or its lease is over.
    most: u64,
    until: Moment,
}

/// What is granted, at the manager that tends; at others, what they heard that servers hold.
#[derive(Debug)]
pub struct Ledger {
    since: Moment,
    claims: BTreeMap<LimitId, BTreeMap<NodeId, Claim>>,
}

impl Ledger {
    /// A new one, which knows of nothing.
    #[must_use]
    pub fn new(now: Moment) -> Ledger {
        Ledger { since: now, claims: BTreeMap::new() }
    }

    /// A server says what it holds, and asks nothing of this ledger.
    pub fn hear(&mut self, now: Moment, server: NodeId, id: LimitId, need: Need) {
        let claims = self.claims.entry(id).or_default();
        claims.insert(server, Claim { need, most: need.held, until: now.after(LEASE_US) });
    }

    /// A server asks; the answer is what it may use for a lease from when it asked. `servers`: how many there are that may be alive.
    /// None while it may not know yet what an earlier ledger has granted.
    pub fn ask(&mut self, now: Moment, server: NodeId, servers: usize, id: LimitId, need: Need) -> Option<u64> {
        self.hear(now, server, id, need);
        if now.since(self.since) < LEASE_US {
            return None;
        }
        let claims = self.claims.entry(id).or_default();
        claims.retain(|_, claim| claim.until > now);
        let servers = servers.max(claims.len()) as u64;
        let floor = id.what.floor(need.limit, servers);
        let others: u64 =
            claims.iter().filter(|(of, _)| **of != server).map(|(_, claim)| claim.most).fold(0, u64::saturating_add);
        let unheard = floor.saturating_mul(servers - claims.len() as u64);
        let room = need.limit.saturating_sub(others).saturating_sub(unheard);
        let granted = if id.what.is_count() {
            need.wants.min(room)
        } else {
            let pool = need.limit.saturating_sub(floor.saturating_mul(servers));
            let all: Vec<(u64, u64)> = claims.values().map(|claim| claim.wish(floor)).collect();
            let place = claims.keys().position(|of| *of == server);
            let share = place.and_then(|place| fair(pool, &all).get(place).copied()).unwrap_or(0);
            floor.saturating_add(share).min(room).max(floor)
        };
        if let Some(claim) = claims.get_mut(&server) {
            claim.most = claim.most.max(granted);
        }
        Some(granted)
    }

    /// Forgets what nobody holds any longer.
    pub fn tidy(&mut self, now: Moment) {
        self.claims.retain(|_, claims| {
            claims.retain(|_, claim| claim.until > now);
            !claims.is_empty()
        });
    }
}

impl Claim {
    /// What it wants beyond its floor, and what it weighs.
    fn wish(&self, floor: u64) -> (u64, u64) {
        (self.need.wants.saturating_sub(floor), u64::from(self.need.weight.max(1)))
    }
}

/// Shares out a whole: to each what it wants, where that is too much by weight, and evenly what nobody wants.
fn fair(pool: u64, wishes: &[(u64, u64)]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    // Whoever wants least for its weight is served first: what it leaves is the others'.
    order.sort_by(|one, other| {
        let ((wants, weight), (others, heavier)) = (wishes[*one], wishes[*other]);
        (u128::from(wants) * u128::from(heavier)).cmp(&(u128::from(others) * u128::from(weight)))
    });
    let (mut left, mut weights) = (pool, wishes.iter().map(|(_, weight)| u128::from(*weight)).sum::<u128>());
    let mut shares = vec![0; wishes.len()];
    for at in order {
        let (wants, weight) = wishes[at];
        let part = u128::from(left) * u128::from(weight) / weights.max(1);
        shares[at] = wants.min(u64::try_from(part).unwrap_or(u64::MAX));
        left -= shares[at];
        weights -= u128::from(weight);
    }
    let more = left / (wishes.len() as u64).max(1);
    shares.iter().map(|share| share + more).collect()
}

/// What a server may use of a limit.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    what: Limited,
    granted: u64,
    until: Moment,
}

impl Quota {
    /// One that nobody has granted anything yet: others may hold all but the floor. Of a count, all of it: a lease goes by before an even
    /// part is used unasked.
    #[must_use]
    pub fn new(now: Moment, what: Limited) -> Quota {
        let until = if what.is_count() { now.after(LEASE_US) } else { now };
        Quota { what, granted: 0, until }
    }

    /// A ledger has answered what was asked at `sent`.
    pub fn grant(&mut self, sent: Moment, granted: u64) {
        *self = Quota { granted, until: sent.after(LEASE_US), ..*self };
    }

    /// Gives back what is above: it is not used again until it is granted.
    pub fn give_back(&mut self, above: u64) {
        self.granted = self.granted.min(above);
    }

    /// What it may use. `servers`: how many there are that may be alive, as far as is known.
    #[must_use]
    pub fn in_force(&self, now: Moment, limit: u64, servers: usize) -> u64 {
        let servers = servers.max(1) as u64;
        let (floor, even) = (self.what.floor(limit, servers), self.what.even(limit, servers));
        let granted = if now < self.until {
            self.granted
        } else if now < self.until.after(LEASE_US) && !self.what.is_count() {
            // Others that are not told anything either may hold theirs for as long.
            self.granted.min(even)
        } else {
            even
        };
        granted.min(limit).max(floor)
    }
}

#[cfg(test)]
mod tests;
