//! Random numbers for tests, the same from the same seed, and how much of them a test takes.
//!
//! `MERIDIAN_FUZZ_SEED` chooses another seed than a test's own, `MERIDIAN_FUZZ_TIMES` so many times its rounds; `cargo xtask soak
//! --doors` sets both. The seed is printed, so that a test that fails can be run again.

pub struct Noise(u64);

fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

/// So many rounds, or so many times them as whoever runs the tests has time for.
pub fn rounds(usual: usize) -> usize {
    usual * told("MERIDIAN_FUZZ_TIMES").unwrap_or(1) as usize
}

impl Noise {
    pub fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From a seed of the test's own, unless whoever runs it has chosen one.
    pub fn seeded(own: u64) -> Noise {
        let seed = told("MERIDIAN_FUZZ_SEED").unwrap_or(own);
        eprintln!("the seed is {seed}; run it again with MERIDIAN_FUZZ_SEED={seed}");
        Noise::new(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.next() as u8).collect()
    }

    /// Changes some bytes: overwritten, cut out, put in, cut off.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.next() as u8),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 if at + 4 <= bytes.len() => {
                    let word = [0_u32, 1, u32::MAX, i32::MAX as u32, 0x8000_0000, self.next() as u32][self.below(6)];
                    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
                }
                _ if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => {}
            }
        }
    }
}

/// The most memory that a process ever had, in KiB.
pub fn memory_kib(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process that runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the most that was in memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
