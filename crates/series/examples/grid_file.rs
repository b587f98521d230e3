//! Writes and reads series files of the grid data set and prints bytes and nanoseconds a point.
//!
//! `cargo run --release -p series --example grid_file [TAGS]` (default 2,000 tags). The data: 40 %
//! voltages (220 plus a mean-reverting walk, factor 0.995, step sd 0.08, two decimals), 40 % powers
//! (base uniform in 5..500, step sd 0.4 % of the base, three decimals), 10 % constants (one decimal),
//! 10 % states (flip 0.2 % a second); times of 10 % of the tags jitter by up to 50 ms in whole
//! milliseconds; 0.1 % of qualities are not good. Packed rows: random seconds of a month.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark measures time and stops at any error")]

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use series::file::{Block, BlockCache, Entry, FileOrigin, SeriesFile, SeriesFileWriter};
use series::{Projection, SeriesColumns};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use storage::{FileNumber, StoreId};
use types::{Kind, SliceId, TagId, TimeRange, Timestamp, Version};
use world::{Disk, RealDisk};

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[derive(Default)]
struct Cache(Mutex<FxHashMap<(u64, u64), Arc<Block>>>);

impl BlockCache for Cache {
    fn get(&self, file: u64, offset: u64) -> Option<Arc<Block>> {
        self.0.lock().get(&(file, offset)).cloned()
    }

    fn insert(&self, file: u64, offset: u64, block: Arc<Block>) {
        self.0.lock().insert((file, offset), block);
    }
}

fn rounded(value: f64, power: f64) -> u64 {
    ((value * power).round() / power).to_bits()
}

/// Rows of tag `id`: every second, or at random seconds of a month.
fn tag(id: usize, rows: usize, scattered: bool, noise: &mut Noise) -> (Kind, SeriesColumns) {
    const START: i64 = 1_700_000_000_000_000;
    let mut columns = SeriesColumns::default();
    let jitters = noise.uniform() < 0.1;
    let mut seconds: Vec<i64> = (0..rows as i64).collect();
    if scattered {
        seconds = (0..rows).map(|_| (noise.next() % 2_592_000) as i64).collect();
        seconds.sort_unstable();
        seconds.dedup();
    }
    let base = 5.0 + noise.uniform() * 495.0;
    let style = id % 10;
    let (mut walk, mut state, mut before) = (0.0, 0_u64, 0);
    let mut bad = Vec::new();
    for second in &seconds {
        let jitter = if jitters { (noise.next() % 101) as i64 - 50 } else { 0 };
        columns.times.push(Timestamp(START + second * 1_000_000 + jitter * 1_000));
        let gap = (second - before).min(5_000);
        before = *second;
        let (factor, sd) = if gap > 1 { (0.995_f64.powi(gap as i32), 0.08 * 10.0) } else { (0.995, 0.08) };
        match style {
            0..=3 => {
                walk = walk * factor + noise.normal() * sd;
                columns.bits.push(rounded(220.0 + walk, 100.0));
            }
            4..=7 => {
                walk = walk * factor + noise.normal() * base * 0.004 * sd / 0.08;
                columns.bits.push(rounded(base + walk, 1000.0));
            }
            8 => columns.bits.push(rounded(base, 10.0)),
            _ => {
                state ^= u64::from(noise.uniform() < if scattered { 0.5 } else { 0.002 });
                columns.bits.push(state);
            }
        }
        bad.push(if noise.uniform() < 0.001 { 0 } else { 192 });
    }
    if bad.contains(&0) {
        columns.qualities = Some(bad);
    }
    (if style == 9 { Kind::State } else { Kind::F64 }, columns)
}

/// A stopwatch of this thread's time on a core where the system tells it, so that neighbours on the
/// machine don't count; else of the clock.
struct Watch(Instant, Option<u64>);

impl Watch {
    fn start() -> Watch {
        Watch(Instant::now(), on_core())
    }

    /// Nanoseconds a point.
    fn per(&self, points: usize) -> f64 {
        let spent = match (self.1, on_core()) {
            (Some(start), Some(end)) => (end - start) as f64,
            _ => self.0.elapsed().as_nanos() as f64,
        };
        spent / points.max(1) as f64
    }
}

/// Nanoseconds that this thread has spent on a core.
fn on_core() -> Option<u64> {
    let file = RealDisk.open(Path::new("/proc/thread-self/schedstat"), world::Access::Read).ok()?;
    let mut text = [b' '; 8];
    let mut digits = String::new();
    while file.read_at(digits.len() as u64, &mut text[..1]).is_ok() && text[0].is_ascii_digit() {
        digits.push(text[0] as char);
    }
    digits.parse().ok()
}

fn write(disk: &Arc<dyn Disk>, path: &Path, tags: &[(Kind, SeriesColumns)]) -> series::file::FileSummary {
    let versions = (Version::default(), Version::default());
    let origin = FileOrigin { store: StoreId(1), slice: SliceId(0), number: FileNumber(1), versions, level: 1 };
    let mut writer = SeriesFileWriter::create(disk, path, origin).unwrap();
    for (id, (kind, columns)) in tags.iter().enumerate() {
        writer.append_whole(TagId(id as u64), *kind, columns.rows(*kind)).unwrap();
    }
    writer.finish().unwrap()
}

fn measure(disk: &Arc<dyn Disk>, dir: &Path, count: usize, rows: usize, scattered: bool) {
    let mut noise = Noise(rows as u64);
    let tags: Vec<_> = (0..count).map(|id| tag(id, rows, scattered, &mut noise)).collect();
    let path = dir.join(format!("grid-{rows}"));
    let mut written = f64::MAX;
    let mut summary = None;
    for _ in 0..3 {
        let _ = disk.remove(&path);
        let start = Watch::start();
        let wrote = write(disk, &path, &tags);
        written = written.min(start.per(wrote.rows as usize));
        summary = Some(wrote);
    }
    let summary = summary.unwrap();
    let file = SeriesFile::open(disk.as_ref(), &path, Arc::new(Cache::default())).unwrap();
    let (mut scan, mut points) = (f64::MAX, 0);
    for _ in 0..3 {
        let start = Watch::start();
        let mut entries = file.entries(TagId(0)).unwrap();
        let mut out = SeriesColumns::default();
        points = 0;
        while let Some(entry) = entries.next().unwrap() {
            out.clear();
            file.read(&entry, TimeRange::ALL, Projection::ALL, &mut out).unwrap();
            points += out.times.len();
        }
        scan = scan.min(start.per(points));
    }
    let asked = 20_000;
    let mut found: Vec<Entry> = Vec::new();
    let questions: Vec<(TagId, Timestamp)> = (0..asked)
        .map(|_| {
            let id = (noise.next() % count as u64) as usize;
            let times = &tags[id].1.times;
            (TagId(id as u64), times[(noise.next() % times.len() as u64) as usize])
        })
        .collect();
    let start = Watch::start();
    let mut hits = 0;
    for (tag, time) in &questions {
        found.clear();
        file.find(*tag, &mut found).unwrap();
        hits += found
            .iter()
            .rev()
            .filter(|entry| entry.first_time <= *time)
            .take(1)
            .filter(|entry| file.newest_until(entry, *time).unwrap().is_some())
            .count();
    }
    let lookup = start.per(asked) / 1000.0;
    assert_eq!(hits, asked);
    println!(
        "{rows:>6} rows a tag{}: {:.3} bytes/point, write {written:.1} ns/point ({:.1} M/s), scan {scan:.2} ns/point ({:.0} M/s), lookup {lookup:.2} us",
        if scattered { " scattered" } else { "" },
        summary.bytes as f64 / points as f64,
        1e3 / written,
        1e3 / scan,
    );
    disk.remove(&path).unwrap();
}

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(2_000);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let dir = std::env::temp_dir().join(format!("meridian-grid-{}", std::process::id()));
    disk.make_dir(&dir).unwrap();
    for rows in [500, 1_000, 5_000, 8_000] {
        measure(&disk, &dir, (count * 1_000 / rows).max(200), rows, false);
    }
    for rows in [8, 35] {
        measure(&disk, &dir, count * 200 / rows, rows, true);
    }
    for rows in [24, 100] {
        measure(&disk, &dir, count * 500 / rows, rows, false);
    }
    disk.remove_dir(&dir).unwrap();
}
