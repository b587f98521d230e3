//! The system's clocks and its random numbers.

use crate::{Clock, Random};
use std::time::{SystemTime, UNIX_EPOCH};

/// The system's clocks; monotonic time counts from `start`, also while the machine sleeps: who woke up must not take an
/// old lease for a good one.
#[derive(Debug)]
pub struct RealClock {
    started_us: u64,
}

/// Microseconds since the machine was started, sleep included.
#[cfg(target_os = "linux")]
fn since_boot_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours, which the call fills in.
    let read = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    assert_eq!(read, 0, "Linux has had this clock since 2.6.39");
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// Microseconds since this was first asked: other systems' clocks that count on in sleep differ by system.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "this is the substitute")]
fn since_boot_us() -> u64 {
    static FIRST: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    FIRST.elapsed().as_micros() as u64
}

impl RealClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn start() -> RealClock {
        RealClock { started_us: since_boot_us() }
    }
}

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "this is the substitute")]
    fn wall_us(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        }
    }

    fn monotonic_us(&self) -> u64 {
        // 2^64 microseconds are 584,942 years.
        since_boot_us() - self.started_us
    }
}

/// The system's random numbers (`getrandom`, a system call each: for identities, not for loops).
#[derive(Debug)]
pub struct RealRandom;

impl Random for RealRandom {
    fn next_u64(&self) -> u64 {
        let mut bytes = [0_u8; 8];
        loop {
            // SAFETY: `bytes` is 8 writable bytes, which is the length handed over.
            let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
            if got == 8 {
                return u64::from_ne_bytes(bytes);
            }
            let cause = std::io::Error::last_os_error();
            // Requests of up to 256 bytes are answered whole; a signal may come before the pool is filled at boot.
            assert!(cause.kind() == std::io::ErrorKind::Interrupted, "the system has no random numbers: {cause}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_and_numbers_differ() {
        let clock = RealClock::start();
        let before = clock.monotonic_us();
        assert!(clock.monotonic_us() >= before);
        assert!(clock.wall_us() > 1_600_000_000_000_000);
        assert_ne!(RealRandom.next_u64(), RealRandom.next_u64());
        assert!((0..100).all(|_| RealRandom.below(3) < 3));
    }
}
