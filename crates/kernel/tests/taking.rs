//! Files are taken from a pin, group by group; whenever the power goes, the replica is as it was or equals the offer.

mod fixture;

use fixture::{open, rows, settings, settle, write};
use kernel::{Deletion, Error, Kernel, LedNews, LedSlice, Piece, Settings, TagSelection, Write};
use parking_lot::Mutex;
use protocol::{Offer, Planted, Record, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::{Epoch, Period, Samples, Sequence, SliceId, TagId, TimeRange, Timestamp, Version};
use world::{Faults, Simulation, Ticket};

const PEER: ReplicaId = ReplicaId { node: types::NodeId(2), store: types::StoreId(2) };

/// A row of a slice that the kernel numbers itself.
const OWN: (u64, i64, i64) = (2, 5, 50);

/// A store with a slice that is led.
struct Side {
    simulation: Simulation,
    kernel: Arc<Kernel>,
    led: LedSlice,
}

fn small() -> Settings {
    Settings { period_us: 10, led_tail_bytes_max: 0, ..settings() }
}

fn at(epoch: u64, sequence: u64) -> Version {
    Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
}

fn wait<T: Send + 'static>(simulation: &Simulation, ticket: Ticket<Result<T, Error>>) -> Result<T, Error> {
    simulation.runner.run_until_idle();
    ticket.wait().unwrap_or(Err(Error::Closed))
}

impl Side {
    fn new(seed: u64) -> Side {
        let simulation = Simulation::new(seed);
        let kernel = open(&simulation, small()).expect("an empty directory");
        let led = kernel.lead(SliceId(1)).expect("nothing was written");
        Side { simulation, kernel, led }
    }

    /// The nth record: rows of many periods; each fifth deletes some of those before.
    fn record(&self, epoch: u64, n: u64, prev: Version) -> Record {
        let tags: Vec<TagId> = (0..6).map(|row| TagId(1 + 4 * (row % 2))).collect();
        let times: Vec<Timestamp> = (0..6).map(|row| Timestamp((row * 17 + n as i64 * 7) % 60)).collect();
        let bits: Vec<u64> = (0..6).map(|row| epoch * 10_000 + n * 100 + row).collect();
        let samples = [Samples::new(&tags, &times, &bits, None).expect("columns of one length")];
        let range = TimeRange { first: Timestamp(n as i64), last: Timestamp(n as i64 + 12) };
        let deletion = Deletion::Range { tags: TagSelection::of(vec![TagId(1)]), range };
        let deletions = if n.is_multiple_of(5) { vec![deletion] } else { Vec::new() };
        let write = Write { samples: &samples, ..Write::default() };
        let drafts = self.kernel.led_drafts(write, &deletions, &[]).expect("known tags");
        let body = drafts.into_iter().find(|(slice, _)| *slice == SliceId(1)).expect("its own").1.whole();
        Record { version: at(epoch, n), prev, origin: None, digest: 0, body }
    }

    /// Logs records up to a number in an epoch, publishes them and flushes them.
    fn write(&self, epoch: u64, up_to: u64) {
        let mut prev = self.led.recovered().history.last();
        let mut records = Vec::new();
        for n in prev.sequence.0 + 1..=up_to {
            records.push(self.record(epoch, n, prev));
            prev = at(epoch, n);
        }
        self.take(records, prev);
    }

    fn take(&self, records: Vec<Record>, last: Version) {
        assert_eq!(wait(&self.simulation, self.led.log(records)), Ok(last));
        self.led.publish(last).expect("it is synced");
        self.led.stable(last).expect("the log holds it");
        assert_eq!(wait(&self.simulation, self.led.flush()), Ok(last));
    }

    /// Takes the same records as the other side has at hand.
    fn follow(&self, other: &Side, up_to: u64) {
        let have = self.led.recovered().history.last();
        let records = other.led.read_log(have, (up_to - have.sequence.0) as usize, u64::MAX).expect("they are at hand");
        let last = records.last().expect("there are some").version;
        self.take(records, last);
    }

    fn rows(&self) -> Vec<(u64, i64, i64)> {
        let mut rows = rows(&self.kernel.snapshot()).expect("readable");
        rows.retain(|row| row.0 != OWN.0);
        rows
    }

    fn has_own_row(&self) -> bool {
        rows(&self.kernel.snapshot()).expect("readable").contains(&OWN)
    }

    fn reopen(self) -> Side {
        let Side { simulation, kernel, led } = self;
        drop((kernel, led));
        simulation.crash();
        simulation.disk.set_faults(Faults::NONE);
        let kernel = open(&simulation, small()).expect("a store");
        let led = kernel.led_slices().remove(0);
        Side { simulation, kernel, led }
    }

    /// What of the offer is copied; the pieces come in parts of a few hundred bytes.
    fn fetch(&self, from: &Side, offer: &Offer, departs: bool) -> Result<Vec<Period>, Error> {
        let own = wait(&self.simulation, self.led.prepare(departs))?;
        let copied = offer.compare(&own, Planted::default()).copy;
        let held = |period: &Period| from.led.pinned_pieces(PEER, *period).expect("it is held");
        let pieces: BTreeMap<Piece, u64> = copied.iter().flat_map(held).collect();
        let mut needed = BTreeSet::from([Piece::Manifest]);
        for (piece, bytes) in pieces {
            let mut offset = 0;
            while offset < bytes && needed.contains(&piece) {
                let part = from.led.read_pinned(PEER, piece, offset, 300)?.expect("it is held");
                self.led.keep_piece(piece, offset, &part)?;
                offset += part.len() as u64;
            }
            if piece == Piece::Manifest {
                needed.extend(self.led.needed_pieces(offer, &copied)?);
            }
        }
        Ok(copied)
    }
}

/// A primary with two files more than the replica that has a beginning of its writes, or (`departs`) other ones.
fn sides(seed: u64, departs: bool) -> (Side, Side) {
    let (primary, replica) = (Side::new(seed), Side::new(seed + 1_000));
    let records: Vec<Record> = (1..=8).map(|n| primary.record(1, n, at(u64::from(n > 1), n - 1))).collect();
    primary.take(records.clone(), at(1, 8));
    let half = records[..6].to_vec();
    replica.take(half, at(1, 6));
    if departs {
        replica.write(2, 9);
    }
    primary.write(3, 14);
    primary.write(3, 21);
    assert_eq!(wait(&replica.simulation, replica.led.keep_epoch(Epoch(9))), Ok(Epoch(9)));
    (primary, replica)
}

fn pin(primary: &Side) -> Offer {
    let offer = wait(&primary.simulation, primary.led.pin(PEER)).expect("it is held").offer;
    assert_eq!(offer.history, primary.led.recovered().history);
    offer
}

#[test]
fn a_replica_equals_what_it_took_whatever_happens_to_the_primarys_files() {
    for (seed, departs) in [(1, false), (2, true)] {
        let (primary, replica) = sides(seed, departs);
        let (offer, offered) = (pin(&primary), primary.rows());
        primary.write(3, 30);
        settle(&primary.simulation, primary.kernel.merge());
        wait(&replica.simulation, write(&replica.kernel, &[OWN])).expect("the disk works");
        let copied = replica.fetch(&primary, &offer, departs).expect("the disk works");
        assert!(!copied.is_empty());
        let taken = wait(&replica.simulation, replica.led.install(offer.clone(), copied));
        assert_eq!(taken, Ok((offer.history.clone(), offer.producers.clone())));
        assert_eq!(replica.rows(), offered);
        let copies = |what: &str| {
            let files = replica.simulation.disk.files();
            files.iter().any(|(path, _)| path.starts_with("/store/set-aside") && path.to_string_lossy().contains(what))
        };
        // Its records lie in files alone: they are copied with the manifest that says what they are.
        assert_eq!(copies(".series") && copies("/manifest-"), departs);
        let replica = replica.reopen();
        assert_eq!(replica.rows(), offered);
        let recovered = replica.led.recovered();
        assert_eq!((recovered.epoch, &recovered.history, recovered.flushed), (Epoch(9), &offer.history, offer.history.last()));
        // What was pinned is at hand behind the files; from then on it follows the log again.
        replica.follow(&primary, 30);
        settle(&replica.simulation, replica.kernel.merge());
        assert_eq!(replica.rows(), primary.rows());
        let groups = |side: &Side| {
            side.kernel
                .file_groups()
                .into_iter()
                .filter(|of| of.slice == SliceId(1))
                .map(|of| (of.period, of.version))
                .collect::<Vec<_>>()
        };
        assert_eq!(groups(&replica), groups(&primary));
        assert!(replica.has_own_row(), "a slice of the kernel's own beside it is left alone");
        primary.led.unpin(PEER);
        assert_eq!(primary.led.pinned_pieces(PEER, Period(0)), None);
    }
}

#[test]
fn a_deletion_that_still_waits_here_hides_nothing_of_what_was_copied() {
    let (primary, replica) = (Side::new(11), Side::new(12));
    let one = |n: u64, rows: &[(i64, u64)], deletions: &[Deletion]| {
        let tags = vec![TagId(1); rows.len()];
        let (times, bits): (Vec<Timestamp>, Vec<u64>) = rows.iter().map(|(time, value)| (Timestamp(*time), *value)).unzip();
        let samples = [Samples::new(&tags, &times, &bits, None).expect("columns of one length")];
        let write = Write { samples: &samples, ..Write::default() };
        let drafts = primary.kernel.led_drafts(write, deletions, &[]).expect("known tags");
        let body = drafts.into_iter().find(|(slice, _)| *slice == SliceId(1)).expect("its own").1.whole();
        Record { version: at(1, n), prev: at(u64::from(n > 1), n - 1), origin: None, digest: 0, body }
    };
    // Rows of two periods; a deletion of some of both; then one of the deleted rows of the first again.
    let range = TimeRange { first: Timestamp(4), last: Timestamp(14) };
    let deletion = Deletion::Range { tags: TagSelection::of(vec![TagId(1)]), range };
    let records = [one(1, &[(1, 1), (5, 2), (12, 3), (18, 4)], &[]), one(2, &[], &[deletion]), one(3, &[(5, 20), (6, 21)], &[])];
    for record in &records {
        primary.take(vec![record.clone()], record.version);
    }
    for record in &records[..2] {
        replica.take(vec![record.clone()], record.version);
    }
    let offer = pin(&primary);
    let copied = replica.fetch(&primary, &offer, false).expect("the disk works");
    assert_eq!(copied, [Period(0)]);
    assert!(wait(&replica.simulation, replica.led.install(offer, copied)).is_ok());
    assert_eq!(replica.rows(), [(1, 1, 1), (1, 5, 20), (1, 6, 21), (1, 18, 4)]);
    assert_eq!(replica.rows(), primary.rows());
    settle(&replica.simulation, replica.kernel.merge());
    assert_eq!(replica.reopen().rows(), primary.rows());
}

#[test]
fn whenever_the_power_goes_the_replica_is_as_it_was_or_equals_the_offer() {
    let (mut before, mut after) = (0, 0);
    for cut in 0.. {
        let departs = cut % 2 == 1;
        let (primary, replica) = sides(3, departs);
        let (offer, offered) = (pin(&primary), primary.rows());
        let copied = replica.fetch(&primary, &offer, departs).expect("the disk works");
        let (had, history) = (replica.rows(), replica.led.recovered().history);
        replica.simulation.disk.set_faults(Faults { power_cut_after: Some(cut / 2), ..Faults::NONE });
        let taken = wait(&replica.simulation, replica.led.install(offer.clone(), copied));
        let whole = !replica.simulation.disk.is_off();
        let replica = replica.reopen();
        let found = replica.led.recovered();
        assert_eq!(found.epoch, Epoch(9));
        if found.history == offer.history {
            after += 1;
            assert_eq!(replica.rows(), offered, "cut after {cut}");
        } else {
            before += 1;
            assert!(taken.is_err());
            assert_eq!((replica.rows(), found.history), (had, history), "cut after {cut}");
            let copied = replica.fetch(&primary, &offer, departs).expect("the disk works");
            assert!(wait(&replica.simulation, replica.led.install(offer, copied)).is_ok());
            assert_eq!(replica.rows(), offered);
        }
        if whole && departs {
            break;
        }
    }
    assert!(before > 20 && after > 5, "{before} and {after}");
}

#[test]
fn what_is_not_what_was_offered_is_refused() {
    let (primary, replica) = sides(4, false);
    let offer = pin(&primary);
    let copied = replica.fetch(&primary, &offer, false).expect("the disk works");
    let had = replica.rows();
    let other = Offer { history: replica.led.recovered().history, ..offer };
    let told = wait(&replica.simulation, replica.led.install(other, copied)).expect_err("it is refused");
    assert!(matches!(&told, Error::Led { .. }) && told.to_string().contains("not what was offered"), "{told}");
    assert_eq!(replica.rows(), had);
    // It goes on as before.
    replica.write(4, 8);
    assert_ne!(replica.rows(), had);
}

#[test]
fn a_pin_that_holds_too_much_is_lost_and_told() {
    let simulation = Simulation::new(5);
    let kernel = open(&simulation, Settings { led_pin_bytes_max: 2_000, ..small() }).expect("an empty directory");
    let led = kernel.lead(SliceId(1)).expect("nothing was written");
    let side = Side { simulation, kernel, led };
    let lost = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&lost);
    side.kernel.listen_to_led(Box::new(move |_, news| {
        if let LedNews::PinLost { peer } = news {
            heard.lock().push(peer);
        }
    }));
    side.write(1, 5);
    let offer = pin(&side);
    side.write(1, 8);
    assert!(side.led.read_log(offer.history.last(), 1, 1).is_some(), "the log behind it is held");
    assert!(lost.lock().is_empty());
    side.write(1, 40);
    assert_eq!(lost.lock()[..], [PEER]);
    assert_eq!(side.led.pinned_pieces(PEER, Period(0)), None);
    assert_eq!(side.led.read_log(offer.history.last(), 1, 1), None);
}

#[test]
fn what_both_have_is_not_copied_unless_something_was_deleted_since() {
    let (primary, replica) = (Side::new(31), Side::new(32));
    let mut prev = Version::default();
    for n in 1..=6 {
        let record = primary.record(1, n, prev);
        prev = record.version;
        primary.take(vec![record.clone()], prev);
        replica.take(vec![record], prev);
    }
    // The sixth is the last that both have; of those beyond it only the tenth deletes.
    for (up_to, spares) in [(9, true), (11, false)] {
        primary.write(3, up_to);
        let offer = pin(&primary);
        let before = replica.kernel.slices()[1].copied_bytes;
        let copied = replica.fetch(&primary, &offer, false).expect("the disk works");
        let held = |period: &Period| primary.led.pinned_pieces(PEER, *period).expect("it is held");
        let all: BTreeMap<Piece, u64> = copied.iter().flat_map(held).collect();
        let came = replica.kernel.slices()[1].copied_bytes - before;
        assert_eq!(came < all.values().sum(), spares, "{came} bytes of {all:?}");
        assert!(wait(&replica.simulation, replica.led.install(offer, copied)).is_ok());
        assert_eq!(replica.rows(), primary.rows(), "up to {up_to}");
        settle(&replica.simulation, replica.kernel.merge());
        assert_eq!(replica.rows(), primary.rows(), "up to {up_to}, merged");
    }
    assert_eq!(replica.reopen().rows(), primary.rows());
}
