//! etcd killed, stopped, wiped, brought back from an old copy, compacted.

use crate::conformance::{Bench, key};
use crate::members::{Members, patiently};
use crate::{Networked, runtime};
use meta::{Changed, Error, Is, Meta, Range, Revision, Swap, Swapped};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn what_was_answered_is_there_after_kill_minus_nine() {
    let (mut members, runtime) = (Members::start(1, None), runtime());
    let meta = members.connect(&runtime, &members.settings(), None).expect("an answer that is no fault");
    let put = |i: usize| Swap::new().when(&key(&format!("k/{i}")), Is::Absent).put(&key(&format!("k/{i}")), "v");
    let answered: Vec<usize> =
        (0..20).filter(|i| meta.swap(put(*i)).wait().expect("an answer that is no fault").is_ok()).collect();
    assert_eq!(answered.len(), 20);
    members.kill(0);
    // Nobody is there to be asked: nothing can have changed, and that is what is said.
    let away = meta.get(&[]).wait().expect("an answer that is no fault");
    assert!(matches!(away, Err(Error::Unavailable(_))), "{away:?}");
    let away = meta.swap(put(20)).wait().expect("an answer that is no fault");
    assert!(matches!(away, Err(Error::Unavailable(_))), "{away:?}");
    members.begin(0);
    let page = patiently(|| meta.range(&Range::prefix("k/").expect("an answer that is no fault"), 100))
        .expect("an answer that is no fault");
    assert_eq!(page.entries.len(), 20);
}

#[test]
fn a_swap_in_doubt_is_settled_by_sending_it_again() {
    let (members, runtime) = (Members::start(1, None), runtime());
    let mut settings = members.settings();
    settings.limits.request = Duration::from_millis(200);
    let meta = members.connect(&runtime, &settings, None).expect("an answer that is no fault");
    let place = key("epoch");
    let mut revision = match patiently(|| meta.swap(Swap::new().when(&place, Is::Absent).put(&place, "0")))
        .expect("an answer that is no fault")
    {
        Swapped::Done { revision } => revision,
        conflict => panic!("{conflict:?}"),
    };
    for round in 1..6 {
        let swap = Swap::new().when(&place, Is::Modified(revision)).put(&place, format!("{round}"));
        assert!(swap.is_repeatable());
        members.signal(0, "STOP");
        // It lies in the stopped process's socket and may still happen.
        let doubt = meta.swap(swap.clone()).wait().expect("an answer that is no fault");
        assert!(matches!(doubt, Err(Error::InDoubt(_))), "{doubt:?}");
        assert!(matches!(meta.get(&[]).wait().expect("an answer that is no fault"), Err(Error::Unavailable(_))));
        members.signal(0, "CONT");
        let settled = patiently(|| meta.swap(swap.clone())).expect("an answer that is no fault");
        revision = match settled {
            Swapped::Done { revision } => revision,
            Swapped::Conflict { found, .. } => {
                let entry = found.into_iter().next().flatten().expect("nobody deletes it");
                assert_eq!(entry.value, format!("{round}"), "nobody else writes it");
                entry.modified
            }
        };
        let found = patiently(|| meta.get(std::slice::from_ref(&place))).expect("an answer that is no fault");
        assert_eq!(found.entries[0].as_ref().map(|entry| entry.modified), Some(revision), "once, and settled");
    }
}

/// Adds one to a counter, whatever happens to the meta meanwhile.
fn add_one(meta: &dyn Meta, who: usize, count: usize) {
    let place = key("counter");
    let ours = format!("by {who}, {count}");
    loop {
        let found = patiently(|| meta.get(&[place.clone(), key("last")])).expect("an answer that is no fault");
        let entry = found.entries[0].clone().expect("it is there");
        let number: usize =
            std::str::from_utf8(&entry.value).expect("an answer that is no fault").parse().expect("an answer that is no fault");
        let swap = Swap::new()
            .when(&place, Is::Modified(entry.modified))
            .when(&key(&format!("done/{ours}")), Is::Absent)
            .put(&place, (number + 1).to_string())
            .put(&key(&format!("done/{ours}")), "");
        match patiently(|| meta.swap(swap.clone())).expect("an answer that is no fault") {
            Swapped::Done { .. } => return,
            // It happened when it was sent before.
            Swapped::Conflict { found, .. } if found[1].is_some() => return,
            Swapped::Conflict { .. } => {}
        }
    }
}

#[test]
fn counting_goes_on_exactly_while_members_die_in_turn() {
    const THREADS: usize = 3;
    let (mut members, runtime) = (Members::start(3, None), runtime());
    let mut settings = members.settings();
    settings.limits.request = Duration::from_secs(1);
    let meta: Arc<dyn Meta> = Arc::new(members.connect(&runtime, &settings, None).expect("an answer that is no fault"));
    patiently(|| meta.swap(Swap::new().when(&key("counter"), Is::Absent).put(&key("counter"), "0")))
        .expect("an answer that is no fault");
    let (stop, counted) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for who in 0..THREADS {
            let (meta, stop, counted) = (&meta, &stop, &counted);
            scope.spawn(move || {
                for count in 0.. {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    add_one(&**meta, who, count);
                    counted.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        let bench = Networked { meta: Arc::clone(&meta), _runtime: Arc::clone(&runtime) };
        let further = |what: &str| {
            let now = counted.load(Ordering::Acquire);
            bench.until(what, || counted.load(Ordering::Acquire) >= now + 5);
        };
        for victim in 0..3 {
            further("counting goes on with all members");
            members.kill(victim);
            further("counting goes on with two of three");
            members.begin(victim);
        }
        members.signal(1, "STOP");
        further("counting goes on with one stopped");
        members.signal(1, "CONT");
        stop.store(true, Ordering::Release);
    });
    let found = patiently(|| meta.get(&[key("counter")])).expect("an answer that is no fault");
    let number = found.entries[0].as_ref().expect("an answer that is no fault").value.clone();
    assert_eq!(number, counted.load(Ordering::Acquire).to_string(), "no more and no fewer than were counted");
}

#[test]
fn without_a_majority_nothing_is_changed_or_believed() {
    let (mut members, runtime) = (Members::start(3, None), runtime());
    let mut settings = members.settings();
    settings.limits.request = Duration::from_millis(500);
    let meta = members.connect(&runtime, &settings, None).expect("an answer that is no fault");
    members.kill(1);
    members.kill(2);
    let read = meta.get(&[]).wait().expect("an answer that is no fault");
    assert!(matches!(read, Err(Error::Unavailable(_))), "a read that one member alone answers may be old: {read:?}");
    let swap = Swap::new().when(&key("a"), Is::Absent).put(&key("a"), "1");
    let answer = meta.swap(swap.clone()).wait().expect("an answer that is no fault");
    assert!(matches!(answer, Err(Error::InDoubt(_) | Error::Unavailable(_))), "{answer:?}");
    members.begin(1);
    // Now, or when it was sent first: once.
    patiently(|| meta.swap(swap.clone())).expect("an answer that is no fault");
    let found = patiently(|| meta.get(&[key("a")])).expect("an answer that is no fault");
    assert_eq!(found.entries[0].as_ref().map(|entry| &entry.value[..]), Some(&b"1"[..]));
}

#[test]
fn a_wiped_or_old_etcd_is_recognised() {
    let (mut members, runtime) = (Members::start(1, None), runtime());
    let settings = members.settings();
    let meta = members.connect(&runtime, &settings, None).expect("an answer that is no fault");
    let put = |text: &'static str| patiently(|| meta.swap(Swap::new().put(&key("a"), text)));
    put("1").expect("an answer that is no fault");
    members.kill(0);
    members.copy(0, false);
    members.begin(0);
    put("2").expect("an answer that is no fault");
    let witness = meta.witness();

    members.kill(0);
    members.copy(0, true);
    members.begin(0);
    assert!(matches!(patiently(|| meta.get(&[])), Err(Error::Older { .. })));
    assert!(matches!(members.connect(&runtime, &settings, Some(witness)), Err(Error::Older { .. })));

    members.kill(0);
    members.wipe(0);
    members.begin(0);
    assert!(matches!(patiently(|| meta.get(&[])), Err(Error::Foreign { found: None, .. })));
    assert!(matches!(put("3"), Err(Error::Foreign { .. })));
    assert!(matches!(members.connect(&runtime, &settings, Some(witness)), Err(Error::Foreign { found: None, .. })));
    // Who belongs to none makes it another one.
    let other = members.connect(&runtime, &settings, None).expect("an answer that is no fault");
    assert_ne!(other.witness().id, witness.id);
    assert!(matches!(patiently(|| meta.get(&[])), Err(Error::Foreign { found: Some(_), .. })));
    assert!(matches!(members.connect(&runtime, &settings, Some(witness)), Err(Error::Foreign { found: Some(_), .. })));
}

#[test]
fn a_watch_goes_on_through_restarts_and_compaction() {
    let (mut members, runtime) = (Members::start(1, None), runtime());
    let meta = Arc::new(members.connect(&runtime, &members.settings(), None).expect("an answer that is no fault"));
    let bench = Networked { meta: Arc::clone(&meta) as Arc<dyn Meta>, _runtime: Arc::clone(&runtime) };
    let range = Range::prefix("w/").expect("an answer that is no fault");
    let mut watch = meta.watch(&range, bench.good(meta.get(&[])).revision).expect("an answer that is no fault");
    let mut ticket = watch.hint();
    let mut wait_for = |name: &str| {
        let put = Swap::new().when(&key(name), Is::Absent).put(&key(name), "1");
        patiently(|| meta.swap(put.clone())).expect("an answer that is no fault");
        bench.until("the change is hinted at", || {
            let Some(hint) = ticket.try_take() else { return false };
            ticket = watch.hint();
            match hint.expect("meta lives").changed {
                Changed::Keys(keys) => keys.contains(&key(name)),
                Changed::Anything => true,
            }
        });
    };
    wait_for("w/1");
    members.kill(0);
    members.begin(0);
    wait_for("w/2");
    members.signal(0, "STOP");
    members.signal(0, "CONT");
    wait_for("w/3");

    // What a watch asks for from the beginning is compacted away: it may be anything, and then it goes on.
    for _ in 0..5 {
        bench.good(meta.swap(Swap::new().put(&key("w/4"), "x")));
    }
    let revision = bench.good(meta.get(&[])).revision;
    members.control(&["compact", &revision.0.to_string()]);
    let mut late = meta.watch(&range, Revision(0)).expect("an answer that is no fault");
    let hint = bench.answer(late.hint()).expect("an answer that is no fault");
    assert_eq!(hint.changed, Changed::Anything);
    let next = late.hint();
    bench.good(meta.swap(Swap::new().put(&key("w/5"), "x")));
    let hint = bench.answer(next).expect("an answer that is no fault");
    assert!(matches!(&hint.changed, Changed::Keys(keys) if keys.contains(&key("w/5"))), "{hint:?}");
    drop(watch);
    // When the meta goes, whoever watches is told.
    let end = late.hint();
    drop((bench, meta));
    assert!(end.wait().is_err());
}
