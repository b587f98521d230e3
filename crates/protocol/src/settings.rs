//! The numbers of the protocols, with their defaults. The shells declare them as configuration.
//!
//! Promises: `check` refuses what the protocols' safety can't stand. It may not know where numbers come from.

use crate::{Mutation, Planted};
use thiserror::Error;

/// Numbers of one slice's replication. All times in microseconds of a monotonic clock.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a primary serves on the promises that it asked for: from the moment of asking.
    pub lease_us: u64,
    /// How long a member keeps its promise: from the moment it was asked, or from its own start.
    /// Longer than the lease by more than clocks can drift apart meanwhile.
    pub promise_us: u64,
    /// How often a primary speaks to each replica.
    pub beat_us: u64,
    /// How long a member may be silent before it is swapped out.
    pub silence_us: u64,
    /// How long a new primary waits for the tails of replicas that do not answer.
    pub inquiry_us: u64,
    /// How much later than the member before it in the list a member seeks to succeed.
    pub stagger_us: u64,
    /// How often a swap that was not answered is sent again.
    pub meta_retry_us: u64,
    /// How often a replica asks for its entry unasked: a watch only hints.
    pub meta_poll_us: u64,
    /// The most that is sent to a replica beyond what it has in its log.
    pub window_records_max: u64,
    /// So many bytes of it at most, and one message more: records may be large, and wait in memory until they are acknowledged.
    pub window_bytes_max: u64,
    /// The most records of one message.
    pub message_records_max: usize,
    /// The most bytes of records of one message.
    pub message_bytes_max: u64,
    /// So many records are published in one step at least, where there are more: what a long log brings at once is shown bit
    /// by bit, so that messages and answers go on meanwhile.
    pub publish_step_records: u64,
    /// How long a replica that follows waits between such steps: whoever leads has clients waiting on the same machine.
    pub publish_pace_us: u64,
    /// How far behind a replica may be when it begins to count: from then on writes wait for it too.
    pub join_records_max: u64,
    /// The most writes that are logged and not stable; more are refused as busy.
    pub unstable_records_max: u64,
    /// The most writes and reads that wait for their answers; more are refused as busy.
    pub waiting_max: usize,
    /// The most producers that are remembered.
    pub producers_max: usize,
    /// How long a planned switch-over may hold writes back before it is given up.
    pub hand_over_us: u64,
    /// The most tag changes of one batch.
    pub batch_changes_max: usize,
    /// The most batches of tag changes that are chained and not committed; more changes wait for the next one.
    pub batches_under_way_max: u64,
    /// The most applied batches of tag changes that are kept in memory for schedulers that missed some.
    pub batches_kept_max: usize,
    /// The most bytes of such batches.
    pub batches_kept_bytes_max: u64,
    /// The bug that is planted, in tests.
    pub planted: Planted,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            lease_us: 300_000,
            promise_us: 400_000,
            beat_us: 75_000,
            silence_us: 250_000,
            inquiry_us: 100_000,
            stagger_us: 50_000,
            meta_retry_us: 200_000,
            meta_poll_us: 2_000_000,
            window_records_max: 1_024,
            window_bytes_max: 8 << 20,
            message_records_max: 256,
            message_bytes_max: 4 << 20,
            publish_step_records: 256,
            publish_pace_us: 5_000,
            join_records_max: 256,
            unstable_records_max: 65_536,
            waiting_max: 65_536,
            producers_max: 100_000,
            hand_over_us: 2_000_000,
            batch_changes_max: 65_536,
            batches_under_way_max: 4,
            batches_kept_max: 256,
            batches_kept_bytes_max: 64 << 20,
            planted: Planted::default(),
        }
    }
}

/// Numbers that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{first} is {first_us} us, but must be {relation} {second}, which is {second_us} us")]
pub struct SettingsError {
    /// The setting that is wrong.
    pub first: &'static str,
    /// Its value.
    pub first_us: u64,
    /// How it must stand to the other.
    pub relation: &'static str,
    /// The other setting.
    pub second: &'static str,
    /// Its value.
    pub second_us: u64,
}

impl Settings {
    /// Whether the numbers fit together.
    ///
    /// # Errors
    /// The first pair that does not.
    pub fn check(&self) -> Result<(), SettingsError> {
        let below = |first, first_us: u64, second, second_us: u64, least: u64| {
            let relation = if least == first_us { "below" } else { "well below" };
            if least < second_us { Ok(()) } else { Err(SettingsError { first, first_us, relation, second, second_us }) }
        };
        // Clocks may drift apart by a fifth before a lease outlives a promise.
        below("lease", self.lease_us, "promise", self.promise_us, self.lease_us.saturating_mul(6) / 5)?;
        below("beat", self.beat_us, "lease", self.lease_us, self.beat_us.saturating_mul(2))?;
        below("beat", self.beat_us, "silence", self.silence_us, self.beat_us)?;
        Ok(())
    }

    /// Whether a bug is planted.
    pub(crate) fn has(&self, mutation: Mutation) -> bool {
        self.planted.has(mutation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_must_end_before_the_promise_does() {
        assert_eq!(Settings::default().check(), Ok(()));
        let refused = Settings { promise_us: 310_000, ..Settings::default() }.check().unwrap_err();
        assert_eq!((refused.first, refused.second), ("lease", "promise"));
        assert!(Settings { beat_us: 260_000, ..Settings::default() }.check().is_err());
    }
}
