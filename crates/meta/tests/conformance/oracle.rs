//! What meta should hold: entries, leases and the revision, as plain maps.
//!
//! It promises to be the definition of a swap; it shares no code with any implementation.

use meta::{Entry, Error, Is, Key, LeaseId, Range, Revision, Swap, Swapped, Write};
use std::collections::{BTreeMap, BTreeSet};

/// The model of a meta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oracle {
    pub revision: Revision,
    pub entries: BTreeMap<Key, Entry>,
    pub leases: BTreeSet<LeaseId>,
}

impl Oracle {
    /// Nothing but a revision.
    pub fn at(revision: Revision) -> Oracle {
        Oracle { revision, entries: BTreeMap::new(), leases: BTreeSet::new() }
    }

    /// What a swap does and answers.
    pub fn swap(&mut self, swap: &Swap) -> Result<Swapped, Error> {
        let holds = |(key, is): &(Key, Is)| match (is, self.entries.get(key)) {
            (Is::Absent, entry) => entry.is_none(),
            (Is::Modified(revision), entry) => entry.is_some_and(|entry| entry.modified == *revision),
            (Is::Value(value), entry) => entry.is_some_and(|entry| entry.value == *value),
        };
        if !swap.conditions.iter().all(holds) {
            let found = swap.conditions.iter().map(|(key, _)| self.entries.get(key).cloned()).collect();
            return Ok(Swapped::Conflict { revision: self.revision, found });
        }
        for (_, write) in &swap.writes {
            match write {
                Write::Put(_, Some(lease)) if !self.leases.contains(lease) => return Err(Error::LeaseGone(*lease)),
                _ => {}
            }
        }
        let next = Revision(self.revision.0 + 1);
        for (key, write) in &swap.writes {
            match write {
                Write::Put(value, lease) => {
                    let entry = Entry { key: key.clone(), value: value.clone(), modified: next, lease: *lease };
                    self.entries.insert(key.clone(), entry);
                    self.revision = next;
                }
                Write::Delete => {
                    if self.entries.remove(key).is_some() {
                        self.revision = next;
                    }
                }
            }
        }
        Ok(Swapped::Done { revision: self.revision })
    }

    /// Ends a lease. Whether there was such a lease.
    pub fn end_lease(&mut self, lease: LeaseId) -> bool {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.lease != Some(lease));
        if self.entries.len() < before {
            self.revision.0 += 1;
        }
        self.leases.remove(&lease)
    }

    /// The entries of a range.
    pub fn range(&self, range: &Range) -> Vec<Entry> {
        self.entries.values().filter(|entry| range.contains(&entry.key)).cloned().collect()
    }
}
