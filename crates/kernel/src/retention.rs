//! Retention: samples older than the setting go, by whole file groups.
//!
//! A deletion of all tags up to the end of a period is logged like any other, so replicas, snapshot
//! values and buffers agree on it; files that lie wholly below it are then dropped unread, mixed ones
//! lose their old rows when they are merged. The bound moves by whole periods.
//! In a led slice whoever leads it has such a deletion logged, by its own clock and setting (`LedSlice::too_old`); a replica
//! that does not lead decides nothing, and drops what the record says.
//! Where the setting is only told (`retention_told_only`), somebody else has such deletions made, and nothing is looked for here.
//! Promises: nothing younger than the setting goes; a store that holds nothing old logs nothing.

use crate::commit::Body;
use crate::core::Core;
use crate::tombstones::Grave;
use crate::{Deletion, LedSlice, TagSelection};
use series::ViewFile;
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
        let drops = self.settings.retention.is_some() && !self.settings.retention_told_only;
        if !drops || self.stopping() || self.jobs.retention_timer.swap(true, Ordering::AcqRel) {
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

impl LedSlice {
    /// The deletion of what is too old by this node's setting and clock, for whoever leads the slice to have it logged, and
    /// the slice flushed then. None where nothing is, but for what such a deletion hides that is logged already.
    #[must_use]
    pub fn too_old(&self) -> Option<Deletion> {
        let last = self.core.retention_bound()?;
        let range = TimeRange { first: Timestamp::MIN, last };
        let reaches = |deletion: &Deletion| match deletion {
            Deletion::Range { tags: TagSelection::All, range: of } => of.covers(&range),
            Deletion::Range { .. } | Deletion::Points(_) => false,
        };
        let is_logged = self
            .slice
            .with_led(|led| led.unpublished().any(|body| matches!(body, Body::Deletion { deletion, .. } if reaches(deletion))));
        let is_held = {
            let view = self.slice.view();
            let in_buffer = [false, true].into_iter().filter_map(|texts| view.buffer().range(texts));
            let state = self.slice.state.lock();
            // Files that a deletion of before has yet to be merged out of do not ask for another one.
            let hides = |grave: &Grave, file: &ViewFile| reaches(grave.tombstone.deletion()) && grave.concerns(&file.meta);
            let visible = |file: &&Arc<ViewFile>| file.meta.rows > 0 && !state.graves.iter().any(|grave| hides(grave, file));
            let in_files = state.files.files().iter().filter(visible).map(|file| file.meta.range);
            in_buffer.chain(in_files).any(|held| held.overlaps(&range))
        };
        (is_held && !is_logged).then_some(Deletion::Range { tags: TagSelection::All, range })
    }
}
