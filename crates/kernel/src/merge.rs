//! Merging: files become fewer, larger, and free of what was overwritten or deleted.
//!
//! One merge is one manifest edit: the new files come, the old ones go, deletions that no file needs
//! any more are forgotten. Whole files that a deletion buries (retention) go without being read.
//! Crash reasoning: as a flush; the old files are removed only after the manifest that does not name
//! them is durable, and readers who hold them open keep reading.
//! Promises: readers see the same rows before and after. A shutdown ends a merge halfway. A failure leaves everything as it was: a
//! full disk is tried again after the next flush, a slice with any other failure merges no more until the
//! store is opened again.

use crate::Error;
use crate::core::Core;
use crate::slice::Slice;
use crate::tombstones;
use parking_lot::Mutex;
use series::{MergeGoal, MergeOptions, MergeWork, ViewFile};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use storage::{FileMeta, FileNumber, Manifest, SliceDirectory};
use world::{Lane, Ticket};

/// So many deletions are worth rewriting the files that still hold what they hide at once; fewer wait for
/// `Settings::deletion_age_max`.
const GRAVES_MIN: usize = 8;
/// How soon deletions are looked at again at the earliest. One whose merge failed is tried again after half of what it waited.
const GRAVES_LOOK_US_MIN: u64 = 1_000_000;

/// Why a slice merges no more, if so, and whether a merge waits.
#[derive(Default)]
pub(crate) struct Merging {
    pub(crate) broken: Mutex<Option<Error>>,
    pub(crate) queued: AtomicBool,
}

/// What is to be done with some files.
enum Work {
    /// They go unread: a deletion hides all that they hold.
    Bury(Vec<FileNumber>),
    /// They are merged.
    Merge(MergeWork),
}

impl Core {
    /// After a flush or a merge: begins the next merge where one is worth it.
    pub(crate) fn consider_merge(self: &Arc<Core>, slice: &Arc<Slice>) {
        if self.stopping()
            || slice.merging.queued.load(Ordering::Acquire)
            || self.next_merge(slice, MergeGoal::Background).is_none()
        {
            return;
        }
        if slice.merging.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let job = |core: Arc<Core>, slice: Arc<Slice>| {
            slice.merging.queued.store(false, Ordering::Release);
            let merged = core.merge_once(&slice, MergeGoal::Background);
            core.finished(&slice);
            if merged == Ok(true) {
                core.consider_merge(&slice);
            }
        };
        self.enqueue(slice, Lane::Merge, Box::new(job));
    }

    fn deletion_age_us_max(&self) -> u64 {
        u64::try_from(self.settings.deletion_age_max.as_micros()).unwrap_or(u64::MAX)
    }

    /// Looks again when the next deletion has waited for as long as it may.
    pub(crate) fn watch_graves(self: &Arc<Core>) {
        let oldest = |slice: &Arc<Slice>| {
            let whole = slice.merging.broken.lock().is_none();
            slice.state.lock().graves.iter().filter(|_| whole).map(|grave| grave.since_us).min()
        };
        let Some(oldest) = self.ground().slices.iter().filter_map(oldest).min() else { return };
        if self.stopping() || self.jobs.grave_timer.swap(true, Ordering::AcqRel) {
            return;
        }
        let waited = self.world.clock.monotonic_us().saturating_sub(oldest);
        let limit = self.deletion_age_us_max();
        let left = if waited < limit { limit - waited } else { limit / 2 }.max(GRAVES_LOOK_US_MIN);
        let core = Arc::downgrade(self);
        let look = Box::new(move || {
            let Some(core) = core.upgrade() else { return };
            core.jobs.grave_timer.store(false, Ordering::Release);
            core.ground().slices.iter().for_each(|slice| core.consider_merge(slice));
            core.watch_graves();
        });
        self.world.runner.submit_after(Duration::from_micros(left), Lane::Merge, look);
    }

    /// Merges all slices until nothing is left to be merged.
    pub(crate) fn merge_all(self: &Arc<Core>) -> Ticket<Result<(), Error>> {
        self.on_all_slices(Lane::Merge, |core, slice, done| {
            let outcome = loop {
                match core.merge_once(&slice, MergeGoal::Everything) {
                    Ok(true) if core.stopping() => break Err(Error::Closed),
                    Ok(true) => {}
                    Ok(false) => break Ok(()),
                    Err(fault) => break Err(fault),
                }
            };
            core.finished(&slice);
            done.give(outcome);
        })
    }

    /// What is to be merged next, if anything.
    fn next_merge(&self, slice: &Slice, goal: MergeGoal) -> Option<Work> {
        if slice.merging.broken.lock().is_some() {
            return None;
        }
        let state = slice.state.lock();
        let (files, graves) = (Arc::clone(&state.files), state.graves.clone());
        drop(state);
        let buried = |file: &ViewFile| graves.iter().any(|grave| grave.buries(&file.meta));
        let gone: Vec<FileNumber> = files.files().iter().filter(|file| buried(file)).map(|file| file.meta.number).collect();
        if !gone.is_empty() {
            return Some(Work::Bury(gone));
        }
        // A lone deletion is not worth the rewriting of a large file at once; but it does not wait for ever.
        let at_once = goal == MergeGoal::Everything || graves.len() >= GRAVES_MIN;
        let (now, limit) = (self.world.clock.monotonic_us(), self.deletion_age_us_max());
        let due: Vec<_> = graves.iter().filter(|grave| at_once || now.saturating_sub(grave.since_us) >= limit).collect();
        let concerned = |file: &&Arc<ViewFile>| due.iter().any(|grave| grave.concerns(&file.meta));
        let deleted_from: BTreeSet<FileNumber> = files.files().iter().filter(concerned).map(|file| file.meta.number).collect();
        let metas: Vec<FileMeta> = files.files().iter().map(|file| file.meta.clone()).collect();
        let options = MergeOptions::default();
        series::next_merge(&metas, &deleted_from, &options, goal).map(Work::Merge)
    }

    /// As the slice's one job: one merge; false where there was nothing to do.
    fn merge_once(self: &Arc<Core>, slice: &Slice, goal: MergeGoal) -> Result<bool, Error> {
        if let Some(fault) = slice.merging.broken.lock().clone() {
            return Err(fault);
        }
        let Some(work) = self.next_merge(slice, goal) else { return Ok(false) };
        let begun_us = self.world.clock.monotonic_us();
        match self.merge_files(slice, &work) {
            Ok(()) => {
                let took_us = self.world.clock.monotonic_us().saturating_sub(begun_us);
                self.counters.merge_times.note_us(took_us);
                if let Some(mut span) = traces::past("merge", took_us) {
                    span.set("meridian.slice", i64::from(slice.id.0));
                }
                Ok(true)
            }
            Err(fault) => {
                if !matches!(fault, Error::DiskFull(_) | Error::Closed) {
                    *slice.merging.broken.lock() = Some(fault.clone());
                }
                Err(fault)
            }
        }
    }

    fn merge_files(&self, slice: &Slice, work: &Work) -> Result<(), Error> {
        let directory = self.directory(slice)?;
        let work = match work {
            Work::Bury(gone) => return self.publish_merge(slice, &directory, gone, &[]),
            Work::Merge(work) => work,
        };
        let (inputs, graves) = {
            let state = slice.state.lock();
            let find = |number: &FileNumber| state.files.files().iter().find(|file| file.meta.number == *number).cloned();
            (work.files.iter().filter_map(find).collect::<Vec<_>>(), state.graves.clone())
        };
        assert_eq!(inputs.len(), work.files.len(), "slice {}: a merge names files that are there", slice.id);
        let tombstones: Vec<_> = graves.iter().map(|grave| grave.tombstone.clone()).collect();
        let files = series::merge(&inputs, &tombstones, work, &self.flush_plan(slice, &directory), &|| self.stopping())?;
        self.publish_merge(slice, &directory, &work.files, &files)
    }

    fn publish_merge(
        &self,
        slice: &Slice,
        directory: &SliceDirectory,
        gone: &[FileNumber],
        files: &[Arc<ViewFile>],
    ) -> Result<(), Error> {
        let mut manifest = Manifest::clone(&directory.manifest());
        manifest.files.retain(|file| !gone.contains(&file.number));
        manifest.files.extend(files.iter().map(|file| file.meta.clone()));
        manifest.files.sort_unstable_by_key(|file| file.number);
        let (_, unknown) = tombstones::load(&manifest, 0).map_err(Error::Damaged)?;
        // Only the slice's one job changes them, together with the manifest.
        let graves = slice.state.lock().graves.clone();
        let graves = tombstones::store(&mut manifest, &graves, &unknown);
        if let Err(fault) = directory.publish(manifest) {
            self.remove_refused(directory, files, &fault);
            return Err(fault.into());
        }
        self.counters.merges.fetch_add(1, Ordering::Relaxed);
        let bytes: u64 = files.iter().map(|file| file.meta.bytes).sum();
        self.counters.merged_bytes.fetch_add(bytes, Ordering::Relaxed);
        let _all = self.visibility.write();
        let mut state = slice.state.lock();
        let left = state.files.files().iter().filter(|file| !gone.contains(&file.meta.number)).cloned();
        let all = left.chain(files.iter().cloned()).collect();
        state.put_files(all, graves);
        slice.show(&mut state);
        Ok(())
    }
}
