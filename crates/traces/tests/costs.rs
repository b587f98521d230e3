//! What tracing costs whoever is not traced: no allocation, with and without a tracer.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Task, Poll, Waker};
use traces::{Context, Kind, Settings};
use world::{Clock, Random};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed on as it came to the system's allocator, which keeps the contract; the count is a cell of the thread,
// made without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Still;

impl Clock for Still {
    fn wall_us(&self) -> i64 {
        1
    }

    fn monotonic_us(&self) -> u64 {
        1
    }
}

struct Numbers(AtomicU64);

impl Random for Numbers {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(u64::MAX / 7, Ordering::Relaxed)
    }
}

/// How often something allocates.
fn allocations(done: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    done();
    ALLOCATIONS.get() - before
}

/// What a statement that is not recorded asks of this room.
fn unrecorded(context: Option<Context>) {
    for _ in 0..1_000 {
        assert!(traces::begin(context, "statement", Kind::Server).is_none());
        let polled = pin!(traces::within(context, async { traces::child("part", Kind::Internal).is_none() }));
        assert_eq!(polled.poll(&mut Task::from_waker(Waker::noop())), Poll::Ready(true));
    }
}

#[test]
fn who_is_not_recorded_allocates_nothing() {
    let context: Context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().expect("it is one");
    let unsampled = Some(Context { sampled: false, ..context });
    assert_eq!(allocations(|| unrecorded(Some(context))), 0, "without a tracer");
    assert!(traces::install(Settings { sample: 0.0, clock: Arc::new(Still), random: Arc::new(Numbers(AtomicU64::new(1))) }));
    assert_eq!(allocations(|| unrecorded(unsampled)), 0, "its client says so");
    assert_eq!(allocations(|| unrecorded(None)), 0, "nobody asks for it");
    assert!(allocations(|| drop(traces::begin(Some(context), "statement", Kind::Server))) > 0, "this one is recorded");
}
