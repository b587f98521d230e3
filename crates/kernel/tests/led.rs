//! Led slices beside slices of the kernel's own: each is refused what is the other's, and neither disturbs the other.

mod fixture;

use bytes::Bytes;
use fixture::{open, rows, settings, settle, write};
use kernel::{Deletion, Durability, Error, Kernel, LedNews, LedSlice, Settings, Snapshot, Write};
use parking_lot::Mutex;
use protocol::Record;
use std::sync::Arc;
use std::time::Duration;
use types::{DistributionRule, Epoch, Kind, Kinds, Samples, Sequence, SliceId, TagId, Timestamp, Version};
use world::{Random, SeededRandom, Simulation};

fn at(epoch: u64, sequence: u64) -> Version {
    Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
}

fn body(kernel: &Kernel, tag: u64, time: i64, value: u64) -> Bytes {
    let (tags, times, bits) = ([TagId(tag)], [Timestamp(time)], [value]);
    let samples = [Samples::new(&tags, &times, &bits, None).expect("columns of one length")];
    let write = Write { samples: &samples, ..Write::default() };
    kernel.led_drafts(write, &[], &[]).expect("a known tag").remove(0).1.whole()
}

fn record(kernel: &Kernel, prev: Version, version: Version, tag: u64, value: u64) -> Record {
    Record { version, prev, origin: None, digest: 0, body: body(kernel, tag, version.sequence.0 as i64, value) }
}

fn is_led_fault<T: std::fmt::Debug>(outcome: Result<T, Error>, slice: u32, text: &str) {
    let told = outcome.expect_err("it is refused");
    assert!(matches!(&told, Error::Led { slice: of, .. } if of.0 == slice) && told.to_string().contains(text), "{told}");
}

/// Tag 1 lies in slice 1, which is led, tag 2 in slice 2, which is the kernel's own.
fn led_store(simulation: &Simulation) -> (Arc<Kernel>, LedSlice) {
    let kernel = open(simulation, settings()).expect("an empty directory");
    let led = kernel.lead(SliceId(1)).expect("nothing was written");
    (kernel, led)
}

#[test]
fn each_is_refused_what_is_the_others() {
    let simulation = Simulation::new(1);
    let (kernel, led) = led_store(&simulation);
    let own = write(&kernel, &[(2, 5, 50)]);
    let both = write(&kernel, &[(2, 6, 60), (1, 6, 60)]);
    let strange = led.log(vec![record(&kernel, at(1, 4), at(1, 5), 1, 7)]);
    let logged = led.log(vec![record(&kernel, at(0, 0), at(1, 1), 1, 7)]);
    simulation.runner.run_until_idle();
    assert!(own.wait().expect("answered").is_ok());
    is_led_fault(both.wait().expect("answered"), 1, "LedSlice::log");
    is_led_fault(strange.wait().expect("answered"), 1, "follows 1.4, but the log ends with 0.0");
    assert_eq!(logged.wait().expect("answered"), Ok(at(1, 1)));
    is_led_fault(kernel.lead(SliceId(2)).map(|_| ()), 2, "numbered here");
    is_led_fault(kernel.lead(SliceId(9)).map(|_| ()), 9, "no such slice");
    is_led_fault(led.publish(at(1, 2)), 1, "can't be published");
    is_led_fault(led.stable(at(2, 1)), 1, "can't be stable");
    assert_eq!(rows(&kernel.snapshot()), Ok(vec![(2, 5, 50)]), "logged is not published");
    led.publish(at(1, 1)).expect("it is synced");
    assert_eq!(rows(&kernel.snapshot()), Ok(vec![(1, 1, 7), (2, 5, 50)]));
    let interval = Settings { durability: Durability::Interval(Duration::from_secs(1)), ..settings() };
    let other = open(&Simulation::new(2), interval).expect("an empty directory");
    is_led_fault(other.lead(SliceId(1)).map(|_| ()), 1, "durability");
}

#[test]
fn only_what_is_stable_is_flushed_and_who_listens_is_told() {
    let simulation = Simulation::new(3);
    let (kernel, led) = led_store(&simulation);
    let news = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&news);
    kernel.listen_to_led(Box::new(move |slice, news| heard.lock().push((slice, news))));
    let records = (1..=3).map(|n| record(&kernel, at(u64::from(n > 1), n - 1), at(1, n), 1, n)).collect();
    let logged = led.log(records);
    let own = write(&kernel, &[(2, 5, 50)]);
    simulation.runner.run_until_idle();
    assert_eq!(logged.wait().expect("answered"), Ok(at(1, 3)));
    assert!(own.wait().expect("answered").is_ok());
    led.publish(at(1, 3)).expect("it is synced");
    led.stable(at(1, 2)).expect("the log holds it");
    settle(&simulation, kernel.flush());
    assert_eq!(news.lock()[..], [(SliceId(1), LedNews::Flushed { flushed: at(1, 2), log_after: Sequence(0) })]);
    assert_eq!(rows(&kernel.snapshot()).expect("readable").len(), 4, "all that is published is read");
    drop((kernel, led));
    simulation.crash();
    let kernel = open(&simulation, settings()).expect("a store");
    assert_eq!(rows(&kernel.snapshot()), Ok(vec![(1, 1, 1), (1, 2, 2), (2, 5, 50)]), "no more than what was stable");
    let led = kernel.led_slices().remove(0);
    let recovered = led.recovered();
    assert_eq!((recovered.flushed, recovered.history.last()), (at(1, 2), at(1, 3)));
    led.publish(at(1, 3)).expect("it is in the log");
    assert_eq!(rows(&kernel.snapshot()).expect("readable").len(), 4);
}

#[test]
fn an_epoch_outlives_the_cut_of_the_log() {
    let simulation = Simulation::new(4);
    let small = || Settings { segment_bytes: 16 << 10, log_bytes_max: 32 << 10, ..settings() };
    let kernel = open(&simulation, small()).expect("an empty directory");
    let led = kernel.lead(SliceId(1)).expect("nothing was written");
    let kept = led.keep_epoch(Epoch(77));
    let many: Vec<(u64, i64, i64)> = (0..300).map(|n| (2, n, n)).collect();
    for _ in 0..20 {
        drop(write(&kernel, &many));
        simulation.runner.run_until_idle();
    }
    assert_eq!(kept.wait().expect("answered"), Ok(Epoch(77)));
    assert!(kernel.status().log_bytes <= 48 << 10, "an epoch alone does not hold the log: {:?}", kernel.status());
    drop((kernel, led));
    simulation.crash();
    let kernel = open(&simulation, small()).expect("a store");
    assert_eq!(kernel.led_slices().remove(0).recovered().epoch, Epoch(77));
}

/// What a node reads for a fleet: of each slice what its replica vouched for, however the others went on.
#[test]
fn a_joined_snapshot_shows_each_slice_as_its_own_did_and_nothing_else() {
    let simulation = Simulation::new(5);
    let (kernel, first) = led_store(&simulation);
    let third = kernel.lead(SliceId(3)).expect("nothing was written");
    let own = write(&kernel, &[(2, 5, 50)]);
    let logged = [
        first.log(vec![record(&kernel, at(0, 0), at(1, 1), 1, 7), record(&kernel, at(1, 1), at(1, 2), 1, 8)]),
        third.log(vec![record(&kernel, at(0, 0), at(1, 1), 3, 9)]),
    ];
    simulation.runner.run_until_idle();
    assert!(own.wait().expect("answered").is_ok());
    for logged in logged {
        logged.wait().expect("answered").expect("it is logged");
    }
    first.publish(at(1, 1)).expect("it is synced");
    let early = kernel.snapshot();
    first.publish(at(1, 2)).expect("it is synced");
    third.publish(at(1, 1)).expect("it is synced");
    let late = kernel.snapshot();
    let joined = |parts: &[(SliceId, Snapshot)]| rows(&Snapshot::joined(parts).expect("of one slice at least"));
    let parts = [(SliceId(1), early.clone()), (SliceId(3), late.clone())];
    assert_eq!(joined(&parts), Ok(vec![(1, 1, 7), (3, 1, 9)]));
    assert_eq!(joined(&[(SliceId(1), late.clone())]), Ok(vec![(1, 1, 7), (1, 2, 8)]));
    let values = Snapshot::joined(&parts).expect("two").values_at(&[(TagId(1), Timestamp::MAX), (TagId(2), Timestamp::MAX)]);
    let values = values.expect("readable");
    assert_eq!((values.found, values.bits[0]), (vec![true, false], 7));
    assert!(Snapshot::joined(&[]).is_none());
}

/// A rule may come while slices are led, as long as nothing was written: they go on, with their epochs.
#[test]
fn a_rule_is_set_while_slices_are_led_and_empty() {
    let simulation = Simulation::new(1);
    let (kernel, led) = led_store(&simulation);
    let kept = led.keep_epoch(Epoch(3));
    simulation.runner.run_until_idle();
    assert_eq!(kept.wait().expect("answered"), Ok(Epoch(3)));
    let fewer = DistributionRule { buckets: 1, ..settings().rule };
    assert_eq!(kernel.set_rule(fewer), Err(Error::RuleIsSet), "slice 1 is in the log");
    let rule = DistributionRule { b1: 5, buckets: 9, ..settings().rule };
    assert_eq!((kernel.set_rule(rule), kernel.set_rule(rule)), (Ok(()), Ok(())));
    let beyond = kernel.lead(SliceId(8)).expect("the rule has it now");
    // Tag 6 lies in slice 1 of the new rule, tag 41 in slice 8.
    let records = [(&led, 6), (&beyond, 41)].map(|(led, tag)| (led, record(&kernel, at(0, 0), at(3, 1), tag, 7)));
    for (led, record) in records {
        let logged = led.log(vec![record]);
        simulation.runner.run_until_idle();
        assert_eq!(logged.wait().expect("answered"), Ok(at(3, 1)));
        led.publish(at(3, 1)).expect("it is synced");
    }
    let all = vec![(6, 1, 7), (41, 1, 7)];
    assert_eq!(rows(&kernel.snapshot()), Ok(all.clone()));
    assert_eq!(kernel.latest_many(&[TagId(6), TagId(41)]).expect("readable").found, [true, true]);
    assert_eq!(kernel.set_rule(settings().rule), Err(Error::RuleIsSet));
    assert_eq!(kernel.set_rule(rule), Ok(()), "to the same");
    drop((kernel, led, beyond));
    simulation.crash();
    let kernel = open(&simulation, settings()).expect("a store");
    assert_eq!(kernel.rule(), rule);
    for led in kernel.led_slices() {
        assert!(led.recovered().epoch <= Epoch(3));
        led.publish(at(3, 1)).expect("it was synced");
    }
    assert_eq!(rows(&kernel.snapshot()), Ok(all));
}

/// The kinds of whoever composes elsewhere: more tags than are known here.
struct More;

impl Kinds for More {
    fn kind(&self, _: TagId) -> Option<Kind> {
        Some(Kind::I64)
    }
}

/// What another process composed is copied, checked and numbered here; what is not the slice's is refused, whatever bytes come.
#[test]
fn a_body_from_elsewhere_is_checked() {
    let simulation = Simulation::new(5);
    let (kernel, led) = led_store(&simulation);
    let composed = |tag: u64, deletions: &[Deletion]| {
        let (tags, times) = ([TagId(tag); 3], [1, 2, 3].map(Timestamp));
        let samples = [Samples::new(&tags, &times, &[7; 3], None).expect("columns of one length")];
        let write = Write { samples: &samples, ..Write::default() };
        kernel::compose(&kernel.rule(), &More, &write, deletions).expect("whoever composes knows the tags").remove(0)
    };
    let deletion = Deletion::Points(vec![(TagId(5), Timestamp(9))]);
    let (slice, body) = composed(5, std::slice::from_ref(&deletion));
    assert_eq!(slice, SliceId(1));
    is_led_fault(kernel.led_draft(SliceId(2), &body, &[]).map(|_| ()), 2, "is of another slice");
    let [first, second] = [(); 2].map(|()| kernel.led_draft(slice, &body, &[]).expect("it is the slice's").whole());
    assert_ne!(first, second, "each has a number of its own");
    let (_, beyond) = composed(1_001, &[]);
    assert_eq!(kernel.led_draft(slice, &beyond, &[]).map(|_| ()), Err(Error::UnknownTag(TagId(1_001))));
    for cut in 0..body.len() {
        assert!(kernel.led_draft(slice, &body[..cut], &[]).is_err(), "cut at {cut}");
    }
    let (random, mut last, mut taken) = (SeededRandom::new(5), Version::default(), 0);
    for _ in 0..4_000 {
        let mut bytes = body.to_vec();
        for _ in 0..=random.next_u64() % 2 {
            let place = random.next_u64() as usize % bytes.len();
            bytes[place] = random.next_u64() as u8;
        }
        // What is taken can be logged; what is not is refused before it has a place.
        let Ok(draft) = kernel.led_draft(slice, &bytes, &[]) else { continue };
        let version = at(1, last.sequence.0 + 1);
        let logged = led.log(vec![Record { version, prev: last, origin: None, digest: 0, body: draft.whole() }]);
        simulation.runner.run_until_idle();
        assert_eq!(logged.wait().expect("answered"), Ok(version));
        (last, taken) = (version, taken + 1);
    }
    assert!((100..3_900).contains(&taken), "{taken} were taken");
}
