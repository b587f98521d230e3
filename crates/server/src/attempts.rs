//! Failed logins are slowed down, whichever door they come by: passwords can't be tried out at the rate of the network.
//!
//! ```text
//!   a user from an address   5 failures are free, then each attempt waits for its turn: 250 ms, 500 ms, .. 8 s;
//!                            a login that succeeds forgives
//!   an address altogether    50 failures are free, then the same; nothing but time forgives
//! ```
//! Promises: attempts of one turn wait one behind the other, so that many connections at once guess no faster than one; whoever
//! would wait longer than `WAIT_US_MAX` is refused at once; nobody is kept out by what others do from other addresses; failures count
//! half after each minute without one. Memory is bounded: beyond `KEPT_MAX` entries those that were quiet for longest go.
//! An IPv6 address stands for its /64: whoever has one has them all.
//!
//! Shared state: one map under a mutex, touched twice a login.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use thiserror::Error;

const FREE_OF_USER: u32 = 5;
const FREE_OF_ADDRESS: u32 = 50;
const FIRST_PAUSE_US: u64 = 250_000;
const PAUSE_US_MAX: u64 = 8_000_000;
const WAIT_US_MAX: u64 = 30_000_000;
const HALVED_AFTER_US: u64 = 60_000_000;
const KEPT_MAX: usize = 20_000;
/// Names are as long as whoever guesses wants them to be.
const NAME_BYTES_MAX: usize = 64;

/// Who tries: an address, or a user from there.
type Key = (IpAddr, Option<Box<str>>);

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    /// When the last one was.
    at_us: u64,
    /// When the next attempt has its turn.
    free_us: u64,
}

impl Failures {
    fn now(&self, now_us: u64) -> u32 {
        let halvings = now_us.saturating_sub(self.at_us) / HALVED_AFTER_US;
        self.count.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0)
    }
}

/// Failed logins of late.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<Key, Failures>>);

/// An attempt would have to wait for too long.
#[derive(Debug, Error)]
#[error("too many failed logins from this address; try again in {} s", .0.as_secs())]
pub(crate) struct TooMany(Duration);

impl Attempts {
    /// Waits until a user from an address may try.
    pub(crate) async fn turn(&self, from: IpAddr, user: &str, now_us: u64) -> Result<(), TooMany> {
        let wait = self.begin(from, user, now_us)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// How long a user from an address has to wait before they may try.
    fn begin(&self, from: IpAddr, user: &str, now_us: u64) -> Result<Duration, TooMany> {
        let mut kept = self.0.lock();
        let mut starts_us = now_us;
        let mut turns = [(0, false); 2];
        for (turn, (key, free)) in turns.iter_mut().zip(keys(from, user)) {
            let Some(failures) = kept.get(&key) else { continue };
            let over = failures.now(now_us).saturating_sub(free - 1);
            if over > 0 {
                *turn = ((FIRST_PAUSE_US << (over - 1).min(16)).min(PAUSE_US_MAX), true);
                starts_us = starts_us.max(failures.free_us);
            }
        }
        let wait = Duration::from_micros(starts_us - now_us);
        if starts_us - now_us > WAIT_US_MAX {
            return Err(TooMany(wait));
        }
        for ((pause_us, slowed), (key, _)) in turns.into_iter().zip(keys(from, user)) {
            if slowed && let Some(failures) = kept.get_mut(&key) {
                failures.free_us = starts_us + pause_us;
            }
        }
        Ok(wait)
    }

    /// The password was right, or wrong.
    pub(crate) fn note(&self, right: bool, from: IpAddr, user: &str, now_us: u64) {
        if right { self.succeeded(from, user) } else { self.failed(from, user, now_us) }
    }

    fn failed(&self, from: IpAddr, user: &str, now_us: u64) {
        let mut kept = self.0.lock();
        for (key, _) in keys(from, user) {
            let failures = kept.entry(key).or_default();
            failures.count = failures.now(now_us).saturating_add(1);
            failures.at_us = now_us;
        }
        if kept.len() > KEPT_MAX {
            let mut times: Vec<u64> = kept.values().map(|failures| failures.at_us).collect();
            let middle = times.len() / 2;
            let (_, middle, _) = times.select_nth_unstable(middle);
            let middle = *middle;
            kept.retain(|_, failures| failures.at_us > middle);
        }
    }

    fn succeeded(&self, from: IpAddr, user: &str) {
        let mut kept = self.0.lock();
        if !kept.is_empty() {
            let [(key, _), _] = keys(from, user);
            kept.remove(&key);
        }
    }
}

/// The user there, and the address; and how many failures are free.
fn keys(from: IpAddr, user: &str) -> [(Key, u32); 2] {
    let from = match from.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (!0 << 64))),
        address => address,
    };
    let end = user.floor_char_boundary(NAME_BYTES_MAX);
    [((from, Some(user[..end].into())), FREE_OF_USER), ((from, None), FREE_OF_ADDRESS)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn waits(attempts: &Attempts, from: IpAddr, user: &str, now_us: u64) -> Option<u64> {
        attempts.begin(from, user, now_us).ok().map(|wait| wait.as_millis() as u64)
    }

    #[test]
    fn a_user_who_fails_often_waits_for_longer_and_longer() {
        let (attempts, mut now_us, mut waited) = (Attempts::default(), 1, Vec::new());
        for _ in 0..14 {
            let wait = waits(&attempts, HERE, "a", now_us).unwrap();
            waited.push(wait);
            now_us += wait * 1_000;
            attempts.failed(HERE, "a", now_us);
        }
        assert_eq!(waited, [0, 0, 0, 0, 0, 0, 250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
        assert_eq!(waits(&attempts, HERE, "b", now_us), Some(0), "another user");
        assert_eq!(waits(&attempts, THERE, "a", now_us), Some(0), "from elsewhere");
        // Who comes at once waits behind each other, and not for ever.
        let waits_now: Vec<_> = (0..5).map(|_| waits(&attempts, HERE, "a", now_us)).collect();
        assert_eq!(waits_now, [Some(8_000), Some(16_000), Some(24_000), None, None]);
        // Minutes forgive, and so does a login that succeeds.
        assert_eq!(waits(&attempts, HERE, "a", now_us + 240_000_000), Some(0));
        attempts.succeeded(HERE, "a");
        assert_eq!(waits(&attempts, HERE, "a", now_us), Some(0));
    }

    #[test]
    fn who_tries_many_names_is_slowed_down_too() {
        let attempts = Attempts::default();
        for n in 0..60 {
            attempts.failed(HERE, &format!("user{n}"), 1);
        }
        assert_eq!(waits(&attempts, HERE, "fresh", 1), Some(0));
        assert_eq!(waits(&attempts, HERE, "other", 1), Some(8_000));
        attempts.succeeded(HERE, "other");
        assert_eq!(waits(&attempts, HERE, "other", 1), Some(16_000), "one known password forgives no guesses of others");
        assert_eq!(waits(&attempts, THERE, "other", 1), Some(0));
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let attempts = Attempts::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for n in 0..60 {
            attempts.failed(address(&format!("2001:db8::{n:x}")), &"name".repeat(n), 1);
        }
        attempts.begin(address("2001:db8::ffff"), "x", 1).ok();
        assert_eq!(waits(&attempts, address("2001:db8::1:2:3:4"), "x", 1), Some(8_000));
        assert_eq!(waits(&attempts, address("2001:db8:0:1::1"), "x", 1), Some(0));
        attempts.failed(address("::ffff:10.0.0.1"), "x", 1);
        assert!(attempts.0.lock().contains_key(&(HERE, None)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let attempts = Attempts::default();
        for n in 0..50_000_u32 {
            attempts.failed(IpAddr::V4(n.into()), "x", n.into());
        }
        let kept = attempts.0.lock();
        assert!(kept.len() <= KEPT_MAX + 2 && kept.contains_key(&(IpAddr::V4(49_999.into()), None)), "{}", kept.len());
    }
}
