//! What may not happen in this process while somebody sends it garbage: a panic on any thread, and much memory.

use crate::noise::memory_kib;
use std::panic;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What may not happen in a process while somebody sends it garbage.
pub struct Watch {
    panics: usize,
    kib: u64,
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

impl Watch {
    /// From now on.
    pub fn begin() -> Watch {
        static HOOK: OnceLock<()> = OnceLock::new();
        HOOK.get_or_init(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |told| {
                // As the program's own log has it.
                if !server::flight::is_reading() {
                    PANICS.fetch_add(1, Ordering::Relaxed);
                    before(told);
                }
            }));
        });
        Watch { panics: PANICS.load(Ordering::Relaxed), kib: memory_kib("self") }
    }

    /// Nothing has panicked, and no more than so many MiB were needed.
    pub fn check(&self, mib: u64) {
        assert_eq!(PANICS.load(Ordering::Relaxed), self.panics, "something panicked; see above");
        let more = memory_kib("self").saturating_sub(self.kib) >> 10;
        assert!(more <= mib, "{more} MiB more were in memory");
    }
}
