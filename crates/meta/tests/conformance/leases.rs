//! Leases: they end when nobody renews them, and their keys with them.

use super::{Bench, key};
use meta::{Error, Is, LeaseId, Revision, Swap, Swapped};
use std::time::Duration;

const ASKED: Duration = Duration::from_millis(1_500);

fn there(bench: &impl Bench, text: &str) -> bool {
    bench.good(bench.meta().get(&[key(text)])).entries[0].is_some()
}

pub fn a_lease_ends_with_its_keys(bench: &impl Bench) {
    let meta = bench.meta();
    let lease = bench.good(meta.grant(ASKED));
    assert!(lease.lasts >= ASKED);
    let both = Swap::new().put_leased(&key("lease/a"), "1", lease.id).put_leased(&key("lease/b"), "1", lease.id);
    bench.good(meta.swap(both.put(&key("lease/c"), "1")));
    // Written without it, a key lets go of its lease.
    bench.good(meta.swap(Swap::new().put(&key("lease/b"), "2")));
    let found = bench.good(meta.get(&[key("lease/a"), key("lease/b")]));
    let leases: Vec<Option<LeaseId>> = found.entries.iter().flatten().map(|entry| entry.lease).collect();
    assert_eq!(leases, [Some(lease.id), None]);
    bench.until("a key ends with its lease", || !there(bench, "lease/a"));
    assert!(there(bench, "lease/b") && there(bench, "lease/c"));
    gone(bench, lease.id);
}

/// A lease that has ended is of no use, and a swap that names it does nothing.
fn gone(bench: &impl Bench, lease: LeaseId) {
    let meta = bench.meta();
    assert_eq!(bench.answer(meta.keep_alive(lease)).expect("an answer that is no fault"), Err(Error::LeaseGone(lease)));
    assert_eq!(bench.answer(meta.revoke(lease)).expect("an answer that is no fault"), Err(Error::LeaseGone(lease)));
    let swap = Swap::new().put(&key("lease/none"), "1").put_leased(&key("lease/x"), "1", lease);
    assert_eq!(bench.answer(meta.swap(swap)).expect("an answer that is no fault"), Err(Error::LeaseGone(lease)));
    assert!(!there(bench, "lease/none"));
    // A conflict goes before: the lease is not looked at.
    let swap = Swap::new().when(&key("lease/none"), Is::Modified(Revision(1))).put_leased(&key("lease/x"), "1", lease);
    assert!(matches!(bench.good(meta.swap(swap)), Swapped::Conflict { .. }));
}

pub fn a_lease_that_is_renewed_lasts(bench: &impl Bench) {
    let meta = bench.meta();
    let (kept, left) = (bench.good(meta.grant(ASKED)), bench.good(meta.grant(ASKED)));
    let swap = Swap::new().put_leased(&key("kept"), "1", kept.id).put_leased(&key("left"), "1", left.id);
    bench.good(meta.swap(swap));
    // Granted first, it would end first if renewing did nothing.
    bench.until("the lease that nobody renews ends", || {
        assert!(bench.good(meta.keep_alive(kept.id)) >= ASKED);
        !there(bench, "left")
    });
    assert!(there(bench, "kept"));
    bench.good(meta.revoke(kept.id));
    assert!(!there(bench, "kept"));
    gone(bench, kept.id);
}
