//! Single behaviours: swaps, ranges, limits, watches.

use super::{Bench, key};
use meta::{Changed, Entry, Error, Is, Key, PAGE_ENTRIES_MAX, Range, Revision, SWAP_KEYS_MAX, Swap, Swapped};
use std::collections::BTreeSet;

fn done(bench: &impl Bench, swap: Swap) -> Revision {
    match bench.good(bench.meta().swap(swap)) {
        Swapped::Done { revision } => revision,
        conflict => panic!("the swap should have been made: {conflict:?}"),
    }
}

fn conflict(bench: &impl Bench, swap: Swap) -> Vec<Option<Entry>> {
    match bench.good(bench.meta().swap(swap)) {
        Swapped::Conflict { found, .. } => found,
        done => panic!("the swap should not have been made: {done:?}"),
    }
}

fn value(bench: &impl Bench, of: &Key) -> Option<Vec<u8>> {
    let found = bench.good(bench.meta().get(std::slice::from_ref(of)));
    found.entries.into_iter().next().expect("an answer for the key").map(|entry| entry.value.to_vec())
}

pub fn conditions_and_revisions(bench: &impl Bench) {
    let (a, b) = (key("single/a"), key("single/b"));
    let start = bench.good(bench.meta().get(&[])).revision;
    let first = done(bench, Swap::new().when(&a, Is::Absent).put(&a, "1").put(&b, "1"));
    assert_eq!(first, Revision(start.0 + 1), "one revision a swap, however many keys");
    let found = conflict(bench, Swap::new().when(&a, Is::Absent).when(&key("single/none"), Is::Absent).put(&a, "2"));
    let entry = Entry { key: a.clone(), value: "1".into(), modified: first, lease: None };
    assert_eq!(found, [Some(entry), None], "a conflict shows what stands there");

    let second = done(bench, Swap::new().when(&a, Is::Modified(first)).put(&a, "1"));
    assert_eq!(second.0, first.0 + 1, "the same value again is a change");
    conflict(bench, Swap::new().when(&a, Is::Modified(first)).put(&a, "3"));
    let third = done(bench, Swap::new().when(&a, Is::Value("1".into())).put(&a, ""));
    conflict(bench, Swap::new().when(&a, Is::Value("1".into())).put(&a, "3"));
    conflict(bench, Swap::new().when(&key("single/none"), Is::Value("".into())).put(&a, "3"));
    conflict(bench, Swap::new().when(&key("single/none"), Is::Modified(Revision(0))).put(&a, "3"));
    assert_eq!(value(bench, &a), Some(Vec::new()), "an empty value is a value");

    assert_eq!(done(bench, Swap::new().delete(&key("single/none"))), third, "nothing changed");
    assert_eq!(done(bench, Swap::new().when(&a, Is::Modified(third))), third, "nothing was written");
    let fourth = done(bench, Swap::new().when(&a, Is::Modified(third)).delete(&a).delete(&b));
    assert_eq!(fourth.0, third.0 + 1);
    assert_eq!((value(bench, &a), value(bench, &b)), (None, None));
    done(bench, Swap::new().when(&a, Is::Absent).put(&a, "again"));
    let found = bench.good(bench.meta().get(&[b, a.clone(), a]));
    let texts: Vec<_> = found.entries.iter().map(|entry| entry.as_ref().map(|entry| entry.value.clone())).collect();
    assert_eq!(texts, [None, Some("again".into()), Some("again".into())], "answers in the order of the questions");
    assert_eq!(found.revision.0, fourth.0 + 1);
}

pub fn a_swap_is_whole_or_nothing(bench: &impl Bench) {
    let keys: Vec<Key> = (0..SWAP_KEYS_MAX).map(|i| key(&format!("whole/{i}"))).collect();
    let put = |text: &'static str| keys.iter().fold(Swap::new(), move |swap, key| swap.put(key, text));
    let absent = |swap: Swap| keys.iter().fold(swap, |swap, key| swap.when(key, Is::Absent));
    let revision = done(bench, absent(put("1")));
    conflict(bench, absent(put("2")));
    conflict(bench, put("2").when(&keys[SWAP_KEYS_MAX - 1], Is::Value("2".into())));
    let found = bench.good(bench.meta().get(&keys));
    for (entry, key) in found.entries.iter().zip(&keys) {
        assert_eq!(entry, &Some(Entry { key: key.clone(), value: "1".into(), modified: revision, lease: None }));
    }
}

pub fn one_of_many_wins(bench: &impl Bench) {
    let (race, meta) = (key("race"), bench.meta());
    let tickets: Vec<_> = (0..40).map(|i| meta.swap(Swap::new().when(&race, Is::Absent).put(&race, format!("{i}")))).collect();
    let answers: Vec<Swapped> = tickets.into_iter().map(|ticket| bench.good(ticket)).collect();
    let winners: Vec<usize> = (0..40).filter(|i| matches!(answers[*i], Swapped::Done { .. })).collect();
    assert_eq!(winners.len(), 1, "winners: {winners:?}");
    assert_eq!(value(bench, &race), Some(winners[0].to_string().into_bytes()));
}

pub fn ranges_come_in_pages(bench: &impl Bench) {
    let meta = bench.meta();
    let key_of = |i: usize| key(&format!("page/{i:03}"));
    for start in (0..250).step_by(50) {
        done(bench, (start..start + 50).fold(Swap::new(), |swap, i| swap.put(&key_of(i), format!("{i}"))));
    }
    done(bench, Swap::new().put(&key("page0"), "behind").put(&key("pag"), "before"));
    let all = Range::prefix("page/").expect("an answer that is no fault");
    for limit in [1, 7, 50, 249, 250, 251, PAGE_ENTRIES_MAX] {
        let (mut range, mut read) = (all.clone(), Vec::new());
        loop {
            let page = bench.good(meta.range(&range, limit));
            assert!(page.entries.len() <= limit && (!page.more || page.entries.len() == limit));
            read.extend(page.entries.iter().map(|entry| entry.key.clone()));
            match page.entries.last().filter(|_| page.more) {
                Some(last) => range = range.after(&last.key),
                None => break,
            }
        }
        assert_eq!(read, (0..250).map(key_of).collect::<Vec<_>>(), "pages of {limit}");
    }
    let one = bench.good(meta.range(&Range::key(&key_of(7)), 10));
    assert_eq!((one.entries.len(), one.more, &one.entries[0].value[..]), (1, false, &b"7"[..]));
    assert!(bench.good(meta.range(&Range::prefix("nothing/").expect("an answer that is no fault"), 10)).entries.is_empty());
    assert!(bench.good(meta.range(&Range::between("z", "a"), 10)).entries.is_empty());
}

pub fn limits_are_refused_and_change_nothing(bench: &impl Bench) {
    let meta = bench.meta();
    let before = bench.good(meta.get(&[])).revision;
    let many = (0..=SWAP_KEYS_MAX).fold(Swap::new(), |swap, i| swap.put(&key(&format!("limit/{i}")), "x"));
    let wide = Swap::new().put(&key("limit/wide"), vec![0; meta::VALUE_BYTES_MAX + 1]);
    for swap in [many, wide] {
        assert!(matches!(bench.answer(meta.swap(swap)), Ok(Err(Error::Invalid(_)))));
    }
    let keys = vec![key("limit/1"); SWAP_KEYS_MAX + 1];
    assert!(matches!(bench.answer(meta.get(&keys)), Ok(Err(Error::Invalid(_)))));
    for limit in [0, PAGE_ENTRIES_MAX + 1] {
        let answer = bench.answer(meta.range(&Range::prefix("limit/").expect("an answer that is no fault"), limit));
        assert!(matches!(answer, Ok(Err(Error::Invalid(_)))));
    }
    assert_eq!(bench.good(meta.get(&[])).revision, before);
    // The widest swap that is allowed is taken.
    let wide = (0..60).fold(Swap::new(), |swap, i| swap.put(&key(&format!("limit/{i}")), vec![7; meta::VALUE_BYTES_MAX]));
    assert_eq!(done(bench, wide), Revision(before.0 + 1));
}

pub fn watches_hint(bench: &impl Bench) {
    let meta = bench.meta();
    let (a, b, c) = (key("watch/a"), key("watch/b"), key("other/c"));
    let start = done(bench, Swap::new().put(&a, "0"));
    let mut watch =
        meta.watch(&Range::prefix("watch/").expect("an answer that is no fault"), start).expect("an answer that is no fault");
    let revision = done(bench, Swap::new().put(&b, "1").put(&c, "1"));
    let hint = bench.answer(watch.hint()).expect("an answer that is no fault");
    assert!(names(&hint.changed, &b) && hint.revision >= revision, "{hint:?}");
    let mut ticket = watch.hint();
    done(bench, Swap::new().put(&c, "2"));
    let revision = done(bench, Swap::new().delete(&a));
    let mut seen = BTreeSet::new();
    bench.until("the deletion is hinted at", || {
        if let Some(hint) = ticket.try_take() {
            let hint = hint.expect("meta lives");
            assert!(!matches!(&hint.changed, Changed::Keys(keys) if keys.contains(&c)), "not of its range");
            seen.extend(names(&hint.changed, &a).then_some(hint.revision));
            ticket = watch.hint();
        }
        seen.last().is_some_and(|last| *last >= revision)
    });
    // A watch that begins in the past tells of what happened since.
    let mut late =
        meta.watch(&Range::prefix("watch/").expect("an answer that is no fault"), start).expect("an answer that is no fault");
    let hint = bench.answer(late.hint()).expect("an answer that is no fault");
    assert!(names(&hint.changed, &b) || names(&hint.changed, &a), "{hint:?}");
}

fn names(changed: &Changed, key: &Key) -> bool {
    match changed {
        Changed::Keys(keys) => keys.contains(key),
        Changed::Anything => true,
    }
}
