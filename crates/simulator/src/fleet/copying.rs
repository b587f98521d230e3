//! Files on their way from a primary to a replica that the log no longer reaches: one group at a time.

use super::Fleet;
use super::happening::Happening;
use super::packet::Packet;
use crate::store::{CopiedGroup, Task};
use protocol::{Event, ReplicaId};
use std::collections::BTreeMap;
use types::{Period, SliceId, Version};

/// After so long a group is asked for again.
const ASK_AGAIN_US: u64 = 120_000;

/// After so many times it is given up.
const TRIES_MAX: u32 = 6;

impl Fleet {
    /// The own groups are known: those that differ are asked for.
    pub(super) fn compare(&mut self, n: usize, slice: SliceId, own: &[(Period, Version)]) {
        let planted = self.planted;
        let Some(local) = self.nodes[n].locals.get_mut(&slice) else { return };
        let Some(taking) = &mut local.taking else { return };
        taking.missing = taking.offer.compare(own, planted).copy;
        let token = taking.token;
        self.ask_groups(n, slice, token);
    }

    /// Asks for the next group, or ends.
    pub(super) fn ask_groups(&mut self, n: usize, slice: SliceId, token: u64) {
        let node = &mut self.nodes[n];
        let (me, run) = (node.me(), node.run);
        let taking = node.locals.get_mut(&slice).and_then(|local| local.taking.as_mut());
        let Some(taking) = taking.filter(|taking| taking.token == token) else { return };
        let Some(period) = taking.missing.first().copied() else {
            let (offer, copied) = (taking.offer.clone(), std::mem::take(&mut taking.copied));
            node.store.submit(slice, Task::Install { offer, copied });
            return self.kick(n);
        };
        taking.tries += 1;
        if taking.tries > TRIES_MAX {
            return self.give_up(n, slice);
        }
        let to = taking.from.node.0 as usize;
        self.send(n, to, Packet::GroupsAsked { slice, by: me, token, periods: vec![period] });
        self.queue.put(self.now + ASK_AGAIN_US, Happening::AskGroups { node: n, run, slice, token });
    }

    pub(super) fn give_up(&mut self, n: usize, slice: SliceId) {
        if let Some(local) = self.nodes[n].locals.get_mut(&slice) {
            local.taking = None;
        }
        self.feed(n, slice, Event::FilesRefused);
    }

    pub(super) fn groups_asked(&mut self, n: usize, from: usize, slice: SliceId, by: ReplicaId, token: u64, periods: &[Period]) {
        let store = &self.nodes[n].store;
        let mut groups = Some(BTreeMap::new());
        for period in periods {
            match store.pinned_group(slice, by, *period) {
                Some(Ok(files)) => {
                    groups.as_mut().and_then(|groups| groups.insert(*period, files));
                }
                Some(Err(gone)) => {
                    return self.checker.complain(format!("slice {slice}: a file that is pinned for {by} is gone: {gone:?}"));
                }
                None => groups = None,
            }
        }
        self.send(n, from, Packet::GroupsAre { slice, token, groups });
    }

    pub(super) fn groups_are(&mut self, n: usize, slice: SliceId, token: u64, groups: Option<BTreeMap<Period, CopiedGroup>>) {
        let taking = self.nodes[n].locals.get_mut(&slice).and_then(|local| local.taking.as_mut());
        let Some(taking) = taking.filter(|taking| taking.token == token && !taking.missing.is_empty()) else { return };
        let Some(groups) = groups else { return self.give_up(n, slice) };
        let before = taking.missing.len();
        taking.missing.retain(|period| !groups.contains_key(period));
        if taking.missing.len() == before {
            return;
        }
        taking.copied.extend(groups);
        // A new token: what was asked under the old one is settled.
        taking.tries = 0;
        self.numbers += 1;
        taking.token = self.numbers;
        let token = taking.token;
        self.ask_groups(n, slice, token);
    }
}
