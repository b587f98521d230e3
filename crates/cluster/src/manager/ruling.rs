//! The rule, set by an operator before the first tag.
//!
//! Promises: one swap decides between another rule and the first tag: it compares what stands of both. May not know how processes
//! follow.

use super::admin::Admin;
use super::placing::Placement;
use super::standing::Standing;
use super::words::AdminError;
use crate::fleet::{FleetRecord, fleet_key, fleet_value};
use crate::tags::{entry_key, tag_entry};
use meta::{Is, Swap, Swapped};
use protocol::membership::Seen;
use types::{DistributionRule, Sequence};

/// How often it is tried while others change what it compares.
const TRIES: usize = 20;

impl Admin {
    /// Sets the distribution rule of a fleet that has no tag. Where slices were placed, those that the rule has beyond them are
    /// placed, too.
    ///
    /// # Errors
    /// `AdminError::Rule`; `AdminError::State` where there is, or was, a tag, or more slices are placed than the rule has.
    pub async fn set_rule(&self, rule: DistributionRule) -> Result<(), AdminError> {
        rule.check()?;
        for _ in 0..TRIES {
            // Read before the rest: what is compared is what was seen here.
            let tags = self.entry(&entry_key()).await?;
            let standing = self.standing().await?;
            let seen = standing.fleet.as_ref().ok_or(AdminError::NotSet)?;
            if seen.value.rule == rule {
                return self.place_rest(&standing).await;
            }
            let committed = match &tags {
                None => Sequence(0),
                Some(entry) => {
                    let unreadable = || AdminError::State("what stands of the tag table is of another release".to_owned());
                    tag_entry(&entry.value).ok_or_else(unreadable)?.committed.sequence
                }
            };
            check(&standing, seen, committed, rule)?;
            let tags = tags.map_or(Is::Absent, |entry| Is::Modified(entry.modified));
            let record = FleetRecord { rule, ..seen.value };
            let swap = Swap::new().when(&fleet_key(), Is::Modified(seen.revision)).when(&entry_key(), tags);
            if let Swapped::Done { .. } = self.swap(swap.put(&fleet_key(), fleet_value(&record))).await? {
                return self.place_rest(&standing).await;
            }
        }
        Err(AdminError::Unsettled("schedulers come and go all the time".to_owned()))
    }

    async fn place_rest(&self, standing: &Standing) -> Result<(), AdminError> {
        if standing.view.slices.is_empty() { Ok(()) } else { self.place(&Placement::Modulus).await.map(drop) }
    }
}

fn check(standing: &Standing, seen: &Seen<FleetRecord>, committed: Sequence, rule: DistributionRule) -> Result<(), AdminError> {
    if committed > Sequence(0) {
        return Err(AdminError::State(format!("tags were made already: the rule stays as it is, {}", formula(seen.value.rule))));
    }
    match standing.view.slices.keys().next_back() {
        Some(last) if last.0 >= rule.buckets => Err(AdminError::State(format!(
            "slices up to {last} are placed: there can be more of them, not fewer; for fewer make the fleet anew with rule_buckets"
        ))),
        _ => Ok(()),
    }
}

fn formula(rule: DistributionRule) -> String {
    let DistributionRule { w1, b1, w2, b2, buckets, .. } = rule;
    format!("({w1}*floor(ordinal/{b1}) + {w2}*floor(day/{b2})) mod {buckets}")
}
