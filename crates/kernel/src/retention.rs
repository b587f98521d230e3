//! Retention: samples older than the setting go, by whole file groups.
//!
//! A deletion of all tags up to the end of a period is logged like any other, so replicas, snapshot
//! values and buffers agree on it; files that lie wholly below it are then dropped unread, mixed ones
//! lose their old rows when they are merged. The bound moves by whole periods.
//! In a led slice whoever leads it has such deletions logged; here it is left alone.
//! Promises: nothing younger than the setting goes; a store that holds nothing old logs nothing.

use crate::core::Core;
use crate::{Deletion, TagSelection};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::{Period, TimeRange, Timestamp};
use world::Lane;

/// How often retention is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Core {
    /// Looks at retention now and from time to time, where it is set.
    pub(crate) fn watch_retention(self: &Arc<Core>) {
        if self.settings.retention.is_none() || self.stopping() || self.jobs.retention_timer.swap(true, Ordering::AcqRel) {
            return;
        }
        let core = Arc::downgrade(self);
        let look = Box::new(move || {
            let Some(core) = core.upgrade() else { return };
            core.jobs.retention_timer.store(false, Ordering::Release);
            core.drop_old();
            core.watch_retention();
        });
        self.world.runner.submit_after(LOOK_EVERY, Lane::Merge, look);
    }

    /// The last moment that is to go: the end of the last period that lies wholly beyond the setting.
    fn retention_bound(&self) -> Option<Timestamp> {
        let kept = i64::try_from(self.settings.retention?.as_micros()).unwrap_or(i64::MAX);
        let oldest_kept = Timestamp(self.world.clock.wall_us().saturating_sub(kept));
        let period_us = self.ground().period_us;
        let first = Period::of(oldest_kept, period_us).range(period_us).first;
        first.0.checked_sub(1).map(Timestamp)
    }

    /// Logs the deletion of what is too old, where something is.
    fn drop_old(self: &Arc<Core>) {
        let Some(bound) = self.retention_bound() else { return };
        let range = TimeRange { first: Timestamp::MIN, last: bound };
        let held = self.snapshot().time_ranges(&TagSelection::All, range);
        // Files that a deletion of before has yet to be merged out of do not ask for another one.
        if held.is_empty() || self.jobs.retention_bound.load(Ordering::Acquire) == bound.0 {
            return;
        }
        let core = Arc::downgrade(self);
        self.delete_own(Deletion::Range { tags: TagSelection::All, range }).on_done(move |outcome| {
            let (Some(core), Ok(Ok(_))) = (core.upgrade(), outcome) else { return };
            core.jobs.retention_bound.store(bound.0, Ordering::Release);
            // In files, it lets whole ones go.
            drop(core.flush_all());
        });
    }
}
