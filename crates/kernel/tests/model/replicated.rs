//! Two replicas of a led slice with thinned tags, driven at random as whoever leads them would, beside the ledger.
//!
//! Promises looked at: what was taken is there or told by its neighbours, whoever led when, and whatever was set aside,
//! deleted, dropped by retention, flushed, copied as files or lost in memory; replicas that show the same records show the
//! same content, whoever decided; a replica that led once, and leads again, counts on nothing that was set aside since.

use crate::check::{TAGS, check_points, check_snapshot, content};
use crate::drive::{DIR, TestKinds, as_write};
use crate::ledger::{Ended, Ledger};
use crate::oracle::{Change, Oracle, Row};
use crate::thinned::{Walks, some_compression};
use kernel::{Deletion, Draft, Error, Kernel, LedSlice, Piece, Settings, TagSelection};
use protocol::{Planted, Record, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use types::{
    Compression, DistributionRule, Epoch, NodeId, Period, Sequence, SliceId, StoreId, TagId, TimeRange, Timestamp, Version,
};
use world::{Clock, SeededRandom, Simulation, Ticket};

const SLICE: SliceId = SliceId(0);
const PEER: ReplicaId = ReplicaId { node: NodeId(2), store: StoreId(2) };

/// A record of the slice's history.
struct Item {
    record: Record,
    change: Change,
    compressions: Vec<Compression>,
}

/// A replica. It has a beginning of the history.
struct Replica {
    simulation: Simulation,
    kernel: Arc<Kernel>,
    led: LedSlice,
    /// How many records it has, and how many of them are shown.
    logged: usize,
    published: usize,
}

/// The replicas that are driven.
pub struct ReplicatedDrive {
    dice: SeededRandom,
    settings: Settings,
    replicas: [Option<Replica>; 2],
    leader: usize,
    /// Whether what is stable waits for the one that follows.
    follows: bool,
    epoch: Epoch,
    history: Vec<Item>,
    /// What was shown of how many records.
    shown: BTreeMap<usize, Vec<Row>>,
    compressions: Vec<Compression>,
    walks: Walks,
    /// Rows left out, and how often files were taken, samples dropped by age, and another replica led, so far.
    pub left_out: u64,
    pub copies: u64,
    /// Files that did not need to come along.
    pub spared: u64,
    pub drops: u64,
    pub changes: u64,
}

fn open(simulation: &Simulation, settings: &Settings) -> Arc<Kernel> {
    let opened = Kernel::open(simulation.world(), Path::new(DIR), settings.clone(), Arc::new(TestKinds));
    opened.unwrap_or_else(|fault| panic!("opening: {fault}"))
}

impl Replica {
    fn new(seed: u64, settings: &Settings) -> Replica {
        let simulation = Simulation::new(seed);
        let kernel = open(&simulation, settings);
        let led = kernel.lead(SLICE).expect("nothing was written");
        Replica { simulation, kernel, led, logged: 0, published: 0 }
    }

    fn wait<T: Send + 'static>(&self, ticket: Ticket<Result<T, Error>>) -> T {
        self.simulation.runner.run_until_idle();
        ticket.wait().expect("it is answered").unwrap_or_else(|fault| panic!("the disk works: {fault}"))
    }

    fn log(&mut self, record: Record) {
        self.wait(self.led.log(vec![record]));
        self.logged += 1;
    }

    /// A power cut, and opening again: readers see what files hold.
    fn reopened(self, settings: &Settings) -> Replica {
        let Replica { simulation, kernel, led, logged, .. } = self;
        drop((kernel, led));
        simulation.crash();
        let kernel = open(&simulation, settings);
        let led = kernel.led_slices().into_iter().next();
        // Nothing of it was durable: then it is not known that it is led.
        let led = led.unwrap_or_else(|| kernel.lead(SLICE).expect("nothing was written"));
        let recovered = led.recovered();
        assert_eq!(recovered.history.last().sequence.0 as usize, logged, "what was logged is there");
        let published = recovered.flushed.sequence.0 as usize;
        Replica { simulation, kernel, led, logged, published }
    }
}

impl ReplicatedDrive {
    pub fn new(seed: u64) -> ReplicatedDrive {
        let dice = SeededRandom::new(seed ^ 0x2E91);
        let pick = |choices: &[u64]| choices[dice.between(0, choices.len() as u64 - 1) as usize];
        let settings = Settings {
            rule: DistributionRule { w2: pick(&[0, 0, 1]) as u32, buckets: 1, day_us: 50, ..DistributionRule::default() },
            period_us: pick(&[30, 1_000]) as i64,
            memory_bytes: 8 << 20,
            buffer_bytes_max: 1 << 20,
            cache_bytes_max: 1 << 20,
            segment_bytes: 256 << 10,
            led_tail_bytes_max: pick(&[0, 4_000, 1 << 20]),
            retention: Some(Duration::from_micros(pick(&[200, 1_000]))),
            ..Settings::default()
        };
        let replicas = [0, 1].map(|replica| Some(Replica::new(seed * 2 + replica, &settings)));
        let compressions = (0..TAGS).map(|_| some_compression(&dice)).collect();
        ReplicatedDrive {
            dice,
            settings,
            replicas,
            leader: 0,
            follows: true,
            epoch: Epoch(1),
            history: Vec::new(),
            shown: BTreeMap::new(),
            compressions,
            walks: Walks::new(),
            left_out: 0,
            copies: 0,
            spared: 0,
            drops: 0,
            changes: 0,
        }
    }

    /// Does so many random things, and checks at the end.
    pub fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            let replica = self.dice.between(0, 1) as usize;
            match self.dice.between(0, 99) {
                0..=39 => self.write(),
                40..=42 => self.delete(),
                43 => self.drop_old(),
                44..=57 => self.forward(),
                58..=73 => self.publish(replica),
                74..=79 => self.flush(replica),
                80 => self.merge(replica),
                81 => self.compressions[self.dice.between(0, TAGS - 1) as usize] = some_compression(&self.dice),
                82..=84 => self.another_leads(),
                85 => self.follower_is_out(),
                86 | 87 => self.take_files(),
                88..=90 => self.crash(replica),
                _ => self.check(replica),
            }
        }
        while self.replica(1 - self.leader).logged < self.history.len() && self.follows {
            self.forward();
        }
        [0, 1].into_iter().for_each(|replica| self.publish_all(replica));
        [0, 1].into_iter().for_each(|replica| self.check(replica));
        for replica in &self.replicas {
            self.left_out += replica.as_ref().expect("it is there").kernel.status().rows_thinned;
        }
    }

    fn replica(&self, replica: usize) -> &Replica {
        self.replicas[replica].as_ref().expect("it is there")
    }

    fn replica_mut(&mut self, replica: usize) -> &mut Replica {
        self.replicas[replica].as_mut().expect("it is there")
    }

    fn version(&self, records: usize) -> Version {
        records.checked_sub(1).map_or(Version::default(), |at| self.history[at].record.version)
    }

    /// How many records every replica has that must.
    fn stable(&self) -> usize {
        let follower = self.replica(1 - self.leader);
        if self.follows { follower.logged.min(self.history.len()) } else { self.history.len() }
    }

    /// Whoever leads decides on a draft and logs it.
    fn log(&mut self, draft: Draft, change: Change) {
        let after = self.version(self.history.len());
        let version = Version { epoch: self.epoch, sequence: Sequence(after.sequence.0 + 1) };
        let leader = self.replica_mut(self.leader);
        let body = leader.led.decide(draft, after, version);
        let record = Record { version, prev: after, origin: None, digest: 0, body };
        leader.log(record.clone());
        self.history.push(Item { record, change, compressions: self.compressions.clone() });
    }

    fn write(&mut self) {
        let mut rows = Vec::new();
        for _ in 0..self.dice.between(1, 6) {
            let tag = TagId(self.dice.between(0, TAGS - 1));
            for _ in 0..self.dice.between(1, 6) {
                rows.push(self.walks.row(&self.dice, tag));
            }
        }
        let thinned: Vec<_> = (0..TAGS).map(|tag| (TagId(tag), self.compressions[tag as usize])).collect();
        let kernel = Arc::clone(&self.replica(self.leader).kernel);
        let drafts = as_write(&rows, None, |write| kernel.led_drafts(write, &[], &thinned));
        let (_, draft) = drafts.expect("known tags").remove(0);
        self.log(draft, Change::Write { rows, origin: None });
    }

    fn delete(&mut self) {
        let tag = TagId(self.dice.between(0, TAGS - 1));
        let at = self.walks.newest(tag) - self.dice.between(0, 20) as i64;
        let range = TimeRange { first: Timestamp(at), last: Timestamp(at + self.dice.between(0, 20) as i64) };
        let deletion = match self.dice.between(0, 2) {
            0 => Deletion::Points((at..at + 4).map(|time| (tag, Timestamp(time))).collect()),
            _ => Deletion::Range { tags: TagSelection::of(vec![tag]), range },
        };
        let draft = self.replica(self.leader).led.deletion(deletion.clone());
        self.log(draft, Change::Delete(deletion));
    }

    /// Some time passes on the clock of whoever leads, and it has what is too old dropped.
    fn drop_old(&mut self) {
        let kept = self.settings.retention.expect("it is set").as_micros() as i64;
        let wall = self.walks.newest(TagId(0)) + self.dice.between(0, 300) as i64;
        let leader = self.replica(self.leader);
        leader.simulation.clock.jump_wall(wall - leader.simulation.clock.wall_us());
        let Some(deletion) = leader.led.too_old() else { return };
        let Deletion::Range { tags: TagSelection::All, range } = &deletion else { panic!("{deletion:?}") };
        let bound = (wall - kept).div_euclid(self.settings.period_us) * self.settings.period_us - 1;
        assert_eq!((range.first, range.last), (Timestamp::MIN, Timestamp(bound)), "whole periods beyond the setting");
        let draft = leader.led.deletion(deletion.clone());
        self.log(draft, Change::Delete(deletion));
        assert_eq!(self.replica(self.leader).led.too_old(), None, "it is logged once");
        self.drops += 1;
    }

    /// The follower logs the next record, as it is.
    fn forward(&mut self) {
        let follower = self.replica(1 - self.leader);
        let Some(next) = self.history.get(follower.logged) else { return };
        let after = self.version(follower.logged);
        let Some(records) = self.replica(self.leader).led.read_log(after, 1, u64::MAX) else { return self.take_files() };
        assert_eq!(records, std::slice::from_ref(&next.record));
        let record = next.record.clone();
        self.replica_mut(1 - self.leader).log(record);
        self.follows |= self.replica(1 - self.leader).logged == self.history.len();
    }

    fn publish_up_to(&mut self, replica: usize, records: usize) {
        let (at, stable) = (self.version(records), self.version(self.stable().min(self.replica(replica).logged)));
        let replica = self.replica_mut(replica);
        if records > replica.published {
            replica.led.publish(at).expect("it is synced");
            replica.published = records;
        }
        replica.led.stable(stable).expect("the log holds it");
    }

    /// Whoever leads may show what it has alone; another shows what is stable.
    fn publishable(&self, replica: usize) -> usize {
        if replica == self.leader { self.history.len() } else { self.stable().min(self.replica(replica).logged) }
    }

    fn publish(&mut self, replica: usize) {
        let (shown, most) = (self.replica(replica).published, self.publishable(replica));
        let records = if most > shown { self.dice.between(shown as u64 + 1, most as u64) as usize } else { shown };
        self.publish_up_to(replica, records);
    }

    fn publish_all(&mut self, replica: usize) {
        self.publish_up_to(replica, self.publishable(replica));
    }

    fn flush(&mut self, replica: usize) {
        let replica = self.replica(replica);
        replica.wait(replica.led.flush());
    }

    fn merge(&mut self, replica: usize) {
        let replica = self.replica(replica);
        replica.wait(replica.kernel.merge());
    }

    /// The next epoch begins, and what the new leader lacks is set aside on the other; or the same one leads on, as another
    /// process.
    fn another_leads(&mut self) {
        if !self.follows {
            return self.crash(self.leader);
        }
        if self.dice.one_in(3) {
            while self.replica(1 - self.leader).logged < self.history.len() {
                self.forward();
            }
        }
        let next = 1 - self.leader;
        let kept = self.replica(next).logged;
        self.history.truncate(kept);
        self.shown.split_off(&(kept + 1));
        let at = self.version(kept);
        self.epoch = Epoch(self.epoch.0 + 1);
        let epoch = self.epoch;
        for replica in self.replicas.iter_mut().flatten() {
            replica.wait(replica.led.keep_epoch(epoch));
            let (ended, _) = replica.wait(replica.led.set_aside(at));
            assert_eq!(ended, at);
            (replica.logged, replica.published) = (kept, replica.published.min(kept));
        }
        self.leader = next;
        self.changes += 1;
    }

    /// What the follower lacks is not waited for any more; perhaps its data go.
    fn follower_is_out(&mut self) {
        self.follows = false;
        if self.dice.one_in(2) {
            let follower = self.replica_mut(1 - self.leader);
            follower.wait(follower.led.delete(Epoch(0)));
            follower.led = follower.kernel.lead(SLICE).expect("it is wanted again");
            (follower.logged, follower.published) = (0, 0);
        }
    }

    /// A follower that is out, and has a beginning of what files hold, takes them.
    fn take_files(&mut self) {
        self.publish_all(self.leader);
        self.flush(self.leader);
        let (leader, follower) = (self.replica(self.leader), self.replica(1 - self.leader));
        let flushed = leader.led.recovered().flushed.sequence.0 as usize;
        if self.follows || flushed < follower.logged {
            return;
        }
        let offer = leader.wait(leader.led.pin(PEER)).offer;
        let own = follower.wait(follower.led.prepare(false));
        let copied: Vec<Period> = offer.compare(&own, Planted::default()).copy;
        let (mut needed, mut spared) = (BTreeSet::from([Piece::Manifest]), 0);
        let held = |period: &Period| leader.led.pinned_pieces(PEER, *period).expect("it is held");
        let pieces: BTreeSet<Piece> = copied.iter().flat_map(held).map(|(piece, _)| piece).collect();
        for piece in &pieces {
            if !needed.contains(piece) {
                spared += 1;
                continue;
            }
            let bytes = leader.led.read_pinned(PEER, *piece, 0, usize::MAX).expect("readable").expect("it is held");
            follower.led.keep_piece(*piece, 0, &bytes).expect("the disk works");
            if *piece == Piece::Manifest {
                needed.extend(follower.led.needed_pieces(&offer, &copied).expect("it is what was offered"));
            }
        }
        follower.wait(follower.led.install(offer, copied));
        leader.led.unpin(PEER);
        let follower = self.replica_mut(1 - self.leader);
        (follower.logged, follower.published) = (flushed, flushed);
        self.copies += 1;
        self.spared += spared;
        self.follows = flushed == self.history.len();
        self.check(1 - self.leader);
    }

    fn crash(&mut self, replica: usize) {
        let before = self.replicas[replica].take().expect("it is there");
        self.left_out += before.kernel.status().rows_thinned;
        self.replicas[replica] = Some(before.reopened(&self.settings));
        if replica == self.leader {
            // Another run of a process: another epoch.
            self.epoch = Epoch(self.epoch.0 + 1);
            let (leader, epoch) = (self.replica(replica), self.epoch);
            leader.wait(leader.led.keep_epoch(epoch));
        }
        self.check(replica);
    }

    /// Holds what a replica shows against what was taken, and against what another one showed.
    fn check(&mut self, replica: usize) {
        let of = self.replica(replica);
        of.simulation.runner.run_until_idle();
        let snapshot = of.kernel.snapshot();
        let rows = content(&snapshot).expect("readable");
        let mut ledger = Ledger::default();
        for item in &self.history[..of.published] {
            ledger.take(&item.change, Ended::Done, &item.compressions);
        }
        ledger.check(&rows);
        let map = rows.iter().cloned().map(|row| ((row.tag, row.time), (row.value, row.quality))).collect();
        let oracle = Oracle { rows: map, ..Oracle::default() };
        check_snapshot(&snapshot, &oracle, self.settings.rule.ignores_time(), &self.dice).expect("readable");
        check_points(&of.kernel, &oracle, &self.dice).expect("readable");
        let published = of.published;
        let before = self.shown.entry(published).or_insert_with(|| rows.clone());
        assert_eq!(*before, rows, "{published} records are one content");
    }
}
