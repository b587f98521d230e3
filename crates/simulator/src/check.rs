//! The checker: what was promised, held against what happened.
//!
//! It is told what the shells do (records logged, epochs begun, states published) and what clients are told.
//! What it checks, in the order:
//! - a read under `Primary` shows all that was acknowledged or read before it was asked (`sync`; under
//!   `async` all but what an epoch's change lost); rows, snapshot values and scans equal the model's;
//! - at the end: no acknowledged write is lost (`sync`); what is lost is within `max_lag` an epoch, a suffix
//!   (`async`), and lies in a log, set aside, or on a destroyed disk; nothing read vanished;
//! - one version is one record; versions shown by a replica never go back; equal versions of a group
//!   mean equal rows; one process runs an epoch;
//! - sessions see what they wrote and read; a batch is applied once;
//! - at the end every replica is a member and equals every other one;
//! - no sample is logged for a tag whose creation is not committed, none is shown under another name than it was written for.
//!
//! It may not know how any of it is done.

mod ending;
mod model;

use crate::data::{Key, Op, State};
use model::Tree;
use protocol::{Consistency, Mode, Record, ReplicaId};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use types::{Epoch, Origin, Period, SliceId, Version};

pub(crate) use ending::Ending;

/// A read's result, as its client gets it.
#[derive(Clone, Debug)]
pub(crate) struct ReadResult {
    pub(crate) at: Version,
    pub(crate) rows: Vec<(Key, Option<u64>)>,
    /// A tag whose snapshot value was not what a scan finds.
    pub(crate) stray_latest: Option<u8>,
}

/// What a read was asked with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) consistency: Consistency,
    /// What everybody could know of when the read was asked.
    pub(crate) floor: Known,
    /// The epoch of the replica that answers.
    pub(crate) epoch: Epoch,
    /// Whether the replica knew what it showed to be stable.
    pub(crate) stable: bool,
}

/// A write that was acknowledged or read, and the epoch of the primary that said so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) version: Version,
    pub(crate) by: Epoch,
}

/// What is known of a slice.
pub(crate) struct SliceCheck {
    tree: Tree,
    /// From which epoch on there was which mode.
    modes: BTreeMap<Epoch, Mode>,
    /// The newest write that was acknowledged or read under `Primary`.
    floor: Known,
    /// When the floor rose.
    floors: Vec<(u64, Known)>,
    /// Acknowledged writes, with the epoch of the primary that did it.
    acknowledged: BTreeMap<Version, Epoch>,
    /// What reads saw, and whether it may vanish.
    seen: BTreeMap<Version, bool>,
    runs: BTreeMap<Epoch, (ReplicaId, u64)>,
    digests: BTreeMap<(Period, Version), u64>,
    destroyed: BTreeSet<Version>,
    /// Forced: promises about losses are void.
    forced: bool,
}

/// Counts of rare things, so that a run can prove that they happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes acknowledged.
    pub writes: u64,
    /// Reads answered.
    pub reads: u64,
    /// Epochs begun after the first.
    pub successions: u64,
    /// Logs cut back.
    pub set_aside: u64,
    /// Recoveries by files.
    pub files_taken: u64,
    /// Acknowledged writes that `async` lost.
    pub lost: u64,
    /// Forced epochs.
    pub forced: u64,
    /// Planned switch-overs that were carried out.
    pub handed_over: u64,
    /// Modes changed.
    pub modes: u64,
    /// Events of the simulation.
    pub events: u64,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: &Counts) {
        self.writes += other.writes;
        self.reads += other.reads;
        self.successions += other.successions;
        self.set_aside += other.set_aside;
        self.files_taken += other.files_taken;
        self.lost += other.lost;
        self.forced += other.forced;
        self.handed_over += other.handed_over;
        self.modes += other.modes;
        self.events += other.events;
    }
}

/// The checker of a run.
pub(crate) struct Checker {
    slices: Vec<SliceCheck>,
    /// The first broken promise.
    pub(crate) complaint: Option<String>,
    pub(crate) counts: Counts,
    /// What was composed into a body, by its digest.
    composed: FxHashMap<u64, Vec<Op>>,
    /// For which name each value was written.
    pub(crate) names: FxHashMap<u64, u8>,
    /// Ordinals below this one were given to tags, by creations that are committed.
    pub(crate) ordinals_end: u64,
}

impl Checker {
    pub(crate) fn new(modes: impl Iterator<Item = Mode>) -> Checker {
        let slice = |mode| SliceCheck {
            tree: Tree::default(),
            modes: BTreeMap::from([(Epoch(0), mode)]),
            floor: Known::default(),
            floors: Vec::new(),
            acknowledged: BTreeMap::new(),
            seen: BTreeMap::new(),
            runs: BTreeMap::new(),
            digests: BTreeMap::new(),
            destroyed: BTreeSet::new(),
            forced: false,
        };
        Checker {
            slices: modes.map(slice).collect(),
            complaint: None,
            counts: Counts::default(),
            composed: FxHashMap::default(),
            names: FxHashMap::default(),
            ordinals_end: u64::MAX,
        }
    }

    fn slice(&mut self, slice: SliceId) -> &mut SliceCheck {
        &mut self.slices[slice.0 as usize]
    }

    pub(crate) fn complain(&mut self, text: String) {
        self.complaint.get_or_insert(text);
    }

    /// A store made a record's body of these changes: what it looks like is the store's matter.
    pub(crate) fn composed(&mut self, digest: u64, ops: &[Op]) {
        self.composed.entry(digest).or_insert_with(|| ops.to_vec());
    }

    pub(crate) fn logged(&mut self, slice: SliceId, record: &Record) {
        let ops = self.composed.get(&record.digest).map(Vec::as_slice).unwrap_or_default();
        let (slices, end) = (self.slices.len() as u64, self.ordinals_end);
        let ordinal = |key: Key| u64::from(key.tag) * slices + u64::from(slice.0);
        let early = ops.iter().find(|op| matches!(op, Op::Put(key, _) if ordinal(*key) >= end));
        if let Some(op) = early {
            let what = format!("slice {slice}: {op:?} is logged, but only ordinals below {end} were given to tags");
            return self.complain(what);
        }
        if let Err(what) = self.slices[slice.0 as usize].tree.note(record, ops) {
            self.complain(format!("slice {slice}: {what}"));
        }
    }

    pub(crate) fn began(&mut self, slice: SliceId, epoch: Epoch, who: ReplicaId, run: u64) {
        if epoch.0 > 1 {
            self.counts.successions += 1;
        }
        let before = self.slice(slice).runs.insert(epoch, (who, run));
        if let Some((other, _)) = before {
            self.complain(format!("slice {slice}: epoch {epoch} was begun by {other} and by {who}"));
        }
    }

    /// A replica shows another state to its readers.
    pub(crate) fn shows(&mut self, slice: SliceId, who: ReplicaId, before: Version, now: Version) {
        if now < before || now.sequence < before.sequence {
            self.complain(format!("slice {slice}: {who} showed {before} and then {now}"));
        }
    }

    /// A replica's groups, at some moment.
    pub(crate) fn groups(&mut self, slice: SliceId, who: ReplicaId, state: &State) {
        for (period, group) in &state.groups {
            let digest = group.digest();
            let known = *self.slice(slice).digests.entry((*period, group.version)).or_insert(digest);
            if known != digest {
                let version = group.version;
                self.complain(format!("slice {slice}: {who} has another group {period:?} of version {version} than others"));
            }
        }
    }

    pub(crate) fn floor(&self, slice: SliceId) -> Known {
        self.slices[slice.0 as usize].floor
    }

    /// A client is told that its batch is written; `epoch` is the answering primary's.
    pub(crate) fn acknowledged(&mut self, now: u64, slice: SliceId, epoch: Epoch, version: Version, origin: Origin) {
        self.counts.writes += 1;
        let check = self.slice(slice);
        let by = check.acknowledged.entry(version).or_insert(epoch);
        *by = epoch.max(*by);
        let holds = check.tree.holds(version, origin);
        if !holds {
            self.complain(format!("slice {slice}: {origin:?} was acknowledged with {version}, whose history lacks it"));
        }
        self.raise_floor(now, slice, Known { version, by: epoch }, false);
    }

    /// What everybody may know of has grown; `whole`: what was said showed all that there was.
    fn raise_floor(&mut self, now: u64, slice: SliceId, known: Known, whole: bool) {
        let check = self.slice(slice);
        let floor = check.floor;
        if check.tree.leads_to(known.version, floor.version) {
            // A repetition is acknowledged with what it repeats. A read shows all there is: the rest is lost.
            if whole && check.may_lose(floor, known.by) {
                check.floor = known;
            }
            return;
        }
        if !check.tree.leads_to(floor.version, known.version) && !check.may_lose(floor, known.by) {
            let how = if whole { "read" } else { "acknowledged" };
            return self.complain(format!("slice {slice}: {known:?} was {how}, but {floor:?} was known and is not before it"));
        }
        check.floor = known;
        check.floors.push((now, known));
    }

    /// A read is answered.
    pub(crate) fn read(&mut self, now: u64, slice: SliceId, question: Question, result: &ReadResult) {
        self.counts.reads += 1;
        let ReadResult { at, rows, stray_latest } = result;
        let at = *at;
        let check = self.slice(slice);
        let wrong = rows.iter().find(|(key, value)| check.tree.value(at, *key) != *value);
        if let Some((key, value)) = wrong {
            let expect = check.tree.value(at, *key);
            return self.complain(format!("slice {slice}: {key:?} at {at} was read as {value:?}, it is {expect:?}"));
        }
        if let Some(tag) = stray_latest {
            return self.complain(format!("slice {slice}: at {at} the snapshot value of tag {tag} is not what a scan finds"));
        }
        let lossy = !check.is_sync(question.epoch) || check.forced;
        // A copy may show what it had when the mode was another.
        let older = question.consistency != Consistency::Primary && !check.is_sync(at.epoch);
        let may_vanish = (lossy || older) && !question.stable;
        let stays = check.seen.entry(at).or_insert(may_vanish);
        *stays &= may_vanish;
        match question.consistency {
            Consistency::Primary => {
                self.must_show(slice, question.floor, at, question.epoch, "a read under primary");
                self.raise_floor(now, slice, Known { version: at, by: question.epoch }, true);
            }
            Consistency::Session(token) if !check.tree.leads_to(token, at) => {
                self.complain(format!("slice {slice}: a session that knew {token} read {at}"));
            }
            Consistency::Bounded { us } => {
                // The replica measures by its own clock, which may be a tenth slow.
                let then = now.saturating_sub(us + us / 8 + 10);
                let known = check.floors.iter().rev().find(|(at_us, _)| *at_us <= then).map(|(_, known)| *known);
                self.must_show(slice, known.unwrap_or_default(), at, question.epoch, "a bounded read");
            }
            Consistency::Session(_) | Consistency::Any => {}
        }
    }

    fn must_show(&mut self, slice: SliceId, known: Known, at: Version, epoch: Epoch, what: &str) {
        let check = self.slice(slice);
        if !check.tree.leads_to(known.version, at) && !check.may_lose(known, epoch) {
            self.complain(format!("slice {slice}: {what} in epoch {epoch} showed {at}, which lacks {known:?}"));
        }
    }

    /// A session's write was not found where it should be.
    pub(crate) fn session_lost(&mut self, slice: SliceId, token: Version) {
        let check = self.slice(slice);
        if check.is_sync(token.epoch) && !check.forced {
            self.complain(format!("slice {slice}: a session is told that its write {token} was lost, in sync mode"));
        }
    }

    pub(crate) fn force(&mut self, slice: SliceId) {
        self.counts.forced += 1;
        self.slice(slice).forced = true;
    }

    /// A slice has another mode from an epoch on.
    pub(crate) fn change_mode(&mut self, slice: SliceId, epoch: Epoch, mode: Mode) {
        self.counts.modes += 1;
        self.slice(slice).modes.insert(epoch, mode);
    }

    pub(crate) fn destroy(&mut self, slice: SliceId, versions: Vec<Version>) {
        self.slice(slice).destroyed.extend(versions);
    }
}

impl SliceCheck {
    fn mode(&self, epoch: Epoch) -> Mode {
        *self.modes.range(..=epoch).next_back().expect("there is one from the beginning").1
    }

    fn is_sync(&self, epoch: Epoch) -> bool {
        self.mode(epoch) == Mode::Sync
    }

    /// Whether a primary of this epoch may lack what an earlier one made known.
    fn may_lose(&self, known: Known, epoch: Epoch) -> bool {
        self.forced || (!self.is_sync(known.by) && epoch > known.by)
    }
}
