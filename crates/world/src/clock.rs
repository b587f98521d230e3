//! Clocks. The wall clock may jump, the monotonic one only grows; neither is the truth.

/// The two clocks of a machine.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01 UTC, as this machine believes. May jump either way.
    fn wall_us(&self) -> i64;

    /// Microseconds since some fixed moment of this process. Never goes back.
    fn monotonic_us(&self) -> u64;
}
