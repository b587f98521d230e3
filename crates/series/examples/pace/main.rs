//! Prints what each step of ingest and reading costs, in nanoseconds a point on one core:
//! `cargo run --release -p series --example pace`. It promises nothing; it measures.

mod ingest;

use std::hint::black_box;

/// Runs `work` a few times and prints the least time on a core, divided by `points`: what others
/// do on the machine meanwhile counts little.
fn measure<T>(name: &str, points: usize, times: usize, mut work: impl FnMut() -> T) {
    let mut best = u64::MAX;
    for _ in 0..times {
        let start = core_ns();
        black_box(work());
        best = best.min(core_ns() - start);
    }
    println!("{name:60} {:8.1} ns/point", best as f64 / points as f64);
}

/// Nanoseconds that this thread had a core (Linux).
fn core_ns() -> u64 {
    // The count is brought up to date when the thread is asked to give way.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts time on a core");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("the first field is a number")
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn main() {
    ingest::measure_all();
    ingest::measure_buffers();
}
