//! How slices are replicated, changed while the fleet works.
//!
//! Promises: what is asked stands in meta for the whole fleet; managers bring one slice after another in step with it: copies by
//! targets, as for any move, the mode by the next epoch of the same primary. May not know how replicas do it.

use super::admin::Admin;
use super::words::AdminError;
use crate::fleet::{FleetRecord, fleet_key, fleet_value};
use meta::{Is, Swap};
use protocol::{Mode, Policy};

/// The most copies of a slice.
const COPIES_MAX: u32 = 16;

/// What is to be changed; the rest stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    /// When a write is answered.
    pub mode: Option<Mode>,
    /// Copies of each slice, the primary's included.
    pub copies: Option<u32>,
    /// How few may remain in step when others fail.
    pub min_in_sync: Option<u32>,
}

impl Admin {
    /// Changes how all slices are replicated. Answers what holds then.
    ///
    /// # Errors
    /// `AdminError::Invalid` where the numbers make no sense, `AdminError::State` where there are fewer data nodes than copies.
    pub async fn set_replication(&self, change: Replication) -> Result<FleetRecord, AdminError> {
        self.change(|standing| {
            let seen = standing.fleet.as_ref().ok_or(AdminError::NotSet)?;
            let before = seen.value;
            let next = changed(before, change)?;
            let there = standing.view.nodes.values().filter(|node| node.value.state.is_there() && !node.value.drains).count();
            if next.copies > before.copies && there < next.copies as usize {
                return Err(AdminError::State(format!(
                    "{} copies need as many data nodes, but {there} are there; start more of them first",
                    next.copies
                )));
            }
            let swap = Swap::new().when(&fleet_key(), Is::Modified(seen.revision)).put(&fleet_key(), fleet_value(&next));
            Ok((next != before).then_some(swap))
        })
        .await?;
        self.fleet().await?.ok_or(AdminError::NotSet)
    }
}

fn changed(before: FleetRecord, change: Replication) -> Result<FleetRecord, AdminError> {
    let policy = Policy {
        mode: change.mode.unwrap_or(before.policy.mode),
        min_in_sync: change.min_in_sync.unwrap_or(before.policy.min_in_sync),
    };
    let copies = change.copies.unwrap_or(before.copies);
    if copies == 0 || copies > COPIES_MAX {
        return Err(AdminError::Invalid(format!(
            "{copies} copies can't be had: there are 1 to {COPIES_MAX}, the primary's included"
        )));
    }
    if policy.min_in_sync == 0 || policy.min_in_sync > copies {
        let min = policy.min_in_sync;
        return Err(AdminError::Invalid(format!("{min} copies can't be in sync where there are {copies}")));
    }
    if policy.mode == (Mode::Async { lag_records_max: 0 }) {
        return Err(AdminError::Invalid("copies may be behind by one record at least, or write 'sync'".to_owned()));
    }
    Ok(FleetRecord { copies, policy, ..before })
}
