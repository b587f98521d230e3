//! Whole fleets: managers, schedulers and data nodes on one network with one meta, and clients that reach the data through
//! the schedulers.
//!
//! ```text
//!   client ──> door (a scheduler's process) ──> the tag table as that scheduler may show it    `tags`
//!                                          └──> slices' primaries and copies                   `fleet`
//!   managers ──> meta <── schedulers, data nodes          reports of data nodes ──> managers
//! ```
//! The two parts run in the order of time, each by its own queue; a door that dies, or stands still, does so in both.
//! Checked here, beside what the parts check: no sample is logged for a tag whose creation is not committed, and what is
//! read under a name was written under it. Promises: those of `Scenario`. It may not know what any machine decides.

mod plan;

pub use plan::{WholeCounts, WholePlan};

use crate::dice::Dice;
use crate::fleet::{self, Tag};
use crate::meta::Away;
use crate::network::Network;
use crate::scenario::{Outcome, Play};
use crate::tags::{self, Standing};
use protocol::{Mutation, Planted};
use std::rc::Rc;

/// A whole fleet.
pub struct Fleet {
    data: fleet::Fleet,
    tags: tags::Fleet,
    doors: Vec<Standing>,
    slices: u64,
    tags_max: u64,
    resolves_early: bool,
}

impl Fleet {
    pub(crate) fn new(plan: &WholePlan, planted: Planted, trace: bool) -> Fleet {
        let WholePlan { data, tags } = plan;
        // Places: data nodes, doors, managers, meta; then clients of the tag table.
        let beyond = data.places();
        let network = Network::new(beyond + tags.clients + tags.statements, Dice::new(data.seed, 33));
        let schedulers = data.nodes..data.nodes + data.schedulers;
        let clients = beyond..beyond + tags.clients + tags.statements;
        let of_tags = network.part(schedulers.chain(clients).chain([beyond - 1]).collect());
        let away = Away::default();
        Fleet {
            data: fleet::Fleet::part(data, planted, trace, network, away.clone()),
            tags: tags::Fleet::part(tags, planted, trace, of_tags, away),
            doors: vec![Standing::Runs; data.schedulers],
            slices: data.slices.len() as u64,
            tags_max: u64::from(data.tags()),
            resolves_early: planted.has(Mutation::SampleBeforeCommit),
        }
    }

    /// Tells each part what the other one did.
    fn exchange(&mut self) {
        for (client, door) in std::mem::take(&mut self.data.look_ups) {
            self.tags.look_up(self.data.now, client, door);
        }
        for (client, mut table) in std::mem::take(&mut self.tags.looked_up) {
            if self.resolves_early {
                table = table.map(|_| Rc::new(self.tags.prepared()));
            }
            let tags = table.map(|table| self.by_slice(table.tags()));
            self.data.now = self.data.now.max(self.tags.now);
            self.data.told_of_tags(client, tags);
        }
        self.data.checker.ordinals_end = self.tags.checker.ordinals_end();
    }

    /// A door that dies in one part does so in the other one.
    fn open_and_close(&mut self) {
        for door in 0..self.doors.len() {
            let now = self.tags.stands(door);
            if now != std::mem::replace(&mut self.doors[door], now) {
                match now {
                    Standing::Runs => self.data.open_door(door),
                    Standing::Still | Standing::Gone => self.data.close_door(door, now == Standing::Still),
                }
            }
        }
    }

    /// The distribution rule: which slice holds a tag.
    fn by_slice(&self, tags: impl Iterator<Item = (u64, u8)>) -> Vec<Vec<Tag>> {
        let mut by_slice = vec![Vec::new(); self.slices as usize];
        for (ordinal, name) in tags.filter(|(ordinal, _)| ordinal / self.slices < self.tags_max) {
            by_slice[(ordinal % self.slices) as usize].push(Tag { tag: (ordinal / self.slices) as u8, name });
        }
        by_slice
    }

    fn complaint(&self) -> Option<&String> {
        self.data.checker.complaint.as_ref().or(self.tags.checker.complaint.as_ref())
    }
}

impl Play<WholeCounts> for Fleet {
    fn run(&mut self) {
        while !(self.data.over && self.tags.over) && self.complaint().is_none() {
            if self.data.next_at() <= self.tags.next_at() {
                self.data.step();
            } else {
                self.tags.step();
                self.open_and_close();
            }
            self.exchange();
        }
    }

    fn complain(&mut self, text: String) {
        self.data.checker.complain(text);
    }

    fn end(&mut self) -> Outcome<WholeCounts> {
        let (data, tags) = (self.data.end(), self.tags.end());
        let mut trace: Vec<String> = data.trace;
        trace.extend(tags.trace.into_iter().map(|line| line.replace("node ", "scheduler ")));
        // Lines begin with their times.
        trace.sort_by(|a, b| a.get(..10).cmp(&b.get(..10)));
        let counts = WholeCounts { slices: data.counts, members: self.data.members, tags: tags.counts };
        Outcome { complaint: data.complaint.or(tags.complaint), counts, trace }
    }
}
