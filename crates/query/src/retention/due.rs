//! What policies let go of at a moment: which tags, up to when.
//!
//! Promises: each tag is one policy's, the one that keeps it longest at that moment; nothing within any policy's time is named;
//! ends of ranges are those of whole file groups, or, where a policy keeps less than one, of a 24th of one. The setting `retention`
//! decides for the tags that no policy means; whole file groups go at once only where no policy keeps anything in them.

use super::keep::Keep;
use super::policy::{Policy, Rule};
use crate::error::{Error, raise};
use catalog::{Catalog, TagFilter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use types::{Kinds, Period, TagId, Timestamp};

/// Policies that keep less than a file group's period let go of so many parts of it, one after the other.
const PARTS_OF_PERIOD: i64 = 24;

/// What a policy lets go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub policy: Arc<str>,
    /// Whose samples it decides, rising.
    pub tags: Vec<TagId>,
    /// The last moment that goes.
    pub last: Timestamp,
}

/// The step in which a policy's end moves.
fn step_us(rule: &Rule, period_us: i64) -> i64 {
    if rule.keep.about_us() >= i128::from(period_us) { period_us.max(1) } else { (period_us / PARTS_OF_PERIOD).max(1) }
}

/// The last moment that a policy lets go of.
pub(super) fn last(rule: &Rule, now_us: i64, period_us: i64) -> Timestamp {
    end_of_step(rule.keep, now_us, step_us(rule, period_us))
}

/// The end of the last step that lies wholly beyond what is kept.
fn end_of_step(keep: Keep, now_us: i64, step_us: i64) -> Timestamp {
    let oldest = Timestamp(keep.oldest_us(now_us));
    Timestamp(Period::of(oldest, step_us).range(step_us).first.0.saturating_sub(1))
}

/// When a policy lets go of more.
pub(super) fn next_us(rule: &Rule, now_us: i64, period_us: i64) -> i64 {
    let step_us = step_us(rule, period_us);
    let oldest = Timestamp(rule.keep.oldest_us(now_us));
    rule.keep.ends_us(Period::of(oldest, step_us).range(step_us).last.0.saturating_add(1))
}

/// Policies that could be read, those that keep longest first.
///
/// # Errors
/// `Error::Internal` where there is one that can't be read: what it keeps is not known.
fn ranked(policies: &BTreeMap<Arc<str>, Arc<Policy>>, now_us: i64) -> Result<Vec<(&Arc<str>, &Rule)>, Error> {
    let mut all = Vec::with_capacity(policies.len());
    for (name, policy) in policies {
        let unread = || {
            raise(Error::Internal, format!("retention policy \"{name}\" can't be read: is it of a later release?"))
                .with_detail("nothing is removed by any policy, since it may keep what others let go")
                .with_hint("DROP RETENTION POLICY, or start the release that made it")
        };
        all.push((name, policy.rule.as_ref().ok_or_else(unread)?));
    }
    all.sort_by_key(|(_, rule)| rule.keep.oldest_us(now_us));
    Ok(all)
}

/// What all policies let go of, whether or not there is anything.
///
/// # Errors
/// As `ranked`.
pub(super) fn due(
    policies: &BTreeMap<Arc<str>, Arc<Policy>>,
    catalog: &Catalog,
    now_us: i64,
    period_us: i64,
) -> Result<Vec<Due>, Error> {
    let ranked = ranked(policies, now_us)?;
    let mut taken = Taken::default();
    let of = |(name, rule): (&Arc<str>, &Rule)| {
        let mut tags = rule.condition.select(catalog);
        tags.retain(|tag| catalog.kind(*tag).is_some_and(|kind| rule.holds(kind)) && taken.take(*tag));
        Due { policy: Arc::clone(name), tags, last: last(rule, now_us, period_us) }
    };
    Ok(ranked.into_iter().map(of).collect())
}

/// What the setting `retention` lets go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BySetting {
    /// Everything up to there: no policy keeps anything as old.
    pub all: Timestamp,
    /// Where a policy does: the tags that no policy means, rising, and the last moment of theirs that goes.
    pub rest: Option<(Vec<TagId>, Timestamp)>,
}

/// What the setting lets go of beside policies, each of which is here with its tags.
pub(super) fn by_setting(policies: &[Due], catalog: &Catalog, kept: Duration, now_us: i64, period_us: i64) -> BySetting {
    let kept = Keep::of_us(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX));
    let last = end_of_step(kept, now_us, period_us.max(1));
    let all = policies.iter().map(|due| due.last).fold(last, Timestamp::min);
    if all == last {
        return BySetting { all, rest: None };
    }
    let mut taken = Taken::default();
    for tag in policies.iter().flat_map(|due| &due.tags) {
        taken.take(*tag);
    }
    let mut tags = catalog.select(&TagFilter::default());
    tags.retain(|tag| taken.take(*tag));
    BySetting { all, rest: Some((tags, last)) }
}

/// Tags that are some policy's already: a bit for each ordinal.
#[derive(Default)]
struct Taken(Vec<u64>);

impl Taken {
    /// Takes a tag; false where it was taken.
    fn take(&mut self, tag: TagId) -> bool {
        let (word, bit) = ((tag.0 / 64) as usize, 1_u64 << (tag.0 % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::condition::TagCondition;
    use crate::retention::policy::Done;

    const DAY: i64 = 86_400_000_000;
    const HOUR: i64 = DAY / 24;

    fn rule(keep: &str) -> Rule {
        let condition = Arc::new(TagCondition::parse("true").unwrap());
        let keep = Keep::parse(keep).unwrap();
        Rule { tags: "true".into(), condition, rows: None, keep, created_us: 0, creator: 10, done: Done::default() }
    }

    #[test]
    fn whole_file_groups_go_and_nothing_that_is_kept() {
        let now = 100 * DAY + 5 * HOUR;
        // What was written 3 days ago, to the microsecond, is kept; its file group began on day 97.
        assert_eq!(last(&rule("3 days"), now, DAY).0, 97 * DAY - 1);
        assert_eq!(last(&rule("3 days"), 100 * DAY, DAY).0, 97 * DAY - 1);
        assert_eq!(last(&rule("3 days"), 100 * DAY - 1, DAY).0, 96 * DAY - 1);
        assert_eq!(next_us(&rule("3 days"), now, DAY), 101 * DAY);
        // Less than a file group: by the hour.
        assert_eq!(last(&rule("6 hours"), now + 7, DAY).0, 100 * DAY - HOUR - 1);
        assert_eq!(next_us(&rule("6 hours"), now + 7, DAY), now + HOUR);
        // Before the beginning of time nothing goes.
        assert_eq!(last(&rule("3 days"), i64::MIN + 5, DAY).0, i64::MIN);
        for keep in ["1 minute", "59 minutes", "1 day", "36 hours", "1 month", "10 years"] {
            for period in [60_000_000, HOUR, DAY, 30 * DAY] {
                let (rule, at) = (rule(keep), last(&rule(keep), now, period).0);
                assert!(at < rule.keep.oldest_us(now), "{keep} in groups of {period}");
                let next = next_us(&rule, now, period);
                assert!(next > now && last(&rule, next, period).0 > at, "{keep} in groups of {period}");
                let early = last(&rule, next - 1, period).0;
                assert!(early == at || keep.contains("month"), "{keep} in groups of {period}");
            }
        }
    }
}
