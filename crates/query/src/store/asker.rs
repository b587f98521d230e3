//! Who asks, and how fresh an answer must be.
//!
//! Promises: what a session has seen only grows.
//!
//! Shared state: `Seen` has one mutex, held for the length of a look-up. It is raised when a write of the session is answered, or a
//! read, and read when a statement is routed.

use crate::error::{Error, raise};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use types::{Epoch, SliceId, Version};

/// How fresh an answer must be: the session's setting `read_consistency`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// As the primary has it.
    #[default]
    Primary,
    /// At least what this session has written, and has read.
    Session,
    /// At most so many milliseconds old.
    Bounded(u64),
    /// Whatever a replica has.
    Any,
}

/// The most milliseconds that `bounded` takes: a day.
const BOUNDED_MS_MAX: u64 = 86_400_000;

impl Consistency {
    /// From what SET is given.
    ///
    /// # Errors
    /// `Error::InvalidParameter`.
    pub fn parse(text: &str) -> Result<Consistency, Error> {
        let plain = text.trim().to_ascii_lowercase();
        let bounded = || {
            let inner = plain.strip_prefix("bounded")?.trim().strip_prefix('(')?.strip_suffix(')')?;
            let ms = inner.trim().trim_end_matches("ms").trim().parse::<u64>().ok()?;
            (1..=BOUNDED_MS_MAX).contains(&ms).then_some(Consistency::Bounded(ms))
        };
        match plain.as_str() {
            "primary" => Some(Consistency::Primary),
            "session" => Some(Consistency::Session),
            "any" => Some(Consistency::Any),
            _ => bounded(),
        }
        .ok_or_else(|| {
            raise(Error::InvalidParameter, format!("invalid value for parameter \"read_consistency\": \"{text}\""))
                .with_hint("primary, session, any, or bounded(ms) with 1 to 86400000 milliseconds")
        })
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Consistency::Primary => out.write_str("primary"),
            Consistency::Session => out.write_str("session"),
            Consistency::Bounded(ms) => write!(out, "bounded({ms})"),
            Consistency::Any => out.write_str("any"),
        }
    }
}

/// So many earlier epochs of a slice are remembered.
const EARLIER_MAX: usize = 8;

/// The versions of slices that a session has seen: those of its own writes, and, where it asks for `session`, of its reads.
#[derive(Debug, Default)]
pub struct Seen {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    versions: BTreeMap<SliceId, Version>,
    /// The newest versions of earlier epochs than those, the oldest first: whether a later primary has them was not asked yet.
    earlier: BTreeMap<SliceId, Vec<Version>>,
    /// Slices that were read since, by a plan: how new they were is not known yet.
    open: BTreeSet<SliceId>,
}

impl Seen {
    /// The session has seen this version of a slice.
    pub fn note(&self, slice: SliceId, version: Version) {
        let mut state = self.state.lock();
        let known = state.versions.entry(slice).or_default();
        let before = std::mem::replace(known, version.max(*known));
        if before != Version::default() && before.epoch < version.epoch {
            let earlier = state.earlier.entry(slice).or_default();
            if earlier.len() == EARLIER_MAX {
                earlier.remove(0);
            }
            earlier.push(before);
        }
    }

    /// What the session saw of a slice before another primary led it, of which nobody has said yet that it is still there; and the
    /// epoch in which it has seen the slice since.
    #[must_use]
    pub fn unsettled(&self) -> Option<(SliceId, Version, Epoch)> {
        let state = self.state.lock();
        let (slice, earlier) = state.earlier.iter().next()?;
        Some((*slice, *earlier.first()?, state.versions.get(slice)?.epoch))
    }

    /// It was asked, whatever the answer was: a session is told once.
    pub fn settle(&self, slice: SliceId, version: Version) {
        let mut state = self.state.lock();
        if let Some(earlier) = state.earlier.get_mut(&slice) {
            earlier.retain(|one| *one != version);
            if earlier.is_empty() {
                state.earlier.remove(&slice);
            }
        }
    }

    /// The session reads these slices, in versions that are to be found out before it reads again.
    pub fn note_open(&self, slices: impl IntoIterator<Item = SliceId>) {
        self.state.lock().open.extend(slices);
    }

    /// The slices that were read in versions that are not known.
    #[must_use]
    pub fn open(&self) -> Vec<SliceId> {
        self.state.lock().open.iter().copied().collect()
    }

    /// What was read of these slices is not newer than these versions.
    pub fn close(&self, versions: &[(SliceId, Version)]) {
        for (slice, version) in versions {
            self.note(*slice, *version);
            self.state.lock().open.remove(slice);
        }
    }

    /// The newest version seen of a slice.
    #[must_use]
    pub fn of(&self, slice: SliceId) -> Option<Version> {
        self.state.lock().versions.get(&slice).copied()
    }

    /// The newest versions seen, by slice.
    #[must_use]
    pub fn all(&self) -> Vec<(SliceId, Version)> {
        self.state.lock().versions.iter().map(|(slice, version)| (*slice, *version)).collect()
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The role.
    pub principal: Arc<str>,
    /// How fresh an answer must be.
    pub consistency: Consistency,
    /// What the session has seen.
    pub seen: Arc<Seen>,
}

impl Asker {
    /// One without a session of its own: a stream of the Flight door.
    #[must_use]
    pub fn new(principal: &str) -> Asker {
        Asker { principal: principal.into(), consistency: Consistency::Primary, seen: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Sequence;

    #[test]
    fn consistency_comes_back_from_its_text() {
        for known in [Consistency::Primary, Consistency::Session, Consistency::Bounded(250), Consistency::Any] {
            assert_eq!(Consistency::parse(&known.to_string()), Ok(known));
        }
        assert_eq!(Consistency::parse(" Bounded ( 5ms ) "), Ok(Consistency::Bounded(5)));
        for wrong in ["", "bounded", "bounded()", "bounded(0)", "bounded(86400001)", "strong", "bounded(-1)"] {
            assert_eq!(Consistency::parse(wrong).map_err(|error| error.sqlstate()), Err("22023"), "{wrong}");
        }
    }

    #[test]
    fn what_was_seen_only_grows() {
        let seen = Seen::default();
        let version = |epoch, sequence| Version { epoch: Epoch(epoch), sequence: Sequence(sequence) };
        seen.note(SliceId(3), version(2, 7));
        seen.note(SliceId(3), version(1, 9));
        assert_eq!((seen.of(SliceId(3)), seen.of(SliceId(4))), (Some(version(2, 7)), None));
        assert_eq!(seen.all(), [(SliceId(3), version(2, 7))]);
        seen.note_open([SliceId(3), SliceId(5)]);
        seen.close(&[(SliceId(5), version(2, 1))]);
        assert_eq!((seen.open(), seen.of(SliceId(5))), (vec![SliceId(3)], Some(version(2, 1))));
    }

    #[test]
    fn what_was_seen_under_an_earlier_primary_is_to_be_settled() {
        let seen = Seen::default();
        let version = |epoch, sequence| Version { epoch: Epoch(epoch), sequence: Sequence(sequence) };
        for (epoch, sequence) in [(1, 5), (1, 7), (1, 6), (3, 7), (3, 8), (2, 9)] {
            seen.note(SliceId(3), version(epoch, sequence));
        }
        assert_eq!(seen.unsettled(), Some((SliceId(3), version(1, 7), Epoch(3))));
        seen.note(SliceId(3), version(4, 10));
        seen.settle(SliceId(3), version(1, 7));
        assert_eq!(seen.unsettled(), Some((SliceId(3), version(3, 8), Epoch(4))));
        seen.settle(SliceId(3), version(3, 8));
        assert_eq!(seen.unsettled(), None);
        (5..30).for_each(|epoch| seen.note(SliceId(3), version(epoch, epoch + 6)));
        assert_eq!(seen.unsettled(), Some((SliceId(3), version(21, 27), Epoch(29))), "the oldest are forgotten");
    }
}
