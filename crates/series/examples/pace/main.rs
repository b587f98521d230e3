//! Prints what each step of ingest and reading costs, in nanoseconds a point on one core:
//! `cargo run --release -p series --example pace`. It promises nothing; it measures.

mod ingest;

use std::hint::black_box;

/// Runs `work` a few times and prints the fastest, divided by `points`.
#[expect(clippy::disallowed_methods, reason = "a measuring program owns its clock")]
fn measure<T>(name: &str, points: usize, times: usize, mut work: impl FnMut() -> T) {
    let mut best = f64::INFINITY;
    for _ in 0..times {
        let start = std::time::Instant::now();
        black_box(work());
        best = best.min(start.elapsed().as_nanos() as f64);
    }
    println!("{name:60} {:8.1} ns/point", best / points as f64);
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
}
