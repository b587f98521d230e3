//! The process's one tracer: what is recorded, and the queue of what waits to be told.
//!
//! Shared state: the tracer, set once; its queue, a mutex that is held for a push or for taking all; counters.

use crate::context::{Context, TraceId};
use crate::current::current;
use crate::span::{Finished, Kind, Span};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use world::{Clock, Random};

/// So many spans that have ended wait at most; one more is dropped.
pub const SPANS_WAITING_MAX: usize = 8_192;
/// Whoever exports waits until there are so many, or for its limit.
const SPANS_AT_ONCE: usize = 512;

static TRACER: OnceLock<Arc<Tracer>> = OnceLock::new();

/// What a tracer stands on.
pub struct Settings {
    /// How many of the traces that begin here are recorded, 0 to 1; those that a client began are recorded as it says.
    pub sample: f64,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where numbers come from.
    pub random: Arc<dyn Random>,
}

/// What became of spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Told.
    pub exported: u64,
    /// Not told: there was no room, or nobody to tell them to.
    pub dropped: u64,
}

/// The tracer.
pub(crate) struct Tracer {
    /// A trace begins here where a random number is below: of 2^32.
    below: u64,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    waiting: Mutex<Vec<Finished>>,
    some: Condvar,
    stopping: AtomicBool,
    exported: AtomicU64,
    dropped: AtomicU64,
}

/// Has this process record spans from now on. False where it does already.
pub fn install(settings: Settings) -> bool {
    let Settings { sample, clock, random } = settings;
    let below = (sample.clamp(0.0, 1.0) * f64::from(u32::MAX)).ceil() as u64;
    let below = if sample >= 1.0 { 1 << 32 } else { below };
    let tracer = Tracer {
        below,
        clock,
        random,
        waiting: Mutex::default(),
        some: Condvar::new(),
        stopping: AtomicBool::new(false),
        exported: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
    };
    TRACER.set(Arc::new(tracer)).is_ok()
}

/// A span of something that a client asks for: in the client's trace where it has one, and as it says; else one of so many begins
/// a trace here.
#[must_use]
pub fn begin(parent: Option<Context>, name: &'static str, kind: Kind) -> Option<Span> {
    let tracer = TRACER.get()?;
    match parent {
        Some(parent) => under(Some(parent), name, kind),
        None => tracer.draws().then(|| Span::begin(Arc::clone(tracer), tracer.trace(), 0, name, kind)),
    }
}

/// A span of a recorded trace; none of any other.
#[must_use]
pub fn under(parent: Option<Context>, name: &'static str, kind: Kind) -> Option<Span> {
    let parent = parent.filter(|parent| parent.sampled)?;
    let tracer = TRACER.get()?;
    Some(Span::begin(Arc::clone(tracer), parent.trace, parent.span, name, kind))
}

/// A span of whatever this thread works for now, where that is recorded.
#[must_use]
pub fn child(name: &'static str, kind: Kind) -> Option<Span> {
    under(current(), name, kind)
}

/// A span of its own that ends now and began so many microseconds ago: one of so many.
#[must_use]
pub fn past(name: &'static str, took_us: u64) -> Option<Span> {
    let mut span = begin(None, name, Kind::Internal)?;
    span.began_earlier(took_us);
    Some(span)
}

/// What became of spans so far.
#[must_use]
pub fn counts() -> Counts {
    let Some(tracer) = TRACER.get() else { return Counts::default() };
    Counts { exported: tracer.exported.load(Ordering::Relaxed), dropped: tracer.dropped.load(Ordering::Relaxed) }
}

/// Waits for so long, or until many spans have ended, and takes them. None once the tracer stops and all are taken. For the one who
/// exports them.
#[must_use]
pub fn take(limit: Duration) -> Option<Vec<Finished>> {
    let tracer = TRACER.get()?;
    let mut waiting = tracer.waiting.lock();
    if waiting.len() < SPANS_AT_ONCE && !tracer.stopping.load(Ordering::Acquire) {
        tracer.some.wait_for(&mut waiting, limit);
    }
    let taken = std::mem::take(&mut *waiting);
    if taken.is_empty() && tracer.stopping.load(Ordering::Acquire) { None } else { Some(taken) }
}

/// Has `take` end.
pub fn stop() {
    if let Some(tracer) = TRACER.get() {
        tracer.stopping.store(true, Ordering::Release);
        tracer.some.notify_all();
    }
}

/// So many spans were told.
pub fn note_exported(spans: usize) {
    if let Some(tracer) = TRACER.get() {
        tracer.exported.fetch_add(spans as u64, Ordering::Relaxed);
    }
}

/// So many spans could not be told.
pub fn note_dropped(spans: usize) {
    if let Some(tracer) = TRACER.get() {
        tracer.dropped.fetch_add(spans as u64, Ordering::Relaxed);
    }
}

impl Tracer {
    fn draws(&self) -> bool {
        self.below > 0 && self.random.next_u64() >> 32 < self.below
    }

    fn trace(&self) -> TraceId {
        TraceId(u128::from(self.number()) << 64 | u128::from(self.random.next_u64()))
    }

    /// A number that is not zero.
    pub(crate) fn number(&self) -> u64 {
        self.random.next_u64().max(1)
    }

    pub(crate) fn now(&self) -> (i64, u64) {
        (self.clock.wall_us(), self.clock.monotonic_us())
    }

    pub(crate) fn put(&self, span: Finished) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= SPANS_WAITING_MAX || self.stopping.load(Ordering::Acquire) {
            drop(waiting);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push(span);
        let enough = waiting.len() == SPANS_AT_ONCE;
        drop(waiting);
        if enough {
            self.some.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::current::enter;
    use std::sync::atomic::AtomicI64;

    struct Ticking(AtomicI64);

    impl Clock for Ticking {
        fn wall_us(&self) -> i64 {
            1_000_000 + self.0.fetch_add(0, Ordering::Relaxed)
        }

        fn monotonic_us(&self) -> u64 {
            self.0.fetch_add(10, Ordering::Relaxed) as u64
        }
    }

    struct Numbers(AtomicU64);

    impl Random for Numbers {
        fn next_u64(&self) -> u64 {
            self.0.fetch_add(1, Ordering::Relaxed)
        }
    }

    /// One test, since a process has one tracer.
    #[test]
    fn spans_tell_of_recorded_traces_alone() {
        let context: Context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().expect("it is one");
        assert!(begin(Some(context), "before", Kind::Server).is_none(), "there is no tracer");
        let (clock, random) = (Arc::new(Ticking(AtomicI64::new(0))), Arc::new(Numbers(AtomicU64::new(1))));
        assert!(install(Settings { sample: 0.0, clock, random }));
        assert!(begin(None, "nobody's", Kind::Server).is_none());
        assert!(begin(Some(Context { sampled: false, ..context }), "not recorded", Kind::Server).is_none());
        let mut outer = begin(Some(context), "outer", Kind::Server).expect("it is recorded");
        outer.set("rows", 3);
        let entered = enter(Some(outer.context()));
        let mut inner = child("inner", Kind::Internal).expect("it is part of it");
        inner.fail("it broke");
        drop((inner, entered));
        outer.rest();
        let resting = outer.context();
        drop(outer);
        assert!(child("after", Kind::Internal).is_none());
        let told = take(Duration::ZERO).expect("it goes on");
        let [inner, outer] = &told[..] else { panic!("two spans: {told:?}") };
        assert_eq!((inner.trace, inner.parent, outer.parent), (context.trace, resting.span, context.span));
        assert_eq!((outer.attributes.len(), inner.error.as_deref()), (1, Some("it broke")));
        assert!(outer.took_us > inner.took_us && inner.took_us > 0);
        // Beyond the queue's length they are dropped, and counted.
        (0..=SPANS_WAITING_MAX).for_each(|_| drop(under(Some(context), "many", Kind::Internal)));
        assert_eq!(counts(), Counts { exported: 0, dropped: 1 });
        assert_eq!(take(Duration::ZERO).map(|taken| taken.len()), Some(SPANS_WAITING_MAX));
        stop();
        assert_eq!(take(Duration::from_secs(60)), None);
    }
}
